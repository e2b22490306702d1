"""What is not known makes the balance of a quarter hour unknown, up to exact limits."""

import pytest

from logger.ledger.battery import Account, Bound, Gap
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Readings, Stretch
from logger.ledger.doubts import Doubts, Island
from logger.ledger.limits import Limits, Stream
from logger.ledger.register import read_register

EDGES_S = range(0, 3_601, 900)


def read(*points: tuple[int, float]) -> Curve:
    """A register that reads some Wh at some seconds."""
    readings = Readings()
    for at_s, value_wh in points:
        readings.extend("ct", [at_s], [value_wh], [0.0])
    return read_register(readings, None, Limits(), since_s=0, until_s=10**6, gap_s=900)


def steady(since_s: int = 0, until_s: int = 3_600, each_wh: float = 0.0) -> Curve:
    times = sorted({since_s, *range(0, 3_601, 300), until_s})
    return read(*((at_s, 40_000 + each_wh * at_s / 300) for at_s in times if since_s <= at_s <= until_s))


def at_rest(**more: list[Bound] | list[Gap] | list[Stretch]) -> Account:
    nothing: Energy = [None] * 4
    found = Account(nothing.copy(), nothing.copy())
    for name, value in more.items():
        setattr(found, name, value)
    return found


def adrift(island: Island, battery: Curve | None = None, meter: Curve | None = None) -> list[int]:
    """Which quarter hours of four are unknown by an island."""
    streams = {Stream.IMPORT: meter or steady(), Stream.EXPORT: steady(), Stream.DISCHARGE: battery or steady()}
    balance: Energy = [7, 7, 7, 7]
    Doubts(at_rest(), [island], streams, EDGES_S, is_total=True).resolve(balance, is_counted=False)
    assert {mwh for mwh in balance if mwh is not None} <= {7}
    return [i for i, mwh in enumerate(balance) if mwh is None]


def test_an_island_touches_each_quarter_hour_that_it_lies_in() -> None:
    assert adrift(Island(900, 1_800, is_generator=True)) == [1]
    assert adrift(Island(899, 1_801, is_generator=True)) == [0, 1, 2]
    assert adrift(Island(1_000, None, is_generator=True)) == [1, 2, 3]
    assert adrift(Island(1_000, None, is_generator=False)) == []


@pytest.mark.parametrize(("mwh", "unknown"), [(5_000, []), (5_001, [1])])
def test_a_meter_that_counts_at_most_5_wh_in_a_quarter_hour_is_off_the_grid(mwh: int, unknown: list[int]) -> None:
    off = read((0, 40_000), (900, 40_000), (1_800, 40_000 + mwh / 1_000), (2_700, 40_000 + mwh / 1_000))
    assert adrift(Island(0, 3_600, is_generator=False), meter=off) == unknown


def test_what_the_meter_counted_before_and_after_an_island_is_none_of_its_own() -> None:
    on_off_on = read(
        *((at_s, 40_000 + at_s / 10) for at_s in (0, 300, 600, 900, 1_200)),
        *((at_s, 40_120) for at_s in (1_500, 1_800, 2_100)),
        *((at_s, 40_120 + (at_s - 2_100) / 10) for at_s in (2_400, 2_700, 3_000, 3_300, 3_600)),
    )
    assert adrift(Island(1_200, 2_100, is_generator=False), meter=on_off_on) == []
    # Since the reading at 2100 s it counted on the grid that was back before the next.
    assert adrift(Island(1_200, 2_300, is_generator=False), meter=on_off_on) == []
    assert adrift(Island(1_200, 2_401, is_generator=False), meter=on_off_on) == [2]
    assert adrift(Island(1_100, 2_100, is_generator=False), meter=on_off_on) == [1]


def test_the_storage_ct_has_to_be_there_from_an_islands_first_instant_to_its_last() -> None:
    island = Island(600, 3_000, is_generator=False)
    assert adrift(island, steady(600, 3_000)) == []
    assert adrift(island, steady(601, 3_000)) == [0]
    assert adrift(island, steady(600, 2_999)) == [3]
    streams = {Stream.IMPORT: steady(), Stream.DISCHARGE: steady()}
    balance: Energy = [7] * 4
    Doubts(at_rest(), [island], streams, EDGES_S, is_total=True).resolve(balance, is_counted=False)
    assert balance == [None] * 4  # without export the meter is not known to be silent


@pytest.mark.parametrize("is_total", [True, False])
def test_an_island_leaves_a_consumption_ct_alone_unless_there_is_a_battery(*, is_total: bool) -> None:
    island = Island(900, 1_800, is_generator=True)
    for account, expected in ((at_rest(), [7] * 4), (at_rest(there_s=[(900, 1_000)]), [7, None, 7, 7])):
        balance: Energy = [7] * 4
        doubts = Doubts(account, [island], {}, EDGES_S, is_total)
        assert doubts.has_battery is (expected != [7] * 4)
        assert doubts.resolve(balance, is_counted=True) == []
        assert balance == expected


def test_what_power_gives_is_added_and_what_it_takes_is_taken_off_the_total_alone() -> None:
    account = Account([None, 1, None, 3], [20, None, None, 10])
    for is_total, expected in ((True, [120, 99, 100, None]), (False, [100, 100, 100, None])):
        balance: Energy = [100, 100, 100, None]
        Doubts(account, [], {}, EDGES_S, is_total).resolve(balance, is_counted=True)
        assert balance == expected


def bounded(balance: Energy, bound: Bound) -> Energy | None:
    """The balance over a bounded gap, or None where it is too uncertain."""
    gaps = [Gap(bound.start_s, bound.end_s)]
    doubts = Doubts(at_rest(bounds=[bound], gaps=gaps), [], {}, EDGES_S, is_total=True)
    found = doubts.resolve(balance, is_counted=False)
    assert found in ([], [bound[:2]])
    return balance if found else None


def test_a_balance_is_known_to_the_twentieth_part_of_what_the_house_used() -> None:
    # Drawn 1000 and given 1000 mWh: at most 100 may be uncertain.
    assert bounded([500, 500, 9, 9], Bound(0, 1_800, 900.0, 1_100.0)) == [1_000, 1_000, 9, 9]
    assert bounded([500, 500, 9, 9], Bound(0, 1_800, 898.0, 1_102.0)) is None
    # Three quarters of 1200 belong to the gap; of 900 it gave a third in its first quarter hour.
    assert bounded([400, 800, 9, 9], Bound(450, 1_800, 810.0, 990.0)) == [700, 1_400, 9, 9]
    assert bounded([400, 800, 9, 9], Bound(450, 1_800, 808.0, 992.0)) is None
    assert bounded([9, 400, 800, 9], Bound(900, 2_250, 810.0, 990.0)) == [9, 1_000, 1_100, 9]


def test_a_bounded_gap_in_which_anything_else_is_unknown_is_unknown() -> None:
    balance: Energy = [500, None, 9, 9]
    assert bounded(balance, Bound(0, 1_800, 1_000.0, 1_000.0)) is None
    assert balance == [None, None, 9, 9]


def test_a_gap_without_bounds_is_unknown() -> None:
    balance: Energy = [1, 2, 3, 4]
    account = at_rest(gaps=[Gap(0, 900), Gap(2_700, None)])
    assert Doubts(account, [], {}, EDGES_S, is_total=True).resolve(balance, is_counted=True) == []
    assert balance == [None, 2, 3, None]
    balance = [1, 2, 3, 4]
    Doubts(account, [], {}, EDGES_S, is_total=False).resolve(balance, is_counted=True)
    assert balance == [1, 2, 3, 4]


def told(gap: Gap, consumed: Energy, *, is_total: bool = True, stream: Stream = Stream.IMPORT) -> list[int]:
    doubts = Doubts(at_rest(gaps=[gap]), [], {stream: steady()}, range(900, 4_501, 900), is_total)
    return [event.at_s for event in doubts.decisions(consumed)]


def test_unknown_stretches_are_told_where_they_begin_and_end_in_the_window() -> None:
    nothing: Energy = [None] * 4
    assert told(Gap(1_800, 2_700), [1, None, 1, 1]) == [1_801, 2_700]
    assert told(Gap(1_800, 2_700), [None, 1, None, None]) == []
    assert told(Gap(1_800, None), nothing) == [1_801]
    assert told(Gap(900, 4_500), nothing) == [901, 4_500]
    assert told(Gap(899, 4_501), nothing) == []
    assert told(Gap(4_499, 4_501), nothing) == [4_500]
    assert told(Gap(0, 901), nothing) == [901]
    assert told(Gap(0, 900), nothing) == []
    assert told(Gap(1_800, 2_700), nothing, is_total=False) == []
    assert told(Gap(1_800, 2_700), nothing, stream=Stream.CONSUMPTION_CT) == [1_801, 2_700]
    assert told(Gap(1_800, 2_700), nothing, stream=Stream.PRODUCTION) == []


def test_nothing_is_measured_of_the_total_while_it_is_adrift() -> None:
    island, ct = Island(1_000, 1_900, is_generator=True), {Stream.CONSUMPTION_CT: steady()}
    account = at_rest(uncovered_s=[(5, 9)])
    for streams, is_total, expected in (
        ({Stream.IMPORT: steady()}, True, [(5, 9), (900, 1_800), (1_800, 2_700)]),
        ({Stream.DISCHARGE: steady()}, True, [(5, 9), (900, 1_800), (1_800, 2_700)]),
        (ct, True, [(5, 9)]),
        ({Stream.IMPORT: steady()}, False, []),
    ):
        assert list(Doubts(account, [island], streams, EDGES_S, is_total).uncovered_s) == expected


def test_an_island_is_told_with_its_reason() -> None:
    for is_generator, reason in ((True, "a generator runs"), (False, "the site is off grid")):
        islands = [Island(1_000, None, is_generator)]
        doubts = Doubts(at_rest(), islands, {Stream.IMPORT: steady()}, EDGES_S, is_total=True)
        (event,) = doubts.decisions([None] * 4)
        assert event.detail.startswith(f"{reason} from 1970-01-01 00:16:40")
