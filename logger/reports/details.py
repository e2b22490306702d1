"""Reports below the total: phases and inverters, a row per day and each of them.

A phase or inverter that reported nothing on a day is a row without numbers, if it did on another; an inverter also if
it did so in the weeks before.

Walk: v_phase_daily, v_inverter_daily -> here -> exports
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from logger.clock import day_end_s, day_start_s, time_zone, to_epoch_s
from logger.errors import NoDataError
from logger.reports import Report
from logger.reports.columns import INVERTER, PHASE, STATUS, Column, status_of
from logger.reports.energy import Site, as_date, days_of, nothing_in_range, sites_of, suspect_days, view_rows
from logger.reports.periods import Text, periods
from logger.store.models import ENERGY_DAILY, INVERTER_DAILY, PANEL_DAILY

#: kind of report -> view, column that names a member, columns of numbers
DETAILS: dict[str, tuple[str, str, tuple[Column, ...]]] = {
    "phases": ("v_phase_daily", "phase", PHASE),
    "inverters": ("v_inverter_daily", "serial", INVERTER),
}
#: An inverter that reported within so many days has a row, whether it reports or not.
EXPECTED = timedelta(days=30)
_Coverage = dict[tuple[date, str], float]  #: percent by day and member


def detail_report(
    connection: Connection, kind: str, *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None
) -> Report:
    """Return the energy of each phase or inverter (``DETAILS``) per day, in kWh; None where unknown.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range, or a site that has one phase only.
    """
    view, member, columns = DETAILS[kind]
    sites = sites_of(connection, gateway, inverters=kind == "inverters")
    numbers = ", ".join(column.name for column in columns)
    rows: list[tuple[Any, ...]] = []
    for site in sites:
        first, last = days_of(site, kind, since, until, now)
        first = max(first, site.first)
        found = view_rows(connection, view, f"day, {member}, {numbers}", site, first, last + timedelta(days=1))
        measured = {(as_date(row[0]), row[1]): row[2:] for row in found}
        members = sorted(
            {name for _, name in measured} | (_expected(connection, site, first) if kind == "inverters" else set())
        )
        covered_pct = _covered_phases(connection, site, first, last) if kind == "phases" else _covered_inverters(found)
        zone = time_zone(site.zone)
        # Phases are the counters of the same CTs; inverters count for themselves.
        suspects = (
            suspect_days(connection, site, day_start_s(first, zone), day_end_s(last, zone)) if kind == "phases" else {}
        )
        for _, (day,), _, end_s in periods("daily", first, last, zone):
            for name in members:
                row = measured.get((day, name), (None,) * len(columns))
                is_over = end_s <= to_epoch_s(now)
                status = status_of(covered_pct.get((day, name)), is_over=is_over, is_suspect=day in suspects)
                rows.append((site.name, day, name, *row, status))
    if not rows and kind == "phases" and not _has_phases(connection, sites):
        raise NoDataError("There are no single phases here: all energy is in `envoylog report daily`.")
    if not rows:
        raise nothing_in_range(sites)
    return Report(kind, ["gateway", "day", member], columns, [STATUS], rows)


def _has_phases(connection: Connection, sites: Iterable[Site]) -> bool:
    mine = ENERGY_DAILY.c.gateway_id.in_([number for site in sites for number in site.gateway_ids])
    query = select(ENERGY_DAILY.c.phase).where(mine, ENERGY_DAILY.c.phase != "total").limit(1)
    return connection.execute(query).first() is not None


def _expected(connection: Connection, site: Site, first: date) -> set[str]:
    """Return the inverters that reported in the weeks before a day, and were not taken down since."""
    made, beside = INVERTER_DAILY.c, PANEL_DAILY.c
    since = first - EXPECTED
    query = select(made.serial).where(made.gateway_id.in_(site.gateway_ids), made.day >= since, made.day < first)
    known = select(beside.serial, beside.state).where(
        beside.gateway_id.in_(site.gateway_ids), beside.day >= since, beside.day <= first
    )
    states = {row.serial: row.state for row in connection.execute(known.order_by(beside.day))}
    found = {*states, *connection.execute(query.distinct()).scalars()}
    return {serial for serial in found if states.get(serial) != "removed"}


def _covered_phases(connection: Connection, site: Site, first: date, last: date) -> _Coverage:
    """Return how much of each day was measured on each phase."""
    of = ENERGY_DAILY.c
    query = select(of.day, of.phase, func.sum(of.covered_s), func.max(of.period_s)).group_by(of.day, of.phase)
    found = connection.execute(query.where(of.gateway_id.in_(site.gateway_ids), of.day.between(first, last)))
    return {(day, phase): 100.0 * covered_s / period_s for day, phase, covered_s, period_s in found if period_s}


def _covered_inverters(rows: Iterable[Any]) -> _Coverage:
    """Return whether each day of an inverter was measured, in percent: wholly, or not.

    It is silent at night and in the shade, so that only a day of which most is missing, by those beside it, is known
    not to be whole.
    """
    covered_s = {(as_date(row.day), row.serial): row.covered_s or 0 for row in rows}
    longest_s: dict[date, int] = {}
    for (day, _), own_s in covered_s.items():
        longest_s[day] = max(own_s, longest_s.get(day, 0))
    return {
        (day, serial): 100.0 if 2 * own_s >= longest_s[day] > 0 else 0.0 for (day, serial), own_s in covered_s.items()
    }
