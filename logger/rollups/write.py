"""The rows of the energy tables: quarter hours as they were counted, hours and days as their sums.

Hours and days are local ones of the gateway. Each time they are counted, rows are replaced where they differ.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, bindparam, select, update

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, local_day, quarter_start_s, utc_offset_s
from logger.ledger.flows import Interval
from logger.rollups.site import Site
from logger.store.database import rows
from logger.store.models import ENERGY_15MIN, ENERGY_DAILY, ENERGY_HOURLY, epoch
from logger.store.queries import ends_s
from logger.store.replacing import replace

FLOWS = (
    "production_wh", "consumption_wh", "grid_import_wh", "grid_export_wh", "battery_charge_wh", "battery_discharge_wh",
    "battery_estimated_wh",
)  # fmt: skip
PEAKS = ("peak_production", "peak_consumption")
#: This many days are summed at a time.
STRETCH = timedelta(days=6)

_PEAK_NAMES = [f"{name}_{what}" for name in PEAKS for what in ("w", "at")]
#: What is read of a quarter hour, instants as epoch seconds: its start, offset and phase first
_NAMES = ("starts_at", "utc_offset_s", "phase", *FLOWS, "covered_s", "bridged_wh", *_PEAK_NAMES)
_PARTS = [epoch(ENERGY_15MIN.c[name]) if name.endswith("_at") else ENERGY_15MIN.c[name] for name in _NAMES]
_start = ENERGY_15MIN.c.starts_at
_PARTS_BETWEEN = (
    select(*_PARTS)
    .where(ENERGY_15MIN.c.gateway_id == bindparam("gateway"), _start >= bindparam("since"), _start < bindparam("end"))
    .order_by(_start)
)
_Part = tuple[Any, ...]
#: start of the quarter hour -> W, epoch seconds
Highest = dict[int, tuple[float, int]]


class Peaks:
    """Powers, of which the highest of each quarter hour is wanted, and when it was."""

    def __init__(self) -> None:
        self._samples: list[tuple[Sequence[int], Sequence[float]]] = []

    def extend(self, times_s: Sequence[int], powers_w: Sequence[float]) -> None:
        """Take samples into account; one on a boundary closes the quarter hour before it."""
        self._samples.append((times_s, powers_w))

    def highest(self, max_power_w: Callable[[int], float], always_w: float) -> Highest:
        """Return the highest that a quarter hour can hold; all can hold ``always_w``."""
        found: Highest = {}
        for times_s, powers_w in self._samples:
            first = 0
            while first < len(times_s):
                start = (times_s[first] - 1) // QUARTER_S * QUARTER_S
                end = bisect_right(times_s, start + QUARTER_S, first)
                best_w = max(powers_w[first:end])
                if best_w > always_w and best_w > (limit_w := max_power_w(start)):
                    plausible = (power_w for power_w in powers_w[first:end] if power_w <= limit_w)
                    best_w = max(plausible, default=-inf)
                if best_w > found.get(start, (-inf,))[0]:
                    found[start] = best_w, times_s[powers_w.index(best_w, first)]
                first = end
        return found


def quarter_rows(
    site: Site, intervals: Iterable[Interval], production: Highest, consumption: Highest
) -> list[dict[str, Any]]:
    """Return the rows of energy_15min."""
    offsets: dict[int, int] = {}
    rows = []
    for interval in intervals:
        start = interval.starts_s
        offset = offsets.get(start)
        if offset is None:
            offset = offsets[start] = utc_offset_s(start, site.zone)
        row: dict[str, Any] = {
            "gateway_id": site.gateway_id,
            "starts_at": from_epoch_s(start),
            "phase": interval.phase,
            "utc_offset_s": offset,
            "covered_s": interval.covered_s,
            "bridged_wh": interval.bridged_mwh / 1000,
        }
        for name in FLOWS:
            energy_mwh = getattr(interval, name.replace("_wh", "_mwh"))
            row[name] = None if energy_mwh is None else energy_mwh / 1000
        is_total = interval.phase == "total"
        for name, peaks in (("production", production), ("consumption", consumption)):
            peak = peaks.get(start) if is_total else None
            row[f"peak_{name}_w"] = peak[0] if peak else None
            row[f"peak_{name}_at"] = from_epoch_s(peak[1]) if peak else None
        rows.append(row)
    return rows


def replace_rows(
    connection: Connection, table: Table, site: Site, since_s: int, until_s: int | None, rows: Sequence[dict[str, Any]]
) -> date | None:
    """Replace a gateway's rows from an instant on, up to before another or all that come later.

    Of a table of days, the whole days of these instants. Returns the first instant or day of which something changed.
    """
    since: date = from_epoch_s(since_s)
    until: date | None = None if until_s is None else from_epoch_s(until_s - 1)
    if "day" in table.c:
        since = local_day(since_s, site.zone)
        until = None if until_s is None else local_day(until_s - 1, site.zone)
    changed = replace(connection, table, site.gateway_id, since, until, rows)
    return type(since).fromisoformat(changed) if isinstance(changed, str) else changed


def recompute_sums(
    connection: Connection, site: Site, since_s: int, last_s: int, until_s: int | None, now_s: int
) -> None:
    """Sum anew the local hours and days from ``since_s`` to the quarter hour ``last_s``.

    Sums of later days are deleted up to ``until_s``, or all if it is None. What passed since then up to ``now_s``
    belongs to the last hour and day: nothing was measured.
    """
    zone = site.zone
    begin_s = day_start_s(local_day(since_s, zone), zone)
    end_s = day_end_s(local_day(last_s, zone), zone)
    of = {"gateway": site.gateway_id, "since": from_epoch_s(begin_s), "end": from_epoch_s(end_s)}
    hours: dict[tuple[int, int, str], list[_Part]] = {}
    days: dict[tuple[Any, str], list[_Part]] = {}
    known: dict[int, date] = {}
    for row in rows(connection, _PARTS_BETWEEN, of, few=True):
        at_s, offset, phase = row[:3]
        day = known.get(at_s)
        if day is None:
            day = known[at_s] = local_day(at_s, zone)
        hours.setdefault(((at_s + offset) // 3600, offset, phase), []).append(row)
        days.setdefault((day, phase), []).append(row)
    open_end_s = max(last_s + QUARTER_S, quarter_start_s(now_s))
    hour_rows, first_hour_s = [], None
    for (_, offset, phase), parts in hours.items():
        if parts[0][0] < since_s - 3600:
            continue
        starts_s, ends_s = _hour(parts[0][0], offset, zone)
        first_hour_s = min(starts_s, first_hour_s or starts_s)
        row = {"gateway_id": site.gateway_id, "starts_at": from_epoch_s(starts_s), "phase": phase}
        row |= {"utc_offset_s": offset, "period_s": min(ends_s, open_end_s) - starts_s}
        hour_rows.append(row | _sum(parts))
    day_rows = []
    for (day, phase), parts in days.items():
        period_s = min(day_end_s(day, zone), open_end_s) - day_start_s(day, zone)
        row = {"gateway_id": site.gateway_id, "day": day, "phase": phase, "period_s": period_s}
        day_rows.append(row | _sum(parts))
    if until_s is not None:
        until_s = max(end_s, day_end_s(local_day(until_s - 1, zone), zone))
    if first_hour_s is not None:
        replace_rows(connection, ENERGY_HOURLY, site, first_hour_s, until_s, hour_rows)
    replace_rows(connection, ENERGY_DAILY, site, begin_s, until_s, day_rows)


def recompute_kept(connection: Connection, site: Site, until_s: int | None, now_s: int, since_s: int = 0) -> None:
    """Sum anew the hours and days of quarter hours whose samples were pruned, up to an instant.

    From the local day of ``since_s`` on. A quarter hour of another time zone than the gateway's (it was changed) moves
    to its own.
    """
    ends = ends_s(connection, ENERGY_15MIN.c.starts_at, site.gateway_id)
    if ends is None:
        return
    newest_s = ends[1] if until_s is None else min(ends[1], quarter_start_s(until_s))
    day = local_day(max(ends[0], since_s), site.zone)
    while day <= local_day(newest_s, site.zone):
        first_s, end_s = day_start_s(day, site.zone), day_end_s(day + STRETCH, site.zone)
        _correct_offsets(connection, site, first_s, end_s - QUARTER_S)
        recompute_sums(connection, site, first_s, min(newest_s, end_s - QUARTER_S), end_s, now_s)
        day += STRETCH + timedelta(days=1)


def _correct_offsets(connection: Connection, site: Site, first_s: int, last_s: int) -> None:
    start, offset = ENERGY_15MIN.c.starts_at, ENERGY_15MIN.c.utc_offset_s
    mine = ENERGY_15MIN.c.gateway_id == site.gateway_id
    query = select(epoch(start), offset).where(mine, start.between(from_epoch_s(first_s), from_epoch_s(last_s)))
    wrong = [
        {"at": from_epoch_s(start_s), "right_s": right_s}
        for start_s, offset_s in rows(connection, query.distinct())
        if offset_s != (right_s := utc_offset_s(start_s, site.zone))
    ]
    if wrong:
        correct = update(ENERGY_15MIN).where(mine, start == bindparam("at"))
        connection.execute(correct.values(utc_offset_s=bindparam("right_s")), wrong)


def _hour(at_s: int, offset: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the bounds of the local hour that holds a quarter hour.

    An hour in which the clock changes by 30 minutes (Lord Howe) ends or starts at the change.
    """
    starts_s = at_s - (at_s + offset) % 3600
    ends_s = starts_s + 3600
    # A quarter hour may still carry the offset of another zone: then the hour is a whole one.
    within = [s for s in range(starts_s, ends_s, QUARTER_S) if utc_offset_s(s, zone) == offset]
    return (within[0], within[-1] + QUARTER_S) if within else (starts_s, ends_s)


def _sum(parts: Sequence[_Part]) -> dict[str, Any]:
    """Add quarter hours; what none of them knows stays unknown."""
    columns = dict(zip(_NAMES, zip(*parts, strict=True), strict=True))
    result: dict[str, Any] = {}
    for name in FLOWS:
        known = [value for value in columns[name] if value is not None]
        result[name] = round(sum(known), 3) if known else None
    result["covered_s"] = sum(value or 0 for value in columns["covered_s"])
    result["bridged_wh"] = round(sum(value or 0 for value in columns["bridged_wh"]), 3)
    for name in PEAKS:
        powers_w = columns[f"{name}_w"]
        best_w = max((value for value in powers_w if value is not None), default=None)
        result[f"{name}_w"], result[f"{name}_at"] = best_w, None
        if best_w is not None:
            result[f"{name}_at"] = from_epoch_s(columns[f"{name}_at"][powers_w.index(best_w)])
    return result
