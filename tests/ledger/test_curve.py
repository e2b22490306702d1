"""What is read off a curve: values between readings, and stretches of time shared between edges."""

import pytest

from logger.clock import QUARTER_S
from logger.ledger.curve import UNKNOWN_W, Curve, Readings, Tie, joined, seconds_of, touched
from logger.ledger.interpolation import interpolated
from logger.ledger.limits import Limits
from logger.ledger.register import read_register

START_S = 1_772_323_200


def read(points: list[tuple[int, float]], powers_w: list[float | None] | float | None = 1_800.0) -> Curve:
    """The curve of a CT on a site of 5 kW, with steps of up to a day."""
    found = Readings()
    powers = powers_w if isinstance(powers_w, list) else [powers_w] * len(points)
    found.extend("ct", [START_S + at_s for at_s, _ in points], [wh for _, wh in points], powers)
    until_s, limits = found.at_s[-1] + 100_000, Limits(peak_w=5_000)
    return read_register(found, None, limits, since_s=START_S, until_s=until_s, gap_s=86_400)


def test_between_readings_a_register_grows_evenly_and_outside_of_them_not_at_all() -> None:
    assert interpolated([10, 20, 30], [100, 200, 500], [5, 10, 11, 20, 21, 30, 99]) == [
        100,
        100,
        110,
        200,
        230,
        500,
        500,
    ]
    assert interpolated([0, 3], [0, 10], [1, 2, 3]) == [3, 6, 10]
    assert interpolated([7], [5], [0, 7, 9]) == [5, 5, 5]
    assert interpolated([0, 10, 20], [4, 4, 6], [5, 10, 15]) == [4, 4, 5]


def test_stretches_that_overlap_are_one_and_those_that_touch_only_where_that_is_asked_for() -> None:
    assert joined([(5, 9), (0, 6), (9, 12), (13, 14)]) == [(0, 9), (9, 12), (13, 14)]
    assert joined([(5, 9), (0, 6), (9, 12), (13, 14)], touching=True) == [(0, 12), (13, 14)]
    assert joined([(0, 9), (2, 3)]) == [(0, 9)]


def test_a_stretch_touches_the_intervals_that_it_shares_time_with() -> None:
    edges_s = [0, 10, 20, 30]
    assert list(touched(edges_s, 10, 20)) == [1]
    assert list(touched(edges_s, 9, 21)) == [0, 1, 2]
    assert list(touched(edges_s, -5, 1)) == [0]
    assert list(touched(edges_s, 29, 99)) == [2]
    assert list(touched(edges_s, 30, 99)) == []
    assert list(touched(edges_s, -9, 0)) == []


def test_time_that_lies_in_several_stretches_counts_once() -> None:
    assert seconds_of([(5, 12), (8, 15), (29, 40), (-3, 1)], [0, 10, 20, 30]) == [6, 5, 1]


def test_the_power_since_a_register_last_grew_is_what_it_owes_and_an_unknown_one_is_much() -> None:
    curve = read([(0, 10.0), (60, 20.0), (120, 20.0), (180, 20.0)], [900.0, 600.0, 300.0, -50.0])
    assert [curve.owed_ws(point) for point in range(4)] == [0, 0, 600 * 60, 600 * 60 + 300 * 60]
    curve = read([(0, 10.0), (60, 20.0), (120, 20.0)], [900.0, 600.0, None])
    assert curve.owed_ws(2) == UNKNOWN_W * 60 == 1_500_000
    curve = read([(0, 10.0), (60, 20.0), (120, 20.0)], [900.0, -600.0, -1.0])
    assert curve.owed_ws(2) == 0


def test_what_is_owed_and_since_when_go_on_over_an_anchor() -> None:
    points = [(0, 10.0), (60, 20.0), (900, 20.0), (960, 20.0)]
    anchor = read(points[:3]).anchor_at(START_S + 900)
    assert anchor is not None
    assert (anchor.owed_ws, anchor.last_increase_s, anchor.first_s) == (1_800 * 840, START_S + 60, START_S)
    later = Readings()
    later.extend("ct", [START_S + 960, START_S + 1020, START_S + 1080], [20.0, 30.0, 30.0], [1_800.0] * 3)
    curve = read_register(later, anchor, Limits(peak_w=5_000), since_s=START_S + 900, until_s=START_S + 1080)
    assert [curve.owed_ws(point) for point in range(4)] == [1_800 * seconds for seconds in (840, 900, 0, 60)]
    assert [curve.last_increase_s(point) - START_S for point in range(4)] == [60, 60, 1020, 1020]
    assert [curve.flat_since_s(curve.flat(point)) - START_S for point in range(4)] == [60, 60, 1020, 1020]


@pytest.mark.parametrize(("over_s", "is_stuck"), [(7_200, False), (7_201, True)])
def test_a_register_is_stuck_until_now_if_it_stood_still_for_more_than_two_hours(
    over_s: int, *, is_stuck: bool
) -> None:
    curve = read([(0, 10.0), (60, 20.0), (60 + over_s, 20.0)])
    assert curve.stretches_s(Tie.STUCK) == ([(START_S + 60, START_S + 60 + over_s)] if is_stuck else [])
    assert curve.open_s == START_S + 60


@pytest.mark.parametrize(("still_s", "open_s"), [(7 * 86_400 - 1, 60), (7 * 86_400, None)])
def test_a_register_that_stands_still_holds_nothing_back_after_a_week(still_s: int, open_s: int | None) -> None:
    times = [60, *range(43_200, still_s, 43_200), 60 + still_s]
    curve = read([(0, 10.0), *((at_s, 20.0) for at_s in times)])
    assert curve.open_s == (None if open_s is None else START_S + open_s)


@pytest.mark.parametrize("over_s", [7_200, 7_201])
def test_what_a_stuck_register_catches_up_is_spread_over_the_time_since_it_stood_still(over_s: int) -> None:
    curve = read([(0, 10.0), (60, 20.0), (60 + over_s, 20.0), (120 + over_s, 3_020.0)])
    is_stuck = over_s > 7_200
    assert [event.kind for event in curve.events] == (["stalled_counter"] if is_stuck else [])
    assert curve.stretches_s(Tie.BRIDGED) == ([(START_S + 60, START_S + 120 + over_s)] if is_stuck else [])
    if is_stuck:
        assert curve.events[0].detail == "stood still since 2026-03-01 00:01:00, then 3.000 kWh more"


def test_a_register_that_is_stuck_beyond_doubt_stays_so_when_power_goes_away() -> None:
    points = [(0, 10.0), (60, 20.0), (4_000, 20.0), (7_261, 20.0), (7_300, 20.0)]
    curve = read(points, [1_800.0, 1_800.0, 1_800.0, 1_800.0, 0.0])
    assert curve.flat_since_s(curve.flat(4)) == START_S + 60
    points[3] = (7_260, 20.0)
    curve = read(points, [1_800.0, 1_800.0, 1_800.0, 1_800.0, 0.0])
    assert curve.flat_since_s(curve.flat(4)) == START_S + 7_300


@pytest.mark.parametrize(("power_w", "since_s"), [(50.0, 180), (51.0, 60), (None, 180)])
def test_a_register_stands_still_under_power_since_the_last_reading_without(
    power_w: float | None, since_s: int
) -> None:
    points = [(0, 10.0), (60, 20.0), (120, 20.0), (180, 20.0), (240, 20.0)]
    curve = read(points, [900.0, 900.0, 900.0, power_w, 900.0])
    assert curve.flat_since_s(curve.flat(4)) == START_S + since_s


def test_a_quarter_hour_that_ends_within_a_gap_teaches_nothing_and_those_beside_it_do() -> None:
    found = Readings()
    times = [0, QUARTER_S, 3 * QUARTER_S, 4 * QUARTER_S, 5 * QUARTER_S]
    found.extend("ct", [START_S + at_s for at_s in times], [0.0, 10.0, 2_010.0, 2_030.0, 2_040.0], [None] * 5)
    curve = read_register(found, None, Limits(peak_w=5_000), since_s=START_S, until_s=START_S + 5 * QUARTER_S)
    known = [curve.max_quarter_mwh(START_S + QUARTER_S * n - less) for n in range(1, 6) for less in (1, 0)]
    assert known == [0, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 20_000, 20_000, 20_000]
    assert curve.max_quarter_mwh(START_S - 5) == 0


def test_the_first_reading_ever_is_where_a_register_begins() -> None:
    curve = read([(7, 10.0), (60, 20.0)])
    at_s = START_S + 7
    assert curve.anchor == ("ct", at_s, 10_000, 1_800.0, 0, at_s, at_s, at_s, 0, 0, 0)
    assert (curve.offsets_mwh, curve.open_s, curve.reopen_s, curve.is_over) == ({0: 0}, None, None, False)


def test_nothing_is_known_of_an_interval_before_the_first_reading_or_after_the_last() -> None:
    curve = read([(10, 0.0), (20, 0.1), (30, 0.3)], None)
    edges_s = [START_S + at_s for at_s in (0, 9, 10, 20, 30, 31)]
    assert curve.energy(edges_s) == [None, None, 100, 200, None]
    assert curve.energy([START_S + 9, START_S + 20]) == [100]
    assert curve.energy([START_S + 20, START_S + 40]) == [200]
