"""Which inverters are not fine, by what they did on the last days.

Walk: inverter_daily, inverters, events -> here -> overview
"""

import statistics
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, select

from logger.clock import day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.reports.energy import Site
from logger.store.models import EVENTS, INVERTER_DAILY, INVERTERS

#: An inverter that reported nothing for longer is no more expected to.
EXPECTED = timedelta(days=365)
#: of how many days it is looked at what inverters did
LOOKED_AT = timedelta(days=30)
#: An inverter is not fine when it has not been on so many days in a row.
ENOUGH_DAYS = 2
#: An inverter that makes nothing is dead on days on which half of the others made more than this.
BRIGHT_WH = 500
_units = INVERTER_DAILY.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """An inverter that is not fine."""

    serial: str
    state: str  #: silent: it reports nothing; dead: it makes nothing while others do; removed: it left the list
    since: date  #: the first such day


def panels_of(connection: Connection, site: Site, today: date) -> tuple[int, list[Panel]]:
    """Return how many inverters are expected to report, and those that have not been fine for two days."""
    zone = time_zone(site.zone)
    mine, since = _units.gateway_id.in_(site.gateway_ids), today - LOOKED_AT
    query = select(_units.day, _units.serial, _units.energy_wh, _units.covered_s)
    days: dict[date, dict[str, float | None]] = {}
    for day, serial, energy_wh, covered_s in connection.execute(query.where(mine, _units.day.between(since, today))):
        if covered_s and day < today:
            days.setdefault(day, {})[serial] = energy_wh
    units, expected_at = INVERTERS.c, from_epoch_s(day_start_s(today - EXPECTED, zone))
    listed = select(units.serial, units.last_seen_at).where(
        units.gateway_id.in_(site.gateway_ids), units.last_seen_at >= expected_at
    )
    last_days = {serial: local_day(to_epoch_s(at), zone) for serial, at in connection.execute(listed)}
    gone = _removed(connection, site, today)
    serials = sorted((last_days.keys() | {serial for units in days.values() for serial in units}) - gone.keys())
    judged = [_judged(serial, days, last_days.get(serial)) for serial in serials]
    removed = [
        Panel(serial=serial, state="removed", since=day) for serial, day in gone.items() if day >= today - LOOKED_AT
    ]
    return len(serials), [*(panel for panel in judged if panel is not None), *removed]


def _removed(connection: Connection, site: Site, today: date) -> dict[str, date]:
    """Return the inverters that left the gateway's list and did not come back, and when."""
    events, zone = EVENTS.c, time_zone(site.zone)
    changes = select(events.at, events.kind, events.subject).where(
        events.gateway_id.in_(site.gateway_ids),
        events.kind.in_(("inverter_removed", "inverter_appeared")),
        events.at >= from_epoch_s(day_start_s(today - EXPECTED, zone)),
    )
    newest = {serial: (kind, at) for at, kind, serial in connection.execute(changes.order_by(events.at))}
    return {
        serial: local_day(to_epoch_s(at), zone) for serial, (kind, at) in newest.items() if kind == "inverter_removed"
    }


def _judged(serial: str, days: dict[date, dict[str, float | None]], last_day: date | None) -> Panel | None:
    """Return what is wrong with an inverter on each of its last days, two of them at least; None where it is fine.

    Only days count on which most inverters reported, and for a dead one those on which they made something.
    """
    state, since, length = None, date.min, 0
    for day in sorted(days, reverse=True):
        others = [energy_wh or 0.0 for other, energy_wh in days[day].items() if other != serial]
        if not others:
            continue
        found = _state(serial, days[day], statistics.median(others))
        if found == "dark":
            continue
        if found is None or state not in {None, found}:
            break
        state, since, length = found, day, length + 1
    if state is None or length < ENOUGH_DAYS:
        return None
    if state == "silent" and last_day is not None:
        since = min(since, last_day + timedelta(days=1))
    return Panel(serial=serial, state=state, since=since)


def _state(serial: str, units: dict[str, float | None], median_wh: float) -> str | None:
    if serial not in units:
        return "silent"
    if median_wh <= BRIGHT_WH:
        return "dark"
    return None if (units[serial] or 0.0) > 0 else "dead"
