"""Holds the ledger against the oracle: what each makes of a spoilt register or site.

``register_differences`` and ``site_differences`` name what differs; nothing is as it should be. The oracle does not
judge increments by the power at both of their ends: where the ledger calls one suspect for that alone, all else is held
against the oracle with that rule aside, and in windows against the ledger itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import pytest

import tests.oracle.counters as oracle_counters
import tests.oracle.flows as oracle_flows
import tests.oracle.inverters as oracle_inverters
import tests.oracle.series as oracle_series
from logger.ledger import flows
from logger.ledger import inverter as ledger_inverter
from logger.ledger.curve import Anchor, Curve, Decision, Readings, Tie, joined
from logger.ledger.flows import settle
from logger.ledger.inverter import Report, measured_s, read_inverter, read_reports
from logger.ledger.limits import RECOVERY_S, Limits, Stream, StreamKey
from logger.ledger.possible import Possible
from logger.ledger.register import read_register
from logger.rollups import inverters, rollup
from tests.ledger.spoilt import START_S, Case, Row, Site, inverter, register, site

QUARTER_S = 900
DAY_S = 86_400


class Result(NamedTuple):
    """What a register counted, however that was found out."""

    energy: dict[int, int]
    bridged: dict[int, int]
    runs: list[tuple[int, int]]
    gaps: list[tuple[int, int]]
    bridges: list[tuple[int, int]]
    breaks: list[tuple[int, int]]
    stills: list[tuple[int, int]]
    events: list[tuple[int, str, str]]
    open_s: int | None
    last_s: int
    first_s: int


class Window(NamedTuple):
    """What a window of a register or site came to, and how to go on from it."""

    since_s: int
    rows: dict[Any, Any]
    events: list[tuple[Any, ...]]
    settled_s: int  #: what lies before it is settled
    anchor_at: Callable[[int], Any]
    reopen_s: int | None


@contextmanager
def as_the_oracle_judges() -> Iterator[None]:
    """Judge no increment by the power at both of its ends, let an inverter make 1 500 W, balance no phases, and
    spread evenly what was bridged.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "balanced", lambda *_, **__: None)
        patch.setattr(rollup, "history_of", lambda _: None)
        patch.setattr(inverters, "history_of", lambda *_: None)
        patch.setattr(Possible, "_witnessed_mwh", lambda *_: None)
        patch.setattr(ledger_inverter, "LIMITS", Limits(floor_w=1_500, learned_floor_w=1_000))
        yield


def _are_only_here(found: Iterable[tuple[Any, ...]], expected: Iterable[tuple[Any, ...]]) -> bool:
    """Whether the ledger calls increments suspect, or erroneous reads, that the oracle believes."""
    return any(event[1] in {"suspect_increment", "counter_dip"} for event in set(found) - set(expected))


def register_differences(seed: int) -> list[str]:
    """Return what differs between the oracle and the ledger, at once and in windows."""
    case = register(seed)
    expected, found = by_oracle(case), by_ledger(case)
    if _are_only_here(found.events, expected.events):
        with as_the_oracle_judges():
            differing = _register_differences(case, expected, by_ledger(case))
        return differing + _register_differences(case, found, found)
    return _register_differences(case, expected, found)


def _register_differences(case: Case, expected: Result, found: Result) -> list[str]:
    differing = [name for name in Result._fields if getattr(expected, name) != getattr(found, name)]
    rows, events = in_windows(
        lambda anchor, since_s, until_s: _register_window(case, anchor, since_s, until_s),
        begin_s=_quarter(case.rows[0].at_s),
        until_s=case.until_s,
        window_s=case.window_s,
    )
    starts = expected.energy.keys() | expected.bridged.keys()
    whole = {s: (expected.energy.get(s, 0), expected.bridged.get(s, 0)) for s in starts}
    if _is_silent_among_zeros(case.rows):
        return differing
    if whole != {start: row for start, row in rows.items() if row != (0, 0)}:
        differing.append("energy in windows")
    if sorted(events) != sorted(expected.events):
        differing.append("events in windows")
    return differing


def _is_silent_among_zeros(rows: Sequence[Row]) -> bool:
    """Whether a register was silent for long while it read 0.

    Live, it has been reset after six hours of silence; at once, what comes after the silence is
    known too.
    """
    return any(
        before.value_wh == after.value_wh == 0 and after.at_s - before.at_s > RECOVERY_S
        for before, after in pairwise(rows)
    )


def site_differences(seed: int) -> list[str]:
    """Return what differs between the oracle and the ledger on a whole site."""
    case = site(seed)
    since_s = _quarter(min(rows[0].at_s for rows in case.registers.values()))
    expected, found = _oracle_site(case, since_s), _ledger_site(case, {}, since_s, case.until_s)
    if not _are_only_here(found.events, expected.events):
        return _site_differences(case, since_s, expected, found)
    with as_the_oracle_judges():
        differing = _site_differences(case, since_s, expected, _ledger_site(case, {}, since_s, case.until_s))
    return differing + _site_differences(case, since_s, found, found)


def _site_differences(case: Site, since_s: int, expected: Window, found: Window) -> list[str]:
    differing = [
        name for name in ("rows", "events", "settled_s", "reopen_s") if getattr(expected, name) != getattr(found, name)
    ]
    # The ledger takes no checkpoint among erroneous reads; the oracle carries them in its state.
    early_s = range(found.settled_s, expected.settled_s + QUARTER_S)
    if any(kind == "counter_dip" and at_s in early_s for at_s, kind, *_ in found.events):
        differing = [name for name in differing if name != "settled_s"]
    rows, events = in_windows(
        lambda anchors, since_s, until_s: _ledger_site(case, anchors or {}, since_s, until_s),
        begin_s=since_s,
        until_s=case.until_s,
        window_s=case.window_s,
    )
    if rows != expected.rows:
        differing.append("rows in windows")
    if sorted(events) != sorted(expected.events):
        differing.append("events in windows")
    return differing


def inverter_differences(seed: int) -> list[str]:
    """Return what differs between the oracle and the ledger on the days of an inverter."""
    case = inverter(seed)
    since_s = START_S
    edges_s = range(since_s, case.until_s + 2 * DAY_S, DAY_S)
    old = oracle_inverters.Inverter(
        _series(oracle_series.Series, case.rows), [oracle_inverters.Report(*report) for report in case.reports]
    )
    share, counted = oracle_inverters.from_counter(old, None, since_s=since_s, until_s=case.until_s)
    with as_the_oracle_judges():
        curve = read_inverter(_series(Readings, case.rows), None, since_s=since_s, until_s=case.until_s)
    events = _events(curve.events)
    differing = []
    if (_by_day(share), [tuple(event) for event in counted.events]) != (
        _days(edges_s, curve.energy(edges_s), measured_s(curve, edges_s)),
        events,
    ):
        differing.append("register")
    share, reported = oracle_inverters.from_reports(old, None, since_s=since_s)
    new = read_reports([Report(*report) for report in case.reports], None, edges_s)
    if (_by_day(share), list(map(tuple, reported.events)), list(map(tuple, reported.rhythms))) != (
        _days(edges_s, new.energy_mwh, new.covered_s),
        _events(new.events),
        list(map(tuple, new.rhythms)),
    ):
        differing.append("reports")
    return differing


def _by_day(share: Any) -> dict[int, tuple[int | None, int]]:
    days: dict[int, tuple[int | None, int]] = {}
    for start_s in sorted(share.energy_mwh.keys() | share.covered_s.keys()):
        day = start_s // DAY_S * DAY_S
        mwh, covered_s = days.get(day, (None, 0))
        if start_s in share.energy_mwh:
            mwh = (mwh or 0) + share.energy_mwh[start_s]
        days[day] = mwh, covered_s + share.covered_s.get(start_s, 0)
    return days


def _days(
    edges_s: range, energy_mwh: Sequence[int | None], covered_s: Sequence[int]
) -> dict[int, tuple[int | None, int]]:
    rows = zip(edges_s, energy_mwh, covered_s, strict=False)
    return {start: (mwh, covered) for start, mwh, covered in rows if mwh is not None or covered}


def in_windows(
    read: Callable[[Any, int, int], Window], *, begin_s: int, until_s: int, window_s: int
) -> tuple[dict[Any, Any], list[tuple[Any, ...]]]:
    """Read window by window, each from the last checkpoint, as rollups do."""
    checkpoints: list[tuple[int, Any]] = []
    rows: dict[Any, Any] = {}
    events: list[tuple[Any, ...]] = []
    end_s = 0
    while end_s < until_s:
        since_s, anchor = checkpoints[-1] if checkpoints else (begin_s, None)
        end_s = min(until_s, max(since_s, end_s) + window_s)
        window = read(anchor, since_s, end_s)
        if window.reopen_s is not None:
            checkpoints = [checkpoint for checkpoint in checkpoints if checkpoint[0] <= window.reopen_s]
            end_s -= window_s
            continue
        rows = {key: row for key, row in rows.items() if _start_of(key) < since_s} | window.rows
        events = [event for event in events if event[0] <= since_s] + window.events
        if window.settled_s > since_s and (anchor := window.anchor_at(window.settled_s)):
            checkpoints.append((window.settled_s, anchor))
    return rows, events


def _start_of(key: Any) -> int:
    return int(key[0] if isinstance(key, tuple) else key)


def _quarter(at_s: int) -> int:
    return at_s - at_s % QUARTER_S


def settled_before(whole_s: Iterable[tuple[int, int]], settled_s: int) -> int:
    """Return the last quarter hour up to an instant that lies within no stretch."""
    for start_s, end_s in sorted(whole_s, reverse=True):
        if start_s < settled_s <= _quarter(end_s):
            settled_s = _quarter(start_s)
    return settled_s


# -- the oracle
def by_oracle(case: Case) -> Result:
    """Return what the oracle counts of a register, at once."""
    counted = oracle_counters.count(
        _series(oracle_series.Series, case.rows),
        None,
        oracle_series.Limits(**case.limits),
        since_s=_quarter(case.rows[0].at_s),
        until_s=case.until_s,
        gap_s=case.gap_s,
    )
    return _result(counted)


def _result(counted: Any) -> Result:
    return Result(
        {start: mwh for start, mwh in counted.energy_mwh.items() if mwh},
        {start: mwh for start, mwh in counted.bridged_mwh.items() if mwh},
        counted.runs_s,
        counted.gaps_s,
        sorted(counted.bridges_s),
        counted.breaks_s,
        counted.stills_s,
        [tuple(event) for event in counted.events],
        counted.unsettled_s,
        counted.last.at_s,
        counted.first_s,
    )


def _series(kind: Any, rows: Sequence[Row]) -> Any:
    found = kind()
    for source, group in groupby(rows, key=attrgetter("source")):
        same = list(group)
        found.extend(source, *([getattr(row, name) for row in same] for name in ("at_s", "value_wh", "power_w")))
    return found


def _oracle_site(case: Site, since_s: int) -> Window:
    samples = oracle_flows.Samples()
    for key, rows in case.registers.items():
        samples.counters[key] = _series(oracle_series.Series, rows)
    for phase, powers in case.net_power.items():
        samples.net_power[phase] = ([at_s for at_s, _ in powers], [w for _, w in powers])
    found = oracle_flows.account(
        samples, {}, since_s=since_s, until_s=case.until_s, gap_s=case.gap_s, peak_power_w=case.peak_power_w
    )
    return _window(since_s, found.quarters, found)


def _window(since_s: int, rows: Iterable[Any], found: Any) -> Window:
    return Window(
        since_s,
        # Batteries that have no CT are not the oracle's.
        {(row.starts_s, row.phase): tuple(row[2:10]) for row in rows},
        [tuple(event) for event in found.decisions],
        found.settled_s,
        lambda _: getattr(found, "anchors", None),
        found.reopen_s,
    )


# -- the ledger
def by_ledger(case: Case) -> Result:
    """Return what the ledger counts of a register, at once."""
    curve = _read(case, case.rows, None, _quarter(case.rows[0].at_s), case.until_s)
    rows = _rows(curve)
    return Result(
        {start: energy for start, (energy, _) in rows.items() if energy},
        {start: bridged for start, (_, bridged) in rows.items() if bridged},
        _runs(curve),
        curve.gaps_s,
        sorted(curve.stretches_s(Tie.BRIDGED)),
        curve.stretches_s(Tie.BROKEN),
        curve.flats_s,
        _events(curve.events),
        curve.open_s,
        curve.last_s,
        curve.anchor.first_s,
    )


def _runs(curve: Curve) -> list[tuple[int, int]]:
    at_s, runs = curve.anchor.at_s, []
    for start_s, end_s in [*joined((a, b) for _, a, b in curve.steps), (curve.last_s, curve.last_s)]:
        if at_s < start_s:
            runs.append((at_s, start_s))
        at_s = max(at_s, end_s)
    return runs


def _read(case: Case, rows: Sequence[Row], anchor: Anchor | None, since_s: int, until_s: int) -> Curve:
    limits = Limits(**case.limits)
    readings = _series(Readings, rows)
    return read_register(readings, anchor, limits, since_s=since_s, until_s=until_s, gap_s=case.gap_s)


def _events(events: Sequence[Decision]) -> list[tuple[int, str, str]]:
    return [(event.at_s, event.kind, event.detail) for event in events]


def _rows(curve: Curve) -> dict[int, tuple[int, int]]:
    edges_s = range(curve.since_s, _quarter(curve.last_s) + 2 * QUARTER_S, QUARTER_S)
    energy, bridged = curve.energy(edges_s), curve.bridged(edges_s)
    return {
        start_s: (energy_mwh or 0, bridged_mwh)
        for start_s, energy_mwh, bridged_mwh in zip(edges_s, energy, bridged, strict=False)
    }


def _register_window(case: Case, anchor: Any, since_s: int, until_s: int) -> Window:
    from_s = since_s if anchor else 0
    rows = [row for row in case.rows if from_s < row.at_s <= until_s]
    if not rows and anchor is None:
        return Window(since_s, {}, [], since_s, lambda _: None, None)
    curve = _read(case, rows, anchor, since_s, until_s)
    open_s = curve.last_s if curve.open_s is None else min(curve.last_s, curve.open_s)
    return Window(
        since_s,
        _rows(curve),
        _events(curve.events),
        max(since_s, settled_before(curve.whole_s, _quarter(open_s))),
        curve.anchor_at,
        curve.reopen_s,
    )


def _ledger_site(case: Site, anchors: Mapping[StreamKey, Anchor], since_s: int, until_s: int) -> Window:
    registers: dict[StreamKey, Readings] = {}
    net_power: dict[str, tuple[list[int], list[float]]] = {}
    from_s = since_s if anchors else 0
    for key, rows in case.registers.items():
        within = [row for row in rows if from_s < row.at_s <= until_s]
        if within:
            registers[Stream(key[0]), key[1]] = _series(Readings, within)
    for phase, every in case.net_power.items():
        powers = [power for power in every if since_s - case.gap_s < power[0] <= until_s]
        if powers:
            net_power[phase] = ([at_s for at_s, _ in powers], [w for _, w in powers])
    back_s = [
        anchor.at_s
        for key, anchor in anchors.items()
        if key in registers and _quarter(anchor.at_s - 1) + QUARTER_S < since_s
    ]
    if back_s:  # A register that was given up speaks again.
        return Window(since_s, {}, [], since_s, lambda _: anchors, min(back_s))
    with pytest.MonkeyPatch.context() as patch:
        # The oracle knows no total that is balanced over the phases.
        patch.setattr(flows, "balanced", lambda *_, **__: None)
        found = settle(
            registers,
            net_power,
            anchors,
            since_s=since_s,
            until_s=until_s,
            gap_s=case.gap_s,
            peak_power_w=case.peak_power_w,
        )
    return _window(since_s, found.intervals, found)
