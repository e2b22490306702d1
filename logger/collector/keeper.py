"""What a gateway's polls come to: they wait, are stored, and are rolled up.

A poll waits in its queue until the database has it; the collector's queue is a file, so that neither a database that is
away nor a process that dies loses one. Taking polls and storing them are two things, so that a slow database delays no
poll: one thread adds to the queue and asks what ``is_due``, another stores.

Walk: collector.poller -> here -> store.spool, store.writer, rollups.rollup
"""

import contextlib
import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, Engine

from logger.clock import Clock, quarter_start_s, to_epoch_s, utc_now
from logger.collector.identity import Identity
from logger.errors import LoggerError, RowRefusedError, SettingsError, StoreBusyError, StoreDamagedError, StoreError
from logger.readings import ClockSet, Event, Outcome, Poll, SourceFailure
from logger.rollups.memory import Memory
from logger.rollups.moved import samples_moved
from logger.rollups.rollup import bring_up_to_date, roll_up
from logger.settings import GatewaySettings, Settings, normal_gap_s
from logger.store import transfer
from logger.store.affected import Affected
from logger.store.ahead import runs_ahead
from logger.store.database import first_line, give_way, translated_errors
from logger.store.lock import Ready
from logger.store.queries import gateway_id_of, gateway_named
from logger.store.restamp import Taken, move_polls, store
from logger.store.spool import MemoryQueue, Queue
from logger.store.writer import note_event, remember_gateway

log = logging.getLogger(__name__)

#: This many polls are stored in one transaction.
BATCH = 200
#: This many polls can move when the clock is set: two weeks of one a minute.
MOST_MOVED = 20_000


class Keeper:
    """Stores one gateway's polls and keeps its rollups up to date.

    ``ready`` is asked before anything is stored: it raises while the database is away. ``waiting`` are those whose
    rollups wait for another program.
    """

    def __init__(
        self,
        settings: Settings,
        gateway_settings: GatewaySettings,
        engine: Engine,
        queue: Queue | None = None,
        ready: Ready | None = None,
        *,
        waiting: Affected | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.settings, self.gateway_settings, self.engine, self.clock = settings, gateway_settings, engine, clock
        self.name = gateway_settings.name  #: in the configuration
        self.queue: Queue = queue or MemoryQueue()
        self.identity: Identity | None = None  #: None until the database was read, or is new
        self.error: LoggerError | None = None  #: why what waits could not be stored
        self.stored = 0  #: how many polls the database has taken from this process
        self.is_gateway_unknown = False  #: polls wait until one identifies their gateway
        self._ready: Ready = ready or (lambda: None)
        self._database: object = None  # of which something is known, as ``ready`` calls it
        self._storing = threading.Lock()
        self._is_identity_loaded = self._is_down = self._is_busy = False
        self._waiting = waiting or Affected()
        self._rolled_up_s, self._gap_s = 0, normal_gap_s(settings.poll_every_s)
        self._gateway_id: int | None = None  # of the gateway whose poll came last
        self._ids: dict[str, int] = {}  #: by the serial that a poll names: rows belong to who reported them
        self._replaced: set[int] = set()  #: gateways whose last minutes are yet to be rolled up
        self._memory = Memory()  # what rolling up goes on from
        self._is_order_known = False  #: no poll is stored that lies after the last on which both clocks agreed
        self._unproven: list[Taken] = []  #: since the last poll on which the gateway's clock agreed with ours

    def is_due(self, at: datetime) -> bool:
        """Return whether what waits has waited long enough."""
        oldest, patience_s = self.queue.oldest(), self.settings.commit_every_s - self.settings.poll_every_s
        return oldest is not None and not 0 <= (at - oldest).total_seconds() < patience_s

    def load_identity(self) -> None:
        """Read what the database knows of the gateway.

        Raises:
            StoreError: the database can't be read, or may not be used.
        """
        which = self._ready()
        with translated_errors(), self.engine.connect() as connection:
            row = gateway_named(connection, self.name)
            if row is not None:
                self._gateway_id = row.gateway_id  # Its rollups may lag, with nothing waiting.
                self._ids[row.serial] = row.gateway_id
                self.identity = Identity.read(connection, row)
        self._is_identity_loaded, self._database = True, which

    def _forget(self) -> None:
        """Know nothing any more of a database that was away: when it is back it may be another one."""
        self._is_identity_loaded, self._gateway_id, self._ids, self._replaced = False, None, {}, set()
        self._memory.forget()

    def store(self, *, to_the_minute: bool = False) -> bool:
        """Store what waits, and roll up; return whether nothing waits any more.

        Rollups follow at each quarter hour, or with ``to_the_minute`` now.
        """
        with self._storing:
            try:
                if self._ready() != self._database:
                    self._forget()  # Another gateway's keeper may have noticed.
                if not self._is_identity_loaded:
                    self.load_identity()
                newest_s = self._store_waiting(rolls_up=not (to_the_minute or self._is_down or self._is_busy))
                self._roll_up(newest_s, to_the_minute=to_the_minute)
            except (StoreError, SettingsError) as error:
                self.error = error
                if not self._is_down:
                    log.error("database lost, polls wait gateway=%s: %s", self.name, self._sentence(error))  # noqa: TRY400 - the sentence is enough
                self._is_down = True
                self._forget()
                return False
            if self._is_down:
                log.info("database back gateway=%s", self.name)
            self._is_down, self.error = False, None
        return True

    def _roll_up(self, newest_s: int, *, to_the_minute: bool) -> None:
        """Roll up what was not rolled up with the polls; it waits while another program has the rollups."""
        now, memory = self.clock(), None if to_the_minute else self._memory
        try:
            with translated_errors():
                for gateway_id in self._replaced:
                    bring_up_to_date(self.engine, gateway_id, now=now, gap_s=self._gap_s)
                self._replaced.clear()
                if self._gateway_id is not None and (to_the_minute or self._is_new_quarter(newest_s)):
                    bring_up_to_date(self.engine, self._gateway_id, now=now, gap_s=self._gap_s, memory=memory)
                    self._rolled_up_s, self._is_busy = quarter_start_s(newest_s), False
                    if self._waiting.remove(self.name):
                        log.info("totals follow again gateway=%s", self.name)
        except StoreBusyError:
            self._is_busy = True
            if self._waiting.add(self.name):
                log.warning("totals wait for a command that has them (rebuild, check, prune); polls are stored")

    def _is_new_quarter(self, newest_s: int) -> bool:
        """Return whether it is another quarter hour, not only a later one: the clock may have been set back."""
        return newest_s > 0 and quarter_start_s(newest_s) != self._rolled_up_s

    def _sentence(self, error: LoggerError) -> str:
        if isinstance(error, StoreDamagedError):
            return transfer.what_to_restore(self.engine, self.settings.state_dir / "backups")
        return str(error)

    def close(self) -> None:
        """Keep what waits, and let another process have it."""
        self.queue.close()
        self._waiting.remove(self.name)

    def store_all(self) -> bool:
        """Store what waits and bring the rollups up to this minute; for a clean stop."""
        is_done = self.store(to_the_minute=True)
        self.queue.keep()  # The machine may go down next.
        return is_done

    def _store_waiting(self, *, rolls_up: bool = False) -> int:
        """Store what waits, oldest first, a batch per transaction; return the newest's second.

        What is due is rolled up with the last of them, where all is well.
        """
        newest_s, waiting, unknown = 0, iter(self.queue.waiting()), list[Poll]()
        # While the database is away one poll is enough to see whether it is back.
        most = 1 if self._is_down else BATCH
        while batch := list(islice(waiting, most)):
            is_last, most = len(batch) < most, BATCH
            try:
                waits = self._store_and_roll_up(batch) if rolls_up and is_last else self._store(batch)
            except RowRefusedError:
                self._gateway_id, self._ids = None, {}  # Somebody may have deleted the gateway's row.
                waits = [poll for poll in batch if self._store_or_set_aside(poll)]
            unknown += waits
            self.is_gateway_unknown = bool(waits)
            newest_s = to_epoch_s(batch[-1].polled_at)
        for poll in unknown:  # Not before all others are stored, else they would wait once more after each that fails.
            self.queue.append(poll)
        self.queue.clear()
        return newest_s

    def _store_or_set_aside(self, poll: Poll) -> bool:
        """Keep one poll that the database will never take from holding up those behind it.

        Return whether it waits for its gateway to be known.
        """
        try:
            return bool(self._store([poll]))
        except RowRefusedError as error:
            log.error("gateway=%s poll of %s set aside: %s", self.name, poll.polled_at, error)  # noqa: TRY400 - the sentence is enough
            self.queue.set_aside(poll)
        if poll.info is not None:
            # Those behind it are of a gateway that it was to make known.
            refused = SourceFailure(source="database", error="refused, and set aside")
            bare = Poll(gateway_serial=poll.gateway_serial, polled_at=poll.polled_at, took_s=poll.took_s,
                        failures=(refused,), info=poll.info)  # fmt: skip
            with contextlib.suppress(RowRefusedError):
                self._store([bare])
        return False

    def _store_and_roll_up(self, polls: Sequence[Poll]) -> list[Poll]:
        """Store polls and roll up in one transaction, which writes less than two; polls alone where that fails."""
        try:
            return self._store(polls, rolls_up=True)
        except Exception:  # What fails alone as well is an error then.
            log.debug("polls and rollups not stored together gateway=%s", self.name, exc_info=True)
            self._memory.forget()  # It may know of what was not committed.
            return self._store(polls)

    def _store(self, polls: Sequence[Poll], *, rolls_up: bool = False) -> list[Poll]:
        """Store polls in one transaction; return those that wait for their gateway to be known.

        RowRefusedError: the database will never take one of them, for whatever reason is the poll's own.
        """
        gateway_id, ids, unproven = self._gateway_id, dict(self._ids), list(self._unproven)
        is_order_known, newest_s = self._is_order_known, to_epoch_s(polls[-1].polled_at)
        waits, stored, is_rolled_up = list[Poll](), 0, False
        try:
            with translated_errors(), self.engine.begin() as connection:
                for poll in polls:
                    own_id = self._id_of(connection, poll, ids, gateway_id)
                    if own_id is None:
                        if poll.outcome is not Outcome.FAILED:
                            waits.append(poll)
                        else:  # Before its first answer it has no row.
                            unproven.append(Taken(poll.polled_at, None))
                        continue
                    gateway_id = own_id
                    if poll.clock_set is not None:
                        self._restamp(connection, gateway_id, poll.clock_set, unproven)
                    if poll.clocks_agree:
                        if unproven or not is_order_known:
                            self._put_back(connection, gateway_id, poll)
                        unproven.clear()
                        is_order_known = True
                    place = store(connection, gateway_id, poll, is_shared=self.settings.collect == "shared")
                    if not poll.clocks_agree:
                        unproven.append(Taken(poll.polled_at, place))
                    stored += 1
                if rolls_up and gateway_id is not None and self._is_new_quarter(newest_s):
                    now, gap_s = self.clock(), self._gap_s
                    give_way(connection)
                    is_rolled_up = not roll_up(connection, gateway_id, {}, now=now, gap_s=gap_s, memory=self._memory)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise RowRefusedError(f"this poll can't be stored ({first_line(error)}).") from error
        if self._gateway_id not in {None, gateway_id}:
            self._replaced.add(self._gateway_id)
        self._gateway_id, self._ids, self._unproven = gateway_id, ids, unproven[-MOST_MOVED:]
        self._is_order_known, self.stored = is_order_known, self.stored + stored
        if is_rolled_up:
            self._rolled_up_s = quarter_start_s(newest_s)
        return waits

    def _id_of(self, connection: Connection, poll: Poll, ids: dict[str, int], last_id: int | None) -> int | None:
        """Return whose rows a poll's are: of the serial that reported it, never of a name alone."""
        serial = poll.gateway_serial
        if poll.info is not None:
            ids[serial] = remember_gateway(connection, poll.info, self.gateway_settings, poll.polled_at)
        elif serial not in ids:
            if not serial:  # Nobody answered.
                known = gateway_named(connection, self.name) if last_id is None else None
                return known.gateway_id if known else last_id
            if (known_id := gateway_id_of(connection, serial)) is None:
                return None
            ids[serial] = known_id
        return ids[serial]

    def _put_back(self, connection: Connection, gateway_id: int, poll: Poll) -> None:
        """Move polls of a clock that ran ahead and was set right while nobody looked."""
        for run in runs_ahead(connection, gateway_id, poll):
            self._move(connection, gateway_id, run.polls, -run.ahead_s)
            log.warning("clock_set gateway=%s collector: %s", self.name, run.detail)
            told = Event(at=poll.polled_at, kind="clock_set", subject="collector", detail=run.detail)
            note_event(connection, gateway_id, told)

    def _restamp(self, connection: Connection, gateway_id: int, clock_set: ClockSet, unproven: list[Taken]) -> None:
        """Move the polls of a clock that was set since, where they lie in the database."""
        run = unproven[max(0, len(unproven) - clock_set.polls) :]
        if run:
            unproven[len(unproven) - len(run) :] = self._move(connection, gateway_id, run, clock_set.by_s)

    def _move(self, connection: Connection, gateway_id: int, run: Sequence[Taken], by_s: int) -> list[Taken]:
        """Move polls, also in what was counted; return where they lie."""
        moved, times = move_polls(connection, gateway_id, run, by_s), [poll.place or poll.at for poll in run]
        samples_moved(connection, gateway_id, first=min(times), last=max(times), by_s=by_s)
        self._rolled_up_s = 0
        self._memory.forget()
        return moved
