"""The thread that tells people: it looks, lets what is news wait, and hands it over.

It takes nothing from the threads that poll and store but what they show anyway, and a receiver that hangs or is away
keeps nothing waiting but itself. What one does not take is tried again for a day, together with what came meanwhile.

Walk: sources, outbox -> here -> words, delivery
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from logger.clock import Clock, time_zone, utc_now
from logger.collector.beside import Beside
from logger.collector.work import log_once
from logger.errors import LoggerError, SettingsError, StoreError
from logger.gateway.credentials import TokenLeft
from logger.notify import sources, words
from logger.notify.database import Database, Kept
from logger.notify.delivery import DeliveryError, Message, deliver
from logger.notify.outbox import GIVEN_UP, SENT, Notification, Outbox
from logger.notify.sources import Finding, Site
from logger.settings import NotifySettings, Settings, normal_gap_s
from logger.store.models import GATEWAYS

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
#: Panels, months, tokens and disks change slowly.
SLOWLY = timedelta(minutes=15)
#: After so many minutes without success it is tried again; from then on each last of them.
PAUSES_MIN = (1, 2, 4, 8, 15)


class Asked(Protocol):
    """What a poller shows: of which gateway it is, and since when that does not answer."""

    @property
    def name(self) -> str:
        """The gateway's name."""

    @property
    def failing_since(self) -> datetime | None:
        """Since when it does not answer; None while it does."""

    @property
    def failed_at(self) -> datetime | None:
        """When it was last asked in vain."""


Deliver = Callable[[NotifySettings, Message], None]


@dataclass(slots=True)
class _Receiver:
    """What is known of one receiver."""

    settings: NotifySettings
    failed: int = 0  #: how often in a row
    out_since: datetime | None = None  #: of the first of these
    next_at: datetime | None = None  #: not tried before

    def is_resting(self, now: datetime) -> bool:
        """Return whether it is too early to try again; a clock that was set is no reason to wait for longer."""
        longest = timedelta(minutes=PAUSES_MIN[-1])
        return self.next_at is not None and timedelta() < self.next_at - now <= longest


class Notifier(threading.Thread):
    """Looks and tells until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        beside: Beside,
        *,
        asked: Iterable[Asked] = (),
        kept: Iterable[Kept] = (),
        tokens: Callable[[], Sequence[TokenLeft | None]] = list,
        folders: Mapping[str, Path] | None = None,
        page: Callable[[str], Path | None] = lambda _month: None,
        is_idle: Callable[[], bool] = lambda: False,
        send: Deliver | None = None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(name="notify", daemon=True)
        self.settings = settings
        self._beside = beside
        self._database, self._asked, self._kept = database, asked, kept
        self._tokens, self._folders, self._page = tokens, folders or {}, page
        self._send = send or (lambda receiver, message: deliver(receiver.secret, message, self._beside))
        self._is_idle, self._clock = is_idle, clock
        self._receivers = [_Receiver(own) for own in settings.notify]
        self._outbox = Outbox(settings.notify)
        self._sites: dict[str, Site] = {}
        self._slowly_at: datetime | None = None
        self._is_over = threading.Event()

    def run(self) -> None:
        """Look now and then; a bug is logged, and the next look is the retry."""
        guarded = log_once("notifying", "all")
        guarded(self.check)
        while not self._is_over.wait(LOOK_EVERY_S):
            guarded(self.look)
        self._database.close()

    def stop(self) -> None:
        """End soon: what waits is told by the next collector."""
        self._is_over.set()
        self._beside.stop()

    def check(self) -> None:
        """Log which receiver can't be used as it is configured, before there is something to tell."""
        for receiver in self.settings.notify:
            try:
                deliver(receiver.secret, None, self._beside)
            except (SettingsError, DeliveryError) as error:
                if not self._beside.is_stopping():
                    log.error("receiver=%s can't be told anything: %s", receiver.name, error)  # noqa: TRY400 - the sentence is enough

    def look(self) -> None:
        """Look at everything once, and tell what is news; who asks no gateway leaves that to the collectors that do."""
        if self._is_idle():
            return
        now = self._clock()
        self._notice(now)
        self._store()
        for receiver in self._receivers:
            self._tell(receiver, now)
        self._store()

    # -- what there is
    def _notice(self, now: datetime) -> None:
        is_slow = self._slowly_at is None or not timedelta() <= now - self._slowly_at < SLOWLY
        with contextlib.suppress(StoreError), self._database.reading() as connection:
            self._sites = self._known(connection)
            self._outbox.load(connection, self._sites, now)
            found = list(sources.of_panels(connection, self._sites, now)) if is_slow else []
            found += sources.of_events(connection, self._sites, now)
            found += sources.of_month(connection, self._sites, now) if is_slow else []
            found += self._without_database(now, is_slow=is_slow)
            self._outbox.add(found, self._sites, now, connection)
            self._slowly_at = now if is_slow else self._slowly_at
            return
        for gateway in self.settings.gateways:
            self._sites.setdefault(gateway.name, Site(None, time_zone(gateway.time_zone or "UTC")))
        self._outbox.add(list(self._without_database(now, is_slow=True)), self._sites, now, None)

    def _without_database(self, now: datetime, *, is_slow: bool) -> Iterator[Finding]:
        gap_s = normal_gap_s(self.settings.poll_every_s)
        for poller in self._asked:
            zone = self._sites[poller.name].zone
            # Another collector may ask it by now.
            if poller.failed_at is not None and (now - poller.failed_at).total_seconds() <= gap_s:
                yield from sources.of_gateway(poller.name, poller.failing_since, now, gap_s, zone)
        if is_slow and self.settings.gateways:
            for gateway, left in zip(self.settings.gateways, self._tokens(), strict=False):
                yield from sources.of_token(gateway.name, left, now)
            first = self.settings.gateways[0].name
            yield from sources.of_disks(first, self._folders, [keeper.error for keeper in self._kept])

    def _known(self, connection: Connection) -> dict[str, Site]:
        """Return the configured gateways, as the database knows them."""
        wanted = {gateway.name: gateway.time_zone for gateway in self.settings.gateways}
        known = {name: Site(None, time_zone(zone or "UTC")) for name, zone in wanted.items()}
        query = select(GATEWAYS.c.gateway_id, GATEWAYS.c.name, GATEWAYS.c.time_zone).where(GATEWAYS.c.name.in_(wanted))
        for row in connection.execute(query.order_by(GATEWAYS.c.gateway_id)):
            known[row.name] = Site(row.gateway_id, time_zone(row.time_zone or wanted[row.name] or "UTC"))
        return known

    def _store(self) -> None:
        """Write what changed; while the database is away it waits."""
        if self._outbox.is_to_be_stored():
            committed: list[Notification] = []
            with contextlib.suppress(StoreError):
                with self._database.writing() as connection:
                    written = self._outbox.store(connection, self._sites)
                committed = written
            self._outbox.stored(committed)

    # -- who hears of it
    def _tell(self, receiver: _Receiver, now: datetime) -> None:
        settings = receiver.settings
        zone = self._zone(settings)
        if words.is_quiet(now, settings.quiet_hours, zone):
            return
        waiting = self._outbox.waiting(settings.name)
        for own in waiting:
            if now - own.noticed_at > GIVEN_UP + _longest_quiet(settings):
                self._outbox.give_up(own, own.error or "it could not be told within a day")
        waiting = self._outbox.waiting(settings.name)
        if not waiting or receiver.is_resting(now):
            return
        told = words.message(waiting, zone, out_since=receiver.out_since, lost=self._outbox.lost[settings.name])
        for own in waiting:
            own.tries, own.is_changed = own.tries + 1, True
        try:
            self._send(settings, told._replace(file=self._file(waiting)))
        except (DeliveryError, SettingsError) as error:
            self._failed(receiver, waiting, error, now)
            return
        for own in waiting:
            own.outcome, own.error, own.sent_at = SENT, None, self._clock()
        count = f"{len(waiting)} notification{'' if len(waiting) == 1 else 's'}"
        out = f", which took nothing since {receiver.out_since:%Y-%m-%d %H:%M} UTC" if receiver.out_since else ""
        log.info("told receiver=%s%s: %s", settings.name, out, count)
        receiver.failed, receiver.out_since, receiver.next_at = 0, None, None
        self._outbox.lost[settings.name] = 0

    def _failed(self, receiver: _Receiver, waiting: Sequence[Notification], error: LoggerError, now: datetime) -> None:
        if self._beside.is_stopping():
            return
        if not receiver.failed:
            text = "receiver=%s takes no notifications, tried again for a day: %s"
            log.error(text, receiver.settings.name, error)
        receiver.out_since = receiver.out_since or now
        receiver.next_at = now + timedelta(minutes=PAUSES_MIN[min(receiver.failed, len(PAUSES_MIN) - 1)])
        receiver.failed += 1
        for own in waiting:
            own.error = str(error)

    def _file(self, waiting: Sequence[Notification]) -> Path | None:
        """Return the page to send along."""
        months = [own.subject for own in waiting if own.kind == "monthly_page"]
        return self._page(max(months)) if months else None

    def _zone(self, settings: NotifySettings) -> ZoneInfo:
        """Return whose hours a receiver's are: its own, or the first gateway's."""
        if settings.time_zone is None and self.settings.gateways:
            return self._sites[self.settings.gateways[0].name].zone
        return time_zone(settings.time_zone or "UTC")


def _longest_quiet(settings: NotifySettings) -> timedelta:
    """Return how long quiet hours last."""
    if settings.quiet_hours is None:
        return timedelta()
    since, until = (timedelta(hours=at.hour, minutes=at.minute) for at in settings.quiet_hours)
    return (until - since) % timedelta(days=1)
