"""Documents into readings: by name, per field and per device."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logger.errors import EndpointMissingError, MalformedDocumentError
from logger.gateway import parse
from logger.gateway.sources import inverters, meters, production
from logger.readings import Measurement, Meter, Phase, ProductionSample, Source

NOW = 1_780_000_000


def meter(kind: str = "production", eid: int = 1, mode: str = "three", count: int = 1) -> Meter:
    return Meter(
        measurement=kind, eid=eid, state="enabled", metering_status="normal", status_flags="",
        phase_mode=mode, phase_count=count,
    )  # fmt: skip


def reading(
    eid: int = 1,
    dlvd: Any = 1000.0,
    rcvd: Any = 5.0,
    watts: Any = 100.0,
    channels: list[Any] | None = None,
    timestamp: Any = NOW - 2,
) -> dict[str, Any]:
    return {
        "eid": eid, "timestamp": timestamp, "actEnergyDlvd": dlvd, "actEnergyRcvd": rcvd,
        "activePower": watts, "voltage": 230.0, "freq": 50.0, "channels": channels or [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("", None),
        ("n/a", None),
        (None, None),
        (True, None),
        (math.nan, None),
        (math.inf, None),
        ([], None),
        (-0.0, 0.0),
        (10**400, None),
    ],
)
def test_what_is_no_finite_number_is_unknown(value: Any, expected: float | None) -> None:
    assert parse.number(value) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_document_breaks_a_parser(document: Any) -> None:
    assert meters.parse(document, {1: meter()}, NOW) == []
    assert inverters.parse(document, document, NOW) == []
    with pytest.raises(MalformedDocumentError):
        production.from_eim(document, 3, NOW)
    with pytest.raises(MalformedDocumentError):
        production.from_v1(document)
    with pytest.raises(MalformedDocumentError):
        production.from_inverters_item(document, NOW)


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>", b'{"a": 1', b"nul", b"[" * 10_000])
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedDocumentError):
        parse.document(200, body)


def test_a_body_with_an_error_is_a_missing_page() -> None:
    with pytest.raises(EndpointMissingError):
        parse.document(200, b'{ "error" : "404 - Not Found" }')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1.5, "b": null}', {"a": 1.5, "b": None}),
        (b'["\xff", 1e400]', ["\ufffd", math.inf]),
        (b'["\\ud800"]', ["\ud800"]),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890]),
    ],
)
def test_json_is_read_whatever_its_bytes_are(body: bytes, expected: Any) -> None:
    assert parse.document(200, body) == expected


def test_only_the_phases_in_use_are_read() -> None:
    channels = [reading(11, 600.0), reading(12, 400.0), reading(13, 87_000.0)]
    split = meters.parse([reading(channels=channels)], {1: meter(mode="split", count=2)}, NOW)
    assert [sample.phase for sample in split] == [Phase.TOTAL, Phase.L1, Phase.L2]
    single = meters.parse([reading(channels=channels)], {1: meter(count=1)}, NOW)
    assert [sample.phase for sample in single] == [Phase.TOTAL]


def test_the_total_is_the_meters_own_and_never_a_sum() -> None:
    channels = [reading(11, 600.0), reading(12, 500.0)]
    found = meters.parse([reading(channels=channels)], {1: meter(mode="split", count=2)}, NOW)
    assert found[0].delivered_wh == 1000.0


def test_meters_that_are_not_enabled_or_never_read_give_nothing() -> None:
    listed = [reading(1, timestamp=0), reading(2), reading(1023410688)]
    assert meters.parse(listed, {1: meter()}, NOW) == []


def test_a_broken_field_costs_that_field_alone() -> None:
    item = reading(watts=4294967292, rcvd=-19.677) | {"voltage": None, "freq": "50.0"}
    (found,) = meters.parse([item], {1: meter()}, NOW)
    assert (found.power_w, found.received_wh, found.voltage_v) == (None, None, None)
    assert (found.delivered_wh, found.frequency_hz, found.reading_age_s) == (1000.0, 50.0, 2)


def test_a_storage_channel_that_went_to_zero_takes_its_total_out() -> None:
    channels = [reading(11, 0.0, 0.0, 0.0), reading(12, 500.0, 300.0)]
    item = reading(1, 500.0, 300.0, channels=channels)
    found = meters.parse([item], {1: meter("storage", mode="split", count=2)}, NOW)
    assert [sample.phase for sample in found] == [Phase.L2]


def made(phase: Phase = Phase.TOTAL, watts: float = 300.0, wh: float = 9000.0) -> ProductionSample:
    return ProductionSample(phase=phase, power_w=watts, energy_lifetime_wh=wh, reading_age_s=1, source=Source.CT)


def test_total_consumption_is_production_and_net_of_the_same_counters() -> None:
    listed = [reading(1, 9000.0, 20.0, 300.0), reading(2, 5000.0, 700.0, -100.0)]
    slots = {1: meter(), 2: meter("net-consumption", 2)}
    found = meters.parse(listed, slots, NOW)
    net, total = meters.consumption_by_net(found, [made()])
    assert (net.power_w, net.energy_lifetime_wh, net.source) == (-100.0, 4300.0, Source.CT)
    assert (total.power_w, total.energy_lifetime_wh) == (200.0, 9000.0 - 20.0 + 4300.0)
    assert total.source is Source.DERIVED


def test_without_valid_production_the_total_is_unknown_and_net_stays() -> None:
    found = meters.parse([reading(2)], {2: meter("net-consumption", 2)}, NOW)
    net, total = meters.consumption_by_net(found, production.unknown(Source.CT, 0))
    assert net.power_w == 100.0
    assert (total.power_w, total.energy_lifetime_wh) == (None, None)


def test_a_total_consumption_ct_counts_the_house_as_delivered() -> None:
    slots = {2: meter("total-consumption", 2)}
    found = meters.parse([reading(2, 20_055_053.0, 185.0, 787.0)], slots, NOW)
    total, net = meters.consumption_by_total(found, [made(watts=300.0)])
    assert (total.power_w, total.energy_lifetime_wh) == (787.0, 20_055_053.0)
    assert (net.power_w, net.energy_lifetime_wh) == (487.0, None)


def eim(kind: str, watts: float, wh: float) -> dict[str, Any]:
    return {"type": "eim", "measurementType": kind, "activeCount": 1, "wNow": watts,
            "whLifetime": wh, "readingTime": NOW - 1}  # fmt: skip


@pytest.mark.parametrize(("firmware", "expected"), [((8, 3, 5433), 728.0), ((8, 3, 5289), 428.0)])
def test_a_total_that_copies_net_is_rebuilt_on_the_firmware_that_does_so(
    firmware: tuple[int, ...], expected: float
) -> None:
    copied = [eim("total-consumption", 428, 5_649), eim("net-consumption", 428, 5_649)]
    samples = production.consumption_from_eim({"consumption": copied}, [made()], firmware, 1, NOW)
    total = next(sample for sample in samples if sample.measurement is Measurement.TOTAL_CONSUMPTION)
    assert total.power_w == expected


def test_items_are_found_by_name_in_any_order() -> None:
    listed = [eim("net-consumption", -50, 1), eim("total-consumption", 250, 2)]
    samples = production.consumption_from_eim({"consumption": listed}, [made()], (7, 0), 1, NOW)
    assert {sample.measurement: sample.power_w for sample in samples} == {
        Measurement.NET_CONSUMPTION: -50.0,
        Measurement.TOTAL_CONSUMPTION: 250.0,
    }


@pytest.mark.parametrize(("shown", "watts"), [("6.63 kW", 6630.0), ("251 W", 251.0), ("1.2 MW", None), ("-3 W", -3.0)])
def test_the_page_for_people_gives_its_power(shown: str, watts: float | None) -> None:
    page = f"<tr><td>Currently</td>    <td> {shown}</td></tr><tr><td>Today</td>"
    if watts is None:
        assert production.from_html(page)[0].power_w == 1_200_000.0
    else:
        assert production.from_html(page)[0].power_w == watts


def unit(serial: str, *, active: bool = True, **last: Any) -> dict[str, Any]:
    reported = {"endDate": NOW - 60, "duration": 900, "joulesProduced": 230_400,
                "acVoltageINmV": 248_156, "acCurrentInmA": 1049, "channelTemp": 38}  # fmt: skip
    return {
        "devName": "pcu", "sn": serial, "active": active, "modGone": True,
        "channels": [{"watts": {"now": 255, "max": 371}, "lastReading": reported | last,
                      "lifetime": {"joulesProduced": 354_281_850}}],
    }  # fmt: skip


def listed(serial: str, at: int = NOW - 60, **more: Any) -> dict[str, Any]:
    return {"serialNumber": serial, "lastReportDate": at, "lastReportWatts": 200,
            "maxReportWatts": 300} | more  # fmt: skip


def test_device_data_gives_detail_of_active_units_whatever_mod_gone_is() -> None:
    page = {"1": unit("a"), "2": unit("b", active=False), "3": {"devName": "eim", "active": True},
            "4": unit("c", endDate=None), "deviceCount": 5, "deviceDataLimit": 50}  # fmt: skip
    (sample,) = inverters.parse(page, None, NOW)
    assert (sample.serial, sample.power_w, sample.interval_s) == ("a", 255.0, 900)
    assert (sample.energy_interval_wh, sample.energy_lifetime_wh) == (64.0, 98411.625)
    assert (sample.ac_voltage_v, sample.ac_current_a, sample.temperature_c) == (248.156, 1.049, 38.0)
    assert not inverters.needs_plain_list(page)


@pytest.mark.parametrize("page", [
    {"1": unit("a"), "deviceCount": 50, "deviceDataLimit": 50}, {}, None, {"deviceCount": 1},
    {"1": unit("a", active=False), "deviceCount": 1, "deviceDataLimit": 50},
])  # fmt: skip
def test_device_data_that_is_cut_or_empty_needs_the_plain_list(page: Any) -> None:
    assert inverters.needs_plain_list(page)


def test_both_lists_together_give_every_unit_once_with_the_newest_report() -> None:
    detail = {"1": unit("a"), "2": unit("b"), "deviceCount": 50, "deviceDataLimit": 50}
    plain = [listed("a"), listed("b", NOW - 5), listed("c"), listed("c", NOW - 900)]
    found = {sample.serial: sample for sample in inverters.parse(detail, plain, NOW)}
    assert set(found) == {"a", "b", "c"}
    assert found["a"].interval_s == 900
    assert found["b"].interval_s is None
    assert found["c"].reported_at.timestamp() == NOW - 60


def test_batteries_are_no_panels_and_impossible_dates_no_reports() -> None:
    plain = [listed("acb", devType=11), listed("zero", 0), listed("old", 1_000_000),
             listed("future", NOW + 90_000), listed("ok", devType=1)]  # fmt: skip
    assert [sample.serial for sample in inverters.parse(None, plain, NOW)] == ["ok"]


def channel(dlvd: Any, rcvd: Any = 0.5, watts: Any = 90.0) -> dict[str, Any]:
    return {"actEnergyDlvd": dlvd, "actEnergyRcvd": rcvd, "activePower": watts}


def test_with_one_phase_in_use_its_channel_is_the_total() -> None:
    noise = [channel(69_000.0, 99_000.0, 0.6), channel(87_000.0)]
    document = [reading(dlvd=157_000.0, rcvd=99_001.0, channels=[channel(1000.0), *noise])]
    (found,) = meters.parse(document, {1: meter(count=1)}, NOW)
    assert (found.phase, found.delivered_wh, found.received_wh, found.power_w) == (Phase.TOTAL, 1000.0, 0.5, 90.0)


@pytest.mark.parametrize("channels", [[], None, [{}, {}, {}], [None, channel(87_000.0)], "text"])
def test_without_a_channel_the_total_is_the_gateways_own(channels: Any) -> None:
    document = [reading() | {"channels": channels}]
    (found,) = meters.parse(document, {1: meter(count=1)}, NOW)
    assert (found.delivered_wh, found.power_w) == (1000.0, 100.0)


def test_a_channel_that_is_missing_leaves_the_others_in_their_place() -> None:
    document = [reading(channels=[None, channel(7.0), channel(8.0)])]
    found = meters.parse(document, {1: meter(count=3)}, NOW)
    assert [(part.phase, part.delivered_wh) for part in found[1:]] == [(Phase.L2, 7.0), (Phase.L3, 8.0)]


def page_of(total: dict[str, Any], net: dict[str, Any] | None = None, made: dict[str, Any] | None = None) -> Any:
    own = {
        "type": "eim",
        "activeCount": 1,
        "measurementType": "production",
        "wNow": 3441.236,
        "whLifetime": 1_820_822.12,
    }
    total = {"type": "eim", "activeCount": 1, "measurementType": "total-consumption"} | total
    nets = [] if net is None else [{"type": "eim", "measurementType": "net-consumption"} | net]
    return {"production": [own | (made or {})], "consumption": [total, *nets]}


COPY = {"wNow": 3441.236, "whLifetime": 1_820_822.12}


@pytest.mark.parametrize("net", [None, {"activeCount": 0, "wNow": 12.0, "whLifetime": 5.0}])
@pytest.mark.parametrize("late_wh", [0.0, 900.0])
def test_consumption_that_is_production_again_is_unknown(net: dict[str, Any] | None, late_wh: float) -> None:
    page = page_of(COPY | {"whLifetime": COPY["whLifetime"] + late_wh}, net)
    assert production.consumption_from_eim(page, [], (7, 6, 175), 1, NOW) == []


@pytest.mark.parametrize(
    "page",
    [page_of({**COPY, "wNow": 3441.3}), page_of({**COPY, "whLifetime": 1_830_000.0}),
     page_of(COPY, {"activeCount": 1, "wNow": 0.0, "whLifetime": 0.0}), page_of(COPY, made={"wNow": None})],
)  # fmt: skip
def test_consumption_that_is_not_quite_production_is_known(page: Any) -> None:
    (total,) = [
        s
        for s in production.consumption_from_eim(page, [], (7, 6, 175), 1, NOW)
        if s.measurement == "total-consumption"
    ]
    assert total.power_w is not None
