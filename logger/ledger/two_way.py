"""How much went both ways between two readings, by what each phase counted and by the power at both ends.

What one phase counts both ways within a poll is not what several phases exchange. So power is put together again,
phase by phase, as loads have it that are switched: of two levels. Where the levels at both ends explain what was
counted, the phase went over from one to the other once, at a known time; otherwise it was at the other level for a
known part of the time, though not when. Together they give how long which sum of powers lasted. Phases that jump alike
have one load on all of them (240 V between two legs); those whose jumps cancel out have a battery that follows a load.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

#: Less is not worth being called a way, W.
NOISE_W = 1.0
#: A mean that lies beyond the power at both ends by no more than this was at that level all the time, W.
SLACK_W = 30.0
#: Phases whose power jumps by at least this much, and nearly alike, have one load on both of them.
JUMP_W = 100.0
ALIKE = 0.15
ALIKE_SHARE = 0.1
#: With two phases, loads on both together with others are usual: this much of the result is that of two levels of
#: the sum.
SUM_OF_TWO = 0.5

#: of one phase in one step: what it counted as delivered and received (mWh), and its power before and after
PhaseStep = tuple[int, int, float | None, float | None]


class _Levels(NamedTuple):
    """The two levels of a phase's power (W)."""

    low_w: float
    high_w: float
    share: float  #: of the time at the higher
    is_once: bool  #: whether it went over from one to the other once
    rises: bool  #: went over from low to high; or else, whether it was low at the ends


def two_way_mwh(over_s: int, phases: Sequence[PhaseStep]) -> int:
    """Return how much all phases together took and gave in one step; 0 where their power is not known."""
    per_mwh, net_w, apart_w = 3.6 / over_s, 0.0, 0.0
    known: list[tuple[float, float, float, float]] = []
    for into_mwh, out_mwh, before_w, after_w in phases:
        if before_w is None or after_w is None:
            return 0
        into_w, out_w = into_mwh * per_mwh, out_mwh * per_mwh
        mean_w = into_w - out_w
        net_w += mean_w
        apart_w += max(before_w - mean_w, mean_w - before_w, after_w - mean_w, mean_w - after_w)
        if into_w > NOISE_W < out_w:
            apart_w = inf
        known.append((into_w, out_w, before_w, after_w))
    if abs(net_w) >= apart_w:
        return 0  # No level is that far from the mean: power was on one side of zero.
    found = [_levels(*of) for of in known]
    is_crossed = sum(of.low_w for of in found) < 0 < sum(of.high_w for of in found)
    both_w = _both_ways_w(found) if is_crossed else 0.0
    if len(found) == 2:
        before_w, after_w = (sum(of[place] for of in known) for place in (2, 3))
        of_sum = _levels(max(0.0, net_w), max(0.0, -net_w), before_w, after_w, is_sum=True)
        both_w += SUM_OF_TWO * (_both_ways_w([of_sum]) - both_w)
    return int(both_w / per_mwh)


def _levels(into_w: float, out_w: float, before_w: float, after_w: float, *, is_sum: bool = False) -> _Levels:
    """Return the levels of a phase by the mean power of each way, and by its power at both ends.

    Of the sum of phases only the difference of both ways is known.
    """
    low_w, high_w, mean_w = min(before_w, after_w), max(before_w, after_w), into_w - out_w
    is_once = low_w - SLACK_W <= mean_w <= high_w + SLACK_W
    if into_w > NOISE_W < out_w and (high_w > into_w or -low_w > out_w):
        # It was above zero for as long as gives the one way at the level that is known, and below for the other.
        shares = [into_w / high_w] if high_w > into_w else []
        shares += [1 + out_w / low_w] if -low_w > out_w else []
        share = min(max(sum(shares) / len(shares), 0.001), 0.999)
        # Of one power at both ends it went away and came back.
        is_once = is_once and before_w != after_w
        rises = before_w < after_w if is_once else low_w + high_w < 2 * mean_w
        return _Levels(-out_w / (1 - share), into_w / share, share, is_once, rises)
    if is_once:
        share = min(max((mean_w - low_w) / (high_w - low_w), 0.0), 1.0) if low_w < high_w else 0.5
        return _Levels(low_w, high_w, share, is_once=True, rises=before_w < after_w)
    ends_w = (low_w + high_w) / 2
    rises, share = ends_w < mean_w, 0.5
    low_w, high_w = sorted((ends_w, 2 * mean_w - ends_w))
    # What counted only one way was never beyond zero.
    if is_sum:
        return _Levels(low_w, high_w, share, is_once=False, rises=rises)
    if out_w <= NOISE_W and low_w < 0 < mean_w:
        low_w, share = 0.0, mean_w / high_w
    elif into_w <= NOISE_W and mean_w < 0 < high_w:
        high_w, share = 0.0, 1 - mean_w / low_w
    return _Levels(low_w, high_w, share, is_once=False, rises=rises)


def _both_ways_w(levels: Sequence[_Levels]) -> float:
    """Return the mean power that all phases together had both ways."""
    once = [(1 - of.share if of.rises else of.share, of) for of in levels if of.is_once]
    apart = _together([of for of in levels if not of.is_once])
    above_w = below_w = 0.0
    for begin, end in pairwise([0.0, *sorted(turn for turn, _ in once), 1.0]):
        # At the higher level: after the turn of what rises, before that of what falls.
        known_w = sum(of.high_w if of.rises is (turn <= begin) else of.low_w for turn, of in once)
        sums = [(known_w, end - begin)]
        for of in apart:
            sums = [
                *((power_w + of.low_w, share * (1 - of.share)) for power_w, share in sums),
                *((power_w + of.high_w, share * of.share) for power_w, share in sums),
            ]
        above_w += sum(power_w * share for power_w, share in sums if power_w > 0)
        below_w -= sum(power_w * share for power_w, share in sums if power_w < 0)
    return min(above_w, below_w)


def _together(levels: Sequence[_Levels]) -> list[_Levels]:
    """Return levels with those as one that are switched by the same load."""
    jumps = [of for of in levels if of.high_w - of.low_w > JUMP_W]
    if len(jumps) > 1 and abs(sum(map(_jump_w, jumps))) <= ALIKE * max(of.high_w - of.low_w for of in jumps):
        rest = [of for of in levels if of not in jumps]
        return [_as_one(jumps), *rest]
    groups: list[list[_Levels]] = []
    for of in levels:
        for group in groups:
            sizes_w = sorted((of.high_w - of.low_w, group[0].high_w - group[0].low_w))
            is_alike = round(abs(_share_away(of) - _share_away(group[0])), 9) < ALIKE_SHARE
            if is_alike and sizes_w[0] > JUMP_W and sizes_w[1] - sizes_w[0] <= ALIKE * sizes_w[1]:
                group.append(of)
                break
        else:
            groups.append([of])
    return [_as_one(group) for group in groups]


def _jump_w(of: _Levels) -> float:
    """Return how far the other level lies above that of the ends."""
    return of.high_w - of.low_w if of.rises else of.low_w - of.high_w


def _share_away(of: _Levels) -> float:
    """Return for what part of the time it was not at the level of the ends."""
    return of.share if of.rises else 1 - of.share


def _as_one(levels: Sequence[_Levels]) -> _Levels:
    """Return phases that are away from the level of their ends at the same time as one."""
    ends_w = sum(of.low_w if of.rises else of.high_w for of in levels)
    away_w = ends_w + sum(map(_jump_w, levels))
    share = sum(map(_share_away, levels)) / len(levels)
    if away_w < ends_w:
        return _Levels(away_w, ends_w, 1 - share, is_once=False, rises=False)
    return _Levels(ends_w, away_w, share, is_once=False, rises=True)
