"""What is known of the inverters on a day that is not over, so that each quarter hour reads only what came since.

It lives in the collector's memory alone. Whatever is odd is counted from the last checkpoint, as a rebuild does.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, pairwise
from typing import NamedTuple

from logger.ledger.curve import Curve, Tie, joined, touched
from logger.ledger.inverter import MOST_W, Reported, Upgraded
from logger.rollups.checkpoints import EVER_S, States

HOUR_S = 3600

#: Epoch seconds, W
Powers = tuple[list[int], list[float | None]]
#: mWh, seconds covered; of each stretch
Between = tuple[list[int | None], list[int]]


@dataclass(slots=True)
class SoFar:
    """What an inverter did from a local midnight up to an hour of that day."""

    energy_mwh: int | None
    covered_s: int
    peak_w: float | None
    reports: int
    hours_mwh: list[int | None]


@dataclass(frozen=True, slots=True)
class Today:
    """What is known of a day that is not over, up to an hour before which nothing changes any more."""

    since_s: int  #: midnight, where the last checkpoint lies
    at_s: int
    reports: int  #: how many are stored after midnight up to ``at_s``
    states: States  #: at ``at_s``
    so_far: Mapping[str, SoFar]


@dataclass(slots=True)
class Counted:
    """What a window of reports comes to, by inverter."""

    days: list[date]
    edges_s: list[int]
    energy_mwh: dict[str, list[int | None]] = field(default_factory=dict)  #: by day
    covered_s: dict[str, list[int]] = field(default_factory=dict)  #: by day
    #: by the number of a day, of the first and of those on which something was reported
    hours_mwh: dict[str, dict[int, list[int | None]]] = field(default_factory=dict)
    peaks_w: dict[str, list[float | None]] = field(default_factory=dict)  #: by day
    reports: dict[str, list[int]] = field(default_factory=dict)  #: by day
    tracks: dict[str, Curve | Reported | Upgraded] = field(default_factory=dict)
    #: what an inverter did between edges
    between: dict[str, Callable[[Sequence[int]], Between]] = field(default_factory=dict)
    whole_s: int = EVER_S  #: what comes later has nothing of before this
    settled_s: int = 0
    is_plain: bool = True  #: nothing of a day follows from what comes before or after it


class Hours(NamedTuple):
    """The hours of some days, none of those between them: years may lie there."""

    edges_s: list[int]
    places: dict[int, slice]  #: where the hours of a day are, by its number

    def split(self, energy_mwh: list[int | None]) -> dict[int, list[int | None]]:
        """Return what lies between the edges, by the number of a day."""
        return {number: energy_mwh[place] for number, place in self.places.items()}


def hours_of(days_s: Sequence[int], numbers: Iterable[int]) -> Hours:
    """Return the hours of the days with some numbers, by the edges of days."""
    # On Lord Howe a day may end in half an hour.
    of_days = {
        number: [*range(days_s[number], days_s[number + 1], HOUR_S), days_s[number + 1]] for number in sorted(numbers)
    }
    edges_s = sorted(set(chain.from_iterable(of_days.values())))
    places = {number: bisect_left(edges_s, hours_s[0]) for number, hours_s in of_days.items()}
    return Hours(edges_s, {number: slice(at, at + len(of_days[number]) - 1) for number, at in places.items()})


def is_plain(curve: Curve, edges_s: Sequence[int]) -> bool:
    """Return whether what a register counted on a day follows from its readings of that day alone."""
    if curve.events or curve.reopen_s is not None or any(step.tie is not Tie.BRIDGED for step in curve.steps):
        return False
    over = (
        stretch
        for stretch in joined(curve.stretches_s(Tie.BRIDGED))
        if stretch[0] < edges_s[0] or len(touched(edges_s, *stretch)) > 1
    )
    return all(before == after for before, after in map(curve.counts, over))


def add(today: Today, counted: Counted) -> None:
    """Add what was known of the first day to what was counted of its rest."""
    hours = (today.at_s - today.since_s) // HOUR_S
    for serial in counted.tracks:
        known = today.so_far.get(serial) or SoFar(None, 0, None, 0, [None] * hours)
        counted.energy_mwh[serial][0] = plus(known.energy_mwh, counted.energy_mwh[serial][0])
        counted.covered_s[serial][0] += known.covered_s
        counted.hours_mwh[serial][0][:0] = known.hours_mwh
        counted.peaks_w[serial][0] = _highest(known.peak_w, counted.peaks_w[serial][0])
        counted.reports[serial][0] += known.reports


def today_of(
    counted: Counted,
    since_s: int,
    before: Today | None,
    powers: Mapping[str, Powers],
    states_at: Callable[[int], States],
) -> Today | None:
    """Return what is known up to the last hour before which nothing changes any more.

    ``since_s`` is when counting began: at midnight, or where ``before`` ends.
    """
    midnight_s = before.since_s if before else since_s
    at_s = min(counted.settled_s, counted.edges_s[1], counted.whole_s)
    at_s -= (at_s - midnight_s) % HOUR_S
    curves = [track for track in counted.tracks.values() if isinstance(track, Curve)]
    bridged_s = [stretch for curve in curves for stretch in curve.stretches_s(Tie.BRIDGED)]
    for start_s, end_s in sorted(bridged_s, reverse=True):
        if start_s < at_s < end_s:
            at_s = start_s - (start_s - midnight_s) % HOUR_S
    if at_s <= since_s:
        return before
    so_far: dict[str, SoFar] = {}
    reports = before.reports if before else 0
    for serial, between in counted.between.items():
        known = before.so_far.get(serial) if before else None
        times_s, powers_w = powers.get(serial, ([], []))
        peak_w, size = peaks_w(times_s, powers_w, [since_s, at_s])[0], bisect_right(times_s, at_s)
        (mwh, _), (covered_s, _) = between([since_s, at_s, counted.edges_s[-1]])
        hours_mwh = counted.hours_mwh[serial][0][: (at_s - midnight_s) // HOUR_S]
        reports += size
        so_far[serial] = SoFar(mwh, covered_s, peak_w, size, hours_mwh)
        if known:
            so_far[serial] = SoFar(
                plus(known.energy_mwh, mwh),
                known.covered_s + covered_s,
                _highest(known.peak_w, peak_w),
                known.reports + size,
                hours_mwh,
            )
    return Today(midnight_s, at_s, reports, states_at(at_s), so_far)


def peaks_w(times_s: Sequence[int], powers_w: Sequence[float | None], edges_s: Sequence[int]) -> list[float | None]:
    """Return the highest power of each day that an inverter can have."""
    places = [bisect_right(times_s, edge_s) for edge_s in edges_s]
    return [
        max((p for p in powers_w[begin:end] if p is not None and p <= MOST_W), default=None)
        for begin, end in pairwise(places)
    ]


def plus(a: int | None, b: int | None) -> int | None:
    """Add what may be unknown."""
    return b if a is None else a + (b or 0)


def _highest(a: float | None, b: float | None) -> float | None:
    return max((power_w for power_w in (a, b) if power_w is not None), default=None)
