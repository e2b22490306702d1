"""What a utility's meter counts that balances its phases, from what each phase counts for itself."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logger.clock import QUARTER_S
from logger.ledger.curve import Anchor, Readings
from logger.ledger.flows import Interval, settle
from logger.ledger.limits import RETIRED_S, Stream, StreamKey
from logger.ledger.two_way import PhaseStep, two_way_mwh
from logger.simulator.houses import HOUSES
from tests.balanced import errors_pct

START_S = 1_772_323_200
GAP_S = 900
LINES = ("L1", "L2", "L3")
WAYS = (Stream.IMPORT, Stream.EXPORT)
#: seconds since the poll before, and of each phase what it took and gave (mWh), its power (W) at the end, and whether
#: it answered
PHASE = st.tuples(
    st.integers(0, 20_000), st.sampled_from([0, 0, 1, 7_000]), st.integers(-3_000, 3_000), st.integers(0, 9)
)
POLL = st.tuples(st.sampled_from([60, 47, 300, 840, 901, 5_000]), st.tuples(PHASE, PHASE, PHASE))
Polls = Sequence[tuple[int, tuple[tuple[int, int, int, int], ...]]]
EACH_FIVE_MINUTES: Polls = [(290, ((number * 900, 0, 500, 1),) * 3) for number in range(6)]
Registers = dict[StreamKey, Readings]


def registers(polls: Polls, *, total: bool = True, begins: tuple[int, ...] = (0, 0, 0)) -> Registers:
    """What a gateway reports of phases and of their sum; a phase that answers 0 is missing in that poll."""
    found: Registers = {(way, phase): Readings() for way in WAYS for phase in (*LINES, "total")}
    at_s, counts = START_S, [[50_000_000, 90_000_000] for _ in LINES]
    for number, (step_s, phases) in enumerate(polls):
        at_s += step_s
        for count, (taken, given_mwh, _, _) in zip(counts, phases, strict=True):
            count[0] += taken
            count[1] += given_mwh
        powers_w = [float(phase[2]) for phase in phases]
        rows = [*zip(LINES, counts, powers_w, strict=True)]
        rows = [row for row, phase, begin in zip(rows, phases, begins, strict=True) if phase[3] and number >= begin]
        if total:
            rows.append(("total", [sum(column) for column in zip(*counts, strict=True)], sum(powers_w)))
        for phase, both_mwh, power_w in rows:
            for way, value_mwh, sign in zip(WAYS, both_mwh, (1, -1), strict=True):
                found[way, phase].extend("ct", [at_s], [value_mwh / 1000], [sign * power_w])
    return {key: readings for key, readings in found.items() if readings.at_s}


def settled(found: Registers, until_s: int, since_s: int = START_S, anchors: dict[StreamKey, Anchor] | None = None,
            is_balanced: bool = True) -> tuple[list[Interval], int, dict[StreamKey, Anchor]]:  # fmt: skip
    anchors = anchors or {}
    part: Registers = {}
    for key, readings in found.items():
        after_s = anchors[key].at_s if key in anchors else since_s - 1
        kept = [i for i, at_s in enumerate(readings.at_s) if after_s < at_s <= until_s]
        if kept:
            part[key] = Readings(
                [readings.at_s[i] for i in kept],
                [readings.value_mwh[i] for i in kept],
                [readings.power_w[i] for i in kept],
                [readings.source[i] for i in kept],
            )
    result = settle(part, {}, anchors, since_s=since_s, until_s=until_s, gap_s=GAP_S, peak_power_w=None,
                    is_balanced=is_balanced)  # fmt: skip
    return result.intervals, result.settled_s, result.anchors


def by_quarter(intervals: list[Interval]) -> dict[int, dict[str, Interval]]:
    found: dict[int, dict[str, Interval]] = {}
    for interval in intervals:
        found.setdefault(interval.starts_s, {})[interval.phase] = interval
    return found


@settings(max_examples=80, deadline=None)
@given(polls=st.lists(POLL.filter(lambda poll: poll[0] < GAP_S), min_size=2, max_size=8))
def test_the_balance_of_each_quarter_hour_is_that_of_the_phases_and_neither_way_is_more_than_their_sum(
    polls: Polls,
) -> None:
    # A phase may miss a poll, and each is there at both ends.
    last = (polls[-1][0], tuple((*phase[:3], 1) for phase in polls[-1][1]))
    polls = [(60, last[1]), *polls[:-1], last]
    found = registers(polls)
    common_s = sorted(set.intersection(*(set(found[Stream.IMPORT, line].at_s) for line in LINES)))
    if max(b - a for a, b in pairwise(common_s)) > GAP_S:
        # Over a gap of one phase alone, the total's registers know more.
        polls = [(step_s, tuple((*phase[:3], 1) for phase in phases)) for step_s, phases in polls]
        found = registers(polls)
    produced = found[Stream.PRODUCTION, "total"] = Readings()
    times = found[Stream.IMPORT, "total"].at_s
    # More than enough for what was given.
    produced.extend("ct", times, [40.0 * number for number, _ in enumerate(times)], [2_400.0] * len(times))
    balanced, per_phase = (settled(found, 2 * START_S, is_balanced=is_balanced)[0] for is_balanced in (True, False))
    # What the house used does not depend on how the grid's meter counts.
    used_mwh = [sum(row.consumption_mwh or 0 for row in rows if row.phase == "total") for rows in (balanced, per_phase)]
    assert used_mwh[0] == pytest.approx(used_mwh[1], abs=10)
    for quarter in by_quarter(balanced).values():
        total, phases = quarter["total"], [quarter[line] for line in LINES if line in quarter]
        if None in {phase.grid_import_mwh for phase in phases}:
            continue
        imports = sum(phase.grid_import_mwh or 0 for phase in phases)
        exports = sum(phase.grid_export_mwh or 0 for phase in phases)
        assert total.grid_import_mwh is not None
        assert total.grid_export_mwh is not None
        assert total.grid_import_mwh - total.grid_export_mwh == imports - exports
        assert 0 <= total.grid_import_mwh <= imports
        assert 0 <= total.grid_export_mwh <= exports


@settings(max_examples=100, deadline=None)
@given(
    polls=st.lists(POLL, min_size=3, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=5),
    begins=st.tuples(*[st.sampled_from([0, 0, 3, 9, 99])] * 3),
    resets=st.lists(st.tuples(st.integers(1, 24), st.sampled_from([*LINES, "total"])), max_size=2),
    silence_s=st.sampled_from([0, 0, RETIRED_S]),
    alone=st.sets(st.integers(1, 24), max_size=2),
)
@example(polls=EACH_FIVE_MINUTES, cuts=[4], begins=(0, 0, 0), resets=[], silence_s=0, alone={2})
def test_what_is_counted_does_not_depend_on_where_counting_went_on(
    polls: Polls,
    cuts: list[int],
    begins: tuple[int, ...],
    resets: list[tuple[int, str]],
    silence_s: int,
    alone: set[int],
) -> None:
    # In some polls the total is there alone.
    polls = [
        (step_s, tuple((*phase[:3], 0 if number in alone else phase[3]) for phase in phases))
        for number, (step_s, phases) in enumerate(polls)
    ]
    polls = [*polls[:-1], (polls[-1][0] + silence_s, polls[-1][1])]
    found = registers(polls, begins=begins)
    for number, phase in resets:
        for way in WAYS:
            if (way, phase) in found:
                values = found[way, phase].value_mwh
                values[number:] = [value - 40_000_000 for value in values[number:]]
    whole = by_quarter(settled(found, 2 * START_S)[0])
    ends_s = [START_S]
    for step_s, _ in polls:
        ends_s.append(ends_s[-1] + step_s)
    live: dict[int, dict[str, Interval]] = {}
    since_s, anchors = START_S, None
    for until_s in sorted({ends_s[cut] for cut in cuts if cut < len(ends_s)} | {2 * START_S}):
        intervals, settled_s, after = settled(found, until_s, since_s, anchors)
        live = {start_s: rows for start_s, rows in live.items() if start_s < since_s} | by_quarter(intervals)
        if settled_s > since_s:
            since_s, anchors = settled_s, after
    assert live == whole


def test_what_one_phase_gives_while_another_takes_is_neither_import_nor_export() -> None:
    polls: Polls = [(60, ((20_000, 0, 1_200, 1), (0, 30_000, -1_800, 1), (0, 0, 0, 1)))] * 60
    rows = by_quarter(settled(registers(polls), 2 * START_S)[0])[START_S + QUARTER_S]
    assert (rows["total"].grid_import_mwh, rows["total"].grid_export_mwh) == (0, 150_000)
    assert (rows["L1"].grid_import_mwh, rows["L2"].grid_export_mwh) == (300_000, 450_000)
    per_phase = by_quarter(settled(registers(polls), 2 * START_S, is_balanced=False)[0])[START_S + QUARTER_S]
    assert (per_phase["total"].grid_import_mwh, per_phase["total"].grid_export_mwh) == (300_000, 450_000)


def test_over_a_gap_only_the_balance_is_known() -> None:
    steady = ((20_000, 0, 1_200, 1), (0, 30_000, -1_800, 1), (0, 0, 0, 1))
    far = ((400_000, 0, 1_200, 1), (0, 100_000, -1_800, 1), (300_000, 300_000, 5_000, 1))
    polls: Polls = [(60, steady)] * 15 + [(3_600, far)] + [(60, steady)] * 15
    rows = by_quarter(settled(registers(polls), 2 * START_S)[0])
    over = [rows[START_S + QUARTER_S * n]["total"] for n in range(1, 5)]
    assert [(row.grid_import_mwh, row.grid_export_mwh, row.covered_s) for row in over] == [(75_000, 0, 0)] * 4


def test_phases_that_begin_later_balance_from_then_on() -> None:
    steady = ((20_000, 0, 1_200, 1), (0, 30_000, -1_800, 1), (0, 0, 0, 1))
    rows = by_quarter(settled(registers([(60, steady)] * 60, begins=(30, 30, 30)), 2 * START_S)[0])
    imports = [rows[START_S + QUARTER_S * n]["total"].grid_import_mwh for n in range(4)]
    assert imports == [14 * 20_000, 15 * 20_000, 20_000, 0]


STEADY = (10_000, 0, 600.0, 600.0)


@pytest.mark.parametrize(
    ("phases", "both_mwh"),
    [
        ([STEADY, (0, 20_000, -1_200.0, -1_200.0)], 0),  # nothing is switched
        ([STEADY, (0, 0, 0.0, 0.0)], 0),
        ([(5_000, 5_000, 600.0, -600.0)], 5_000),  # half a minute each way
        ([(7_500, 2_500, 600.0, -600.0)], 2_500),  # three quarters and one
        ([(7_500, 2_500, -600.0, 600.0)], 2_500),
        ([(5_000, 5_000, 600.0, 600.0)], 5_000),  # the other way in between
        # Switched on in the middle beside one that gives 600 W: a quarter above zero, by 600 W.
        ([(15_000, 0, 0.0, 1_800.0), (0, 15_000, -900.0, -900.0)], 7_500),
        # Two that are switched at the same time, and one after the other.
        ([(10_000, 0, 0.0, 1_200.0), (0, 10_000, 0.0, -1_200.0)], 0),
        ([(5_000, 0, 0.0, 1_200.0), (0, 15_000, 0.0, -1_200.0)], 0),
        ([(5_000, 0, 1_200.0, 0.0), (0, 5_000, 0.0, -1_200.0), (0, 0, 0.0, 0.0)], 5_000),
        # A battery on all phases gives what a load on one of them takes.
        ([(10_000, 0, 300.0, 300.0), (0, 5_000, -150.0, -150.0), (0, 5_000, -150.0, -150.0)], 0),
        # A heater on both legs, off at both readings, is on at once on both; two different ones are not.
        ([(5_000, 2_500, -300.0, -300.0), (5_000, 2_500, -300.0, -300.0)], 5_000),
        ([(5_000, 2_500, -300.0, -300.0), (9_000, 2_500, -300.0, -300.0), (0, 0, 0.0, 0.0)], 2_500),
        ([(0, 10_000, None, -600.0), STEADY], 0),  # only the balance is known
    ],
)
def test_power_had_two_levels_on_each_phase(phases: list[PhaseStep], both_mwh: int) -> None:
    assert two_way_mwh(60, phases) == pytest.approx(both_mwh, abs=1)


@settings(max_examples=100, deadline=None)
@given(
    step_s=st.integers(1, 900),
    phases=st.lists(st.tuples(*[st.integers(0, 200_000)] * 2, *[st.floats(-9_000, 9_000)] * 2), min_size=1, max_size=3),
)
def test_what_went_both_ways_is_known_of_any_numbers(step_s: int, phases: list[PhaseStep]) -> None:
    both_mwh = two_way_mwh(step_s, phases)
    assert both_mwh >= 0
    # Nothing changes when import is called export.
    turned = [(out, into, -(before or 0), -(after or 0)) for into, out, before, after in phases]
    assert two_way_mwh(step_s, turned) == pytest.approx(both_mwh, abs=1)


def test_polls_each_minute_show_what_a_balancing_meter_counts_to_a_percent() -> None:
    for all_days_pct, _ in errors_pct(HOUSES["three-phase"].shape, days=1, every_s=60):
        assert abs(all_days_pct) < 1


def test_power_without_counters_is_balanced_or_counted_per_phase() -> None:
    times = list(range(START_S, START_S + 3_601, 60))
    found: Registers = {}
    net_power = {}
    for phase, made_w, used_w in (("L1", 3_000.0, 600.0), ("L2", 0.0, 1_800.0), ("total", 3_000.0, 2_400.0)):
        for stream, power_w in ((Stream.PRODUCTION, made_w), (Stream.CONSUMPTION_CT, used_w)):
            readings = found[stream, phase] = Readings()
            values = [power_w * (at_s - START_S) / 3_600 for at_s in times]
            readings.extend("ct", times, values, [power_w] * len(times))
        net_power[phase] = times, [used_w - made_w] * len(times)
    for is_balanced, both_mwh in ((True, (0, 150_000)), (False, (450_000, 600_000))):
        result = settle(found, net_power, {}, since_s=START_S, until_s=times[-1], gap_s=GAP_S, peak_power_w=None,
                        is_balanced=is_balanced)  # fmt: skip
        total = by_quarter(result.intervals)[START_S + QUARTER_S]["total"]
        assert (total.grid_import_mwh, total.grid_export_mwh) == both_mwh
        assert total.consumption_mwh == 600_000
