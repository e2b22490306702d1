"""Each panel against its neighbours: a panel that loses against them is found, a dark month is not.

What a panel makes beside the others of its array is compared with what it used to make beside them. So weather, season
and dirt that all share are no loss, and neither is a smaller panel.

A day is decided from the days before it alone, of which ``MEMORY`` are looked at: it is the same live as rebuilt.

Walk: panel_day -> here -> rollups.panels -> panel_daily
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median
from typing import NamedTuple

from logger.ledger.panel_day import MANY, Comparison, Hours, PanelState

#: Days that are compared, and those before them that say what is usual.
RECENT, USUAL = 14, 60
#: Days further back are not recent, however few were bright.
OLDEST_RECENT = 45
#: With this many usual days a panel is compared with itself, before with its neighbours; so with a year ago.
OWN_LEAST = 20
YEAR, HALF_SEASON = 365, 30
#: What is looked back at: a year and half a season.
MEMORY = YEAR + HALF_SEASON + OLDEST_RECENT
#: A panel is weak below this share of what is usual, and well again above the second.
WEAK, WELL = 0.92, 0.95
#: A panel that was never better is weak below this share of its neighbours.
WEAK_FROM_THE_FIRST = 0.88
DEVIATIONS, DEVIATIONS_FROM_THE_FIRST = 3.0, 4.0
#: So is one below this share, where that is surer.
WEAK_IF_SURE, SURE_DEVIATIONS = 0.935, 4.3
#: A panel is dead or silent after so many days, dark ones between them not counted; and no more of those than this.
PATIENCE, STREAK = 2, 10
#: A panel is shaded where hours in a row lose more than this while the others keep that; and while they still do.
LOSES, STILL_LOSES, KEEPS = 0.87, 0.93, 0.95
#: Whoever loses less than this by the day is not looked at by the hour.
UNSHADED = 0.985
#: Share of the day's energy in the hours that lose, and in an hour that is looked at.
SHADE_LEAST, SHADE_MOST, FAINT = 0.06, 0.70, 0.02
#: Of a normal distribution: deviation by median deviation, and the error of the middle half's mean by a mean's.
ROBUST, MIDDLE_ERROR = 1.4826, 1.09

#: In which a panel makes nothing that neighbours could be compared with.
LOST = (PanelState.DEAD, PanelState.SILENT, PanelState.REMOVED)
#: day -> the hours of a panel and of its neighbours on it
HoursOf = Callable[[int], tuple[Hours, Hours]]


class Verdict(NamedTuple):
    """What was decided of a panel on a day."""

    day: int  #: its ordinal
    state: PanelState | None  #: None: without neighbours nothing can be said
    relative: float | None = None  #: of the recent days, 1 is as usual; None while there are too few
    ratio: float | None = None  #: of the day, against the neighbours; None where it can't be compared


@dataclass(slots=True)
class Past:
    """What was decided of one panel so far, and what of it is usual."""

    state: PanelState | None = None  #: of the last day
    fault: PanelState | None = None  #: dead or silent on the last day that says so or that it is not,
    fault_days: int = 0  #: and on so many of them in a row,
    fault_day: int = 0  #: of which this was the last
    recent: deque[Verdict] = field(default_factory=deque)
    usual: list[Verdict] = field(default_factory=list)  #: days on which it was fine, and still was when they were over

    def add(self, verdict: Verdict, comparison: Comparison | None = None) -> None:
        """Add the day after the last."""
        self.state = verdict.state
        if comparison is not None and (comparison.fault or comparison.is_alive):
            self.fault_days = self.days_of(comparison.fault, verdict.day)
            self.fault, self.fault_day = comparison.fault, verdict.day
        if verdict.ratio is not None:
            self.recent.append(verdict)
        while self.recent and (len(self.recent) > RECENT or self.recent[0].day < verdict.day - OLDEST_RECENT):
            left = self.recent.popleft()
            if left.state is PanelState.FINE and verdict.state is PanelState.FINE:
                self.usual.append(left)
        if len(self.usual) > 2 * MEMORY:
            del self.usual[: bisect_left(self.usual, verdict.day - MEMORY, key=_day)]

    def days_of(self, fault: PanelState | None, day: int) -> int:
        """Return how many days in a row a fault has been there, with this one."""
        goes_on = fault is self.fault and day - self.fault_day <= STREAK
        return self.fault_days + 1 if goes_on else 1

    def baseline(self, day: int) -> list[Verdict]:
        """Return the days that say what is usual: of the same season a year ago, else the last ones."""
        known = self.usual[bisect_left(self.usual, day - MEMORY, key=_day) :]
        begin = bisect_left(known, day - YEAR - HALF_SEASON, key=_day)
        end = bisect_right(known, day - YEAR + HALF_SEASON, key=_day)
        if end - begin >= OWN_LEAST:
            return known[begin:end]
        return known[-USUAL:] if len(known) >= OWN_LEAST else []

    def recent_with(self, verdict: Verdict) -> list[Verdict]:
        """Return the recent days up to a day that is not yet added."""
        days = [*self.recent, verdict] if verdict.ratio is not None else [*self.recent]
        return [own for own in days[-RECENT:] if own.day >= verdict.day - OLDEST_RECENT]


def decide(
    day: int,
    listed: Mapping[str, bool],
    comparisons: Mapping[str, Comparison],
    pasts: Mapping[str, Past],
    hours: Mapping[str, HoursOf],
) -> dict[str, Verdict]:
    """Return what is to be said of each panel of an array on a day, and add it to its past.

    ``listed`` says of each whether the gateway still lists it.
    """
    recents: dict[str, list[Verdict]] = {}
    for serial in listed:
        compared = comparisons.get(serial)
        recent = pasts[serial].recent_with(Verdict(day, None, None, compared and compared.ratio))
        if len(recent) == RECENT:
            recents[serial] = recent
    baselines = {serial: pasts[serial].baseline(day) for serial in recents}
    ratios = {serial: _middle(recent) for serial, recent in recents.items()}
    relatives = {serial: ratio / (_middle(baselines[serial]) or 1.0) for serial, ratio in ratios.items()}
    own_spread = _spread([relatives[serial] for serial in relatives if baselines[serial]])
    first_spread = _spread(list(ratios.values()))
    found: dict[str, Verdict] = {}
    for serial, is_listed in listed.items():
        past, relative, compared = pasts[serial], relatives.get(serial), comparisons.get(serial)
        state = past.state if is_listed else PanelState.REMOVED
        if is_listed and compared is not None:
            state = _state_by_day(past, compared, day)
        if relative is not None and compared and not compared.fault and state not in {None, *LOST}:
            base = baselines[serial]
            deviation = _deviation(base, own_spread) if base else first_spread
            state = _state_by_days(past.state, relative, deviation, is_own=bool(base))
            loses = STILL_LOSES if past.state is PanelState.SHADED else LOSES
            if relative < UNSHADED and serial in hours and _is_shaded(recents[serial], base, hours[serial], loses):
                state = PanelState.SHADED
        found[serial] = Verdict(day, state, relative, compared and compared.ratio)
        past.add(found[serial], compared)
    return found


def _day(verdict: Verdict) -> int:
    return verdict.day


def _state_by_day(past: Past, compared: Comparison, day: int) -> PanelState:
    """Return the state that a day gives: dead or silent after some days, until a panel is heard and makes some."""
    was = past.state or PanelState.FINE
    if compared.fault is not None:
        is_lasting = past.days_of(compared.fault, day) >= PATIENCE or was is compared.fault
        return compared.fault if is_lasting else was
    return PanelState.FINE if was in LOST and (compared.is_alive or was is PanelState.REMOVED) else was


def _state_by_days(was: PanelState | None, relative: float, deviation: float, *, is_own: bool) -> PanelState:
    """Return the state that the recent days give."""
    limit = WEAK if is_own else WEAK_FROM_THE_FIRST
    times = DEVIATIONS if is_own else DEVIATIONS_FROM_THE_FIRST
    is_weak = relative < limit and 1 - relative >= times * deviation
    is_sure = is_own and relative < WEAK_IF_SURE and 1 - relative >= SURE_DEVIATIONS * deviation
    still = was is PanelState.WEAK and relative < WELL
    return PanelState.WEAK if is_weak or is_sure or still else PanelState.FINE


def _middle(days: Sequence[Verdict]) -> float:
    """Return the mean of the middle half of ratios: as robust as days need, and nearer than their median; 0 of none."""
    cut = len(days) // 4
    half = sorted(own.ratio or 0.0 for own in days)[cut : len(days) - cut]
    return sum(half) / len(half) if half else 0.0


def _deviation(base: Sequence[Verdict], spread: float) -> float:
    """Return how far the recent days are usually off."""
    ratios = [own.ratio or 0.0 for own in base]
    middle = median(ratios)
    daily = ROBUST * median([abs(ratio - middle) for ratio in ratios]) / middle if middle > 0 else 0.0
    return max(daily * MIDDLE_ERROR * sqrt(1 / RECENT + 1 / len(base)), spread)


def _spread(values: Sequence[float]) -> float:
    """Return the robust deviation of panels, 0 where there are few."""
    if len(values) < MANY:
        return 0.0
    middle = median(values)
    return ROBUST * median([abs(value - middle) for value in values])


def _is_shaded(recent: Sequence[Verdict], usual: Sequence[Verdict], hours: HoursOf, loses_below: float) -> bool:
    """Return whether a panel loses at certain hours alone."""
    now, then = _by_hour(recent, hours), _by_hour(usual, hours)
    whole_wh = sum(peers for _, peers in now)
    losing: list[int] = []
    kept_wh = usually_wh = 0.0
    for hour, ((own, peers), (own_then, peers_then)) in enumerate(zip(now, then, strict=False)):
        if peers < FAINT * whole_wh or own_then <= 0:
            continue
        usual_wh = own_then / peers_then * peers
        if own < loses_below * usual_wh:
            losing.append(hour)
        else:
            kept_wh, usually_wh = kept_wh + own, usually_wh + usual_wh
    if not losing or not usually_wh:
        return False
    share = sum(now[hour][1] for hour in losing) / whole_wh
    is_in_a_row = losing[-1] - losing[0] == len(losing) - 1
    return is_in_a_row and SHADE_LEAST <= share <= SHADE_MOST and kept_wh >= KEEPS * usually_wh


def _by_hour(days: Sequence[Verdict], hours: HoursOf) -> list[tuple[float, float]]:
    """Return what a panel and its neighbours made in each hour of days, Wh."""
    both = [found for own in days if (found := hours(own.day))[0]]
    sums = ([sum(filter(None, column)) for column in zip(*rows, strict=True)] for rows in zip(*both, strict=True))
    return list(zip(*sums, strict=True))
