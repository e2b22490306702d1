"""What simulated gateways say of CTs, batteries, AC Batteries, generators and the grid."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from logger.cli import simulate as command
from logger.errors import UsageError
from logger.simulator import ensemble
from logger.simulator.faults import Fault
from logger.simulator.houses import HOUSES, House, plain
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation
from logger.simulator.site import SimulatedClock
from tests.sample_data import utc

START = utc(2026, 4, 10)
NOON = START + timedelta(hours=11)
READINGS = "/ivp/meters/readings"


def simulated(house: House, *faults: Fault, **model: Any) -> Simulation:
    """A simulated gateway of a house, to which nothing happens but what is asked for."""
    clock = SimulatedClock(START, speed=0)
    return Simulation(shape=house.shape, model=Model(**house.model | model), clock=clock, faults=list(faults))


@pytest.mark.parametrize("name", HOUSES)
def test_every_page_is_a_document(name: str) -> None:
    gateway = simulated(HOUSES[name], *HOUSES[name].faults)
    for path in ensemble.PAGES:
        assert json.loads(json.dumps(gateway.page(NOON, path))) is not None


def test_a_site_that_has_lost_its_only_inverter_still_answers() -> None:
    house = plain(1, "net", None)
    house = replace(house, shape=replace(house.shape, inverters=1))
    gateway = simulated(house, Fault("lost_inverter"))
    inverters = gateway.page(NOON, "/production.json")["production"][0]
    assert (inverters["activeCount"], inverters["readingTime"], inverters["wNow"]) == (0, 0, 0)


@pytest.mark.parametrize("name", ["three-phase", "split-phase"])
def test_a_cts_total_is_the_sum_of_its_channels_in_use(name: str) -> None:
    gateway = simulated(HOUSES[name])
    for meter in gateway.page(NOON, READINGS)[:2]:
        used = meter["channels"][: gateway.shape.phases]
        for register in ("actEnergyDlvd", "actEnergyRcvd"):
            assert meter[register] == pytest.approx(sum(channel[register] for channel in used), abs=0.01)
        assert meter["activePower"] == pytest.approx(sum(c["instantaneousDemand"] for c in used), abs=0.01)


def test_the_stack_with_seven_slots_counts_what_unused_channels_pick_up() -> None:
    classic, seven = simulated(plain(1, "net", None)), simulated(plain(1, "net", None), has_seven_slots=True)
    assert len(seven.page(NOON, "/ivp/meters")) == 7
    right = classic.page(NOON, READINGS)[1]["actEnergyRcvd"]
    net = seven.page(NOON, READINGS)[1]
    assert net["channels"][0]["actEnergyRcvd"] == right
    assert net["actEnergyRcvd"] > right + 50
    assert net["activePower"] == pytest.approx(sum(c["instantaneousDemand"] for c in net["channels"]), abs=0.01)


def test_batteries_give_what_the_storage_ct_measures_in_whole_watts_and_claim_some_at_rest() -> None:
    gateway = simulated(HOUSES["iq-ct"])
    rested = 0
    for minutes in range(0, 24 * 60, 7):
        at = START + timedelta(minutes=minutes)
        measured = gateway.page(at, READINGS)[2]["activePower"]
        claims = [battery["real_power_mw"] / 1000 for battery in gateway.page(at, "/ivp/ensemble/power")["devices:"]]
        if abs(measured) < 1:
            assert all(8 <= claim <= 24 for claim in claims)
            rested += 1
        else:
            assert sum(claims) == pytest.approx(measured, abs=1.1)
    assert rested > 10


def test_a_silent_battery_is_heard_of_no_more() -> None:
    gateway = simulated(HOUSES["iq"], Fault("silent_battery", 36_000, argument="2"))
    before, after = START + timedelta(hours=9), START + timedelta(hours=11)
    assert [len(gateway.page(at, "/ivp/ensemble/power")["devices:"]) for at in (before, after)] == [2, 1]
    second = gateway.page(after, "/ivp/ensemble/inventory")[0]["devices"][1]
    assert not second["communicating"]
    assert after.timestamp() - second["last_rpt_date"] > 3000


def test_a_stale_ac_battery_goes_on_to_look_alive() -> None:
    gateway = simulated(HOUSES["acb"], Fault("stale_acb", 39_600))
    fresh, stale = (
        gateway.page(START + timedelta(hours=hours), "/production.json")["storage"][0] for hours in (11, 20)
    )
    assert fresh == stale
    assert fresh["state"] == "charging"
    assert fresh["wNow"] < 0
    listed = gateway.page(NOON, "/api/v1/production/inverters")
    assert [row["devType"] for row in listed].count(11) == 4
    assert all(row["lastReportWatts"] >= 0 for row in listed)


def test_one_channel_is_lost_in_a_share_of_the_minutes() -> None:
    gateway = simulated(HOUSES["iq-ct"], Fault("lost_channel", argument="0.2"))
    lost = 0
    for minute in range(600):
        storage = gateway.page(START + timedelta(minutes=minute), READINGS)[2]
        if storage["channels"][0]["actEnergyDlvd"] == 0:
            assert storage["actEnergyDlvd"] == storage["channels"][1]["actEnergyDlvd"]
            lost += 1
    assert 60 < lost < 180


def test_an_outage_is_planned_by_a_fault_and_changes_nothing_before_it() -> None:
    gateway = simulated(HOUSES["generator"])
    before = gateway.page(NOON, READINGS)
    gateway.faults += [Fault("grid_lost", 40_000, 50_000), Fault("generator", 45_000, 54_000)]
    assert gateway.page(NOON, READINGS) == before

    def modes(second: int) -> tuple[Any, ...]:
        at = START + timedelta(seconds=second)
        controller = gateway.page(at, "/ivp/ensemble/inventory")[1]["devices"][0]
        runs = gateway.page(at, "/ivp/ensemble/generator")["oper_state"]
        return controller["mains_oper_state"], controller["Enchg_grid_mode"], runs

    assert modes(39_000) == ("closed", "multimode-ongrid", "open")
    assert modes(41_000) == ("open", "multimode-offgrid", "open")
    assert modes(46_000) == ("open", "multimode-generator", "close")
    assert modes(52_000) == ("open", "multimode-generator", "close")
    assert modes(55_000) == ("closed", "multimode-ongrid", "open")
    during = gateway.page(START + timedelta(seconds=42_000), READINGS)
    assert during[1]["activePower"] == pytest.approx(0, abs=0.001)


def test_an_outage_may_last_for_ever() -> None:
    gateway = simulated(HOUSES["generator"])
    gateway.fault("grid_lost")
    for days in (0, 1, 9):
        relay = gateway.page(NOON + timedelta(days=days), "/ivp/ensemble/relay")
        assert relay["mains_oper_state"] == "open"


def test_without_batteries_the_pages_are_empty() -> None:
    gateway = simulated(plain(1, "net", None))
    pages = {path: gateway.page(NOON, path) for path in ensemble.PAGES}
    assert pages["/ivp/ensemble/inventory"] == []
    assert pages["/ivp/ensemble/power"] == {"devices:": []}
    assert pages["/ivp/ss/gen_config"] == {}
    assert pages["/ivp/ensemble/secctrl"]["Enc_commissioned_capacity"] == 0
    assert {contact["status"] for contact in pages["/ivp/ensemble/dry_contacts"]["dry_contacts"]} == {"open"}


@pytest.mark.parametrize("options", [["--house", "generator"], ["--battery", "acb", "--phases", "3"]])
def test_houses_and_batteries_are_chosen_on_the_command_line(options: list[str], monkeypatch: Any) -> None:
    served: list[Simulation] = []

    def refuse(simulation: Simulation, port: int) -> None:
        served.append(simulation)
        raise OSError(98, f"{port} is taken")

    monkeypatch.setattr("logger.simulator.server.GatewayServer", refuse)
    result = CliRunner().invoke(command.simulate, options)
    assert isinstance(result.exception, UsageError)
    shape = served[0].shape
    assert shape.batteries is not None
    assert (shape.has_generator, shape.phases) == ((True, 1) if "generator" in options else (False, 3))
    assert bool(served[0].faults) == ("generator" in options)
