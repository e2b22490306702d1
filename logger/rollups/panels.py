"""panel_daily: each panel against its neighbours, by days that are over.

Made of inverter_daily and inverter_hours alone, so that pruned samples change nothing. A day is over when something of
a later one was reported. What follows from days that change is judged anew.

Walk: inverter_daily, inverter_hours -> panel_site -> here -> panel_daily, events
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from logger.clock import day_start_s, from_epoch_s, local_day
from logger.ledger.panel_day import PanelState
from logger.ledger.panels import Verdict
from logger.rollups import checkpoints
from logger.rollups.checkpoints import Checkpoint
from logger.rollups.panel_site import PanelSite
from logger.rollups.site import Site
from logger.store.database import insert_all
from logger.store.models import EVENTS, INVERTER_DAILY, INVERTER_HOURS, PANEL_DAILY
from logger.store.panels import LEDGER

#: What becomes of a panel that is an event, when it begins and when it is over.
KINDS = {PanelState.WEAK: "weak_panel", PanelState.DEAD: "dead_panel", PanelState.SILENT: "silent_panel"}
SUBJECT = "panel "
#: So much is judged at a time.
CHUNK = timedelta(days=180)


_hours = INVERTER_HOURS.c
_of_days = (
    (_hours.gateway_id == bindparam("gateway")) & (_hours.day >= bindparam("first")) & (_hours.day <= bindparam("last"))
)
_HOURS = select(INVERTER_HOURS).where(_of_days)
#: Two seeks: one query for both ends would read all days.
_ENDS = select(
    *(
        select(end(INVERTER_DAILY.c.day)).where(INVERTER_DAILY.c.gateway_id == bindparam("gateway")).scalar_subquery()
        for end in (func.min, func.max)
    )
)


def is_of_a_panel() -> ColumnElement[bool]:
    """Return whether an event was decided here."""
    return EVENTS.c.kind.in_(KINDS.values())


def replace_hours(
    connection: Connection,
    site: Site,
    first: date,
    last: date | None,
    rows: Sequence[dict[str, Any]],
    changed_day: date | None,
) -> None:
    """Replace the hours of days; what follows from the first that changed is to be judged anew.

    ``changed_day`` is the first of inverter_daily that did.
    """
    of = {"gateway": site.gateway_id, "first": first, "last": last or date.max}
    before = {(row.day, row.serial): row for row in connection.execute(_HOURS, of)}
    after = {(row["day"], row["serial"]): tuple(row.values()) for row in rows}
    changed = [key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    if changed:
        connection.execute(delete(INVERTER_HOURS).where(_of_days), of)
        insert_all(connection, INVERTER_HOURS, rows)
    if changed_day is not None:
        changed.append(changed_day)
    if changed:
        checkpoints.forget_after(connection, site.gateway_id, LEDGER, day_start_s(min(changed), site.zone))


def advance(connection: Connection, site: Site) -> bool:
    """Judge the next days that are over; return whether more are left."""
    first: date | None
    first, newest = connection.execute(_ENDS, {"gateway": site.gateway_id}).one()
    left_s = checkpoints.last_at_s(connection, site.gateway_id, LEDGER, checkpoints.EVER_S)
    since = first if left_s is None or first is None else max(first, local_day(left_s, site.zone))
    if left_s is not None and since is not None and since >= newest:
        return False  # As nearly always: nothing is to be written.
    _forget(connection, site, since)
    if since is None or since >= newest:
        return False
    until = min(newest, since + CHUNK)
    panels = PanelSite(connection, site, since, until)
    found: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number in range((until - since).days):
        day = since + timedelta(days=number)
        key = {"gateway_id": site.gateway_id}
        at = from_epoch_s(day_start_s(day, site.zone))
        for panel in panels.judge(day.toordinal()):
            found.append({**key, "day": day, "serial": panel.serial, **panel.row})
            for kind, detail in _changes(panel.before, panel.verdict):
                subject = f"{SUBJECT}{panel.serial}"
                events.append({**key, "at": at, "kind": kind, "subject": subject, "detail": detail})
    insert_all(connection, PANEL_DAILY, found)
    insert_all(connection, EVENTS, events)
    checkpoints.save(connection, site, LEDGER, Checkpoint(day_start_s(until, site.zone), {}))
    return bool(until < newest)


def bring_up_to_date(connection: Connection, site: Site) -> None:
    """Judge all days that are over, within the caller's transaction."""
    while advance(connection, site):
        pass


def _forget(connection: Connection, site: Site, since: date | None) -> None:
    """Forget what was decided of the days from one on, or of all."""
    days, events = [PANEL_DAILY.c.gateway_id == site.gateway_id], [EVENTS.c.gateway_id == site.gateway_id]
    if since is not None:
        days.append(PANEL_DAILY.c.day >= since)
        events.append(EVENTS.c.at >= from_epoch_s(day_start_s(since, site.zone)))
    connection.execute(delete(PANEL_DAILY).where(*days))
    connection.execute(delete(EVENTS).where(*events, is_of_a_panel()))


def _changes(before: PanelState | None, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield the kind and the detail of what begins or is over."""
    if before is verdict.state:
        return
    if before in KINDS:
        yield KINDS[before], "is over: it was removed" if verdict.state is PanelState.REMOVED else "is over"
    if verdict.state is PanelState.WEAK and verdict.relative is not None and verdict.latest is not None:
        share = min(verdict.relative, verdict.latest)
        yield KINDS[PanelState.WEAK], f"makes {100 * share:.0f} % of what is usual beside its neighbours"
    elif verdict.state is PanelState.DEAD:
        yield KINDS[PanelState.DEAD], "makes nothing while its neighbours do"
    elif verdict.state is PanelState.SILENT:
        yield KINDS[PanelState.SILENT], "reports nothing, or much less than its neighbours"
