"""What batteries took and gave: a row per day or month of the sites that have any.

A month is the total of its days, as it would be below them. What a period is, and how sure, is that of its energy.

Walk: v_battery_daily, v_outages -> here -> exports
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, select

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
    for text, *values in view_rows(connection, "v_battery_daily", ", ".join(("day", *_VIEW)), site, since, until):
        day = as_date(text)
        start_s, end_s = day_start_s(day, zone), day_end_s(day, zone)
        own: _Values = dict(zip(_VIEW, values, strict=True))
        charge_kwh, discharge_kwh, estimated_pct = values[:3]
        drawn_kwh = _drawn_kwh(connection, site, kinds, start_s, end_s)
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


def _drawn_kwh(connection: Connection, site: Site, kinds: Sequence[str], start_s: int, end_s: int) -> float | None:
    """Return by how much less was stored at the end of a day than at its beginning.

    By what was last known at both, so that days add up also where one was not measured.
    """
    columns, found = STORAGE_SAMPLES.c, []
    for gateway_id in site.gateway_ids:
        for kind in kinds:
            mine = (columns.gateway_id == gateway_id) & (columns.kind == kind) & columns.energy_wh.is_not(None)
            level = select(columns.energy_wh).where(mine).limit(1)
            until = level.where(columns.polled_at <= from_epoch_s(end_s))
            last = connection.execute(until.order_by(columns.polled_at.desc())).scalar()
            if last is None:
                continue
            before = level.where(columns.polled_at <= from_epoch_s(start_s)).order_by(columns.polled_at.desc())
            first = connection.execute(before).scalar()
            if first is None:
                first = connection.execute(until.order_by(columns.polled_at)).scalar_one()
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
