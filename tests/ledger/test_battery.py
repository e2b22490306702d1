"""Batteries without a CT: power counts where no counter does, and what is not known makes consumption unknown."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logger.clock import QUARTER_S
from logger.ledger.battery import Batteries, PowerState, Sample
from logger.ledger.curve import Anchor, Readings
from logger.ledger.doubts import KIND, Island
from logger.ledger.flows import Interval, Settlement, settle
from logger.ledger.limits import Stream

START_S = 1_772_323_200
DAY_S = 86_400
END_S = START_S + DAY_S
STEP_S = 300
#: mWh of a quarter hour of 400 W, which the house takes in by import alone
IMPORT_MWH = 100_000


def counted(each_wh: float, since_s: int = 0, until_s: int = DAY_S, missing: range | None = None) -> Readings:
    """A register that is read every five minutes, and counts alike each time."""
    found = Readings()
    for at_s in range(since_s, until_s + 1, STEP_S):
        if missing is None or at_s not in missing:
            found.extend("ct", [START_S + at_s], [40_000 + each_wh * at_s / STEP_S], [each_wh * 12])
    return found


def site(**more: Any) -> dict[tuple[Stream, str], Readings]:
    each_wh = {Stream.PRODUCTION: 0.0, Stream.IMPORT: IMPORT_MWH / 3000, Stream.EXPORT: 0.0}
    return {(stream, "total"): counted(wh, **more) for stream, wh in each_wh.items()}


def powers(power_w: float | None, unknown: range = range(0), until_s: int = DAY_S, **levels: Any) -> list[Sample]:
    return [
        Sample(START_S + at_s, None if at_s in unknown else power_w, **levels) for at_s in range(0, until_s + 1, STEP_S)
    ]


def settled(
    samples: dict[str, list[Sample]] | list[Sample], registers: dict[tuple[Stream, str], Readings], **more: Any
) -> Settlement:
    kinds = samples if isinstance(samples, dict) else {"encharge": samples}
    batteries = Batteries(kinds, more.pop("states", {}), more.pop("rated_w", {}))
    fixed = {"since_s": START_S, "until_s": END_S, "gap_s": 900, "peak_power_w": None}
    return settle(registers, {}, {}, **fixed | more, batteries=batteries)


def used(found: Settlement, phase: str = "total") -> list[int | None]:
    return [interval.consumption_mwh for interval in found.intervals if interval.phase == phase]


def battery(interval: Interval) -> tuple[int | None, int | None, int | None]:
    return interval.battery_charge_mwh, interval.battery_discharge_mwh, interval.battery_estimated_mwh


def test_what_batteries_give_and_take_by_their_power_is_consumed_or_not() -> None:
    given = settled(powers(1_000.0), site())
    assert {battery(interval) for interval in given.intervals} == {(0, 250_000, 250_000)}
    assert set(used(given)) == {350_000}
    taken = settled(powers(-200.0), site())
    assert {battery(interval) for interval in taken.intervals} == {(50_000, 0, 50_000)}
    assert set(used(taken)) == {50_000}
    assert {interval.covered_s for interval in taken.intervals} == {QUARTER_S}
    assert taken.decisions == []


def test_a_battery_at_rest_gives_nothing() -> None:
    found = settled(powers(49.0), site(), rated_w={"encharge": [(START_S, 5_000.0)]})
    assert {battery(interval) for interval in found.intervals} == {(0, 0, 0)}
    grown = settled(powers(60.0), site(), rated_w={"encharge": [(START_S, 5_000.0), (START_S + 7_200, 10_000.0)]})
    assert [interval.battery_discharge_mwh for interval in grown.intervals[6:10]] == [15_000, 12_500, 0, 0]


def test_a_power_that_changes_its_sign_was_each_for_half_of_the_time() -> None:
    """As where a load goes on and off: a line between both samples would miss a half of either."""
    samples = [Sample(START_S + at_s, 600.0 if at_s % 600 else -600.0) for at_s in range(0, DAY_S + 1, 300)]
    found = settled(samples, site())
    sums = [sum(filter(None, side)) for side in zip(*map(battery, found.intervals), strict=True)]
    assert sums == pytest.approx([7_200_000, 7_200_000, 14_400_000], abs=50)


def test_single_polls_without_power_are_nothing_but_a_gap_is_unknown() -> None:
    once = settled(powers(1_000.0, range(3_600, 4_200)), site())
    assert set(used(once)) == {350_000}
    found = settled(powers(1_000.0, range(3_600, 5_400)), site())
    # From 55 min to 90 min after midnight
    assert [i for i, mwh in enumerate(used(found)) if mwh is None] == [3, 4, 5]
    assert [interval.battery_discharge_mwh for interval in found.intervals[3:6]] == [166_667, None, None]
    assert [interval.covered_s for interval in found.intervals[2:7]] == [900, 600, 0, 0, 900]
    assert [(event.at_s - START_S, event.kind) for event in found.decisions] == [(3_301, KIND), (5_400, KIND)]


@pytest.mark.parametrize(("import_wh", "is_known"), [(500.0, True), (20.0, False)])
def test_stored_energy_before_and_after_a_gap_may_bound_what_was_consumed(import_wh: float, is_known: bool) -> None:
    """The level fell by 500 of 5000 Wh; the house drew 6 kW, or too little beside what is uncertain."""
    samples = [
        Sample(START_S + at_s, None if 3_600 < at_s < 10_800 else 300.0, 3_000.0 if at_s <= 3_600 else 2_500.0, 5_000.0)
        for at_s in range(0, DAY_S + 1, STEP_S)
    ]
    registers = site() | {(Stream.IMPORT, "total"): counted(import_wh)}
    found = used(settled(samples, registers))
    rest = round(import_wh * 3_000) + 75_000
    assert set(found[:4] + found[12:]) == {rest}
    within = found[4:12]
    if is_known:
        assert sum(filter(None, within)) == pytest.approx(import_wh * 24_000 + 500_000, rel=0.05)
        assert max(filter(None, within)) - min(filter(None, within)) <= 1
    else:
        assert set(within) == {None}


def test_nothing_is_known_of_a_site_whose_batteries_never_tell_and_it_is_said_once() -> None:
    found = settled(powers(None), site())
    assert set(used(found)) == {None}
    assert {interval.grid_import_mwh for interval in found.intervals} == {IMPORT_MWH}
    assert {interval.covered_s for interval in found.intervals} == {QUARTER_S}
    assert [(event.at_s, event.kind) for event in found.decisions] == [(START_S + 1, KIND)]


def test_a_storage_ct_goes_before_power_and_the_change_is_an_event() -> None:
    half = DAY_S // 2
    ct = {(Stream.DISCHARGE, "total"): counted(50.0, half), (Stream.CHARGE, "total"): counted(0.0, half)}
    found = settled(powers(1_000.0), site() | ct)
    assert {battery(interval) for interval in found.intervals[:48]} == {(0, 250_000, 250_000)}
    assert {battery(interval) for interval in found.intervals[48:]} == {(0, 150_000, None)}
    assert used(found) == [350_000] * 48 + [250_000] * 48
    assert [(event.at_s - START_S, event.kind) for event in found.decisions] == [(half, "source_change")]


def test_while_a_storage_ct_is_there_a_lost_channel_is_not_made_up_by_power() -> None:
    lost = DAY_S - 4 * 3_600
    ct = {(stream, "total"): counted(50.0, 0, lost) for stream in (Stream.DISCHARGE, Stream.CHARGE)}
    ct |= {(stream, "L1"): counted(25.0) for stream in (Stream.DISCHARGE, Stream.CHARGE)}
    found = settled(powers(1_000.0), site() | ct)
    assert [battery(i) for i in found.intervals if i.phase == "total" and i.starts_s >= START_S + lost] == [
        (None, None, None)
    ] * 16
    assert used(found)[-16:] == [None] * 16


def test_a_storage_ct_that_was_taken_out_is_followed_by_power() -> None:
    half = DAY_S // 2
    ct = {(stream, "total"): counted(wh, 0, half) for stream, wh in ((Stream.DISCHARGE, 50.0), (Stream.CHARGE, 0.0))}
    found = settled(powers(1_000.0), site() | ct)
    assert used(found) == [250_000] * 48 + [350_000] * 48
    assert [event.kind for event in found.decisions] == ["source_change"]
    assert {interval.covered_s for interval in found.intervals} == {QUARTER_S}


def test_ac_batteries_count_while_known_and_alone_they_are_needed() -> None:
    both = {"encharge": powers(105.0), "acb": powers(260.0, range(3_600, DAY_S + 1))}
    found = settled(both, site())
    assert used(found)[:3] == [IMPORT_MWH + 91_250] * 3
    assert set(used(found)[4:]) == {IMPORT_MWH + 26_250}
    assert found.decisions == []
    alone = settled({"acb": powers(260.0, range(3_600, DAY_S + 1))}, site())
    assert used(alone)[:3] == [IMPORT_MWH + 65_000] * 3
    assert set(used(alone)[3:]) == {None}


def test_consumption_of_a_phase_is_unknown_beside_batteries_without_a_ct() -> None:
    registers = site() | {(stream, "L1"): readings for (stream, _), readings in site().items()}
    found = settled(powers(0.0), registers)
    assert set(used(found, "L1")) == {None}
    assert set(used(found)) == {IMPORT_MWH}


def test_while_a_generator_runs_or_off_grid_consumption_is_unknown_and_import_stays() -> None:
    islands = [Island(START_S + 3_600, START_S + 5_000, True), Island(END_S - 1_800, None, False)]
    found = settled(powers(1_000.0), site(), islands=islands)
    assert [i for i, mwh in enumerate(used(found)) if mwh is None] == [4, 5, 94, 95]
    assert {interval.grid_import_mwh for interval in found.intervals} == {IMPORT_MWH}
    assert [interval.covered_s for interval in found.intervals[3:7]] == [900, 0, 0, 900]
    assert [event.at_s for event in found.decisions] == [START_S + 3_601, START_S + 5_000, END_S - 1_799]


def test_off_grid_a_storage_ct_balances_a_house_whose_meter_counts_nothing() -> None:
    ct = {(stream, "total"): counted(wh) for stream, wh in ((Stream.DISCHARGE, 50.0), (Stream.CHARGE, 0.0))}
    off = Readings()
    for at_s in range(0, DAY_S + 1, STEP_S):
        value_wh = 40_000 + 33.0 * (min(at_s, 3_600) + max(0, at_s - 7_200)) / STEP_S
        off.extend("ct", [START_S + at_s], [value_wh], [0.0])
    registers = site() | ct | {(Stream.IMPORT, "total"): off}
    islands = [Island(START_S + 3_600, START_S + 7_200, False)]
    found = settled([], registers, islands=islands)
    assert used(found)[4:8] == [150_000] * 4
    assert found.decisions == []
    assert set(used(settled([], site() | ct, islands=islands))[4:8]) == {None}


def test_batteries_that_were_taken_out_are_unknown_for_a_week_and_then_no_longer_there() -> None:
    days = 9
    registers = site(until_s=days * DAY_S)
    found = settled(powers(1_000.0), registers, until_s=START_S + days * DAY_S)
    known = used(found)
    assert known[:96] == [350_000] * 96
    assert set(known[96 : 8 * 96]) == {None}
    assert set(known[8 * 96 :]) == {IMPORT_MWH}


@given(
    st.lists(
        st.tuples(st.integers(1, 1_500), st.none() | st.integers(-9_000, 9_000).map(float)), min_size=1, max_size=60
    ),
    st.lists(st.integers(1, 95), max_size=4, unique=True),
)
def test_energy_is_what_power_gave_however_the_day_is_cut(
    steps: list[tuple[int, float | None]], cuts: list[int]
) -> None:
    """Each step between known powers that is no gap counts once; consumption is the balance, or unknown."""
    samples, at_s = [], START_S
    for step_s, power_w in steps:
        at_s += step_s
        samples.append(Sample(at_s, power_w))
    samples = [sample for sample in samples if sample.at_s <= END_S]
    whole = settled(samples, site())
    known = [(sample.at_s, sample.power_w) for sample in samples if sample.power_w is not None]
    net_mwh = sum((a + b) / 2 * (t - s) / 3.6 for (s, a), (t, b) in pairwise(known) if t - s <= 900)
    given_mwh = sum((i.battery_discharge_mwh or 0) - (i.battery_charge_mwh or 0) for i in whole.intervals)
    assert given_mwh == pytest.approx(net_mwh, abs=200)
    for interval in whole.intervals:
        charge, discharge, estimated = battery(interval)
        assert estimated == (None if charge is None or discharge is None else charge + discharge)
    rows: dict[int, Interval] = {}
    states: dict[str, PowerState] = {}
    since_s, anchors = START_S, dict[tuple[Stream, str], Anchor]()
    for until_s in [*(START_S + QUARTER_S * cut + 450 for cut in sorted(cuts)), END_S]:
        after_s = since_s if anchors else since_s - 1
        window = {key: _within(readings, after_s, until_s) for key, readings in site().items()}
        mine = [sample for sample in samples if after_s < sample.at_s <= until_s]
        found = settle(
            window, {}, anchors, since_s=since_s, until_s=until_s, gap_s=900, peak_power_w=None,
            batteries=Batteries({"encharge": mine} if mine else {}, states),
        )  # fmt: skip
        rows = {start_s: row for start_s, row in rows.items() if start_s < since_s}
        rows |= {interval.starts_s: interval for interval in found.intervals}
        since_s, anchors, states = found.settled_s, found.anchors, found.batteries
    assert list(rows.values()) == whole.intervals


def _within(readings: Readings, after_s: int, until_s: int) -> Readings:
    kept = [i for i, at_s in enumerate(readings.at_s) if after_s < at_s <= until_s]
    parts = (readings.at_s, readings.value_mwh, readings.power_w, readings.source)
    return Readings(*([part[i] for i in kept] for part in parts))  # type: ignore[arg-type]
