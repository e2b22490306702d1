"""What one register counted, as a curve: readings that are believed, edited so that it never falls.

The energy of any interval is the difference of the curve at its ends, so that the energies of
adjoining intervals add up to last minus first, whatever the readings were.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from logger.clock import QUARTER_S
from logger.ledger.limits import STALL_POWER_W, STALL_S


class Tie(Enum):
    """How a point of a curve follows from the one before, where it was not simply counted."""

    BRIDGED = "over a gap: spread evenly"
    CAUGHT_UP = "the register was stuck and then caught up: spread evenly"
    BROKEN = "the register began anew: what it counted in between is unknown"
    STUCK = "stuck until now: not measured"


class Step(NamedTuple):
    """A stretch between two points of a curve, or several."""

    tie: Tie
    start_s: int
    end_s: int


class Segment(NamedTuple):
    """From a point of the curve on, what is added to what the register reads."""

    point: int
    offset_mwh: int
    begins_anew: bool  #: or else a rollover was put back


class Flat(NamedTuple):
    """Since when a register has not grown although there was power at every reading."""

    point: int  #: the one that it began with
    since_s: int
    is_stuck: bool  #: beyond doubt, and so whatever the power is, until it grows


class RegisterEvent(NamedTuple):
    """A decision: what happened between two readings."""

    at_s: int
    kind: str  # counter_wrap | counter_reset | counter_dip | suspect_increment | …
    detail: str


@dataclass(slots=True)
class Readings:
    """Readings of a register: parallel lists in order of time; no value is unknown."""

    at_s: list[int] = field(default_factory=list)
    value_mwh: list[int] = field(default_factory=list)
    power_w: list[float | None] = field(default_factory=list)
    source: list[str] = field(default_factory=list)

    def extend(
        self,
        source: str,
        at_s: Sequence[int],
        value_wh: Sequence[float],
        power_w: Sequence[float | None],
    ) -> None:
        """Append readings of one source; the three sequences are equally long."""
        self.at_s += at_s
        self.value_mwh += [round(wh * 1000) for wh in value_wh]
        self.power_w += power_w
        self.source += [source] * len(at_s)

    def append_from(self, other: "Readings", part: slice) -> None:
        """Append some readings of another list of them."""
        self.at_s += other.at_s[part]
        self.value_mwh += other.value_mwh[part]
        self.power_w += other.power_w[part]
        self.source += other.source[part]

    def insert(self, index: int, at_s: int, value_mwh: int) -> None:
        """Put a reading before another of the same source."""
        self.at_s.insert(index, at_s)
        self.value_mwh.insert(index, value_mwh)
        self.power_w.insert(index, None)
        self.source.insert(index, self.source[index])

    def cut(self, count: int) -> None:
        """Keep only the first readings."""
        del self.at_s[count:], self.value_mwh[count:], self.power_w[count:], self.source[count:]


class Anchor(NamedTuple):
    """The last believed reading before a window, and what only the past can tell of it."""

    source: str
    at_s: int
    value_mwh: int
    power_w: float | None
    below_high_mwh: int  #: how far the value lies below the highest that was counted
    last_increase_s: int
    flat_since_s: int  #: since when it did not grow although there was power at every reading
    first_s: int  #: first reading ever
    max_quarter_mwh: int  #: the most that one quarter hour held so far


@dataclass(slots=True)
class Curve:
    """What a register had counted by when; raw readings and edited counts are parallel lists."""

    readings: Readings  #: those that are believed, as they were read
    count_mwh: list[int]
    first_s: int  #: first reading ever
    since_s: int  #: the quarter hour that counting begins with
    anchor: Anchor | None  #: the first point, where counting goes on
    segments: list[Segment]
    steps: list[Step] = field(default_factory=list)  #: all that were not simply counted
    gaps_s: list[tuple[int, int]] = field(default_factory=list)  #: longer than normal
    #: over which it stood still under power, up to the step with which it went on
    flats_s: list[tuple[int, int]] = field(default_factory=list)
    events: list[RegisterEvent] = field(default_factory=list)
    whole_s: list[tuple[int, int]] = field(default_factory=list)  #: must not be cut
    open_s: int | None = None  #: more readings may change what comes after it
    reopen_s: int | None = None  #: an earlier instant whose energy is known only now
    _learned_mwh: list[int] = field(default_factory=list)

    @property
    def last_s(self) -> int:
        """When the last believed reading was taken."""
        return self.readings.at_s[-1]

    # -- energy
    def counts(self, edges_s: Iterable[int]) -> list[int]:
        """Return what had been counted by instants in order; each step grows evenly."""
        at_s, count_mwh, size = self.readings.at_s, self.count_mwh, len(self.count_mwh)
        found, after = [], 0
        for edge_s in edges_s:
            after = bisect_left(at_s, edge_s, after)
            if after == size:
                found.append(count_mwh[-1])
                continue
            count = count_mwh[after]
            if after and count != (before := count_mwh[after - 1]):
                start_s, end_s = at_s[after - 1], at_s[after]
                count = before + (count - before) * (edge_s - start_s) // (end_s - start_s)
            found.append(count)
        return found

    def energy(self, edges_s: Sequence[int]) -> list[int | None]:
        """Return the energy (mWh) between each edge and the next, None where nothing is known.

        That is outside of the readings, and where an interval lies within a break.
        """
        counts, at_s = self.counts(edges_s), self.readings.at_s
        energy: list[int | None] = [after - before for before, after in pairwise(counts)]
        count = len(energy)
        first = bisect_right(edges_s, at_s[0]) - 1
        last = bisect_left(edges_s, at_s[-1])
        if len(at_s) < 2:
            first = last = 0
        first = max(0, first)
        energy[:first] = [None] * min(first, count)
        energy[last:] = [None] * max(0, count - last)
        for start_s, end_s in joined(self.stretches_s(Tie.BROKEN), touching=True):
            begins, ends = start_s == at_s[0], end_s == at_s[-1]
            first = 0 if begins else bisect_left(edges_s, start_s)
            for i in range(first, count if ends else bisect_right(edges_s, end_s) - 1):
                energy[i] = None
        return energy

    def bridged(self, edges_s: Sequence[int]) -> list[int]:
        """Return how much of the energy between edges was spread evenly over a longer stretch."""
        shares = [0] * (len(edges_s) - 1)
        for start_s, end_s in joined(self.stretches_s(Tie.BRIDGED, Tie.CAUGHT_UP)):
            first = max(0, bisect_right(edges_s, start_s) - 1)
            last = min(len(shares), bisect_left(edges_s, end_s))
            if first < last:
                inner = [min(max(edge, start_s), end_s) for edge in edges_s[first : last + 1]]
                counts = self.counts(inner)
                for i in range(first, last):
                    shares[i] += counts[i + 1 - first] - counts[i - first]
        return shares

    def runs_s(self) -> list[tuple[int, int]]:
        """Return the stretches that were measured at normal cadence."""
        at_s, runs = self.readings.at_s[0], []
        for start_s, end_s in joined((step.start_s, step.end_s) for step in self.steps):
            if start_s > at_s:
                runs.append((at_s, start_s))
            at_s = max(at_s, end_s)
        return [*runs, (at_s, self.last_s)] if at_s < self.last_s else runs

    def covered(self, edges_s: Sequence[int]) -> list[int]:
        """Return how many seconds between edges were measured at normal cadence."""
        covered_s = [0] * (len(edges_s) - 1)
        for start_s, end_s in self.runs_s():
            first = max(0, bisect_right(edges_s, start_s) - 1)
            for i in range(first, min(len(covered_s), bisect_left(edges_s, end_s))):
                covered_s[i] += min(edges_s[i + 1], end_s) - max(edges_s[i], start_s)
        return covered_s

    def stretches_s(self, *ties: Tie) -> list[tuple[int, int]]:
        """Return the steps of some kinds, as (start, end)."""
        return [(step.start_s, step.end_s) for step in self.steps if step.tie in ties]

    # -- state, read off the curve
    def anchor_at(self, at_s: int) -> Anchor | None:
        """Return what to go on from at a quarter hour's start; None before the first reading."""
        readings = self.readings
        index = bisect_right(readings.at_s, at_s) - 1
        if index < 0:
            return None
        offset_mwh = next(s.offset_mwh for s in reversed(self.segments) if s.point <= index)
        return Anchor(
            readings.source[index],
            readings.at_s[index],
            readings.value_mwh[index],
            readings.power_w[index],
            self.count_mwh[index] - readings.value_mwh[index] - offset_mwh,
            self.last_increase_s(index),
            self.flat(index).since_s,
            self.first_s,
            self.max_quarter_mwh(at_s),
        )

    def _level(self, index: int) -> int:
        """Return the point since which the curve has been level, as of another."""
        anew = next(
            (s.point for s in reversed(self.segments) if s.begins_anew and s.point <= index), 0
        )
        return bisect_left(self.count_mwh, self.count_mwh[index], anew, index + 1)

    def last_increase_s(self, index: int) -> int:
        """Return when the register last grew, as of a point, or began."""
        level = self._level(index)
        return (
            self.readings.at_s[level]
            if level or self.anchor is None
            else self.anchor.last_increase_s
        )

    def flat(self, index: int) -> Flat:
        """Return since when the register has stood still under power, as of a point."""
        at_s, powers_w = self.readings.at_s, self.readings.power_w
        place = self._level(index)
        since_s = at_s[place]
        if place == 0 and self.anchor is not None:
            since_s = self.anchor.flat_since_s
            if at_s[0] - since_s > STALL_S:
                return Flat(0, since_s, True)
        if max(filter(None, powers_w[place + 1 : index + 1]), default=0) <= STALL_POWER_W:
            return Flat(index, at_s[index], False) if index > place else Flat(place, since_s, False)
        for later in range(place + 1, index + 1):
            power_w = powers_w[later]
            if power_w is None or power_w <= STALL_POWER_W:
                place, since_s = later, at_s[later]
            elif at_s[later] - since_s > STALL_S:
                return Flat(place, since_s, True)
        return Flat(place, since_s, False)

    def growth_after_stuck(self, first: int) -> int | None:
        """Return the first point from ``first`` on that grew after the register was stuck."""
        at_s, count_mwh, size = self.readings.at_s, self.count_mwh, len(self.count_mwh)
        level = self._level(first - 1)
        while True:
            since_s = at_s[level]
            if level == 0 and self.anchor is not None:
                since_s = self.anchor.flat_since_s
            later = bisect_right(at_s, since_s + STALL_S, level)
            if later < size and count_mwh[later] != count_mwh[level]:
                level = bisect_left(count_mwh, count_mwh[later], level)
                continue
            end = bisect_right(count_mwh, count_mwh[level], later) if later < size else size
            if end == size:
                return None
            if end >= first and self.flat(end - 1).is_stuck:
                return end
            level = end

    def max_quarter_mwh(self, at_s: int) -> int:
        """Return the most that a quarter hour held which ended by an instant.

        Those that ended within a bridged step are left out, so that what was spread over a gap
        does not teach what is possible.
        """
        known = (at_s - self.since_s) // QUARTER_S
        if known > len(self._learned_mwh):
            self._learn(known)
        before_mwh = self.anchor.max_quarter_mwh if self.anchor else 0
        return self._learned_mwh[known - 1] if known > 0 else before_mwh

    def _learn(self, known: int) -> None:
        learned = self._learned_mwh
        edges_s = [self.since_s + QUARTER_S * n for n in range(len(learned), known + 1)]
        counts = self.counts(edges_s)
        skipped: dict[int, int] = {}
        for step in self.steps:
            if step.tie in (Tie.BRIDGED, Tie.CAUGHT_UP):
                kept = self.counts([step.start_s])[0] if step.tie is Tie.CAUGHT_UP else 0
                for i in range(
                    bisect_right(edges_s, step.start_s), bisect_right(edges_s, step.end_s)
                ):
                    skipped[i] = min(kept, skipped.get(i, kept))
        most = learned[-1] if learned else self.anchor.max_quarter_mwh if self.anchor else 0
        for i in range(1, len(edges_s)):
            most = max(most, skipped.get(i, counts[i]) - counts[i - 1])
            learned.append(most)


def joined(
    stretches_s: Iterable[tuple[int, int]], *, touching: bool = False
) -> list[tuple[int, int]]:
    """Return stretches in order, those that overlap (or also those that touch) as one."""
    found: list[tuple[int, int]] = []
    for start_s, end_s in sorted(stretches_s):
        if found and start_s < found[-1][1] + touching:
            found[-1] = found[-1][0], max(end_s, found[-1][1])
        else:
            found.append((start_s, end_s))
    return found
