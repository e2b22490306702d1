"""Import and export of a site with several phases, as a utility's meter counts them that balances its phases.

A CT counts each phase for itself, and its totals are the sums of that: what one phase exports while another imports is
in both. A meter that balances sees only what all phases make together. From reading to reading import less export is
known exactly; how much went both ways in between is estimated (``two_way``), and each estimate is kept beside it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import sub
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.curve import Curve, Readings, Step, Stretch, Tie
from logger.ledger.limits import RETIRED_S, Stream, StreamKey
from logger.ledger.two_way import two_way_mwh

#: import and export
Pair = tuple[Curve, Curve]
#: instant, and what all phases together had counted by then each way
Point = tuple[int, int, int]


class Guess(NamedTuple):
    """How much is estimated, or may have gone unseen, both ways from an instant to the next reading."""

    at_s: int
    ways_mwh: int
    #: Import and export may be off by all of it, and day in, day out to the same side. Other estimates are off by about
    #: as much, now to one side and now to the other.
    is_one_sided: bool


class Balanced(NamedTuple):
    """Import and export of all phases together."""

    curves: Pair
    whole_s: list[Stretch]  #: must not be cut by where counting goes on
    guesses: list[Guess]  #: in order of time


def balanced(
    curves: Mapping[StreamKey, Curve], edges_s: range, *, newest_s: int, gap_s: int, has_battery: bool
) -> Balanced | None:
    """Return what a meter counts that balances its phases; None where fewer than two are counted.

    A phase belongs to it from its first reading until it is given up. Where one of them was not measured, the total's
    own registers stand for all. Batteries follow the house some seconds late, nobody knows how many: all that is
    estimated of them is in doubt.
    """
    own = curves.get((Stream.IMPORT, "total")), curves.get((Stream.EXPORT, "total"))
    phases = [
        (curve, curves[Stream.EXPORT, phase])
        for (stream, phase), curve in curves.items()
        if stream is Stream.IMPORT and phase != "total" and (Stream.EXPORT, phase) in curves
    ]
    if own[0] is None or own[1] is None or len(phases) < 2:
        return None
    balance = _Balance((own[0], own[1]), phases, edges_s, gap_s, has_battery=has_battery)
    balance.count(_stretches(balance.own, phases, newest_s - RETIRED_S))
    if not (balance.grid_import.at_s and balance.grid_export.at_s):
        return None  # nothing but one reading
    return Balanced(balance.curves(), balance.whole_s, sorted(balance.guesses))


def _stretches(own: Pair, phases: Sequence[Pair], living_s: int) -> Iterator[tuple[int, int, list[Pair]]]:
    """Yield the stretches in which the same phases belong to the site."""
    spans_s = []
    for pair in phases:
        end_s = min(curve.last_s for curve in pair)
        spans_s.append((max(curve.readings.at_s[0] for curve in pair), None if end_s > living_s else end_s))
    # Where the total was read later than its phases the last time, these have counted on meanwhile.
    begin_s = min((span_s[0] for span_s in spans_s), default=0)
    marks_s = {curve.readings.at_s[0] for curve in own if curve.readings.at_s[0] < begin_s}
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

    def __init__(self, own: Pair, phases: Sequence[Pair], edges_s: range, gap_s: int, *, has_battery: bool) -> None:
        self.own, self.phases, self.gap_s, self.has_battery = own, phases, gap_s, has_battery
        self.end_s = edges_s[-1] + gap_s
        self.grid_import, self.grid_export = _Count(), _Count()
        self.whole_s: list[Stretch] = []
        self.guesses: list[Guess] = []

    def count(self, stretches: Iterable[tuple[int, int, list[Pair]]]) -> None:
        """Count all stretches, in order."""
        last_s: int | None = None  # when all phases were read last
        for start_s, end_s, phases in stretches:
            at_s = _common_s(phases, start_s, end_s) if len(phases) > 1 else []
            is_netted = len(phases) > 1
            if not at_s:
                self._by_own(start_s, end_s, is_netted=is_netted)
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

    def _by_own(self, start_s: int, end_s: int, *, is_netted: bool = True) -> None:
        self.grid_import.extend_by(self.own[0], start_s, end_s)
        self.grid_export.extend_by(self.own[1], start_s, end_s)
        counts = (curve.counts([start_s, end_s]) for curve in self.own)
        if is_netted and start_s < end_s and (most_mwh := min(after - before for before, after in counts)) > 0:
            self.guesses.append(Guess(start_s, most_mwh, is_one_sided=True))

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
        counts = [[_counts(pair[place], at_s) for pair in phases] for place in (0, 1)]
        into, out = (list(map(sum, zip(*columns, strict=True))) for columns in counts)
        each_in, each_out = list(map(sub, into[1:], into)), list(map(sub, out[1:], out))
        ways = list(map(min, each_in, each_out))
        if any(ways):
            columns = list(zip(*counts, (_powers_w(pair[0], at_s) for pair in phases), strict=True))
            for i, most_mwh in enumerate(ways):
                if most_mwh:
                    j, over_s = i + 1, at_s[i + 1] - at_s[i]
                    steps = [(c[j] - c[i], d[j] - d[i], w[i], w[j]) for c, d, w in columns]
                    is_known = over_s <= self.gap_s and not any(None in step for step in steps)
                    ways[i] = min(most_mwh, two_way_mwh(over_s, steps)) if is_known else 0
                    if ways[i] or not is_known:
                        in_doubt = self.has_battery or not is_known
                        self.guesses.append(Guess(at_s[i], ways[i] if is_known else most_mwh, in_doubt))
        times, nets = at_s[1:], list(map(sub, each_in, each_out))
        if inner := self._inner_edges(phases, at_s):
            times, nets, ways = _shared(list(zip(at_s, into, out, strict=True)), ways, inner)
        self.grid_import.extend(at_s[0], times, (w + n if n > 0 else w for n, w in zip(nets, ways, strict=True)))
        self.grid_export.extend(at_s[0], times, (w if n > 0 else w - n for n, w in zip(nets, ways, strict=True)))
        gaps_s = [step_s for step_s in pairwise(at_s) if step_s[1] - step_s[0] > self.gap_s]
        for place, count in enumerate((self.grid_import, self.grid_export)):
            count.steps += [Step(Tie.BRIDGED, *step_s) for step_s in gaps_s]
            for pair in phases:
                count.add_steps(pair[place], at_s[0], at_s[-1])

    def _inner_edges(self, phases: Sequence[Pair], at_s: list[int]) -> list[Point]:
        """Return the edges of quarter hours within steps, and what had been counted by them each way."""
        known = set(at_s)
        # Also those before counting goes on, so that a step is shared alike wherever that is.
        every_s = range(quarter_start_s(at_s[0]) + QUARTER_S, at_s[-1], QUARTER_S)
        edges_s = [edge_s for edge_s in every_s if edge_s not in known]
        counts = ([pair[place].counts(edges_s) for pair in phases] for place in (0, 1))
        into, out = (map(sum, zip(*columns, strict=True)) for columns in counts)
        return list(zip(edges_s, into, out, strict=True))


def _shared(points: list[Point], ways_mwh: list[int], inner: list[Point]) -> tuple[list[int], list[int], list[int]]:
    """Return the ends, nets and both ways of steps that are cut at some points; both ways are shared evenly."""
    times: list[int] = []
    nets: list[int] = []
    ways: list[int] = []
    place = 0
    for (start, end), way_mwh in zip(pairwise(points), ways_mwh, strict=True):
        parts, given = [start], 0
        while place < len(inner) and inner[place][0] < end[0]:
            parts.append(inner[place])
            place += 1
        for before, after in pairwise([*parts, end]):
            into, out = after[1] - before[1], after[2] - before[2]
            share_mwh = way_mwh * (after[0] - start[0]) // (end[0] - start[0]) - given
            times.append(after[0])
            nets.append(into - out)
            ways.append(min(into, out, share_mwh))
            given += ways[-1]
    return times, nets, ways


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
    steps_s: set[Stretch] = set()
    for pair in phases:
        for curve in pair:
            inner_s = _between(curve, at_s[0], at_s[-1])
            if len(inner_s) > len(at_s) - 2:
                for time_s in set(inner_s).difference(at_s):
                    after = bisect_left(at_s, time_s)
                    steps_s.add((at_s[after - 1], at_s[after]))
    return sorted(steps_s)


def _counts(curve: Curve, at_s: list[int]) -> list[int]:
    """Return what a register had counted by instants at which it was read."""
    times = curve.readings.at_s
    first = bisect_left(times, at_s[0])
    if times[first : first + len(at_s)] == at_s:
        return curve.count_mwh[first : first + len(at_s)]
    return curve.counts(at_s)


def _powers_w(curve: Curve, at_s: list[int]) -> list[float | None]:
    """Return the power at instants at which a register was read."""
    times, powers_w = curve.readings.at_s, curve.readings.power_w
    first = bisect_left(times, at_s[0])
    if times[first : first + len(at_s)] == at_s:
        return powers_w[first : first + len(at_s)]
    by_time = dict(zip(times, powers_w, strict=True))
    return [by_time[time_s] for time_s in at_s]
