"""Import and export of a site with several phases, as a utility's meter counts them that balances its phases.

A CT counts each phase for itself, and its totals are the sums of that: what one phase exports while another imports is
in both. A meter that balances sees only what all phases make together. From reading to reading import less export is
known exactly; how much went both ways in between follows from the power at both ends.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import add, sub
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.curve import Curve, Readings, Step, Stretch, Tie
from logger.ledger.limits import RETIRED_S, Stream, StreamKey

#: import and export
Pair = tuple[Curve, Curve]
#: instant, and what all phases together had counted by then each way
Point = tuple[int, int, int]
#: its end, net, and how much went both ways
Part = tuple[int, int, int]


class Balanced(NamedTuple):
    """Import and export of all phases together."""

    curves: Pair
    whole_s: list[Stretch]  #: must not be cut by where counting goes on


def balanced(curves: Mapping[StreamKey, Curve], edges_s: range, *, newest_s: int, gap_s: int) -> Balanced | None:
    """Return what a meter counts that balances its phases; None where fewer than two are counted.

    A phase belongs to it from its first reading until it is given up. Where one of them was not measured, the total's
    own registers stand for all.
    """
    own = curves.get((Stream.IMPORT, "total")), curves.get((Stream.EXPORT, "total"))
    phases = [
        (curve, curves[Stream.EXPORT, phase])
        for (stream, phase), curve in curves.items()
        if stream is Stream.IMPORT and phase != "total" and (Stream.EXPORT, phase) in curves
    ]
    if own[0] is None or own[1] is None or len(phases) < 2:
        return None
    balance = _Balance((own[0], own[1]), phases, edges_s, gap_s)
    balance.count(_stretches(balance.own, phases, newest_s - RETIRED_S))
    if not (balance.grid_import.at_s and balance.grid_export.at_s):
        return None  # nothing but one reading
    return Balanced(balance.curves(), balance.whole_s)


def two_way_mwh(net_mwh: int, over_s: int, before_w: float | None, after_w: float | None) -> int:
    """Return how much went both ways in a step that counted ``net_mwh``, by the power at its ends.

    Power is taken to have had two levels: those of both ends, each for as long as gives the net. Where no share does,
    it was at their mean for half of the time and at another level for the rest.
    """
    if before_w is None or after_w is None:
        return 0
    net_w = net_mwh * 3.6 / over_s
    low_w, high_w = (before_w, after_w) if before_w < after_w else (after_w, before_w)
    share = 0.5  # of the time at the higher level
    if not low_w <= net_w <= high_w:
        level_w = (low_w + high_w) / 2
        low_w, high_w = sorted((level_w, 2 * net_w - level_w))
    elif low_w < high_w:
        share = (net_w - low_w) / (high_w - low_w)
    if low_w >= 0 or high_w <= 0:
        return 0
    return int(min(share * high_w, (share - 1) * low_w) * over_s / 3.6)


def _stretches(own: Pair, phases: Sequence[Pair], living_s: int) -> Iterator[tuple[int, int, list[Pair]]]:
    """Yield the stretches in which the same phases belong to the site."""
    spans_s = []
    for pair in phases:
        end_s = min(curve.last_s for curve in pair)
        spans_s.append((max(curve.readings.at_s[0] for curve in pair), None if end_s > living_s else end_s))
    marks_s = {curve.readings.at_s[0] for curve in own}
    marks_s |= {max(curve.last_s for pair in (own, *phases) for curve in pair)}
    marks_s |= {mark_s for span_s in spans_s for mark_s in span_s if mark_s is not None}
    for start_s, end_s in pairwise(sorted(marks_s)):
        belong = (first_s <= start_s and (until_s is None or end_s <= until_s) for first_s, until_s in spans_s)
        yield start_s, end_s, [pair for pair, belongs in zip(phases, belong, strict=True) if belongs]


class _Count:
    """What had been counted one way by when, in the making."""

    def __init__(self) -> None:
        self.at_s: list[int] = []
        self.count_mwh: list[int] = []
        self.steps: list[Step] = []

    def extend(self, start_s: int, at_s: Sequence[int], each_mwh: Iterable[int]) -> None:
        """Go on from an instant by what was counted up to each of some others."""
        if not self.at_s:
            self.at_s, self.count_mwh = [start_s], [0]
        elif start_s > self.at_s[-1]:
            # Neither all phases nor the total were read in between.
            self.steps.append(Step(Tie.BROKEN, self.at_s[-1], start_s))
            self.at_s.append(start_s)
            self.count_mwh.append(self.count_mwh[-1])
        self.at_s.extend(at_s)
        self.count_mwh += list(accumulate(each_mwh, initial=self.count_mwh.pop()))

    def extend_by(self, curve: Curve, start_s: int, end_s: int) -> None:
        """Go on by what a register counted between two instants."""
        start_s, end_s = max(start_s, curve.readings.at_s[0]), min(end_s, curve.last_s)
        if start_s < end_s:
            at_s = [start_s, *_between(curve, start_s, end_s), end_s]
            counts = curve.counts(at_s)
            self.extend(start_s, at_s[1:], map(sub, counts[1:], counts))
            self.add_steps(curve, start_s, end_s)

    def add_steps(self, curve: Curve, start_s: int, end_s: int) -> None:
        """Add what was not simply counted of a register between two instants."""
        self.steps += [step for step in curve.steps if step.start_s < end_s and start_s < step.end_s]


class _Balance:
    """Puts the total together, stretch by stretch: of its phases, or of its own registers."""

    def __init__(self, own: Pair, phases: Sequence[Pair], edges_s: range, gap_s: int) -> None:
        self.own, self.phases, self.gap_s = own, phases, gap_s
        self.end_s = edges_s[-1] + gap_s
        self.grid_import, self.grid_export = _Count(), _Count()
        self.whole_s: list[Stretch] = []

    def count(self, stretches: Iterable[tuple[int, int, list[Pair]]]) -> None:
        """Count all stretches, in order."""
        last_s: int | None = None  # when all phases were read last
        for start_s, end_s, phases in stretches:
            at_s = _common_s(phases, start_s, end_s) if len(phases) > 1 else []
            if not at_s:
                self._by_own(start_s, end_s)
                continue
            self._by_own(start_s, at_s[0])
            if last_s is not None and last_s < at_s[0]:
                self.whole_s.append((last_s, at_s[0]))
            self._by_phases(phases, at_s)
            self._by_own(at_s[-1], end_s)
            last_s = at_s[-1]
        if last_s is not None and last_s < max(curve.last_s for pair in self.phases for curve in pair):
            self.whole_s.append((last_s, self.end_s))

    def curves(self) -> Pair:
        """Return what was counted; the curves are only looked at, and never continued."""
        found = []
        for place, count in enumerate((self.grid_import, self.grid_export)):
            own, at_s, count_mwh = self.own[place], count.at_s, count.count_mwh
            read = Readings(at_s, count_mwh, [None] * len(at_s), ["ct"] * len(at_s))
            first_s = min(own.anchor.first_s, at_s[0])
            anchor = own.anchor._replace(at_s=at_s[0], value_mwh=count_mwh[0], first_s=first_s)
            curve = Curve(read, read, count_mwh, anchor, own.since_s, steps=count.steps)
            curve.flats_s = [flat_s for pair in self.phases for flat_s in pair[place].flats_s]
            found.append(curve)
        return found[0], found[1]

    def _by_own(self, start_s: int, end_s: int) -> None:
        self.grid_import.extend_by(self.own[0], start_s, end_s)
        self.grid_export.extend_by(self.own[1], start_s, end_s)

    def _by_phases(self, phases: Sequence[Pair], at_s: list[int]) -> None:
        """Count from instant to instant at which all of some phases were read."""
        pieces = [at_s]
        for step_s in _interrupted(phases, at_s):
            self.whole_s.append(step_s)
            if step_s[1] - step_s[0] > self.gap_s and _between(self.own[0], *step_s):
                *before, piece = pieces
                first = bisect_right(piece, step_s[0])
                pieces = [*before, piece[:first], piece[first:]]
        for number, piece in enumerate(pieces):
            if number:
                self._by_own(pieces[number - 1][-1], piece[0])
            self._in_steps(phases, piece)

    def _in_steps(self, phases: Sequence[Pair], at_s: list[int]) -> None:
        into, out = (_sums([pair[place] for pair in phases], at_s) for place in (0, 1))
        powers_w = _powers_w([pair[0] for pair in phases], at_s)
        inner = self._inner_edges(phases, at_s)
        parts: list[Part] = []
        for i, (start_s, end_s) in enumerate(pairwise(at_s)):
            in_mwh, out_mwh, over_s = into[i + 1] - into[i], out[i + 1] - out[i], end_s - start_s
            way_mwh = min(in_mwh, out_mwh)
            if way_mwh and over_s <= self.gap_s:
                way_mwh = min(way_mwh, two_way_mwh(in_mwh - out_mwh, over_s, powers_w[i], powers_w[i + 1]))
            elif way_mwh:
                way_mwh = 0
            if start_s in inner:
                points = [*inner[start_s], (end_s, into[i + 1], out[i + 1])]
                parts += _shared((start_s, into[i], out[i]), points, way_mwh)
            else:
                parts.append((end_s, in_mwh - out_mwh, way_mwh))
        times, nets_mwh, ways_mwh = zip(*parts, strict=True) if parts else ((), (), ())
        self.grid_import.extend(
            at_s[0], times, (max(0, net) + way for net, way in zip(nets_mwh, ways_mwh, strict=True))
        )
        self.grid_export.extend(
            at_s[0], times, (way - min(0, net) for net, way in zip(nets_mwh, ways_mwh, strict=True))
        )
        for place, count in enumerate((self.grid_import, self.grid_export)):
            count.steps += [Step(Tie.BRIDGED, a, b) for a, b in pairwise(at_s) if b - a > self.gap_s]
            for pair in phases:
                count.add_steps(pair[place], at_s[0], at_s[-1])

    def _inner_edges(self, phases: Sequence[Pair], at_s: list[int]) -> dict[int, list[Point]]:
        """Return by the start of a step the edges of quarter hours within, and what was counted by them each way."""
        known = set(at_s)
        # Also those before counting goes on, so that a step is shared alike wherever that is.
        every_s = range(quarter_start_s(at_s[0]) + QUARTER_S, at_s[-1], QUARTER_S)
        edges_s = [edge_s for edge_s in every_s if edge_s not in known]
        into, out = [_sums([pair[place] for pair in phases], edges_s, always=True) for place in (0, 1)]
        found: dict[int, list[Point]] = {}
        for point in zip(edges_s, into, out, strict=True):
            found.setdefault(at_s[bisect_left(at_s, point[0]) - 1], []).append(point)
        return found


def _shared(start: Point, points: Sequence[Point], way_mwh: int) -> Iterator[Part]:
    """Yield the parts of a step up to each of some points; what went both ways is shared evenly."""
    (start_s, into, out), over_s, given = start, points[-1][0] - start[0], 0
    for time_s, into_by, out_by in points:
        part_in, part_out = into_by - into, out_by - out
        part_way = min(part_in, part_out, way_mwh * (time_s - start_s) // over_s - given)
        yield time_s, part_in - part_out, part_way
        into, out, given = into_by, out_by, given + part_way


def _between(curve: Curve, start_s: int, end_s: int) -> list[int]:
    """Return when a register was read between two instants, without these."""
    times = curve.readings.at_s
    return times[bisect_right(times, start_s) : bisect_left(times, end_s)]


def _common_s(phases: Sequence[Pair], start_s: int, end_s: int) -> list[int]:
    """Return when all registers of phases were read, from one instant up to another."""
    first, *others = [_between(curve, start_s - 1, end_s + 1) for pair in phases for curve in pair]
    if all(times == first for times in others):
        return first
    return sorted(set(first).intersection(*others))


def _interrupted(phases: Sequence[Pair], at_s: list[int]) -> list[Stretch]:
    """Return the steps within which some phases were read, though not all."""
    known, steps_s = set(at_s), set()
    for pair in phases:
        for curve in pair:
            for time_s in set(_between(curve, at_s[0], at_s[-1])) - known:
                after = bisect_left(at_s, time_s)
                steps_s.add((at_s[after - 1], at_s[after]))
    return sorted(steps_s)


def _sums(curves: Sequence[Curve], at_s: list[int], *, always: bool = False) -> list[int]:
    """Return what registers had counted together by instants."""
    total = [0] * len(at_s)
    for curve in curves:
        first = bisect_left(curve.readings.at_s, at_s[0]) if at_s else 0
        counts = curve.count_mwh[first : first + len(at_s)]
        if always or curve.readings.at_s[first : first + len(at_s)] != at_s:
            counts = curve.counts(at_s)
        total = list(map(add, total, counts))
    return total


def _powers_w(curves: Sequence[Curve], at_s: list[int]) -> list[float | None]:
    """Return the power of phases together at instants at which they were read; None where it is not known."""
    columns = []
    for curve in curves:
        times, powers_w = curve.readings.at_s, curve.readings.power_w
        first = bisect_left(times, at_s[0])
        if times[first : first + len(at_s)] == at_s:
            columns.append(powers_w[first : first + len(at_s)])
        else:
            by_time = dict(zip(times, powers_w, strict=True))
            columns.append([by_time[time_s] for time_s in at_s])
    return [None if None in row else sum(row) for row in zip(*columns, strict=True)]
