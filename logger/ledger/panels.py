"""Each panel against its neighbours: a panel that loses against them is found, a dark month is not.

What a panel makes beside the others of its array is compared with what it used to make beside them. So weather, season
and dirt that all share are no loss, and neither is a smaller panel.

A day is decided from the days before it alone, of which ``MEMORY`` are looked at: it is the same live as rebuilt.

Walk: panel_day -> here -> rollups.panels -> panel_daily
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median
from typing import NamedTuple

from logger.ledger import panel_shape
from logger.ledger.panel_day import LOSING, LOST, Comparison, PanelState
from logger.ledger.panel_shape import HoursOf, Shape

#: Days that are compared, and those before them that say what is usual.
RECENT, USUAL = 14, 60
#: Days further back are not recent, however few were bright.
OLDEST_RECENT = 45
#: With this many usual days a panel is compared with itself, before with its neighbours; so with a year ago.
OWN_LEAST = 20
YEAR, HALF_SEASON = 365, 30
#: What is looked back at: a year and half a season.
MEMORY = YEAR + HALF_SEASON + OLDEST_RECENT
#: A panel is weak below this share of what is usual by so many deviations, and well again above the last.
WEAK, DEVIATIONS, WELL = 0.92, 3.0, 0.965
#: So is one below this share where that is surer, and one of whose recent days fewer say so, where these are surest.
WEAK_IF_SURE, SURE_DEVIATIONS = 0.935, 4.8
SHORTEST, SUREST_DEVIATIONS = 10, 5.5
#: A panel that was never better is weak below this share of its neighbours.
WEAK_FROM_THE_FIRST, DEVIATIONS_FROM_THE_FIRST, WELL_FROM_THE_FIRST = 0.88, 4.0, 0.95
#: A panel is dead or silent after so many days, dark ones between them not counted; and no more of those than this.
PATIENCE, STREAK = 2, 10
#: So many panels say how noisy days are; twice as many how far panels are apart.
SOME = 4
#: Whoever loses less than this by the day is not looked at by the hour.
UNSHADED = 0.985
#: Of a normal distribution: deviation by median deviation, and the error of the middle half's mean by a mean's.
ROBUST, MIDDLE_ERROR = 1.4826, 1.09


class Verdict(NamedTuple):
    """What was decided of a panel on a day."""

    day: int  #: its ordinal
    state: PanelState | None  #: None: without neighbours nothing can be said
    relative: float | None = None  #: of the recent days, 1 is as usual; None while there are too few
    ratio: float | None = None  #: of the day, against the neighbours; None where it can't be compared
    latest: float | None = None  #: as ``relative``, of the last of these days: what is said when a loss begins


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
    usual = {serial: Usual.of(pasts[serial].baseline(day)) for serial in recents}
    relatives = {serial: _middle(recent) / usual[serial].ratio for serial, recent in recents.items()}
    fine = [serial for serial in recents if pasts[serial].state is PanelState.FINE]
    noise = median([usual[serial].noise for serial in fine]) if len(fine) >= SOME else 0.0
    own_spread = _spread([relatives[serial] for serial in fine if usual[serial].days])
    first_spread = _spread([relatives[serial] * usual[serial].ratio for serial in fine])
    found: dict[str, Verdict] = {}
    for serial, is_listed in listed.items():
        past, relative, compared = pasts[serial], relatives.get(serial), comparisons.get(serial)
        state = past.state if is_listed else PanelState.REMOVED
        if is_listed and compared is not None:
            state = _state_by_day(past, compared, day)
        if relative is not None and compared and not compared.fault and state not in {None, *LOST}:
            of = usual[serial]
            if of.days:
                is_weak = _is_weak(recents[serial], of, max(of.noise, noise), own_spread)
            else:
                is_weak = relative < min(WEAK_FROM_THE_FIRST, 1 - DEVIATIONS_FROM_THE_FIRST * first_spread)
            well = WELL if of.days else WELL_FROM_THE_FIRST
            is_weak = is_weak or (past.state is PanelState.WEAK and relative < well)
            shape = None
            if serial in hours and (is_weak or past.state in LOSING or (of.days and relative < UNSHADED)):
                now, then = ([own.day for own in some] for some in (recents[serial][-SHORTEST:], of.days))
                shape = panel_shape.shape_of(now, then, hours[serial])
            state = _state_by_days(past.state, shape, is_weak=is_weak, is_own=bool(of.days))
        latest = relative and _middle(recents[serial][-SHORTEST:]) / usual[serial].ratio
        found[serial] = Verdict(day, state, relative, compared and compared.ratio, latest)
        past.add(found[serial], compared)
    return found


class Usual(NamedTuple):
    """What is usual of a panel beside its neighbours."""

    days: Sequence[Verdict]  #: none where too few are known
    ratio: float
    noise: float  #: robust deviation of a day, as a share

    @classmethod
    def of(cls, days: Sequence[Verdict]) -> "Usual":
        """Return what days say; of none that a panel is like its neighbours."""
        if not days or not (ratio := _middle(days)):
            return cls((), 1.0, 0.0)
        ratios = [own.ratio or 0.0 for own in days]
        middle = median(ratios)
        return cls(days, ratio, ROBUST * median([abs(own - middle) for own in ratios]) / ratio)


def _day(verdict: Verdict) -> int:
    return verdict.day


def _state_by_day(past: Past, compared: Comparison, day: int) -> PanelState:
    """Return the state that a day gives: dead or silent after some days, until a panel is heard and makes some."""
    was = past.state or PanelState.FINE
    if compared.fault is not None:
        is_lasting = past.days_of(compared.fault, day) >= PATIENCE or was is compared.fault
        return compared.fault if is_lasting else was
    return PanelState.FINE if was in LOST and (compared.is_alive or was is PanelState.REMOVED) else was


def _is_weak(recent: Sequence[Verdict], usual: Usual, noise: float, spread: float) -> bool:
    """Return whether the recent days, or the last of them, are so far below what is usual that it is no chance."""
    for count in range(SHORTEST, RECENT + 1):
        relative = _middle(recent[-count:]) / usual.ratio
        deviation = max(noise * MIDDLE_ERROR * sqrt(1 / count + 1 / len(usual.days)), spread)
        rules = [(WEAK, SUREST_DEVIATIONS)]
        if count == RECENT:
            rules = [(WEAK, DEVIATIONS), (WEAK_IF_SURE, SURE_DEVIATIONS)]
        if any(relative < limit and 1 - relative >= times * deviation for limit, times in rules):
            return True
    return False


def _state_by_days(was: PanelState | None, shape: Shape | None, *, is_weak: bool, is_own: bool) -> PanelState:
    """Return the state that the recent days give; ``is_own`` where it is known what is usual of the panel itself."""
    if shape is not None and is_own and shape.is_shade(was, is_weak=is_weak):
        return PanelState.SHADED
    if is_weak and (was is PanelState.WEAK or shape is None or not shape.is_clipped):
        return PanelState.WEAK
    return PanelState.FINE


def _middle(days: Sequence[Verdict]) -> float:
    """Return the mean of the middle half of ratios: as robust as days need, and nearer than their median; 0 of none."""
    cut = len(days) // 4
    half = sorted(own.ratio or 0.0 for own in days)[cut : len(days) - cut]
    return sum(half) / len(half) if half else 0.0


def _spread(values: Sequence[float]) -> float:
    """Return the robust deviation of panels, 0 where there are few."""
    if len(values) < 2 * SOME:
        return 0.0
    middle = median(values)
    return ROBUST * median([abs(value - middle) for value in values])
