"""Energy reports: one row per period, missing periods included.

Rows come from the views, so that a report and a query agree to the digit. What a period is, and how sure, stands in
``periods`` and ``columns``.

Walk: views -> here -> exports
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from logger.clock import QUARTER_S, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.errors import NoDataError, UsageError
from logger.reports import Report
from logger.reports.columns import COVERAGE, ENERGY, FLOWS, STATUS, SUSPECT, UNCOUNTED, UNKNOWN_DAY, status_of
from logger.reports.periods import (
    DEFAULT_DAYS,
    PERIOD_LABELS,
    WITHIN_A_DAY,
    Kind,
    Text,
    next_period,
    period_of,
    periods,
    span,
    text_of,
)
from logger.store.models import ENERGY_15MIN, ENERGY_DAILY, EVENTS, GATEWAYS, INVERTER_DAILY, POLLS, UtcDateTime
from logger.store.queries import ends_s

#: weight of the ratios -> its energy, and the other that has to be known as well
KNOWN = {
    "known_production_kwh": ("production_kwh", "grid_export_kwh"),
    "known_consumption_kwh": ("consumption_kwh", "grid_import_kwh"),
    "known_import_kwh": ("grid_import_kwh", "consumption_kwh"),
}
#: where a kind of report has another view than its own name says
VIEWS = {"quarter-hourly": "v_energy_15min"}
NOTHING = (None,) * len(KNOWN)


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, and the first and last day that it has energy of.

    A name stands for all gateways that had it: one that was replaced goes on in the next.
    """

    name: str
    gateway_ids: list[int]
    zone: str
    peak_power_kwp: float | None
    first: date
    last: date
    counted_s: list[tuple[int, int]]  #: for each gateway from when until when, epoch seconds

    def lasted_s(self, start_s: int, end_s: int, today_s: int) -> int:
        """Return how much of a period has passed (s): up to today, and to what was counted of it.

        The views count in the same way.
        """
        until_s = max([today_s, *(until_s for _, until_s in self.counted_s)])
        return max(0, min(end_s, until_s) - start_s)


def energy_report(
    connection: Connection, kind: Kind, *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None
) -> Report:
    """Return the energy of each period; kWh, ratios in percent, None where unknown.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range; names what there is.
    """
    sites = sites_of(connection, gateway)
    now_s, covered = to_epoch_s(now), ENERGY.index(COVERAGE)
    rows: list[tuple[Any, ...]] = []
    weights: dict[str, list[float | None]] = {"covered_s": [], "period_s": [], "peak_power_kwp": []}
    weights |= {name: [] for name in KNOWN}
    is_measured = has_energy = False
    for site in sites:
        zone = time_zone(site.zone)
        first, last = days_of(site, kind, since, until, now)
        if last < first:
            continue
        found = _energy(connection, kind, site, first, last)
        lacking = _lacking(connection, kind, site, first, last)
        # What is lost between two samples is nothing to a month.
        is_short, begin_s = kind in {*WITHIN_A_DAY, "daily"}, day_start_s(first, zone)
        breaks = breaks_s(connection, site, begin_s, by_day=kind == "daily") if is_short else []
        until_s = day_start_s(next_period(kind, period_of(kind, last)), zone)
        suspects = list(suspect_days(connection, site, day_start_s(period_of(kind, first), zone), until_s))
        today_s = day_start_s(local_day(now_s, zone), zone)
        for name, labels, start_s, end_s in periods(kind, first, last, zone):
            if start_s > now_s and name not in found:
                continue  # It is still to come.
            numbers = found.get(name, [None] * len(ENERGY))
            is_measured = is_measured or numbers[covered] is not None
            numbers[covered] = covered_pct = numbers[covered] or 0.0
            status = status_of(
                covered_pct,
                is_over=end_s <= now_s,
                is_broken=has_break(breaks, start_s, end_s),
                is_suspect=has_suspect(suspects, start_s, end_s, zone),
            )
            rows.append((site.name, *labels, *numbers, status))
            length_s = site.lasted_s(start_s, end_s, today_s)
            weights["covered_s"].append(covered_pct / 100 * length_s)
            weights["period_s"].append(length_s)
            weights["peak_power_kwp"].append(site.peak_power_kwp)
            values = dict(zip((column.name for column in ENERGY), numbers, strict=True))
            has_energy = has_energy or any(values[column.name] is not None for column in FLOWS)
            for (weight, (of, other)), less in zip(KNOWN.items(), lacking.get(name, NOTHING), strict=True):
                is_known = values[of] is not None and values[other] is not None
                weights[weight].append(values[of] - (less or 0.0) if is_known else None)
    if not is_measured:
        raise nothing_in_range(sites)
    if not has_energy and (error := _polled_once(connection, sites)) is not None:
        raise error
    return Report(kind, ["gateway", *PERIOD_LABELS[kind]], ENERGY, [STATUS], rows, weights)


def _energy(connection: Connection, kind: Kind, site: Site, first: date, last: date) -> dict[str, list[Any]]:
    """Return the numbers of each period that has any, by the name that its view gives it."""
    since, until = period_of(kind, first), next_period(kind, period_of(kind, last))
    names = ", ".join(column.name for column in ENERGY)
    rows = view_rows(
        connection, VIEWS.get(kind, f"v_energy_{kind}"), f"{PERIOD_LABELS[kind][0]}, {names}", site,
        text_of(kind, since), text_of(kind, until), key=PERIOD_LABELS[kind][0],
    )  # fmt: skip
    return {
        str(at.astimezone(UTC).replace(tzinfo=None) if isinstance(at, datetime) else at): numbers
        for at, *numbers in rows
    }


def _lacking(connection: Connection, kind: Kind, site: Site, first: date, last: date) -> dict[str, Sequence[Any]]:
    """Return what of ``KNOWN`` lies on days of a month or year that lack the other input."""
    if kind not in {"monthly", "yearly"}:
        return {}
    period = f"substr(CAST(day AS VARCHAR), 1, {len(text_of(kind, first))})"
    sums = [f"SUM(CASE WHEN {other} IS NULL THEN {of} END)" for of, other in KNOWN.values()]
    since, until = period_of(kind, first), next_period(kind, period_of(kind, last))
    rows = view_rows(
        connection, "v_energy_daily", ", ".join([period, *sums]), site, since, until, group=f"GROUP BY {period}"
    )
    return {name: less for name, *less in rows}


def nothing_in_range(sites: Sequence[Site]) -> NoDataError:
    """Return the error that names the days that have data."""
    held = "; ".join(f"{site.name}: {site.first} to {site.last}" for site in sites)
    return NoDataError(f"There is no data in this range; there is data of {held}.")


def sites_of(connection: Connection, gateway: str | None, *, inverters: bool = False) -> list[Site]:
    """Return the gateways that have energy, or the one that was asked for; ``inverters``: also energy of these alone.

    Raises:
        UsageError: no such gateway; lists the known.
        NoDataError: nothing was recorded yet.
    """
    of, tables = GATEWAYS.c, (ENERGY_DAILY, INVERTER_DAILY) if inverters else (ENERGY_DAILY,)
    # Each of these is one seek by the key.
    ends = [select(end(table.c.day)).where(table.c.gateway_id == of.gateway_id).scalar_subquery()
            for table in tables for end in (func.min, func.max)]  # fmt: skip
    query = select(of.gateway_id, of.name, of.time_zone, of.peak_power_kwp, *ends).order_by(of.gateway_id)
    rows = connection.execute(query).all()
    names = dict.fromkeys(row.name for row in rows)
    if gateway is not None and gateway not in names:
        known = ", ".join(names) or "none yet"
        raise UsageError(f"There is no gateway {gateway!r} in the database; known: {known}.")
    found = {name: [row for row in rows if row.name == name] for name in names if gateway in {None, name}}
    days = {name: [day for row in mine for day in row[4:] if day is not None] for name, mine in found.items()}
    sites = [_site(connection, mine, days[name]) for name, mine in found.items() if days[name]]
    if not sites:
        raise NoDataError(
            "No energy has been recorded yet: `envoylog run` counts it at each quarter hour, and `envoylog db rebuild` "
            "counts samples that came from elsewhere."
        )
    return sites


def _polled_once(connection: Connection, sites: Sequence[Site]) -> NoDataError | None:
    """Return the error that says what a single poll is too few for; None where a site has more."""
    ends = [(site, ends_s(connection, POLLS.c.polled_at, number)) for site in sites for number in site.gateway_ids]
    polled = [(site, found) for site, found in ends if found is not None]
    if not polled or any(first_s != last_s for _, (first_s, last_s) in polled):
        return None
    site, (at_s, _) = polled[0]
    at = from_epoch_s(at_s).astimezone(time_zone(site.zone))
    return NoDataError(
        f"{site.name} was polled once, at {at:%H:%M} on {at:%Y-%m-%d}. Energy is what is counted between two polls: it "
        "appears with the second; run: envoylog run"
    )


def _site(connection: Connection, rows: Sequence[Any], days: Sequence[date]) -> Site:
    """Return the site of the gateways of one name, which have energy of some days."""
    ends = (ends_s(connection, ENERGY_15MIN.c.starts_at, row.gateway_id) for row in rows)
    return Site(
        name=rows[0].name,
        gateway_ids=[row.gateway_id for row in rows],
        zone=max((row.time_zone for row in rows if row.time_zone), default="UTC"),
        peak_power_kwp=max((row.peak_power_kwp for row in rows if row.peak_power_kwp), default=None),
        first=min(days),
        last=max(days),
        counted_s=sorted((first_s, last_s + QUARTER_S) for first_s, last_s in filter(None, ends)),
    )


def days_of(site: Site, kind: str, since: Text, until: Text, now: datetime) -> tuple[date, date]:
    """Return the days to show: those asked for, else ``DEFAULT_DAYS``, else all there are."""
    today = local_day(to_epoch_s(now), time_zone(site.zone))
    begin, end = span(since, until, today)
    last = min(end, max(today, site.last)) if end else site.last
    days = DEFAULT_DAYS.get(kind)
    return begin or max(site.first, last - timedelta(days - 1) if days else site.first), last


def view_rows(
    connection: Connection, view: str, what: str, site: Site, since: date | str, until: date | str,
    *, key: str = "day", group: str = "",
) -> Sequence[Any]:  # fmt: skip
    """Return what a view has of a site, from one local day (month, year) to before another.

    The bounds are of the key's own type, so that ten years of rows take no longer than one.
    """
    kind: sa.types.TypeEngine[Any] = UtcDateTime() if key.endswith("_at") else sa.Text()
    ends: list[Any] = [since, until]
    if key.endswith("_at"):
        ends = [from_epoch_s(day_start_s(as_date(end), time_zone(site.zone))) for end in ends]
    elif key == "day":
        kind, ends = sa.Date(), [as_date(end) for end in ends]
    elif key == "year":
        kind, ends = sa.Integer(), [int(end) for end in ends]
    query = sa.text(
        f"SELECT {what} FROM {view} WHERE gateway = :gateway AND {key} >= :since AND {key} < :until {group}"  # noqa: S608 - all names are ours
    ).bindparams(sa.bindparam("since", ends[0], kind), sa.bindparam("until", ends[1], kind), gateway=site.name)
    return connection.execute(query).all()


def breaks_s(connection: Connection, site: Site, since_s: int, *, by_day: bool) -> list[int]:
    """Return when a total's counter was broken off since an instant, epoch seconds in order.

    ``by_day``: also when a day ended that is not known well enough.
    """
    events = EVENTS.c
    query = select(events.at).where(
        events.gateway_id.in_(site.gateway_ids),
        events.kind.in_((*UNCOUNTED, *UNKNOWN_DAY) if by_day else UNCOUNTED),
        events.subject.like("% total"),
        events.at > from_epoch_s(since_s),
    )
    breaks = [to_epoch_s(at) for (at,) in connection.execute(query)]
    # Where one gateway of a name ended, and where the next began.
    for (_, until_s), (from_s, _) in pairwise(site.counted_s):
        breaks += [until_s, from_s + 1]
    return sorted(breaks)


def has_break(breaks: Sequence[int], start_s: int, end_s: int) -> bool:
    """Return whether a break lies within a period; one at its very start ended the one before."""
    index = bisect_left(breaks, start_s + 1)
    return index < len(breaks) and breaks[index] <= end_s


def suspect_days(connection: Connection, site: Site, start_s: int, end_s: int) -> dict[date, str]:
    """Return the local days in some time that are suspect, each with the first detail of what to look at."""
    events, zone = EVENTS.c, time_zone(site.zone)
    query = select(events.at, events.detail).where(
        events.gateway_id.in_(site.gateway_ids),
        events.kind.in_(SUSPECT),
        events.at >= from_epoch_s(start_s),
        events.at < from_epoch_s(end_s),
    )
    days: dict[date, str] = {}
    for at, detail in connection.execute(query.order_by(events.at, events.kind)):
        days.setdefault(local_day(to_epoch_s(at), zone), detail)
    return days


def has_suspect(days: Sequence[date], start_s: int, end_s: int, zone: ZoneInfo) -> bool:
    """Return whether a period has part of a suspect day; these in order."""
    index = bisect_left(days, local_day(start_s, zone)) if days else 0
    return index < len(days) and days[index] <= local_day(end_s - 1, zone)


def as_date(value: Any) -> date:
    """Return a day as the engine gives it: a date, or its text."""
    return value if isinstance(value, date) else date.fromisoformat(value)
