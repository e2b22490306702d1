"""What batteries took and gave: a row per day or month of the sites that have any.

A month is the total of its days, as it would be below them. What a period is, and how sure, is that of its energy.

Walk: v_battery_daily, v_outages -> here -> exports
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Select, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.errors import NoDataError
from logger.reports import Report
from logger.reports.columns import BATTERY, STATUS, sum_known
from logger.reports.energy import Site, as_date, energy_report, sites_of, view_rows
from logger.reports.periods import next_period, period_of
from logger.store.models import BATTERIES, ENERGY_DAILY, STORAGE_SAMPLES

Kind = Literal["daily", "monthly"]
#: what the columns' totals weigh by, of each row
WEIGHTS = ("throughput_kwh", "estimated_kwh", "drawn_kwh", "known_charge_kwh", "known_discharge_kwh", "capacity_kwh")
#: of batteries, whose level counts where a site has both
KINDS = ("encharge", "acb")
_VIEW = ("charge_kwh", "discharge_kwh", "estimated_pct", "min_soc_pct", "max_soc_pct", "cycles", "efficiency_pct")
#: name of a column or weight -> value
_Values = dict[str, float | None]


def battery_report(connection: Connection, kind: Kind = "daily", *, gateway: str | None = None, **dates: Any) -> Report:
    """Return what batteries took and gave in each day or month; None where unknown.

    ``dates`` is what ``energy_report`` takes.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range, or no batteries.
    """
    sites = {site.name: site for site in sites_of(connection, gateway) if _has_batteries(connection, site)}
    if not sites:
        raise NoDataError("There is no battery in the database: nothing was charged or discharged.")
    energy = energy_report(connection, kind, gateway=gateway, **dates)
    periods: defaultdict[str, dict[Any, str]] = defaultdict(dict)
    for name, label, status in zip(*(energy.column(own) for own in (*energy.labels, STATUS)), strict=True):
        if name in sites:
            periods[name][label] = status
    rows: list[tuple[Any, ...]] = []
    weights: dict[str, list[float | None]] = {name: [] for name in WEIGHTS}
    for name, labels in periods.items():
        ends = [date.fromisoformat(str(label)[:7] + "-01" if kind == "monthly" else str(label)) for label in labels]
        days = _days(connection, sites[name], min(ends), next_period(kind, period_of(kind, max(ends))))
        for label, status in labels.items():
            chosen = [days[label]] if label in days else []
            if kind == "monthly":
                chosen = [own for day, own in days.items() if str(day).startswith(label)]
            values = _total(chosen, kind)
            rows.append((name, label, *(values[column.name] for column in BATTERY), status))
            for weight, column in weights.items():
                column.append(values[weight])
    return Report("battery", energy.labels, BATTERY, [STATUS], rows, weights)


def has_batteries(connection: Connection, gateway: str | None) -> bool:
    """Return whether there is anything to report of batteries."""
    return any(_has_batteries(connection, site) for site in sites_of(connection, gateway))


def _has_batteries(connection: Connection, site: Site) -> bool:
    of = ENERGY_DAILY.c
    mine = of.gateway_id.in_(site.gateway_ids), of.phase == "total"
    known = of.battery_charge_wh.is_not(None) | of.battery_discharge_wh.is_not(None)
    return connection.execute(select(of.day).where(*mine, known).limit(1)).first() is not None


def _days(connection: Connection, site: Site, since: date, until: date) -> dict[date, _Values]:
    """Return the columns and weights of each day from one to before another."""
    batteries = connection.execute(select(BATTERIES).where(BATTERIES.c.gateway_id.in_(site.gateway_ids))).all()
    outages: defaultdict[str, list[float | None]] = defaultdict(list)
    # The view has local times: those of a day next to the range may lie in it.
    around = since - timedelta(days=1), until + timedelta(days=1)
    for starts_at, minutes in view_rows(connection, "v_outages", "starts_at, minutes", site, *around, key="starts_at"):
        outages[str(starts_at)[:10]].append(minutes)
    zone = time_zone(site.zone)
    # What no battery is of would be looked for in all that there is.
    of = {battery.kind for battery in batteries}
    kinds = [kind for kind in KINDS if kind in of or not of]
    days: dict[date, _Values] = {}
    levels = _Levels(connection)
    for text, *values in view_rows(connection, "v_battery_daily", ", ".join(("day", *_VIEW)), site, since, until):
        day = as_date(text)
        start_s, end_s = day_start_s(day, zone), day_end_s(day, zone)
        own: _Values = dict(zip(_VIEW, values, strict=True))
        charge_kwh, discharge_kwh, estimated_pct = values[:3]
        drawn_kwh = _drawn_kwh(levels, site, kinds, start_s, end_s)
        lost = outages[str(day)]
        throughput_kwh = (charge_kwh or 0.0) + (discharge_kwh or 0.0)
        days[day] = own | {
            "outages": len(lost),
            "outage_minutes": sum_known(lost) if lost else 0.0,
            "throughput_kwh": throughput_kwh if estimated_pct is not None else None,
            "estimated_kwh": None if estimated_pct is None else estimated_pct * throughput_kwh / 100,
            "drawn_kwh": drawn_kwh,
            "known_charge_kwh": None if drawn_kwh is None else charge_kwh,
            "known_discharge_kwh": None if drawn_kwh is None else discharge_kwh,
            "capacity_kwh": _capacity_kwh(batteries, start_s, end_s),
        }
    return days


def _total(days: Sequence[_Values], kind: Kind) -> _Values:
    """Return the values of a period, given those of its days."""
    names = [*(column.name for column in BATTERY), *WEIGHTS]
    if not days:
        return dict.fromkeys(names)
    if kind == "daily":
        return days[0]

    def cells(name: str) -> list[float | None]:
        return [day[name] for day in days]

    totals = {column.name: column.total_of(cells) for column in BATTERY}
    totals["outages"] = int(totals["outages"] or 0)
    known = {name: [value for value in cells(name) if value is not None] for name in WEIGHTS}
    sums: _Values = {name: sum(values) if values else None for name, values in known.items()}
    return totals | sums | {"capacity_kwh": max(known["capacity_kwh"], default=None)}


class _Levels:
    """What batteries said last, up to one instant after another: each look goes back no further than the one before.

    A server plans with all months of samples for a look that goes back for ever.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[int, str], tuple[int, float | None]] = {}

    def last_wh(self, gateway_id: int, kind: str, at_s: int) -> float | None:
        """Return what was stored as last known at an instant."""
        before_s, level_wh = self._known.get((gateway_id, kind), (None, None))
        if before_s != at_s:
            levels = _levels(gateway_id, kind, at_s).order_by(STORAGE_SAMPLES.c.polled_at.desc())
            if before_s is None or before_s > at_s:
                level_wh = self._connection.execute(levels).scalar()
            else:
                later = levels.where(STORAGE_SAMPLES.c.polled_at > from_epoch_s(before_s))
                found_wh = self._connection.execute(later).scalar()
                level_wh = level_wh if found_wh is None else found_wh
            self._known[gateway_id, kind] = at_s, level_wh
        return level_wh

    def first_wh(self, gateway_id: int, kind: str, at_s: int) -> float:
        """Return the first of all up to an instant; there is one."""
        levels = _levels(gateway_id, kind, at_s).order_by(STORAGE_SAMPLES.c.polled_at)
        return float(self._connection.execute(levels).scalar_one())


def _levels(gateway_id: int, kind: str, at_s: int) -> Select[Any]:
    columns = STORAGE_SAMPLES.c
    mine = (columns.gateway_id == gateway_id) & (columns.kind == kind) & columns.energy_wh.is_not(None)
    return select(columns.energy_wh).where(mine, columns.polled_at <= from_epoch_s(at_s)).limit(1)


def _drawn_kwh(levels: _Levels, site: Site, kinds: Sequence[str], start_s: int, end_s: int) -> float | None:
    """Return by how much less was stored at the end of a day than at its beginning.

    By what was last known at both, so that days add up also where one was not measured.
    """
    found = []
    for gateway_id in site.gateway_ids:
        for kind in kinds:
            first = levels.last_wh(gateway_id, kind, start_s)
            last = levels.last_wh(gateway_id, kind, end_s)
            if last is None:
                continue
            if first is None:
                first = levels.first_wh(gateway_id, kind, end_s)
            found.append((first - last) / 1000)
            break
    return sum(found) if found else None


def _capacity_kwh(batteries: Iterable[Any], start_s: int, end_s: int) -> float | None:
    """Return the capacity of the batteries that were there on a day."""
    start, end = from_epoch_s(start_s), from_epoch_s(end_s)
    there = [
        battery.capacity_wh
        for battery in batteries
        if battery.capacity_wh is not None
        and (battery.first_seen_at is None or battery.first_seen_at < end)
        and (battery.last_seen_at is None or battery.last_seen_at >= start)
    ]
    return sum(there) / 1000 if there else None
