"""The days of an inverter: from its register, else from what it reported of each interval."""

from zoneinfo import ZoneInfo

import pytest

from logger.clock import QUARTER_S
from logger.ledger.curve import Anchor, Curve, Readings
from logger.ledger.inverter import (
    GAP_S,
    LIMITS,
    Report,
    Rhythm,
    by_day,
    cut_off_s,
    measured_s,
    read_inverter,
    read_reports,
)
from logger.ledger.limits import Limits
from logger.ledger.mean_day import History, Measured
from logger.ledger.register import read_register

DAY_S = 86_400
START_S = 20_000 * DAY_S
EDGES_S = [START_S + n * DAY_S for n in range(4)]


def readings(points: list[tuple[int, float]]) -> Readings:
    found = Readings()
    for at_s, value_wh in points:
        found.extend("device", [START_S + at_s], [value_wh], [None])
    return found


def anchored(at_s: int, value_wh: float) -> Anchor:
    at_s, value_mwh = START_S + at_s, round(value_wh * 1000)
    return Anchor("device", at_s, value_mwh, None, 0, at_s, at_s, at_s, 20_000)


def day(hour: int, start_wh: float) -> list[tuple[int, float]]:
    """A quarter hourly report from an hour on, 20 Wh more each time, for ten hours."""
    return [(3600 * hour + 900 * n, start_wh + 20 * n) for n in range(41)]


def test_what_a_first_report_counted_belongs_to_its_interval_not_the_night() -> None:
    days = day(6, 100.0) + day(30, 100.0 + 800 + 30)
    curve = read_inverter(readings(days), None, since_s=START_S, until_s=EDGES_S[-1])
    assert curve.energy(EDGES_S) == [800_000, 830_000, None]
    assert measured_s(curve, EDGES_S) == [36_000, 36_900, 0]


def test_the_night_before_the_first_report_of_a_window_is_known_from_its_anchor() -> None:
    anchor = anchored(-6 * 3600, 100.0)
    curve = read_inverter(readings(day(6, 130.0)), anchor, since_s=START_S, until_s=EDGES_S[-1])
    assert curve.energy(EDGES_S)[0] == 830_000
    assert sum(measured_s(curve, EDGES_S)) == 36_900


@pytest.mark.parametrize(("at_dawn_wh", "in_the_night_wh"), [(125.0, 0), (126.0, 86)])
def test_more_than_one_interval_holds_was_made_through_the_silence(at_dawn_wh: float, in_the_night_wh: int) -> None:
    days = [(3600 * 16, 100.0), (3600 * 30, 100.0 + at_dawn_wh), (3600 * 30 + 900, 230.0)]
    curve = read_inverter(readings(days), None, since_s=START_S, until_s=EDGES_S[-1])
    first_mwh = curve.energy(EDGES_S)[0]
    assert first_mwh is not None
    assert first_mwh // 1000 == (in_the_night_wh and int(at_dawn_wh * 8 / 14))


def test_a_pause_of_two_intervals_is_measured_and_a_longer_one_is_not() -> None:
    for over_s in (GAP_S, GAP_S + 1):
        days = [(40_000, 100.0), (40_000 + over_s, 150.0)]
        curve = read_inverter(readings(days), None, since_s=START_S, until_s=EDGES_S[-1])
        assert measured_s(curve, EDGES_S)[0] == (over_s if over_s == GAP_S else 0)


def reports(*points: tuple[int, float | None, float | None, int | None]) -> list[Report]:
    return [Report(START_S + at_s, power_w, energy_wh, interval_s) for at_s, power_w, energy_wh, interval_s in points]


def test_a_report_holds_the_energy_of_its_interval() -> None:
    found = read_reports(reports((900, None, 20.0, 900), (1800, 80.0, None, 900)), None, EDGES_S)
    assert found.energy_mwh == [40_000, None, None]
    assert found.covered_s == [1800, 0, 0]


def test_an_interval_over_midnight_is_shared_by_time() -> None:
    found = read_reports(reports((DAY_S + 300, None, 30.0, 900)), None, EDGES_S)
    assert found.energy_mwh == [20_000, 10_000, None]
    assert found.covered_s == [600, 300, 0]


def test_what_lies_before_the_first_day_is_lost() -> None:
    found = read_reports(reports((300, None, 30.0, 900)), None, EDGES_S)
    assert found.energy_mwh == [10_000, None, None]
    assert found.covered_s == [300, 0, 0]


def test_intervals_that_overlap_cover_no_more_than_the_time_there_is() -> None:
    found = read_reports(reports((900, None, 1.0, 900), (1000, None, 1.0, 900)), None, EDGES_S)
    assert found.covered_s == [1000, 0, 0]


def test_a_mean_power_holds_since_the_last_report_unless_that_was_long_ago() -> None:
    found = read_reports(
        reports((300, 120.0, None, None), (600, 120.0, None, None), (9_600, 120.0, None, None)),
        Rhythm(START_S, 300),
        EDGES_S,
    )
    assert found.covered_s == [300 + 300 + 900, 0, 0]
    assert found.energy_mwh == [120 * 1500 * 1000 // 3600, None, None]
    assert found.rhythms[-1] == Rhythm(START_S + 9_600, 9_000)


def test_a_slow_rhythm_that_is_steady_is_believed() -> None:
    slow = reports((3600, 100.0, None, None), (7200, 100.0, None, None))
    assert read_reports(slow, Rhythm(START_S, 3600), EDGES_S).covered_s == [7200, 0, 0]
    assert read_reports(slow, Rhythm(START_S, 4600), EDGES_S).covered_s == [900 + 3600, 0, 0]
    late = reports((5000, 100.0, None, None))
    assert read_reports(late, Rhythm(START_S, 5000), EDGES_S).covered_s == [3700, 0, 0]


def test_a_first_report_has_no_known_length() -> None:
    found = read_reports(reports((300, 120.0, None, None)), None, EDGES_S)
    assert (found.energy_mwh, found.covered_s) == ([None] * 3, [0] * 3)
    assert found.rhythms == [Rhythm(START_S + 300, 0)]


def test_more_than_an_inverter_makes_is_left_out_and_reported() -> None:
    found = read_reports(reports((900, None, 375.0, 900), (1800, None, 376.0, 900)), None, EDGES_S)
    assert found.energy_mwh == [375_000, None, None]
    assert [(event.at_s - START_S, event.kind) for event in found.events] == [(1800, "suspect_increment")]
    assert found.events[0].detail == "376 Wh in 900 s is more than an inverter makes: left out"


def test_negative_power_is_no_energy_and_a_report_without_any_nothing() -> None:
    found = read_reports(reports((900, -3.0, None, 900), (1800, None, None, 900)), None, EDGES_S)
    assert (found.energy_mwh, found.covered_s) == ([0, None, None], [900, 0, 0])


@pytest.mark.parametrize(("silent_s", "first_mwh"), [(4 * 3600, 62_500), (4 * 3600 + 1, 0)])
def test_a_silence_of_more_than_four_hours_is_the_night(silent_s: int, first_mwh: int) -> None:
    """It ends two hours after midnight."""
    end_s = DAY_S + 7200
    days = [(end_s - silent_s, 100.0), (end_s, 225.0)]
    curve = read_inverter(readings(days), None, since_s=START_S, until_s=EDGES_S[-1])
    assert curve.energy(EDGES_S)[0] == first_mwh


@pytest.mark.parametrize(("power_w", "is_cut"), [(30.0, False), (31.0, True), (None, False)])
def test_an_inverter_that_falls_silent_in_full_sun_was_cut_off(power_w: float | None, *, is_cut: bool) -> None:
    day = reports(*((at_s, 200.0, None, None) for at_s in range(30_000, 40_000, 900)))
    late = reports((60_000, power_w, None, None))
    last_s = START_S + 30_000 + 9_900
    assert cut_off_s(day, None, last_s + 100) == []
    assert cut_off_s(day, None, last_s + DAY_S) == [last_s]
    assert cut_off_s(day + late, None, START_S + 60_000) == [last_s, *([START_S + 60_000] if is_cut else [])]
    assert cut_off_s(late, Rhythm(last_s, 900), START_S + 60_000) == ([START_S + 60_000] if is_cut else [])
    assert cut_off_s(late, Rhythm(START_S + 59_000, 900), START_S + 60_000) == []


@pytest.mark.parametrize(("more_wh", "kinds"), [(150, []), (900, ["suspect_increment"])])
def test_a_jump_beyond_what_any_inverter_makes_is_suspect(more_wh: float, kinds: list[str]) -> None:
    days = [(at_s, value + (more_wh if at_s > 50_000 else 0)) for at_s, value in day(6, 100.0)]
    curve = read_inverter(readings(days), None, since_s=START_S, until_s=EDGES_S[-1])
    assert [event.kind for event in curve.events] == kinds


@pytest.mark.parametrize(("over_s", "measured"), [(1_900, 1_900), (1_901, 0)])
def test_twice_the_longest_interval_is_no_gap(over_s: int, measured: int) -> None:
    curve = read_inverter(readings([(40_000, 100.0), (40_000 + over_s, 150.0)]), None, since_s=START_S, until_s=START_S)
    assert sum(measured_s(curve, EDGES_S)) == measured


@pytest.mark.parametrize(("at_dawn_wh", "measured"), [(0.001, 900), (125.0, 900), (125.001, 0), (0.0, 0)])
def test_a_first_report_holds_up_to_500_w_of_a_quarter_hour(at_dawn_wh: float, measured: int) -> None:
    anchor = anchored(-40_000, 100.0)
    curve = read_inverter(readings([(40_000, 100.0 + at_dawn_wh)]), anchor, since_s=START_S, until_s=EDGES_S[-1])
    assert sum(measured_s(curve, EDGES_S)) == measured
    assert len(curve.count_mwh) == (3 if measured else 2)
    if measured:
        assert (curve.readings.at_s[1], curve.readings.value_mwh[1]) == (START_S + 39_100, 100_000)
        assert (curve.readings.power_w[1], curve.readings.source[1]) == (None, "device")


@pytest.mark.parametrize(("silent_s", "points"), [(4 * 3600, 2), (4 * 3600 + 1, 3)])
def test_the_silence_after_an_anchor_is_a_night_if_it_is_longer_than_four_hours(silent_s: int, points: int) -> None:
    found = readings([(silent_s - 900, 100.1)])
    curve = read_inverter(found, anchored(-900, 100.0), since_s=START_S, until_s=EDGES_S[-1])
    assert len(curve.count_mwh) == points


def test_a_microinverter_makes_up_to_500_w_and_half_more_than_it_made() -> None:
    week_s = 7 * DAY_S
    assert [LIMITS.power_w(0, known_for_s) for known_for_s in (week_s - 1, week_s)] == [700, 500]
    assert LIMITS.power_w(150_000, week_s) == 900
    assert LIMITS.least_power_w == 500


@pytest.mark.parametrize(("energy_wh", "is_left_out"), [(375.0, False), (375.1, True)])
def test_a_report_of_more_than_1500_w_is_left_out(energy_wh: float, *, is_left_out: bool) -> None:
    found = read_reports(reports((900, None, energy_wh, 900), (1_800, None, 1.0, 900)), None, EDGES_S)
    assert len(found.events) == is_left_out
    assert found.covered_s[0] == (900 if is_left_out else 1_800)


def test_energy_is_more_than_mean_power_and_an_interval_that_is_reported_more_than_the_rhythm() -> None:
    both = reports((7_200, 100.0, 30.0, 1_000))
    found = read_reports(both, Rhythm(START_S + 6_900, 300), EDGES_S)
    assert (found.energy_mwh[0], found.covered_s[0]) == (30_000, 1_000)
    assert found.rhythms == [Rhythm(START_S + 6_900, 300), Rhythm(START_S + 7_200, 300)]
    none = reports((7_200, 100.0, 30.0, 0), (7_200, 100.0, 30.0, -1))
    assert read_reports(none, None, EDGES_S).covered_s == [0, 0, 0]
    short = reports((7_200, None, 0.1, 1))
    assert read_reports(short, None, EDGES_S).covered_s == [1, 0, 0]


@pytest.mark.parametrize(("before_s", "held_s"), [(4_320, 3_600), (4_321, 900), (2_880, 3_600), (2_879, 900)])
def test_a_rhythm_is_steady_that_changes_by_a_fifth_at_most(before_s: int, held_s: int) -> None:
    found = read_reports(reports((3_600, 100.0, None, None)), Rhythm(START_S, before_s), EDGES_S)
    assert found.covered_s == [held_s, 0, 0]


@pytest.mark.parametrize(("silent_s", "is_cut"), [(3_700, False), (3_701, True)])
def test_a_silence_of_more_than_the_slowest_rhythm_in_full_sun_is_a_cut(silent_s: int, *, is_cut: bool) -> None:
    two = reports((1_000, 31.0, None, None), (1_000 + silent_s, 200.0, None, None))
    times = [report.at_s for report in two]
    assert cut_off_s(two, None, times[1]) == (times if is_cut else [])
    assert cut_off_s(two[:1], None, times[1]) == (times[:1] if is_cut else [])
    assert cut_off_s(two[:1], None, times[1], 3_701) == []
    assert cut_off_s(two[1:], Rhythm(times[0], 900), times[1]) == (times[1:] if is_cut else [])
    assert cut_off_s(two[:1], None, times[1], 10) == (times[:1] if is_cut else [])
    assert cut_off_s([], Rhythm(times[0], 900), times[1]) == []
    dark = reports((1_000, 30.0, None, None))
    assert cut_off_s(dark, None, times[1]) == []
    assert cut_off_s(reports((1_000, None, 9.0, None)), None, times[1]) == []


BERLIN = ZoneInfo("Europe/Berlin")
#: 2024-10-05 in Berlin
MIDNIGHTS_S = [START_S - 2 * 3600 + n * DAY_S for n in range(4)]


def history(since_s: int = 0, *, made_mwh: int = 60) -> History:
    """Before a window, three quarter hours before noon held 60 mWh each, and none another."""

    def measured(phase: str, from_s: int, to_s: int) -> list[Measured]:
        assert (phase, to_s - from_s) == ("total", 14 * DAY_S)
        assert from_s in {midnight_s - 14 * DAY_S for midnight_s in (MIDNIGHTS_S[0] - DAY_S, *MIDNIGHTS_S)}
        return [
            Measured(to_s - DAY_S + QUARTER_S * n, made_mwh if 45 <= n < 48 else 0, None)
            for n in range(DAY_S // QUARTER_S)
        ]

    return History(BERLIN, measured, lambda: since_s)


def gap(begin_s: int, end_s: int, wh: float = 3_000.0) -> Curve:
    """A register that was read beside a gap only, a quarter hour before and after it."""
    points = [(begin_s - 900, 100.0), (begin_s, 110.0), (end_s, 110.0 + wh), (end_s + 900, 120.0 + wh)]
    found = Readings()
    found.extend("device", [MIDNIGHTS_S[0] + at_s for at_s, _ in points], [wh for _, wh in points], [None] * 4)
    limits = Limits(peak_w=5_000)
    return read_register(found, None, limits, since_s=MIDNIGHTS_S[0], until_s=MIDNIGHTS_S[3], gap_s=GAP_S)


def test_what_an_inverter_made_in_a_gap_over_days_lies_where_the_sun_was() -> None:
    """From 11:30 on, two of three bright quarter hours of the first day, and all of the next."""
    curve = gap(41_400, DAY_S + 64_800)
    days = by_day(curve, MIDNIGHTS_S, history())
    assert days.energy_mwh == [10_000 + 1_200_000, 10_000 + 1_800_000, None]
    assert days.covered_s == [0, 0, 0]
    evenly = by_day(curve, MIDNIGHTS_S, None)
    assert evenly.energy_mwh == [10_000 + 3_000_000 * 450 // 1_098, 3_010_000 - 3_000_000 * 450 // 1_098, None]
    assert evenly.covered_s == [900, 900, 0]


def test_a_gap_before_spreading_by_the_sun_began_or_of_one_day_or_of_nothing_is_left_even() -> None:
    curve = gap(41_400, DAY_S + 64_800)
    begin_s = MIDNIGHTS_S[0] + 41_400
    assert by_day(curve, MIDNIGHTS_S, history(begin_s)) == by_day(curve, MIDNIGHTS_S, history())
    assert by_day(curve, MIDNIGHTS_S, history(begin_s + 1)) == by_day(curve, MIDNIGHTS_S, None)
    for same in (gap(41_400, 64_800), gap(41_400, DAY_S + 64_800, 0.0)):
        assert by_day(same, MIDNIGHTS_S, history()) == by_day(same, MIDNIGHTS_S, None)


def test_where_no_mean_day_is_known_energy_stays_even_but_no_day_was_measured() -> None:
    curve = gap(41_400, DAY_S + 64_800)
    days = by_day(curve, MIDNIGHTS_S, history(made_mwh=0))
    assert days.energy_mwh == by_day(curve, MIDNIGHTS_S, None).energy_mwh
    assert days.covered_s == [0, 0, 0]


def test_of_a_gap_that_began_before_the_window_only_what_lies_in_it_is_counted() -> None:
    curve = gap(-DAY_S + 41_400, 64_800)
    assert by_day(curve, MIDNIGHTS_S, history()).energy_mwh == [1_800_000 + 10_000, None, None]
