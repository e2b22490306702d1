"""``python -m logger``, and what is typed.

Until there is somebody who answers Ctrl-C it just ends the program: what Python would show is of no use to anybody.
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from logger.cli import main

if __name__ == "__main__":
    main()
