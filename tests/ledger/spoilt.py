"""Random registers, and random sites of them, spoilt in every way that was ever seen.

A case is plain data, so that the ledger and the oracle are given the same.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

START_S = 1_772_323_200  # 2026-03-01 00:00:00 UTC
WRAP_WH = 1_193_046.471


class Row(NamedTuple):
    """A reading of a register."""

    at_s: int
    value_wh: float
    power_w: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Case:
    """A register's readings and how they are read."""

    rows: list[Row]
    limits: dict[str, Any]
    gap_s: int
    until_s: int  #: no more readings come up to then
    window_s: int  #: how much is read at once


@dataclass(frozen=True, slots=True)
class Site:
    """The registers of a gateway by (stream, phase), and its net power by phase."""

    registers: dict[tuple[str, str], list[Row]]
    net_power: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    peak_power_w: float | None = None
    gap_s: int = 900
    until_s: int = 0
    window_s: int = 86_400


POWERS_W = (0, 0, 100, 1500, 4800)


def register(seed: int) -> Case:
    """Return a random register with up to four kinds of misery."""
    rng = random.Random(seed)
    source = rng.choice(["ct", "ct", "v1", "inverters", "eim"])
    peak = rng.choice([5000, 5000, None])
    limits: dict[str, Any] = rng.choice(
        [{"peak_w": peak}, {"peak_w": peak}, {"floor_w": 50_000, "learned_floor_w": 50_000, "is_computed": True}]
    )
    count, step_s = rng.choice([50, 300, 1500, 4000]), rng.choice([60, 300, 900])
    value_wh = rng.choice([40_000.0, 800_000.0, 8e6])
    rows = _usual(rng, START_S + rng.randrange(900), count, step_s, value_wh, source)
    for _ in range(rng.choice([0, 1, 2, 4])):
        _spoil(rng, rows)
    rows = [row._replace(value_wh=round(row.value_wh, 3)) for row in rows]
    until_s = rows[-1].at_s + rng.choice([0, 100_000, 1_000_000])
    gap_s = 900 if rng.random() < 0.8 else 1900
    window_s = rng.choice([7_200, 40_000, 86_400, 4 * 86_400])
    window_s = max(window_s, (until_s - START_S) // 12)
    return Case(rows, limits, gap_s, until_s, window_s)


def _usual(rng: random.Random, at_s: int, count: int, step_s: int, value_wh: float, source: str) -> list[Row]:
    rows, power_w = [], 0
    for _ in range(count):
        if rng.random() < 0.02:
            power_w = rng.choice(POWERS_W)
        usual = rng.random() > 0.005
        over_s = step_s if usual else rng.choice([step_s * 3, 4000, 20_000, 90_000])
        at_s += over_s
        value_wh += power_w * over_s / 3600 * rng.uniform(0.9, 1.1)
        shown_wh = float(int(value_wh)) if source == "v1" else value_wh
        rows.append(Row(at_s, shown_wh, float(power_w) if rng.random() > 0.05 else None, source))
    return rows


def _stays(change: Callable[[float], float]) -> tuple[bool, Callable[[Row, Row], Row]]:
    return True, lambda row, _: row._replace(value_wh=max(0.0, change(row.value_wh)))


def _passes(change: Callable[[float], float]) -> tuple[bool, Callable[[Row, Row], Row]]:
    return False, lambda row, _: row._replace(value_wh=max(0.0, change(row.value_wh)))


#: whether it lasts, and what becomes of a row, given the first that it befell
MISERIES: dict[str, tuple[bool, Callable[[Row, Row], Row]]] = {
    "dip": _passes(lambda wh: wh * 0.5),
    "zero": _passes(lambda _: 0.0),
    "spike": _passes(lambda wh: wh + 900_000),
    "small spike": _passes(lambda wh: wh + 700),
    "wrap": _stays(lambda wh: wh - WRAP_WH),
    "jump": _stays(lambda wh: wh + 60_000),
    "small fall": _stays(lambda wh: wh - 3),
    "fall": _stays(lambda wh: wh - 40),
    "reset": (True, lambda row, at: row._replace(value_wh=max(0.0, row.value_wh - at.value_wh))),
    "stuck": (False, lambda row, at: row._replace(value_wh=at.value_wh)),
    "stuck under power": (False, lambda row, at: row._replace(value_wh=at.value_wh, power_w=1500.0)),
    "source": (
        False,
        lambda row, _: row._replace(
            source="v1" if row.source == "inverters" else "inverters", value_wh=row.value_wh + 12_345
        ),
    ),
    "negative power": (False, lambda row, _: row._replace(power_w=-3000.0)),
}


def _spoil(rng: random.Random, rows: list[Row], names: tuple[str, ...] = tuple(MISERIES)) -> None:
    first, many = rng.randrange(1, len(rows)), rng.choice([1, 1, 3, 20, 200])
    lasts, spoilt = MISERIES[rng.choice(names)]
    begin = rows[first]
    for i in range(first, len(rows) if lasts else min(len(rows), first + many)):
        rows[i] = spoilt(rows[i], begin)


STREAMS = {
    "net": ("production", "grid import", "grid export", "standby"),
    "total": ("production", "total consumption"),
    "battery": ("production", "grid import", "grid export", "battery charge", "battery discharge"),
    "all": ("production", "grid import", "grid export", "total consumption"),
    "production": ("production",),
}


def site(seed: int) -> Site:
    """Return a random site: production, meters and perhaps a battery, on one to three phases."""
    rng = random.Random(seed)
    kind = rng.choice(list(STREAMS))
    phases = ["total", *rng.choice([(), ("L1", "L2"), ("L1", "L2", "L3")])]
    count, step_s = rng.choice([100, 200, 600]), rng.choice([60, 300, 300, 900])
    first_s = START_S + rng.randrange(900)
    times = [first_s]
    for _ in range(count - 1):
        usual = rng.random() > 0.003
        times.append(times[-1] + (step_s if usual else rng.choice([1200, 8_000, 50_000])))
    registers: dict[tuple[str, str], list[Row]] = {}
    for phase in phases:
        for name in STREAMS[kind]:
            source = "eim" if name == "total consumption" and rng.random() < 0.5 else "ct"
            registers[name, phase] = _along(rng, times, source, name)
    for key in list(registers):
        misery = rng.random()
        if misery < 0.25:
            _spoil(rng, registers[key])
        elif misery < 0.45:
            first, many = rng.randrange(count), rng.choice([5, 30, 100, count])
            del registers[key][first : first + many]
            if not registers[key]:
                del registers[key]
    net_power = {}
    if kind == "total" and rng.random() < 0.7:
        for phase in phases:
            net_power[phase] = [
                (at_s, rng.choice([-2000.0, 300.0, 900.0]) if rng.random() > 0.01 else 9e4) for at_s in times
            ]
    registers = {
        key: [row._replace(value_wh=round(row.value_wh, 3)) for row in rows] for key, rows in registers.items()
    }
    until_s = times[-1] + rng.choice([0, 100_000, 1_000_000])
    window_s = max(rng.choice([20_000, 86_400, 2 * 86_400]), (until_s - START_S) // 8)
    peak_power_w = rng.choice([5000.0, None])
    return Site(registers, net_power, peak_power_w, 900, until_s, window_s)


def _along(rng: random.Random, times: list[int], source: str, name: str) -> list[Row]:
    rows, power_w, value_wh = [], 0, rng.choice([40_000.0, 900_000.0])
    before_s = times[0]
    for at_s in times:
        if rng.random() < 0.03:
            power_w = rng.choice(POWERS_W) if name != "standby" else 0
        value_wh += power_w * (at_s - before_s) / 3600
        before_s = at_s
        rows.append(Row(at_s, value_wh, float(power_w), source))
    return rows


@dataclass(frozen=True, slots=True)
class Unit:
    """An inverter: what its register read, or else what it reported of each interval."""

    rows: list[Row]
    reports: list[tuple[int, float | None, float | None, int | None]]
    until_s: int


def inverter(seed: int) -> Unit:
    """Return a random inverter that reports by day."""
    rng = random.Random(seed)
    step_s = rng.choice([300, 900])
    value_wh, at_s = rng.choice([0.0, 40_000.0, 1_192_000.0]), START_S + rng.randrange(900)
    rows: list[Row] = []
    for _ in range(rng.choice([40, 200, 500])):
        at_s += step_s if rng.random() > 0.03 else rng.choice([600, 2700, 40_000, 100_000])
        value_wh += rng.choice([0, 20, 70])
        rows.append(Row(at_s, value_wh, None, "device"))
    for _ in range(rng.choice([0, 1, 2])):
        _spoil(rng, rows, ("wrap", "dip", "zero", "spike", "reset", "small fall"))
    intervals = rng.choice([(None,), (step_s,), (step_s, step_s, step_s + 100, None)])
    reports = [
        (
            row.at_s,
            rng.choice([0.0, 50.0, 200.0, 250.0, 1_600.0, None]),
            rng.choice([None, None, 20.0, 500.0]),
            rng.choice(intervals),
        )
        for row in rows
    ]
    return Unit(rows, reports, at_s + rng.choice([0, 400_000]))
