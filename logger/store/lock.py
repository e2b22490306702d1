"""The right to be the one collector of a database, and the collector's way to its database.

The database may be away at any time, also at the start.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import date

from sqlalchemy import Engine

from logger.clock import utc_now
from logger.errors import StoreAwayError, StoreError
from logger.store import partitions, schema
from logger.store.affected import Affected
from logger.store.database import backend, open_engine, translated_errors

log = logging.getLogger(__name__)
#: A server that lets a transaction of the collector wait for longer hangs.
PATIENCE_S = 60.0
#: raises while nothing can be stored; what it returns changes when it may be another database
Ready = Callable[[], object]


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

    def __init__(
        self, database_url: str, *, shared: bool = False, prepare: Callable[[Engine], None] = schema.prepare
    ) -> None:
        self.engine = open_engine(database_url)
        self._prepare = prepare
        backend(self.engine).bound(self.engine, PATIENCE_S)
        self._lock = backend(self.engine).collector_lock(self.engine, shared=shared)
        self._one_by_one = threading.Lock()
        self._is_prepared = False
        self._times = 0  #: the right to collect was taken: each time it may be another database
        self._place: object = None  #: which file was prepared
        self._made_on: date | None = None  #: when its next months were last looked after
        self.waiting, self.failing = Affected(), Affected()  #: whose rollups wait, and whose spools can't be written

    def ready(self) -> int:
        """See that this process may collect, and that the tables are this version's; any thread may ask.

        Return another number once it may be another database: what was known of one is not true of another.

        Raises:
            StoreAwayError: the database is down, locked or full.
            StoreError: it can't be used, or needs `envoylog db upgrade`.
            CollectorRunningError: another collector has it.
        """
        with self._one_by_one:
            self._see()
            return self._times

    def _see(self) -> None:
        if self._is_prepared and backend(self.engine).place(self.engine) != self._place:
            # What is written into an open file that has no name any more, nobody can read.
            self._lock.release()
            backend(self.engine).leave(self.engine)
            self._is_prepared = False
            raise StoreAwayError("The database file was removed or replaced; polls wait and it is made anew.")
        if self._lock.hold():
            self._times, self._is_prepared, self._made_on = self._times + 1, False, None
        if not self._is_prepared:
            self._prepare(self.engine)
            with translated_errors():
                backend(self.engine).begin_collecting(self.engine)
            self._place = backend(self.engine).place(self.engine)
            self._is_prepared = True
        self._make_months()

    def _make_months(self) -> None:
        """Make the next months of a server's tables, once a day: they have weeks until they begin."""
        now = utc_now()
        if self._made_on != now.date():
            self._made_on = now.date()
            try:
                partitions.make_ahead(self.engine, now)
            except StoreError as error:
                log.warning("the next months have no tables yet; tomorrow again reason=%s", error)

    def close(self) -> None:
        """Let another collector in."""
        self._lock.release()
        self.engine.dispose()
