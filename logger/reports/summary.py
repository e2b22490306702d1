"""All that a workbook is about: the reports of a range, and what a summary says of them.

Walk: energy, quality, battery, panels, compare -> here -> exports.workbook
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, func, select

from logger.clock import local_day, time_zone, to_epoch_s
from logger.reports import Report
from logger.reports.battery import battery_report, has_batteries
from logger.reports.columns import NOTES, STATUS
from logger.reports.compare import rows_of, together, year_before
from logger.reports.energy import Site, energy_report, sites_of
from logger.reports.panels import Panel, standing_panels
from logger.reports.periods import Kind, Text
from logger.reports.quality import quality_report
from logger.store.models import INVERTER_DAILY, PANEL_DAILY, PANELS

#: Ranges up to this many days are shown by day, longer ones by month.
SHORT_DAYS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What some days had; kWh, percent and W by the name of the column, None where unknown."""

    since: date
    until: date
    numbers: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelMonth:
    """What a panel made in a month, and on the days that were judged beside the median of its neighbours; kWh."""

    serial: str
    name: str | None
    month: str
    energy_kwh: float | None
    judged_kwh: float | None
    peers_kwh: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The reports of a range; of several gateways those of all together, and the days of each."""

    gateways: Sequence[str]
    daily: Report
    monthly: Report
    yearly: Report
    quality: Report | None  #: of a long range only days with something to look at; None without any
    battery: Report | None
    by_gateway: dict[str, Report]  #: the days of each gateway, where there are several
    charted: Report  #: what charts show: days of a short range, else the months of the last two years
    now: Part | None  #: days of the newest year that are over,
    then: Part | None  #: and the same a year before
    extremes: tuple[tuple[date, float], tuple[date, float]] | None  #: the days with the most and the least production
    panels: Sequence[Panel]
    panel_months: Sequence[PanelMonth]

    @property
    def days(self) -> tuple[date, date]:
        """Return the first and the last day."""
        days = self.daily.column("day")
        return min(days), max(days)

    def spans(self, status: str) -> list[tuple[date, date]]:
        """Return from when until when days had a status, as few spans as possible."""
        days = [
            day for day, own in zip(self.daily.column("day"), self.daily.column(STATUS), strict=True) if own == status
        ]
        starts = [day for before, day in pairwise([None, *days]) if before is None or day - before > timedelta(days=1)]
        ends = [day for day, after in pairwise([*days, None]) if after is None or after - day > timedelta(days=1)]
        return list(zip(starts, ends, strict=True))


def book(
    connection: Connection, *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None
) -> Book:
    """Return what a workbook is about: the days asked for, or all there are.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range; names what there is.
    """
    sites = sites_of(connection, gateway)
    since = since or str(min(site.first for site in sites))

    def energy(kind: Kind, first: Text, last: Text) -> Report:
        return energy_report(connection, kind, now=now, since=first, until=last, gateway=gateway)

    daily = energy("daily", since, until)
    names = list(dict.fromkeys(daily.column("gateway")))
    by_gateway = {
        name: rows_of(daily, [at for at, own in enumerate(daily.column("gateway")) if own == name])
        for name in names[: len(names) if len(names) > 1 else 0]
    }
    monthly, yearly = energy("monthly", since, until), energy("yearly", since, until)
    if by_gateway:
        daily, monthly, yearly = map(together, (daily, monthly, yearly))
    first, last = min(daily.column("day")), max(daily.column("day"))
    before = date(last.year - 1, 1, 1)
    wide = energy("daily", str(before), str(last))
    months = energy("monthly", str(before), str(last))
    if by_gateway:
        wide, months = map(together, (wide, months))
    today = min(local_day(to_epoch_s(now), time_zone(site.zone)) for site in sites)
    chosen = {"since": since, "until": until, "gateway": gateway}
    now_part, then_part = _compared(wide, sites, first, min(last, today - timedelta(days=1)))
    return Book(
        gateways=names,
        daily=daily,
        monthly=monthly,
        yearly=yearly,
        quality=_worth_a_look(quality_report(connection, now=now, **chosen), is_long=(last - first).days >= SHORT_DAYS),
        battery=battery_report(connection, "daily", now=now, **chosen) if has_batteries(connection, gateway) else None,
        by_gateway=by_gateway,
        charted=daily if (last - first).days < SHORT_DAYS else months,
        now=now_part,
        then=then_part,
        extremes=daily.extremes("production_kwh"),
        panels=[panel for site in sites for panel in standing_panels(connection, site, last)],
        panel_months=[month for site in sites for month in _panel_months(connection, site, first, last)],
    )


def _worth_a_look(quality: Report, *, is_long: bool) -> Report | None:
    """Return the days of a long range that lack something or have notes; all days of a short one."""
    rows = zip(quality.column(STATUS), quality.column(NOTES), strict=True)
    chosen = [at for at, (status, notes) in enumerate(rows) if notes or status not in {"final", "provisional"}]
    return (rows_of(quality, chosen) if chosen else None) if is_long else quality


def _compared(wide: Report, sites: Sequence[Site], first: date, last: date) -> tuple[Part | None, Part | None]:
    """Return what the newest year's days that are over had, and the same days of the year before."""
    since = max(first, date(last.year, 1, 1))
    if since > last:
        return None, None
    now = _part(wide, since, last)
    # A site's first day is not whole.
    held = max(site.first for site in sites) + timedelta(days=1)
    if (held.month, held.day) == (2, 29):
        held += timedelta(days=1)  # The day that this year does not have.
    then_since, then_until = year_before(since), year_before(last) or date(last.year - 1, 2, 28)
    if then_since is None or then_until < held:
        return now, None
    if then_since < held:
        then_since, since = held, held.replace(year=held.year + 1)
    return _part(wide, since, last), _part(wide, then_since, then_until)


def _part(report: Report, since: date, until: date) -> Part:
    chosen = rows_of(report, [at for at, day in enumerate(report.column("day")) if since <= day <= until])
    return Part(since=since, until=until, numbers=chosen.totals)


def _panel_months(connection: Connection, site: Site, first: date, last: date) -> list[PanelMonth]:
    """Return each panel's months, in order."""
    made, beside = INVERTER_DAILY.c, PANEL_DAILY.c
    found: dict[tuple[str, str], PanelMonth] = {}
    of = PANELS.c
    named = select(of.serial, of.name).where(of.gateway_id.in_(site.gateway_ids))
    names = {row.serial: row.name for row in connection.execute(named)}
    month = date(first.year, first.month, 1)
    while month <= last:
        after = (month + timedelta(days=32)).replace(day=1)
        ends = max(first, month), min(last, after - timedelta(days=1))
        text, month = str(month)[:7], after
        query = select(made.serial, func.sum(made.energy_wh).label("wh")).group_by(made.serial)
        query = query.where(made.gateway_id.in_(site.gateway_ids), made.day.between(*ends))
        energies = {row.serial: row.wh for row in connection.execute(query)}
        judged = select(beside.serial, func.sum(func.coalesce(beside.energy_wh, 0)), func.sum(beside.peers_median_wh))
        judged = judged.where(
            beside.gateway_id.in_(site.gateway_ids), beside.day.between(*ends), beside.peers_median_wh.is_not(None)
        )
        peers = {serial: both for serial, *both in connection.execute(judged.group_by(beside.serial))}
        for serial in sorted({*energies, *peers}):
            judged_wh, peers_wh = peers.get(serial, (None, None))
            found[serial, text] = PanelMonth(
                serial=serial,
                name=names.get(serial),
                month=text,
                energy_kwh=_kwh(energies.get(serial)),
                judged_kwh=_kwh(judged_wh),
                peers_kwh=_kwh(peers_wh),
            )
    return [found[key] for key in sorted(found)]


def _kwh(value_wh: float | None) -> float | None:
    return None if value_wh is None else value_wh / 1000
