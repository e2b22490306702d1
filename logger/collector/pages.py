"""Pages that are rebuilt each hour by a process of its own: what they need is never loaded where polls are taken.

Walk: collector.service -> here -> `envoylog report page --all`
"""

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence

from logger.collector.work import log_once
from logger.errors import NoDataError

log = logging.getLogger(__name__)

#: Pages that take longer are given up: the next are due.
LONGEST_S = 3_000.0
#: Polls go first.
NICENESS = 15


class PageBuilder:
    """Runs a command that writes pages, beside the collector and never twice at a time."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command, self._environ = command, environ
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._guarded = log_once("pages", "all")
        self._said = ""
        self._is_stopping = False

    def start(self) -> None:
        """Start the command, unless it still runs; return at once."""
        if self._is_stopping or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._guarded, args=(self._run,), name="pages", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the command if it runs; files that it was writing stay as they were."""
        self._is_stopping = True
        if (process := self._process) is not None:
            process.terminate()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        # A session of its own: Ctrl-C in a terminal is for the collector, which ends this.
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program
            self._command, env=dict(self._environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(OSError):  # The service's sandbox has no say in it.
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        try:
            _, error = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            _, error = process.communicate()
            error = f"they took more than {LONGEST_S:.0f} s"
        self._process = None
        code = process.returncode
        said = "" if code in {0, NoDataError.exit_code} or self._is_stopping else error.strip() or f"exit {code}"
        if said and said != self._said:
            log.error("pages were not written: %s", said.replace("\n", " ").removeprefix("envoylog: "))
        self._said = said
