"""A window of a site is settled as far as nothing can change any more."""

from typing import Any

from logger.ledger.curve import Readings
from logger.ledger.flows import Settlement, settle
from logger.ledger.limits import RETIRED_S, Stream

START_S = 1_772_323_200
DAY_S = 86_400


def steady(until_s: int, each_wh: float, *, since_s: int = 0, source: str = "ct") -> Readings:
    """A register that is read every five minutes, and counts alike each time."""
    found = Readings()
    times = list(range(START_S + since_s, START_S + until_s + 1, 300))
    values = [40_000 + each_wh * n for n in range(len(times))]
    found.extend(source, times, values, [each_wh * 12.0] * len(times))
    return found


def settled(registers: dict[tuple[Stream, str], Readings], until_s: int = DAY_S, **more: Any) -> Settlement:
    net_power = more.pop("net_power", {})
    fixed = {"since_s": START_S, "gap_s": 900, "peak_power_w": None}
    anchors, fixed = more.pop("anchors", {}), fixed | {"until_s": START_S + until_s}
    return settle(registers, net_power, anchors, **fixed | more)


def without(readings: Readings, since_s: int, until_s: int) -> Readings:
    kept = [i for i, at_s in enumerate(readings.at_s) if not since_s < at_s - START_S < until_s]
    return Readings(
        [readings.at_s[i] for i in kept],
        [readings.value_mwh[i] for i in kept],
        [readings.power_w[i] for i in kept],
        [readings.source[i] for i in kept],
    )


NET = {Stream.PRODUCTION: 30.0, Stream.IMPORT: 20.0, Stream.EXPORT: 10.0}


def net(until_s: int, phase: str = "total") -> dict[tuple[Stream, str], Readings]:
    return {(stream, phase): steady(until_s, wh) for stream, wh in NET.items()}


def test_each_quarter_hour_holds_the_flows_of_the_owner() -> None:
    found = settled(net(3600))
    assert [tuple(interval) for interval in found.intervals] == [
        (START_S + 900 * n, "total", 90_000, 120_000, 60_000, 30_000, None, None, 900, 0, None) for n in range(4)
    ]
    assert found.settled_s == START_S + 3600
    assert found.decisions == []


def test_a_site_without_production_has_what_its_meter_counts() -> None:
    found = settled({(Stream.IMPORT, "total"): steady(900, 20.0)})
    assert [tuple(one) for one in found.intervals] == [
        (START_S, "total", None, None, 60_000, None, None, None, 900, 0, None)
    ]


def test_phases_are_settled_each_on_its_own() -> None:
    found = settled(net(1800) | net(1800, "L1"))
    assert [(interval.starts_s - START_S, interval.phase) for interval in found.intervals] == [
        (0, "L1"),
        (900, "L1"),
        (0, "total"),
        (900, "total"),
    ]


def test_a_quarter_hour_that_is_not_over_is_kept_open() -> None:
    found = settled(net(4200))
    assert found.intervals[-1].starts_s == START_S + 3600
    assert (found.intervals[-1].covered_s, found.intervals[-1].production_mwh) == (600, 60_000)
    assert found.settled_s == START_S + 3600
    assert {anchor.at_s for anchor in found.anchors.values()} == {START_S + 3600}


def test_time_before_the_first_reading_is_not_covered() -> None:
    registers = {key: without(readings, -1, 600) for key, readings in net(1800).items()}
    assert [interval.covered_s for interval in settled(registers).intervals] == [300, 900]


def test_the_slowest_stream_holds_the_ledger_back_until_it_is_given_up() -> None:
    for until_s, settled_s in ((RETIRED_S, 3600), (RETIRED_S + 7200, RETIRED_S + 7200)):
        registers = net(until_s)
        registers[Stream.STANDBY, "total"] = steady(3600, 0.0)
        found = settled(registers, until_s)
        assert found.settled_s == START_S + settled_s
        gone = [event.subject for event in found.decisions]
        assert gone == (["standby"] if settled_s > 3600 else [])
    assert found.decisions[0].at_s == START_S + 3600 + RETIRED_S
    covered = {interval.starts_s - START_S: interval.covered_s for interval in found.intervals}
    assert (covered[2700], covered[3600], covered[RETIRED_S + 2700]) == (900, 0, 0)
    assert covered[RETIRED_S + 3600] == 900


def test_an_outage_names_the_streams_it_took_or_the_gateway() -> None:
    registers = net(DAY_S)
    registers = {key: without(readings, 30_000, 36_000) for key, readings in registers.items()}
    imported = Stream.IMPORT, "total"
    registers[imported] = without(registers[imported], 60_000, 63_000)
    found = settled(registers)
    assert [(e.at_s - START_S, e.kind, e.subject) for e in found.decisions] == [
        (30_000, "outage", "gateway"),
        (60_000, "outage", "grid import"),
    ]
    assert found.decisions[0].detail == "nothing measured for 100 min, until 2026-03-01 10:00:00"
    assert {interval.bridged_mwh for interval in found.intervals[34:39]} == {90_000}
    assert sum(interval.bridged_mwh for interval in found.intervals) == 20 * 30_000
    assert sum(interval.consumption_mwh or 0 for interval in found.intervals) == 288 * 40_000


def test_no_checkpoint_is_taken_within_a_bridge() -> None:
    registers = {key: without(readings, 30_000, 36_000) for key, readings in net(36_000).items()}
    slow = Stream.IMPORT, "total"
    registers[slow] = without(net(33_000)[slow], 30_000, 30_001)
    assert settled(registers).settled_s == START_S + 29_700


def test_a_gateways_own_count_is_over_once_a_net_meter_counts() -> None:
    registers = net(DAY_S)
    begin_s = 43_200
    for stream in (Stream.IMPORT, Stream.EXPORT):
        registers[stream, "total"] = steady(DAY_S, NET[stream], since_s=begin_s)
    registers[Stream.CONSUMPTION_CT, "total"] = steady(begin_s - 300, 40.0, source="eim")
    found = settled(registers)
    assert found.settled_s == START_S + DAY_S
    assert {interval.consumption_mwh for interval in found.intervals[:47]} == {120_000}
    assert {interval.consumption_mwh for interval in found.intervals[49:]} == {120_000}
    assert {interval.covered_s for interval in found.intervals[48:]} == {900}


def test_a_ct_that_changes_its_kind_is_not_waited_for_but_one_of_two_is() -> None:
    registers = net(DAY_S)
    begin_s = 43_200
    own = {(Stream.CONSUMPTION_CT, "total"): steady(begin_s - 300, 40.0)}
    held = settled(registers | own)
    assert (held.settled_s, held.decisions) == (START_S + begin_s - 900, [])
    for stream in (Stream.IMPORT, Stream.EXPORT):
        registers[stream, "total"] = steady(DAY_S, NET[stream], since_s=begin_s)
    found = settled(registers | own)
    assert found.settled_s == START_S + DAY_S
    assert [(event.at_s - START_S, event.kind) for event in found.decisions] == [(begin_s, "source_change")]
    assert {interval.consumption_mwh for interval in found.intervals[:47]} == {120_000}
    assert {interval.consumption_mwh for interval in found.intervals[48:]} == {120_000}
    assert [interval.covered_s for interval in found.intervals[46:49]] == [900, 600, 900]
    # What goes on knows that it is over, and takes it up anew where it changes back.
    anchors = found.anchors
    begun_s = {Stream.PRODUCTION: 0, Stream.IMPORT: begin_s, Stream.EXPORT: begin_s}
    whole = {(name, "total"): steady(2 * DAY_S, NET[name], since_s=at_s) for name, at_s in begun_s.items()}
    later = {key: without(readings, -1, DAY_S + 1) for key, readings in whole.items()}
    on = {"since_s": found.settled_s, "anchors": anchors}
    assert settled(later, 2 * DAY_S, **on).settled_s == START_S + 2 * DAY_S
    back = {key: without(readings, DAY_S + 3_599, 9 * DAY_S) for key, readings in later.items()}
    back[Stream.PRODUCTION, "total"] = later[Stream.PRODUCTION, "total"]
    back[Stream.CONSUMPTION_CT, "total"] = steady(2 * DAY_S, 40.0, since_s=DAY_S + 3_600)
    again = settled(back, 2 * DAY_S, **on)
    assert [(event.at_s - START_S, event.kind) for event in again.decisions] == [(DAY_S + 3_600, "source_change")]
    assert {interval.consumption_mwh for interval in again.intervals[4:]} == {120_000}
    assert {interval.covered_s for interval in again.intervals[4:]} == {900}


def test_a_stuck_register_that_catches_up_later_reopens_an_earlier_window() -> None:
    stuck = steady(9 * DAY_S, 30.0)
    caught_up = stuck.value_mwh[-1]
    stuck.value_mwh[20:] = [stuck.value_mwh[20]] * (len(stuck.value_mwh) - 20)
    key = Stream.PRODUCTION, "total"
    first = settled({key: stuck}, 9 * DAY_S)
    assert first.settled_s == START_S + 9 * DAY_S
    after = Readings()
    at_s = stuck.at_s[-1] + 300
    after.extend("ct", [at_s], [caught_up / 1000], [360.0])
    later = settled({key: after}, 9 * DAY_S + 300, anchors=first.anchors, since_s=first.settled_s)
    assert later.reopen_s == START_S + 20 * 300
    assert [event.kind for event in later.decisions] == ["stalled_counter"]


def test_net_power_is_import_and_export_where_nothing_counts_them() -> None:
    registers = {(Stream.PRODUCTION, "total"): steady(3600, 30.0)}
    times = registers[Stream.PRODUCTION, "total"].at_s
    power = {"total": (times, [-120.0] * 6 + [90_000.0] + [240.0] * (len(times) - 7))}
    found = settled(registers, net_power=power)
    assert [(interval.grid_import_mwh, interval.grid_export_mwh) for interval in found.intervals] == [
        (0, 30_000),
        (0, 20_000),
        (40_000, 0),
        (60_000, 0),
    ]
    assert [(e.at_s - START_S, e.subject) for e in found.decisions] == [(1800, "net power total")]
    assert found.max_power_w(Stream.PRODUCTION, START_S) == 25_000


def test_a_stream_is_waited_for_until_it_was_silent_for_exactly_a_week() -> None:
    for newest_s, is_given_up in ((3_600 + RETIRED_S - 300, False), (3_600 + RETIRED_S, True)):
        found = settled(net(newest_s) | {(Stream.STANDBY, "total"): steady(3_600, 0.0)}, newest_s)
        assert found.settled_s == START_S + (newest_s if is_given_up else 3_600)
        assert found.decisions == []
    newest_s = 3_900 + RETIRED_S
    found = settled(net(newest_s) | {(Stream.STANDBY, "total"): steady(3_600, 0.0)}, newest_s)
    assert [event.at_s for event in found.decisions] == [START_S + 3_600 + RETIRED_S]


def test_a_gateways_own_count_that_ends_with_the_last_net_reading_is_not_over() -> None:
    """Where both were read last at once, nothing went on without it."""
    for last_s, covered_s in ((3_600, 900), (3_300, 900)):
        registers = net(3_600) | {(Stream.CONSUMPTION_CT, "total"): steady(last_s, 40.0, source="eim")}
        found = settled(registers, 3_600)
        assert found.settled_s == START_S + 3_600
        assert found.intervals[3].covered_s == covered_s
    held = settled(net(3_600) | {(Stream.CONSUMPTION_CT, "total"): steady(2_700, 40.0)}, 3_600)
    assert held.settled_s == START_S + 2_700
    assert held.intervals[3].covered_s == 0


def test_the_streams_that_began_after_an_outage_were_not_there_to_be_missed() -> None:
    registers = {key: without(readings, 30_000, 36_000) for key, readings in net(DAY_S).items()}
    for since_s, subject in (
        (36_000, "gateway"),
        (30_300, "gateway"),
        (30_000, "grid export, grid import, production"),
    ):
        late = steady(DAY_S, 0.0, since_s=since_s)
        found = settled(registers | {(Stream.STANDBY, "total"): late})
        assert [(event.at_s - START_S, event.subject) for event in found.decisions] == [(30_000, subject)]


def test_what_a_house_gives_more_than_it_has_is_consumption_of_nothing() -> None:
    registers = {(stream, "total"): steady(1_800, wh) for stream, wh in ((Stream.IMPORT, 1.0), (Stream.EXPORT, 9.0))}
    registers[Stream.PRODUCTION, "total"] = steady(1_800, 5.0)
    assert [interval.consumption_mwh for interval in settled(registers, 1_800).intervals] == [0, 0]


def test_the_first_quarter_hour_is_that_of_the_first_reading() -> None:
    for since_s, first_s, covered_s in ((600, 0, 300), (900, 900, 900), (1_200, 900, 600)):
        registers = {(Stream.IMPORT, "total"): steady(3_600, 20.0, since_s=since_s)}
        interval = settled(registers, 3_600).intervals[0]
        assert (interval.starts_s - START_S, interval.covered_s) == (first_s, covered_s)
