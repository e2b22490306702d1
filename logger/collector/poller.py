"""One gateway: poll, keep, roll up.

A poll waits in its queue until the database has it; the collector's queue is a file, so that
neither a database that is away nor a process that dies loses one. Taking polls and storing them
are two things, so that a slow database delays no poll: ``take`` is for the thread that polls,
``flush`` for the one that stores. Log lines are written on the edge of a change, not per poll.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Engine

from logger.clock import Clock, quarter_start_s, to_epoch_s, utc_now
from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayReplacedError,
    LoggerError,
    RowRefusedError,
    SettingsError,
    StoreError,
)
from logger.gateway.client import Gateway
from logger.readings import Event, GatewayInfo, Outcome, Poll, SourceFailure
from logger.rollups.clock_check import BEHIND_S, WRONG_S
from logger.rollups.rollup import bring_up_to_date, clock_was_set
from logger.settings import GatewaySettings, Settings
from logger.store.database import translated_errors
from logger.store.door import Ready
from logger.store.queries import gateway_named, last_production_source
from logger.store.spool import MemoryQueue, Queue
from logger.store.writer import remember_gateway, save

log = logging.getLogger(__name__)

#: So many polls are stored in one transaction.
BATCH = 200


class Poller:
    """Polls one gateway and keeps what it says; one thread takes, another may flush.

    ``ready`` is asked before anything is stored: it raises while the database is away.
    """

    def __init__(
        self,
        settings: Settings,
        gateway_settings: GatewaySettings,
        gateway: Gateway,
        engine: Engine,
        *,
        queue: Queue | None = None,
        ready: Ready | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.settings = settings
        self.gateway_settings = gateway_settings
        self.gateway = gateway
        self.engine = engine
        self.clock = clock
        self.stopped_by: LoggerError | None = None  #: why this gateway is not polled any more
        self.last_error: LoggerError | None = None  #: why the last poll failed altogether
        self.store_error: LoggerError | None = None  #: why what waits could not be stored
        self.stored = 0  #: how many polls the database has taken from this process
        self.queue: Queue = queue or MemoryQueue()
        self._ready = ready
        self._knows_past = False
        self._events: list[Event] = []  #: of this machine, for the next poll
        self._first_at: datetime | None = None  #: of the first poll since the clock was set
        #: from when to when polls were taken with a clock that was set by much since
        self._wrong_run: tuple[datetime, datetime] | None = None
        self._certificate_changed = False
        self._replaced = False
        self._storing = threading.Lock()
        self._info: GatewayInfo | None = None
        self._failing_since: datetime | None = None
        self._failed_polls = 0
        self._person_called = False
        self._store_down = False
        self._rolled_up_s = 0
        self._gateway_id: int | None = None

    @property
    def name(self) -> str:
        """The gateway's name in the configuration."""
        return self.gateway_settings.name

    def recall(self) -> None:
        """Bind the gateway to its serial, and production to its source, as the database has them.

        A restart changes neither.

        Raises:
            StoreError: the database can't be read.
        """
        with translated_errors(), self.engine.connect() as connection:
            known = gateway_named(connection, self.name)
            source = last_production_source(connection, known.gateway_id) if known else None
        self._knows_past = True
        if known is None:
            return
        self._gateway_id = known.gateway_id  # Its rollups may lag behind, with nothing waiting.
        if self.gateway.known_serial is None:
            self.gateway.known_serial = self.gateway_settings.serial or known.serial
        if source is not None and known.serial == self.gateway.known_serial:
            self.gateway.previous = (source, known.firmware or "")

    def poll(self, at: datetime, *, inverters: bool) -> Poll:
        """Take a poll, store what is due, and roll up when a quarter hour has passed."""
        poll = self.take(at, inverters=inverters)
        if self.is_due(at):
            self.flush()
        return poll

    def take(self, at: datetime, *, inverters: bool) -> Poll:
        """Ask the gateway once, and let what it says wait for the database."""
        self._first_at = self._first_at or at
        poll = self._ask(at, inverters=inverters)
        if self._events:
            poll = replace(poll, events=(*self._events, *poll.events))
            self._events = []
        self._notice(poll)
        self.queue.append(poll)
        return poll

    def is_due(self, at: datetime) -> bool:
        """Return whether what waits has waited long enough."""
        oldest = self.queue.oldest()
        patience_s = self.settings.commit_every_s - self.settings.poll_every_s
        return oldest is not None and not 0 <= (at - oldest).total_seconds() < patience_s

    def clock_was_set(self, by_s: int, at: datetime) -> None:
        """Keep as an event that this machine's clock was set, to ``at``."""
        before = at - timedelta(seconds=by_s)
        detail = f"this machine's clock was set by {by_s:+d} s, from {before:%Y-%m-%d %H:%M:%S}"
        self._events.append(Event(at=at, kind="clock_set", subject="collector", detail=detail))
        if (by_s > BEHIND_S or by_s < -WRONG_S) and self._first_at is not None:
            self._wrong_run = self._first_at, before
        self._first_at = None

    def skipped(self, at: datetime) -> None:
        """Record a slot in which the poll before was still running."""
        failure = SourceFailure(source="slot", error="the poll before was still running")
        self.queue.append(Poll(gateway_serial="", polled_at=at, took_s=0.0, failures=(failure,)))

    def _ask(self, at: datetime, *, inverters: bool) -> Poll:
        started = self.clock()
        self.last_error = None
        try:
            poll = self.gateway.poll(inverters=inverters, at=at)
        except LoggerError as error:
            self.last_error = error
        else:
            self._info = poll.info or self._info
            return poll
        failure, events = self.last_error, []
        replaced = isinstance(failure, GatewayReplacedError)
        if replaced and not self.gateway.relocation.can_look:
            self.stopped_by = failure
        if replaced and not self._replaced:
            detail = "another gateway answers; not asked until the configuration names it"
            events = [Event(at=at, kind="gateway_replaced", subject="gateway", detail=detail)]
        if isinstance(failure, CertificateChangedError) and not self._certificate_changed:
            detail = "another certificate than the pinned one; not asked until it is accepted"
            events = [Event(at=at, kind="certificate_change", subject="gateway", detail=detail)]
        self._replaced = replaced
        self._certificate_changed = isinstance(failure, CertificateChangedError)
        return Poll(
            gateway_serial=self._info.serial if self._info else "",
            polled_at=at,
            took_s=(self.clock() - started).total_seconds(),
            failures=(SourceFailure(source="gateway", error=str(failure)),),
            events=tuple(events),
        )

    def flush(self, *, to_the_minute: bool = False) -> bool:
        """Store what waits, and roll up; return whether nothing waits any more.

        Rollups follow at each quarter hour, or with ``to_the_minute`` now.
        """
        with self._storing:
            try:
                if self._ready is not None:
                    self._ready()
                if not self._knows_past:
                    self.recall()
                newest_s = self._store_waiting()
                quarter_s = quarter_start_s(newest_s)
                # Another quarter hour, not a later one: the clock may have been set back.
                is_new = newest_s > 0 and quarter_s != self._rolled_up_s
                if self._gateway_id is not None and (to_the_minute or is_new):
                    self._roll_up(self._gateway_id)
                    self._rolled_up_s = quarter_s
            except (StoreError, SettingsError) as error:
                self.store_error = error
                if not self._store_down:
                    log.error("database lost, polls wait gateway=%s: %s", self.name, error)  # noqa: TRY400 - the sentence is enough
                self._store_down = True
                return False
            if self._store_down:
                log.info("database back gateway=%s", self.name)
            self._store_down, self.store_error = False, None
        return True

    def _store_waiting(self) -> int:
        """Store what waits, oldest first, a batch per transaction; return the newest's second."""
        newest_s = 0
        waiting = self.queue.waiting()
        # While the database is away one poll is enough to see whether it is back.
        most = 1 if self._store_down else BATCH
        while batch := list(islice(waiting, most)):
            most = BATCH
            try:
                self._store(batch)
            except RowRefusedError:
                for poll in batch:
                    self._store_or_set_aside(poll)
            self.stored += len(batch)
            newest_s = to_epoch_s(batch[-1].polled_at)
        self.queue.clear()
        return newest_s

    def _store_or_set_aside(self, poll: Poll) -> None:
        """Keep one poll that the database will never take from holding up those behind it."""
        try:
            self._store([poll])
        except RowRefusedError as error:
            log.error("gateway=%s poll of %s set aside: %s", self.name, poll.polled_at, error)  # noqa: TRY400 - the sentence is enough
            self.queue.set_aside(poll)

    def _store(self, polls: Sequence[Poll]) -> None:
        """Store polls in one transaction."""
        with translated_errors(), self.engine.begin() as connection:
            gateway_id = self._gateway_id
            for poll in polls:
                if poll.info is not None:
                    gateway_id = remember_gateway(
                        connection, poll.info, self.gateway_settings, poll.polled_at
                    )
                elif gateway_id is None:
                    known = gateway_named(connection, self.name)
                    gateway_id = known.gateway_id if known else None
                if gateway_id is None:
                    continue  # A gateway that never answered has no row to hang failures on.
                save(connection, gateway_id, poll)
        self._gateway_id = gateway_id

    def _roll_up(self, gateway_id: int) -> None:
        now, gap_s = self.clock(), self.settings.normal_gap_s
        with translated_errors():
            if self._wrong_run is not None:
                since, until = self._wrong_run
                with self.engine.begin() as connection:
                    clock_was_set(connection, gateway_id, now=now, since=since, until=until)
                self._wrong_run = None
            bring_up_to_date(self.engine, gateway_id, now=now, gap_s=gap_s)

    def finish(self) -> bool:
        """Store what waits and bring the rollups up to this minute; for a clean stop."""
        return self.flush(to_the_minute=True)

    def _notice(self, poll: Poll) -> None:
        """Log when a gateway stops or starts answering, or changes."""
        for event in poll.events:
            log.warning("%s gateway=%s %s: %s", event.kind, self.name, event.subject, event.detail)
        if poll.outcome is Outcome.FAILED:
            # A gateway that comes back from a restart may need a person only then.
            needs_person = isinstance(self.last_error, AuthenticationError)
            if self._failing_since is None or (needs_person and not self._person_called):
                self._failing_since = self._failing_since or poll.polled_at
                self._person_called = needs_person
                log.warning("gateway=%s does not answer: %s", self.name, poll.error)
            self._failed_polls += 1
        elif self._failing_since is not None:
            minutes = (poll.polled_at - self._failing_since).total_seconds() / 60
            log.info(
                "gateway=%s answers again after %.0f min polls_missed=%d",
                self.name,
                minutes,
                self._failed_polls,
            )
            self._failing_since, self._failed_polls, self._person_called = None, 0, False
