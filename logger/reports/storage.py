"""Whether batteries' charge and discharge agree with the energy that they say they store, and where nothing is known.

Notes only: stored energy moves in whole percents, and a round trip loses a quarter. What is far from both is worth a
look at how the batteries are measured.

Walk: v_energy_daily, storage_samples -> here -> reports.quality
"""

from collections import defaultdict
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.reports.energy import Site, as_date, view_rows
from logger.reports.periods import next_period, period_of
from logger.store.models import STORAGE_SAMPLES

#: Stored energy of a day's ends is that of samples so close to them, s.
CLOSE_S = 1_800
#: A day's balance may be off by this part of what went in and out, and of the capacity.
OF_THROUGHPUT, OF_CAPACITY = 0.25, 0.02
#: Round trips of a month give back from this to that part.
LEAST, MOST = 0.6, 1.0


class Level(NamedTuple):
    """What all batteries stored at one instant, and can store, kWh."""

    stored_kwh: float
    capacity_kwh: float


def storage_notes(connection: Connection, site: Site, first: date, last: date) -> dict[date, list[str]]:
    """Return by day what is odd of the batteries, or not known; of a month on its last day that is shown."""
    since, until = period_of("monthly", first), next_period("monthly", period_of("monthly", last))
    what = "day, battery_charge_kwh, battery_discharge_kwh, coverage_pct, grid_import_kwh, consumption_kwh"
    rows = sorted(view_rows(connection, "v_energy_daily", what, site, since, until))
    notes: defaultdict[date, list[str]] = defaultdict(list)
    for day, *_, import_kwh, consumption_kwh in rows:
        if import_kwh is not None and consumption_kwh is None:
            notes[as_date(day)].append("what the house consumed is not known")
    found = {as_date(day): numbers for day, *numbers in rows if None not in numbers[:3]}
    months: defaultdict[date, list[date]] = defaultdict(list)
    for day, (charge_kwh, discharge_kwh, covered_pct, *_) in found.items():
        months[period_of("monthly", day)].append(day)
        levels = _levels(connection, site, day, day) if first <= day <= last and covered_pct >= 95 else None
        if levels is not None:
            before, after = levels
            grown_kwh, kept_kwh = after.stored_kwh - before.stored_kwh, charge_kwh - discharge_kwh
            allowed_kwh = OF_THROUGHPUT * (charge_kwh + discharge_kwh) + OF_CAPACITY * after.capacity_kwh
            if abs(kept_kwh - grown_kwh) > allowed_kwh:
                notes[day].append(
                    f"battery charge - discharge is {kept_kwh:.1f} kWh, stored energy changed by {grown_kwh:.1f} kWh"
                )
    for month, days in months.items():
        charge_kwh, discharge_kwh = (sum(found[day][place] for day in days) for place in (0, 1))
        levels = _levels(connection, site, days[0], days[-1]) if charge_kwh else None
        if levels is None or discharge_kwh < levels[1].capacity_kwh:
            continue
        back = (discharge_kwh + levels[1].stored_kwh - levels[0].stored_kwh) / charge_kwh
        if not LEAST <= back <= MOST:
            shown = min(last, days[-1])
            notes[shown].append(
                f"batteries gave back {100 * back:.0f} % of what they were charged with in {month:%Y-%m}"
            )
    return notes


def _levels(connection: Connection, site: Site, first: date, last: date) -> tuple[Level, Level] | None:
    """Return what was stored at the beginning and at the end of days; None where it isn't known of both."""
    zone, columns = time_zone(site.zone), STORAGE_SAMPLES.c
    begin, end = from_epoch_s(day_start_s(first, zone)), from_epoch_s(day_end_s(last, zone))
    close = timedelta(seconds=CLOSE_S)
    query = select(columns.energy_wh, columns.capacity_wh).where(
        columns.gateway_id.in_(site.gateway_ids),
        columns.kind == "encharge",
        columns.energy_wh.is_not(None),
        columns.capacity_wh.is_not(None),
    )
    before = query.where(columns.polled_at.between(begin, begin + close)).order_by(columns.polled_at)
    after = query.where(columns.polled_at.between(end - close, end)).order_by(columns.polled_at.desc())
    rows = [connection.execute(each.limit(1)).first() for each in (before, after)]
    levels = [Level(row[0] / 1000, row[1] / 1000) for row in rows if row is not None]
    return (levels[0], levels[1]) if len(levels) == 2 else None
