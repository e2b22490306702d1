"""Which counter feeds which flow: rules C1 to C6, per phase and in total.

Counters speak the CT's language (delivered, received); flows speak the owner's. Translated here and nowhere else. The
total comes from the total's counters, which are the sums of the phases': a meter that counts per phase.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.oracle.balance import Used, bridges_of, consumption
from tests.oracle.clock import QUARTER_S, quarter_start_s, utc_text
from tests.oracle.counters import count
from tests.oracle.power import Integrated, add_net, believable, integrate, most_w_of, net_bounds_w, suspects_of
from tests.oracle.series import RETIRED_S, Counted, CounterState, Series
from tests.oracle.streams import CHARGE, DISCHARGE, EXPORT, IMPORT, PRODUCTION, TOTAL, Decision, StreamKey, limits_of


class Quarter(NamedTuple):
    """The energy of one quarter hour on one phase; milliwatt-hours, None where unknown."""

    starts_s: int
    phase: str
    production: int | None
    consumption: int | None
    grid_import: int | None
    grid_export: int | None
    battery_charge: int | None
    battery_discharge: int | None
    covered_s: int
    bridged: int


@dataclass(slots=True)
class Samples:
    """What was read of a stretch of time."""

    counters: dict[StreamKey, Series] = field(default_factory=dict)
    #: phase -> (epoch seconds, W) of net power, where a site counts no import and export
    net_power: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)

    def counter(self, name: str, phase: str) -> Series:
        """Return a counter's series, made on first use."""
        series = self.counters.get((name, phase))
        if series is None:
            series = self.counters[name, phase] = Series()
        return series


@dataclass(slots=True)
class Stretch:
    """What a stretch of time held, and where to go on."""

    quarters: list[Quarter]
    decisions: list[Decision]
    settled_s: int  #: quarter hour from which on more samples may change the result
    states: dict[StreamKey, CounterState]  #: at ``settled_s``
    reopen_s: int | None  #: an earlier instant from which on to account anew
    #: stream, instant -> the most power that it can have in total
    most_w: Callable[[str, int], float]


def account(
    samples: Samples,
    states: Mapping[StreamKey, CounterState],
    *,
    since_s: int,
    until_s: int,
    gap_s: int,
    peak_power_w: float | None,
) -> Stretch:
    """Return the quarter hours from ``since_s`` on, given the counters' states there."""
    counted = {
        key: count(
            samples.counters.get(key) or Series(),
            states.get(key),
            limits_of(key[0], peak_power_w),
            since_s=since_s,
            until_s=until_s,
            gap_s=gap_s,
        )
        for key in sorted(samples.counters.keys() | states.keys())
    }
    counted = {key: one for key, one in counted.items() if one.last is not None}
    newest_s = max((one.last.at_s for one in counted.values() if one.last), default=since_s)
    settled_s = _settled_s(counted, newest_s)
    #: Stretches that are one, none of which may be cut by where counting goes on.
    whole_s = bridges_of(counted)
    for one in counted.values():
        # The quarter hour in which it caught up, or began anew, is whole at its end.
        for start_s, end_s in one.stills_s + one.breaks_s:
            whole_s.append((start_s, end_s - 1 + QUARTER_S))
    open_s = [settled_s]
    quarters: list[Quarter] = []
    suspects: list[Decision] = []
    for phase in sorted({phase for _, phase in counted}):
        streams = {name: one for (name, of), one in counted.items() if of == phase}
        net = None
        if phase in samples.net_power:
            times_s, powers_w = samples.net_power[phase]
            bounds_w = net_bounds_w(streams, most_w_of(streams, peak_power_w, since_s))
            good, bad = believable(times_s, powers_w, bounds_w)
            suspects += suspects_of(bad, phase, since_s)
            net = integrate(times_s, good, gap_s=gap_s)
        made, used = _quarters(streams, net, phase, since_s, newest_s, settled_s)
        quarters += made
        whole_s += used.evened_s
        open_s += used.open_s
    settled_s = max(since_s, _before_all_of(whole_s, min(open_s)))
    decisions = [
        Decision(event.at_s, event.kind, f"{name} {phase}", event.detail)
        for (name, phase), one in counted.items()
        for event in one.events
    ]
    decisions += suspects
    decisions += _outages(counted, since_s, newest_s)
    kept = {key: state for key, one in counted.items() if (state := _state(one, settled_s))}
    reopen = [one.reopen_s for one in counted.values() if one.reopen_s is not None]
    totals = {name: one for (name, phase), one in counted.items() if phase == "total"}
    most_w = most_w_of(totals, peak_power_w, since_s)
    return Stretch(quarters, decisions, settled_s, kept, min(reopen, default=None), most_w)


def _state(one: Counted, settled_s: int) -> CounterState | None:
    """Return what to remember of a counter; one that is gone closed no quarter hour after it."""
    if one.last is not None and one.last.at_s <= settled_s:
        return one.last
    return one.state_at(settled_s)


def _settled_s(counted: Mapping[StreamKey, Counted], newest_s: int) -> int:
    """Return the quarter hour that the slowest living stream has not finished."""
    open_s = [newest_s]
    for (name, phase), one in counted.items():
        if name == TOTAL and _is_elsewhere(one, counted.get((IMPORT, phase))):
            continue
        if one.last is not None and one.last.at_s > newest_s - RETIRED_S:
            open_s.append(one.last.at_s)
            if one.unsettled_s is not None:
                open_s.append(one.unsettled_s)
    return quarter_start_s(min(open_s))


def _before_all_of(whole_s: Iterable[tuple[int, int]], settled_s: int) -> int:
    """Return the last quarter hour up to an instant that lies within no stretch."""
    for start_s, end_s in sorted(whole_s, reverse=True):
        if start_s < settled_s <= quarter_start_s(end_s):
            settled_s = quarter_start_s(start_s)
    return settled_s


def _quarters(
    streams: Mapping[str, Counted], net: Integrated | None, phase: str, since_s: int, newest_s: int, settled_s: int
) -> tuple[list[Quarter], Used]:
    begin_s = min(one.first_s for one in streams.values() if one.first_s is not None)
    uncovered = _uncovered_s(streams, begin_s, since_s, newest_s)
    energy = {name: one.energy_mwh for name, one in streams.items()}
    if net is not None:
        add_net(energy, streams, net)
    bridged = streams[PRODUCTION].bridged_mwh if PRODUCTION in streams else {}
    nothing: dict[int, int] = {}
    starts = range(max(since_s, quarter_start_s(begin_s)), newest_s, QUARTER_S)
    used = consumption(energy, streams, starts, settled_s)
    quarters: list[Quarter] = []
    for start in starts:
        flows = {name: energy.get(name, nothing).get(start) for name in energy}
        balance = used.energy_mwh[start]
        quarters.append(
            Quarter(
                start,
                phase,
                flows.get(PRODUCTION),
                None if balance is None else max(0, balance),
                flows.get(IMPORT),
                flows.get(EXPORT),
                flows.get(CHARGE),
                flows.get(DISCHARGE),
                QUARTER_S - uncovered.get(start, 0),
                bridged.get(start, 0),
            )
        )
    return quarters, used


def _is_elsewhere(total: Counted, imported: Counted | None) -> bool:
    """Whether the gateway's own count of consumption ended because a net CT's counters began."""
    if total.last is None or imported is None or imported.last is None:
        return False
    return total.last.source != "ct" and total.last.at_s < imported.last.at_s


def _uncovered_s(streams: Mapping[str, Counted], begin_s: int, since_s: int, newest_s: int) -> dict[int, int]:
    """Return per quarter hour the seconds in which some stream was not measured."""
    last_s = quarter_start_s(newest_s) + QUARTER_S
    holes: list[tuple[int, int]] = [(quarter_start_s(begin_s), begin_s)]
    for name, one in streams.items():
        if one.first_s is None or one.last is None:
            continue
        at_s = max(one.first_s, since_s)
        for start_s, end_s in one.runs_s:
            if start_s > at_s:
                holes.append((at_s, start_s))
            at_s = max(at_s, end_s)
        if name == TOTAL and _is_elsewhere(one, streams.get(IMPORT)):
            continue
        until_s = min(last_s, one.last.at_s + RETIRED_S)
        if at_s < until_s:
            holes.append((at_s, until_s))
    result: dict[int, int] = {}
    done_s = 0
    for hole_start_s, end_s in sorted(holes):
        start_s = max(hole_start_s, done_s)
        done_s = max(done_s, end_s)
        while start_s < end_s:
            quarter_s = quarter_start_s(start_s)
            stop_s = min(end_s, quarter_s + QUARTER_S)
            result[quarter_s] = result.get(quarter_s, 0) + stop_s - start_s
            start_s = stop_s
    return result


def _outages(counted: Mapping[StreamKey, Counted], since_s: int, newest_s: int) -> Iterator[Decision]:
    """Return one decision for each stretch without readings, naming the streams it took."""
    totals = {name: one for (name, phase), one in counted.items() if phase == "total"}
    gaps: dict[tuple[int, int], list[str]] = {}
    gone: dict[int, list[str]] = {}
    for name, one in totals.items():
        for gap in one.gaps_s:
            gaps.setdefault(gap, []).append(name)
        if one.last is None or (name == TOTAL and _is_elsewhere(one, totals.get(IMPORT))):
            continue
        if since_s < one.last.at_s + RETIRED_S < newest_s:
            gone.setdefault(one.last.at_s, []).append(name)
    for (end_s, start_s), names in sorted(gaps.items()):
        subject = "gateway" if len(names) == len(totals) else ", ".join(names)
        minutes = (start_s - end_s) // 60
        detail = f"nothing measured for {minutes} min, until {utc_text(start_s)}"
        yield Decision(end_s, "outage", subject, detail)
    for last_s, names in sorted(gone.items()):
        # Told when it was given up: what came before was settled then.
        detail = f"nothing measured since {utc_text(last_s)}; no longer waited for"
        yield Decision(last_s + RETIRED_S, "outage", ", ".join(names), detail)
