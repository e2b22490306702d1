"""Energy of one microinverter: from its register where it has one, else from its reports.

A report without a register carries the energy of its interval, or the mean power over it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.curve import Anchor, Curve, Decision, Readings, Tie, joined, seconds_of, touched
from logger.ledger.limits import Limits
from logger.ledger.mean_day import History, fortnight_s, mean_day, shares
from logger.ledger.register import read_register

#: Reports come every 5 or 15 minutes; twice the longest is no gap.
GAP_S = 1_900
#: An interval that is not reported is at most this long, unless reports keep a slower rhythm.
LONGEST_S = 900
SLOWEST_S = 3_700
#: An inverter that made more than this did not fall silent because it grew dark.
CUT_OFF_W = 30.0
#: A silence that is longer than this is the night.
NIGHT_S = 4 * 3600
#: What no microinverter makes: a report of more is not believed.
MOST_W = 1_500
#: Of a register: the largest microinverters make 640 W.
LIMITS = Limits(floor_w=700, learned_floor_w=500, headroom=1.5)
#: No microinverter makes more: what its first report of a day may have counted in one interval.
DAWN_W = 500


class Report(NamedTuple):
    """A report without a register."""

    at_s: int
    power_w: float | None
    energy_wh: float | None  #: of its interval
    interval_s: int | None


class Rhythm(NamedTuple):
    """When an inverter reported last, and how long after the time before."""

    at_s: int
    after_s: int


@dataclass(slots=True)
class Inverter:
    """What one inverter reported in a window."""

    readings: Readings = field(default_factory=Readings)
    reports: list[Report] = field(default_factory=list)


@dataclass(slots=True)
class Reported:
    """What reports without a register came to, between edges."""

    energy_mwh: list[int | None]
    covered_s: list[int]
    rhythms: list[Rhythm]  #: after each report, in order, and the one before them
    events: list[Decision] = field(default_factory=list)


class Upgraded(NamedTuple):
    """What an inverter reported without a register, and what its register counted from the first that has one on."""

    reported: Reported
    curve: Curve

    @property
    def events(self) -> list[Decision]:
        """Of both."""
        return [*self.reported.events, *self.curve.events]


def read_inverter(readings: Readings, anchor: Anchor | None, *, since_s: int, until_s: int) -> Curve:
    """Return what the register of an inverter counted."""
    _add_dawns(readings, anchor)
    return read_register(readings, anchor, LIMITS, since_s=since_s, until_s=until_s, gap_s=GAP_S)


def measured_s(curve: Curve, edges_s: Sequence[int]) -> list[int]:
    """Return how many seconds between edges were measured at normal cadence."""
    lost_s = seconds_of(((start_s, end_s) for _, start_s, end_s in curve.steps), edges_s)
    read_s = seconds_of([(curve.anchor.at_s, curve.last_s)], edges_s)
    return [read - lost for read, lost in zip(read_s, lost_s, strict=True)]


class Days(NamedTuple):
    """What a register counted, and for how long it was measured, by day."""

    energy_mwh: list[int | None]
    covered_s: list[int]


def by_day(curve: Curve, edges_s: Sequence[int], history: History | None) -> Days:
    """Return the days of an inverter; what was counted over some of them is shared by where the sun was.

    None of these was measured as a day, so that nothing of them is covered.
    """
    days = Days(curve.energy(edges_s), measured_s(curve, edges_s))
    if history is None:
        return days
    for start_s, end_s in joined(curve.stretches_s(Tie.BRIDGED)):
        within = touched(edges_s, start_s, end_s)
        total_mwh = curve.counts([end_s])[0] - curve.counts([start_s])[0]
        is_one_day = len(within) < 2 and start_s >= edges_s[0]
        if is_one_day or not total_mwh or any(days.energy_mwh[i] is None for i in within):
            continue
        if start_s < history.since_s():
            continue
        rows = history.measured("total", *fortnight_s(start_s, history.zone))
        mean = mean_day([(row.starts_s, row.production_mwh) for row in rows], history.zone)
        pieces = shares(total_mwh, (start_s, end_s), mean, history.zone)
        for i in within:
            days.covered_s[i] = 0
            before, after = curve.counts([max(start_s, edges_s[i]), min(end_s, edges_s[i + 1])])
            if pieces is not None:
                days.energy_mwh[i] = (days.energy_mwh[i] or 0) - (after - before)
        for quarter_s, mwh in zip(range(quarter_start_s(start_s), end_s, QUARTER_S), pieces or [], strict=False):
            i = bisect_right(edges_s, max(start_s, quarter_s)) - 1
            if i >= 0:  # What lies before the window was counted with it.
                days.energy_mwh[i] = (days.energy_mwh[i] or 0) + mwh
    return days


def measured_hours(curve: Curve, edges_s: Sequence[int]) -> list[int | None]:
    """Return what a register counted between edges, unknown where more than an hour was bridged there."""
    energy_mwh = curve.energy(edges_s)
    for start_s, end_s in curve.stretches_s(Tie.BRIDGED):
        for i in touched(edges_s, start_s, end_s) if end_s - start_s > SLOWEST_S else ():
            energy_mwh[i] = None
    return energy_mwh


def _add_dawns(readings: Readings, anchor: Anchor | None) -> None:
    """Add to each first report after a night that the register stood still until then.

    An inverter is silent while it makes nothing: what it made by its first report of the day, if
    one interval could hold it, it made in that interval and not evenly through the night.
    """
    times, values = readings.at_s, readings.value_mwh
    nights = [i for i in range(1, len(times)) if times[i] - times[i - 1] > NIGHT_S]
    before = [(i, values[i - 1]) for i in nights]
    if anchor is not None and times and times[0] - anchor.at_s > NIGHT_S:
        before.insert(0, (0, anchor.value_mwh))
    for i, before_mwh in reversed(before):
        if 0 < values[i] - before_mwh <= DAWN_W * LONGEST_S / 3.6:
            times.insert(i, times[i] - LONGEST_S)
            values.insert(i, before_mwh)
            readings.power_w.insert(i, None)
            readings.source.insert(i, readings.source[i])


def read_reports(reports: Sequence[Report], rhythm: Rhythm | None, edges_s: Sequence[int]) -> Reported:
    """Return the energy of reports without a register between edges."""
    count = len(edges_s) - 1
    result = Reported([None] * count, [0] * count, [rhythm] if rhythm else [])
    quarters_s: dict[int, int] = {}
    for report in reports:
        after_s = report.at_s - rhythm.at_s if rhythm else 0
        over_s = report.interval_s or _interval_s(after_s, rhythm)
        rhythm = Rhythm(report.at_s, after_s)
        result.rhythms.append(rhythm)
        energy_wh = report.energy_wh
        if energy_wh is None and report.power_w is not None:
            energy_wh = report.power_w * over_s / 3600
        if over_s <= 0 or energy_wh is None:
            continue
        if energy_wh > MOST_W * over_s / 3600:
            detail = f"{energy_wh:.0f} Wh in {over_s} s is more than an inverter makes: left out"
            result.events.append(Decision(report.at_s, "suspect_increment", "", detail))
            continue
        begin_s = report.at_s - over_s
        _spread(result.energy_mwh, edges_s, begin_s, report.at_s, max(0, round(energy_wh * 1000)))
        _cover(quarters_s, max(begin_s, edges_s[0]), report.at_s)
    for quarter_s, seconds in quarters_s.items():
        result.covered_s[bisect_right(edges_s, quarter_s) - 1] += seconds
    return result


def cut_off_s(reports: Sequence[Report], rhythm: Rhythm | None, until_s: int, gap_s: int = SLOWEST_S) -> list[int]:
    """Return the reports next to a silence at which it was not dark: much of their days is missing."""
    longest_s = max(gap_s, SLOWEST_S)
    found: list[int] = []
    last_s = rhythm.at_s if rhythm else None
    before: Report | None = None
    for report in reports:
        if last_s is not None and report.at_s - last_s > longest_s:
            found += [each.at_s for each in (before, report) if each is not None and (each.power_w or 0) > CUT_OFF_W]
        before, last_s = report, report.at_s
    if before is not None and until_s - before.at_s > longest_s and (before.power_w or 0) > CUT_OFF_W:
        found.append(before.at_s)
    return found


def _interval_s(after_s: int, rhythm: Rhythm | None) -> int:
    """Return how long a mean power held: since the last report, unless that was long ago."""
    steady = rhythm is not None and abs(after_s - rhythm.after_s) <= 0.2 * after_s
    return min(after_s, SLOWEST_S if steady else LONGEST_S)


def _spread(energy_mwh: list[int | None], edges_s: Sequence[int], begin_s: int, end_s: int, added_mwh: int) -> None:
    """Add energy between edges, by the share of time there; before the first it is lost."""
    for i in touched(edges_s, begin_s, end_s):
        start_s = max(edges_s[i], begin_s) - begin_s
        stop_s = min(edges_s[i + 1], end_s) - begin_s
        over_s = end_s - begin_s
        share_mwh = added_mwh * stop_s // over_s - added_mwh * start_s // over_s
        energy_mwh[i] = (energy_mwh[i] or 0) + share_mwh


def _cover(quarters_s: dict[int, int], start_s: int, end_s: int) -> None:
    """Add covered seconds by quarter hour, none of which holds more than it is long."""
    while start_s < end_s:
        quarter_s = start_s - start_s % QUARTER_S
        stop_s = min(end_s, quarter_s + QUARTER_S)
        held_s = quarters_s.get(quarter_s, 0) + stop_s - start_s
        quarters_s[quarter_s] = min(QUARTER_S, held_s)
        start_s = stop_s
