"""The right to be the one collector of a database, and the collector's way to its database.

The database may be away at any time, also at the start.
"""

import contextlib
from collections.abc import Callable, Iterator

from sqlalchemy import Engine

from logger.store import schema
from logger.store.database import backend, open_engine

#: raises while nothing can be stored
Ready = Callable[[], None]


@contextlib.contextmanager
def collector_lock(engine: Engine) -> Iterator[None]:
    """Hold the right to be the one collector of a database.

    Raises:
        CollectorRunningError: another collector has it.
        StoreError: the database can't be asked.
    """
    lock = backend(engine).collector_lock(engine)
    lock.hold()
    try:
        yield
    finally:
        lock.release()


class CollectorDatabase:
    """An engine, and what has to be true before something is stored through it.

    Raises:
        StoreError: the URL can't be used. The database need not be there yet.
    """

    def __init__(self, database_url: str) -> None:
        self.engine = open_engine(database_url)
        self._lock = backend(self.engine).collector_lock(self.engine)
        self._is_prepared = False

    def ready(self) -> None:
        """See that this process is the one collector, and that the tables are this version's.

        Raises:
            StoreAwayError: the database is down, locked or full.
            StoreError: it can't be used, or needs `envoylog db upgrade`.
            CollectorRunningError: another collector has it.
        """
        self._lock.hold()
        if not self._is_prepared:
            schema.prepare(self.engine)
            self._is_prepared = True

    def close(self) -> None:
        """Let another collector in."""
        self._lock.release()
        self.engine.dispose()
