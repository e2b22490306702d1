"""What batteries without a CT gave and took, from the power that they report (rule R18).

Power is positive while they discharge. A storage CT's counters go before: from its first reading on nothing is taken
from power, until it is no longer waited for. Power that is not known for longer than samples are normally apart leaves
a gap; what that means for consumption is decided in ``doubts``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Decision, Stretch
from logger.ledger.limits import RECOVERY_S, RETIRED_S, Stream, StreamKey
from logger.ledger.net_power import integrate

#: At rest each battery claims some W: below this part of the rated power is nothing.
REST = 0.01
#: Over no more time than this the energy stored before and after shows what they gave in between.
BOUND_S = 86_400
#: That energy moves in whole percents of the capacity.
LEVEL = 0.01
#: What charging or discharging loses at most, and what whole cycles do, of which there is one a day.
ONE_WAY, CYCLE = 0.15, 0.25
#: The kind of battery beside which others count only while their power is known.
MAIN = "encharge"
NEVER_S = 1 << 62
#: (instant, W)
Powers = list[tuple[int, float | None]]


class Sample(NamedTuple):
    """What the batteries of a kind reported together."""

    at_s: int
    power_w: float | None
    energy_wh: float | None = None  #: stored
    capacity_wh: float | None = None


class PowerState(NamedTuple):
    """What only the past shows of the batteries of a kind."""

    at_s: int  #: the last sample
    first_s: int  #: the first ever
    known_s: int | None = None  #: the last sample whose power was known
    power_w: float | None = None  #: of it
    energy_wh: float | None = None  #: of it
    capacity_wh: float | None = None  #: of it


@dataclass(frozen=True, slots=True)
class Batteries:
    """What is known of the batteries of a site in a window, and before it; each by their kind."""

    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)  #: after the beginning of the window
    states: Mapping[str, PowerState] = field(default_factory=dict)  #: at its beginning
    #: since when, rated power of all (W), in order
    rated_w: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)

    @property
    def first_s(self) -> int:
        """When something was first heard of them."""
        return min((_kind(self, name).first_s for name in _names(self)), default=NEVER_S)


NO_BATTERIES = Batteries()


class Gap(NamedTuple):
    """A stretch in which power is unknown; ``end_s`` is None while it lasts."""

    start_s: int
    end_s: int | None


class Bound(NamedTuple):
    """A gap over which stored energy shows what batteries gave: discharge - charge lies between these, mWh."""

    start_s: int
    end_s: int
    least_mwh: float
    most_mwh: float


@dataclass(slots=True)
class Account:
    """What batteries without a CT did in a window, by quarter hour."""

    charge_mwh: Energy = field(default_factory=list)  #: None where nothing was measured
    discharge_mwh: Energy = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)  #: of some gaps
    there_s: list[Stretch] = field(default_factory=list)  #: where power counts, and no CT
    uncovered_s: list[Stretch] = field(default_factory=list)
    open_s: list[int] = field(default_factory=list)  #: from when on more samples may change the result
    decisions: list[Decision] = field(default_factory=list)
    is_there: bool = False  #: something is known of batteries
    is_ct_gone: bool = False  #: a storage CT is no longer waited for: since its last reading power counts

    @property
    def estimated_mwh(self) -> Energy:
        """Return charge and discharge together."""
        both = zip(self.charge_mwh, self.discharge_mwh, strict=True)
        return [None if into is None or out is None else into + out for into, out in both]


@dataclass(slots=True)
class _Kind:
    """The samples of a kind and the last before them."""

    first_s: int
    rows_s: list[int]
    known: list[Sample]  #: those with a power
    was_known: bool  #: the first of them lies before the window


def account(
    batteries: Batteries, curves: Mapping[StreamKey, Curve], edges_s: range, newest_s: int, gap_s: int
) -> Account:
    """Return what batteries did that no storage CT counted, up to the newest reading of a register."""
    count = len(edges_s) - 1
    charge, discharge, covered_s = [0.0] * count, [0.0] * count, [0] * count
    reign_s, is_ct_gone = _reign_s(curves, newest_s)
    kinds = {name: _kind(batteries, name) for name in _names(batteries)}
    result = Account(is_there=bool(kinds), is_ct_gone=is_ct_gone)
    main_s: list[Stretch] = []
    for name, kind in kinds.items():
        powers = _outside(_working(kind, batteries.rated_w.get(name, ()), gap_s), reign_s)
        net = integrate(*powers, edges_s, gap_s=gap_s)
        charge = [*map(float.__add__, charge, net.exports_mwh)]
        discharge = [*map(float.__add__, discharge, net.imports_mwh)]
        covered_s = [*map(int.__add__, covered_s, net.covered_s)]
        counted_s = without([(kind.first_s, NEVER_S)], [*_away_s(kind, curves, newest_s), *reign_s])
        needed_s, is_alone = without(counted_s, main_s), len(kinds) == 1
        result.there_s += needed_s
        _find_gaps(result, kind, needed_s, newest_s, gap_s, is_alone=is_alone)
        result.open_s += _open_s(kind, counted_s, newest_s, gap_s, is_alone=is_alone)
        main_s += counted_s
    for energy, sums in ((result.charge_mwh, charge), (result.discharge_mwh, discharge)):
        energy += [round(mwh) if seconds else None for mwh, seconds in zip(sums, covered_s, strict=True)]
    result.decisions += _source_changes(batteries.first_s, reign_s, edges_s[0])
    return result


def add_power(energy: dict[Stream, Energy], battery: Account) -> None:
    """Add what batteries gave and took by their power to the energy of streams."""
    nothing: Energy = [None] * len(battery.charge_mwh)
    for stream, added in ((Stream.CHARGE, battery.charge_mwh), (Stream.DISCHARGE, battery.discharge_mwh)):
        both = zip(energy.get(stream, nothing), added, strict=True)
        energy[stream] = [mwh if more is None else (mwh or 0) + more for mwh, more in both]


def states_at(batteries: Batteries, at_s: int) -> dict[str, PowerState]:
    """Return what to go on from at a quarter hour's start, by kind."""
    found: dict[str, PowerState] = {}
    for name in _names(batteries):
        kind = _kind(batteries, name)
        if kind.first_s <= at_s:
            last_s = kind.rows_s[bisect_right(kind.rows_s, at_s) - 1]
            known = [sample for sample in kind.known if sample.at_s <= at_s][-1:]
            found[name] = PowerState(last_s, kind.first_s, *(known[0] if known else ()))
    return found


def without(stretches_s: Iterable[Stretch], cuts_s: Iterable[Stretch]) -> list[Stretch]:
    """Return what is left of stretches without others."""
    left = list(stretches_s)
    for cut_s, end_s in cuts_s:
        parts = [part for a, b in left for part in ((a, min(b, cut_s)), (max(a, end_s), b))]
        left = [(a, b) for a, b in parts if a < b]
    return left


def _names(batteries: Batteries) -> list[str]:
    """Return the kinds there are, the main one first."""
    sampled = {name for name, samples in batteries.samples.items() if samples}
    return sorted(sampled | batteries.states.keys(), key=lambda name: (name != MAIN, name))


def _kind(batteries: Batteries, name: str) -> _Kind:
    state, samples = batteries.states.get(name), batteries.samples.get(name, ())
    known = [sample for sample in samples if sample.power_w is not None]
    rows_s = [sample.at_s for sample in samples]
    if state is None:
        return _Kind(rows_s[0], rows_s, known, was_known=False)
    if state.known_s is not None:
        known.insert(0, Sample(state.known_s, *state[3:]))
    return _Kind(state.first_s, [state.at_s, *rows_s], known, was_known=state.known_s is not None)


def _working(kind: _Kind, rated_w: Sequence[tuple[int, float]], gap_s: int) -> Powers:
    """Return the known powers, 0 for those at rest.

    Batteries follow loads that go on and off: where power changes its sign, each sample stands for half of the step. A
    straight line between them would give the same balance, and too little of both ways.
    """
    since_s = [since_s for since_s, _ in rated_w]
    found: Powers = []
    for at_s, known_w, *_ in kind.known:
        least_w = REST * rated_w[max(0, bisect_right(since_s, at_s) - 1)][1] if rated_w else 0.0
        power_w = 0.0 if known_w is None or abs(known_w) < least_w else known_w
        before_s, before_w = found[-1] if found else (at_s, None)
        if before_w is not None and before_w * power_w < 0 and at_s - before_s <= gap_s:
            found += [(before_s + (at_s - before_s) // 2, before_w), (at_s - (at_s - before_s) // 2, power_w)]
        found.append((at_s, power_w))
    return found


def _reign_s(curves: Mapping[StreamKey, Curve], newest_s: int) -> tuple[list[Stretch], bool]:
    """Return when a storage CT's counters count and power does not, and whether that is over.

    While one of its channels is lost it is there as well; silent for long it was taken out.
    """
    ct = {key: curve for key, curve in curves.items() if key[0] in {Stream.CHARGE, Stream.DISCHARGE}}
    if not ct:
        return [], False
    first_s = min(curve.anchor.first_s for curve in ct.values())
    if newest_s - max(curve.last_s for curve in ct.values()) <= RECOVERY_S:
        return [(first_s, NEVER_S)], False
    return [(first_s, max(curve.last_s for (_, phase), curve in ct.items() if phase == "total"))], True


def _outside(points: Powers, reign_s: Iterable[Stretch]) -> tuple[list[int], list[float | None]]:
    """Return powers that are unknown while others count."""
    for first_s, last_s in reign_s:
        begin = bisect_right(points, first_s, key=itemgetter(0))
        end = bisect_left(points, last_s, begin, key=itemgetter(0))
        points[begin:end] = [(first_s, None)] if first_s < last_s else []
    return [at_s for at_s, _ in points], [power_w for _, power_w in points]


def _away_s(kind: _Kind, curves: Mapping[StreamKey, Curve], newest_s: int) -> Iterator[Stretch]:
    """Return when the batteries had been taken out: no samples for long, while others were read."""
    for before_s, after_s in pairwise(kind.rows_s):
        if after_s - before_s > RETIRED_S and any(
            bisect_left(curve.readings.at_s, after_s) > bisect_right(curve.readings.at_s, before_s)
            for curve in curves.values()
        ):
            yield before_s + RETIRED_S, after_s
    if newest_s - kind.rows_s[-1] > RETIRED_S:
        yield kind.rows_s[-1] + RETIRED_S, NEVER_S


def _find_gaps(
    result: Account, kind: _Kind, needed_s: Iterable[Stretch], newest_s: int, gap_s: int, *, is_alone: bool
) -> None:
    """Find where the power of a kind is unknown although it is needed."""
    chain: list[Sample] = kind.known
    if not chain or (not kind.was_known and chain[0].at_s > kind.first_s):
        chain = [Sample(kind.first_s, None), *chain]
    for before, after in pairwise([*chain, Sample(NEVER_S, None)]):
        last_s = newest_s if after.at_s == NEVER_S else after.at_s
        if last_s - before.at_s <= (0 if before.power_w is None else gap_s):
            continue
        for needed, until_s in needed_s:
            start_s, end_s = max(needed, before.at_s), min(until_s, after.at_s)
            if start_s >= end_s:
                continue
            result.gaps.append(Gap(start_s, None if end_s == NEVER_S else end_s))
            if before.power_w is not None:
                result.uncovered_s.append((start_s, max(start_s, min(end_s, before.at_s + RETIRED_S))))
            if is_alone and (start_s, end_s) == (before.at_s, after.at_s) and (bound := _bound(before, after)):
                result.bounds.append(bound)


def _open_s(kind: _Kind, counted_s: Iterable[Stretch], newest_s: int, gap_s: int, *, is_alone: bool) -> Iterator[int]:
    """Return from when on the next sample may change what is known, if it may."""
    if kind.known and any(end_s == NEVER_S for _, end_s in counted_s):
        last = kind.known[-1]
        may_be_bound = is_alone and last.energy_wh is not None and last.capacity_wh is not None
        if newest_s - last.at_s <= (max(gap_s, BOUND_S) if may_be_bound else gap_s):
            yield last.at_s


def _bound(before: Sample, after: Sample) -> Bound | None:
    """Return what batteries gave between two samples, by what they stored; None where that is unknown."""
    over_s, capacity_wh = after.at_s - before.at_s, after.capacity_wh
    if over_s > BOUND_S or before.energy_wh is None or after.energy_wh is None or capacity_wh is None:
        return None
    fallen_wh, level_wh = before.energy_wh - after.energy_wh, LEVEL * capacity_wh
    least_wh, most_wh = fallen_wh - level_wh, fallen_wh + level_wh
    least_wh = least_wh * (1 - ONE_WAY) if least_wh > 0 else least_wh / (1 - ONE_WAY)
    least_wh -= CYCLE * capacity_wh * over_s / 86_400
    return Bound(before.at_s, after.at_s, 1000 * least_wh, 1000 * most_wh)


def _source_changes(first_s: int, reign_s: Iterable[Stretch], since_s: int) -> Iterator[Decision]:
    """Return one decision where a storage CT takes over from power, and where power does."""
    for begin_s, end_s in reign_s:
        kind, subject, ct = "source_change", "battery total", "the counters of the storage CT"
        if first_s < begin_s and begin_s > since_s:
            yield Decision(begin_s, kind, subject, f"from the power of the batteries to {ct}")
        taken_s = quarter_start_s(end_s) + QUARTER_S
        if first_s < NEVER_S and end_s < NEVER_S and taken_s > since_s:
            yield Decision(taken_s, kind, subject, f"from {ct} to the power of the batteries")
