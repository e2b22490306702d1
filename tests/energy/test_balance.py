"""Consumption over a gap of one meter is right as a whole, and even within it."""

from hypothesis import given
from hypothesis import strategies as st

from logger.energy.balance import bridges_of, consumption, even_out
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
    used = consumption({name: one.energy_mwh for name, one in streams.items()}, streams, QUARTERS)
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
