"""How sure the figures of a month or year are: its days by status, gaps, and counters against inverters.

Walk: reports.energy, v_inverter_daily, events -> here -> reports.page
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection

from logger.clock import day_end_s, day_start_s, time_zone
from logger.reports import Report
from logger.reports.columns import INVERTERS_EXCESS, STATUS
from logger.reports.energy import Site, as_date, suspect_days, view_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """How sure the figures are: days by status, and how counters compare with inverters."""

    coverage_pct: float | None
    bridged_kwh: float | None
    counts: dict[str, int]  #: status -> days; `missing` of which nothing is known
    partial: Sequence[date]
    missing: Sequence[date]
    suspect: dict[date, str]  #: with what to look at
    inverters_kwh: float | None
    inverters_difference_pct: float | None


def certainty_of(connection: Connection, site: Site, total: Report, days: Report, first: date, last: date) -> Certainty:
    """Return how sure the figures of a period are, which are one row of a report and those of its days."""
    zone = time_zone(site.zone)
    counts: dict[str, int] = {}
    partial: list[date] = []
    missing: list[date] = []
    shown = list(zip(*map(days.column, ("day", STATUS, "coverage_pct")), strict=True))
    values = [any(value is not None for value in row[2:8]) for row in days.rows]
    for (day, status, _), has_energy in zip(shown, values, strict=True):
        if day < site.first:
            continue
        own = status if has_energy or status == "provisional" else "missing"
        counts[own] = counts.get(own, 0) + 1
        if own in {"partial", "missing"}:
            (partial if own == "partial" else missing).append(day)
    sums = view_rows(
        connection,
        "v_inverter_daily",
        "day, SUM(energy_kwh)",
        site,
        first,
        last + timedelta(days=1),
        group="GROUP BY day",
    )
    inverters = {as_date(day): kwh for day, kwh in sums}
    of_days = {
        "inverters_kwh": [inverters.get(day) for day in days.column("day")],
        "production_kwh": days.column("production_kwh"),
    }
    known = [kwh for kwh in of_days["inverters_kwh"] if kwh is not None]
    return Certainty(
        coverage_pct=total.column("coverage_pct")[0],
        bridged_kwh=total.column("bridged_kwh")[0],
        counts=counts,
        partial=partial,
        missing=missing,
        suspect=suspect_days(connection, site, day_start_s(first, zone), day_end_s(last, zone)),
        inverters_kwh=sum(known) if known else None,
        inverters_difference_pct=INVERTERS_EXCESS.of(of_days.__getitem__),
    )
