"""Work that never ends the thread that does it."""

import logging
from collections.abc import Callable

from logger.errors import guarded

log = logging.getLogger(__name__)


def log_once(what: str, name: str) -> Callable[[Callable[[], object]], None]:
    """Return what does a piece of work without ever raising.

    A bug is logged once, and again after the work went well.
    """
    logged = ""

    def report(error: Exception) -> str:
        if repr(error) != logged:
            log.error("%s failed unexpectedly gateway=%s", what, name, exc_info=error)
        return repr(error)

    def do(work: Callable[[], object]) -> None:
        nonlocal logged
        logged = guarded(lambda: (work(), "")[1], report)

    return do
