"""What one register counted, as a curve: readings that are believed, edited so that it never falls.

The energy of any interval is the difference of the curve at its ends, so that adjoining intervals add up to last minus
first, whatever the readings were.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from operator import mul, sub
from typing import NamedTuple

from logger.clock import QUARTER_S
from logger.ledger.interpolation import interpolated

#: Unchanged for longer than this while there is power: the register is stuck.
STALL_S = 7_200
STALL_POWER_W = 50
#: What may have flowed while power was unknown.
UNKNOWN_W = 25_000.0

#: (start, end)
Stretch = tuple[int, int]


class Tie(Enum):
    """How a stretch of a curve came about, where it was not simply counted."""

    BRIDGED = auto()  #: over a gap, or while the register was stuck: energy is spread evenly
    BROKEN = auto()  #: the register began anew: what it counted in between is unknown
    STUCK = auto()  #: the register is stuck until now: nothing is measured
    AWAY = auto()  #: its CT counted in another kind, on other registers


class Step(NamedTuple):
    """A stretch between two points of a curve, not always next to each other."""

    tie: Tie
    start_s: int
    end_s: int


class Decision(NamedTuple):
    """What the ledger decided about a stream or an inverter, to be kept as an event."""

    at_s: int
    kind: str  # counter_wrap | counter_reset | counter_dip | suspect_increment | …
    subject: str  #: empty while only the register is known
    detail: str


class Anchor(NamedTuple):
    """The last believed reading before a window, and what only the past shows of it."""

    source: str
    at_s: int
    value_mwh: int
    power_w: float | None
    below_high_mwh: int  #: how far the value lies below the highest that was counted
    last_increase_s: int
    flat_since_s: int  #: since when it did not grow although there was power at every reading
    first_s: int  #: first reading ever
    max_quarter_mwh: int  #: the most that one quarter hour held so far
    #: Readings up to here are erroneous, whatever they look like alone. Only checkpoints of version 0.1 have it: it
    #: took some among erroneous reads.
    erroneous_until_s: int = 0
    owed_ws: int = 0  #: what power came to since it last grew (Ws)


@dataclass(slots=True)
class Readings:
    """Readings of a register: parallel lists in order of time; no value is unknown."""

    at_s: list[int] = field(default_factory=list)
    value_mwh: list[int] = field(default_factory=list)
    power_w: list[float | None] = field(default_factory=list)
    source: list[str] = field(default_factory=list)

    def extend(
        self, source: str | list[str], at_s: Sequence[int], value_wh: Sequence[float], power_w: Sequence[float | None]
    ) -> None:
        """Append readings, of one source or of one each; the sequences are equally long."""
        self.at_s += at_s
        self.value_mwh += [round(wh * 1000) for wh in value_wh]
        self.power_w += power_w
        self.source += [source] * len(at_s) if isinstance(source, str) else source


@dataclass(slots=True)
class Curve:
    """What a register had counted by when; ``readings`` and ``count_mwh`` are parallel."""

    read: Readings  #: all of the window
    readings: Readings  #: those that are believed, as they were read
    count_mwh: list[int]  #: edited so that it never falls
    anchor: Anchor  #: the first point
    since_s: int  #: the quarter hour that counting begins with
    #: from which point on what is added to what the register reads
    offsets_mwh: dict[int, int] = field(default_factory=lambda: {0: 0})
    steps: list[Step] = field(default_factory=list)  #: all that was not simply counted
    gaps_s: list[Stretch] = field(default_factory=list)  #: longer than normal
    #: over which it stood still under power, up to the step with which it went on
    flats_s: list[Stretch] = field(default_factory=list)
    whole_s: list[Stretch] = field(default_factory=list)  #: must not be cut
    events: list[Decision] = field(default_factory=list)
    open_s: int | None = None  #: more readings may change what comes after it
    reopen_s: int | None = None  #: an earlier instant whose energy is known only now
    is_over: bool = False  #: its CT counts on other registers now
    _learned_mwh: list[int] = field(default_factory=list)

    @property
    def last_s(self) -> int:
        """When the last believed reading was taken."""
        return self.readings.at_s[-1]

    @property
    def source(self) -> str:
        """Whose reading that was."""
        return self.readings.source[-1]

    def stretches_s(self, *ties: Tie) -> list[Stretch]:
        """Return the steps of some kinds."""
        return [(step.start_s, step.end_s) for step in self.steps if step.tie in ties]

    @property
    def offset_mwh(self) -> int:
        """What is added to what the register reads now."""
        return next(reversed(self.offsets_mwh.values()))

    # -- editing
    def extend(self, readings: Readings, first: int, end: int, counts_mwh: list[int]) -> None:
        """Go on by some readings, and by what had been counted by each of them."""
        self.readings.at_s += readings.at_s[first:end]
        self.readings.value_mwh += readings.value_mwh[first:end]
        self.readings.power_w += readings.power_w[first:end]
        self.readings.source += readings.source[first:end]
        self.count_mwh += counts_mwh

    def cut(self, size: int) -> None:
        """Keep only the first points."""
        offset_mwh, own = self.offset_mwh, self.readings
        for values in (own.at_s, own.value_mwh, own.power_w, own.source, self.count_mwh):
            del values[size:]
        kept = {point: mwh for point, mwh in self.offsets_mwh.items() if point < size}
        self.offsets_mwh = kept | {size: offset_mwh}

    # -- differences and sums along the curve
    def counts(self, edges_s: Iterable[int]) -> list[int]:
        """Return what had been counted by instants in order."""
        return interpolated(self.readings.at_s, self.count_mwh, edges_s)

    def energy(self, edges_s: Sequence[int]) -> list[int | None]:
        """Return the energy (mWh) between each edge and the next, None where nothing is known.

        That is outside of the readings, and within a break.
        """
        energy: list[int | None] = [b - a for a, b in pairwise(self.counts(edges_s))]
        first_s, last_s = self.readings.at_s[0], self.last_s
        unknown_s = self.stretches_s(Tie.BROKEN, Tie.AWAY)
        unknown_s += [(min(edges_s[0], first_s), first_s), (last_s, max(last_s, edges_s[-1]))]
        for start_s, end_s in joined(unknown_s, touching=True):
            for i in range(bisect_left(edges_s, start_s), bisect_right(edges_s, end_s) - 1):
                energy[i] = None
        return energy

    def bridged(self, edges_s: Sequence[int]) -> list[int]:
        """Return how much of the energy between edges was spread evenly over a longer stretch."""
        shares = [0] * (len(edges_s) - 1)
        for start_s, end_s in joined(self.stretches_s(Tie.BRIDGED)):
            for i in touched(edges_s, start_s, end_s):
                within_s = max(edges_s[i], start_s), min(edges_s[i + 1], end_s)
                before, after = self.counts(within_s)
                shares[i] += after - before
        return shares

    # -- what was known at a point, read off the curve
    def anchor_at(self, at_s: int) -> Anchor | None:
        """Return what to go on from at a quarter hour's start; None before the first reading."""
        readings = self.readings
        point = bisect_right(readings.at_s, at_s) - 1
        if point < 0:
            return None
        offset_mwh = next(m for p, m in reversed(self.offsets_mwh.items()) if p <= point)
        return Anchor(
            readings.source[point],
            readings.at_s[point],
            readings.value_mwh[point],
            readings.power_w[point],
            self.count_mwh[point] - readings.value_mwh[point] - offset_mwh,
            self.last_increase_s(point),
            self.flat_since_s(self.flat(point)),
            self.anchor.first_s,
            self.max_quarter_mwh(at_s),
            owed_ws=self.owed_ws(point),
        )

    def _level(self, point: int) -> int:
        """Return the point since which the curve has been level, or the register was this one."""
        at_s = self.readings.at_s
        ends_s = (step.end_s for step in reversed(self.steps) if step.tie in {Tie.BROKEN, Tie.AWAY})
        anew_s = next((end_s for end_s in ends_s if end_s <= at_s[point]), at_s[0])
        first = bisect_left(at_s, anew_s)
        return bisect_left(self.count_mwh, self.count_mwh[point], first, point + 1)

    def last_increase_s(self, point: int) -> int:
        """Return when the register last grew, as of a point, or began."""
        level = self._level(point)
        return self.readings.at_s[level] if level else self.anchor.last_increase_s

    def owed_ws(self, point: int) -> int:
        """Return what power came to since the register last grew, as of a point; unknown power is much."""
        level, at_s = self._level(point), self.readings.at_s
        powers_w = [UNKNOWN_W if w is None else max(0.0, w) for w in self.readings.power_w[level : point + 1]]
        steps_s = map(sub, at_s[level + 1 : point + 1], at_s[level:point])
        owed_ws = sum(map(int, map(mul, map(max, powers_w, powers_w[1:]), steps_s)))
        return owed_ws if level else owed_ws + self.anchor.owed_ws

    def flat(self, point: int) -> int:
        """Return the point since which the register has stood still under power, as of another.

        Once it is stuck beyond doubt, it is so whatever the power is, until it grows.
        """
        at_s, powers_w = self.readings.at_s, self.readings.power_w
        place = self._level(point)
        powers_since_w = powers_w[place + 1 : point + 1]
        if at_s[place] - self.flat_since_s(place) > STALL_S or not powers_since_w:
            return place
        if max(filter(None, powers_since_w), default=0) <= STALL_POWER_W:
            return point
        for later, power_w in enumerate(powers_since_w, start=place + 1):
            if power_w is None or power_w <= STALL_POWER_W:
                place = later
            elif at_s[later] - self.flat_since_s(place) > STALL_S:
                break
        return place

    def flat_since_s(self, place: int) -> int:
        """Return since when the register stands still that does so since a point."""
        return self.readings.at_s[place] if place else self.anchor.flat_since_s

    def growth_after_stuck(self, first: int) -> int | None:
        """Return the first point from ``first`` on that grew after the register was stuck."""
        at_s, count_mwh, size = self.readings.at_s, self.count_mwh, len(self.count_mwh)
        level = self._level(first - 1)
        while (later := bisect_right(at_s, self.flat_since_s(level) + STALL_S, level)) < size:
            if count_mwh[later] != count_mwh[level]:
                level = bisect_left(count_mwh, count_mwh[later], level)
                continue
            if (level := bisect_right(count_mwh, count_mwh[level], later)) == size:
                break
            flat_since_s = self.flat_since_s(self.flat(level - 1))
            if level >= first and at_s[level - 1] - flat_since_s > STALL_S:
                return level
        return None

    def max_quarter_mwh(self, at_s: int) -> int:
        """Return the most that a quarter hour held which ended by an instant.

        Those that ended within a bridged step are left out, so that what was spread over a gap
        does not teach what is possible.
        """
        learned, known = self._learned_mwh, max(0, at_s - self.since_s) // QUARTER_S
        learned += [] if learned else [self.anchor.max_quarter_mwh]
        if known >= len(learned):
            edges_s = [self.since_s + QUARTER_S * n for n in range(len(learned) - 1, known + 1)]
            bridged_s: set[int] = set()
            for start_s, end_s in self.stretches_s(Tie.BRIDGED):
                bridged_s.update(edges_s[bisect_right(edges_s, start_s) : bisect_right(edges_s, end_s)])
            for edge_s, (before, after) in zip(edges_s[1:], pairwise(self.counts(edges_s)), strict=True):
                learned.append(learned[-1] if edge_s in bridged_s else max(learned[-1], after - before))
        return learned[known]


def joined(stretches_s: Iterable[Stretch], *, touching: bool = False) -> list[Stretch]:
    """Return stretches in order, those that overlap (or also those that touch) as one."""
    found: list[Stretch] = []
    for start_s, end_s in sorted(stretches_s):
        if found and start_s < found[-1][1] + touching:
            found[-1] = found[-1][0], max(end_s, found[-1][1])
        else:
            found.append((start_s, end_s))
    return found


def touched(edges_s: Sequence[int], start_s: int, end_s: int) -> range:
    """Return which intervals between edges a stretch touches, by number."""
    first = max(0, bisect_right(edges_s, start_s) - 1)
    return range(first, min(len(edges_s) - 1, bisect_left(edges_s, end_s)))


def seconds_of(stretches_s: Iterable[Stretch], edges_s: Sequence[int]) -> list[int]:
    """Return how much of each interval between edges lies in some stretch."""
    seconds = [0] * (len(edges_s) - 1)
    for start_s, end_s in joined(stretches_s):
        for i in touched(edges_s, start_s, end_s):
            seconds[i] += min(edges_s[i + 1], end_s) - max(edges_s[i], start_s)
    return seconds
