"""A sun, a house and a battery whose counters are exact integrals.

Powers are piecewise linear between nodes five minutes apart, so that every counter is known in closed form at every
second, and a test knows the true energy between any two.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import add
from time import monotonic
from typing import NamedTuple

STEP_S = 300
NODES = 86_400 // STEP_S
#: What the inverters draw at night.
STANDBY_W = 3.6
#: Inverters and CT never agree to the last percent.
INVERTERS_OVER_CT = 1.008

#: The flows that are counted, each in joules and never falling.
COUNTERS = ("production", "standby", "grid_import", "grid_export", "consumption", "battery_charge", "battery_discharge")
#: Joules of each counter, in their order.
Joules = tuple[float, ...]
NOTHING: Joules = (0.0,) * len(COUNTERS)


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands on the roof and in the house."""

    seed: int = 1
    phases: int = 1  #: in use: 1, 2 or 3
    peak_power_w: float = 5_600.0
    inverters: int = 12
    battery: bool = False
    latitude_deg: float = 52.0
    longitude_deg: float = 5.0


class Powers(NamedTuple):
    """W at one instant on one phase or in total."""

    production: float
    load: float
    storage: float  #: positive while discharging

    @property
    def net(self) -> float:
        """What the grid gives; negative for export."""
        return self.load - self.production - self.storage


def _parts(start: float, end: float, seconds: float) -> tuple[float, float]:
    """Return the integrals of the positive and the negative part of a line, in joules."""
    if start >= 0 and end >= 0:
        return (start + end) / 2 * seconds, 0.0
    if start <= 0 and end <= 0:
        return 0.0, -(start + end) / 2 * seconds
    crossing = seconds * start / (start - end)
    before, after = start * crossing / 2, end * (seconds - crossing) / 2
    return max(before, after, 0.0), -min(before, after, 0.0)


class Site:
    """One house. ``born`` is the instant at which its counters were zero."""

    def __init__(self, shape: Shape, born: datetime) -> None:
        self.shape = shape
        self.born_s = int(born.timestamp()) // 86_400 * 86_400
        self._day_totals = [dict.fromkeys(self.phases, NOTHING)]
        self._sums = lru_cache(maxsize=64)(self._sums_of_day)
        self._energies = lru_cache(maxsize=64)(self._energies_at)
        self._nodes = lru_cache(maxsize=64)(self._nodes_of_day)

    @property
    def phases(self) -> tuple[int, ...]:
        """0 for the total, then 1 to n where more than one phase is in use."""
        count = self.shape.phases
        return (0, *range(1, count + 1)) if count > 1 else (0,)

    def powers(self, at_s: float, phase: int = 0) -> Powers:
        """Return what flows at an instant."""
        node, seconds = divmod(at_s, STEP_S)
        share = seconds / STEP_S
        begin, end = self._node(int(node), phase), self._node(int(node) + 1, phase)
        return Powers(*(x + (y - x) * share for x, y in zip(begin, end, strict=True)))

    def counter_wh(self, name: str, at_s: float, phase: int = 0) -> float:
        """Return a counter (one of ``COUNTERS``) at an instant."""
        return self._energies(at_s)[phase][COUNTERS.index(name)] / 3600

    def energy_between_wh(self, flow: str, since: datetime, until: datetime, phase: int = 0) -> float:
        """Return the true energy of a flow (one of ``COUNTERS``) between two instants."""
        before, after = (self.counter_wh(flow, at.timestamp(), phase) for at in (since, until))
        return after - before

    def inverter_share(self, index: int) -> float:
        """Return an inverter's part of the whole; the parts add up to 1."""
        weights = _weights(self.shape.seed, self.shape.inverters)
        return weights[index] / sum(weights)

    def _energies_at(self, at_s: float) -> dict[int, Joules]:
        day = int((at_s - self.born_s) // 86_400)
        before = self._total_before(day)
        within_s = at_s - self.born_s - day * 86_400
        index = int(within_s // STEP_S)
        seconds = within_s - index * STEP_S
        node = (self.born_s + day * 86_400) // STEP_S + index
        found = {}
        for phase in self.phases:
            since_node = _segment(self._node(node, phase), self.powers(at_s, phase), seconds)
            until_node = _plus(before[phase], self._sums(day)[phase][index])
            found[phase] = _plus(until_node, since_node)
        return found

    def _total_before(self, day: int) -> dict[int, Joules]:
        while len(self._day_totals) <= day:
            totals, sums = self._day_totals[-1], self._sums(len(self._day_totals) - 1)
            self._day_totals.append({p: _plus(totals[p], sums[p][-1]) for p in self.phases})
        return self._day_totals[day]

    def _sums_of_day(self, day: int) -> dict[int, list[Joules]]:
        """Return the counters since the day's start at each of its nodes and at its end."""
        first = (self.born_s + day * 86_400) // STEP_S
        found = {}
        for phase in self.phases:
            nodes = [self._node(first + i, phase) for i in range(NODES + 1)]
            steps = (_segment(begin, end, STEP_S) for begin, end in pairwise(nodes))
            found[phase] = list(accumulate(steps, _plus, initial=NOTHING))
        return found

    def _node(self, node: int, phase: int) -> Powers:
        day, index = divmod(node, NODES)
        return self._nodes(day)[phase][index]

    def _nodes_of_day(self, day: int) -> dict[int, list[Powers]]:
        """Return (production, load, storage) in W at each node of a UTC day, per phase."""
        dice = random.Random(self.shape.seed * 100_003 + day)  # noqa: S311 - weather, not secrets
        suns = [self._sun_w(day * 86_400 + i * STEP_S, sky) for i, sky in enumerate(_sky(dice))]
        loads = list(self._loads_w(dice, day))
        count = self.shape.phases
        weights = (1.5, 0.9, 0.6)[:count]
        rows: dict[int, list[Powers]] = {phase: [] for phase in self.phases}
        for index, (sun_w, load_w) in enumerate(zip(suns, loads, strict=True)):
            produced_w = sun_w - STANDBY_W
            hour = (index * STEP_S / 3600 + self.shape.longitude_deg / 15) % 24
            storage_w = self._storage_w(produced_w, load_w, hour)
            rows[0].append(Powers(produced_w, load_w, storage_w))
            for phase in self.phases[1:]:
                drawn_w = load_w * (weights[phase - 1] / sum(weights))
                rows[phase].append(Powers(produced_w / count, drawn_w, storage_w / count))
        return rows

    def _storage_w(self, produced_w: float, load_w: float, hour: float) -> float:
        if not self.shape.battery:
            return 0.0
        if produced_w > load_w:
            return -min(0.7 * (produced_w - load_w), 1_000.0)
        return min(0.8 * (load_w - max(produced_w, 0.0)), 2_500.0) if 17 <= hour < 23 else 0.0

    def _sun_w(self, at_s: int, sky: float) -> float:
        day_of_year = (at_s // 86_400) % 365.25
        tilt = math.radians(-23.44) * math.cos(2 * math.pi * (day_of_year + 10) / 365.25)
        hour_angle = math.radians((at_s % 86_400) / 240 + self.shape.longitude_deg - 180)
        latitude = math.radians(self.shape.latitude_deg)
        noon = math.cos(latitude) * math.cos(tilt)
        height = math.sin(latitude) * math.sin(tilt) + noon * math.cos(hour_angle)
        return self.shape.peak_power_w * math.pow(max(0.0, height), 1.1) * sky

    def _loads_w(self, dice: random.Random, day: int) -> Iterator[float]:
        base = 140 + 60 * dice.random()
        cooking = {dice.randrange(NODES) for _ in range(6)}
        left = 0
        for index in range(NODES):
            hour = (index * STEP_S / 3600 + self.shape.longitude_deg / 15) % 24
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


def _plus(first: Joules, second: Joules) -> Joules:
    return tuple(map(add, first, second))


def _segment(begin: Powers, end: Powers, seconds: float) -> Joules:
    production, standby = _parts(begin.production, end.production, seconds)
    grid_import, grid_export = _parts(begin.net, end.net, seconds)
    consumption, _ = _parts(begin.load, end.load, seconds)
    discharge, charge = _parts(begin.storage, end.storage, seconds)
    return production, standby, grid_import, grid_export, consumption, charge, discharge


@lru_cache
def _weights(seed: int, count: int) -> tuple[float, ...]:
    dice = random.Random(seed)  # noqa: S311 - panels, not secrets
    return tuple(0.9 + 0.2 * dice.random() for _ in range(count))


class SimulatedClock:
    """A clock that runs at a multiple of real time; with a speed of 0 it stands where it is put."""

    def __init__(self, start: datetime, *, speed: float = 1.0) -> None:
        self.speed = speed
        self.set(start)

    def __call__(self) -> datetime:
        """Return the simulated instant."""
        return self._start + timedelta(seconds=(monotonic() - self._since) * self.speed)

    def set(self, at: datetime) -> None:
        """Go to an instant, and on from there."""
        self._start, self._since = at, monotonic()


def last_multiple(at_s: float, step_s: int, offset_s: int = 0) -> int:
    """Return the last instant at or before ``at_s`` that is ``offset_s`` past a multiple."""
    return math.floor((at_s - offset_s) / step_s) * step_s + offset_s
