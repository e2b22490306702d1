"""Consumption over a gap of one meter is right as a whole, and even within it."""

from hypothesis import given
from hypothesis import strategies as st

from logger.energy.balance import CATCH_UP_S, bridges_of, consumption, even_out, make_up
from logger.energy.series import Counted, CounterState
from logger.energy.streams import EXPORT, IMPORT, PRODUCTION, STANDBY

QUARTERS = range(0, 96 * 900, 900)


def bridged(*bridges_s: tuple[int, int]) -> Counted:
    return Counted(bridges_s=list(bridges_s))


def counting(until_s: int, each_mwh: int) -> Counted:
    """A counter from the start up to an instant, so much in each quarter hour."""
    energy = {start: each_mwh for start in QUARTERS if start < until_s}
    last = CounterState("ct", until_s, 0, until_s, until_s, 0, 0, each_mwh)
    return Counted(energy_mwh=energy, runs_s=[(0, until_s)], last=last, first_s=0)


def test_while_standby_is_silent_consumption_is_known_without_it() -> None:
    end_s = QUARTERS[-1] + 900
    streams = {
        PRODUCTION: counting(end_s, 500),
        IMPORT: counting(end_s, 300),
        EXPORT: counting(end_s, 200),
        STANDBY: counting(end_s // 2, 1),
    }
    energy = {name: one.energy_mwh for name, one in streams.items()}
    used = consumption(energy, streams, QUARTERS, end_s).energy_mwh
    assert [used[start] for start in QUARTERS] == [599] * 48 + [600] * 48


def test_bridges_that_overlap_are_one_and_those_that_touch_are_two() -> None:
    streams = {"a": bridged((0, 100), (200, 300)), "b": bridged((50, 150), (300, 400))}
    assert bridges_of(streams) == [(0, 150), (200, 300), (300, 400)]


def test_within_a_bridge_each_quarter_hour_has_the_same() -> None:
    balance: dict[int, int | None] = {0: 7, 900: 0, 1800: 90, 2700: 30, 3600: 8}
    even_out(balance, [(300, 3700)])
    assert balance == {0: 7, 900: 40, 1800: 40, 2700: 40, 3600: 8}


def test_what_would_be_negative_at_the_ends_is_taken_from_the_bridge() -> None:
    balance: dict[int, int | None] = {0: -30, 900: 60, 1800: 90, 2700: 0}
    even_out(balance, [(300, 2700)])
    assert balance == {0: 40, 900: 40, 1800: 40, 2700: 0}


def test_what_is_unknown_stays_unknown() -> None:
    balance: dict[int, int | None] = {0: None, 900: 5, 1800: 15, 2700: None}
    even_out(balance, [(0, 3600)])
    assert balance == {0: None, 900: 10, 1800: 10, 2700: None}


@given(
    st.lists(st.integers(-(10**7), 10**7), min_size=96, max_size=96),
    st.lists(st.tuples(st.integers(0, 86_399), st.integers(1, 40_000)), max_size=4),
)
def test_the_sum_over_all_quarter_hours_stays(
    values: list[int], gaps: list[tuple[int, int]]
) -> None:
    balance: dict[int, int | None] = dict(zip(QUARTERS, values, strict=True))
    even_out(balance, bridges_of({"a": bridged(*[(s, s + d) for s, d in gaps])}))
    assert sum(one or 0 for one in balance.values()) == sum(values)


def test_what_a_counter_catches_up_with_soon_is_spread_over_what_it_stood_still() -> None:
    balance: dict[int, int | None] = {0: 50, 900: -700, 1800: -700, 2700: 1550, 3600: 50}
    assert make_up(balance, [], 4500) == ([(900, 3600)], [])
    assert balance == {0: 50, 900: 50, 1800: 50, 2700: 50, 3600: 50}


def test_what_nothing_makes_up_for_soon_stays_and_is_open_while_more_may_come() -> None:
    late = CATCH_UP_S // 900 + 2
    balance: dict[int, int | None] = {900 * n: -10 for n in range(late)}
    balance[900 * late] = 10**6
    before = dict(balance)
    assert make_up(dict(list(balance.items())[:3]), [], 2700) == ([], [0, 900, 1800])
    evened_s, open_s = make_up(balance, [], 900 * (late + 20))
    assert balance[0] == before[0]
    assert evened_s == [(900 * 2, 900 * (late + 1))]
    assert open_s == []


@given(
    st.lists(st.none() | st.integers(-1000, 1000), min_size=96, max_size=96),
    st.lists(st.tuples(st.integers(0, 86_399), st.integers(1, 20_000)), max_size=2),
    st.integers(1, 95),
)
def test_making_up_keeps_the_sum_and_is_the_same_wherever_it_goes_on(
    values: list[int | None], gaps: list[tuple[int, int]], now: int
) -> None:
    bridges_s = bridges_of({"a": bridged(*[(s, s + d) for s, d in gaps])})
    whole: dict[int, int | None] = dict(zip(QUARTERS, values, strict=True))
    make_up(whole, bridges_s, QUARTERS[-1] + 10**6)
    assert sum(one or 0 for one in whole.values()) == sum(one or 0 for one in values)
    assert [one is None for one in whole.values()] == [one is None for one in values]
    live = dict(zip(QUARTERS[:now], values[:now], strict=True))
    evened_s, open_s = make_up(live, bridges_s, 900 * now)
    from_s = min([900 * now, *open_s])
    for start_s, end_s in reversed(evened_s):
        if start_s < from_s < end_s:
            from_s = start_s
    rest = {start: one for start, one in zip(QUARTERS, values, strict=True) if start >= from_s}
    make_up(rest, bridges_s, QUARTERS[-1] + 10**6)
    assert {start: one for start, one in live.items() if start < from_s} | rest == whole
