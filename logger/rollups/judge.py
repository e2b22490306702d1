"""Judge the days that were rolled up: what cannot be is an event at the day's beginning.

Such an event follows from the rows of its day alone. It is decided anew each time they are written, by whatever ledger,
so that it is the same live as rebuilt.

Walk: write -> here -> impossible
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day
from logger.rollups.checkpoints import EVER_S
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


# Each is run with each rollup: to make a statement anew takes as long as to run it.
_start, _at, _days, _left = ENERGY_15MIN.c.starts_at, EVENTS.c.at, INVERTER_DAILY.c, ROLLUP_CHECKPOINTS.c
_gateway: Any = bindparam("gateway")
_since, _end = bindparam("since", type_=_at.type), bindparam("end", type_=_at.type)
_of_time = (EVENTS.c.gateway_id == _gateway) & (_at >= _since) & (_at < _end)
_DELETE = delete(EVENTS).where(_of_time, is_of_a_day())
_STALLS: Any = select(epoch(_at)).where(
    _of_time, EVENTS.c.kind == "stalled_counter", EVENTS.c.subject.endswith(" total", autoescape=True)
)
_QUARTERS = (
    select(*_QUARTER)
    .where(ENERGY_15MIN.c.gateway_id == _gateway, ENERGY_15MIN.c.phase == "total", _start >= _since, _start < _end)
    .order_by(_start)
)
_UNITS = (
    select(_days.day, _days.energy_wh, _days.covered_s)
    .where(_days.gateway_id == _gateway, _days.day >= bindparam("first"), _days.day <= bindparam("last"))
    .order_by(_days.day, _days.serial)
)
_is_unjudged = (_left.gateway_id == _gateway) & (_left.ledger == UNJUDGED)
_UNJUDGED = select(_left.at).where(_is_unjudged)


def judge(connection: Connection, site: Site, first: date | None, last: date | None) -> None:
    """Decide anew what cannot be of the local days ``first`` to ``last``, or of all before or after."""
    # What was measured next to a day is looked at too, so it is judged again with its neighbours.
    first, last = first and first - ONE_DAY, last and last + ONE_DAY
    if first is not None and _take_unjudged(connection, site):
        first = None
    connection.execute(_DELETE, _instants(site, first, last))
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
    if connection.execute(_UNJUDGED, {"gateway": site.gateway_id}).first() is None:
        return False
    connection.execute(delete(ROLLUP_CHECKPOINTS).where(_is_unjudged), {"gateway": site.gateway_id})
    return True


def _instants(site: Site, first: date | None, last: date | None) -> dict[str, Any]:
    """Return from when on and up to before when to look, for whole days or for ever."""
    return {
        "gateway": site.gateway_id,
        "since": from_epoch_s(0 if first is None else day_start_s(first, site.zone)),
        "end": from_epoch_s(EVER_S if last is None else day_end_s(last, site.zone)),
    }


def _quarters(
    connection: Connection, site: Site, first: date | None, last: date | None
) -> Iterator[tuple[date, list[Quarter]]]:
    """Yield the quarter hours of the total, day by day."""
    day, end_s = date.min, -1
    quarters: list[Quarter] = []
    found = rows(connection, _QUARTERS, _instants(site, first, last), few=first is not None)
    for quarter in map(Quarter._make, found):
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
    of = {"gateway": site.gateway_id, "first": first or date.min, "last": last or date.max}
    units: defaultdict[date, list[Unit]] = defaultdict(list)
    for day, *unit in connection.execute(_UNITS, of):
        units[day].append(Unit(*unit))
    return units


def _stalls(connection: Connection, site: Site, first: date | None, last: date | None) -> set[date]:
    """Return the days on which a counter of the total stood still."""
    found = connection.execute(_STALLS, _instants(site, first, last))
    return {local_day(at_s, site.zone) for at_s in found.scalars()}
