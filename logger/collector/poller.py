"""One gateway: poll, keep, roll up.

A poll waits in its queue until the database has it; the collector's queue is a file, so that
neither a database that is away nor a process that dies loses one. Log lines are written on the
edge of a change, not per poll.
"""

import logging
import threading
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Engine

from logger.clock import Clock, quarter_start_s, to_epoch_s, utc_now
from logger.errors import (
    CertificateChangedError,
    GatewayReplacedError,
    LoggerError,
    SettingsError,
    StoreError,
)
from logger.gateway.client import Gateway
from logger.readings import Event, GatewayInfo, Outcome, Poll, SourceFailure
from logger.rollups.build import bring_up_to_date
from logger.rollups.inverters import bring_inverters_up_to_date
from logger.settings import GatewaySettings, Settings
from logger.store.database import translated_errors
from logger.store.queries import gateway_named
from logger.store.spool import MemoryQueue, Queue
from logger.store.writer import remember_gateway, save

log = logging.getLogger(__name__)

#: So many polls are stored in one transaction.
BATCH = 200


class Poller:
    """Polls one gateway and keeps what it says. One thread polls; ``flush`` may come from any."""

    def __init__(
        self,
        settings: Settings,
        gateway_settings: GatewaySettings,
        gateway: Gateway,
        engine: Engine,
        *,
        queue: Queue | None = None,
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
        self._certificate_changed = False
        self.queue: Queue = queue or MemoryQueue()
        self._lock = threading.Lock()
        self._info: GatewayInfo | None = None
        self._failing_since: datetime | None = None
        self._failed_polls = 0
        self._store_down = False
        self._rolled_up_s = 0
        self.stored = 0  #: how many polls the database has taken from this process
        self._gateway_id: int | None = None

    @property
    def name(self) -> str:
        """The gateway's name in the configuration."""
        return self.gateway_settings.name

    def poll(self, at: datetime, *, inverters: bool) -> Poll:
        """Poll once, keep it, and roll up when a quarter hour has passed."""
        poll = self._ask(at, inverters=inverters)
        self._notice(poll)
        with self._lock:
            self.queue.append(poll)
        oldest = self.queue.oldest() or at
        patience = timedelta(seconds=self.settings.commit_every_s - self.settings.poll_every_s)
        if at - oldest >= patience:
            self.flush()
        return poll

    def skipped(self, at: datetime) -> None:
        """Record a slot in which the poll before was still running."""
        failure = SourceFailure(source="slot", error="the poll before was still running")
        with self._lock:
            self.queue.append(
                Poll(gateway_serial="", polled_at=at, took_s=0.0, failures=(failure,))
            )

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
        if isinstance(failure, GatewayReplacedError):
            self.stopped_by = failure
            detail = "another gateway answers; not asked until the configuration names it"
            events = [Event(at=at, kind="gateway_replaced", subject="gateway", detail=detail)]
        if isinstance(failure, CertificateChangedError) and not self._certificate_changed:
            detail = "another certificate than the pinned one; not asked until it is accepted"
            events = [Event(at=at, kind="certificate_change", subject="gateway", detail=detail)]
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
        with self._lock:
            try:
                newest_s = self._store_waiting()
                if self._gateway_id is not None and (
                    to_the_minute or quarter_start_s(newest_s) > self._rolled_up_s
                ):
                    self._roll_up(self._gateway_id)
                    self._rolled_up_s = max(self._rolled_up_s, quarter_start_s(newest_s))
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
            with translated_errors(), self.engine.begin() as connection:
                gateway_id = self._gateway_id
                for poll in batch:
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
                    newest_s = to_epoch_s(poll.polled_at)
            self._gateway_id = gateway_id
            self.stored += len(batch)
        self.queue.clear()
        return newest_s

    def _roll_up(self, gateway_id: int) -> None:
        now, gap_s = self.clock(), self.settings.normal_gap_s
        with translated_errors():
            bring_up_to_date(self.engine, gateway_id, now=now, gap_s=gap_s)
            bring_inverters_up_to_date(self.engine, gateway_id, now=now)

    def finish(self) -> bool:
        """Store what waits and bring the rollups up to this minute; for a clean stop."""
        return self.flush(to_the_minute=True)

    def _notice(self, poll: Poll) -> None:
        """Log when a gateway stops or starts answering, or changes."""
        for event in poll.events:
            log.warning("%s gateway=%s %s: %s", event.kind, self.name, event.subject, event.detail)
        if poll.outcome is Outcome.FAILED:
            if self._failing_since is None:
                self._failing_since = poll.polled_at
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
            self._failing_since, self._failed_polls = None, 0
