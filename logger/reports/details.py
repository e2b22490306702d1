"""Reports below the total: phases and inverters, a row per day and each of them.

A phase or inverter that said nothing on a day is a row without numbers, as long as it is heard of
within the range.

Walk: v_phase_daily, v_inverter_daily -> here -> exports
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from logger.clock import day_end_s, local_day, time_zone, to_epoch_s
from logger.reports.columns import INVERTER, PHASE, STATUS, Column, status_of
from logger.reports.energy import Report, Site, as_date, nothing_in_range, sites_of
from logger.reports.periods import span

#: Without a range: this many days up to the last one.
DEFAULT_DAYS = 7

#: kind of report -> view, column that names a member, columns of numbers
DETAILS: dict[str, tuple[str, str, tuple[Column, ...]]] = {
    "phases": ("v_phase_daily", "phase", PHASE),
    "inverters": ("v_inverter_daily", "serial", INVERTER),
}


def detail_report(
    connection: Connection,
    kind: str,
    *,
    now: datetime,
    since: str | None = None,
    until: str | None = None,
    gateway: str | None = None,
) -> Report:
    """Return the energy of each phase or inverter per day, in kWh; None where unknown.

    ``kind`` is a key of ``DETAILS``.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range, or a site that has one phase only.
    """
    view, member, columns = DETAILS[kind]
    sites = sites_of(connection, gateway)
    records: list[dict[str, Any]] = []
    for site in sites:
        first, last = days_of(site, since, until, now)
        query = text(
            f"SELECT * FROM {view} WHERE gateway = :gateway "  # noqa: S608 - one of our two
            f"AND CAST(day AS VARCHAR) BETWEEN :first AND :last ORDER BY day, {member}"
        )
        bounds = {"gateway": site.name, "first": str(first), "last": str(last)}
        by_day: dict[date, list[dict[str, Any]]] = {}
        for row in connection.execute(query, bounds).mappings():
            by_day.setdefault(as_date(row["day"]), []).append(dict(row))
        of_phases = kind == "phases"
        covered = _covered_phases(connection, bounds) if of_phases else _covered_inverters(by_day)
        records += _with_missing(site, by_day, member, (first, last), covered, now)
    if not records:
        raise nothing_in_range(sites)
    names = ["gateway", "day", member, *(column.name for column in columns), STATUS]
    rows = [tuple(record.get(name) for name in names) for record in records]
    return Report(kind, names, {column.name: column for column in columns}, rows)


def inverter_ranking(
    connection: Connection,
    *,
    now: datetime,
    since: str | None = None,
    until: str | None = None,
    gateway: str | None = None,
) -> Report:
    """Return each inverter's energy and peak over a range, best first; empty where there is none.

    Raises:
        UsageError: no such gateway, or no such date.
    """
    ranked: list[tuple[Any, ...]] = []
    for site in sites_of(connection, gateway):
        first, last = days_of(site, since, until, now)
        query = text(
            "SELECT gateway, serial, SUM(energy_kwh) AS energy_kwh, "
            "MAX(peak_power_w) AS peak_power_w FROM v_inverter_daily WHERE gateway = :gateway "
            "AND CAST(day AS VARCHAR) BETWEEN :first AND :last GROUP BY gateway, serial"
        )
        bounds = {"gateway": site.name, "first": str(first), "last": str(last)}
        rows = [tuple(row) for row in connection.execute(query, bounds)]
        rows.sort(key=lambda row: (-(row[2] or 0.0), row[1]))
        ranked += rows
    columns = {column.name: column for column in INVERTER[:2]}
    return Report("ranking", ["gateway", "serial", *columns], columns, ranked)


def _with_missing(
    site: Site,
    by_day: dict[date, list[dict[str, Any]]],
    member: str,
    days: tuple[date, date],
    covered_pct: Mapping[tuple[date, str], float],
    now: datetime,
) -> list[dict[str, Any]]:
    """Return a row per day and member; one that was not measured is a row without numbers."""
    zone = time_zone(site.zone)
    members = sorted({row[member] for rows in by_day.values() for row in rows})
    records = []
    day, last = days
    while day <= last and members:
        by_member = {row[member]: row for row in by_day.get(day, [])}
        end_s = day_end_s(day, zone)
        for name in members:
            row = by_member.get(name, {})
            is_over = end_s <= to_epoch_s(now)
            status = status_of(covered_pct.get((day, name)), is_over=is_over)
            records.append({**row, "gateway": site.name, "day": day, member: name, STATUS: status})
        day += timedelta(days=1)
    return records


def _covered_phases(
    connection: Connection, bounds: Mapping[str, str]
) -> dict[tuple[date, str], float]:
    """Return how much of each day was measured on each phase."""
    query = text(
        "SELECT e.day, e.phase, SUM(e.covered_s), MAX(e.period_s) FROM energy_daily e "
        "JOIN gateways g ON g.gateway_id = e.gateway_id WHERE g.name = :gateway "
        "AND CAST(e.day AS VARCHAR) BETWEEN :first AND :last GROUP BY e.day, e.phase"
    )
    return {
        (as_date(day), phase): 100.0 * covered_s / period_s
        for day, phase, covered_s, period_s in connection.execute(query, bounds)
        if period_s
    }


def _covered_inverters(
    by_day: Mapping[date, list[dict[str, Any]]],
) -> dict[tuple[date, str], float]:
    """Return whether each day of an inverter was measured, in percent: wholly, or not.

    It is silent at night and in the shade, so that only a day of which most is missing, by those
    beside it, is known not to be whole.
    """
    covered: dict[tuple[date, str], float] = {}
    for day, rows in by_day.items():
        most_s = max(row["covered_s"] or 0 for row in rows)
        for row in rows:
            is_whole = 2 * (row["covered_s"] or 0) >= most_s > 0
            covered[day, row["serial"]] = 100.0 if is_whole else 0.0
    return covered


def days_of(site: Site, since: str | None, until: str | None, now: datetime) -> tuple[date, date]:
    """Return the days to show: those asked for within what there is, else the last week."""
    today = local_day(to_epoch_s(now), time_zone(site.zone))
    begin, end = span(since, until, today)
    last = min(end, max(site.last, today)) if end else site.last
    first = begin or max(site.first, last - timedelta(days=DEFAULT_DAYS - 1))
    return max(first, site.first), last
