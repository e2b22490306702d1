"""An increment is judged by the power on both sides of it, and by what the site can do in that time."""

import math
import random
from dataclasses import dataclass, field
from functools import lru_cache

import pytest

from logger.ledger.curve import Anchor, Decision, Readings
from logger.ledger.flows import settle
from logger.ledger.limits import Stream, StreamKey
from logger.ledger.possible import power_made

START_S = 1_772_323_200  # 2026-03-01 00:00:00 UTC
DAY_S = 86_400
HOUR_S = 3_600
TICK_S = 10
NIGHT_S = START_S + DAY_S + 23 * HOUR_S
NOON_S = START_S + DAY_S + 12 * HOUR_S


@dataclass
class House:
    """Registers of a house by stream: by instant their Wh and the power at that instant."""

    rows: dict[Stream, list[tuple[int, float, float | None]]] = field(default_factory=dict)

    def registers(self, step_s: int, source: str = "ct") -> dict[StreamKey, Readings]:
        found: dict[StreamKey, Readings] = {}
        for stream, rows in self.rows.items():
            polls = rows[:: step_s // TICK_S]
            readings = found[stream, "total"] = Readings()
            of = source if stream is Stream.PRODUCTION else "ct"
            readings.extend(of, [row[0] for row in polls], [row[1] for row in polls], [row[2] for row in polls])
        return found


@lru_cache
def house(seed: int = 1, days: int = 2, *, has_battery: bool = False) -> House:
    """A sun with clouds, kettles, and a wallbox that draws 22 kW for less than a minute; 6 kW of panels."""
    rng, found, cloud, used_w, until_s = random.Random(seed), House(), 1.0, 300.0, 0
    counted = dict.fromkeys(Stream, 40_000.0)
    for at_s in range(START_S, START_S + days * DAY_S + 1, TICK_S):
        hour = at_s % DAY_S / HOUR_S
        if rng.random() < 0.02:
            cloud = rng.choice([0.02, 0.3, 1.0])
        if at_s >= until_s and rng.random() < 0.01:
            used_w, over_s = rng.choice([(2_300.0, 180), (22_000.0, 50), (300.0, 600), (300.0, 3_000)])
            until_s = at_s + over_s
        if at_s >= until_s:
            used_w = 300.0
        made_w = cloud * max(0.0, 6_000 * math.sin((hour - 6) / 12 * math.pi)) if 6 < hour < 18 else -4.0
        net_w = used_w - made_w
        battery_w = max(-3_000.0, min(3_000.0, net_w)) if has_battery else 0.0
        net_w -= battery_w
        powers_w = {
            Stream.PRODUCTION: made_w, Stream.STANDBY: -made_w, Stream.IMPORT: net_w, Stream.EXPORT: -net_w,
        }  # fmt: skip
        if has_battery:
            powers_w |= {Stream.DISCHARGE: battery_w, Stream.CHARGE: -battery_w}
        else:
            powers_w |= {Stream.CONSUMPTION_CT: used_w}
        for stream, power_w in powers_w.items():
            counted[stream] += max(0.0, power_w) * TICK_S / HOUR_S
            found.rows.setdefault(stream, []).append((at_s, round(counted[stream], 3), power_w))
    return found


def decided(
    registers: dict[StreamKey, Readings], peak_power_w: float | None = 6_000.0, window_s: int = 10 * DAY_S
) -> list[Decision]:
    """Return what is decided of registers, read window by window."""
    anchors: dict[StreamKey, Anchor] = {}
    since_s, until_s, end_s = START_S, START_S, max(readings.at_s[-1] for readings in registers.values())
    decisions: list[Decision] = []
    while until_s < end_s:
        until_s = min(end_s, until_s + window_s)
        part = {key: _between(readings, since_s if anchors else 0, until_s) for key, readings in registers.items()}
        part = {key: readings for key, readings in part.items() if readings.at_s}
        found = settle(
            part, {}, anchors, since_s=since_s, until_s=until_s, gap_s=900, peak_power_w=peak_power_w, is_balanced=True
        )
        decisions = [decision for decision in decisions if decision.at_s <= since_s] + found.decisions
        if found.settled_s > since_s:
            anchors, since_s = found.anchors, found.settled_s
    return decisions


def _between(readings: Readings, after_s: int, until_s: int) -> Readings:
    within = [i for i, at_s in enumerate(readings.at_s) if after_s < at_s <= until_s]
    names = ("at_s", "value_mwh", "power_w", "source")
    return Readings(*([getattr(readings, name)[i] for i in within] for name in names))


def jumped(readings: Readings, at_s: int, by_wh: float) -> None:
    for i, instant_s in enumerate(readings.at_s):
        if instant_s >= at_s:
            readings.value_mwh[i] += int(by_wh * 1000)


@pytest.mark.parametrize("has_battery", [False, True])
@pytest.mark.parametrize("step_s", [60, 300, 900])
@pytest.mark.parametrize("peak_power_w", [6_000.0, None])
def test_a_clean_house_counts_nothing_suspect(step_s: int, peak_power_w: float | None, *, has_battery: bool) -> None:
    assert decided(house(has_battery=has_battery).registers(step_s), peak_power_w) == []


@pytest.mark.parametrize("unknown", [0.02, 0.5, 1.0])
def test_a_clean_house_whose_power_is_not_always_known_counts_nothing_suspect(unknown: float) -> None:
    registers, rng = house().registers(60), random.Random(1)
    for readings in registers.values():
        readings.power_w = [None if rng.random() < unknown else power_w for power_w in readings.power_w]
    assert decided(registers) == []


@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_a_source_that_moves_in_steps_counts_nothing_suspect(minutes: int) -> None:
    """Polled each minute, it goes on every some minutes, in whole Wh; its power as well."""
    registers = house().registers(60, "v1")
    made = registers[Stream.PRODUCTION, "total"]
    shown = [i - i % minutes for i in range(len(made.at_s))]
    made.value_mwh = [made.value_mwh[i] // 1000 * 1000 for i in shown]
    made.power_w = [made.power_w[i] for i in shown]
    assert decided(registers) == []


@pytest.mark.parametrize("window_s", [10 * DAY_S, 7_000])
@pytest.mark.parametrize(
    ("stream", "at_s", "by_wh"),
    [
        (Stream.EXPORT, NIGHT_S, 300),
        (Stream.EXPORT, NIGHT_S, 40_000),
        (Stream.EXPORT, NOON_S, 400),
        (Stream.PRODUCTION, NIGHT_S, 300),
        (Stream.PRODUCTION, NIGHT_S, 7_000),
        (Stream.PRODUCTION, NOON_S, 700),
        (Stream.STANDBY, NIGHT_S, 300),
        (Stream.IMPORT, NIGHT_S, 1_000),
        (Stream.CONSUMPTION_CT, NOON_S, 1_000),
    ],
)
def test_a_jump_of_any_register_within_a_minute_is_suspect(
    stream: Stream, at_s: int, by_wh: float, window_s: int
) -> None:
    registers = house().registers(60)
    jumped(registers[stream, "total"], at_s, by_wh)
    (event,) = decided(registers, window_s=window_s)
    assert (event.kind, event.subject, event.at_s) == ("suspect_increment", f"{stream} total", at_s)


@pytest.mark.parametrize(("step_s", "by_wh"), [(60, 900), (300, 2_600)])
@pytest.mark.parametrize("stream", [Stream.CHARGE, Stream.DISCHARGE, Stream.EXPORT])
def test_a_jump_of_a_battery_is_suspect_and_where_there_is_one_export_may_come_from_it(
    stream: Stream, step_s: int, by_wh: float
) -> None:
    for more_wh, kinds in ((by_wh, ["suspect_increment"]), (by_wh / 2, [])):
        registers = house(has_battery=True).registers(step_s)
        jumped(registers[stream, "total"], NIGHT_S, more_wh)
        assert [event.kind for event in decided(registers)] == kinds


@pytest.mark.parametrize("step_s", [300, 900])
@pytest.mark.parametrize("stream", [Stream.PRODUCTION, Stream.EXPORT])
def test_at_night_a_jump_of_800_wh_is_suspect_at_any_cadence_without_a_known_peak(stream: Stream, step_s: int) -> None:
    registers = house().registers(step_s)
    jumped(registers[stream, "total"], NIGHT_S, 800)
    assert [event.kind for event in decided(registers, None)] == ["suspect_increment"]


@pytest.mark.parametrize("window_s", [10 * DAY_S, 5_000])
@pytest.mark.parametrize(("hours", "by_night"), [(1, False), (1.9, False), (5, False), (5, True)])
def test_a_register_that_stood_still_may_catch_up_what_power_says_that_it_owes(
    hours: float, window_s: int, *, by_night: bool
) -> None:
    """Also at night, what it owes of the day; but not twice as much."""
    for more, kinds in ((0, set()), (20_000, {"suspect_increment"})):
        registers = house().registers(60)
        made = registers[Stream.PRODUCTION, "total"]
        end_s = START_S + DAY_S + int((20 if by_night else 14) * HOUR_S)
        still = [i for i, at_s in enumerate(made.at_s) if end_s - hours * HOUR_S <= at_s < end_s]
        for i in still:
            made.value_mwh[i] = made.value_mwh[still[0]]
        jumped(made, end_s, more)
        events = decided(registers, window_s=window_s)
        assert {event.kind for event in events} - {"stalled_counter"} == kinds


def test_export_comes_from_what_is_made_until_there_is_a_battery() -> None:
    production, discharge = Readings(), Readings()
    production.extend("ct", [30, 60, 90], [0.0] * 3, [5.0, None, 7.0])
    discharge.extend("ct", [90], [0.0], [0.0])
    anchors = {(Stream.PRODUCTION, "L1"): Anchor("ct", 10, 0, 3.0, 0, 10, 10, 10, 0)}
    registers = {(Stream.PRODUCTION, "L1"): production}
    assert power_made(registers, anchors, "L1") == {10: 3.0, 30: 5.0, 60: None, 90: 7.0}
    assert power_made(registers, anchors, "L2") == {}
    registers[Stream.DISCHARGE, "L1"] = discharge
    assert power_made(registers, anchors, "L1") == {10: 3.0, 30: 5.0, 60: None}
