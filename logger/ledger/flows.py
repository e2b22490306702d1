"""Which register feeds which flow: rules C1 to C6, per phase and in total.

Registers speak the CT's language (delivered, received); flows speak the owner's. Translated here and nowhere else. The
total comes from the total's registers, never from adding up phases; only import and export of a site whose utility
meter balances its phases are put together of them (``grid``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s, utc_text
from logger.ledger.battery import NO_BATTERIES, Account, Batteries, PowerState, account, add_power, states_at
from logger.ledger.consumption import Energy, consumption
from logger.ledger.curve import Anchor, Curve, Decision, Readings, Stretch, Tie, seconds_of
from logger.ledger.doubts import Doubts, Island
from logger.ledger.grid import Guess, balanced
from logger.ledger.limits import RECOVERY_S, RETIRED_S, Stream, StreamKey, limits_of
from logger.ledger.mean_day import History, lay
from logger.ledger.net_power import (
    Integrated,
    MaxPower,
    add_net_power,
    implausible_power_events,
    integrate,
    max_power_w,
    plausible,
    together,
)
from logger.ledger.possible import power_made
from logger.ledger.register import read_register
from logger.ledger.turns import apart, follow, kinds_of


class Interval(NamedTuple):
    """The energy of one quarter hour on one phase; None where unknown."""

    starts_s: int
    phase: str
    production_mwh: int | None
    consumption_mwh: int | None
    grid_import_mwh: int | None
    grid_export_mwh: int | None
    battery_charge_mwh: int | None
    battery_discharge_mwh: int | None
    covered_s: int
    bridged_mwh: int
    battery_estimated_mwh: int | None = None  #: charge and discharge from power; None where none of it is


#: The streams of an interval's flows, in their order, without consumption.
FLOWS = (Stream.PRODUCTION, Stream.IMPORT, Stream.EXPORT, Stream.CHARGE, Stream.DISCHARGE)


@dataclass(slots=True)
class Settlement:
    """What a window held, and where to go on."""

    intervals: list[Interval]
    decisions: list[Decision]
    settled_s: int  #: quarter hour from which on more samples may change the result
    anchors: dict[StreamKey, Anchor]  #: at ``settled_s``
    reopen_s: int | None  #: an earlier instant from which on to settle anew
    max_power_w: MaxPower  #: of the streams in total
    batteries: dict[str, PowerState]  #: at ``settled_s``, by kind
    #: What import and export of phases that are balanced were estimated of, None where none are.
    guesses: list[Guess] | None = None


def settle(
    registers: Mapping[StreamKey, Readings],
    net_power: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    anchors: Mapping[StreamKey, Anchor],
    *,
    since_s: int,
    until_s: int,
    gap_s: int,
    peak_power_w: float | None,
    is_balanced: bool = True,
    batteries: Batteries = NO_BATTERIES,
    islands: Sequence[Island] = (),
    history: History | None = None,
) -> Settlement:
    """Return the quarter hours from ``since_s`` on, given the registers' anchors there.

    ``net_power`` has by phase the net power (epoch seconds, W) of a site that does not count it. ``is_balanced`` says
    whether the utility's meter balances several phases or counts each for itself. ``history`` is what bridged energy of
    the sun is spread by, evenly without it.
    """
    kinds = {phase: kinds_of(registers, anchors, phase) for _, phase in registers.keys() | anchors.keys()}
    curves = {
        key: read_register(
            registers.get(key) or Readings(),
            anchors.get(key),
            limits_of(key[0], peak_power_w),
            since_s=since_s,
            until_s=until_s,
            gap_s=gap_s,
            made_w=power_made(registers, anchors, key[1], batteries.first_s) if key[0] is Stream.EXPORT else None,
            absences=kinds[key[1]].absences(key[0], since_s),
        )
        for key in sorted(registers.keys() | anchors.keys())
    }
    newest_s = max((curve.last_s for curve in curves.values()), default=since_s)
    edges_s = range(since_s, max(since_s, newest_s) + QUARTER_S, QUARTER_S)
    #: Stretches that are one, none of which may be cut by where counting goes on.
    whole_s = [stretch_s for curve in curves.values() for stretch_s in curve.whole_s]
    settled_s = _settled_s(curves, newest_s)
    battery = account(batteries, curves, edges_s, newest_s, gap_s)
    whole_s += [bound[:2] for bound in battery.bounds]
    open_s = [settled_s, *map(quarter_start_s, [*battery.open_s, *_open_net_s(net_power, newest_s - gap_s)])]
    intervals: list[Interval] = []
    decisions = [
        event._replace(subject=f"{stream} {phase}")
        for (stream, phase), curve in curves.items()
        for event in curve.events
    ]
    decisions += battery.decisions
    nets: dict[str, Integrated] = {}
    guesses: list[Guess] | None = None
    for phase in sorted({phase for _, phase in curves}):
        streams = _of_phase(curves, phase)
        if phase == "total" and is_balanced:
            found = balanced(
                curves,
                edges_s,
                newest_s=newest_s,
                gap_s=gap_s,
                has_battery=battery.is_there or Stream.CHARGE in streams,
            )
            if found is not None:
                pairs = zip((Stream.IMPORT, Stream.EXPORT), found.curves, strict=True)
                streams |= {stream: follow(total, curves[stream, "total"]) for stream, total in pairs}
                whole_s, guesses = whole_s + found.whole_s, found.guesses
        energy = {stream: curve.energy(edges_s) for stream, curve in streams.items()}
        if Stream.IMPORT not in streams:
            energy, bridged = lay(energy, streams, edges_s, phase, history)  # What goes to the grid follows from it.
        if phase in net_power:
            at_s, powers_w = net_power[phase]
            max_w = max_power_w(streams, peak_power_w)
            found_w = plausible(at_s, powers_w, streams, max_w, batteries.first_s)
            decisions += implausible_power_events(at_s, powers_w, found_w, phase, since_s)
            nets[phase] = integrate(*apart(at_s, found_w, kinds[phase].turns), edges_s, gap_s=gap_s)
            of_phases = [net for name, net in nets.items() if name != "total"]
            is_sum = phase == "total" and not is_balanced and of_phases
            add_net_power(energy, streams, together(of_phases) if is_sum else nets[phase], edges_s)
        doubts = Doubts(battery, islands, streams, edges_s, phase == "total") if battery.is_there or islands else None
        consumed = consumption(energy, streams, edges_s, settled_s, doubts, is_ct_gone=battery.is_ct_gone)
        if doubts is not None:
            decisions += doubts.decisions(consumed.energy_mwh)
            if phase == "total":
                add_power(energy, battery)
        if Stream.IMPORT in streams:  # Not before: consumption is the balance over all of a gap.
            energy, bridged = lay(energy, streams, edges_s, phase, history)
        intervals += _intervals(phase, streams, energy, consumed.energy_mwh, edges_s, battery, doubts, bridged=bridged)
        whole_s += consumed.spread_s
        open_s += consumed.open_s
    totals = _of_phase(curves, "total")
    if "total" in kinds:
        decisions += kinds["total"].decisions(since_s)
    decisions += _outages(totals, since_s, newest_s)
    settled_s = max(since_s, _before_all_of(whole_s, min(open_s)))
    return Settlement(
        intervals,
        decisions,
        settled_s,
        {key: at for key, curve in curves.items() if (at := curve.anchor_at(settled_s))},
        min((c.reopen_s for c in curves.values() if c.reopen_s is not None), default=None),
        max_power_w(totals, peak_power_w),
        states_at(batteries, settled_s),
        guesses,
    )


def _of_phase(curves: Mapping[StreamKey, Curve], phase: str) -> dict[Stream, Curve]:
    return {stream: curve for (stream, of), curve in curves.items() if of == phase}


def _is_over(stream: Stream, curve: Curve, imported: Curve | None) -> bool:
    """Whether a CT counts on other registers now, or a net CT's began where the gateway had counted consumption."""
    return curve.is_over or (
        stream is Stream.CONSUMPTION_CT
        and imported is not None
        and curve.readings.source[-1] != "ct"
        and curve.last_s < imported.last_s
    )


def _settled_s(curves: Mapping[StreamKey, Curve], newest_s: int) -> int:
    """Return the quarter hour that the slowest living stream has not finished."""
    open_s = [newest_s]
    for (stream, phase), curve in curves.items():
        is_over = _is_over(stream, curve, curves.get((Stream.IMPORT, phase)))
        if not is_over and curve.last_s > newest_s - RETIRED_S:
            open_s.append(curve.last_s)
        # What a CT counted before it changed its kind may change for as long as it may change back.
        if curve.open_s is not None and curve.last_s > newest_s - (RECOVERY_S if is_over else RETIRED_S):
            open_s.append(curve.open_s)
    return quarter_start_s(min(open_s))


def _open_net_s(net_power: Mapping[str, tuple[Sequence[int], Sequence[float]]], since_s: int) -> Iterator[int]:
    """Yield from when on the next net power may still tell what flowed: registers may go on without it."""
    return (at_s[-1] for at_s, _ in net_power.values() if at_s and at_s[-1] >= since_s)


def _before_all_of(whole_s: Iterable[Stretch], settled_s: int) -> int:
    """Return the last quarter hour up to an instant that lies within no stretch."""
    for start_s, end_s in sorted(whole_s, reverse=True):
        if start_s < settled_s <= quarter_start_s(end_s):
            settled_s = quarter_start_s(start_s)
    return settled_s


def _intervals(
    phase: str,
    streams: Mapping[Stream, Curve],
    energy: Mapping[Stream, Energy],
    consumed: Energy,
    edges_s: range,
    battery: Account,
    doubts: Doubts | None,
    *,
    bridged: Sequence[int],
) -> Iterator[Interval]:
    begin_s = min(curve.anchor.first_s for curve in streams.values())
    nothing: Energy = [None] * (len(edges_s) - 1)
    missing_s = [*_uncovered_s(streams, begin_s, edges_s, battery), *(doubts.uncovered_s if doubts else ())]
    uncovered_s = seconds_of(missing_s, edges_s)
    estimated = battery.estimated_mwh if doubts and phase == "total" else nothing
    flows = (energy.get(stream, nothing) for stream in FLOWS)
    rows = zip(edges_s[:-1], consumed, *flows, uncovered_s, bridged, estimated, strict=True)
    for start_s, used_mwh, produced, *others, lost_s, bridged_mwh, estimated_mwh in rows:
        if start_s + QUARTER_S > begin_s:
            consumed_mwh = None if used_mwh is None else max(0, used_mwh)
            measured = QUARTER_S - lost_s, bridged_mwh, estimated_mwh
            yield Interval._make((start_s, phase, produced, consumed_mwh, *others, *measured))


def _uncovered_s(streams: Mapping[Stream, Curve], begin_s: int, edges_s: range, battery: Account) -> Iterator[Stretch]:
    """Return the stretches in which some stream was not measured."""
    yield edges_s[0] - QUARTER_S, begin_s
    for stream, curve in streams.items():
        yield from ((start_s, end_s) for tie, start_s, end_s in curve.steps if tie is not Tie.AWAY)
        is_gone = battery.is_ct_gone and stream in {Stream.CHARGE, Stream.DISCHARGE}
        if not is_gone and not _is_over(stream, curve, streams.get(Stream.IMPORT)):
            yield curve.last_s, curve.last_s + RETIRED_S


def _outages(totals: Mapping[Stream, Curve], since_s: int, newest_s: int) -> Iterator[Decision]:
    """Return one decision for each stretch without readings, naming the streams it took."""
    gaps: dict[Stretch, list[str]] = {}
    gone: dict[int, list[str]] = {}
    for stream, curve in totals.items():
        for gap_s in curve.gaps_s:
            gaps.setdefault(gap_s, []).append(stream)
        is_over = _is_over(stream, curve, totals.get(Stream.IMPORT))
        if not is_over and since_s < curve.last_s + RETIRED_S < newest_s:
            gone.setdefault(curve.last_s, []).append(stream)
    for (end_s, start_s), streams in sorted(gaps.items()):
        # What began later was not there to be missed.
        there = sum(curve.anchor.first_s <= end_s for curve in totals.values())
        subject = "gateway" if len(streams) == there else ", ".join(streams)
        minutes = (start_s - end_s) // 60
        detail = f"nothing measured for {minutes} min, until {utc_text(start_s)}"
        yield Decision(end_s, "outage", subject, detail)
    for last_s, streams in sorted(gone.items()):
        # Reported when it was given up: what came before was settled then.
        detail = f"nothing measured since {utc_text(last_s)}; no longer waited for"
        yield Decision(last_s + RETIRED_S, "outage", ", ".join(streams), detail)
