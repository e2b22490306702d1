"""Holds the ledger against the oracle: what one says of a spoilt register or site, and the other.

``register_differences`` and ``site_differences`` name what differs; nothing is as it should be.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import tests.oracle.counters as oracle_counters
import tests.oracle.flows as oracle_flows
import tests.oracle.series as oracle_series
from logger.energy import counters, flows, series
from tests.ledger.spoilt import Case, Row, Site, register, site

QUARTER_S = 900


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


def register_differences(seed: int) -> list[str]:
    """Return what differs between the oracle and the ledger, at once and in windows."""
    case = register(seed)
    expected, found = by_oracle(case), by_ledger(case)
    differing = [name for name in Result._fields if getattr(expected, name) != getattr(found, name)]
    rows, events = in_windows(
        lambda anchor, since_s, until_s: _register_window(case, anchor, since_s, until_s),
        begin_s=_quarter(case.rows[0].at_s),
        until_s=case.until_s,
        window_s=case.window_s,
    )
    starts = expected.energy.keys() | expected.bridged.keys()
    whole = {s: (expected.energy.get(s, 0), expected.bridged.get(s, 0)) for s in starts}
    if whole != {start: row for start, row in rows.items() if row != (0, 0)}:
        differing.append("energy in windows")
    if sorted(events) != sorted(expected.events):
        differing.append("events in windows")
    return differing


def site_differences(seed: int) -> list[str]:
    """Return what differs between the oracle and the ledger on a whole site."""
    case = site(seed)
    since_s = _quarter(min(rows[0].at_s for rows in case.registers.values()))
    expected, found = (
        _oracle_site(case, {}, since_s, case.until_s),
        _ledger_site(case, {}, since_s, case.until_s),
    )
    differing = [
        name
        for name in ("rows", "events", "settled_s", "reopen_s")
        if getattr(expected, name) != getattr(found, name)
    ]
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
            checkpoints = [one for one in checkpoints if one[0] <= window.reopen_s]
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
    for row in rows:
        found.extend(row.source, [row.at_s], [row.value_wh], [row.power_w])
    return found


def _oracle_site(case: Site, anchors: Any, since_s: int, until_s: int) -> Window:
    return _site(oracle_flows, oracle_series.Series, case, anchors, since_s, until_s)


def _site(of: Any, kind: Any, case: Site, anchors: Any, since_s: int, until_s: int) -> Window:
    samples = of.Samples()
    for key, rows in case.registers.items():
        within = [
            row
            for row in rows
            if since_s < row.at_s <= until_s or (not anchors and row.at_s <= until_s)
        ]
        if within:
            samples.counters[key] = _series(kind, within)
    for phase, every in case.net_power.items():
        powers = [one for one in every if since_s - case.gap_s < one[0] <= until_s]
        if powers:
            samples.net_power[phase] = tuple(map(list, zip(*powers, strict=True)))
    back_s = [
        state.at_s
        for key, state in anchors.items()
        if key in samples.counters and _quarter(state.at_s - 1) + QUARTER_S < since_s
    ]
    if back_s:  # A register that was given up speaks again.
        return Window(since_s, {}, [], since_s, lambda _: anchors, min(back_s))
    found = of.account(
        samples,
        anchors,
        since_s=since_s,
        until_s=until_s,
        gap_s=case.gap_s,
        peak_power_w=case.peak_power_w,
    )
    return Window(
        since_s,
        {(row.starts_s, row.phase): tuple(row[2:]) for row in found.quarters},
        [tuple(event) for event in found.decisions],
        found.settled_s,
        lambda _: found.states,
        found.reopen_s,
    )


# -- the ledger
def by_ledger(case: Case) -> Result:
    counted = counters.count(
        _series(series.Series, case.rows),
        None,
        series.Limits(**case.limits),
        since_s=_quarter(case.rows[0].at_s),
        until_s=case.until_s,
        gap_s=case.gap_s,
    )
    return _result(counted)


def _register_window(case: Case, anchor: Any, since_s: int, until_s: int) -> Window:
    rows = [
        row for row in case.rows if row.at_s <= until_s and (anchor is None or row.at_s > since_s)
    ]
    counted = counters.count(
        _series(series.Series, rows),
        anchor,
        series.Limits(**case.limits),
        since_s=since_s,
        until_s=until_s,
        gap_s=case.gap_s,
    )
    starts = counted.energy_mwh.keys() | counted.bridged_mwh.keys()
    whole_s = [
        *counted.bridges_s,
        *((a, b - 1 + QUARTER_S) for a, b in counted.stills_s + counted.breaks_s),
    ]
    last_s = counted.last.at_s if counted.last else since_s
    open_s = last_s if counted.unsettled_s is None else min(last_s, counted.unsettled_s)
    return Window(
        since_s,
        {s: (counted.energy_mwh.get(s, 0), counted.bridged_mwh.get(s, 0)) for s in starts},
        [tuple(event) for event in counted.events],
        max(since_s, settled_before(whole_s, _quarter(open_s))),
        counted.state_at,
        counted.reopen_s,
    )


def _ledger_site(case: Site, anchors: Any, since_s: int, until_s: int) -> Window:
    return _site(flows, series.Series, case, anchors, since_s, until_s)
