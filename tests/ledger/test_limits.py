"""What a register can do: the limits of streams, and what one may have counted by a reading, to the mWh."""

from collections.abc import Mapping

import pytest

from logger.clock import QUARTER_S
from logger.ledger import register
from logger.ledger.curve import Curve, Readings, Step, Tie
from logger.ledger.limits import SLOW_SOURCES, WRAP_MWH, WRAPPING_SOURCES, Limits, Stream, limits_of
from logger.ledger.possible import Possible
from logger.ledger.register import read_register
from logger.ledger.turns import Absence

START_S = 1_772_323_200
WEEK_S = 7 * 86_400
HOURS_S = 6 * 3_600
#: at_s, mWh, W
Point = tuple[int, int, float | None]


def readings(points: list[Point], source: str = "ct") -> Readings:
    times, values, powers = [START_S + p[0] for p in points], [p[1] for p in points], [p[2] for p in points]
    return Readings(times, values, powers, [source] * len(points))


def read(
    points: list[Point], source: str = "ct", limits: Limits | None = None, *, until_s: int = WEEK_S, gap_s: int = 900
) -> Curve:
    limits = limits or limits_of(Stream.IMPORT, None)
    return read_register(
        readings(points, source), None, limits, since_s=START_S, until_s=START_S + until_s, gap_s=gap_s
    )


def seen(
    limits: Limits,
    before: list[Point],
    after: list[Point],
    source: str = "ct",
    made_w: Mapping[int, float | None] | None = None,
) -> Possible:
    """What is possible at the end of a curve, before some readings."""
    made_w = None if made_w is None else {START_S + at_s: power_w for at_s, power_w in made_w.items()}
    curve = read(before, source, limits)
    return Possible(limits, readings(before + after, source), curve, 900, made_w)


def kinds(curve: Curve) -> list[str]:
    return [event.kind for event in curve.events]


def test_a_joule_counter_of_32_bits_rolls_over_at_2_to_the_32() -> None:
    assert WRAP_MWH == 2**32 * 1000 // 3600
    assert sorted(WRAPPING_SOURCES) == ["device", "inverters", "v1"]
    assert sorted(SLOW_SOURCES - WRAPPING_SOURCES) == ["derived"]


def test_production_can_do_half_more_than_its_peak_power() -> None:
    limits = limits_of(Stream.PRODUCTION, 5_000)
    assert (limits.least_power_w, limits.power_w(10**9, 0), limits.unseen_w) == (7_500, 7_500, None)
    assert limits.needs_sun


def test_without_a_peak_power_a_register_can_do_much_for_a_week_and_then_four_times_its_most() -> None:
    limits = limits_of(Stream.PRODUCTION, None)
    assert (limits.least_power_w, limits.needs_sun) == (10_000, True)
    assert [limits.power_w(0, known_for_s) for known_for_s in (0, WEEK_S - 1, WEEK_S)] == [25_000, 25_000, 10_000]
    assert [limits.power_w(most, WEEK_S) for most in (625_000, 1_000_000)] == [10_000, 16_000]
    assert limits.power_w(2_000_000, 0) == 32_000
    assert Limits(floor_w=1_000, learned_floor_w=2_000).least_power_w == 1_000


def test_standby_can_do_5_kw_for_a_week_and_then_2() -> None:
    limits = limits_of(Stream.STANDBY, 9_000)
    assert [limits.power_w(0, known_for_s) for known_for_s in (WEEK_S - 1, WEEK_S)] == [5_000, 2_000]
    assert (limits.needs_sun, limits.is_computed, limits.unseen_w) == (False, False, None)


@pytest.mark.parametrize(
    "stream", [Stream.IMPORT, Stream.EXPORT, Stream.CONSUMPTION_CT, Stream.CHARGE, Stream.DISCHARGE]
)
def test_any_other_stream_can_do_50_kw_and_25_unseen_but_export_what_the_sun_can(stream: Stream) -> None:
    limits, is_export = limits_of(stream, 5_000), stream is Stream.EXPORT
    assert [limits.power_w(0, known_for_s) for known_for_s in (0, WEEK_S)] == [50_000, 50_000]
    assert limits.least_power_w == 50_000
    assert limits.unseen_w == (7_500 if is_export else 25_000)
    assert limits_of(stream, None).unseen_w == 25_000
    assert limits.needs_sun == is_export
    assert limits.is_computed == (stream is Stream.CONSUMPTION_CT)


GREW: list[Point] = [(0, 0, 600.0), (60, 10_000, 600.0)]


def test_the_power_at_both_ends_and_what_runs_unseen_is_possible_and_a_minute_more() -> None:
    limits = limits_of(Stream.IMPORT, None)
    assert seen(limits, GREW, [(120, 0, 900.0)]).allowed_mwh(2) == 25_900 * 120 * 10 // 36
    assert seen(limits, GREW, [(120, 0, 300.0)]).allowed_mwh(2) == 25_600 * 120 * 10 // 36
    assert seen(limits, GREW, [(120, 0, -900.0)]).allowed_mwh(2) == 25_600 * 120 * 10 // 36
    # Above twice of what runs unseen, half more than it runs at.
    assert seen(limits, GREW, [(120, 0, 55_000.0)]).allowed_mwh(2) == int(1.5 * 55_000 * 60 / 3.6) + 291_666
    # What is not known at both ends may be anything that the register can do.
    assert seen(limits, GREW, [(120, 0, None)]).allowed_mwh(2) == 50_000 * 120 * 10 // 36
    assert seen(limits, GREW, [(60 + 900, 0, 900.0)]).allowed_mwh(2) == 25_900 * 960 * 10 // 36
    assert seen(limits, GREW, [(60 + 901, 0, 900.0)]).allowed_mwh(2) == 50_000 * 961 * 10 // 36


def test_what_a_register_owes_comes_on_top() -> None:
    still: list[Point] = [*GREW, (180, 10_000, 600.0)]
    limits = limits_of(Stream.IMPORT, None)
    assert seen(limits, still, [(240, 0, 600.0)]).allowed_mwh(3) == (25_600 * 120 + 108_000) * 10 // 36
    assert seen(limits, still, [(240, 0, 600.0)]).caught_up_mwh(3, START_S + 60) == (25_600 * 120 + 108_000) * 10 // 36
    assert seen(limits, still, [(240, 0, None)]).caught_up_mwh(3, START_S + 60) == 50_000 * 240 * 10 // 36


def test_what_a_quarter_hour_held_may_run_unseen_and_half_more() -> None:
    """30 kW for a quarter hour."""
    busy: list[Point] = [(n * 60, n * 500_000, 30_000.0) for n in range(16)]
    limits = limits_of(Stream.IMPORT, None)
    assert seen(limits, busy, [(960, 0, 30_000.0)]).allowed_mwh(16) == 75_000 * 120 * 10 // 36
    assert seen(limits, busy, [(960, 0, 30_000.0)]).most_mwh == 7_500_000


def test_in_the_dark_a_tenth_of_it_is_possible_and_never_less_than_200_wh() -> None:
    """Export, 120 kW of panels."""
    limits = Limits(floor_w=500_000, learned_floor_w=500_000, unseen_w=180_000, needs_sun=True)
    dark: list[Point] = [(0, 0, 50.0), (60, 1, -50.0)]
    assert seen(limits, dark, [(120, 0, 50.0)]).allowed_mwh(2) == 600_000
    assert seen(limits, dark, [(120, 0, 51.0)]).allowed_mwh(2) == 6_000_000
    dusk: list[Point] = [(0, 0, 50.0), (60, 1, -51.0)]
    assert seen(limits, dusk, [(120, 0, 50.0)]).allowed_mwh(2) == 6_000_000
    small = Limits(floor_w=50_000, learned_floor_w=50_000, unseen_w=7_500, needs_sun=True)
    assert seen(small, dark, [(120, 0, 50.0)]).allowed_mwh(2) == 200_000
    assert seen(small, dark, [(120, 0, 51.0)]).allowed_mwh(2) == 250_000


def test_it_is_dark_where_nothing_is_made_whatever_is_exported() -> None:
    limits = Limits(floor_w=500_000, learned_floor_w=500_000, unseen_w=18_000, needs_sun=True)
    at_night: list[Point] = [(0, 0, -900.0), (60, 1, -900.0)]
    for made_w, unseen_w in (
        ({60: 50.0, 960: -50.0}, 1_800),
        ({60: 50.0, 960: 51.0}, 18_000),
        ({60: -51.0, 960: 50.0}, 18_000),
        ({60: 50.0, 960: None}, 25_000),
        ({60: None, 960: 50.0}, 25_000),
        ({60: 50.0}, 25_000),
        ({}, 25_000),
    ):
        found = seen(limits, at_night, [(960, 0, -900.0)], made_w=made_w)
        assert found.allowed_mwh(2) == unseen_w * 960 * 10 // 36
    # Export runs in spite of the dark: then it is not from there.
    lit: list[Point] = [(0, 0, -900.0), (60, 1, 900.0)]
    found = seen(limits, lit, [(960, 0, -900.0)], made_w={60: 0.0, 960: 0.0})
    assert found.allowed_mwh(2) == 18_000 * 960 * 10 // 36


def test_a_source_that_moves_in_steps_may_be_a_quarter_hour_late() -> None:
    limits = limits_of(Stream.PRODUCTION, 5_000)
    found = seen(limits, [(0, 0, 900.0), (60, 1_000, 900.0)], [(120, 0, 900.0)], "v1")
    assert (found.rate_mwh(60), found.allowed_mwh(2)) == (7_500 * 960 * 10 // 36, 7_500 * 960 * 10 // 36)
    assert found.growth_mwh(60, [900.0, 600.0]) == 1_350 * 960 * 10 // 36 + 5_000
    export = limits_of(Stream.EXPORT, 5_000)
    found = seen(export, [(0, 0, 900.0), (60, 1_000, 900.0)], [(120, 0, 900.0)], "v1")
    assert found.allowed_mwh(2) == 50_000 * 960 * 10 // 36
    # In the dark nothing is late but what came since it last moved.
    dark: list[Point] = [(0, 0, 0.0), (60, 1_000, 0.0), (660, 1_000, 0.0)]
    found = seen(limits, dark, [(720, 0, 0.0)], "v1")
    assert found.allowed_mwh(3) == 750 * (660 + 900) * 10 // 36
    long: list[Point] = [*dark, *((at_s, 1_000, 0.0) for at_s in range(1_260, 6_000, 600))]
    assert seen(limits, long, [(6_000, 0, 0.0)], "v1").allowed_mwh(len(long)) == 750 * (3_600 + 900) * 10 // 36


def test_power_explains_a_step_half_beyond_it_but_for_rounding_of_5_wh() -> None:
    found = seen(limits_of(Stream.IMPORT, None), GREW, [(120, 0, 900.0)])
    assert found.explained_mwh(60, [900.0, 600.0]) == 22_500 + 5_000
    assert found.explained_mwh(60, [-900.0, -600.0]) == 5_000
    assert found.explained_mwh(60, [-900.0, 600.0], slow_s=30) == 22_500 + 5_000
    assert found.explained_mwh(900, [900.0, 900.0]) == 337_500 + 5_000
    assert found.explained_mwh(901, [900.0, 900.0]) is None
    assert found.explained_mwh(60, [900.0, None]) is None
    assert found.explained_mwh(60, [1e6, 0.0]) == 25_005_000
    assert found.explained_mwh(60, [0.0, -1e6 - 1]) is None
    assert found.growth_mwh(60, [900.0, None]) == found.rate_mwh(60) == 50_000 * 120 * 10 // 36


def test_power_that_no_gateway_can_measure_is_no_witness() -> None:
    limits = limits_of(Stream.PRODUCTION, None)
    for power_w, allowed_mwh in ((999_999.0, 374_999_625), (1e6, 25_000 * 960 * 10 // 36), (-1e6 - 1, 6_666_666)):
        assert seen(limits, GREW, [(960, 0, power_w)]).allowed_mwh(2) == allowed_mwh


def test_a_step_is_ordinary_that_any_register_may_grow_by_and_that_power_explains() -> None:
    def is_ordinary(step_mwh: int, over_s: int, power_w: float | None) -> bool:
        found = seen(Limits(peak_w=5_000), GREW, [(120, 0, power_w), (120 + over_s, step_mwh, power_w)])
        return found.is_ordinary(3)

    assert [is_ordinary(step, 300, None) for step in (750_000, 750_001)] == [True, False]
    assert [is_ordinary(step, 300, 0.0) for step in (200_000, 200_001)] == [True, False]
    assert [is_ordinary(step, 300, 3_000.0) for step in (380_000, 380_001)] == [True, False]
    assert [is_ordinary(step, 901, 0.0) for step in (2_002_083, 2_002_084)] == [True, False]


def test_a_register_that_was_reset_grows_by_power_and_over_a_gap_by_its_own_most() -> None:
    """2.4 kWh in a quarter hour before."""
    busy: list[Point] = [(n * 900, n * 2_400_000, 9_600.0) for n in range(3)]
    limits = limits_of(Stream.IMPORT, None)
    for over_s, power_w, growth_mwh in (
        (900, 9_600.0, 3_605_000),
        (900, None, 50_000 * 960 * 10 // 36),
        (1_800, 9_600.0, 7_205_000),
        (901, 9_600.0, 3_609_000),
    ):
        found = seen(limits, busy, [(2_700, 0, power_w), (2_700 + over_s, 9, power_w)])
        assert found.regrowth_mwh(4) == growth_mwh


def test_what_a_gateway_computes_may_fall_by_a_quarter_hour_of_its_most_and_a_ct_by_5_wh() -> None:
    busy: list[Point] = [(n * 900, n * 90_000, 360.0) for n in range(3)]
    computed = limits_of(Stream.CONSUMPTION_CT, None)
    found = seen(computed, busy, [(2_700, 0, 0.0)], "eim")
    assert [found.noise_mwh(over_s) for over_s in (40, 60, 900, 901)] == [5_000, 6_000, 90_000, 90_000]
    assert seen(computed, busy, [(2_700, 0, 0.0)]).noise_mwh(900) == 5_000
    assert seen(limits_of(Stream.IMPORT, None), busy, [(2_700, 0, 0.0)], "eim").noise_mwh(900) == 5_000


def test_a_rollover_may_look_2_wh_too_deep() -> None:
    limits, high_mwh = Limits(peak_w=5_000), 5_000_000_000
    for drop_mwh, wraps in (
        (WRAP_MWH + 2_000, 1),
        (WRAP_MWH + 2_001, 0),
        (WRAP_MWH - 20_000_000, 1),
        (WRAP_MWH - 20_000_001, 0),
        (3 * WRAP_MWH + 2_000, 3),
    ):
        low: list[Point] = [(120, high_mwh - drop_mwh, 0.0)]
        assert seen(limits, [(0, high_mwh, 0.0), (60, high_mwh, 0.0)], low, "v1").wraps(2) == wraps
        assert seen(limits, [(0, high_mwh, 0.0), (60, high_mwh, 0.0)], low, "ct").wraps(2) == 0
    # One inverter has no rounding of many: 7.5 kW for a minute, or since it last grew, and a quarter hour.
    for drop_mwh, wraps in ((WRAP_MWH - 2_125_000, 1), (WRAP_MWH - 2_125_001, 0)):
        low = [(120, high_mwh - drop_mwh, 0.0)]
        assert seen(limits, [(0, high_mwh, 0.0), (60, high_mwh, 0.0)], low, "device").wraps(2) == wraps


@pytest.mark.parametrize(("fall_mwh", "kind"), [(5_000, []), (5_001, ["counter_reset"])])
def test_a_fall_of_5_wh_is_rounding(fall_mwh: int, kind: list[str]) -> None:
    curve = read([(0, 0, 0.0), (60, 90_000, 0.0), (120, 90_000 - fall_mwh, 0.0)])
    assert kinds(curve) == kind


@pytest.mark.parametrize(("fall_mwh", "whole_s"), [(2_000, []), (2_001, [(START_S + 60, START_S + 180)])])
def test_a_reading_2_wh_lower_is_believed_and_a_lower_one_is_left_out_if_others_go_on(
    fall_mwh: int, whole_s: list[tuple[int, int]]
) -> None:
    curve = read([(0, 0, 0.0), (60, 90_000, 0.0), (120, 90_000 - fall_mwh, 0.0), (180, 90_000, 0.0)])
    assert (kinds(curve), curve.whole_s) == ([], whole_s)


@pytest.mark.parametrize(("fall_mwh", "kind"), [(5_000, []), (5_001, ["counter_dip"])])
def test_erroneous_reads_of_5_wh_are_rounding_and_not_reported(fall_mwh: int, kind: list[str]) -> None:
    curve = read([(0, 0, 0.0), (60, 90_000, 0.0), (120, 90_000 - fall_mwh, 0.0), (180, 90_000, 0.0)])
    assert kinds(curve) == kind


@pytest.mark.parametrize(("step_mwh", "kind"), [(200_000, "counter_reset"), (200_001, "counter_dip")])
def test_a_step_of_200_wh_is_not_looked_at_and_a_larger_one_is_left_out_if_it_falls_back(
    step_mwh: int, kind: str
) -> None:
    curve = read([(0, 0, 0.0), (60, 0, 0.0), (120, step_mwh, 0.0), (180, 0, 0.0), (240, 0, 0.0)])
    assert kinds(curve) == [kind]


@pytest.mark.parametrize(
    ("back_s", "back_mwh", "kind"),
    [
        (HOURS_S, 150_000, "counter_dip"),
        (HOURS_S + 1, 150_000, "counter_reset"),
        (HOURS_S, 150_001, "counter_reset"),
        (60, 150_000, "counter_dip"),
    ],
)
def test_a_spike_falls_back_by_half_of_it_within_six_hours(back_s: int, back_mwh: int, kind: str) -> None:
    times = [120, *range(720, back_s + 60, 600), 120 + back_s]
    spike: list[Point] = [(at_s, 300_000, 0.0) for at_s in times[:-1]]
    curve = read([(0, 0, 0.0), (60, 0, 0.0), *spike, (times[-1], back_mwh, 0.0)])
    assert kinds(curve) == [kind]


@pytest.mark.parametrize(("until_s", "open_s"), [(HOURS_S + 120, None), (HOURS_S + 119, START_S + 60)])
def test_a_spike_is_open_for_six_hours_and_the_quarter_hour_in_which_it_went_on_is_whole(
    until_s: int, open_s: int | None
) -> None:
    """Under power it stood still before: where in that time it grew is not known."""
    points: list[Point] = [(0, 0, 600.0), (60, 9_000, 600.0), (600, 9_000, 600.0), (660, 309_000, 600.0)]
    curve = read(points, until_s=540 + until_s)
    at_s = START_S + 660
    assert (kinds(curve), curve.flats_s) == ([], [(START_S + 60, at_s)])
    assert curve.whole_s == [(START_S + 60, at_s - 1 + QUARTER_S)]
    assert curve.open_s == (START_S + 600 if open_s else None)
    moving: list[Point] = [*points[:2], (600, 90_000, 600.0), (660, 390_000, 600.0)]
    assert (read(moving).flats_s, read(moving).whole_s) == ([], [])


@pytest.mark.parametrize(("back_s", "kind"), [(HOURS_S, ["counter_dip"]), (HOURS_S + 1, ["counter_reset"])])
def test_a_register_recovers_within_six_hours(back_s: int, kind: list[str]) -> None:
    points: list[Point] = [(0, 90_000_000, None), (60, 90_000_000, None), (120, 12_000, None)]
    curve = read([*points, (120 + back_s, 90_010_000, None)])
    assert kinds(curve)[:1] == kind


@pytest.mark.parametrize(
    ("zero_s", "back_s", "kind"),
    [
        (WEEK_S, HOURS_S, "counter_dip"),
        (WEEK_S, HOURS_S + 1, "counter_reset"),
        (WEEK_S + 1, HOURS_S - 1, "counter_reset"),
    ],
)
def test_a_gateway_without_its_meter_reads_0_for_a_week_at_most(zero_s: int, back_s: int, kind: str) -> None:
    zeros: list[Point] = [(120 + at_s, 0, None) for at_s in (*range(0, WEEK_S, HOURS_S), zero_s)]
    before: list[Point] = [(0, 90_000_000, None), (60, 90_000_000, None)]
    curve = read([*before, *zeros, (120 + zero_s + back_s, 90_010_000, None)], until_s=3 * WEEK_S)
    assert kinds(curve)[0] == kind


def test_what_is_decided_is_told_in_kwh_with_both_readings() -> None:
    (event,) = read([(0, 9_000_000, 0.0), (60, 9_050_000, 0.0), (120, 12_000, 0.0)]).events
    assert event.detail == "0.012 kWh at 2026-03-01 00:02:00 after 9.050 kWh at 2026-03-01 00:01:00"
    dip: list[Point] = [(0, 9_000_000, 0.0), (60, 9_050_000, 0.0), (120, 12_000, 0.0), (180, 9_050_000, 0.0)]
    (event,) = read(dip).events
    assert (event.at_s, event.detail) == (
        START_S + 120,
        "bad up to 0.012 kWh at 2026-03-01 00:02:00, good before: 9.050 kWh at 2026-03-01 00:01:00",
    )


def test_what_was_decided_of_a_reading_at_the_beginning_is_not_decided_again() -> None:
    anchor = read([(0, 9_000_000, 0.0), (60, 9_050_000, 0.0)]).anchor_at(START_S + 900)
    assert anchor is not None
    for at_s, kind in ((900, []), (901, ["counter_reset"])):
        found = readings([(at_s, 12_000, 0.0), (960, 13_000, 0.0)])
        since_s, limits = START_S + 900, limits_of(Stream.IMPORT, None)
        assert kinds(read_register(found, anchor, limits, since_s=since_s, until_s=since_s + WEEK_S)) == kind


@pytest.mark.parametrize(("more_mwh", "kind"), [(2_125_000, []), (2_125_001, ["suspect_increment"])])
def test_a_rollover_brings_what_can_be_made_in_that_time(more_mwh: int, kind: list[str]) -> None:
    """7.5 kW for two minutes since it last grew, and a quarter hour."""
    high: list[Point] = [(0, 1_193_040_000, 0.0), (60, 1_193_040_000, 0.0)]
    curve = read([*high, (120, 1_193_040_000 + more_mwh - WRAP_MWH, 0.0)], "v1", Limits(peak_w=5_000))
    assert kinds(curve) == ["counter_wrap", *kind]
    assert curve.events[0].detail.startswith("1 x 2^32 J put back: ")


def test_steps_that_power_explains_are_taken_without_deciding_about_each() -> None:
    """4 kW every five minutes: more than any register may grow by at once."""
    taken: list[int] = []

    class Told(Possible):
        def allowed_mwh(self, index: int) -> int:
            taken.append(index)
            return super().allowed_mwh(index)

    points: list[Point] = [(300 * n, n * 333_333, 4_000.0) for n in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "Possible", Told)
        assert kinds(read(points, limits=Limits(peak_w=5_000))) == []
        assert taken == []
        points[20:] = [(at_s, mwh + 400_000, power_w) for at_s, mwh, power_w in points[20:]]
        read(points, limits=Limits(peak_w=5_000))
        assert taken == [20]


@pytest.mark.parametrize(("grown_mwh", "kind"), [(18_125_000, "stalled_counter"), (18_125_001, "suspect_increment")])
def test_a_stuck_register_catches_up_no_more_than_was_possible_since(grown_mwh: int, kind: str) -> None:
    """7.5 kW for 8 640 s and a minute."""
    still: list[Point] = [(60 + at_s, 9_000, 600.0) for at_s in range(0, 8_640, 60)]
    after: Point = (8_700, 9_000 + grown_mwh, None)
    curve = read([(0, 0, 600.0), *still, after], limits=Limits(peak_w=5_000))
    assert kinds(curve) == [kind]


def test_a_register_that_read_0_under_power_for_two_hours_was_none() -> None:
    zeros: list[Point] = [(at_s, 0, 600.0) for at_s in range(0, 7_261, 60)]
    after: list[Point] = [(7_320, 9, 600.0), (7_380, 10_009, 600.0)]
    assert kinds(read([*zeros, *after])) == ["suspect_increment"]
    assert kinds(read([*zeros[:-1], *after])) == []
    ones: list[Point] = [(at_s, 1, 600.0) for at_s in range(0, 7_261, 60)]
    assert kinds(read([*ones, *after])) == ["stalled_counter"]


@pytest.mark.parametrize(("over_s", "gaps_s"), [(900, []), (901, [(START_S + 60, START_S + 961)])])
def test_a_step_longer_than_the_longest_normal_one_is_a_gap(over_s: int, gaps_s: list[tuple[int, int]]) -> None:
    curve = read([(0, 0, 600.0), (60, 9_000, 600.0), (60 + over_s, 90_000, 600.0), (120 + over_s, 99_000, 600.0)])
    assert curve.gaps_s == curve.whole_s == curve.stretches_s(Tie.BRIDGED) == gaps_s


def absent(points: list[Point], absences: list[Absence], until_s: int = 9_000) -> Curve:
    found = readings(points)
    return read_register(
        found, None, Limits(peak_w=5_000), since_s=START_S, until_s=START_S + until_s, absences=absences
    )


def test_a_register_goes_on_level_when_its_ct_has_its_kind_back() -> None:
    points: list[Point] = [(0, 90_000, 0.0), (60, 95_000, 0.0), (600, 20_000, 0.0), (660, 21_000, 0.0)]
    left_s, gone_s, back_s = START_S + 60, START_S + 120, START_S + 600
    curve = absent(points, [Absence(left_s, gone_s, back_s)])
    assert (kinds(curve), curve.count_mwh) == ([], [90_000, 95_000, 95_000, 96_000])
    assert curve.steps == [Step(Tie.BROKEN, left_s, gone_s), Step(Tie.AWAY, gone_s, back_s)]
    assert (curve.offset_mwh, curve.is_over, curve.gaps_s) == (75_000, False, [])
    assert absent(points, [Absence(gone_s, gone_s, back_s)]).steps == [Step(Tie.AWAY, gone_s, back_s)]
    first = absent(points[2:], [Absence(START_S, START_S, back_s)])
    assert first.steps == [Step(Tie.AWAY, START_S, back_s)]


def test_a_register_whose_ct_is_of_another_kind_now_is_over_and_away_for_a_week_more() -> None:
    points: list[Point] = [(0, 90_000, 0.0), (60, 95_000, 0.0)]
    curve = absent(points, [Absence(START_S + 60, START_S + 120, None)])
    assert curve.is_over
    end_s = START_S + 9_000 + WEEK_S
    assert curve.steps == [Step(Tie.BROKEN, START_S + 60, START_S + 120), Step(Tie.AWAY, START_S + 120, end_s)]


def test_what_another_source_counts_is_told_with_both() -> None:
    found = readings([(0, 9_000_000, 0.0), (60, 9_050_000, 0.0)])
    other = readings([(120, 700_000_000, 0.0), (180, 700_040_000, 0.0)], "inverters")
    both = Readings(*(getattr(found, name) + getattr(other, name) for name in found.__slots__))
    curve = read_register(both, None, Limits(peak_w=5_000), since_s=START_S, until_s=START_S + 180)
    (event,) = curve.events
    assert (event.at_s, event.kind, event.detail) == (
        START_S + 120,
        "source_change",
        "from ct (9.050 kWh at 2026-03-01 00:01:00) to inverters (700.000 kWh at 2026-03-01 00:02:00)",
    )
    assert curve.open_s == START_S + 60
    assert curve.count_mwh == [9_000_000, 9_050_000, 9_050_000, 9_090_000]
