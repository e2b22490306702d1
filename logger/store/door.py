"""The collector's way to its database, which may be away at any time, also at the start."""

import logging
from collections.abc import Callable

from sqlalchemy import Engine

from logger.store import maintenance
from logger.store.collectorlock import CollectorLock
from logger.store.database import open_engine

log = logging.getLogger(__name__)


class Door:
    """An engine, and what has to be true before something is stored through it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = CollectorLock(engine)
        self._is_prepared = False

    @classmethod
    def to(cls, database_url: str) -> "Door":
        """Return the door to a database; it need not be there yet.

        Raises:
            StoreError: the URL can't be used.
        """
        return cls(open_engine(database_url))

    def ready(self) -> None:
        """See that this process is the one collector, and that the tables are this version's.

        Raises:
            StoreAwayError: the database is down, locked or full.
            StoreError: it can't be used, or needs `envoylog db upgrade`.
            CollectorRunningError: another collector has it.
        """
        self._lock.hold()
        if not self._is_prepared:
            prepare(self.engine)
            self._is_prepared = True

    def close(self) -> None:
        """Let another collector in."""
        self._lock.release()
        self.engine.dispose()


def prepare(engine: Engine) -> None:
    """Give an empty database its tables; refuse one of another version.

    Raises:
        StoreError: it can't be used, or needs `envoylog db upgrade`.
    """
    if maintenance.current(engine) is None:
        maintenance.upgrade(engine)
    maintenance.require_current(engine)


Ready = Callable[[], None]
