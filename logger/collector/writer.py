"""The one thread that writes into the database: for one gateway or a thousand.

Polls wait in their gateway's queue. Whoever has taken one wakes the writer, which stores gateway by gateway; while the
database is away it tries one or two of them now and then, and all of them when it is back.

Walk: collector.service -> here -> collector.keeper
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from logger.collector.keeper import Keeper
from logger.collector.work import log_once
from logger.errors import CollectorRunningError, LoggerError, ReadOnlyError, StoreAwayError, StoreDamagedError

log = logging.getLogger(__name__)

#: How often it is looked whether something waited long enough.
LOOK_EVERY_S = 60.0
#: How often a database that is away is tried, and with how many gateways: one alone may be what it does not take.
TRY_EVERY_S, TRIED = 5.0, 2
#: what it means for all gateways
AWAY = (StoreAwayError, StoreDamagedError, ReadOnlyError)


class Writer(threading.Thread):
    """Stores what the pollers took, and rolls up."""

    def __init__(
        self, keepers: Sequence[Keeper], now: Callable[[], datetime], fail: Callable[[LoggerError], None]
    ) -> None:
        super().__init__(name="writer", daemon=True)
        self.keepers = {keeper.name: keeper for keeper in keepers}
        self.stored = 0  #: polls that the database has taken
        self._now = now
        self._fail = fail
        self._guarded = {keeper.name: log_once("storing", keeper.name) for keeper in keepers}
        #: gateways to be forgotten when nothing waits, and what to do then
        self._leaving: dict[str, Callable[[], object]] = {}
        #: whose polls are to be stored, in the order of their slots: a dict is a set that keeps it
        self._due: dict[str, Keeper] = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        self._until_s = 0.0  # of the monotonic clock: when what is left has to wait for the next start

    def wake(self, keeper: Keeper) -> None:
        """Let what waits of a gateway be stored now."""
        with self._changed:
            self._due[keeper.name] = keeper
            self._changed.notify()

    def add(self, keeper: Keeper) -> None:
        """Store polls of one more gateway."""
        with self._changed:
            self.keepers[keeper.name] = keeper
            self._guarded[keeper.name] = log_once("storing", keeper.name)

    def leave(self, keeper: Keeper, then: Callable[[], object]) -> None:
        """Store what waits of a gateway before all others' and forget it; another process waits to ask it."""
        with self._changed:
            self._leaving[keeper.name] = then
            self._due = {keeper.name: keeper} | self._due
            self._changed.notify()

    def stop(self, within_s: float) -> None:
        """Ask the thread to store what waits, and what was counted of it if there is time, and end."""
        with self._changed:
            self._is_stopping, self._until_s = True, time.monotonic() + within_s
            self._changed.notify()

    @property
    def is_away(self) -> bool:
        """Whether the database does not take polls now, but may again."""
        return any(isinstance(keeper.error, AWAY) for keeper in list(self.keepers.values()))

    def run(self) -> None:
        """Store whenever woken, and look by itself now and then."""
        looked_s, pause_s = time.monotonic(), 0.0
        while not self._is_stopping:
            self._pause(pause_s)
            if (now_s := time.monotonic()) - looked_s >= LOOK_EVERY_S:
                looked_s, now = now_s, self._now()
                for keeper in list(self.keepers.values()):
                    if keeper.is_due(now):
                        self.wake(keeper)
            pause_s = TRY_EVERY_S if self._store_due() else 0.0
        self._store_the_rest()

    def _pause(self, seconds: float) -> None:
        """Wait until something is due, or is to be looked at; with ``seconds`` for so long."""
        with self._changed:
            if seconds:
                self._changed.wait_for(lambda: self._is_stopping, seconds)
            else:
                self._changed.wait_for(lambda: self._due or self._is_stopping, LOOK_EVERY_S)

    def _store_due(self) -> bool:
        """Store what is due; return whether the database is away, for which what is left waits."""
        failed: dict[str, Keeper] = {}
        for _ in range(len(self._due)):
            with self._changed:
                name = next((name for name in self._due if name not in failed), None)
                if name is None or len(failed) >= TRIED or self._is_stopping:
                    break
                keeper = self._due.pop(name)
            self._store(keeper, keeper.store)
            # One that was left with nothing waiting is stored no more, and its error says nothing any more.
            if isinstance(keeper.error, AWAY) and self.keepers.get(keeper.name) is keeper:
                failed[keeper.name] = keeper
        with self._changed:
            # The same are tried first the next time: each logs once that the database was lost.
            self._due = failed | self._due
        return bool(failed)

    def _store_the_rest(self) -> None:
        """Store all that waits, then bring the rollups up to this minute; what still waits outlives a power cut."""
        tries, keepers = TRIED, list(self.keepers.values())
        for keeper in keepers:
            if tries and keeper.queue.oldest() is not None:
                self._store(keeper, keeper.store)
                tries -= isinstance(keeper.error, AWAY)
        for keeper in keepers:
            if tries and time.monotonic() < self._until_s:
                self._store(keeper, keeper.store_all)
        self.keep()

    def keep(self) -> None:
        """See to it that what waits outlives a power cut; any thread may ask."""
        for keeper in list(self.keepers.values()):
            if keeper.queue.oldest() is not None:
                keeper.queue.keep()

    def _store(self, keeper: Keeper, store: Callable[[], bool]) -> None:
        """Store without ever raising: what waits goes on waiting."""
        if (guarded := self._guarded.get(keeper.name)) is None:
            return  # It was left, with nothing waiting.
        before = keeper.stored
        guarded(store)
        self.stored += keeper.stored - before
        if keeper.name in self._leaving and keeper.queue.oldest() is None:
            with self._changed:
                then = self._leaving.pop(keeper.name)
                del self.keepers[keeper.name], self._guarded[keeper.name]
                self._due.pop(keeper.name, None)
            keeper.close()
            then()
        if isinstance(keeper.error, CollectorRunningError):
            self._fail(keeper.error)
