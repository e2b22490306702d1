"""What went both ways in an hour, for phases whose levels are plain; powers in W, so that Wh are the same numbers."""

import pytest

from logger.ledger.two_way import PhaseStep, two_way_mwh

#: A third phase at nothing: with two alone, levels of their sum count as well.
IDLE: PhaseStep = (0, 0, 0.0, 0.0)


def taking(mean_w: float, before_w: float, after_w: float | None = None) -> PhaseStep:
    """A phase that counted one way alone, of some mean power and of that at its ends."""
    into_mwh, out_mwh = round(1000 * max(0.0, mean_w)), round(1000 * max(0.0, -mean_w))
    return into_mwh, out_mwh, before_w, before_w if after_w is None else after_w


def both(into_w: float, out_w: float, before_w: float, after_w: float) -> PhaseStep:
    return round(1000 * into_w), round(1000 * out_w), before_w, after_w


def steady(power_w: float) -> PhaseStep:
    return taking(power_w, power_w)


def both_ways_w(*phases: PhaseStep) -> float:
    return two_way_mwh(3_600, phases) / 1000


def near(power_w: float) -> object:
    return pytest.approx(power_w, abs=0.002)


def test_what_keeps_its_side_of_zero_goes_one_way() -> None:
    assert two_way_mwh(3_600, [steady(600.0)]) == two_way_mwh(3_600, [steady(-600.0), IDLE, IDLE]) == 0
    # Its ends were below zero, but what counted nothing out had its other level at zero at least.
    assert two_way_mwh(3_600, [taking(30.0, -100.0)]) == two_way_mwh(3_600, [taking(-30.0, 100.0)]) == 0


def test_up_to_a_watt_is_no_way() -> None:
    assert both_ways_w(both(1.0, 600.0, -1_200.0, -1_200.0)) == 0
    assert both_ways_w(both(1.001, 600.0, -1_200.0, -1_200.0)) == near(1.001)
    assert both_ways_w(both(600.0, 1.0, 1_200.0, 1_200.0)) == 0
    assert both_ways_w(both(600.0, 1.001, 1_200.0, 1_200.0)) == near(1.001)


def test_a_mean_at_the_level_of_one_end_was_that_level_all_the_time() -> None:
    assert both_ways_w(taking(100.0, 100.0, 300.0), steady(-150.0), IDLE) == 0
    assert both_ways_w(taking(300.0, 100.0, 300.0), steady(-250.0), IDLE) == 0
    assert both_ways_w(taking(200.0, 100.0, 300.0), steady(-150.0), IDLE) == near(25.0)


def test_up_to_30_w_beyond_the_power_of_an_end_it_was_at_that_level_too() -> None:
    assert both_ways_w(taking(70.0, 100.0, 300.0), steady(-85.0), IDLE) == 0
    assert both_ways_w(taking(330.0, 100.0, 300.0), steady(-310.0), IDLE) == 0
    # 200 W at both ends, and 138 W half of the time
    assert both_ways_w(taking(169.0, 200.0), steady(-160.0), IDLE) == near((160 - 138) / 2)
    assert both_ways_w(taking(170.0, 200.0), steady(-160.0), IDLE) == 0


def test_loads_of_more_than_100_w_that_are_alike_are_one() -> None:
    # Both at once half of the time, 10 or 111 W beside -130; or each for itself, 10 or 110 W.
    assert both_ways_w(*[taking(60.5, 10.0)] * 2, steady(-130.0)) == near((222 - 130) / 2)
    assert both_ways_w(*[taking(60.0, 10.0)] * 2, steady(-130.0)) == near((220 - 130) / 4)


def test_loads_that_differ_by_15_percent_are_alike_and_by_more_are_two() -> None:
    assert both_ways_w(taking(85.0, 0.0), taking(100.0, 0.0), steady(-190.0)) == near((370 - 190) / 2)
    apart_w = (368 - 190) / 4 + (200 - 190) / 4
    assert both_ways_w(taking(84.0, 0.0), taking(100.0, 0.0), steady(-190.0)) == near(apart_w)


def test_loads_that_run_for_times_a_tenth_apart_are_two() -> None:
    # 200 W for 0.4 of the time, and 200 W for 0.305 or 0.3 of it
    assert both_ways_w(taking(80.0, -40.0), taking(61.0, -78.0), steady(-190.0)) == near(0.3525 * 210)
    apart_w = 0.4 * 0.3 * 210 + (0.4 * 0.7 + 0.6 * 0.3) * 10
    assert both_ways_w(taking(80.0, -40.0), taking(60.0, -80.0), steady(-190.0)) == near(apart_w)


def test_jumps_that_cancel_out_to_15_percent_are_one() -> None:
    assert both_ways_w(taking(100.0, 0.0), taking(-85.0, 0.0), steady(-10.0)) == near(10 / 2)
    assert both_ways_w(taking(100.0, 0.0), taking(-84.0, 0.0), steady(-10.0)) == near((10 + 178) / 4)


def test_of_two_phases_half_is_by_the_levels_of_their_sum() -> None:
    phases = taking(75.0, 0.0), taking(-40.0, -100.0)
    # 0 or 150 W, half of the time each, and -100 W or nothing: -100 W for a fifth of the time
    assert both_ways_w(*phases, IDLE) == near(20.0)
    # -100 and 170 W of the sum, half of the time each
    assert both_ways_w(*phases) == near((20.0 + 50.0) / 2)


def test_a_phase_that_went_over_once_did_so_in_the_order_of_its_ends() -> None:
    rises, other = both(300.0, 100.0, -200.0, 600.0), taking(200.0, 0.0, 400.0)
    falls = both(300.0, 100.0, 600.0, -200.0)
    assert both_ways_w(rises, other, IDLE) == near(200 / 2)
    assert both_ways_w(falls, other, IDLE) == 0
    assert both_ways_w(falls, taking(200.0, 400.0, 0.0), IDLE) == near(200 / 2)


def test_both_ways_of_a_phase_tell_how_long_it_was_at_the_level_that_is_known() -> None:
    # 600 W for a quarter of the time gives 150
    assert both_ways_w(both(150.0, 100.0, 600.0, 600.0), steady(-400.0), IDLE) == near(200 / 4)
    assert both_ways_w(both(300.0, 100.0, 600.0, 600.0), steady(-400.0), IDLE) == near(200 / 2)
    assert both_ways_w(both(100.0, 150.0, -600.0, -600.0), steady(400.0), IDLE) == near(200 / 4)
    # Two of them are one load.
    assert both_ways_w(*[both(150.0, 100.0, 600.0, 600.0)] * 2, steady(-900.0)) == near(300 / 4)


def test_phases_that_both_leave_the_higher_level_do_it_at_once() -> None:
    leaving = both(300.0, 100.0, 590.0, 600.0), taking(400.0, 800.0)
    assert both_ways_w(*leaving, IDLE) == near(200 / 2)


def test_power_that_is_not_known_shows_nothing() -> None:
    for unknown in ((5_000, 5_000, None, 600.0), (5_000, 5_000, 600.0, None)):
        assert two_way_mwh(3_600, [both(300.0, 100.0, 600.0, 600.0), unknown]) == 0
