"""What there is to tell: of the gateways as they answer, of tokens and disks, and of what the database holds.

What a database that is away can't tell is told when it is back: events stay there.

Walk: store.models.EVENTS, collector.poller, gateway.credentials -> here -> outbox
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, text

from logger.clock import day_start_s, from_epoch_s, local_day, to_epoch_s
from logger.errors import LoggerError
from logger.gateway.credentials import TokenLeft
from logger.reports.columns import SUSPECT
from logger.status import token_sentence
from logger.store.database import FULL
from logger.store.models import EVENTS, PANELS

#: Events of so many days are still news.
LATELY = timedelta(days=3)
#: A panel that is ill since longer is no news.
PANELS_SINCE = timedelta(days=400)
#: events of panels -> the kind of notification; a panel that says nothing makes nothing, as far as its owner sees
PANEL_KINDS = {"dead_panel": "dead_panel", "silent_panel": "dead_panel", "weak_panel": "weak_panel"}
#: how a panel's event that ends another begins
IS_OVER = "is over"
DAILY = timedelta(days=1)
#: In the last days of a token it is told each day.
LAST_DAYS = timedelta(days=3)
#: A doubt that goes on day by day is told again after so long.
DOUBTS_AGAIN = timedelta(days=7)
#: With less room than this, or than this share of a small disk, a disk is about to be full.
LITTLE_ROOM_BYTES, LITTLE_ROOM_SHARE = 100e6, 0.02
#: The page of a month is sent on one of the first days of the next, once the day has begun for people.
PAGE_DAYS, PAGE_HOUR = 7, 6
#: of what began nobody knows when: it is told again by the time that passed alone
LONG_AGO = from_epoch_s(0)


class Site(NamedTuple):
    """A gateway as the database knows it."""

    gateway_id: int | None  #: None: never seen, or not known now
    zone: ZoneInfo


class Finding(NamedTuple):
    """Something that goes on, and that somebody may want to know."""

    gateway: str
    kind: str
    subject: str
    detail: str  #: to be read behind the gateway's name, with what to do
    since: datetime
    again: timedelta | None = None  #: told again after so long, while it lasts
    rest: timedelta = timedelta(0)  #: not told again before so long, even if it begins anew


def of_gateway(
    name: str, failing_since: datetime | None, now: datetime, gap_s: int, zone: ZoneInfo
) -> Iterator[Finding]:
    """Yield that a gateway has not answered for longer than a hole in what is measured."""
    if failing_since is not None and (now - failing_since).total_seconds() > gap_s:
        detail = f"has not answered since {local(failing_since, zone)}; look at: envoylog doctor"
        yield Finding(name, "gateway_silent", "gateway", detail, failing_since, again=DAILY)


def of_token(name: str, left: TokenLeft | None, now: datetime) -> Iterator[Finding]:
    """Yield that a gateway's token ends soon: once, and each day in the end."""
    if left is not None and left.is_short(now):
        rest = left.expires_at - now
        detail = token_sentence(name, int(rest.total_seconds()), renews=left.renews)
        again = DAILY if rest < LAST_DAYS else None
        yield Finding(name, "token_expires", "token", detail, left.expires_at - left.late, again=again)


def of_disks(name: str, folders: Mapping[str, Path], errors: Sequence[LoggerError | None]) -> Iterator[Finding]:
    """Yield that the disk of a folder, or of the database's server, has no more room."""
    for what, folder in folders.items():
        with contextlib.suppress(OSError):  # It may not be made yet.
            room = shutil.disk_usage(folder)
            if room.free < min(LITTLE_ROOM_BYTES, LITTLE_ROOM_SHARE * room.total):
                left = f"has {room.free / 1e6:.0f} MB left"
                detail = f"the disk of {folder} ({what}) {left}; make room, or what is measured is lost"
                yield Finding(name, "disk_full", what, detail, LONG_AGO, again=DAILY)
                return
    if any(error is not None and str(error) == FULL.sentence for error in errors):
        yield Finding(name, "disk_full", "database", FULL.sentence.rstrip("."), LONG_AGO, again=DAILY)


def of_events(connection: Connection, sites: Mapping[str, Site], now: datetime) -> Iterator[Finding]:
    """Yield what events of the last days tell, the newest first; of a panel only the newest."""
    columns, names = EVENTS.c, _names(sites)
    query = select(EVENTS).where(
        columns.gateway_id.in_(names),
        columns.at >= now - LATELY,
        columns.at <= now + DAILY,
        columns.kind.in_(("certificate_change", "grid_lost", *SUSPECT, *PANEL_KINDS)),
    )
    events = connection.execute(query.order_by(columns.at.desc())).all()
    for event in _newest(event for event in events if event.kind in PANEL_KINDS):
        yield _of_panel(connection, names[event.gateway_id], event, sites[names[event.gateway_id]].zone)
    for event in events:
        name, said = names[event.gateway_id], (event.detail or event.kind).rstrip(".")
        if event.kind in SUSPECT:
            day = local_day(to_epoch_s(event.at), sites[name].zone)
            detail = f"{said}; see: envoylog report quality --from {day}"
            subject = f"{event.kind} {event.subject}".strip()
            yield Finding(name, "suspect", subject, detail, event.at, rest=DOUBTS_AGAIN)
        elif event.kind not in PANEL_KINDS:
            to_do = f"; see: envoylog trust show {name}" if event.kind == "certificate_change" else ""
            yield Finding(name, event.kind, event.subject, f"{said}{to_do}", event.at)


def of_panels(connection: Connection, sites: Mapping[str, Site], now: datetime) -> Iterator[Finding]:
    """Yield which panels are ill, however long ago that began."""
    columns, names = EVENTS.c, _names(sites)
    query = select(EVENTS).where(
        columns.gateway_id.in_(names), columns.at >= now - PANELS_SINCE, columns.kind.in_(PANEL_KINDS)
    )
    for event in _newest(connection.execute(query)):
        if not _is_over(event):
            yield _of_panel(connection, names[event.gateway_id], event, sites[names[event.gateway_id]].zone)


def _newest(events: Iterable[Any]) -> Iterable[Any]:
    """Return the newest event of each panel; of two at one instant, of which one ends what the other follows, that."""
    found: dict[tuple[int, str], Any] = {}
    for event in sorted(events, key=lambda own: (own.at, not _is_over(own))):
        found[event.gateway_id, event.subject] = event
    return found.values()


def _is_over(event: Any) -> bool:
    return bool((event.detail or "").startswith(IS_OVER))


def _names(sites: Mapping[str, Site]) -> dict[int, str]:
    return {site.gateway_id: name for name, site in sites.items() if site.gateway_id is not None}


def _of_panel(connection: Connection, name: str, event: Any, zone: ZoneInfo) -> Finding:
    serial = event.subject.rpartition(" ")[2]
    query = select(PANELS.c.name).where(PANELS.c.gateway_id == event.gateway_id, PANELS.c.serial == serial)
    called = connection.execute(query).scalar_one_or_none()
    panel, day = f"{called} ({serial})" if called else serial, local_day(to_epoch_s(event.at), zone)
    if _is_over(event):
        was = event.kind.partition("_")[0]
        why = event.detail.removeprefix(IS_OVER).removeprefix(": ")
        detail = f"panel {panel} is no longer {was} since {day}{f': {why}' if why else ''}"
    else:
        detail = f"panel {panel} {event.detail}, since {day}; look at: envoylog panels"
    return Finding(name, PANEL_KINDS[event.kind], event.subject, detail, event.at)


def of_month(connection: Connection, sites: Mapping[str, Site], now: datetime) -> Iterator[Finding]:
    """Yield that a month is over, with its figures."""
    for name, site in sites.items():
        today = local_day(to_epoch_s(now), site.zone)
        begin = from_epoch_s(day_start_s(today.replace(day=1), site.zone))
        if today.day > PAGE_DAYS or now.astimezone(site.zone).hour < PAGE_HOUR:
            continue
        month = f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"
        query = text(
            "SELECT production_kwh, consumption_kwh, grid_import_kwh, grid_export_kwh, coverage_pct "
            "FROM v_energy_monthly WHERE gateway = :name AND month = :month"
        )
        found = connection.execute(query, {"name": name, "month": month}).one_or_none()
        if found is not None:
            yield Finding(name, "monthly_page", month, _in_words(month, found), begin)


def _in_words(month: str, row: Any) -> str:
    """Return a month's figures as a sentence; what is not known is left out."""
    words = {"produced": row.production_kwh, "used": row.consumption_kwh}
    words |= {"from the grid": row.grid_import_kwh, "to the grid": row.grid_export_kwh}
    parts = [f"{kwh:.0f} kWh {what}" for what, kwh in words.items() if kwh is not None]
    covered = f" ({row.coverage_pct:.0f} % of it was measured)" if row.coverage_pct is not None else ""
    return f"in {date.fromisoformat(f'{month}-01'):%B %Y}: {', '.join(parts) or 'nothing is known'}{covered}"


def local(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as people of a zone write it."""
    return f"{at.astimezone(zone):%A %Y-%m-%d, %H:%M}"
