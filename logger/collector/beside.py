"""A process beside the collector, which ends with it: what it needs is never loaded where polls are taken."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Polls go first.
NICENESS = 15


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    text: str  #: what it wrote to stdout
    error: str  #: and to stderr
    is_late: bool = False  #: it took too long, and was ended


class Beside:
    """Runs one process at a time; ``stop`` ends it, and none is started any more."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._changing = threading.Lock()

    def is_stopping(self) -> bool:
        """Return whether it was stopped."""
        return self._stopping.is_set()

    def run(
        self, command: Sequence[str], environ: Mapping[str, str], *, longest_s: float, given: str = ""
    ) -> Ended | None:
        """Return how a command ended that got ``given`` on stdin; None where it was stopped."""
        with self._changing:
            if self.is_stopping():
                return None
            # A session of its own: Ctrl-C in a terminal is for the collector, which ends this.
            self._process = process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, start_new_session=True,
            )  # fmt: skip
        with contextlib.suppress(OSError):  # The service's sandbox has no say in it.
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        is_late = False
        try:
            text, error = process.communicate(given, timeout=longest_s)
        except subprocess.TimeoutExpired:
            process.kill()
            (text, error), is_late = process.communicate(), True
        self._process = None
        return None if self.is_stopping() else Ended(process.returncode, text, error, is_late)

    def stop(self) -> None:
        """End the process; files that it was writing stay as they were."""
        with self._changing:
            self._stopping.set()
            if self._process is not None:
                self._process.terminate()
