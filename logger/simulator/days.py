"""What flows in a simulated house on one day, as lines between instants.

The sun and the house change from node to node, five minutes apart; loads that switch, batteries that follow them and
outages cut the lines between two nodes into shorter ones. Every power is linear on each of them.

Walk: house, loads -> here -> site
"""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from logger.simulator.house import ONE_WAY, STANDBY_W, Outage, Powers, Shape
from logger.simulator.loads import DAY_S, spans

STEP_S = 300
NODES = DAY_S // STEP_S
#: What stays on the grid's side while a generator feeds the house.
GRID_SIDE_W = 150.0
#: phase (0: total) -> its powers
ByPhase = dict[int, Powers]


class Day(NamedTuple):
    """A UTC day, cut where powers bend or jump."""

    starts_s: Sequence[int]  #: of each line, since the day's start
    ends_s: Sequence[int]
    #: phase -> the powers at the start and the end of each line
    lines: dict[int, list[tuple[Powers, Powers]]]
    stored_wh: Sequence[float]  #: in the batteries, at the start of each line and at the day's end

    def line(self, within_s: float) -> int:
        """Return the number of the line in which an instant lies."""
        return bisect_right(self.starts_s, within_s) - 1


def phases_of(shape: Shape) -> tuple[int, ...]:
    """Return 0 for the total, then 1 to n where more than one phase is in use."""
    return (0, *range(1, shape.phases + 1)) if shape.phases > 1 else (0,)


# -- what changes by five minutes
def nodes_of(shape: Shape, day: int) -> list[ByPhase]:
    """Return what is produced, used and stored at each node of a UTC day (its number since 1970)."""
    dice = random.Random(shape.seed * 100_003 + day)  # noqa: S311 - weather, not secrets
    suns = [_sun_w(shape, day * DAY_S + i * STEP_S, sky) for i, sky in enumerate(_sky(dice))]
    loads = list(_loads_w(shape, dice, day))
    count = shape.phases
    weights = (1.5, 0.9, 0.6)[:count]
    found = []
    for index, (sun_w, load_w) in enumerate(zip(suns, loads, strict=True)):
        produced_w, unseen_w = sun_w - STANDBY_W, sun_w * shape.unseen
        hour = (index * STEP_S / 3600 + shape.longitude_deg / 15) % 24
        storage_w = _storage_w(produced_w, load_w, hour) if shape.battery else 0.0
        node = {0: Powers(produced_w, load_w, storage_w, unseen_w)}
        for phase in phases_of(shape)[1:]:
            drawn_w = load_w * (weights[phase - 1] / sum(weights))
            made_w = produced_w * shape.panel_share(phase) if shape.panels else produced_w / count
            node[phase] = Powers(made_w, drawn_w, storage_w / count, unseen_w * shape.panel_share(phase))
        found.append(node)
    return found


def _storage_w(produced_w: float, load_w: float, hour: float) -> float:
    if produced_w > load_w:
        return -min(0.7 * (produced_w - load_w), 1_000.0)
    return min(0.8 * (load_w - max(produced_w, 0.0)), 2_500.0) if 17 <= hour < 23 else 0.0


def _sun_w(shape: Shape, at_s: int, sky: float) -> float:
    day_of_year = (at_s // DAY_S) % 365.25
    tilt = math.radians(-23.44) * math.cos(2 * math.pi * (day_of_year + 10) / 365.25)
    hour_angle = math.radians((at_s % DAY_S) / 240 + shape.longitude_deg - 180)
    latitude = math.radians(shape.latitude_deg)
    noon = math.cos(latitude) * math.cos(tilt)
    height = math.sin(latitude) * math.sin(tilt) + noon * math.cos(hour_angle)
    return shape.peak_power_w * math.pow(max(0.0, height), 1.1) * sky


def _loads_w(shape: Shape, dice: random.Random, day: int) -> Iterator[float]:
    base = 140 + 60 * dice.random()
    cooking = {dice.randrange(NODES) for _ in range(6)}
    left = 0
    for index in range(NODES):
        hour = (index * STEP_S / 3600 + shape.longitude_deg / 15) % 24
        people = 0.25 + (0.5 if 6.5 <= hour < 9 else 0) + (1.0 if 17 <= hour < 22.5 else 0)
        left = 4 if index in cooking else max(0, left - 1)
        kettle = 1_900 if left and (day + index) % 3 else 0
        yield base + 420 * people * (0.7 + 0.6 * dice.random()) + kettle


def _sky(dice: random.Random) -> Iterator[float]:
    """Yield how clear the sky is at each node of a day, 0.05 to 1, drifting."""
    mean = dice.choice((0.25, 0.45, 0.7, 0.85, 0.95))
    clear = mean
    for _ in range(NODES):
        clear += 0.35 * (mean - clear) + dice.gauss(0, 0.12 * (1.05 - mean) + 0.01)
        clear = min(1.0, max(0.05, clear))
        yield clear


# -- what changes by the second
def day_of(shape: Shape, nodes: Sequence[ByPhase], day: int, stored_wh: float, outages: Sequence[Outage]) -> Day:
    """Return a UTC day that has ``nodes`` (the last one: the next day's first).

    ``stored_wh`` is in the batteries at its start.
    """
    held = [outage for outage in outages if outage.since_s < (day + 1) * DAY_S and outage.until_s > day * DAY_S]
    if not shape.follows_seconds and not held:
        lines = {p: list(pairwise(node[p] for node in nodes)) for p in phases_of(shape)}
        return Day(range(0, DAY_S, STEP_S), range(STEP_S, DAY_S + STEP_S, STEP_S), lines, (0.0,) * (NODES + 1))
    switched = _switched(shape, day)
    cuts = set(range(0, DAY_S + 1, STEP_S)) | switched.keys()
    for outage in held:
        cuts |= {int(min(DAY_S, max(0, at_s - day * DAY_S))) for at_s in (outage.since_s, outage.until_s)}
    lag_s = shape.batteries.lag_s if shape.batteries is not None else 0
    cuts |= {min(DAY_S, at_s + lag_s) for at_s in switched}
    instants = sorted(cuts)
    lines = {phase: [] for phase in phases_of(shape)}
    stored = [stored_wh]
    extra = dict.fromkeys(lines, 0.0)
    wanted_w = needed_j = 0.0
    switched_s = -lag_s
    for start_s, end_s in pairwise(instants):
        for phase, watts in switched.get(start_s, {}).items():
            extra[phase] += watts
            switched_s = start_s
        index = start_s // STEP_S
        begin, end = (
            _between(nodes[index], nodes[index + 1], (at_s - index * STEP_S) / STEP_S, extra)
            for at_s in (start_s, end_s)
        )
        kinds = {outage.kind for outage in held if outage.holds(day * DAY_S + start_s)}
        if kinds:
            begin, end = (_islanded(shape, node, stored[-1], end_s - start_s, kinds) for node in (begin, end))
        elif shape.batteries is not None:
            middle_w = (begin[0].net + end[0].net) / 2
            if shape.batteries.kind == "acb":
                # What counts is the mean of the step before; a step may be cut into several lines.
                if start_s % STEP_S == 0:
                    wanted_w, needed_j = needed_j / STEP_S, 0.0
                needed_j += middle_w * (end_s - start_s)
            elif start_s >= switched_s + lag_s:
                wanted_w = middle_w
            # As long as it has to last: what is left may not run out within a step.
            lasts_s = STEP_S - start_s % STEP_S if shape.batteries.kind == "acb" else end_s - start_s
            charge_w, discharge_w = _limits_w(shape, stored[-1], lasts_s, shape.batteries.reserve_pct)
            begin, end = _stored(shape, begin, end, max(-charge_w, min(discharge_w, wanted_w)))
        for phase, found in lines.items():
            found.append((begin[phase], end[phase]))
        stored.append(stored[-1] - _drawn_wh((begin[0].storage + end[0].storage) / 2, end_s - start_s))
    return Day(instants[:-1], instants[1:], lines, stored)


def _switched(shape: Shape, day: int) -> dict[int, dict[int, float]]:
    """Return by how many W the load of each phase jumps, by the second of the day."""
    found: dict[int, dict[int, float]] = {}
    for number, appliance in enumerate(shape.appliances):
        on = range(1, shape.phases + 1) if appliance.phase == 0 else (appliance.phase,)
        watts = {0: appliance.power_w} | ({p: appliance.power_w / len(on) for p in on} if shape.phases > 1 else {})
        for span in spans(appliance, f"{shape.seed} {day} {number}", shape.longitude_deg):
            for at_s, sign in zip(span, (1, -1), strict=True):
                jump = found.setdefault(at_s, {})
                for phase, of in watts.items():
                    jump[phase] = jump.get(phase, 0.0) + sign * of
    return found


def _between(begin: ByPhase, end: ByPhase, share: float, extra: dict[int, float]) -> ByPhase:
    """Return the powers between two nodes, with what is switched on."""
    found = {}
    for phase, first in begin.items():
        at = [x + (y - x) * share for x, y in zip(first, end[phase], strict=True)]
        at[1] += extra[phase]
        found[phase] = Powers(*at)
    return found


def _drawn_wh(storage_w: float, seconds: float) -> float:
    """Return what batteries lose by giving (positive) or taking a power for some seconds."""
    return storage_w * seconds / 3600 * (ONE_WAY if storage_w < 0 else 1 / ONE_WAY)


def _limits_w(shape: Shape, stored_wh: float, seconds: float, floor_pct: float) -> tuple[float, float]:
    """Return what batteries can take and give, on average over some seconds."""
    of = shape.batteries
    if of is None:
        return 0.0, 0.0
    hours = seconds / 3600
    room_w = max(0.0, of.all_wh - stored_wh) / ONE_WAY / hours
    left_w = max(0.0, stored_wh - of.all_wh * floor_pct / 100) * ONE_WAY / hours
    return min(of.all_w, room_w), min(of.all_w, left_w)


def _stored(shape: Shape, begin: ByPhase, end: ByPhase, storage_w: float) -> tuple[ByPhase, ByPhase]:
    """Return a line's ends with batteries that give the same power all along it."""
    of = {phase: storage_w / shape.phases if phase else storage_w for phase in begin}
    first, last = ({p: powers._replace(storage=of[p]) for p, powers in node.items()} for node in (begin, end))
    return first, last


def _islanded(shape: Shape, node: ByPhase, stored_wh: float, seconds: float, kinds: set[str]) -> ByPhase:
    """Return the powers of a house that is not on the grid.

    A generator gives what is missing, and leaves a part of the loads to the grid, if that is there. Without one the
    batteries do; what they can't take is not produced, what they can't give is not used.
    """
    charge_w, discharge_w = _limits_w(shape, stored_wh, seconds, 0)
    total = node[0]
    made_w = total.production + total.unseen
    if "generator" in kinds:
        grid_w = 0.0 if "grid_lost" in kinds else min(GRID_SIDE_W, total.load)
        storage_w = -charge_w / 2
        given_w = total.load - grid_w - made_w - storage_w
        if given_w < 0:
            storage_w, given_w = max(-charge_w, total.load - grid_w - made_w), 0.0
        made = min(1.0, max(0.0, total.load - grid_w - storage_w) / made_w) if made_w > 0 else 1.0
        used = 1.0
    else:
        grid_w = given_w = 0.0
        storage_w = max(-charge_w, min(discharge_w, total.load - made_w))
        made = min(1.0, (total.load - storage_w) / made_w) if made_w > 0 else 1.0
        used = min(1.0, max(0.0, made_w * made + storage_w) / total.load)
    found = {}
    for phase, powers in node.items():
        share = 1.0 if not phase else 1 / shape.phases
        produced_w, unseen_w, load_w = powers.production * made, powers.unseen * made, powers.load * used
        generator_w = given_w * share
        rest_w = load_w - produced_w - unseen_w - generator_w - grid_w * share
        found[phase] = Powers(produced_w, load_w, rest_w, unseen_w, generator_w)
    return found
