"""A gateway in words says what is recorded, and why the rest is not."""

import pytest

from logger.gateway import words
from logger.gateway.client import Gateway
from logger.simulator.houses import plain
from logger.simulator.site import Shape
from tests.conftest import Bench, Benches


def described(roof: Bench, **changes: object) -> tuple[dict[str, str], dict[str, str]]:
    gateway: Gateway = roof.gateway(**changes)
    poll = roof.poll(gateway)
    assert gateway.profile is not None
    found = words.describe(gateway.profile, poll)
    return dict(found.recorded), dict(found.missing)


def test_a_gateway_with_a_net_ct_records_everything(bench: Benches) -> None:
    recorded, missing = described(bench(cts="net", generation="8"))
    assert missing == {}
    assert "counted by the CT" in recorded["production"]
    assert "counted by the CT at the grid" in recorded["grid"]
    assert recorded["inverters"].startswith("each of the 12, every 5 to 15 minutes: power, energy")


def test_phases_are_named_where_there_are_several(bench: Benches) -> None:
    recorded, _ = described(bench(cts="net", shape=Shape(phases=3)))
    assert "each of 3 phases too" in recorded["grid"]
    assert "each of 3 phases too" in recorded["production"]


def test_a_total_ct_has_no_counters_of_the_grid(bench: Benches) -> None:
    recorded, missing = described(bench(cts="total"))
    assert "no CT counts them" in recorded["grid"]
    assert "counted by the CT of its load" in recorded["consumption"]
    assert missing == {}


@pytest.mark.parametrize(
    ("model", "why"), [({"cts": "none", "generation": "7"}, "no CT"), ({"cts": "production"}, "switched off")]
)
def test_what_no_ct_measures_is_not_recorded(bench: Benches, model: dict[str, str], why: str) -> None:
    recorded, missing = described(bench(**model))
    assert "consumption" not in recorded
    assert why in missing["consumption"]


def test_a_ct_that_is_switched_off_is_named(bench: Benches) -> None:
    roof = bench(cts="net")
    roof.simulation.fault("meter_off")
    assert "switched off" in described(roof)[1]["consumption"]


def test_old_firmware_shows_no_voltages(bench: Benches) -> None:
    recorded, missing = described(bench(cts="none", generation="5"), token_file=None)
    assert "as the gateway adds up its inverters" in recorded["production"]
    assert "firmware" in missing["voltages"]


def test_batteries_without_a_ct_are_worked_out(bench: Benches) -> None:
    house = plain(1, "net", "iq")
    recorded, missing = described(bench(shape=house.shape, **house.model))
    assert "their charge" in recorded["IQ Batteries"]
    assert "worked out from their power" in missing["counters"]


def test_what_answers_is_named_by_its_firmware(bench: Benches) -> None:
    info = bench(generation="7").gateway().identify()
    assert words.kind(info).startswith("IQ Gateway (Envoy), firmware 7.")
    assert "serial number 122334455667" in words.kind(info)
    assert words.kind(bench(generation="5", cts="none").gateway().identify()).startswith("Envoy, firmware 5.")
