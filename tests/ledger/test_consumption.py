"""Consumption over a gap of one meter is right as a whole, and even within it."""

from hypothesis import given
from hypothesis import strategies as st

from logger.ledger.consumption import RECOVERED_S, Energy, consumption, recover_deficits, spread_evenly
from logger.ledger.curve import Curve, Readings, joined
from logger.ledger.limits import Limits, Stream
from logger.ledger.register import read_register

EDGES_S = range(0, 97 * 900, 900)
DAY_S = EDGES_S[-1]


def edges(balance: Energy) -> range:
    return range(0, (len(balance) + 1) * 900, 900)


def counting(points: list[tuple[int, float]]) -> Curve:
    """A register that reads some Wh at some seconds."""
    readings = Readings()
    for at_s, value_wh in points:
        readings.extend("ct", [at_s], [value_wh], [0.0])
    until_s = DAY_S + 10**6
    return read_register(readings, None, Limits(), since_s=0, until_s=until_s, gap_s=900)


def steady(until_s: int, each_wh: float) -> Curve:
    """A register from the start up to an instant, counting alike in each quarter hour."""
    return counting([(at_s, 40_000 + each_wh * at_s / 900) for at_s in range(0, until_s + 1, 900)])


def used(curves: dict[Stream, Curve]) -> Energy:
    energy = {stream: curve.energy(EDGES_S) for stream, curve in curves.items()}
    return consumption(energy, curves, EDGES_S, DAY_S).energy_mwh


def test_consumption_is_production_and_import_less_export_and_standby() -> None:
    streams = {Stream.PRODUCTION: 500, Stream.IMPORT: 300, Stream.EXPORT: 200, Stream.STANDBY: 1}
    curves = {stream: steady(DAY_S, wh) for stream, wh in streams.items()}
    assert used(curves) == [599_000] * 96


def test_while_standby_is_silent_consumption_is_known_without_it() -> None:
    curves = {
        Stream.PRODUCTION: steady(DAY_S, 500),
        Stream.IMPORT: steady(DAY_S, 300),
        Stream.EXPORT: steady(DAY_S, 200),
        Stream.STANDBY: steady(DAY_S // 2, 1),
    }
    assert used(curves) == [599_000] * 48 + [600_000] * 48


def test_a_battery_is_added_to_the_balance_and_to_a_consumption_ct() -> None:
    battery = {Stream.DISCHARGE: steady(DAY_S, 50), Stream.CHARGE: steady(DAY_S, 20)}
    net = {stream: steady(DAY_S, 100) for stream in (Stream.IMPORT, Stream.EXPORT)}
    produced = {Stream.PRODUCTION: steady(DAY_S, 500)}
    assert used(produced | net | battery) == [530_000] * 96
    own = {Stream.CONSUMPTION_CT: steady(DAY_S, 400)}
    assert used(produced | own | battery) == [430_000] * 96
    assert used(produced | net | own) == [400_000] * 96
    assert used(produced) == [None] * 96


def test_a_silent_battery_makes_consumption_unknown_but_a_future_one_does_not() -> None:
    late = [(at_s, 40_000.0) for at_s in range(DAY_S // 2, DAY_S + 1, 900)]
    curves = {
        Stream.PRODUCTION: steady(DAY_S, 500),
        Stream.IMPORT: steady(DAY_S, 100),
        Stream.EXPORT: steady(DAY_S, 100),
        Stream.DISCHARGE: counting(late[:24]),
        Stream.CHARGE: counting(late[:24]),
    }
    assert used(curves) == [500_000] * 71 + [None] * 25


def test_over_a_gap_of_the_meter_consumption_is_even_and_its_sum_right() -> None:
    """The sun shines in the second half of a gap of import and export."""
    produced = [(at_s, 40_000 + max(0, at_s - 18_000) / 9) for at_s in range(0, 36_001, 900)]
    points = [at_s for at_s in range(0, 36_001, 900) if at_s <= 9_000 or at_s >= 27_000]
    curves = {
        Stream.PRODUCTION: counting(produced),
        Stream.IMPORT: counting([(at_s, 40_000 + at_s / 36) for at_s in points]),
        Stream.EXPORT: counting([(at_s, 40_000 + max(0, at_s - 27_000) / 36) for at_s in points]),
    }
    found = used(curves)
    assert found[:10] == [25_000] * 10
    assert found[10:30] == [(20 * 25_000 + 1_000_000) // 20] * 20
    assert found[40:] == [None] * 56


def test_what_others_counted_while_a_register_was_broken_off_is_no_balance() -> None:
    """Import begins anew half way in a quarter hour."""
    minutes = range(0, 2701, 60)
    imported = [(s, 40_000 + s / 36) if s <= 1200 else (s, (s - 1380) / 36) for s in minutes]
    imported = [point for point in imported if point[0] <= 1200 or point[0] >= 1380]
    curves = {
        Stream.PRODUCTION: counting([(s, 40_000 + s / 9) for s in minutes]),
        Stream.IMPORT: counting(imported),
        Stream.EXPORT: counting([(s, 40_000.0) for s in minutes]),
    }
    assert used(curves)[:3] == [125_000, 125_000 * 720 // 900, 125_000]


def test_bridges_that_overlap_are_one_and_those_that_touch_are_two() -> None:
    bridges_s = [(0, 100), (200, 300), (50, 150), (300, 400)]
    assert joined(bridges_s) == [(0, 150), (200, 300), (300, 400)]


def test_within_a_bridge_each_quarter_hour_has_the_same() -> None:
    balance: Energy = [7, 0, 90, 30, 8]
    spread_evenly(balance, edges(balance), [(300, 3700)])
    assert balance == [7, 40, 40, 40, 8]


def test_what_would_be_negative_at_the_ends_is_taken_from_the_bridge() -> None:
    balance: Energy = [-30, 60, 90, 0]
    spread_evenly(balance, edges(balance), [(300, 2700)])
    assert balance == [40, 40, 40, 0]


def test_what_is_unknown_stays_unknown() -> None:
    balance: Energy = [None, 5, 15, None]
    spread_evenly(balance, edges(balance), [(0, 3600)])
    assert balance == [None, 10, 10, None]


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=96, max_size=96),
    st.lists(st.tuples(st.integers(0, 86_399), st.integers(1, 40_000)), max_size=4),
)
def test_the_sum_over_all_quarter_hours_stays(values: Energy, gaps: list[tuple[int, int]]) -> None:
    balance = values.copy()
    spread_evenly(balance, EDGES_S, joined((s, s + d) for s, d in gaps))
    assert sum(mwh or 0 for mwh in balance) == sum(mwh or 0 for mwh in values)


def test_what_a_register_catches_up_with_soon_is_spread_over_its_standstill() -> None:
    balance: Energy = [50, -700, -700, 1550, 50]
    assert recover_deficits(balance, edges(balance), [], 4500) == ([(900, 3600)], [])
    assert balance == [50, 50, 50, 50, 50]


def test_what_nothing_makes_up_for_soon_stays_and_is_open_while_more_may_come() -> None:
    late = RECOVERED_S // 900 + 2
    balance: Energy = [*(-10 for _ in range(late)), 10**6]
    before = balance.copy()
    assert recover_deficits(balance[:3], edges(balance[:3]), [], 2700) == ([], [0, 900, 1800])
    spread_s, open_s = recover_deficits(balance, edges(balance), [], 900 * (late + 20))
    assert balance[0] == before[0]
    assert spread_s == [(900 * 2, 900 * (late + 1))]
    assert open_s == []


def test_what_a_bridge_spreads_is_not_made_up_for_by_what_follows() -> None:
    balance: Energy = [-10, 50, -10, 50]
    assert recover_deficits(balance, edges(balance), [(100, 800)], 3600) == ([(1800, 3600)], [])
    assert balance == [-10, 50, 20, 20]


@given(
    st.lists(st.none() | st.integers(-1000, 1000), min_size=96, max_size=96),
    st.lists(st.tuples(st.integers(0, 86_399), st.integers(1, 20_000)), max_size=2),
    st.integers(1, 95),
)
def test_making_up_keeps_the_sum_and_is_the_same_wherever_it_goes_on(
    values: list[int | None], gaps: list[tuple[int, int]], now: int
) -> None:
    bridges_s = joined((s, s + d) for s, d in gaps)
    whole = values.copy()
    recover_deficits(whole, EDGES_S, bridges_s, DAY_S + 10**6)
    assert sum(mwh or 0 for mwh in whole) == sum(mwh or 0 for mwh in values)
    assert [mwh is None for mwh in whole] == [mwh is None for mwh in values]
    live = values[:now]
    spread_s, open_s = recover_deficits(live, EDGES_S[: now + 1], bridges_s, 900 * now)
    from_s = min([900 * now, *open_s])
    for start_s, end_s in reversed(spread_s):
        if start_s < from_s < end_s:
            from_s = start_s
    first = from_s // 900
    rest = values[first:]
    recover_deficits(rest, EDGES_S[first:], bridges_s, DAY_S + 10**6)
    assert live[:first] + rest == whole
