"""How a site does: now, today, and against a year before; what ``envoylog status`` shows.

All totals are those of the reports: of the daily report's rows, by the definitions in ``columns``.

Walk: reports.energy, power, panels, energy_15min -> here -> exports.screen
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.errors import NoDataError, UsageError
from logger.reports import NOTHING_KWH, Report
from logger.reports.compare import year_before
from logger.reports.energy import Site, as_date, energy_report, sites_of, suspect_days, view_rows
from logger.reports.panels import Panel, panels_of
from logger.reports.power import Power, stored_power
from logger.store.models import ENERGY_15MIN, epoch

#: The curve of a day has a value for each of these.
STEP_S = 1800
#: Less of a quarter hour says nothing of its power.
SHORTEST_S = 60
#: what an overview has of a period
NUMBERS = (
    "production_kwh", "consumption_kwh", "grid_import_kwh", "grid_export_kwh", "battery_charge_kwh",
    "battery_discharge_kwh", "self_sufficiency_pct", "coverage_pct",
)  # fmt: skip
_quarters = ENERGY_15MIN.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was produced on days that are over, and on the same days of the year before."""

    year: int  #: the year before
    production_kwh: float
    before_kwh: float
    change_pct: float | None
    days: int  #: how many are compared: those that both years have
    of_days: int  #: how many of the period are over


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy and coverage of some days, the running one as far as it is; kWh and %, None where unknown."""

    since: date
    until: date
    production_kwh: float | None
    consumption_kwh: float | None
    grid_import_kwh: float | None
    grid_export_kwh: float | None
    battery_charge_kwh: float | None
    battery_discharge_kwh: float | None
    self_sufficiency_pct: float | None
    coverage_pct: float | None
    year_before: Comparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How one site does."""

    gateway: str
    time_zone: str | None  #: None where nobody has told it yet
    now: Power | None
    today: Energy | None  #: None before there is any energy
    yesterday: Energy | None
    this_month: Energy | None
    this_year: Energy | None
    #: of each half hour of today, from midnight on, the mean power (W); None where unknown or still to come
    production_curve_w: Sequence[float | None]
    consumption_curve_w: Sequence[float | None]
    best_day: date | None  #: on which most was produced, of those that are not suspect
    best_day_kwh: float | None
    panels: int  #: how many inverters are expected to report
    panels_not_fine: Sequence[Panel]


def overview(connection: Connection, gateway: str, zone: str | None, now: datetime) -> Overview:
    """Return how a site does; of one that has no energy yet what is known."""
    power = stored_power(connection, gateway)
    try:
        (site,) = sites_of(connection, gateway)
    except (NoDataError, UsageError):
        return Overview(
            gateway=gateway, time_zone=zone, now=power, today=None, yesterday=None, this_month=None,
            this_year=None, production_curve_w=(), consumption_curve_w=(), best_day=None, best_day_kwh=None, panels=0,
            panels_not_fine=(),
        )  # fmt: skip
    today = local_day(to_epoch_s(now), time_zone(site.zone))
    last_year = max(site.first, date(today.year - 1, 1, 1))
    days = _Days(site, _daily(connection, site, last_year, now))
    best_day, best_day_kwh = _best_day(connection, site)
    curves = list(zip(*_curves(connection, site, today), strict=True))
    panels, not_fine = panels_of(connection, site, today)
    yesterday = today - timedelta(days=1)
    return Overview(
        gateway=gateway,
        time_zone=site.zone,
        now=power,
        today=days.energy(today, today),
        yesterday=days.energy(yesterday, yesterday),
        this_month=days.energy(today.replace(day=1), today, compared=True),
        this_year=days.energy(today.replace(month=1, day=1), today, compared=True),
        production_curve_w=curves[0],
        consumption_curve_w=curves[1],
        best_day=best_day,
        best_day_kwh=best_day_kwh,
        panels=panels,
        panels_not_fine=not_fine,
    )


def energy_today(connection: Connection, gateway: str, now: datetime) -> Energy | None:
    """Return a site's energy of today so far; None before there is any."""
    try:
        (site,) = sites_of(connection, gateway)
    except (NoDataError, UsageError):
        return None
    today = local_day(to_epoch_s(now), time_zone(site.zone))
    return _Days(site, _daily(connection, site, today, now)).energy(today, today)


def _daily(connection: Connection, site: Site, since: date, now: datetime) -> Report | None:
    try:
        return energy_report(connection, "daily", now=now, since=str(since), until="today", gateway=site.name)
    except (NoDataError, UsageError):  # a clock that was set back
        return None


class _Days:
    """The days of a site, as the daily report has them."""

    def __init__(self, site: Site, report: Report | None) -> None:
        self.site = site
        self.report = report
        self.index = {day: at for at, day in enumerate(report.column("day"))} if report else {}
        self.production = dict(zip(self.index, report.column("production_kwh"), strict=True)) if report else {}

    def energy(self, since: date, until: date, *, compared: bool = False) -> Energy | None:
        """Return the totals of some days, as far as the site has them."""
        since = max(since, self.site.first)
        rows = [at for day, at in self.index.items() if since <= day <= until]
        if self.report is None or not rows:
            return None
        cut = slice(rows[0], rows[-1] + 1)
        weights = {name: values[cut] for name, values in self.report.weights.items()}
        part = Report(
            self.report.kind, self.report.labels, self.report.numbers, self.report.remarks, self.report.rows[cut],
            weights,
        )  # fmt: skip
        numbers = {name: _rounded(part.totals[name]) for name in NUMBERS}
        return Energy(since=since, until=until, **numbers, year_before=self._before(since, until) if compared else None)

    def _before(self, since: date, until: date) -> Comparison | None:
        """Compare with the same days a year before; the last day still runs."""
        over = [day for day in self.production if since <= day < until]
        pairs = [(self.production[day], self.production.get(then)) for day in over if (then := year_before(day))]
        both = [(now, then) for now, then in pairs if now is not None and then is not None]
        if not both:
            return None
        production_kwh, before_kwh = (sum(values) for values in zip(*both, strict=True))
        return Comparison(
            year=until.year - 1,
            production_kwh=round(production_kwh, 3),
            before_kwh=round(before_kwh, 3),
            change_pct=round(100 * (production_kwh / before_kwh - 1), 1) if before_kwh > 0 else None,
            days=len(both),
            of_days=(until - since).days,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _best_day(connection: Connection, site: Site) -> tuple[date | None, float | None]:
    """Return the day with most production that is not suspect, and its kWh."""
    ends_s = day_start_s(site.first, time_zone(site.zone)), day_end_s(site.last, time_zone(site.zone))
    suspects = suspect_days(connection, site, *ends_s)
    best_first = f"AND production_kwh IS NOT NULL ORDER BY production_kwh DESC, day LIMIT {len(suspects) + 1}"
    until = site.last + timedelta(days=1)
    found = view_rows(connection, "v_energy_daily", "day, production_kwh", site, site.first, until, group=best_first)
    known = [(kwh, as_date(day)) for day, kwh in found if as_date(day) not in suspects]
    best_kwh, best = max(known, key=lambda pair: pair[0], default=(0.0, None))
    return (best, best_kwh) if best_kwh >= NOTHING_KWH else (None, None)


def _curves(connection: Connection, site: Site, today: date) -> Iterator[tuple[float | None, float | None]]:
    """Yield the mean production and consumption (W) of each half hour of today."""
    begin_s, end_s = (at(today, time_zone(site.zone)) for at in (day_start_s, day_end_s))
    query = select(
        epoch(_quarters.starts_at), _quarters.covered_s, _quarters.production_wh, _quarters.consumption_wh
    ).where(
        _quarters.gateway_id.in_(site.gateway_ids),
        _quarters.phase == "total",
        _quarters.starts_at >= from_epoch_s(begin_s),
        _quarters.starts_at < from_epoch_s(end_s),
    )
    slots: dict[int, list[Any]] = {}
    rows = connection.execute(query.order_by(_quarters.starts_at)).all()
    first_s = site.counted_s[0][0] if site.counted_s else None
    for number, (at_s, covered_s, *energies) in enumerate(rows, start=1):
        # The last quarter hour may still run, and the site's first began with its first poll.
        length_s = (covered_s or 0) if number == len(rows) or at_s == first_s else QUARTER_S
        if length_s < SHORTEST_S:
            continue
        slots.setdefault((at_s - begin_s) // STEP_S, []).append(
            [None if wh is None else 3600 * wh / length_s for wh in energies]
        )
    for slot in range((end_s - begin_s) // STEP_S):
        quarters = slots.get(slot, [])
        production, consumption = ([powers[flow] for powers in quarters] for flow in (0, 1))
        yield _mean(production), _mean(consumption)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
