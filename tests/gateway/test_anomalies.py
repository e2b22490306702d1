"""What is odd is an event when it begins, and not again while it lasts."""

from datetime import date, timedelta
from typing import Any

from logger.gateway.anomalies import Anomaly, Watch, in_lists, in_production_page
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
