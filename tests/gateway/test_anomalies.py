"""What is odd is an event when it begins, and not again while it lasts."""

from datetime import date, timedelta
from typing import Any

import pytest

from logger.gateway.anomalies import Anomaly, Watch, in_lists, in_production_page, in_slots
from logger.readings import InverterSample, Meter, Phase, ProductionSample, Source
from tests.conftest import Benches
from tests.sample_data import utc

NOON = utc(2026, 6, 1, 12)
ODD = Anomaly("lost_channel", "storage", "gone")


def test_an_anomaly_is_one_event_until_it_was_away_for_an_hour() -> None:
    watch = Watch()
    counts = [
        len(watch.begun([ODD] if odd else [], NOON + timedelta(minutes=minute)))
        for minute, odd in [(0, 1), (1, 1), (30, 0), (59, 1), (118, 1), (180, 1)]
    ]
    assert counts == [1, 0, 0, 0, 0, 1]


def test_null_power_is_an_event_of_each_stream(bench: Benches) -> None:
    roof = bench(cts="net", generation="7")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault("null")
    first, second = roof.poll(gateway), roof.poll(gateway)
    subjects = {event.subject for event in first.events if event.kind == "unusable_values"}
    assert subjects == {"production", "net-consumption", "inverters"}
    assert not second.events


def test_an_inactive_meter_is_one_event_not_also_missing_values(bench: Benches) -> None:
    roof = bench(cts="net", generation="8")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault("inactive")
    assert [event.kind for event in roof.poll(gateway).events] == ["inactive_meter"]


def page(today_wh: float, *, total_w: float = 900.0) -> dict[str, Any]:
    def item(kind: str, watts: float, wh: float) -> dict[str, Any]:
        return {"type": "eim", "activeCount": 1, "measurementType": kind, "wNow": watts,
                "whLifetime": wh, "whToday": today_wh}  # fmt: skip

    return {
        "production": [item("production", 1000.0, 5_000_000.0)],
        "consumption": [item("total-consumption", total_w, 2_000_000.0), item("net-consumption", -100.0, 2_000_000.0)],
    }


def test_a_total_that_copies_net_is_odd_whatever_the_firmware() -> None:
    assert in_production_page(page(0)) == []
    assert [anomaly.kind for anomaly in in_production_page(page(0, total_w=-100.0))] == ["copied_total"]


def test_a_day_count_that_goes_on_is_an_event_of_its_first_day() -> None:
    watch = Watch()
    days = [(1, 9000.0), (2, 9001.0), (2, 10.0), (2, 8000.0), (3, 8001.0), (3, 7000.0), (4, 0.0),
            (4, 6000.0), (5, 10.0), (5, 6500.0), (6, 6501.0)]  # fmt: skip
    found = [
        (day, wh) for day, wh in days if watch.day_count(page(wh), date(2026, 6, day))
    ]  # fmt: skip
    assert found == [(2, 9001.0), (6, 6501.0)]


def test_an_inverter_that_is_listed_twice_is_odd_in_either_list() -> None:
    unit = {"serialNumber": "1220"}
    device = {"sn": "1220"}
    assert in_lists({"1": device, "deviceCount": 1}, [unit]) == []
    assert len(in_lists(None, [unit, unit])) == 1
    assert len(in_lists({"1": device, "2": device, "deviceCount": 2}, None)) == 1


def test_a_night_that_begins_with_zero_ends_a_run_of_late_ones() -> None:
    watch = Watch()
    days = [(1, 9000.0), (2, 9001.0), (2, 8000.0), (3, 0.0), (3, 6000.0), (4, 6001.0)]
    found = [day for day, wh in days if watch.day_count(page(wh), date(2026, 6, day))]
    assert found == [2, 4]


def test_a_production_ct_that_does_not_measure_the_inverters_is_reported_each_day() -> None:
    watch = Watch()

    def poll(minute: int, shown_w: float | None, made_w: float = 800.0, age_s: int = 200) -> list[str]:
        at = NOON + timedelta(minutes=minute)
        production = [ProductionSample(Phase.TOTAL, shown_w, 1.0, 0, Source.CT)]
        units = [InverterSample(reported_at=at - timedelta(seconds=age_s), serial="a", power_w=made_w)]
        return [event.kind for event in watch.begun(watch.clamp(production, units, at), at)]

    assert poll(-10, 0.2, made_w=40.0) == poll(-10, 0.2, age_s=2000) == poll(-10, None) == []
    assert poll(0, 0.2) == ["clamp_missing"]
    assert poll(5, 0.2) == []
    assert poll(10, -790.0) == ["clamp_reversed"]
    assert [poll(15 + 5 * n, 0.2) for n in range(12 * 24)].count(["clamp_missing"]) == 1
    assert poll(1500, 790.0) == poll(1505, 0.0) == poll(1510, 790.0) == []
    # All inverters may have been switched off since they reported.
    assert [poll(1515 + 5 * n, 0.0) for n in range(6)] == [[], [], [], [], ["clamp_missing"], []]


@pytest.mark.parametrize("source", [Source.V1, Source.INVERTERS, Source.DERIVED])
def test_what_inverters_add_up_to_has_no_clamp(source: Source) -> None:
    units = [InverterSample(reported_at=NOON, serial="a", power_w=800.0)]
    assert Watch().clamp([ProductionSample(Phase.TOTAL, 0.0, 1.0, None, source)], units, NOON) == []


def test_a_meter_that_the_gateway_flags_says_what_to_look_at() -> None:
    slot: Any = {"eid": 1, "phase_mode": "three", "phase_count": 1}
    meters = [
        Meter(measurement="production", state="enabled", metering_status="normal", status_flags="", **slot),
        Meter(
            measurement="net-consumption", state="enabled", metering_status="check-wiring", status_flags=None, **slot
        ),
        Meter(
            measurement="storage",
            state="enabled",
            metering_status="normal",
            status_flags="negative-production,new",
            **slot,
        ),
        Meter(measurement="load", state="disabled", metering_status="check-wiring", status_flags="new", **slot),
    ]
    net, storage = in_slots(meters)
    assert (net.kind, net.subject) == ("wiring_flagged", "net-consumption")
    assert "check-wiring: look at the direction" in net.detail
    assert (storage.subject, "new: look at its clamps" in storage.detail) == ("storage", True)


def test_a_production_ct_alone_copied_into_consumption_is_one_event() -> None:
    copy = {"activeCount": 1, "type": "eim", "wNow": 3441.236, "whLifetime": 1_820_822.12}
    page = {"production": [copy | {"measurementType": "production"}],
            "consumption": [copy | {"measurementType": "total-consumption"}]}  # fmt: skip
    assert [(a.kind, a.subject) for a in in_production_page(page)] == [("copied_total", "total-consumption")]
