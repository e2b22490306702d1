"""Laws of contract section 5 on single registers."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logger.clock import QUARTER_S
from logger.ledger.curve import Anchor, Curve, Readings, Tie
from logger.ledger.inverter import measured_s
from logger.ledger.limits import WRAP_MWH, Limits, Stream, limits_of
from logger.ledger.register import read_register
from tests.ledger.agreement import settled_before

START_S = 1_772_323_200  # 2026-03-01 00:00:00 UTC
LIMITS = Limits(peak_w=5_000)


def readings(points: list[tuple[int, float]], source: str = "ct", power_w: float | None = 0.0) -> Readings:
    found = Readings()
    for at_s, value_wh in points:
        found.extend(source, [START_S + at_s], [value_wh], [power_w])
    return found


def read(found: Readings, *, limits: Limits = LIMITS, gap_s: int = 900) -> Curve:
    until_s = found.at_s[-1] + 100_000
    since_s = found.at_s[0] // QUARTER_S * QUARTER_S
    return read_register(found, None, limits, since_s=since_s, until_s=until_s, gap_s=gap_s)


def quarters(curve: Curve) -> range:
    end_s = curve.last_s + QUARTER_S - curve.last_s % QUARTER_S
    return range(curve.since_s, end_s + 1, QUARTER_S)


def energy(curve: Curve) -> dict[int, int]:
    """What each quarter hour is known to hold, but for nothing."""
    pairs = zip(quarters(curve), curve.energy(quarters(curve)), strict=False)
    return {start_s: mwh for start_s, mwh in pairs if mwh}


def total_wh(curve: Curve) -> float:
    return sum(energy(curve).values()) / 1000


def kinds(curve: Curve) -> list[str]:
    return [event.kind for event in curve.events]


def every_minute(values_wh: list[float]) -> list[tuple[int, float]]:
    return [(60 * i, value) for i, value in enumerate(values_wh)]


def test_a_rising_register_gives_last_minus_first() -> None:
    result = read(readings(every_minute([1000.0, 1010.5, 1020.25, 1020.25])))
    assert total_wh(result) == 20.25
    assert result.events == []


def test_a_register_that_breaks_at_every_reading_costs_each_of_them_the_same() -> None:
    def lines_run(count: int) -> int:
        lines = 0

        def traced(_frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal lines
            lines += event == "line"
            return traced

        found = readings(every_minute([1e6 + 83 * i for i in range(count)]))
        before = sys.gettrace()
        sys.settrace(traced)
        try:
            result = read(found, limits=Limits(peak_w=500))
        finally:
            sys.settrace(before)
        assert kinds(result) == ["suspect_increment"] * (count - 1)
        return lines

    # Each looks at up to six hours of those after it: more than that here would be their square.
    assert lines_run(160) < 5 * lines_run(80)


def test_a_step_over_a_boundary_is_shared_by_time() -> None:
    result = read(readings([(840, 1000.0), (960, 1010.0)]))
    assert {s - START_S: e for s, e in energy(result).items()} == {0: 5000, 900: 5000}


def test_a_gap_keeps_its_energy_and_loses_its_coverage() -> None:
    result = read(readings([(0, 0.0), (60, 50.0), (7260, 2050.0), (7320, 2100.0)]))
    assert total_wh(result) == 2100.0
    assert sum(result.bridged(quarters(result))) == 2_000_000
    assert measured_s(result, quarters(result)) == [60, *[0] * 7, 60]


def test_a_wrap_of_the_joule_counter_is_put_back() -> None:
    before, after = 1_193_040.0, 1_193_040.0 + 50 - WRAP_MWH / 1000
    result = read(readings(every_minute([before, after, after + 50]), source="inverters"))
    assert total_wh(result) == 100.0
    assert kinds(result) == ["counter_wrap"]


def test_several_wraps_at_once_are_put_back() -> None:
    before = 5_000_000.0
    after = before + 60 - 3 * WRAP_MWH / 1000
    result = read(readings(every_minute([before, after]), source="v1"))
    assert total_wh(result) == 60.0


def test_a_ct_never_wraps_so_its_fall_is_a_reset() -> None:
    before = 1_193_040.0
    result = read(readings(every_minute([before, 3.0, 53.0])))
    assert total_wh(result) == 50.0
    assert kinds(result) == ["counter_reset"]


def test_a_dip_that_recovers_is_an_erroneous_read() -> None:
    result = read(readings(every_minute([9000.0, 9050.0, 12.0, 9150.0, 9200.0])))
    assert total_wh(result) == 200.0
    assert kinds(result) == ["counter_dip"]


def test_a_dip_of_many_polls_that_recovers_is_erroneous_reads() -> None:
    values = [90_000.0, 90_050.0, *[0.0] * 30, 90_050.0 + 31 * 50]
    result = read(readings(every_minute(values)))
    assert total_wh(result) == 50 + 31 * 50
    assert kinds(result) == ["counter_dip"]


def test_a_small_register_that_climbs_past_its_old_value_was_reset() -> None:
    values = [900.0, *[50.0 * i for i in range(40)]]
    result = read(readings(every_minute(values), power_w=3000.0))
    assert kinds(result) == ["counter_reset"]
    assert total_wh(result) == 39 * 50


def test_a_spike_that_returns_is_an_erroneous_read() -> None:
    result = read(readings(every_minute([9000.0, 9050.0, 4_000_000.0, 9150.0])))
    assert total_wh(result) == 150.0
    assert kinds(result) == ["counter_dip"]


def test_a_small_register_that_dips_for_many_polls_is_erroneous_reads() -> None:
    values = [900.0, *[0.0] * 9, 900.0 + 10 * 20]
    result = read(readings(every_minute(values), power_w=1200.0))
    assert kinds(result) == ["counter_dip"]
    assert total_wh(result) == 200.0


def test_a_small_spike_that_power_does_not_explain_is_an_erroneous_read() -> None:
    limits = Limits(floor_w=50_000, learned_floor_w=50_000)
    values = [9000.0 + 10 * i for i in range(40)]
    for many in (1, 5):
        spiked = [v + 700 if 20 <= i < 20 + many else v for i, v in enumerate(values)]
        result = read(readings(every_minute(spiked), power_w=600.0), limits=limits)
        assert kinds(result) == ["counter_dip"]
        assert total_wh(result) == 390.0


def test_a_burst_that_power_does_not_explain_but_that_stays_is_energy() -> None:
    limits = Limits(floor_w=50_000, learned_floor_w=50_000)
    values = [9000.0 + 10 * i + (700 if i >= 20 else 0) for i in range(40)]
    result = read(readings(every_minute(values), power_w=600.0), limits=limits)
    assert (kinds(result), total_wh(result)) == ([], 390.0 + 700)


def test_a_fall_of_more_than_rounding_is_a_reset_and_what_follows_counts() -> None:
    values = [9000.0 + 10 * i - (300 if i >= 20 else 0) for i in range(40)]
    result = read(readings(every_minute(values), power_w=600.0))
    assert (kinds(result), total_wh(result)) == (["counter_reset"], 380.0)


def test_a_wrap_with_more_than_the_site_can_make_is_reported_and_not_counted() -> None:
    before, after = 1_193_040.0, 1_193_040.0 + 5_000 - WRAP_MWH / 1000
    result = read(readings(every_minute([before, after, after + 50]), source="inverters"))
    assert total_wh(result) == 50.0
    assert kinds(result) == ["counter_wrap", "suspect_increment"]


def test_a_jump_faster_than_the_site_can_is_not_added() -> None:
    result = read(readings(every_minute([9000.0, 9050.0, 59_100.0, 59_150.0])))
    assert total_wh(result) == 100.0
    assert kinds(result) == ["suspect_increment"]


def test_a_change_of_source_never_joins_two_registers() -> None:
    found = readings(every_minute([9000.0, 9050.0]))
    for i, value in enumerate([700_000.0, 700_040.0]):
        found.extend("inverters", [START_S + 120 + 60 * i], [value], [0.0])
    result = read(found)
    assert total_wh(result) == 90.0
    assert kinds(result) == ["source_change"]


def test_one_poll_of_another_source_changes_nothing() -> None:
    found = readings(every_minute([9000.0, 9050.0]))
    found.extend("inverters", [START_S + 120], [700_000.0], [0.0])
    found.extend("ct", [START_S + 180], [9150.0], [0.0])
    result = read(found)
    assert total_wh(result) == 150.0
    assert kinds(result) == ["counter_dip"]


def test_a_register_that_stood_still_is_bridged_and_not_covered() -> None:
    values = [1000.0, 1050.0, *[1050.0] * 180, 1050.0 + 181 * 30]
    result = read(readings(every_minute(values), power_w=1800.0))
    assert total_wh(result) == 50 + 181 * 30
    assert kinds(result) == ["stalled_counter"]
    assert sum(result.bridged(quarters(result))) == 181 * 30_000
    assert sum(measured_s(result, quarters(result))) == 60


def test_a_register_is_stuck_once_it_stands_still_for_more_than_two_hours() -> None:
    for minutes, kind in ((120, []), (121, ["stalled_counter"])):
        values = [1000.0, 1050.0, *[1050.0] * minutes, 1050.0 + minutes * 30]
        result = read(readings(every_minute(values), power_w=1800.0))
        assert (kinds(result), total_wh(result)) == (kind, 50 + minutes * 30)


def test_a_register_under_little_power_is_not_stuck() -> None:
    values = [1000.0, 1050.0, *[1050.0] * 300, 1060.0]
    for power_w, kind in ((50.0, []), (51.0, ["stalled_counter"]), (None, [])):
        assert kinds(read(readings(every_minute(values), power_w=power_w))) == kind


def test_rounding_down_by_a_watt_hour_is_neither_energy_nor_an_event() -> None:
    result = read(readings(every_minute([1000.0, 1010.0, 1009.0, 1011.0]), source="v1"))
    assert total_wh(result) == 11.0
    assert result.events == []


def test_a_night_of_nothing_then_a_first_step_is_normal() -> None:
    values = [1000.0] * 600 + [1001.0, 1002.0]
    result = read(readings(every_minute(values), source="v1"))
    assert total_wh(result) == 2.0
    assert result.events == []


STEPS = st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 1.3)), min_size=1, max_size=120)


def walk(steps: list[tuple[int, float]], start_wh: float = 40_000.0) -> list[tuple[int, float]]:
    """A physical register: each step at most 1.3 of the site's peak."""
    at_s, value, points = 0, start_wh, [(0, start_wh)]
    for dt, share in steps:
        at_s += dt
        value = round(value + share * 5_000 * dt / 3600, 3)
        points.append((at_s, value))
    return points


@given(STEPS)
def test_energy_is_conserved_however_the_samples_fall(steps: list[tuple[int, float]]) -> None:
    points = walk(steps)
    result = read(readings(points))
    assert sum(energy(result).values()) == round((points[-1][1] - points[0][1]) * 1000)
    assert all(mwh >= 0 for mwh in energy(result).values())


@given(STEPS, st.data())
def test_thinning_the_polls_changes_no_total(steps: list[tuple[int, float]], data: st.DataObject) -> None:
    points = walk(steps)
    inner = points[1:-1]
    keep = data.draw(st.lists(st.booleans(), min_size=len(inner), max_size=len(inner)))
    thin = [points[0], *(p for p, k in zip(inner, keep, strict=True) if k), points[-1]]
    whole, thinned = read(readings(points)), read(readings(thin))
    assert sum(energy(whole).values()) == sum(energy(thinned).values())


@given(STEPS, st.integers(0, 119), st.integers(1, 4))
def test_a_wrap_anywhere_changes_no_quarter_hour(steps: list[tuple[int, float]], where: int, wraps: int) -> None:
    points = walk(steps, start_wh=8_000_000.0)
    cut = min(where, len(points) - 1) + 1
    wrapped = points[:cut] + [(t, v - wraps * WRAP_MWH / 1000) for t, v in points[cut:]]
    plain = read(readings(points, source="inverters"))
    put_back = read(readings(wrapped, source="inverters"))
    assert energy(plain) == energy(put_back)


@given(STEPS, st.data())
@settings(max_examples=300)
@example([(60, 0.5)] * 40, None)
def test_reading_on_from_an_anchor_equals_reading_at_once(
    steps: list[tuple[int, float]], data: st.DataObject | None
) -> None:
    points = walk(steps)
    if data is not None:
        for spot in data.draw(st.lists(st.integers(1, len(points) - 1), max_size=4)):
            at_s, value = points[spot]
            change = data.draw(st.sampled_from([-39_000.0, 500_000.0, -3.0, -500.0, 900.0, -1e9]))
            many = data.draw(st.sampled_from([1, 1, 5, 20, 1000]))
            for i in range(spot, min(spot + many, len(points))):
                points[i] = (points[i][0], max(0.0, points[i][1] + change))
            del at_s, value
    power_w = None if data is None else data.draw(st.sampled_from([0.0, 2_000.0, None]))
    found = readings(points, power_w=power_w)
    whole = read(found)
    pieces: dict[int, int] = {}
    events: list[tuple[int, str]] = []
    anchor, since_s = None, START_S
    for upto in range(1, len(points) + 1):
        until_s = found.at_s[upto - 1]
        if upto == len(points):
            until_s += 100_000
        part = Readings(*(getattr(found, name)[:upto] for name in found.__slots__))
        result = read_register(part, anchor, LIMITS, since_s=since_s, until_s=until_s, gap_s=900)
        pieces = {s: e for s, e in pieces.items() if s < since_s} | energy(result)
        events = [e for e in events if e[0] <= since_s] + [(e[0], e[1]) for e in result.events]
        settled_s = min(result.last_s, result.last_s if result.open_s is None else result.open_s)
        settled_s = settled_before(result.whole_s, settled_s // QUARTER_S * QUARTER_S)
        if settled_s > since_s:
            anchor, since_s = result.anchor_at(settled_s), settled_s
    assert pieces == energy(whole)
    assert sorted(events) == sorted((e[0], e[1]) for e in whole.events)


def test_zeros_before_a_silence_are_erroneous_reads_on_a_young_counter_too() -> None:
    """100 kWh so far, 500 W; the gateway boots, gives 0 twice, and is silent for four hours."""
    step_wh = 500 / 12
    usual = [(300 * n, 100_000.0 + step_wh * n) for n in range(290)]
    zeros = [(at_s, 0.0) for at_s, _ in usual[100:102]]
    found = readings(usual[:100] + zeros + usual[150:], power_w=500.0)
    result = read(found, limits=Limits(floor_w=50_000, learned_floor_w=50_000))
    assert total_wh(result) == pytest.approx(step_wh * 289, abs=0.01)
    assert kinds(result) == ["counter_dip"]


def test_a_register_that_was_reset_in_a_silence_counts_on_from_there() -> None:
    usual = [(300 * n, 100_000.0 + 40.0 * n) for n in range(100)]
    after = [(300 * n, 40.0 * (n - 100)) for n in range(100, 160)]
    result = read(readings(usual + after[:3] + after[50:], power_w=500.0), gap_s=900)
    assert total_wh(result) == pytest.approx(40.0 * (99 + 59), abs=0.01)
    assert kinds(result) == ["counter_reset"]


@pytest.mark.parametrize("hours", [7, 20, 100])
def test_zeros_of_any_length_are_erroneous_when_the_register_goes_on_after_them(hours: int) -> None:
    usual = [(300 * n, 300_000.0 + 40.0 * n) for n in range(12 * hours + 200)]
    zeros = [(at_s, 0.0) for at_s, _ in usual[100 : 100 + 12 * hours]]
    found = readings(usual[:100] + zeros + usual[100 + 12 * hours :], power_w=480.0)
    result = read(found)
    assert total_wh(result) == usual[-1][1] - usual[0][1]
    assert kinds(result) == ["counter_dip"]


def test_a_register_that_counts_on_from_zero_was_reset_however_late() -> None:
    usual = [(300 * n, 300_000.0 + 40.0 * n) for n in range(100)]
    after = [(300 * n, max(0.0, 40.0 * (n - 300))) for n in range(100, 400)]
    result = read(readings(usual + after, power_w=0.0))
    assert total_wh(result) == 40.0 * (99 + 99)
    assert kinds(result) == ["counter_reset"]


def test_a_register_that_first_reads_zero_brings_no_lifetime_later() -> None:
    zeros = [(300 * n, 0.0) for n in range(100)]
    after = [(300 * n, 30_000.0 + 40.0 * n) for n in range(100, 200)]
    result = read(readings(zeros + after, power_w=480.0))
    assert total_wh(result) == 40.0 * 99
    assert kinds(result) == ["suspect_increment"]


def test_power_the_other_way_does_not_explain_that_a_register_grew_back() -> None:
    """What inverters draw at night, 737 Wh so far, reads half of that at noon for a while."""
    points = [(300 * n, 368.0 if 20 <= n < 26 else 737.0) for n in range(60)]
    result = read(readings(points, power_w=-3_000.0), limits=Limits(5_000, 2_000))
    assert total_wh(result) == 0
    assert kinds(result) == ["counter_dip"]


def test_what_a_gateway_computes_may_fall_by_what_it_counts_in_that_time() -> None:
    """10 kW in a quarter hour; it may fall by 10 kW x 60 s = 167 Wh, a CT by 5 Wh."""
    for source, fall_wh, kind in (
        ("eim", 166.0, []),
        ("eim", 168.0, ["counter_reset"]),
        ("ct", 4.0, []),
        ("ct", 6.0, ["counter_reset"]),
    ):
        values = [9000.0 + 10_000 / 60 * min(i, 15) - fall_wh * (i > 30) for i in range(60)]
        limits = Limits(floor_w=50_000, learned_floor_w=50_000, is_computed=True)
        result = read(readings(every_minute(values), source=source), limits=limits)
        assert (kinds(result), total_wh(result)) == (kind, 2500.0)


def test_an_unknown_peak_is_learned_from_the_register_after_a_week() -> None:
    """Eight days of 1 kW: 10 kW at most; with 8 kW once, 32 kW are possible."""
    for most_w, believed_w in ((1_000, 10_000), (8_000, 32_000)):
        for jump_w, kind in ((believed_w - 10, []), (believed_w + 10, ["suspect_increment"])):
            values = [100_000.0]
            for n in range(8 * 96):
                values.append(values[-1] + (most_w if n == 400 else 1_000) / 4)
            values.append(values[-1] + jump_w / 4 * (900 + 60) / 900)
            points = [(900 * n, value) for n, value in enumerate(values)]
            result = read(readings(points, power_w=None), limits=Limits())
            assert kinds(result) == kind


def test_power_is_a_witness_where_no_peak_is_known() -> None:
    values = [100_000.0 + 250 * n for n in range(8 * 96)]
    values += [values[-1] + 5_000]
    points = [(900 * n, value) for n, value in enumerate(values)]
    for power_w, kind in ((13_400.0, []), (13_200.0, ["suspect_increment"])):
        found = readings(points, power_w=1_000.0)
        found.power_w[-1] = power_w
        assert kinds(read(found, limits=Limits())) == kind
    found.power_w[-2:] = [13_400.0, 1_000.0]
    assert kinds(read(found, limits=Limits())) == []
    # What comes after is no witness.
    found = readings([*points, (900 * len(points), values[-1] + 250)], power_w=1_000.0)
    found.power_w[-1] = 13_400.0
    assert kinds(read(found, limits=Limits())) == ["suspect_increment"]


def test_a_register_that_rested_may_count_more_at_once() -> None:
    """It moved an hour ago, so that an hour's worth may come in one minute."""
    for minutes, kind in ((58, []), (50, ["suspect_increment"])):
        values = [9000.0, 9050.0] + [9050.0] * minutes + [9050.0 + 7_500 * 59 / 60]
        assert kinds(read(readings(every_minute(values), power_w=None))) == kind


def test_an_anchor_has_when_it_grew_and_since_when_it_is_flat() -> None:
    values = [1000.0, 1050.0, *[1050.0] * 40]
    found = readings(every_minute(values), power_w=1800.0)
    found.power_w[20] = 30.0
    curve = read(found)
    anchor = curve.anchor_at(START_S + 1800)
    assert anchor is not None
    assert anchor.at_s - START_S == 1800
    assert anchor.last_increase_s - START_S == 60
    assert anchor.flat_since_s - START_S == 1200
    assert anchor.max_quarter_mwh == 50_000
    assert (anchor.value_mwh, anchor.below_high_mwh, anchor.power_w) == (1_050_000, 0, 1800.0)
    assert curve.anchor_at(START_S - 1) is None
    assert curve.open_s == START_S + 1200


def test_what_lies_below_the_highest_is_made_up_before_it_counts_again() -> None:
    """Also across a window, and after a new segment."""
    points = every_minute([1000.0, 1004.0, 1002.0, 1003.0, 1005.0])
    curve = read(readings(points))
    assert total_wh(curve) == 5.0
    anchor = curve.anchor_at(START_S + 120)
    assert anchor is not None
    assert anchor.below_high_mwh == 2_000
    later = read_register(readings(points[3:]), anchor, LIMITS, since_s=START_S, until_s=START_S + 900)
    assert total_wh(later) == 1.0
    reset = read(readings(every_minute([9000.0, 0.0, 4.0, 2.0, 5.0])))
    assert total_wh(reset) == 5.0
    anchor = reset.anchor_at(START_S + 180)
    assert anchor is not None
    assert (anchor.value_mwh, anchor.below_high_mwh) == (2_000, 2_000)


def test_within_a_break_nothing_is_known_and_around_it_what_was_counted() -> None:
    points = [(0, 9000.0), (600, 9010.0), (3000, 0.0), (3300, 10.0)]
    curve = read(readings(points), gap_s=5000)
    assert kinds(curve) == ["counter_reset"]
    assert curve.energy(quarters(curve)) == [10_000, None, None, 10_000]
    assert curve.stretches_s(Tie.BROKEN) == [(START_S + 600, START_S + 3000)]


def test_a_gap_teaches_nothing_of_what_is_possible() -> None:
    curve = read(readings([(0, 0.0), (900, 10.0), (4500, 4000.0), (5400, 4020.0)]))
    assert curve.max_quarter_mwh(START_S + 900) == 10_000
    assert curve.max_quarter_mwh(START_S + 4500) == 10_000
    assert curve.max_quarter_mwh(START_S + 5400) == 20_000


def test_energy_may_be_asked_between_any_instants() -> None:
    curve = read(readings([(0, 0.0), (600, 60.0), (1200, 60.0), (1800, 180.0)], power_w=None))
    edges = [START_S + at_s for at_s in (-700, -100, 300, 600, 1500, 1800, 2400)]
    assert curve.energy(edges) == [None, 30_000, 30_000, 60_000, 60_000, None]
    assert measured_s(curve, edges) == [0, 300, 300, 900, 300, 0]
    assert curve.bridged(edges) == [0] * 6


def test_a_bridge_is_shared_by_time_between_any_instants() -> None:
    curve = read(readings([(0, 0.0), (600, 60.0), (1800, 180.0), (2400, 190.0)]))
    edges = [START_S + at_s for at_s in (0, 900, 1200, 2400)]
    assert curve.bridged(edges) == [30_000, 30_000, 60_000]
    assert curve.energy(edges) == [90_000, 30_000, 70_000]
    assert curve.gaps_s == curve.whole_s == [(START_S + 600, START_S + 1800)]


def test_what_is_open_is_what_the_next_readings_may_change() -> None:
    """A reset may be a dip until six hours have passed, a spike that stays may fall back."""
    for until_s, open_s in ((6 * 3600 + 120, None), (6 * 3600 + 119, START_S + 60)):
        found = readings(every_minute([9000.0, 9010.0, 20.0]))
        curve = read_register(found, None, LIMITS, since_s=START_S, until_s=START_S + until_s)
        assert (kinds(curve), curve.open_s) == (["counter_reset"], open_s)
        limits = Limits(floor_w=50_000, learned_floor_w=50_000)
        found = readings(every_minute([9000.0, 9010.0, 9710.0]), power_w=10.0)
        curve = read_register(found, None, limits, since_s=START_S, until_s=START_S + until_s)
        assert (kinds(curve), curve.open_s) == ([], open_s)


def test_a_step_at_which_a_register_was_left_out_is_not_cut() -> None:
    curve = read(readings(every_minute([9000.0, 9050.0, 12.0, 9150.0])))
    assert curve.whole_s == [(START_S + 60, START_S + 180)]
    anew = read(readings(every_minute([9000.0, 9050.0, 12.0, 13.0])))
    assert anew.whole_s == [(START_S + 60, START_S + 120 - 1 + QUARTER_S)]


def test_a_source_with_other_counts_for_two_polls_is_another_register() -> None:
    found = readings(every_minute([9000.0, 9050.0]))
    found.extend("inverters", [START_S + 120, START_S + 180], [700_000.0, 700_010.0], [0.0, 0.0])
    found.extend("ct", [START_S + 240], [9150.0], [0.0])
    result = read(found)
    assert (kinds(result), total_wh(result)) == (["source_change", "source_change"], 60.0)


@pytest.mark.parametrize(
    ("source", "more_wh", "kind"),
    [
        ("device", 390.0, ["counter_wrap"]),
        ("device", 410.0, ["counter_reset"]),
        ("inverters", 410.0, ["counter_wrap", "suspect_increment"]),
        ("inverters", 19_900.0, ["counter_wrap", "suspect_increment"]),
        ("inverters", 20_100.0, ["counter_reset"]),
    ],
)
def test_a_wrap_leaves_no_more_than_was_made_but_for_the_sum_of_many(
    source: str, more_wh: float, kind: list[str]
) -> None:
    """1 500 W for a minute and the quarter hour by which reports may be late are 400 Wh."""
    limits = Limits(floor_w=1_500, learned_floor_w=1_000)
    after = 1_193_040.0 + more_wh - WRAP_MWH / 1000
    result = read(readings(every_minute([1_193_040.0, after]), source=source), limits=limits)
    assert kinds(result) == kind


def test_time_that_only_erroneous_reads_fill_is_a_gap() -> None:
    values = [9000.0, 9050.0, *[12.0] * 4, 9300.0, 9350.0]
    curve = read(readings([(300 * n, value) for n, value in enumerate(values)]))
    assert kinds(curve) == ["counter_dip"]
    assert curve.gaps_s == [(START_S + 300, START_S + 1800)]
    assert sum(curve.bridged(quarters(curve))) == 250_000


def test_several_wraps_with_more_than_can_be_made_are_reported_as_one_would_be() -> None:
    after = 5_000_000.0 + 5_000 - 2 * WRAP_MWH / 1000
    result = read(readings(every_minute([5_000_000.0, after, after + 50]), source="v1"))
    assert (kinds(result), total_wh(result)) == (["counter_wrap", "suspect_increment"], 50.0)


@pytest.mark.parametrize(("step_wh", "kind"), [(7_625.0, []), (7_625.1, ["suspect_increment"])])
def test_a_long_rest_allows_what_an_hour_does(step_wh: float, kind: list[str]) -> None:
    """7 500 W for an hour, and for the minute by which a reading may be late."""
    values = [9000.0] * 120 + [9000.0 + step_wh]
    assert kinds(read(readings(every_minute(values), power_w=None))) == kind


def test_only_what_the_gateway_computes_may_fall_and_standby_and_production_are_small() -> None:
    assert limits_of(Stream.CONSUMPTION_CT, None).is_computed
    assert not limits_of(Stream.IMPORT, None).is_computed
    assert limits_of(Stream.STANDBY, 5_000).power_w(0, 10**6) == 2_000
    assert limits_of(Stream.PRODUCTION, 5_000).power_w(10**9, 0) == 7_500
    assert limits_of(Stream.EXPORT, 5_000).power_w(0, 0) == 50_000


def test_a_quarter_hour_that_ends_where_a_gap_begins_teaches_what_is_possible() -> None:
    curve = read(readings([(0, 0.0), (900, 10.0), (4500, 20.0), (5400, 25.0)]))
    assert [curve.max_quarter_mwh(START_S + at_s) for at_s in (900, 4500, 5400)] == [10_000] * 3


def test_reads_that_a_checkpoint_of_version_0_1_knows_to_be_erroneous_are_left_out() -> None:
    """Alone they would look like a reset."""
    at_s, until_s = START_S + 60, START_S + 180
    anchor = Anchor("ct", at_s, 9_050_000, 0.0, 0, at_s, at_s, START_S, 50_000, until_s)
    found = readings([(120, 8000.0), (180, 8050.0), (240, 9150.0), (300, 9200.0)])
    curve = read_register(found, anchor, LIMITS, since_s=START_S, until_s=START_S + 300)
    assert (kinds(curve), total_wh(curve)) == (["counter_dip"], 150.0)
    assert curve.whole_s == [(at_s, START_S + 240)]
    alone = readings([(120, 8000.0), (180, 8050.0)])
    curve = read_register(alone, anchor, LIMITS, since_s=START_S, until_s=START_S + 180)
    assert (kinds(curve), total_wh(curve), curve.last_s) == (["counter_dip"], 0.0, at_s)
