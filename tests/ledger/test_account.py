"""What batteries without a CT did, by samples at exact limits."""

from collections.abc import Sequence

import pytest

from logger.ledger.battery import (
    BOUND_S,
    Account,
    Batteries,
    Bound,
    Gap,
    PowerState,
    Sample,
    account,
    add_power,
    states_at,
    without,
)  # fmt: skip
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Readings
from logger.ledger.limits import RECOVERY_S, RETIRED_S, Limits, Stream, StreamKey
from logger.ledger.register import read_register

EDGES_S = range(0, 3_601, 900)


def ct(first_s: int, last_s: int, key: StreamKey = (Stream.DISCHARGE, "total")) -> dict[StreamKey, Curve]:
    readings = Readings()
    readings.extend("ct", [first_s, last_s], [40_000.0, 40_001.0], [0.0, 0.0])
    return {key: read_register(readings, None, Limits(), since_s=0, until_s=10**7, gap_s=900)}


def told(
    samples: Sequence[Sample],
    newest_s: int = 3_600,
    curves: dict[StreamKey, Curve] | None = None,
    rated_w: Sequence[tuple[int, float]] = (),
    **state: PowerState,
) -> Account:
    batteries = Batteries({"encharge": samples}, state, {"encharge": rated_w})
    return account(batteries, curves or {}, EDGES_S, newest_s, 900)


def each(power_w: float, *times: int) -> list[Sample]:
    return [Sample(at_s, power_w) for at_s in times]


def test_power_below_a_hundredth_of_what_is_rated_is_nothing_and_a_hundredth_is_something() -> None:
    times = range(0, 3_601, 900)
    rated_w = [(900, 5_000.0), (2_700, 10_000.0)]
    assert told(each(50.0, *times), rated_w=rated_w).discharge_mwh == [12_500, 12_500, 6_250, 0]
    assert told(each(-49.9, *times), rated_w=rated_w).charge_mwh == [0] * 4
    assert told(each(-49.9, *times)).charge_mwh == [12_475] * 4


def test_power_that_changes_its_sign_within_900_s_was_each_for_half_of_the_time() -> None:
    found = told([Sample(0, 720.0), Sample(900, -360.0), Sample(1_800, -360.0)])
    assert (found.discharge_mwh, found.charge_mwh) == ([90_000, 0, None, None], [45_000, 90_000, None, None])
    late = told([Sample(0, 720.0), Sample(901, -360.0), Sample(1_800, -360.0)])
    assert (late.discharge_mwh[0], late.gaps) == (None, [Gap(0, 901), Gap(1_800, None)])


def test_samples_more_than_900_s_apart_leave_a_gap_that_stays_open_at_the_end() -> None:
    times = 0, 900, 1_800, 2_701, 3_600
    found = told(each(600.0, *times), 4_500)
    assert (found.gaps, found.uncovered_s, found.open_s) == ([Gap(1_800, 2_701)], [(1_800, 2_701)], [3_600])
    late = told(each(600.0, *times), 4_501)
    assert (late.gaps, late.open_s) == ([Gap(1_800, 2_701), Gap(3_600, None)], [])
    assert late.uncovered_s == [(1_800, 2_701), (3_600, 3_600 + RETIRED_S)]


def test_a_battery_whose_first_samples_lack_power_is_unknown_from_its_first_on() -> None:
    samples = [Sample(0, None), Sample(300, None), *each(600.0, 600, 1_200, 1_800, 2_400, 3_000, 3_600)]
    found = told(samples)
    assert (found.gaps, found.uncovered_s) == ([Gap(0, 600)], [])
    assert told(samples[2:]).gaps == []
    never = told(samples[:2])
    assert (never.gaps, never.open_s, never.charge_mwh) == ([Gap(0, None)], [], [None] * 4)


def test_stored_energy_bounds_what_was_given_over_a_day_at_most() -> None:
    def bounds(over_s: int, before_wh: float | None, after_wh: float | None, capacity_wh: float | None) -> list[Bound]:
        samples = [Sample(0, 600.0, before_wh, 9_999.0), Sample(over_s, 600.0, after_wh, capacity_wh)]
        return told(samples, over_s).bounds

    # Fallen by 1000 Wh of 5000, to a percent: 950 to 1050 Wh, of which 15 % and a quarter of a cycle may be lost.
    half = 0.25 * 5_000 / 2
    (fallen,) = bounds(43_200, 3_000.0, 2_000.0, 5_000.0)
    assert fallen == pytest.approx((0, 43_200, 1_000 * (950 * 0.85 - half), 1_050_000))
    # Risen by 1000 Wh: 950 to 1050 Wh, and more was taken for them.
    (risen,) = bounds(43_200, 2_000.0, 3_000.0, 5_000.0)
    assert risen == pytest.approx((0, 43_200, 1_000 * (-1_050 / 0.85 - half), -950_000))
    assert len(bounds(BOUND_S, 3_000.0, 2_000.0, 5_000.0)) == 1
    assert bounds(BOUND_S + 1, 3_000.0, 2_000.0, 5_000.0) == []
    assert bounds(900, 3_000.0, 2_000.0, 5_000.0) == []
    for levels in ((None, 2_000.0, 5_000.0), (3_000.0, None, 5_000.0), (3_000.0, 2_000.0, None)):
        assert bounds(43_200, *levels) == []


def test_a_gap_that_may_be_bound_is_open_for_a_day() -> None:
    full, unrated = Sample(0, 600.0, 3_000.0, 5_000.0), Sample(0, 600.0, 3_000.0)
    assert told([full], BOUND_S).open_s == [0]
    assert told([full], BOUND_S + 1).open_s == []
    assert told([unrated], 900).open_s == [0]
    assert told([unrated], 901).open_s == told([Sample(0, 600.0, None, 5_000.0)], 901).open_s == []
    beside = Batteries({"encharge": [full], "acb": each(0.0, 0)})
    assert account(beside, {}, EDGES_S, BOUND_S, 900).open_s == []


def test_a_storage_ct_is_gone_after_six_hours_of_silence() -> None:
    samples = each(600.0, *range(0, 3_601, 900))
    there = told(samples, 1_800 + RECOVERY_S, ct(900, 1_800))
    assert (there.is_ct_gone, there.there_s) == (False, [(0, 900)])
    assert [event.at_s for event in there.decisions] == [900]
    gone = told(samples, 1_801 + RECOVERY_S, ct(900, 1_800))
    assert gone.is_ct_gone
    assert gone.there_s[0] == (0, 900)
    assert gone.there_s[1][0] == 1_800
    assert [event.at_s for event in gone.decisions] == [900, 2_700]
    assert gone.discharge_mwh == [150_000, None, 150_000, 150_000]
    # Its last reading in total counts, also where a phase went on.
    both = ct(900, 1_800) | ct(900, 2_700, (Stream.CHARGE, "L1"))
    assert told(samples, 1_801 + RECOVERY_S, both).is_ct_gone is False
    assert told(samples, 2_701 + RECOVERY_S, both).there_s[1][0] == 1_800


def test_a_storage_ct_that_was_there_before_the_window_or_the_batteries_is_no_change() -> None:
    assert told(each(600.0, 900), curves=ct(900, 3_600)).decisions == []
    assert told(each(600.0, 899), curves=ct(900, 3_600)).decisions != []
    state = PowerState(-300, -300, -300, 600.0)
    assert told([], curves=ct(0, 3_600), encharge=state).decisions == []
    assert told([], curves=ct(1, 3_600), encharge=state).decisions != []


def test_batteries_that_are_silent_for_a_week_are_no_longer_there() -> None:
    assert told(each(600.0, 0), RETIRED_S).there_s[0][1] > 10**9
    assert told(each(600.0, 0), RETIRED_S + 1).there_s == [(0, RETIRED_S)]
    read = ct(1, RETIRED_S, (Stream.PRODUCTION, "total"))
    for back_s, expected in ((RETIRED_S, 1), (RETIRED_S + 1, 2)):
        there_s = told(each(600.0, 0, back_s), back_s, read).there_s
        assert (len(there_s), there_s[-1][0]) == (expected, 0 if expected == 1 else back_s)
    # While nothing else was read either, the logger was away, and not the batteries.
    assert len(told(each(600.0, 0, RETIRED_S + 9), RETIRED_S + 9).there_s) == 1


def test_counting_goes_on_from_the_last_sample_and_the_last_known_up_to_an_instant() -> None:
    samples = [Sample(300, None), Sample(600, 5.0, 1.0, 2.0), Sample(900, None), Sample(1_200, 6.0)]
    batteries = Batteries({"encharge": samples})
    assert states_at(batteries, 299) == {}
    assert states_at(batteries, 300) == {"encharge": PowerState(300, 300)}
    assert states_at(batteries, 1_199) == {"encharge": PowerState(900, 300, 600, 5.0, 1.0, 2.0)}
    assert states_at(batteries, 1_200) == {"encharge": PowerState(1_200, 300, 1_200, 6.0)}
    later = Batteries({}, states_at(batteries, 1_199))
    assert (later.first_s, states_at(later, 1_800)) == (300, states_at(batteries, 1_199))
    assert Batteries().first_s > 10**12


def test_power_is_added_where_it_is_known() -> None:
    energy: dict[Stream, Energy] = {Stream.CHARGE: [None, None, 5, 5]}
    add_power(energy, Account([None, 1, 2, None], [3, None, 0, None]))
    assert energy == {Stream.CHARGE: [None, 1, 7, 5], Stream.DISCHARGE: [3, None, 0, None]}


def test_what_is_left_of_stretches_never_is_empty() -> None:
    assert without([(0, 10), (20, 30)], [(5, 25)]) == [(0, 5), (25, 30)]
    assert without([(0, 10)], [(0, 10)]) == []
    assert without([(0, 10)], [(2, 3), (9, 99)]) == [(0, 2), (3, 9)]
    assert without([(0, 10)], [(10, 20)]) == [(0, 10)]
