"""What a page shows of one site's month or year: the reports' own figures, what happened, and how sure they are.

Walk: reports.energy, energy_15min, inverter_daily, panel_daily, events -> here -> exports.page
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.errors import NoDataError, UsageError
from logger.reports import NOTHING_KWH, Report
from logger.reports.certainty import Certainty, certainty_of
from logger.reports.columns import COVERED_PCT, STATUS
from logger.reports.compare import year_before
from logger.reports.energy import Site, energy_report, nothing_in_range, sites_of
from logger.reports.happenings import Happening, happenings
from logger.reports.panels import Panel, panels_within
from logger.reports.periods import parse
from logger.store.models import ENERGY_15MIN, epoch

Kind = Literal["monthly", "yearly"]
#: Five of these are the figures of a page: the first that this site has. Names of columns, and best_day_kwh.
CANDIDATES = (
    "production_kwh", "consumption_kwh", "grid_import_kwh", "grid_export_kwh", "self_sufficiency_pct",
    "best_day_kwh", "specific_yield_kwh_per_kwp", "peak_production_w", "coverage_pct",
)  # fmt: skip
FIGURES = 5
#: what a ratio of two periods is made of, where a day has to have all of it
INPUTS = {
    "self_sufficiency_pct": ("consumption_kwh", "grid_import_kwh"),
    "specific_yield_kwh_per_kwp": ("production_kwh",),
}
_quarters = ENERGY_15MIN.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of the period, and that of the same days of both years."""

    name: str  #: of its column
    value: float
    same: float | None = None  #: of those days that are over and that both years know,
    before: float | None = None  #: and of these days of the year before
    days: int = 0  #: how many these are
    of_days: int = 0  #: how many days of the period are over


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanQuarter:
    """The mean power (W) of one quarter hour of local time over days; None where unknown."""

    number: int  #: 0 to 95
    production_w: float | None
    consumption_w: float | None
    grid_import_w: float | None
    grid_export_w: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One site in one month or year."""

    site: Site
    kind: Kind
    name: str  #: 2026-10, 2026
    first: date
    last: date  #: of the calendar; the site may not have come so far
    now: datetime
    figures: Sequence[Figure]
    total: Report  #: the one row of the period
    days: Report
    months: Report | None  #: of a year
    months_before: Report | None
    best: tuple[date, float] | None
    worst: tuple[date, float] | None
    mean_day: Sequence[MeanQuarter]
    panels: Sequence[Panel]
    happenings: Sequence[Happening]
    certainty: Certainty

    @property
    def is_running(self) -> bool:
        """Whether the period is not over."""
        return bool(self.total.column(STATUS)[-1] == "provisional")


def period_named(month: str | None, year: str | None, today: date) -> tuple[Kind, str]:
    """Return the month or year that was asked for; this month without.

    Raises:
        UsageError: both, or none that there is.
    """
    if month and year:
        raise UsageError("A page is about one month or one year; choose --month or --year.")
    kind: Kind = "yearly" if year else "monthly"
    asked = year or month or "this-month"
    found = parse(asked, today)
    name = str(found.first)[: 4 if year else 7]
    if (found.first, found.last) != _ends(kind, name):
        example = f"--year {today.year} or --year last-year" if year else f"--month {today:%Y-%m} or --month last-month"
        raise UsageError(f"{asked!r} is no {'year' if year else 'month'}; write {example}.")
    return kind, name


def pages(
    connection: Connection, *, now: datetime, month: str | None = None, year: str | None = None,
    gateway: str | None = None,
) -> list[Page]:  # fmt: skip
    """Return the page of each site that has energy in a month or year.

    Raises:
        UsageError: no such gateway, month or year.
        NoDataError: nothing in that month or year.
    """
    found: list[Page] = []
    sites = sites_of(connection, gateway)
    for site in sites:
        kind, name = period_named(month, year, local_day(to_epoch_s(now), time_zone(site.zone)))
        with contextlib.suppress(NoDataError):
            found.append(_page(connection, site, kind, name, now))
    if not found:
        raise nothing_in_range(sites)
    return found


def _ends(kind: Kind, name: str) -> tuple[date, date]:
    first = date.fromisoformat(f"{name}-01-01"[:10])
    after = first + timedelta(days=32 if kind == "monthly" else 366)
    return first, after.replace(day=1, month=1 if kind == "yearly" else after.month) - timedelta(days=1)


def _page(connection: Connection, site: Site, kind: Kind, name: str, now: datetime) -> Page:
    first, last = _ends(kind, name)
    chosen: dict[str, Any] = {"now": now, "gateway": site.name}
    total = energy_report(connection, kind, since=name, until=name, **chosen)
    days = energy_report(connection, "daily", since=name, until=name, **chosen)
    then = str(int(name[:4]) - 1) + name[4:]
    before = _known(connection, "daily", then, chosen)
    today = local_day(to_epoch_s(now), time_zone(site.zone))
    ranked = _ranked(days, today)
    return Page(
        site=site,
        kind=kind,
        name=name,
        first=first,
        last=last,
        now=now,
        figures=_figures(total, days, before, today, ranked),
        total=total,
        days=days,
        months=energy_report(connection, "monthly", since=name, until=name, **chosen) if kind == "yearly" else None,
        months_before=_known(connection, "monthly", then, chosen) if kind == "yearly" else None,
        best=ranked[-1] if ranked else None,
        worst=ranked[0] if len(ranked) > 1 else None,
        mean_day=_mean_day(connection, site, first, last),
        panels=panels_within(connection, site, first, last),
        happenings=happenings(connection, site, first, last),
        certainty=certainty_of(connection, site, total, days, first, last),
    )


def _known(connection: Connection, kind: Any, name: str, chosen: dict[str, Any]) -> Report | None:
    """Return a report of what may not be there."""
    try:
        return energy_report(connection, kind, since=name, until=name, **chosen)
    except NoDataError:
        return None


def _ranked(days: Report, today: date) -> list[tuple[date, float]]:
    """Return the whole days that can be believed, the one with least production first."""
    rows = zip(*map(days.column, ("day", "production_kwh", STATUS)), strict=True)
    known = [(day, kwh) for day, kwh, status in rows if kwh is not None and status == "final" and day < today]
    ranked = sorted(known, key=lambda pair: (pair[1], pair[0]))
    return ranked if ranked and ranked[-1][1] >= NOTHING_KWH else []


def _figures(
    total: Report, days: Report, before: Report | None, today: date, ranked: Sequence[tuple[date, float]]
) -> list[Figure]:
    found = []
    for name in CANDIDATES:
        if name == "best_day_kwh":
            if ranked:
                found.append(Figure(name=name, value=ranked[-1][1]))
        elif (value := total.column(name)[0]) is not None:
            found.append(_compared(name, value, days, before, today))
    return found[:FIGURES]


def _compared(name: str, value: float, days: Report, before: Report | None, today: date) -> Figure:
    """Return a figure with those of the days that both years know."""
    over = [day for day in days.column("day") if day < today]
    if before is None or name in {"coverage_pct", "peak_production_w"}:
        return Figure(name=name, value=value)
    inputs = INPUTS.get(name, (name,))
    now_known, then_known = _rows_known(days, inputs), _rows_known(before, inputs)
    pairs = [
        (now_known[day], then_known[then])
        for day in over
        if (then := year_before(day)) in then_known and day in now_known and then is not None
    ]
    if not pairs:
        return Figure(name=name, value=value)
    same, other = (
        days.columns[name].total_of(_part(report, [pair[side] for pair in pairs]).cells)
        for side, report in enumerate((days, before))
    )
    return Figure(name=name, value=value, same=same, before=other, days=len(pairs), of_days=len(over))


@dataclass(frozen=True, slots=True)
class _part:  # noqa: N801 - reads as what it makes
    """Some rows of a report."""

    report: Report
    rows: Sequence[int]

    def cells(self, name: str) -> list[Any]:
        column = self.report.column(name)
        return [column[row] for row in self.rows]


def _rows_known(report: Report, names: Sequence[str]) -> dict[date, int]:
    """Return the number of the row of each day that has all of these."""
    rows = enumerate(zip(report.column("day"), *map(report.column, names), strict=True))
    return {day: number for number, (day, *values) in rows if None not in values}


def _mean_day(connection: Connection, site: Site, first: date, last: date) -> list[MeanQuarter]:
    """Return the mean of each quarter hour of local time that was measured well."""
    zone = time_zone(site.zone)
    slot = (((epoch(_quarters.starts_at) + func.coalesce(_quarters.utc_offset_s, 0)) % 86_400) // QUARTER_S).label(
        "slot"
    )
    energies = (
        _quarters.production_wh, _quarters.consumption_wh, _quarters.grid_import_wh, _quarters.grid_export_wh,
    )  # fmt: skip
    query = (
        select(slot, *map(func.avg, energies))
        .where(
            _quarters.gateway_id.in_(site.gateway_ids),
            _quarters.phase == "total",
            _quarters.starts_at >= from_epoch_s(day_start_s(first, zone)),
            _quarters.starts_at < from_epoch_s(day_end_s(last, zone)),
            _quarters.covered_s >= COVERED_PCT / 100 * QUARTER_S,
        )
        .group_by("slot")
        .order_by("slot")
    )
    return [
        MeanQuarter(
            number=int(number),
            **{
                name: None if wh is None else wh * 3600 / QUARTER_S
                for name, wh in zip(MeanQuarter.__slots__[1:], means, strict=True)
            },
        )
        for number, *means in connection.execute(query)
    ]
