"""Energy from net power: only what was measured, and only what a site can have."""

import pytest

from logger.clock import QUARTER_S
from logger.ledger.consumption import Energy
from logger.ledger.curve import Anchor, Curve, Readings
from logger.ledger.limits import Stream, limits_of
from logger.ledger.net_power import (
    Integrated,
    add_net_power,
    implausible_power_events,
    integrate,
    max_power_w,
    plausible,
    together,
)
from logger.ledger.register import read_register

START_S = 1_772_323_200
EDGES_S = range(START_S, START_S + 5 * QUARTER_S, QUARTER_S)


def counting(times: list[int], values_wh: list[float], stream: Stream) -> Curve:
    readings = Readings()
    readings.extend("ct", times, values_wh, [None] * len(times))
    limits = limits_of(stream, None)
    return read_register(readings, None, limits, since_s=START_S, until_s=times[-1], gap_s=QUARTER_S)


def test_a_step_to_or_from_an_unknown_power_is_unknown() -> None:
    times = [START_S + 300 * n for n in range(4)]
    net = integrate(times, [1_200.0, 1_200.0, None, 1_200.0], EDGES_S, gap_s=900)
    assert net.imports_mwh == [100_000.0, 0, 0, 0]
    assert net.covered_s == [300, 0, 0, 0]


def test_power_that_changes_its_sign_is_import_and_export() -> None:
    net = integrate([START_S + 600, START_S + 1200], [-600.0, 1_200.0], EDGES_S, gap_s=900)
    # 200 s of export down from 600 W, 400 s of import up to 1200 W
    assert sum(net.exports_mwh) == pytest.approx(300 * 200 / 3.6)
    assert sum(net.imports_mwh) == pytest.approx(600 * 400 / 3.6)
    assert net.covered_s == [300, 300, 0, 0]
    assert net.imports_mwh[0] == pytest.approx(150 * 100 / 3.6)
    falling = integrate([START_S, START_S + 600], [1_200.0, -600.0], EDGES_S, gap_s=900)
    assert falling.imports_mwh[0] == pytest.approx(600 * 400 / 3.6)
    assert falling.exports_mwh[0] == pytest.approx(300 * 200 / 3.6)


def test_power_over_a_gap_is_unknown() -> None:
    net = integrate([START_S, START_S + 901], [900.0, 900.0], EDGES_S, gap_s=900)
    assert net.covered_s == [0, 0, 0, 0]


def test_what_was_before_the_first_quarter_hour_is_not_added() -> None:
    net = integrate([START_S - 300, START_S + 300], [900.0, 900.0], EDGES_S, gap_s=900)
    assert net.imports_mwh == [75_000.0, 0, 0, 0]


def test_powers_that_cannot_be_are_left_out_and_each_run_is_reported_once() -> None:
    times = [60 * n for n in range(1, 7)]
    powers = [1.0, 90_000.0, 80_000.0, 2.0, -90_000.0, 3.0]
    good = plausible(times, powers, {}, max_power_w({}, 5_000.0))
    assert good == [1.0, None, None, 2.0, None, 3.0]
    events = list(implausible_power_events(times, powers, good, "L1", 0))
    assert [(event.at_s, event.subject) for event in events] == [(120, "net power L1"), (300, "net power L1")]
    assert events[0].detail.startswith("90000 W is more than this site can have")
    assert [e.at_s for e in implausible_power_events(times, powers, good, "L1", 120)] == [300]


def test_a_battery_may_give_as_much_as_the_house_may_draw() -> None:
    curves = {Stream.DISCHARGE: counting([START_S, START_S + 60], [0.0, 0.0], Stream.DISCHARGE)}
    max_w = max_power_w({}, 5_000.0)
    assert max_w(Stream.CONSUMPTION_CT, START_S) == 50_000
    assert plausible([START_S], [-20_000.0], {}, max_w) == [None]
    assert plausible([START_S], [-57_500.0], curves, max_w) == [-57_500.0]
    assert plausible([START_S], [-57_501.0], curves, max_w) == [None]
    assert plausible([START_S, START_S + 1], [-20_000.0] * 2, {}, max_w, START_S + 1) == [None, -20_000.0]
    assert plausible([START_S] * 2, [50_000.0, 50_001.0], {}, max_w) == [50_000.0, None]


@pytest.mark.parametrize("peak_power_w", [None, 5_000.0])
def test_without_a_known_peak_power_the_sun_of_the_same_quarter_is_believed(peak_power_w: float | None) -> None:
    """Ten dark days, and then 20 kW that the register confirms."""
    dark = 10 * 96
    values = [0.0] * dark + [5_000.0 * n for n in range(1, 5)]
    times = [START_S + QUARTER_S * n for n in range(len(values))]
    streams = {Stream.PRODUCTION: counting(times, values, Stream.PRODUCTION)}
    max_w = max_power_w(streams, peak_power_w)
    assert (max_w(Stream.PRODUCTION, times[dark + 1]) > 20_000) == (peak_power_w is None)
    assert max_w(Stream.PRODUCTION, times[dark - 10]) == (7_500 if peak_power_w else 10_000)
    assert max_w(Stream.PRODUCTION, times[10]) == (7_500 if peak_power_w else 25_000)


def test_without_power_import_less_export_follows_from_the_registers() -> None:
    times = list(range(START_S, START_S + 3601, 300))
    curves = {
        Stream.PRODUCTION: counting(times, [40_000 + n * 50.0 for n in range(13)], Stream.PRODUCTION),
        Stream.CONSUMPTION_CT: counting(times, [40_000 + n * 80.0 for n in range(13)], Stream.CONSUMPTION_CT),
    }
    energy: dict[Stream, Energy] = {s: curve.energy(EDGES_S) for s, curve in curves.items()}
    net = integrate(times[:4] + times[8:], [360.0] * 9, EDGES_S, gap_s=900)
    add_net_power(energy, curves, net, EDGES_S)
    assert energy[Stream.IMPORT] == [90_000, 90_000, 90_000, 90_000]
    assert energy[Stream.EXPORT] == [0, 0, 0, 0]


def test_what_a_net_meter_counted_is_not_made_up_from_others() -> None:
    times = list(range(START_S, START_S + 3601, 300))
    curves = {
        stream: counting(times, [40_000 + n * wh for n in range(13)], stream)
        for stream, wh in ((Stream.PRODUCTION, 80.0), (Stream.CONSUMPTION_CT, 50.0))
    }
    energy: dict[Stream, Energy] = {s: curve.energy(EDGES_S) for s, curve in curves.items()}
    energy[Stream.IMPORT] = [5, None, None, None]
    net = integrate([], [], EDGES_S, gap_s=900)
    add_net_power(energy, curves, net, EDGES_S)
    assert energy[Stream.IMPORT] == [5, 0, 0, 0]
    assert energy[Stream.EXPORT] == [None, 90_000, 90_000, 90_000]


def test_the_first_power_that_cannot_be_is_reported_too() -> None:
    events = implausible_power_events([60, 120, 180], [9.0, 9.0, 9.0], [None, None, 9.0], "L1", 59)
    assert [event.at_s for event in events] == [60]
    assert list(implausible_power_events([60], [9.0], [None], "L1", 60)) == []


def test_zero_power_is_neither_import_nor_export_and_half_of_a_line_from_it_is() -> None:
    net = integrate([START_S, START_S + 360, START_S + 720], [0.0, 0.0, 20.0], EDGES_S, gap_s=900)
    assert (net.imports_mwh[0], net.exports_mwh[0]) == (1_000, 0)
    net = integrate([START_S, START_S + 360, START_S + 720], [-20.0, 0.0, -40.0], EDGES_S, gap_s=900)
    assert (net.imports_mwh[0], net.exports_mwh[0]) == (0, 3_000)


def test_a_step_of_the_longest_gap_is_known_and_what_comes_after_the_last_quarter_hour_is_not_added() -> None:
    times = [START_S + 3 * QUARTER_S + 450, START_S + 4 * QUARTER_S + 450]
    net = integrate(times, [36.0, 36.0], EDGES_S, gap_s=900)
    assert (net.imports_mwh, net.covered_s) == ([0, 0, 0, 4_500], [0, 0, 0, 450])
    assert integrate(times, [36.0, 36.0], EDGES_S, gap_s=899).covered_s == [0, 0, 0, 0]


def test_a_battery_that_is_only_charged_may_give_too() -> None:
    charge = {Stream.CHARGE: counting([START_S, START_S + 60], [0.0, 0.0], Stream.CHARGE)}
    max_w = max_power_w({}, 5_000.0)
    assert plausible([START_S], [-57_500.0], charge, max_w) == [-57_500.0]
    assert plausible([START_S] * 2, [-7_500.0, -7_501.0], {}, max_w) == [-7_500.0, None]


def test_the_most_power_follows_what_was_counted_in_the_quarter_hours_around_it() -> None:
    """Ten dark days, a quarter hour of 20 kW, and dark again: four times that from its beginning on."""
    dark, last_wh = 10 * 96, 5_000.0
    times = [START_S + QUARTER_S * n for n in range(dark + 4)]
    curve = counting(times, [0.0] * (dark + 1) + [last_wh] * 3, Stream.PRODUCTION)
    max_w, bright_s = max_power_w({Stream.PRODUCTION: curve}, None), times[dark]
    found = [max_w(Stream.PRODUCTION, bright_s + at_s) for at_s in (-1, 0, 1, 899, 900, 901, 1_800, 9_000)]
    assert found == [10_000, *[80_000] * 7]
    assert max_w(Stream.CONSUMPTION_CT, bright_s) == 50_000
    week_s = 7 * 86_400
    assert [max_w(Stream.PRODUCTION, START_S + at_s) for at_s in (week_s - 1, week_s)] == [25_000, 10_000]
    assert max_w(Stream.PRODUCTION, START_S) == max_w(Stream.PRODUCTION, START_S - 9_000) == 25_000


def test_the_most_power_before_a_first_reading_is_that_of_a_register_that_is_not_known() -> None:
    curve = counting([START_S + 1_000, START_S + 1_900], [0.0, 5_000.0], Stream.PRODUCTION)
    assert max_power_w({Stream.PRODUCTION: curve}, None)(Stream.PRODUCTION, START_S + 10) == 25_000
    anchor = Anchor("ct", START_S - 60, 0, None, 0, START_S, START_S, START_S - 30 * 86_400, 700_000)
    later = Readings()
    later.extend("ct", [START_S + 1_000], [0.0], [None])
    limits = limits_of(Stream.PRODUCTION, None)
    old = read_register(later, anchor, limits, since_s=START_S, until_s=START_S + 1_000)
    assert max_power_w({Stream.PRODUCTION: old}, None)(Stream.PRODUCTION, START_S + 10) == 11_200


def test_phases_that_count_for_themselves_are_added_and_covered_where_all_are() -> None:
    one, two = Integrated([1.0, 2.0], [3.0, 4.0], [900, 0]), Integrated([10.0, 20.0], [30.0, 40.0], [60, 900])
    assert together([one, two]) == ([11.0, 22.0], [33.0, 44.0], [60, 0])


def test_what_the_registers_know_beyond_power_is_added_only_where_power_was_not_measured() -> None:
    times = list(range(START_S, START_S + 3_601, 300))
    curves = {
        Stream.PRODUCTION: counting(times[2:], [40_000 + n * 20.0 for n in range(11)], Stream.PRODUCTION),
        Stream.CONSUMPTION_CT: counting(times[:-1], [40_000 + n * 50.0 for n in range(12)], Stream.CONSUMPTION_CT),
    }
    nothing = [0.0] * 4
    for covered_s, imports_mwh in (
        ([299, 899, 899, 599], [90_000, 90_000, 90_000, 90_000]),
        ([300, 900, 900, 600], [0, 0, 0, 0]),
        ([0, 0, 0, 0], [90_000, 90_000, 90_000, 90_000]),
    ):
        energy: dict[Stream, Energy] = {Stream.PRODUCTION: [60_000] * 4, Stream.CONSUMPTION_CT: [150_000] * 4}
        add_net_power(energy, curves, Integrated(nothing, nothing, covered_s), EDGES_S)
        assert energy[Stream.IMPORT] == imports_mwh
        assert energy[Stream.EXPORT] == [0, 0, 0, 0]


def test_power_that_was_measured_is_added_to_what_was_counted() -> None:
    energy: dict[Stream, Energy] = {Stream.IMPORT: [5, None, 5, None]}
    net = Integrated([1.0, 1.0, 1.0, 1.0], [2.0] * 4, [60, 60, 0, 0])
    add_net_power(energy, {}, net, EDGES_S)
    assert energy == {Stream.IMPORT: [6, 1, 5, None], Stream.EXPORT: [2, 2, None, None]}
