"""Judge the days that were rolled up: what cannot be is an event at the day's beginning.

Such an event follows from the rows of its day alone. It is decided anew each time they are written, by whatever ledger,
so that it is the same live as rebuilt.

Walk: write -> here -> impossible
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day
from logger.rollups.impossible import KINDS, SUBJECT, Day, Quarter, Unit, findings
from logger.rollups.site import Site
from logger.store.database import insert_all, rows
from logger.store.models import ENERGY_15MIN, EVENTS, INVERTER_DAILY, ROLLUP_CHECKPOINTS, epoch

#: What migration 0006 leaves of gateways whose days were rolled up before they were judged.
UNJUDGED = "unjudged"
ONE_DAY = timedelta(days=1)
#: By so much more than a day it is looked at, s.
AROUND_S = 43_200
_QUARTER = [ENERGY_15MIN.c[name] if name != "starts_s" else epoch(ENERGY_15MIN.c.starts_at) for name in Quarter._fields]


def is_of_a_day() -> ColumnElement[bool]:
    """Return whether an event was decided here."""
    return EVENTS.c.kind.in_(KINDS) & EVENTS.c.subject.startswith(SUBJECT, autoescape=True)


def judge(connection: Connection, site: Site, first: date | None, last: date | None) -> None:
    """Decide anew what cannot be of the local days ``first`` to ``last``, or of all before or after."""
    mine = EVENTS.c.gateway_id == site.gateway_id
    within: list[ColumnElement[bool]] = []
    # What was measured next to a day is looked at too, so it is judged again with its neighbours.
    first, last = first and first - ONE_DAY, last and last + ONE_DAY
    if first is not None and _take_unjudged(connection, site):
        first = None
    if first is not None:
        within.append(EVENTS.c.at >= from_epoch_s(day_start_s(first, site.zone)))
    if last is not None:
        within.append(EVENTS.c.at < from_epoch_s(day_end_s(last, site.zone)))
    connection.execute(delete(EVENTS).where(mine, is_of_a_day(), *within))
    units, stalls = _units(connection, site, first, last), _stalls(connection, site, first, last)
    found = []
    before: list[Quarter] = []
    days = _quarters(connection, site, first and first - ONE_DAY, last and last + ONE_DAY)
    following = next(days, None)
    while following is not None:
        (day, quarters), following = following, next(days, None)
        start_s, end_s = day_start_s(day, site.zone), day_end_s(day, site.zone)
        if (first is None or day >= first) and (last is None or day <= last):
            around = [quarter for quarter in before if quarter.starts_s >= start_s - AROUND_S]
            around += [
                quarter for quarter in (following[1] if following else []) if quarter.starts_s < end_s + AROUND_S
            ]
            judged = findings(Day(quarters, around, units[day], end_s, day in stalls))
            found += [{"gateway_id": site.gateway_id, "at": from_epoch_s(start_s), **own._asdict()} for own in judged]
        before = quarters
    insert_all(connection, EVENTS, found)


def _take_unjudged(connection: Connection, site: Site) -> bool:
    """Return whether no day of a gateway was judged yet; from then on it was."""
    columns = ROLLUP_CHECKPOINTS.c
    mine = (columns.gateway_id == site.gateway_id) & (columns.ledger == UNJUDGED)
    if connection.execute(select(columns.at).where(mine)).first() is None:
        return False
    connection.execute(delete(ROLLUP_CHECKPOINTS).where(mine))
    return True


def _quarters(
    connection: Connection, site: Site, first: date | None, last: date | None
) -> Iterator[tuple[date, list[Quarter]]]:
    """Yield the quarter hours of the total, day by day."""
    start = ENERGY_15MIN.c.starts_at
    query = select(*_QUARTER).where(ENERGY_15MIN.c.gateway_id == site.gateway_id, ENERGY_15MIN.c.phase == "total")
    if first is not None:
        query = query.where(start >= from_epoch_s(day_start_s(first, site.zone)))
    if last is not None:
        query = query.where(start < from_epoch_s(day_end_s(last, site.zone)))
    day, end_s = date.min, -1
    quarters: list[Quarter] = []
    for quarter in map(Quarter._make, rows(connection, query.order_by(start))):
        if quarter.starts_s >= end_s:
            if quarters:
                yield day, quarters
            day, quarters = local_day(quarter.starts_s, site.zone), []
            end_s = day_end_s(day, site.zone)
        quarters.append(quarter)
    if quarters:
        yield day, quarters


def _units(connection: Connection, site: Site, first: date | None, last: date | None) -> defaultdict[date, list[Unit]]:
    """Return what was counted of each inverter, by day."""
    columns = INVERTER_DAILY.c
    query = select(columns.day, columns.energy_wh, columns.covered_s).where(columns.gateway_id == site.gateway_id)
    if first is not None:
        query = query.where(columns.day >= first)
    if last is not None:
        query = query.where(columns.day <= last)
    units: defaultdict[date, list[Unit]] = defaultdict(list)
    for day, *unit in connection.execute(query.order_by(columns.day, columns.serial)):
        units[day].append(Unit(*unit))
    return units


def _stalls(connection: Connection, site: Site, first: date | None, last: date | None) -> set[date]:
    """Return the days on which a counter of the total stood still."""
    query: Any = select(epoch(EVENTS.c.at)).where(
        EVENTS.c.gateway_id == site.gateway_id,
        EVENTS.c.kind == "stalled_counter",
        EVENTS.c.subject.endswith(" total", autoescape=True),
    )
    if first is not None:
        query = query.where(EVENTS.c.at >= from_epoch_s(day_start_s(first, site.zone)))
    if last is not None:
        query = query.where(EVENTS.c.at < from_epoch_s(day_end_s(last, site.zone)))
    return {local_day(at_s, site.zone) for at_s in connection.execute(query).scalars()}
