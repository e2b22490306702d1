"""What a site with batteries is asked for, what is stored of it, and what is not known."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logger.errors import EndpointRefusedError, MalformedDocumentError, NotReadyError
from logger.gateway import equipment
from logger.gateway.devices import Devices
from logger.gateway.equipment import Equipment
from logger.gateway.sources import batteries, system
from logger.gateway.sources.batteries import Remembered
from logger.readings import Battery, BatteryKind, BatterySample, ConsumptionSample, Measurement, Outcome, Poll, Source
from logger.simulator.house import Batteries
from logger.simulator.houses import HOUSES
from logger.simulator.pages import PAGES
from logger.simulator.site import Shape
from logger.store.lines import encode
from tests.conftest import Bench, Benches
from tests.gateway.recordings import KINDS, answers_of, polled

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())


def house(bench: Benches, name: str, **model: Any) -> Bench:
    return bench(shape=HOUSES[name].shape, time_zone="Etc/GMT", **HOUSES[name].model | model)


def polls(roof: Bench, count: int, every_s: int = 60, **options: Any) -> Iterator[Poll]:
    gateway = roof.gateway()
    for _ in range(count):
        yield roof.poll(gateway, **options)
        roof.clock.set(roof.clock() + timedelta(seconds=every_s))


def used(poll: Poll) -> ConsumptionSample:
    (total,) = (
        sample
        for sample in poll.consumption
        if sample.measurement is Measurement.TOTAL_CONSUMPTION and sample.phase == "total"
    )
    return total


def events(found: list[Poll], *kinds: str) -> list[tuple[str, str]]:
    return [(event.kind, event.subject) for poll in found for event in poll.events if event.kind in kinds]


def of_batteries(roof: Bench) -> Counter[str]:
    return Counter(request.path for request in roof.simulation.requests if request.path in equipment.PAGES)


@pytest.mark.parametrize(("cts", "generation"), [("net", "8"), ("none", "7"), ("storage", "8"), ("none", "5")])
def test_a_site_without_batteries_is_asked_for_none_after_detection(bench: Benches, cts: str, generation: str) -> None:
    roof = bench(cts=cts, generation=generation, time_zone="Etc/GMT")
    gateway = roof.gateway(token_file=None) if generation == "5" else roof.gateway()
    roof.poll(gateway)
    assert of_batteries(roof) == {equipment.INVENTORY: 1}
    for _ in range(20):
        roof.clock.set(roof.clock() + timedelta(minutes=17))
        assert roof.poll(gateway).outcome is Outcome.COMPLETE
    assert of_batteries(roof) == {equipment.INVENTORY: 1}


@pytest.mark.parametrize("firmware", ["3.17.3", "4.10.35"])
def test_early_firmware_is_not_asked_for_batteries_at_all(bench: Benches, firmware: str) -> None:
    roof = bench(cts="none", generation="3" if firmware[0] == "3" else "5", firmware=firmware)
    roof.poll(roof.gateway(token_file=None))
    assert not of_batteries(roof)


def test_power_is_asked_for_with_each_poll_and_slow_pages_now_and_then(bench: Benches) -> None:
    roof = house(bench, "iq")
    assert {poll.outcome for poll in polls(roof, 31)} == {Outcome.COMPLETE}
    asked = of_batteries(roof)
    assert asked[equipment.POWER] == asked[equipment.SECCTRL] == 31
    assert asked[equipment.INVENTORY] == asked[equipment.CONTACTS] == 7
    daily = (equipment.STATUS, equipment.TARIFF, equipment.CONTACT_SETTINGS, equipment.GENERATOR)
    assert [asked[path] for path in daily] == [1, 1, 1, 1]
    assert not {equipment.RELAY, equipment.LIVEDATA, equipment.ACB_INVENTORY} & asked.keys()


def test_what_the_house_uses_has_the_batteries_in_it(bench: Benches) -> None:
    roof = house(bench, "iq")
    for poll in polls(roof, 5, every_s=3600):
        at_s = poll.polled_at.timestamp()
        (together,) = poll.storage
        assert len(poll.batteries) == HOUSES["iq"].shape.batteries.count  # type: ignore[union-attr]
        assert together.power_w == pytest.approx(sum(sample.power_w or 0 for sample in poll.batteries))
        assert together.soc_pct is not None
        assert together.capacity_wh == HOUSES["iq"].shape.batteries.all_wh  # type: ignore[union-attr]
        total = used(poll)
        assert total.source is Source.DERIVED
        # Charging is measured some percent low.
        assert total.power_w == pytest.approx(
            roof.simulation.site.powers(at_s).load, abs=0.1 * abs(together.power_w or 0) + 100
        )


def test_with_a_storage_ct_its_power_is_in_what_the_house_uses_and_not_the_batteries_own(bench: Benches) -> None:
    roof = house(bench, "iq-ct")
    (poll,) = polls(roof, 1)
    cts = {reading.measurement: reading.power_w or 0 for reading in poll.meter_readings if reading.phase == "total"}
    assert used(poll).power_w == pytest.approx(sum(cts.values()), abs=0.01)
    assert poll.storage[0].power_w is not None


def test_batteries_without_a_ct_have_no_phases(bench: Benches) -> None:
    roof = bench(shape=Shape(phases=2, batteries=Batteries()), cts="net", time_zone="Etc/GMT")
    (poll,) = polls(roof, 1)
    total = [s for s in poll.consumption if s.measurement is Measurement.TOTAL_CONSUMPTION]
    assert [sample.power_w is None for sample in total] == [False, True, True]


def test_a_battery_that_falls_silent_makes_consumption_unknown_until_it_is_back(bench: Benches) -> None:
    roof = house(bench, "iq")
    roof.simulation.fault("silent_battery", argument="2", since_s=600, until_s=2400)
    found = list(polls(roof, 60))
    assert events(found, "battery_silent") == [("battery_silent", found[0].batteries[1].serial)] * 2
    unknown = [poll for poll in found if used(poll).power_w is None]
    assert 25 <= len(unknown) <= 36
    assert all(poll.storage[0].power_w is None and poll.outcome is Outcome.COMPLETE for poll in unknown)
    assert all(poll.batteries[0].power_w is not None for poll in found)


def test_odd_values_cost_their_column_and_are_reported_once(bench: Benches) -> None:
    roof = house(bench, "iq")
    roof.simulation.fault("odd_battery")
    found = list(polls(roof, 8))
    count = len(found[0].batteries)
    assert len(events(found, "unusable_values")) == count
    for poll in found:
        assert poll.outcome is Outcome.COMPLETE
        for sample in poll.batteries:
            assert (sample.power_w, sample.soc_pct, sample.temperature_c) == (None, None, None)
            assert (sample.state, sample.reading_age_s is None) == ("ENCHG_STATE_READY", False)
        assert used(poll).power_w is None
    assert len(found[0].battery_devices) == count


def test_a_refused_page_of_powers_is_no_error_but_makes_consumption_unknown(bench: Benches) -> None:
    roof = house(bench, "iq")
    roof.simulation.fault("refused", argument=equipment.POWER)
    found = list(polls(roof, 90))
    assert events(found, "battery_unmeasured") == [("battery_unmeasured", "batteries")]
    assert {poll.outcome for poll in found} == {Outcome.COMPLETE}
    assert {used(poll).power_w for poll in found} == {None}
    assert {poll.storage[0].power_w for poll in found} == {None}
    assert all(poll.storage[0].soc_pct is not None for poll in found)
    assert of_batteries(roof)[equipment.POWER] <= 3  # Once more with a new session.


def test_a_page_of_powers_that_is_late_once_costs_one_poll(bench: Benches) -> None:
    roof = house(bench, "iq")
    roof.simulation.fault("refused", argument=equipment.POWER, since_s=100, until_s=130)
    found = list(polls(roof, 6))
    assert [used(poll).power_w is None for poll in found] == [False, False, True, False, False, False]


def test_a_list_of_batteries_that_is_late_at_detection_is_asked_for_again_soon(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: Any = lambda _: "<html>Please wait</html>"  # noqa: E731 - one word
    for name, expected in (("iq", True), ("unseen", False)):
        roof = house(bench, name)
        monkeypatch.setitem(PAGES["8"], equipment.INVENTORY, late)
        monkeypatch.setitem(PAGES["8"], equipment.POWER, late if expected else PAGES["8"][equipment.POWER])
        found = []
        for number, poll in enumerate(polls(roof, 12)):
            found.append(bool(poll.storage))
            if number == 2:
                monkeypatch.undo()
        assert found[:5] == [False] * 5
        assert found[7:] == [expected] * 5
        asked = of_batteries(roof)
        if not expected:
            assert asked.keys() == {equipment.INVENTORY, equipment.POWER}
            assert (asked[equipment.INVENTORY] <= 5, asked[equipment.POWER]) == (True, 1)


@pytest.mark.parametrize("inventory", [None, {}, "unknown", 7])
def test_batteries_are_known_by_their_powers_where_the_inventory_is_no_list(
    bench: Benches, monkeypatch: pytest.MonkeyPatch, inventory: Any
) -> None:
    roof = house(bench, "iq")
    monkeypatch.setitem(PAGES["8"], equipment.INVENTORY, lambda _: json.dumps(inventory))
    for poll in polls(roof, 3):
        assert poll.outcome is Outcome.COMPLETE
        assert poll.storage[0].power_w == pytest.approx(sum(sample.power_w or 0 for sample in poll.batteries))
        assert used(poll).power_w is not None


def test_acs_that_stand_still_are_silent_and_count_for_nothing_beside_others(bench: Benches) -> None:
    roof = house(bench, "acb")
    roof.simulation.fault("stale_acb", since_s=0)
    found = list(polls(roof, 45))
    fresh, stale = found[0], found[-1]
    assert (fresh.storage[0].kind, fresh.storage[0].capacity_wh) == (BatteryKind.ACB, 4 * 1240)
    assert fresh.storage[0].power_w is not None
    assert used(fresh).power_w is not None
    assert stale.storage[0].power_w is None
    assert used(stale).power_w is None  # Nothing else is known of them.
    assert events(found, "battery_silent") == [("battery_silent", "acb")]
    assert of_batteries(roof)[equipment.ACB_INVENTORY] == 3
    listed = next(poll for poll in found if poll.battery_devices)
    assert {battery.kind for battery in listed.battery_devices} == {BatteryKind.ACB}
    assert len(listed.batteries) == 4


def test_outages_and_generators_begin_and_end_once(bench: Benches) -> None:
    roof = house(bench, "generator")
    roof.simulation.fault("grid_lost", since_s=900, until_s=5400)
    roof.simulation.fault("generator", since_s=2100, until_s=3900)
    found = list(polls(roof, 120))
    kinds = ("grid_lost", "generator_started", "generator_stopped", "grid_back")
    assert [kind for kind, _ in events(found, *kinds)] == list(kinds)
    states = [(state.subject, state.state) for poll in found for state in poll.site_states]
    grid = [state for subject, state in states if subject == "grid_mode"]
    assert grid == ["on_grid", "off_grid", "generator", "off_grid", "on_grid"]
    assert [state for subject, state in states if subject == "grid_relay"] == ["closed", "open", "closed"]
    lost = [poll for poll in found if used(poll).power_w is None]
    assert 70 <= len(lost) <= 80


# ------------------------------------------------------------------------- from poll to poll


def inventory(*serials: str, **device: Any) -> list[dict[str, Any]]:
    return [{"type": "ENCHARGE", "devices": [{"serial_num": serial, **device} for serial in serials]}]


def power(*serials: str) -> dict[str, Any]:
    return {"devices:": [{"serial_num": serial, "real_power_mw": 1000, "soc": 50} for serial in serials]}


def test_a_page_of_powers_that_never_came_is_reported_at_once_and_one_that_is_late_after_three_polls() -> None:
    late, refused, fine = NotReadyError("503"), EndpointRefusedError("401"), power("a")

    def found(*pages: Any) -> list[bool]:
        devices, results = Devices(), []
        for page in pages:
            devices.remember({equipment.POWER: page}, NOON_S)
            results.append(devices.is_unmeasured(page))
        return results

    assert found(late) == found(refused) == found(MalformedDocumentError("cut")) == [True]
    assert found(fine, late, late, late, fine, refused) == [False, False, False, True, False, True]


def test_a_contact_that_flickers_has_not_changed() -> None:
    devices, seen = Devices(), ["closed", "open", "closed", "open", "open", "closed", "closed"]
    found = [devices.changed({"contact NC1": state}, NOON)[0] for state in seen]
    assert [[change.state for change in changes] for changes in found] == [
        ["closed"],
        [],
        [],
        [],
        ["open"],
        [],
        ["closed"],
    ]


def test_states_of_before_a_restart_are_no_changes() -> None:
    devices = Devices()
    devices.go_on({"grid_relay": "open", "generator": "running"})
    assert devices.changed({"grid_relay": "open", "generator": "running"}, NOON)[1] == []
    _, found = devices.changed({"grid_relay": "closed", "generator": None}, NOON)
    assert [event.kind for event in found] == ["grid_back"]


def test_batteries_are_given_again_when_something_has_changed_or_an_hour_has_passed() -> None:
    devices, battery = Devices(), Battery(serial="a", kind=BatteryKind.ENCHARGE)
    larger = replace(battery, capacity_wh=5000.0)
    minutes = [(0, battery), (5, battery), (10, larger), (65, larger), (70, larger), (75, larger)]
    given = [bool(devices.news([each], NOON + timedelta(minutes=minute))) for minute, each in minutes]
    assert given == [True, False, True, False, True, False]


def test_batteries_are_gone_when_three_lists_in_a_row_and_the_powers_leave_them_out() -> None:
    devices, before = Devices(), Equipment()
    both = {equipment.INVENTORY: inventory("a", "b"), equipment.POWER: power("a", "b")}
    nothing = {equipment.INVENTORY: [], equipment.POWER: power()}
    devices.remember(both, NOON_S)
    equipped = devices.equipment(before, both, {})
    assert equipped.has_encharge
    for number in range(3):
        assert equipped.has_encharge, number
        assert set(devices.remembered(0).devices) == {"a", "b"}
        devices.remember(nothing, NOON_S + 300 * number)
        equipped = devices.equipment(equipped, nothing, {})
    assert not equipped.has_encharge


def test_batteries_stay_while_the_inventory_says_nothing_and_the_powers_do() -> None:
    devices = Devices()
    silent: Any
    for silent in ([], [{"type": "ENCHARGE", "devices": []}], {}, NotReadyError("503"), EndpointRefusedError("401")):
        documents = {equipment.INVENTORY: silent, equipment.POWER: power("a")}
        for number in range(5):
            devices.remember(documents, NOON_S + 300 * number)
            assert devices.equipment(Equipment(has_encharge=True), documents, {}).has_encharge


def test_a_page_that_did_not_come_is_due_again_soon_and_none_is_while_the_gateway_restarts() -> None:
    devices, equipped = Devices(), Equipment(has_encharge=True)

    def due(at_s: int, *, busy: bool = False) -> list[str]:
        return devices.due(equipped, at_s, left_s=50, is_busy=busy, live=False)

    assert equipment.STATUS in due(NOON_S)
    assert due(NOON_S, busy=True) == []
    devices.remember({equipment.STATUS: NotReadyError("503"), equipment.INVENTORY: inventory("a")}, NOON_S)
    assert equipment.STATUS not in due(NOON_S + 600)
    assert {equipment.STATUS, equipment.INVENTORY} <= set(due(NOON_S + 900))
    assert equipment.INVENTORY in due(NOON_S - 30 * 86_400)  # The clock was set back.
    assert equipment.LIVEDATA in devices.due(equipped, NOON_S, left_s=50, is_busy=False, live=True)
    acb = Equipment(has_acb=True)
    assert equipment.ACB_INVENTORY not in devices.due(acb, NOON_S, left_s=10, is_busy=False, live=False)


# --------------------------------------------------------------------------- whatever comes

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}),
    st.sampled_from(["unknown", "12", -1, 0, 101, 4_294_967_292, 1e300, [None], [{}], {"devices": 3}]),
)  # fmt: skip


@cache
def with_batteries() -> list[dict[str, Any]]:
    """The answers of each kind of site that has batteries."""
    found = map(answers_of, KINDS)
    return [answers for answers in found if equipment.POWER in answers]


def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """The same document with something else in some places."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JUNK)
    if isinstance(value, dict):
        return {key: spoilt(draw, inner) for key, inner in value.items()}
    return [spoilt(draw, inner) for inner in value] if isinstance(value, list) else value


@st.composite
def sites(draw: st.DrawFn) -> dict[str, Any]:
    answers = draw(st.sampled_from(with_batteries()))
    return {
        path: answer | {"body": spoilt(draw, answer["body"])} if path in equipment.PAGES else answer
        for path, answer in answers.items()
    }


@settings(max_examples=60)
@given(sites())
def test_whatever_the_pages_of_batteries_hold_the_rest_of_the_poll_stays(answers: dict[str, Any]) -> None:
    profile, _, parts = polled(answers, NOON_S)
    assert parts.production
    assert parts.production[0].power_w is not None
    assert {sample.measurement for sample in parts.consumption} == {"net-consumption", "total-consumption"}
    devices = Devices()
    for sample in parts.batteries:
        assert sample.power_w is None or abs(sample.power_w) <= 5500 or profile.equipment.has_encharge
        assert sample.soc_pct is None or 0 <= sample.soc_pct <= 100
    for together in parts.storage:
        assert together.kind is not BatteryKind.ENCHARGE or together.power_w is None or all(
            sample.power_w is not None for sample in parts.batteries if sample.source is Source.ENSEMBLE
        )  # fmt: skip
        levels = (together.soc_pct, together.health_pct, together.reserve_pct)
        assert all(level is None or 0 <= level <= 100 for level in levels)
    devices.changed(parts.states, NOON)
    devices.silence(parts.heard, NOON)
    assert encode(Poll(gateway_serial="1", polled_at=NOON, took_s=1, batteries=tuple(parts.batteries)))


# ------------------------------------------------------------------------------ single rules


def livedata(power_mw: Any = -7_083_700, age_s: int = 5, streams: str = "enabled") -> dict[str, Any]:
    storage = {"agg_p_mw": power_mw, "agg_s_mva": power_mw}
    return {"connection": {"sc_stream": streams}, "meters": {"last_update": NOON_S - age_s, "storage": storage}}


def test_what_streams_is_believed_while_it_streams() -> None:
    assert batteries.live_power_w(livedata(), NOON_S, 0) == -7083.7
    assert batteries.live_power_w(livedata(age_s=3600), NOON_S, -3600) == -7083.7  # Its clock is an hour behind.
    stale: Any
    for stale in (livedata(age_s=61), livedata(streams="disabled"), livedata("unknown"), {}, None, []):
        assert batteries.live_power_w(stale, NOON_S, 0) is None


def test_a_gateway_whose_clock_is_behind_has_no_silent_batteries() -> None:
    behind_s = 72_751_258
    record = {"last_rpt_date": NOON_S - behind_s - 200, "communicating": True}
    for ahead_s, silent in ((-behind_s, 0), (0, 1)):
        remembered = Remembered(devices={"a": batteries.listed_of(record)}, listed_at_s=NOON_S, ahead_s=ahead_s)
        found = batteries.encharge(batteries.powers(power("a")), remembered, NOON_S)
        assert sum(why is not None for why in found.heard.values()) == silent
        assert found.samples[0].reading_age_s == behind_s + 200


def test_power_beyond_what_a_battery_has_is_unknown() -> None:
    def power_w(milliwatts: Any, rated_w: dict[str, float]) -> float | None:
        page = {"devices:": [{"serial_num": "a", "real_power_mw": milliwatts, "soc": 50}]}
        remembered = Remembered(rated_w=rated_w)
        return batteries.encharge(batteries.powers(page), remembered, NOON_S).samples[0].power_w

    assert [power_w(mw, {"a": 1280.0}) for mw in (1_408_000, -1_408_000, 1_409_000)] == [1408.0, -1408.0, None]
    assert [power_w(mw, {}) for mw in (5_500_000, 5_501_000, 4_294_967_292)] == [5500.0, None, None]


def test_no_commissioned_capacity_is_no_battery_rather_than_an_empty_one() -> None:
    zeros = {"Enc_commissioned_capacity": 0, "ENC_agg_soc": 0, "ENC_agg_avail_energy": 0}
    assert batteries.encharge_storage([], zeros) is None
    kept = batteries.encharge_storage([BatterySample(serial="a", power_w=12.0)], zeros)
    assert kept is not None
    assert (kept.power_w, kept.soc_pct, kept.energy_wh) == (12.0, None, None)


@pytest.mark.parametrize(
    ("device", "relay", "mode"),
    [
        ({"mains_oper_state": "open synchronizing", "Enchg_grid_mode": "multimode-offgrid"}, "open", "off_grid"),
        ({"mains_oper_state": "closed", "Enchg_grid_mode": "grid-tied"}, "closed", "on_grid"),
        ({"mains_oper_state": "unknown", "Enchg_grid_mode": "unknown"}, None, None),
        ({"mains_oper_state": None, "Enchg_grid_mode": 7}, None, None),
    ],
)
def test_relay_and_mode_are_words_of_ours(device: dict[str, Any], relay: str | None, mode: str | None) -> None:
    found = system.of_inventory([{"type": "ENPOWER", "devices": [device]}])
    assert found == {"grid_relay": relay, "grid_mode": mode}
