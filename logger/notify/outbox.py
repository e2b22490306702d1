"""What waits for receivers, and what was told: in memory, and in the table ``notifications``.

At most one notification per day, kind and subject goes to a receiver: the table's key says so, also where two
collectors share a database. While the database is away memory alone knows; it is written when the database is back.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, func, select, update

from logger.clock import local_day, to_epoch_s
from logger.notify.sources import Finding, Site
from logger.settings import NotifySettings
from logger.store.models import NOTIFICATIONS
from logger.store.rows import insert_new

#: Waiting for longer is given up, quiet hours not counted.
GIVEN_UP = timedelta(days=1)
#: No more than this wait; the oldest make room.
MOST = 500
#: So many answers of the database are remembered.
MOST_KNOWN = 5_000
WAITING, SENT, LOST = "waiting", "sent", "given up"
TABLE: Table = NOTIFICATIONS
_columns = TABLE.c


@dataclass(slots=True)
class Notification:
    """One finding for one receiver."""

    receiver: str
    gateway: str
    gateway_id: int | None  #: None: kept in memory alone until the gateway is known
    day: date
    kind: str
    subject: str
    noticed_at: datetime
    detail: str
    outcome: str = WAITING
    tries: int = 0
    error: str | None = None
    sent_at: datetime | None = None
    is_stored: bool = False  #: the table has its row
    is_changed: bool = True  #: since then


class Outbox:
    """The notifications of this process; used by one thread."""

    def __init__(self, receivers: Sequence[NotifySettings]) -> None:
        self.receivers = receivers
        #: of each receiver, since it took something: what had no room, or waited for too long
        self.lost: Counter[str] = Counter()
        self._all: list[Notification] = []
        self._told: dict[tuple[str, str, str, str], datetime | None] = {}
        self._is_loaded = False

    def waiting(self, receiver: str) -> list[Notification]:
        """Return what waits for a receiver, in the order in which it was noticed."""
        return [own for own in self._all if own.receiver == receiver and own.outcome == WAITING]

    def load(self, connection: Connection, sites: dict[str, Site], now: datetime) -> None:
        """Go on with what an earlier process left waiting."""
        if self._is_loaded:
            return
        names = {site.gateway_id: name for name, site in sites.items() if site.gateway_id is not None}
        receivers = {receiver.name for receiver in self.receivers}
        query = select(TABLE).where(
            _columns.gateway_id.in_(names), _columns.outcome == WAITING, _columns.noticed_at >= now - 2 * GIVEN_UP
        )
        here = {self._key(own) for own in self._all}
        for row in connection.execute(query.order_by(_columns.noticed_at)):
            if row.receiver in receivers and (row.receiver, names[row.gateway_id], row.kind, row.subject) not in here:
                values = {column.name: getattr(row, column.name) for column in _columns}
                name = names[row.gateway_id]
                self._all.append(Notification(**values, gateway=name, is_stored=True, is_changed=False))
        self._is_loaded = True

    def add(
        self, findings: Sequence[Finding], sites: dict[str, Site], now: datetime, connection: Connection | None
    ) -> None:
        """Let what is news wait for each receiver that wants it."""
        for finding in findings:
            site = sites[finding.gateway]
            for receiver in self.receivers:
                if finding.kind not in receiver.when:
                    continue
                key = receiver.name, finding.gateway, finding.kind, finding.subject
                if not is_news(finding, self._last(key, site, connection), now, site.zone):
                    continue
                self._told[key] = now
                self._all.append(
                    Notification(
                        receiver=receiver.name,
                        gateway=finding.gateway,
                        gateway_id=site.gateway_id,
                        day=local_day(to_epoch_s(now), site.zone),
                        kind=finding.kind,
                        subject=finding.subject,
                        noticed_at=now,
                        detail=finding.detail,
                    )
                )
        for oldest in [own for own in self._all if own.outcome == WAITING][:-MOST]:
            self.give_up(oldest, "too many waited")

    def _last(self, key: tuple[str, str, str, str], site: Site, connection: Connection | None) -> datetime | None:
        """Return when something was last told to a receiver; None where it never was, or where that is not known."""
        if key not in self._told:
            if connection is None or site.gateway_id is None:
                return None
            receiver, _, kind, subject = key
            query = select(func.max(_columns.noticed_at)).where(
                _columns.gateway_id == site.gateway_id, _columns.receiver == receiver,
                _columns.kind == kind, _columns.subject == subject,
            )  # fmt: skip
            if len(self._told) >= MOST_KNOWN:
                self._told.clear()
            self._told[key] = connection.execute(query).scalar_one()
        return self._told[key]

    def give_up(self, notification: Notification, why: str) -> None:
        """Let a notification wait no longer."""
        notification.outcome, notification.error, notification.is_changed = LOST, why, True
        self.lost[notification.receiver] += 1

    def is_to_be_stored(self) -> bool:
        """Return whether the table lags behind."""
        return any(own.is_changed for own in self._all)

    def store(self, connection: Connection, sites: dict[str, Site]) -> list[Notification]:
        """Write what has changed; return what is to be forgotten with ``stored`` once that is committed."""
        written: list[Notification] = []
        for own in self._all:
            own.gateway_id = own.gateway_id or sites[own.gateway].gateway_id
            if not own.is_changed or own.gateway_id is None:
                continue
            row: dict[str, Any] = {column.name: getattr(own, column.name) for column in _columns}
            if own.is_stored:
                mine = [column == row.pop(column.name) for column in TABLE.primary_key]
                connection.execute(update(TABLE).where(*mine).values(row))
            elif not insert_new(connection, TABLE, row) and own.outcome == WAITING:
                own.outcome = SENT  # Another collector has told it, or will.
            written.append(own)
        return written

    def stored(self, written: Sequence[Notification]) -> None:
        """Note that a change is committed; what is over and stored is forgotten."""
        for own in written:
            own.is_stored, own.is_changed = True, False
        kept = [own for own in self._all if own.outcome == WAITING or own.is_changed]
        # What no database has taken yet, for one that never does.
        too_many = {id(own) for own in [own for own in kept if own.outcome != WAITING][:-MOST]}
        self._all = [own for own in kept if id(own) not in too_many]

    @staticmethod
    def _key(own: Notification) -> tuple[str, str, str, str]:
        return own.receiver, own.gateway, own.kind, own.subject


def is_news(finding: Finding, last: datetime | None, now: datetime, zone: ZoneInfo) -> bool:
    """Return whether a finding is to be told that was last told at ``last``.

    Never twice on one local day. Later it is told again if it began anew after that day, or lasts and is to be told
    again.
    """
    if last is None:
        return True
    day, began, told = (local_day(to_epoch_s(at), zone) for at in (now, finding.since, last))
    if day <= told or now - last < finding.rest:
        return False
    if finding.since > last and began > told:
        return True
    return finding.again is not None and now - last >= finding.again
