"""Energy from power: only what was measured, and only what a site can have."""

import pytest

from logger.clock import QUARTER_S
from logger.energy.counters import count
from logger.energy.power import believable, integrate, most_w_of, net_bounds_w
from logger.energy.series import Series
from logger.energy.streams import PRODUCTION, limits_of

START_S = 1_772_323_200


def test_a_step_to_or_from_an_unknown_power_is_unknown() -> None:
    times = [START_S + 300 * n for n in range(4)]
    net = integrate(times, [1_200.0, 1_200.0, None, 1_200.0], gap_s=900)
    assert net.imports_mwh == {START_S: 100_000.0}
    assert net.covered_s == {START_S: 300}


def test_runs_of_powers_that_cannot_be_are_left_out_together() -> None:
    times = [60 * n for n in range(6)]
    powers = [1.0, 90_000.0, 80_000.0, 2.0, -90_000.0, 3.0]
    good, bad = believable(times, powers, lambda _: (-7_500.0, 50_000.0))
    assert good == [1.0, None, None, 2.0, None, 3.0]
    assert bad == [[(60, 90_000.0), (120, 80_000.0)], [(240, -90_000.0)]]


@pytest.mark.parametrize("peak_power_w", [None, 5_000.0])
def test_the_sun_of_the_same_quarter_hour_is_believed_where_no_peak_power_is_known(
    peak_power_w: float | None,
) -> None:
    """Ten dark days, and then 20 kW that the counter confirms."""
    series = Series()
    dark = 10 * 96
    values = [0.0] * dark + [5_000.0 * n for n in range(1, 5)]
    times = [START_S + QUARTER_S * n for n in range(len(values))]
    series.extend("ct", times, values, [20_000.0] * len(values))
    limits = limits_of(PRODUCTION, None)
    made = count(series, None, limits, since_s=START_S, until_s=times[-1], gap_s=QUARTER_S)
    streams = {PRODUCTION: made}
    bounds_w = net_bounds_w(streams, most_w_of(streams, peak_power_w, START_S))
    least_w, _ = bounds_w(times[dark + 1])
    assert (least_w < -20_000) == (peak_power_w is None)
