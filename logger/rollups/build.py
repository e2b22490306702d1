"""Bring the energy tables up to date, from wherever they were left.

A checkpoint is what the counters were at a quarter hour before which nothing can change any more.
Each call reads the samples after the last checkpoint, replaces the quarter hours from there on,
and sums the hours and days that they touch anew. A sample that arrives late deletes the
checkpoints after it (store.writer), so that its days are recomputed; a rebuild deletes them all.
Never ``+=``.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from logger.clock import (
    QUARTER_S,
    day_start_s,
    quarter_start_s,
    to_epoch_s,
)
from logger.energy.flows import account
from logger.energy.series import RECOVERY_S, RETIRED_S, CounterState
from logger.energy.streams import IMPORT, PRODUCTION, TOTAL, StreamKey, limits_of
from logger.rollups import checkpoints, events, samples, sums
from logger.rollups.placing import Placing
from logger.rollups.rows import Site, delete_rows, site_of, write_quarters
from logger.store.models import (
    ENERGY_15MIN,
    ENERGY_DAILY,
)

log = logging.getLogger(__name__)

LEDGER = "energy"
CHUNK = timedelta(days=2)
#: Samples that carry a wrong time not longer ago are taken out of what was counted.
RECOUNTED_S = 30 * 86_400


def bring_up_to_date(engine: Engine, gateway_id: int, *, now: datetime, gap_s: int) -> None:
    """Roll up everything that came in since the last time; one transaction per two days."""
    until_s = 0
    while True:
        with engine.begin() as connection:
            next_s = advance(connection, gateway_id, now=now, gap_s=gap_s, beyond_s=until_s)
        if next_s is None:
            return
        until_s = next_s


def catch_up(connection: Connection, gateway_id: int, *, now: datetime, gap_s: int) -> None:
    """Roll up everything that came in since the last time, within the caller's transaction."""
    until_s: int | None = 0
    while until_s is not None:
        until_s = advance(connection, gateway_id, now=now, gap_s=gap_s, beyond_s=until_s)


def advance(
    connection: Connection, gateway_id: int, *, now: datetime, gap_s: int, beyond_s: int
) -> int | None:
    """Roll up one stretch and return up to when, or None when nothing is left.

    ``beyond_s`` is the end of the stretch before: an unsettled stretch is read again, longer.
    """
    site = site_of(connection, gateway_id)
    states: dict[StreamKey, CounterState] = {}
    checkpoint = checkpoints.last(connection, gateway_id, LEDGER)
    for name, phase, *values in checkpoint.state if checkpoint else ():
        states[name, phase] = CounterState(*values)
    last_placed_s = max((state.at_s for state in states.values()), default=None)
    placing = Placing(connection, gateway_id, to_epoch_s(now), last_placed_s)
    ends = placing.ends()
    if ends is None:
        return None
    first_s, last_s = ends
    if checkpoint is None:
        since_s = quarter_start_s(first_s)
        after_s = since_s - 1
    else:
        since_s = after_s = checkpoint.at_s
    # Time that passed without samples settles what they left open; more of it changes nothing.
    end_s = max(last_s, min(to_epoch_s(now), last_s + RETIRED_S + RECOVERY_S))
    until_s = min(end_s, max(since_s, beyond_s) + int(CHUNK.total_seconds()))
    span = samples.Span(connection, gateway_id, placing, after_s, until_s, gap_s, states)
    stretch = samples.read(span)
    if (back_s := _came_back(stretch.samples.counters, states, since_s)) is not None:
        checkpoints.forget_after(connection, gateway_id, LEDGER, back_s)
        return until_s
    result = account(
        stretch.samples,
        states,
        since_s=since_s,
        until_s=until_s,
        gap_s=gap_s,
        peak_power_w=site.peak_power_w,
    )
    if result.reopen_s is not None:
        checkpoints.forget_after(connection, gateway_id, LEDGER, result.reopen_s)
        return until_s
    _leave_out_impossible(stretch, result.most_w, site)
    write_quarters(connection, site, since_s, result.quarters, stretch)
    events.replace(connection, gateway_id, since_s, [*result.decisions, *placing.decisions()])
    # The first day may end with the quarter before: its length is known only now.
    newest_s = result.quarters[-1].starts_s if result.quarters else since_s - QUARTER_S
    sums.recompute(
        connection, gateway_id, site.zone, min(since_s, newest_s), newest_s, to_epoch_s(now)
    )
    if result.settled_s > since_s:
        state = [[*key, *state] for key, state in sorted(result.states.items())]
        checkpoints.save(connection, gateway_id, LEDGER, site.zone, result.settled_s, state)
    return None if until_s >= end_s else until_s


def _came_back(
    counters: dict[StreamKey, Any], states: dict[StreamKey, CounterState], since_s: int
) -> int | None:
    """Return since when a stream that had been given up was silent, if it speaks again."""
    silent = [
        state.at_s
        for key, state in states.items()
        if key in counters and quarter_start_s(state.at_s - 1) + 900 < since_s
    ]
    return min(silent, default=None)


def _leave_out_impossible(
    stretch: samples.Stretch, most_w: Callable[[str, int], float], site: Site
) -> None:
    """Take powers that the site can't have out of the peaks."""
    least_w = limits_of(PRODUCTION, site.peak_power_w).least_power_w

    def used_w(start_s: int) -> float:
        drawn_w = max(most_w(TOTAL, start_s), most_w(IMPORT, start_s))
        return drawn_w + most_w(PRODUCTION, start_s)

    stretch.production_peaks.leave_out(lambda start_s: most_w(PRODUCTION, start_s), least_w)
    stretch.consumption_peaks.leave_out(used_w, least_w)


def clock_was_set(
    connection: Connection, gateway_id: int, *, now: datetime, since: datetime, until: datetime
) -> None:
    """Look again at the samples of a clock that was set, now that it is known to have been wrong.

    ``since`` and ``until`` are what it said. Nothing is counted twice: what lies elsewhere than it
    was taken is told and, where it was the first that was ever counted, taken out.
    """
    placing = Placing(connection, gateway_id, to_epoch_s(now))
    since_s = to_epoch_s(since)
    placing.look_at(since_s, to_epoch_s(until))
    decisions, ends = placing.decisions(), placing.ends()
    if not decisions or ends is None:
        return
    site = site_of(connection, gateway_id)
    events.replace(connection, gateway_id, to_epoch_s(now), decisions)
    if placing.first_s is not None and placing.first_s > to_epoch_s(now) - RECOUNTED_S:
        checkpoints.forget_after(connection, gateway_id, LEDGER, placing.first_s)
    table = ENERGY_15MIN
    oldest = connection.execute(
        select(func.min(table.c.starts_at)).where(table.c.gateway_id == gateway_id)
    ).scalar_one()
    if oldest is not None and since_s - QUARTER_S <= to_epoch_s(oldest) < ends[0]:
        delete_rows(connection, site, to_epoch_s(oldest), quarter_start_s(ends[0]))
        checkpoints.forget_after(connection, gateway_id, LEDGER, -1)


@dataclass(frozen=True, slots=True)
class DayChange:
    """A day whose totals a rebuild changes; kWh, None where unknown."""

    gateway: str
    day: date
    production_kwh: tuple[float | None, float | None]  #: before, after
    consumption_kwh: tuple[float | None, float | None]


def rebuild(
    connection: Connection,
    gateway_id: int,
    *,
    now: datetime,
    gap_s: int,
    since: date | None,
    sums_too: bool = True,
) -> list[DayChange]:
    """Recompute the energy tables from raw samples and return the days that changed.

    From the local day ``since`` on, or from the first raw sample. What lies before the first raw
    sample (pruned) is kept; its hours and days are summed anew, unless ``since`` is given or
    ``sums_too`` is False. One transaction: the caller commits, or rolls back to only look.
    """
    site = site_of(connection, gateway_id)
    before = _days(connection, gateway_id)
    now_s = to_epoch_s(now)
    ends = Placing(connection, gateway_id, now_s).ends()
    if since is None and sums_too:
        until_s = quarter_start_s(ends[0]) if ends else None
        sums.recompute_kept(connection, gateway_id, site.zone, until_s, now_s)
    if ends is None:
        return []
    since_s = day_start_s(since, site.zone) if since else -1
    # What was known before the first sample stands for samples that were pruned.
    since_s = max(since_s, ends[0] - 1)
    checkpoints.forget_after(connection, gateway_id, LEDGER, since_s)
    checkpoint = checkpoints.last(connection, gateway_id, LEDGER)
    from_s = checkpoint.at_s if checkpoint else quarter_start_s(ends[0])
    delete_rows(connection, site, from_s, None)
    catch_up(connection, gateway_id, now=now, gap_s=gap_s)
    after = _days(connection, gateway_id)
    nothing = (None, None)
    return [
        DayChange(
            site.name,
            day,
            (before.get(day, nothing)[0], after.get(day, nothing)[0]),
            (before.get(day, nothing)[1], after.get(day, nothing)[1]),
        )
        for day in sorted(before.keys() | after.keys())
        if before.get(day) != after.get(day)
    ]


def _days(connection: Connection, gateway_id: int) -> dict[date, tuple[float | None, float | None]]:
    table = ENERGY_DAILY
    query = select(table.c.day, table.c.production_wh, table.c.consumption_wh).where(
        table.c.gateway_id == gateway_id, table.c.phase == "total"
    )
    return {
        day: (_kwh(produced), _kwh(consumed))
        for day, produced, consumed in connection.execute(query)
    }


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else round(energy_wh / 1000, 6)
