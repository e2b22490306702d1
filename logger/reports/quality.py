"""How sure the totals are: gaps, resets, suspects, and counters against inverters, per day."""

import math
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select, text

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.reports.columns import NOTES, QUALITY, STATUS
from logger.reports.details import days_of
from logger.reports.tables import (
    Report,
    Site,
    as_date,
    breaks_s,
    has_break,
    nothing_in_range,
    sites_of,
    status_of,
    totals_of,
)
from logger.store.models import EVENTS, GATEWAYS, POLLS

#: kind of event -> the column that counts it
COUNTED = {
    "outage": "gaps",
    "counter_reset": "resets",
    "counter_wrap": "wraps",
    "counter_dip": "dips",
    "suspect_increment": "suspects",
    "stalled_counter": "stalls",
    "source_change": "source_changes",
}
_events_of, _polls_of, _gateways_of = (table.c for table in (EVENTS, POLLS, GATEWAYS))
#: At most so many events of a day are told in words.
MOST_NOTES = 6


def quality_report(
    connection: Connection,
    *,
    now: datetime,
    since: str | None = None,
    until: str | None = None,
    gateway: str | None = None,
) -> Report:
    """Return per day what was missing, what was decided, and how counters compare to inverters.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range.
    """
    sites = sites_of(connection, gateway)
    records: list[dict[str, Any]] = []
    for site in sites:
        first, last = days_of(site, since, until, now)
        if first <= last:
            records += _records(connection, site, first, last, now)
    if not records:
        raise nothing_in_range(sites)
    names = ["gateway", "day", *(column.name for column in QUALITY), STATUS, NOTES]
    rows = [tuple(record[name] for name in names) for record in records]
    return Report("quality", names, rows, _totals(names, rows, records))


def _records(
    connection: Connection, site: Site, first: date, last: date, now: datetime
) -> list[dict[str, Any]]:
    zone = time_zone(site.zone)
    bounds = {"gateway": site.name, "first": str(first), "last": str(last)}
    where = "gateway = :gateway AND CAST(day AS VARCHAR) BETWEEN :first AND :last"
    energy = {
        as_date(row["day"]): row
        for row in connection.execute(
            text(
                "SELECT day, production_kwh, coverage_pct, bridged_kwh "  # noqa: S608 - ours
                f"FROM v_energy_daily WHERE {where}"
            ),
            bounds,
        ).mappings()
    }
    inverters = {
        as_date(day): None if kwh is None else round(kwh, 6)
        for day, kwh in connection.execute(
            text(
                "SELECT day, SUM(energy_kwh) FROM v_inverter_daily "  # noqa: S608 - ours
                f"WHERE {where} GROUP BY day"
            ),
            bounds,
        )
    }
    begin = from_epoch_s(day_start_s(first, zone))
    end = from_epoch_s(day_end_s(last, zone))
    events = _events(connection, site, (begin, end))
    breaks = breaks_s(connection, site, to_epoch_s(begin))
    records = []
    day = first
    while day <= last:
        row = energy.get(day)
        made = row["production_kwh"] if row else None
        summed = inverters.get(day)
        length_s = min(day_end_s(day, zone), max(to_epoch_s(now), day_start_s(day, zone)))
        length_s -= day_start_s(day, zone)
        covered_pct = row["coverage_pct"] if row else 0.0
        whole = not has_break(breaks, day_start_s(day, zone), day_end_s(day, zone))
        told = events.get(day, [])
        polls, failed = _polls(connection, site, day)
        record: dict[str, Any] = {
            "gateway": site.name,
            "day": day,
            "coverage_pct": covered_pct,
            "missing_s": round(length_s * (1 - (covered_pct or 0.0) / 100)),
            "bridged_kwh": row["bridged_kwh"] if row else None,
            "polls": polls,
            "polls_failed": failed,
            "production_kwh": made,
            "inverters_kwh": summed,
            "inverters_difference_pct": _difference_pct(made, summed),
            STATUS: status_of(covered_pct if whole else None, day_end_s(day, zone), now),
            NOTES: _notes(told, zone),
        }
        for name in COUNTED.values():
            record[name] = 0
        for event in told:
            if event[1] in COUNTED:
                record[COUNTED[event[1]]] += 1
        records.append(record)
        day += timedelta(days=1)
    return records


def _events(
    connection: Connection, site: Site, ends: tuple[datetime, datetime]
) -> dict[date, list[Any]]:
    """Return events by local day."""
    zone = time_zone(site.zone)
    query = (
        select(_events_of.at, _events_of.kind, _events_of.subject, _events_of.detail)
        .where(_of(site, _events_of), _events_of.at >= ends[0], _events_of.at < ends[1])
        .order_by(_events_of.at)
    )
    found: dict[date, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(local_day(to_epoch_s(row[0]), zone), []).append(row)
    return found


def _polls(connection: Connection, site: Site, day: date) -> tuple[int, int]:
    """Return how many polls a day had, and how many of them failed."""
    zone = time_zone(site.zone)
    failed = func.sum(case((_polls_of.outcome == "failed", 1), else_=0))
    query = select(func.count(), failed).where(
        _of(site, _polls_of),
        _polls_of.polled_at >= from_epoch_s(day_start_s(day, zone)),
        _polls_of.polled_at < from_epoch_s(day_end_s(day, zone)),
    )
    polls, bad = connection.execute(query).one()
    return polls, bad or 0


def _of(site: Site, columns: Any) -> ColumnElement[bool]:
    """Return the condition that a row is of one of the gateways of a name."""
    named = select(_gateways_of.gateway_id).where(_gateways_of.name == site.name)
    condition: ColumnElement[bool] = columns.gateway_id.in_(named)
    return condition


def _difference_pct(made: float | None, summed: float | None) -> float | None:
    """Return how much more the inverters say than the counter; None where one is unknown."""
    if made is None or summed is None or made <= 0:
        return None
    return round(100.0 * (summed - made) / made, 3)


def _notes(events: list[Any], zone: Any) -> str:
    told = [
        f"{at.astimezone(zone):%H:%M} {kind} {subject}: {detail}"
        for at, kind, subject, detail in events[:MOST_NOTES]
    ]
    if len(events) > MOST_NOTES:
        told.append(f"and {len(events) - MOST_NOTES} more, see v_events")
    return "; ".join(told)


def _totals(
    names: list[str], rows: list[tuple[Any, ...]], records: list[dict[str, Any]]
) -> dict[str, float | None]:
    totals = totals_of(QUALITY, names, rows)
    both = [
        (one["production_kwh"], one["inverters_kwh"])
        for one in records
        if None not in {one["production_kwh"], one["inverters_kwh"]}
    ]
    made, summed = math.fsum(one for one, _ in both), math.fsum(one for _, one in both)
    totals["inverters_difference_pct"] = 100 * (summed - made) / made if made else None
    covered = [one["coverage_pct"] or 0.0 for one in records]
    totals["coverage_pct"] = math.fsum(covered) / len(covered)
    return totals
