"""How sure the totals are: gaps, resets, suspects, and counters against inverters, per day.

Walk: v_energy_daily, v_inverter_daily, polls, events -> here -> exports
"""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, func, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.reports import Report
from logger.reports.columns import INVERTERS_EXCESS, NOTES, QUALITY, STATUS, status_of
from logger.reports.energy import (
    Site,
    as_date,
    breaks_s,
    days_of,
    has_break,
    nothing_in_range,
    sites_of,
    suspect_days,
    view_rows,
)
from logger.reports.notes import in_words
from logger.reports.periods import Text, periods
from logger.reports.storage import storage_notes
from logger.store.models import EVENTS, POLLS

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


def quality_report(
    connection: Connection, *, now: datetime, since: Text = None, until: Text = None, gateway: Text = None
) -> Report:
    """Return per day what was missing, what was decided, and how counters compare to inverters.

    Raises:
        UsageError: no such gateway, or no such date.
        NoDataError: nothing in the range.
    """
    sites = sites_of(connection, gateway)
    records: list[dict[str, Any]] = []  # the columns of the report, and its weights
    now_s = to_epoch_s(now)
    for site in sites:
        first, last = days_of(site, "quality", since, until, now)
        first, after, zone = max(first, site.first), last + timedelta(days=1), time_zone(site.zone)
        what, summed = "day, production_kwh, coverage_pct, bridged_kwh", "day, SUM(energy_kwh)"
        days = view_rows(connection, "v_energy_daily", what, site, first, after)
        energy = {as_date(row[0]): row[1:] for row in days}
        sums = view_rows(connection, "v_inverter_daily", summed, site, first, after, group="GROUP BY day")
        inverters = {as_date(day): None if kwh is None else round(kwh, 6) for day, kwh in sums}
        begin_s = day_start_s(first, zone)
        today_s = day_start_s(local_day(now_s, zone), zone)
        events = _events(connection, site, begin_s, day_end_s(last, zone))
        breaks = breaks_s(connection, site, begin_s, by_day=True)
        suspects = suspect_days(connection, site, begin_s, day_end_s(last, zone))
        of_batteries = storage_notes(connection, site, first, last)
        for _, (day,), start_s, end_s in periods("daily", first, last, zone):
            production_kwh, covered_pct, bridged_kwh = energy.get(day, (None, 0.0, None))
            share = (covered_pct or 0.0) / 100
            period_s = site.lasted_s(start_s, end_s, today_s)
            events_of_day = events.get(day, [])
            kinds = [event.kind for event in events_of_day]
            polls, failed = _polls(connection, site, start_s, end_s)
            records.append(
                {
                    "gateway": site.name,
                    "day": day,
                    "coverage_pct": covered_pct,
                    "missing_s": round(max(0, min(end_s, now_s) - start_s) * (1 - share)),
                    "bridged_kwh": bridged_kwh,
                    "polls": polls,
                    "polls_failed": failed,
                    "production_kwh": production_kwh,
                    "inverters_kwh": inverters.get(day),
                    "inverters_difference_pct": _excess_pct(inverters.get(day), production_kwh),
                    **{column: kinds.count(kind) for kind, column in COUNTED.items()},
                    STATUS: status_of(
                        covered_pct,
                        is_over=end_s <= now_s,
                        is_broken=has_break(breaks, start_s, end_s),
                        is_suspect=day in suspects,
                    ),
                    NOTES: "; ".join(filter(None, [in_words(events_of_day, day, zone), *of_batteries.get(day, [])])),
                    "covered_s": period_s * share,
                    "period_s": period_s,
                }
            )
    if not records:
        raise nothing_in_range(sites)
    names = ["gateway", "day", *(column.name for column in QUALITY), STATUS, NOTES]
    rows = [tuple(record[name] for name in names) for record in records]
    weights = {name: [record[name] for record in records] for name in ("covered_s", "period_s")}
    return Report("quality", names[:2], QUALITY, [STATUS, NOTES], rows, weights)


def _events(connection: Connection, site: Site, begin_s: int, end_s: int) -> dict[date, list[Any]]:
    """Return events by local day."""
    at, mine = EVENTS.c.at, EVENTS.c.gateway_id.in_(site.gateway_ids)
    query = select(at, EVENTS.c.kind, EVENTS.c.subject, EVENTS.c.detail).order_by(at)
    by_day: dict[date, list[Any]] = {}
    for event in connection.execute(query.where(mine, at >= from_epoch_s(begin_s), at < from_epoch_s(end_s))):
        by_day.setdefault(local_day(to_epoch_s(event.at), time_zone(site.zone)), []).append(event)
    return by_day


def _polls(connection: Connection, site: Site, start_s: int, end_s: int) -> tuple[int, int]:
    """Return how many polls a day had, and how many of them failed."""
    at, mine = POLLS.c.polled_at, POLLS.c.gateway_id.in_(site.gateway_ids)
    query = select(func.count(), func.sum(case((POLLS.c.outcome == "failed", 1), else_=0)))
    within = mine, at >= from_epoch_s(start_s), at < from_epoch_s(end_s)
    polls, bad = connection.execute(query.where(*within)).one()
    return polls, bad or 0


def _excess_pct(inverters_kwh: float | None, production_kwh: float | None) -> float | None:
    """Return how much more the inverters report than the counter; None where one is unknown."""
    one_day = {"inverters_kwh": [inverters_kwh], "production_kwh": [production_kwh]}
    excess = INVERTERS_EXCESS.of(one_day.__getitem__)
    return None if excess is None else round(excess, 3)
