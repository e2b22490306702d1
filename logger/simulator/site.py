"""A sun, a house and a battery whose counters are exact integrals.

Powers are linear between instants: nodes five minutes apart, and whatever switches between them. Every counter is
therefore known in closed form at every second, and a test knows the true energy between any two.

Walk: house, days -> here -> numbers
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from operator import add
from time import monotonic

from logger.simulator.days import ByPhase, Day, day_of, nodes_of, phases_of
from logger.simulator.house import Outage, Powers, Shape
from logger.simulator.loads import DAY_S

#: ``Shape`` too: who makes a site says what stands there.
__all__ = ["COUNTERS", "INVERTERS_OVER_CT", "Shape", "SimulatedClock", "Site", "last_multiple"]

#: Inverters and CT never agree to the last percent.
INVERTERS_OVER_CT = 1.008

#: The flows that are counted, each in joules and never falling.
COUNTERS = (
    "production", "standby", "grid_import", "grid_export", "consumption", "battery_charge", "battery_discharge",
    "unseen", "generator",
)  # fmt: skip
#: Of these the phases' counters can't be netted: a CT's total is their sum.
GRID = {"grid_import", "grid_export"}
#: Joules of each counter, in their order.
Joules = tuple[float, ...]
NOTHING: Joules = (0.0,) * len(COUNTERS)


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

    def __init__(self, shape: Shape, born: datetime, outages: Sequence[Outage] = ()) -> None:
        self.shape = shape
        self.outages = tuple(outages)
        self.born_s = int(born.timestamp()) // DAY_S * DAY_S
        self.phases = phases_of(shape)
        self._day_totals = [dict.fromkeys(self.phases, NOTHING)]
        # What is in the batteries when each day begins.
        self._stored_wh = [shape.batteries.all_wh / 2 if shape.batteries else 0.0]
        self._sums = lru_cache(maxsize=64)(self._sums_of_day)
        self._energies = lru_cache(maxsize=64)(self._energies_at)
        self._nodes = lru_cache(maxsize=64)(self._nodes_of_day)
        self._day = lru_cache(maxsize=64)(self._build_day)
        self.powers = lru_cache(maxsize=64)(self._powers_at)
        self.last_made_s = lru_cache(maxsize=256)(self._last_made_s)

    def counter_wh(self, name: str, at_s: float, phase: int = 0) -> float:
        """Return what CTs count (one of ``COUNTERS``) at an instant.

        Each phase is counted for itself, import and export apart, and the total is the phases' sum.
        """
        found, index = self._energies(at_s), COUNTERS.index(name)
        if phase == 0 and name in GRID and len(self.phases) > 1:
            return sum(found[own][index] for own in self.phases[1:]) / 3600
        return found[phase][index] / 3600

    def energy_between_wh(
        self, flow: str, since: datetime, until: datetime, phase: int = 0, *, grid_meter: str = ""
    ) -> float:
        """Return the true energy of a flow (one of ``COUNTERS``) between two instants.

        Import and export of the total are what the utility's meter counts: ``balancing`` (the phases' sum at every
        instant) or ``per_phase`` (default: the house's).
        """
        balances = (grid_meter or self.shape.grid_meter) == "balancing"
        ends_s = since.timestamp(), until.timestamp()
        if phase == 0 and flow in GRID and balances:
            index = COUNTERS.index(flow)
            before, after = (self._energies(at_s)[0][index] / 3600 for at_s in ends_s)
        else:
            before, after = (self.counter_wh(flow, at_s, phase) for at_s in ends_s)
        return after - before

    def stored_wh(self, at_s: float) -> float:
        """Return what is in the batteries at an instant."""
        number, within_s = divmod(at_s - self.born_s, DAY_S)
        day = self._day(int(number))
        line = day.line(within_s)
        share = (within_s - day.starts_s[line]) / (day.ends_s[line] - day.starts_s[line])
        return day.stored_wh[line] + (day.stored_wh[line + 1] - day.stored_wh[line]) * share

    def outage(self, kind: str, at_s: float) -> bool:
        """Return whether the grid is lost, or the generator runs, at an instant."""
        return any(outage.kind == kind and outage.holds(at_s) for outage in self.outages)

    def inverter_share(self, index: int) -> float:
        """Return an inverter's part of the whole; the parts add up to 1."""
        return self.shape.inverter_share(index)

    def _powers_at(self, at_s: float, phase: int = 0) -> Powers:
        """Return what flows at an instant."""
        day, within_s = divmod(at_s - self.born_s, DAY_S)
        return self._powers_in(self._day(int(day)), within_s, phase)

    def _last_made_s(self, at_s: int, step_s: int) -> int:
        """Return the last of the instants at and before one, a step apart, at which something was produced."""
        for _ in range(200):
            if self._powers_at(at_s).production > 0:
                break
            at_s -= step_s
        return at_s

    def _powers_in(self, day: Day, within_s: float, phase: int) -> Powers:
        line = day.line(within_s)
        start_s = day.starts_s[line]
        share = (within_s - start_s) / (day.ends_s[line] - start_s)
        begin, end = day.lines[phase][line]
        return Powers(*(x + (y - x) * share for x, y in zip(begin, end, strict=True)))

    def _energies_at(self, at_s: float) -> dict[int, Joules]:
        number = int((at_s - self.born_s) // DAY_S)
        before = self._total_before(number)
        within_s = at_s - self.born_s - number * DAY_S
        day = self._day(number)
        line = day.line(within_s)
        seconds = within_s - day.starts_s[line]
        found = {}
        for phase in self.phases:
            since_start = _segment(day.lines[phase][line][0], self._powers_in(day, within_s, phase), seconds)
            until_start = _plus(before[phase], self._sums(number)[phase][line])
            found[phase] = _plus(until_start, since_start)
        return found

    def _total_before(self, day: int) -> dict[int, Joules]:
        while len(self._day_totals) <= day:
            totals, sums = self._day_totals[-1], self._sums(len(self._day_totals) - 1)
            self._day_totals.append({p: _plus(totals[p], sums[p][-1]) for p in self.phases})
        return self._day_totals[day]

    def _sums_of_day(self, number: int) -> dict[int, list[Joules]]:
        """Return the counters since a day's start at the start of each of its lines and at its end."""
        day = self._day(number)
        found = {}
        for phase in self.phases:
            lines = zip(day.lines[phase], day.starts_s, day.ends_s, strict=True)
            steps = (_segment(begin, end, end_s - start_s) for (begin, end), start_s, end_s in lines)
            found[phase] = list(accumulate(steps, _plus, initial=NOTHING))
        return found

    def _nodes_of_day(self, number: int) -> list[ByPhase]:
        return nodes_of(self.shape, self.born_s // DAY_S + number)

    def _build_day(self, number: int) -> Day:
        """Return a day since the birth; the days before decide what its batteries hold."""
        while self.shape.batteries is not None and number >= len(self._stored_wh):
            self._day(len(self._stored_wh) - 1)
        stored_wh = self._stored_wh[max(0, number)] if self.shape.batteries else 0.0
        nodes = [*self._nodes(number), self._nodes(number + 1)[0]]
        day = day_of(self.shape, nodes, self.born_s // DAY_S + number, stored_wh, self.outages)
        if number + 1 == len(self._stored_wh):
            self._stored_wh.append(day.stored_wh[-1])
        return day


def _plus(first: Joules, second: Joules) -> Joules:
    return tuple(map(add, first, second))


def _segment(begin: Powers, end: Powers, seconds: float) -> Joules:
    production, standby = _parts(begin.production, end.production, seconds)
    grid_import, grid_export = _parts(begin.net, end.net, seconds)
    consumption, _ = _parts(begin.load, end.load, seconds)
    discharge, charge = _parts(begin.storage, end.storage, seconds)
    unseen, generator = ((x + y) / 2 * seconds for x, y in zip(begin[3:], end[3:], strict=True))
    return production, standby, grid_import, grid_export, consumption, charge, discharge, unseen, generator


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
