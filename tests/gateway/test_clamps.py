"""A CT without a clamp, or with one the wrong way round, is reported by a single poll; a clean one never."""

from dataclasses import fields
from typing import Any

import pytest

from logger.gateway.clamps import in_readings
from logger.readings import MeterReading, Phase
from tests.conftest import Benches

PRODUCTION, NET, TOTAL = "production", "net-consumption", "total-consumption"


def ct(
    measurement: str, power_w: float | None, kwh: float | None = 5_000.0, phase: Phase = Phase.TOTAL
) -> MeterReading:
    rest: dict[str, Any] = dict.fromkeys((field.name for field in fields(MeterReading)), None)
    wh = None if kwh is None else 1000 * kwh
    named = {"measurement": measurement, "phase": phase, "power_w": power_w, "delivered_wh": wh, "received_wh": 0.0}
    return MeterReading(**rest | named)


def found(*readings: MeterReading, has_batteries: bool = False) -> list[tuple[str, str]]:
    return [(own.kind, own.subject) for own in in_readings(readings, has_batteries=has_batteries)]


@pytest.mark.parametrize(("name", "other"), [(PRODUCTION, NET), (NET, PRODUCTION), (TOTAL, PRODUCTION)])
def test_a_ct_that_never_counted_beside_one_that_did_has_no_clamp(name: str, other: str) -> None:
    assert found(ct(name, 0.2, 0.015), ct(other, 500.0)) == [("clamp_missing", name)]
    assert found(ct(name, 0.2, 0.015), ct(other, 500.0, 150.0)) == []  # Both are new.
    assert found(ct(name, 0.2, 0.8), ct(other, 500.0)) == []  # Night, or a moment between import and export.
    assert found(ct(name, 90.0, 0.5), ct(other, 500.0)) == []  # It was fitted later.
    assert found(ct(name, None, 0.0), ct(other, 500.0)) == found(ct(name, 0.2, None), ct(other, 500.0)) == []


def test_phases_of_the_production_go_one_way() -> None:
    legs = [ct(PRODUCTION, 1_500.0, phase=Phase.L1), ct(PRODUCTION, -1_490.0, phase=Phase.L2)]
    assert found(ct(PRODUCTION, 10.0), *legs) == [("clamp_reversed", PRODUCTION)]
    standby = [ct(PRODUCTION, 1_500.0, phase=Phase.L1), ct(PRODUCTION, -9.0, phase=Phase.L2)]
    night = [ct(PRODUCTION, -60.0, phase=Phase.L1), ct(PRODUCTION, -60.0, phase=Phase.L2)]
    grid = [ct(NET, 1_500.0, phase=Phase.L1), ct(NET, -1_490.0, phase=Phase.L2)]
    assert found(*standby) == found(*night) == found(*grid) == []


def test_a_load_below_zero_is_reported_unless_a_battery_is_behind_its_ct() -> None:
    load = ct(TOTAL, -900.0)
    assert found(load) == [("ct_disagrees", TOTAL)]
    assert found(load, ct("storage", 900.0)) == found(load, has_batteries=True) == []
    assert found(ct(TOTAL, -9.0)) == found(ct(NET, -900.0)) == []


@pytest.mark.parametrize("cts", ["net", "total", "storage"])
def test_a_clean_gateway_is_clean(bench: Benches, cts: str) -> None:
    roof = bench(cts=cts, generation="8")
    assert [event.kind for event in roof.poll(roof.gateway()).events] == []
