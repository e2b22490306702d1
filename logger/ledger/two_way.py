"""How much went both ways between two readings, by what each phase counted and by the power at both ends.

What one phase counts both ways within a poll is not what several phases exchange. So power is put together again,
phase by phase, as loads have it that are switched: of two levels. Where the levels at both ends explain what was
counted, the phase went over from one to the other once, at a known time; otherwise it was at the other level for a
known part of the time, though not when. Together they give how long which sum of powers lasted.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

#: Less is not worth being called a way, W.
NOISE_W = 1.0
#: Phases whose power jumps by at least this much, and nearly alike, have one load on both of them.
JUMP_W = 100.0
ALIKE = 0.15
ALIKE_SHARE = 0.1

#: of one phase in one step: what it counted as delivered and received (mWh), and its power before and after
PhaseStep = tuple[int, int, float | None, float | None]


class _Levels(NamedTuple):
    """The two levels of a phase's power (W)."""

    low_w: float
    high_w: float
    share: float  #: of the time at the higher
    is_once: bool  #: whether it went over from one to the other once
    rises: bool  #: went over from low to high; or else, whether it was low at the ends


def two_way_mwh(over_s: int, phases: Iterable[PhaseStep]) -> int:
    """Return how much all phases together took and gave in one step; 0 where their power is not known."""
    per_mwh, found = 3.6 / over_s, []
    low_w = high_w = 0.0
    for into_mwh, out_mwh, before_w, after_w in phases:
        if before_w is None or after_w is None:
            return 0
        levels = _levels(into_mwh * per_mwh, out_mwh * per_mwh, before_w, after_w)
        low_w += levels[0]
        high_w += levels[1]
        found.append(levels)
    if low_w >= 0 or high_w <= 0:
        return 0
    return int(_both_ways_w(found) / per_mwh)


def _levels(into_w: float, out_w: float, before_w: float, after_w: float) -> _Levels:
    """Return the levels of a phase by the mean power of each way, and by its power at both ends."""
    low_w, high_w, mean_w = min(before_w, after_w), max(before_w, after_w), into_w - out_w
    is_once = low_w <= mean_w <= high_w
    if into_w > NOISE_W < out_w and (high_w > into_w or -low_w > out_w):
        # It was above zero for as long as gives the one way at the level that is known, and below for the other.
        shares = [into_w / high_w] if high_w > into_w else []
        shares += [1 + out_w / low_w] if -low_w > out_w else []
        share = min(max(sum(shares) / len(shares), 0.001), 0.999)
        rises = before_w < after_w if is_once else low_w + high_w < 2 * mean_w
        return _Levels(-out_w / (1 - share), into_w / share, share, is_once, rises)
    if is_once:
        share = (mean_w - low_w) / (high_w - low_w) if low_w < high_w else 0.5
        return _Levels(low_w, high_w, share, is_once=True, rises=before_w < after_w)
    ends_w = (low_w + high_w) / 2
    rises, share = ends_w < mean_w, 0.5
    low_w, high_w = sorted((ends_w, 2 * mean_w - ends_w))
    # What counted only one way was never beyond zero.
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
    """Return levels with those as one that are switched by the same load, of two or three phases."""
    found: list[tuple[_Levels, _Levels]] = []  # the first of them, all together
    for of in levels:
        for place, (first, every) in enumerate(found):
            jumps_w = sorted((of.high_w - of.low_w, first.high_w - first.low_w))
            is_alike = of.rises is first.rises and abs(of.share - first.share) < ALIKE_SHARE
            if is_alike and jumps_w[0] > JUMP_W and jumps_w[1] - jumps_w[0] <= ALIKE * jumps_w[1]:
                both = every._replace(low_w=every.low_w + of.low_w, high_w=every.high_w + of.high_w)
                found[place] = first, both
                break
        else:
            found.append((of, of))
    return [every for _, every in found]
