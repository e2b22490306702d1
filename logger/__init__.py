"""envoylog: what an Enphase gateway measured, kept, and turned into energy that can be trusted.

For programs, ``connect`` opens what was logged, as pandas frames::

    import logger

    db = logger.connect()
    db.energy("daily", "2026-03")
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logger.frames import Database

__all__ = ["__version__", "connect"]

__version__ = "0.1.0"


def connect(url: str | Path | None = None) -> "Database":
    """Open a database for reading: its URL, its file, or the one of the configuration.

    Raises:
        LoggerError: there is none, or it can't be read; says what to do.
    """
    # pandas takes half a second, and only this needs it.
    from logger.frames import Database, where  # noqa: PLC0415

    return Database(where(url))
