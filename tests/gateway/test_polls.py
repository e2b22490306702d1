"""Polls of every kind of simulated gateway, and of one that misbehaves."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from logger.errors import GatewayUnreachableError, LoggerError
from logger.gateway.client import Gateway
from logger.readings import Measurement, Outcome, Phase, Poll, Source
from logger.simulator.numbers import CTS
from logger.simulator.pages import PAGES
from logger.simulator.site import Shape
from tests.conftest import Bench, Benches


def production(poll: Poll) -> dict[str, float | None]:
    return {sample.phase: sample.energy_lifetime_wh for sample in poll.production}


def consumption(poll: Poll, measurement: Measurement) -> dict[str, float | None]:
    return {sample.phase: sample.power_w for sample in poll.consumption if sample.measurement is measurement}


@pytest.mark.parametrize("cts", ["production", "net", "total", "storage"])
@pytest.mark.parametrize(("phases", "generation"), [(1, "7"), (2, "8"), (3, "8"), (2, "5")])
def test_a_metered_site_gives_what_its_cts_measure(bench: Benches, cts: str, phases: int, generation: str) -> None:
    shape = Shape(phases=phases, battery=cts == "storage")
    roof = bench(cts=cts, generation=generation, shape=shape)
    poll = roof.poll(roof.gateway(token_file=None) if generation == "5" else roof.gateway())
    assert poll.outcome is Outcome.COMPLETE
    expected = {"total", "L1", "L2", "L3"} if phases == 3 else {"total", "L1", "L2"}
    expected = {"total"} if phases == 1 else expected
    assert set(production(poll)) == expected
    assert {sample.source for sample in poll.production} == {Source.CT}
    assert {reading.measurement for reading in poll.meter_readings} == set(CTS[cts])
    at_s = poll.polled_at.timestamp()
    powers = roof.simulation.site.powers(at_s)
    assert production(poll)["total"] == pytest.approx(
        roof.simulation.site.counter_wh("production", at_s) + 4_321_000, abs=0.001
    )
    if cts == "production":
        assert poll.consumption == ()
    else:
        net = consumption(poll, Measurement.NET_CONSUMPTION)
        assert set(net) == expected
        net_w = powers.load - powers.production if cts == "total" else powers.net
        assert net["total"] == pytest.approx(net_w, abs=0.01)
        total = consumption(poll, Measurement.TOTAL_CONSUMPTION)
        assert total["total"] == pytest.approx(powers.load, abs=0.01)


@pytest.mark.parametrize(
    ("generation", "firmware", "cts", "source"),
    [("3", "", "none", Source.V1), ("5", "", "none", Source.V1), ("7", "", "none", Source.V1),
     ("8", "8.2.4345", "none", Source.V1), ("8", "8.3.5422", "none", Source.INVERTERS),
     ("8", "8.2.4264", "disabled", Source.INVERTERS), ("7", "", "disabled", Source.INVERTERS)],
)  # fmt: skip
def test_a_site_without_cts_gives_production_alone(
    bench: Benches, generation: str, firmware: str, cts: str, source: Source
) -> None:
    roof = bench(generation=generation, firmware=firmware, cts=cts)
    old = generation in {"3", "5"}
    poll = roof.poll(roof.gateway(token_file=None) if old else roof.gateway())
    assert poll.outcome is Outcome.COMPLETE
    assert [(sample.phase, sample.source) for sample in poll.production] == [(Phase.TOTAL, source)]
    assert poll.consumption == ()
    assert poll.meter_readings == ()
    assert len(poll.inverters) == 12


@pytest.mark.parametrize("count", [1, 47, 48, 80])
def test_every_inverter_is_read_beyond_the_limit_of_the_detailed_page(bench: Benches, count: int) -> None:
    roof = bench(shape=Shape(inverters=count))
    poll = roof.poll(roof.gateway())
    assert len({report.serial for report in poll.inverters}) == count
    detailed = [inverter for inverter in poll.inverters if inverter.energy_lifetime_wh is not None]
    assert len(detailed) == min(count, 48)


def test_inverters_listed_twice_are_read_once(bench: Benches) -> None:
    roof = bench(generation="7")
    roof.simulation.fault("duplicate")
    assert len(roof.poll(roof.gateway()).inverters) == 12


def test_inactive_production_without_a_fallback_is_unknown(bench: Benches) -> None:
    roof = bench(cts="net", shape=Shape(phases=3))
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault("inactive")
    poll = roof.poll(gateway)
    assert poll.outcome is Outcome.PARTIAL
    assert set(production(poll).values()) == {None}
    assert {sample.source for sample in poll.production} == {Source.CT}
    assert set(consumption(poll, Measurement.TOTAL_CONSUMPTION).values()) == {None}
    assert None not in consumption(poll, Measurement.NET_CONSUMPTION).values()
    roof.simulation.faults.clear()
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_production_json_is_asked_as_often_as_the_meter_may_be_called_inactive(bench: Benches) -> None:
    page = "/production.json?details=1"
    for generation, with_each in (("8", True), ("7", False)):
        roof = bench(cts="net", generation=generation)
        gateway = roof.gateway()
        roof.poll(gateway)

        def is_asked(*, inverters: bool, roof: Bench = roof, gateway: Gateway = gateway) -> bool:
            roof.simulation.requests.clear()
            gateway.poll(at=roof.clock(), inverters=inverters)
            return page in [request.path for request in roof.simulation.requests]

        assert is_asked(inverters=False) is with_each
        assert is_asked(inverters=True)
        roof.simulation.fault("inactive")
        assert is_asked(inverters=True)
        assert is_asked(inverters=False)  # To see when it is over.
        roof.simulation.faults.clear()
        assert is_asked(inverters=False)
        assert is_asked(inverters=False) is with_each


def test_nulls_cost_their_fields_alone(bench: Benches) -> None:
    roof = bench(cts="net")
    roof.simulation.fault("null")
    poll = roof.poll(roof.gateway())
    (reading,) = (r for r in poll.meter_readings if r.measurement == "production")
    assert (reading.power_w, reading.voltage_v, reading.frequency_hz) == (None, None, 50.0)
    assert reading.delivered_wh is not None


@pytest.mark.parametrize("kind", ["cut", "html", "server_error"])
def test_pages_that_come_wrong_never_change_a_source(bench: Benches, kind: str) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    before = roof.poll(gateway)
    assert gateway.profile is not None
    pinned = (gateway.profile.production, gateway.profile.consumption)
    roof.simulation.fault(kind)
    poll = roof.poll(gateway)
    assert poll.outcome is Outcome.FAILED
    roof.clock.set(roof.clock() + timedelta(hours=25))
    roof.poll(gateway)
    roof.simulation.faults.clear()
    after = roof.poll(gateway)
    assert after.outcome is Outcome.COMPLETE
    sources = [{sample.source for sample in poll.production} for poll in (before, after)]
    assert sources[0] == sources[1]
    assert (gateway.profile.production, gateway.profile.consumption) == pinned


def test_at_the_start_a_gateway_that_is_booting_is_waited_for(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.simulation.fault("server_error")
    with pytest.raises(GatewayUnreachableError):
        roof.poll(gateway)
    roof.simulation.faults.clear()
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_nobody_there_is_asked_once_per_poll(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.server.stop()
    gateway.endpoints.http.forget_connection()
    with pytest.raises(GatewayUnreachableError):
        roof.poll(gateway)


def test_an_answer_that_drips_ends_at_the_deadline(bench: Benches) -> None:
    roof = bench(cts="net", poll_every_s=5)
    gateway = roof.gateway()
    roof.poll(gateway)
    gateway.budget_s = 1.5
    roof.simulation.fault("drip")
    started = time.monotonic()
    assert roof.poll(gateway).outcome is Outcome.FAILED
    assert time.monotonic() - started < 4


def test_meters_whose_own_clock_stands_still_give_nothing_new(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.simulation.fault("frozen")
    assert roof.poll(gateway).meter_readings
    roof.clock.set(roof.clock() + timedelta(minutes=2))
    poll = roof.poll(gateway)
    assert poll.outcome is Outcome.PARTIAL
    assert (poll.meter_readings, poll.production) == ((), ())


def test_a_clock_that_runs_ahead_is_an_event_once_and_moves_no_sample(bench: Benches) -> None:
    roof = bench(cts="net")
    roof.simulation.fault("clock_skew", argument="300")
    gateway = roof.gateway()
    poll = roof.poll(gateway)
    assert [(event.kind, event.detail) for event in poll.events] == [
        ("clock_skew", "the gateway's clock runs 300 s ahead of ours")
    ]
    assert poll.production[0].reading_age_s == -300
    roof.clock.set(roof.clock() + timedelta(hours=2))
    assert roof.poll(gateway).events == ()


def test_inverters_that_come_and_go_are_events(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault("lost_inverter")
    kinds = [[event.kind for event in roof.poll(gateway).events] for _ in range(4)]
    assert kinds == [[], [], ["inverter_removed"], []]
    roof.simulation.faults.clear()
    assert [event.kind for event in roof.poll(gateway).events] == ["inverter_appeared"]


def later(roof: Bench, hours: float) -> None:
    roof.clock.set(roof.clock() + timedelta(hours=hours))


def test_a_firmware_upgrade_is_seen_within_the_hour_and_detected_anew(bench: Benches) -> None:
    roof = bench(generation="7", cts="none")
    gateway = roof.gateway()
    assert roof.poll(gateway).production[0].source is Source.V1
    roof.simulation.fault("firmware", argument="8.3.5528")
    later(roof, 1.1)
    poll = roof.poll(gateway)
    assert poll.info is not None
    assert poll.info.firmware == "8.3.5528"
    assert poll.production[0].source is Source.INVERTERS


def test_a_meter_that_is_switched_off_ends_its_readings_within_the_hour(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    assert roof.poll(gateway).consumption
    roof.simulation.fault("meter_off")
    later(roof, 1.1)
    poll = roof.poll(gateway)
    assert poll.consumption == ()
    assert poll.outcome is Outcome.COMPLETE


def test_the_nightly_restart_is_not_bothered_with_long_pages(bench: Benches) -> None:
    roof = bench(cts="net", time_zone="Europe/Amsterdam")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.clock.set(roof.clock().replace(hour=21, minute=1))  # 23:01 in Amsterdam
    before = len(roof.asked("/ivp/pdm/device_data"))
    assert roof.poll(gateway).inverters == ()
    assert len(roof.asked("/ivp/pdm/device_data")) == before


@pytest.mark.parametrize("kind", ["outage", "unauthorized"])
def test_each_way_to_fail_is_a_sentence(bench: Benches, kind: str) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault(kind)
    ask: Callable[[], Poll] = lambda: roof.poll(gateway)  # noqa: E731 - reads better below
    try:
        message = str(ask().error)
    except LoggerError as error:
        message = str(error)
    assert message
    assert "Traceback" not in message
    assert "0x" not in message


@pytest.mark.parametrize("is_missing", [False, True], ids=["refused", "missing"])
def test_a_gateway_without_a_list_of_inverters_is_complete_without_it(
    bench: Benches, is_missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(cts="net", generation="7", time_zone="Etc/GMT")
    path = "/api/v1/production/inverters"
    if is_missing:
        monkeypatch.delitem(PAGES["7"], path)
    else:
        roof.simulation.fault("refused", argument=path)
    gateway = roof.gateway()
    for _ in range(3):
        assert roof.poll(gateway).outcome is Outcome.COMPLETE
        roof.clock.set(roof.clock() + timedelta(hours=7))
    assert len(roof.asked(path)) <= 3  # Once more with a new session.
