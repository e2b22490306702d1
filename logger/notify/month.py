"""The page of a month, made by a process of its own when it is to be sent."""

import contextlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from logger.collector.beside import Beside
from logger.settings.places import make_folder

log = logging.getLogger(__name__)

#: A page that takes longer is not sent along; the words are.
LONGEST_S = 600.0


class MonthlyPage:
    """Makes the pages of months in a folder of the state directory; only the last one is kept."""

    def __init__(self, folder: Path, environ: Mapping[str, str], beside: Beside, *, locale: str) -> None:
        self._folder, self._environ, self._beside, self._locale = folder, environ, beside, locale

    def __call__(self, month: str) -> Path | None:
        """Return the page of a month (2026-10), or None where it can't be made."""
        path = self._folder / f"envoylog-{month}.html"
        if path.exists():
            return path
        with contextlib.suppress(OSError):
            make_folder(self._folder, 0o700)
            for old in self._folder.glob("envoylog-*.html"):
                old.unlink()
        command = [sys.executable, "-P", "-m", "logger", "report", "page", "--month", month, "-o", str(path)]
        command += ["--locale", self._locale]
        ended = self._beside.run(command, self._environ, longest_s=LONGEST_S)
        if ended is None or (ended.code == 0 and path.exists()):
            return path if ended else None
        why = "it took too long" if ended.is_late else ended.error.strip().removeprefix("envoylog: ")
        log.error("the page of %s was not made: %s", month, why.replace("\n", " "))
        return None
