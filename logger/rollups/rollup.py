"""Bring the energy tables up to date, from wherever they were left.

A checkpoint is what a ledger knew at an instant before which nothing can change any more. Each step reads the samples
after the last checkpoint, replaces the rows from there on, and sums the hours and days that they touch anew. A sample
that arrives late deletes the checkpoints after it (store.writer), so that its days are recomputed; a rebuild deletes
them all. Never ``+=``.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Table

from logger.clock import QUARTER_S, day_start_s, local_day, quarter_start_s, to_epoch_s
from logger.ledger.curve import Anchor
from logger.ledger.flows import settle
from logger.ledger.limits import RECOVERY_S, RETIRED_S, Stream, limits_of
from logger.ledger.turns import changes_back
from logger.rollups import balance, checkpoints, inverters, panels
from logger.rollups.batteries import read_equipment
from logger.rollups.changes import DayChange, changes, totals
from logger.rollups.checkpoints import BALANCE, BATTERY, Checkpoint, Rolled, replace_events
from logger.rollups.clock_check import ClockCheck, misplaced_decisions
from logger.rollups.history import history_of
from logger.rollups.judge import judge
from logger.rollups.local_time import forget_places, place_events
from logger.rollups.memory import Memory
from logger.rollups.read import Window, read
from logger.rollups.site import Ends, Site, ends_of, next_s, site_of
from logger.rollups.write import quarter_rows, recompute_kept, recompute_sums, replace_rows
from logger.store import models
from logger.store.instants import write_alike
from logger.store.models import ENERGY_15MIN
from logger.store.panels import LEDGER as PANEL_LEDGER
from logger.store.phase_samples import tables_of
from logger.store.writer import take_turn

#: This much is read at a time, s.
CHUNK_S = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is counted, of which samples, and into which table."""

    name: str  #: as its checkpoints call it
    samples: tuple[Table, ...]
    table: Table
    begin_s: Callable[[int, Site], int]  #: from the first sample: from when on to count
    #: More time than this without samples changes nothing any more, s.
    patience_s: int
    count: Callable[[Window], Rolled]
    others: tuple[Table, ...] = ()  #: samples of the same polls, which go with them


class Job(NamedTuple):
    """Whose samples to roll up, and when."""

    connection: Connection
    site: Site
    now_s: int
    gap_s: int  #: the longest normal step between samples
    memory: Memory | None = None  #: of the collector that does it

    def ends(self, ledger: Ledger, right_s: int | None = None) -> Ends | None:
        """Return when the first and last sample of a ledger that count were taken."""
        tables = tables_of(self.connection, ledger.samples)
        return ends_of(self.connection, self.site.gateway_id, tables, self.now_s, right_s)

    def next_s(self, ledger: Ledger, at_s: int) -> int:
        """Return where a ledger begins with the next sample after an instant, that instant without one."""
        found = [
            first_s
            for table in ledger.samples
            if (first_s := next_s(self.connection, self.site.gateway_id, table, at_s))
        ]
        # What lies on a midnight ends the day before.
        return ledger.begin_s(min(found) - 1, self.site) if found else at_s


def job_of(connection: Connection, gateway_id: int, now: datetime, gap_s: int) -> Job:
    """Return the job of rolling up a gateway."""
    return Job(connection, site_of(connection, gateway_id), to_epoch_s(now), gap_s)


class Advance(NamedTuple):
    """How far rollups came."""

    until_s: int | None  #: None when nothing is left
    days: tuple[date, date | None] | None = None  #: to be judged, from the first on where there is no last


def advance(job: Job, ledger: Ledger, beyond_s: int, stop_s: int | None = None) -> Advance:
    """Roll up one window, and return up to when; nothing may be left up to ``stop_s``.

    ``beyond_s`` is the end of the window before: an unsettled window is read again, longer. The caller judges the days.
    """
    connection, site, now_s, gap_s, memory = job
    checkpoint = checkpoints.last(connection, site.gateway_id, ledger.name)
    states = checkpoint.states if checkpoint else {}
    right_s = max((state.at_s for state in states.values()), default=None)
    ends = job.ends(ledger, right_s)
    if ends is None:
        return Advance(None)
    since_s = checkpoint.at_s if checkpoint else ledger.begin_s(ends.first_s, site)
    end_s = max(ends.last_s, min(now_s, ends.last_s + ledger.patience_s))
    stop_s = end_s if stop_s is None else min(stop_s, end_s)
    replace_s = since_s
    is_done = checkpoint and not any(isinstance(state, Anchor) for state in states.values())
    if ledger is INVERTERS and is_done and since_s + CHUNK_S < stop_s:
        # Nothing is counted on from before: go to where something is, be it years later.
        since_s = max(since_s, job.next_s(ledger, since_s))
    until_s = min(stop_s, max(since_s, beyond_s) + CHUNK_S)
    # The first sample of all may lie on the edge.
    after_s = since_s if checkpoint else since_s - 1
    clock = ClockCheck(connection, site.gateway_id, after_s - gap_s, until_s, right_s)
    window = Window(connection, site, clock, states, since_s, until_s, after_s, gap_s, has_later=until_s < ends.last_s)
    if ledger is INVERTERS and memory is not None:
        rolled = memory.count(window, is_last=until_s >= stop_s)
        if rolled is None:
            return Advance(None)
    else:
        rolled = ledger.count(window)
    if rolled.reopen_s is not None:
        checkpoints.forget_after(connection, site.gateway_id, ledger.name, rolled.reopen_s)
        return Advance(until_s)
    replace_until_s = None if until_s >= end_s else until_s
    changed = replace_rows(connection, ledger.table, site, replace_s, replace_until_s, rolled.rows)
    misplaced = misplaced_decisions(clock.misplaced_days | ends.misplaced_days)
    replace_events(connection, site, ledger.name, replace_s, replace_until_s, [*rolled.decisions, *misplaced])
    if ledger is ENERGY:
        # The first day may end with the quarter before: its length is known only now.
        newest_s = to_epoch_s(rolled.rows[-1]["starts_at"]) if rolled.rows else since_s - QUARTER_S
        recompute_sums(connection, site, min(since_s, newest_s), newest_s, replace_until_s, now_s)
    first = local_day(replace_s, site.zone)
    last = None if replace_until_s is None else local_day(replace_until_s - 1, site.zone)
    if ledger is INVERTERS:
        panels.replace_hours(connection, site, first, last, rolled.hours, changed)
    if rolled.settled_s > since_s:
        checkpoints.save(connection, site, ledger.name, Checkpoint(rolled.settled_s, rolled.states))
    return Advance(None if until_s >= stop_s else until_s, (first, last))


# -- energy_15min
def _count(window: Window) -> Rolled:
    """Return the quarter hours of a window of samples, and where to go on."""
    found, site, states, since_s = read(window), window.site, window.states, window.since_s
    # Of streams that had been given up and speak again: since when they were silent.
    back_s = [
        state.at_s
        for key, state in states.items()
        if key in found.registers
        and quarter_start_s(state.at_s - 1) + QUARTER_S < since_s
        and not changes_back(found.registers, states, key)
    ]
    if back_s:
        return Rolled(since_s, reopen_s=min(back_s))
    equipment = read_equipment(window)
    result = settle(
        found.registers,
        found.net_power,
        {key: state for key, state in states.items() if isinstance(state, Anchor)},
        since_s=since_s,
        until_s=window.until_s,
        gap_s=window.gap_s,
        peak_power_w=site.peak_power_w,
        is_balanced=site.is_balanced,
        batteries=equipment.batteries,
        islands=equipment.islands,
        history=history_of(window),
    )
    if result.reopen_s is not None:
        return Rolled(since_s, reopen_s=result.reopen_s)
    most_w = result.max_power_w

    def most_used_w(at_s: int) -> float:
        return max(most_w(Stream.CONSUMPTION_CT, at_s), most_w(Stream.IMPORT, at_s)) + most_w(Stream.PRODUCTION, at_s)

    always_w = limits_of(Stream.PRODUCTION, site.peak_power_w).least_power_w
    production = found.production_peaks.highest(lambda at_s: most_w(Stream.PRODUCTION, at_s), always_w)
    consumption = found.consumption_peaks.highest(most_used_w, always_w)
    rows = quarter_rows(site, result.intervals, production, consumption)
    powers = {(BATTERY, kind): state for kind, state in result.batteries.items()}
    unknown, today = balance.settle_days(result, states.get(BALANCE), site, since_s)
    known = result.anchors | powers | ({} if today is None else {BALANCE: today})
    return Rolled(result.settled_s, known, rows, result.decisions + unknown)


ENERGY = Ledger(
    "energy",
    (models.PRODUCTION_SAMPLES, models.CONSUMPTION_SAMPLES, models.METER_READINGS),
    ENERGY_15MIN,
    lambda first_s, _site: quarter_start_s(first_s),
    RETIRED_S + RECOVERY_S,
    _count,
    (models.BATTERY_SAMPLES, models.STORAGE_SAMPLES),
)
INVERTERS = Ledger(
    "inverters",
    (models.INVERTER_SAMPLES,),
    models.INVERTER_DAILY,
    lambda first_s, site: day_start_s(local_day(first_s, site.zone), site.zone),
    2 * inverters.RETIRED_S,
    inverters.count,
)
LEDGERS = (ENERGY, INVERTERS)


def bring_up_to_date(
    engine: Engine, gateway_id: int, *, now: datetime, gap_s: int, memory: Memory | None = None
) -> None:
    """Roll up everything that came in since the last time; one transaction, or one per long step.

    ``memory`` is what a collector keeps from one time to the next.
    """
    beyond_s, is_left = dict[str, int | None](), True
    with contextlib.ExitStack() as undo:
        if memory is not None:
            undo.callback(memory.forget)  # It may know of what was not committed.
        while is_left:
            with engine.begin() as connection:
                is_left = roll_up(connection, gateway_id, beyond_s, now=now, gap_s=gap_s, memory=memory)
        undo.pop_all()


def roll_up(
    connection: Connection,
    gateway_id: int,
    beyond_s: dict[str, int | None],
    *,
    now: datetime,
    gap_s: int,
    memory: Memory | None = None,
) -> bool:
    """Roll up until something is left for another transaction; return whether it is. Nearly never is.

    ``beyond_s`` keeps how far each ledger came.
    """
    take_turn(connection, gateway_id)
    job = job_of(connection, gateway_id, now, gap_s)._replace(memory=memory)
    days = []
    for ledger in LEDGERS:
        if (before_s := beyond_s.get(ledger.name, 0)) is not None:
            advanced = advance(job, ledger, before_s)
            beyond_s[ledger.name] = advanced.until_s
            days += [advanced.days] if advanced.days else []
            if advanced.until_s is not None:
                break
    if days:
        lasts = [last for _, last in days if last is not None]
        judge(connection, job.site, min(first for first, _ in days), max(lasts) if len(lasts) == len(days) else None)
    is_left = any(left_s is not None for left_s in beyond_s.values()) or panels.advance(connection, job.site)
    place_events(connection, job.site)
    return is_left


def catch_up(job: Job, ledgers: Sequence[Ledger] = LEDGERS, stop_s: int | None = None) -> None:
    """Roll up everything that came in since the last time, within the caller's transaction."""
    for ledger in ledgers:
        until_s: int | None = 0
        while until_s is not None:
            until_s, days = advance(job, ledger, until_s, stop_s)
            if days is not None:
                judge(job.connection, job.site, *days)
    if INVERTERS in ledgers:
        panels.bring_up_to_date(job.connection, job.site)
    place_events(job.connection, job.site)


# -- again
def rebuild(
    connection: Connection, gateway_id: int, *, now: datetime, gap_s: int, since: date | None
) -> list[DayChange]:
    """Recompute all rollups from raw samples and return the days that changed.

    From the local day ``since`` on, or from the first raw sample. What lies before the first raw sample (pruned) is
    kept; its hours and days are summed anew, unless ``since`` is given. One transaction: the caller commits, or rolls
    back to only look.
    """
    write_alike(connection, gateway_id)
    job, before = job_of(connection, gateway_id, now, gap_s), totals(connection, gateway_id)
    since_s = day_start_s(since, job.site.zone) if since else -1
    checkpoints.forget_newer(connection, gateway_id)
    forget_places(connection, gateway_id)
    for ledger in LEDGERS:
        ends = job.ends(ledger)
        if since is None and ledger is ENERGY:
            recompute_kept(connection, job.site, ends and ends.first_s, job.now_s)
            judge(connection, job.site, None, None)
        if ends is not None:
            # What was known before the first sample stands for samples that were pruned.
            checkpoints.forget_after(connection, gateway_id, ledger.name, max(since_s, ends.first_s))
            if ledger is INVERTERS:
                checkpoints.forget_after(connection, gateway_id, PANEL_LEDGER, since_s)
            catch_up(job, [ledger])
    return changes(job.site.name, before, totals(connection, gateway_id))
