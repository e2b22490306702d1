"""Energy of one microinverter: from its lifetime counter where it has one, else from reports.

A report without a counter says its energy of the interval, or the mean power over it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from tests.oracle.clock import QUARTER_S
from tests.oracle.counters import count
from tests.oracle.series import Counted, CounterEvent, CounterState, Limits, Series

#: Reports come every 5 or 15 minutes; twice the longest is no gap.
GAP_S = 1_900
#: An interval that is not told is at most this long, unless reports keep a slower rhythm.
LONGEST_S = 900
SLOWEST_S = 3_700
#: A silence that is longer than this is the night.
NIGHT_S = 4 * 3600
#: What no microinverter makes: a report of more is none.
MOST_W = 1_500
LIMITS = Limits(floor_w=MOST_W, learned_floor_w=1_000)
#: No microinverter makes more: what its first report of a day may have counted in one interval.
DAWN_W = 500


class Report(NamedTuple):
    """What an inverter said at one time."""

    at_s: int
    power_w: float | None
    energy_wh: float | None  #: of its interval
    interval_s: int | None


class Rhythm(NamedTuple):
    """When an inverter reported last, and how long after the time before."""

    at_s: int
    after_s: int


@dataclass(slots=True)
class Reported:
    """What came of an inverter's reports."""

    rhythms: list[Rhythm]  #: after each report, in order, and the one before them
    events: list[CounterEvent] = field(default_factory=list)


@dataclass(slots=True)
class Inverter:
    """The samples of one inverter in a stretch of time."""

    series: Series = field(default_factory=Series)
    reports: list[Report] = field(default_factory=list)


@dataclass(slots=True)
class Share:
    """Energy (mWh) and measured seconds per quarter hour."""

    energy_mwh: dict[int, int] = field(default_factory=dict)
    covered_s: dict[int, int] = field(default_factory=dict)


def from_counter(
    inverter: Inverter, state: CounterState | None, *, since_s: int, until_s: int
) -> tuple[Share, Counted]:
    """Return the energy that a lifetime counter counted."""
    _add_dawns(inverter.series, state)
    counted = count(inverter.series, state, LIMITS, since_s=since_s, until_s=until_s, gap_s=GAP_S)
    share = Share(energy_mwh=counted.energy_mwh)
    for start_s, end_s in counted.runs_s:
        _cover(share, max(start_s, since_s), end_s)
    return share, counted


def _add_dawns(series: Series, state: CounterState | None) -> None:
    """Add to each first report after a night that the counter stood still until then.

    An inverter is silent while it makes nothing: what it made by its first report of the day, if
    one interval could hold it, it made in that interval and not evenly through the night.
    """
    times, values = series.times_s, series.values_mwh
    longest_mwh = int(DAWN_W * LONGEST_S / 3.6)
    nights = [i for i in range(1, len(times)) if times[i] - times[i - 1] > NIGHT_S]
    for i in reversed(nights):
        if 0 < values[i] - values[i - 1] <= longest_mwh:
            series.insert(i, times[i] - LONGEST_S, values[i - 1])
    if not times or state is None or times[0] - state.at_s <= NIGHT_S:
        return
    if 0 < values[0] - state.value_mwh <= longest_mwh:
        series.insert(0, times[0] - LONGEST_S, state.value_mwh)


def from_reports(inverter: Inverter, rhythm: Rhythm | None, *, since_s: int) -> tuple[Share, Reported]:
    """Return the energy of reports without a counter."""
    share, reported = Share(), Reported([rhythm] if rhythm else [])
    for report in inverter.reports:
        after_s = report.at_s - rhythm.at_s if rhythm else 0
        over_s = report.interval_s or _interval_s(after_s, rhythm)
        rhythm = Rhythm(report.at_s, after_s)
        reported.rhythms.append(rhythm)
        if over_s <= 0:
            continue
        energy_wh = report.energy_wh
        if energy_wh is None and report.power_w is not None:
            energy_wh = report.power_w * over_s / 3600
        if energy_wh is None:
            continue
        if energy_wh > MOST_W * over_s / 3600:
            detail = f"{energy_wh:.0f} Wh in {over_s} s is more than an inverter makes: left out"
            reported.events.append(CounterEvent(report.at_s, "suspect_increment", detail))
            continue
        begin_s = report.at_s - over_s
        _spread(share, begin_s, report.at_s, max(0, round(energy_wh * 1000)), since_s)
        _cover(share, max(begin_s, since_s), report.at_s)
    return share, reported


def _interval_s(after_s: int, rhythm: Rhythm | None) -> int:
    """Return how long a mean power held: since the last report, unless that was long ago."""
    steady = rhythm is not None and abs(after_s - rhythm.after_s) <= 0.2 * after_s
    return min(after_s, SLOWEST_S if steady else LONGEST_S)


def _spread(share: Share, begin_s: int, end_s: int, energy_mwh: int, since_s: int) -> None:
    given = 0
    edge = begin_s - begin_s % QUARTER_S + QUARTER_S
    while given < energy_mwh or edge - QUARTER_S < end_s:
        upto = energy_mwh * (min(edge, end_s) - begin_s) // (end_s - begin_s)
        if edge > since_s:
            start = edge - QUARTER_S
            share.energy_mwh[start] = share.energy_mwh.get(start, 0) + upto - given
        given = upto
        edge += QUARTER_S


def _cover(share: Share, start_s: int, end_s: int) -> None:
    while start_s < end_s:
        quarter_s = start_s - start_s % QUARTER_S
        stop_s = min(end_s, quarter_s + QUARTER_S)
        held_s = share.covered_s.get(quarter_s, 0) + stop_s - start_s
        share.covered_s[quarter_s] = min(QUARTER_S, held_s)
        start_s = stop_s
