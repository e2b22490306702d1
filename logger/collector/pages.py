"""Pages that are rebuilt each hour by a process of its own: what they need is never loaded where polls are taken.

Walk: collector.service -> here -> `envoylog report page --all`
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from logger.collector.beside import Beside
from logger.collector.work import log_once
from logger.errors import NoDataError

log = logging.getLogger(__name__)

#: Pages that take longer are given up: the next are due.
LONGEST_S = 3_000.0


class PageBuilder:
    """Runs a command that writes pages, beside the collector and never twice at a time."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command, self._environ = command, environ
        self._thread: threading.Thread | None = None
        self._beside = Beside()
        self._guarded = log_once("pages", "all")
        self._said = ""

    def start(self) -> None:
        """Start the command, unless it still runs; return at once."""
        if self._beside.is_stopping() or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._guarded, args=(self._run,), name="pages", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the command if it runs; files that it was writing stay as they were."""
        self._beside.stop()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        ended = self._beside.run(self._command, self._environ, longest_s=LONGEST_S)
        if ended is None:
            return
        said = "" if ended.code in {0, NoDataError.exit_code} else ended.error.strip() or f"exit {ended.code}"
        said = f"they took more than {LONGEST_S:.0f} s" if ended.is_late else said
        if said and said != self._said:
            log.error("pages were not written: %s", said.replace("\n", " ").removeprefix("envoylog: "))
        self._said = said
