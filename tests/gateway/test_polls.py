"""Polls of every kind of simulated gateway, and of one that misbehaves."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from logger.errors import GatewayUnreachableError, LoggerError
from logger.readings import Measurement, Outcome, Phase, Poll, Source
from logger.simulator.numbers import CTS
from logger.simulator.site import Shape
from tests.conftest import Bench, Benches


def production(poll: Poll) -> dict[str, float | None]:
    return {one.phase: one.energy_lifetime_wh for one in poll.production}


def consumption(poll: Poll, measurement: Measurement) -> dict[str, float | None]:
    return {one.phase: one.power_w for one in poll.consumption if one.measurement is measurement}


@pytest.mark.parametrize("cts", ["production", "net", "total", "storage"])
@pytest.mark.parametrize(("phases", "generation"), [(1, "7"), (2, "8"), (3, "8"), (2, "5")])
def test_a_metered_site_gives_what_its_cts_measure(
    bench: Benches, cts: str, phases: int, generation: str
) -> None:
    shape = Shape(phases=phases, battery=cts == "storage")
    one = bench(cts=cts, generation=generation, shape=shape)
    poll = one.poll(one.gateway(token_file=None) if generation == "5" else one.gateway())
    assert poll.outcome is Outcome.COMPLETE
    expected = {"total", "L1", "L2", "L3"} if phases == 3 else {"total", "L1", "L2"}
    expected = {"total"} if phases == 1 else expected
    assert set(production(poll)) == expected
    assert {one.source for one in poll.production} == {Source.CT}
    assert {reading.measurement for reading in poll.meter_readings} == set(CTS[cts])
    at_s = poll.polled_at.timestamp()
    powers = one.simulation.site.powers(at_s)
    assert production(poll)["total"] == pytest.approx(
        one.simulation.site.counter_wh("production", at_s) + 4_321_000, abs=0.001
    )
    if cts == "production":
        assert poll.consumption == ()
    else:
        net = consumption(poll, Measurement.NET_CONSUMPTION)
        assert set(net) == expected
        net_w = powers.load - powers.production if cts == "total" else powers.net
        assert net["total"] == pytest.approx(net_w, abs=0.01)
        used = powers.load if cts != "storage" else powers.load - powers.storage
        total = consumption(poll, Measurement.TOTAL_CONSUMPTION)
        assert total["total"] == pytest.approx(used, abs=0.01)


@pytest.mark.parametrize(
    ("generation", "firmware", "cts", "source"),
    [("3", "", "none", Source.V1), ("5", "", "none", Source.V1), ("7", "", "none", Source.V1),
     ("8", "8.2.4345", "none", Source.V1), ("8", "8.3.5422", "none", Source.INVERTERS),
     ("8", "8.2.4264", "disabled", Source.INVERTERS), ("7", "", "disabled", Source.INVERTERS)],
)  # fmt: skip
def test_a_site_without_cts_gives_production_alone(
    bench: Benches, generation: str, firmware: str, cts: str, source: Source
) -> None:
    one = bench(generation=generation, firmware=firmware, cts=cts)
    old = generation in {"3", "5"}
    poll = one.poll(one.gateway(token_file=None) if old else one.gateway())
    assert poll.outcome is Outcome.COMPLETE
    assert [(one.phase, one.source) for one in poll.production] == [(Phase.TOTAL, source)]
    assert poll.consumption == ()
    assert poll.meter_readings == ()
    assert len(poll.inverters) == 12


@pytest.mark.parametrize("count", [1, 47, 48, 80])
def test_every_inverter_is_read_beyond_the_limit_of_the_detailed_page(
    bench: Benches, count: int
) -> None:
    one = bench(shape=Shape(inverters=count))
    poll = one.poll(one.gateway())
    assert len({report.serial for report in poll.inverters}) == count
    detailed = [one for one in poll.inverters if one.energy_lifetime_wh is not None]
    assert len(detailed) == min(count, 48)


def test_inverters_listed_twice_are_read_once(bench: Benches) -> None:
    one = bench(generation="7")
    one.simulation.fault("duplicate")
    assert len(one.poll(one.gateway()).inverters) == 12


def test_production_that_the_gateway_calls_inactive_is_unknown_without_a_fallback(
    bench: Benches,
) -> None:
    one = bench(cts="net", shape=Shape(phases=3))
    gateway = one.gateway()
    one.poll(gateway)
    one.simulation.fault("inactive")
    poll = one.poll(gateway)
    assert poll.outcome is Outcome.PARTIAL
    assert set(production(poll).values()) == {None}
    assert {one.source for one in poll.production} == {Source.CT}
    assert set(consumption(poll, Measurement.TOTAL_CONSUMPTION).values()) == {None}
    assert None not in consumption(poll, Measurement.NET_CONSUMPTION).values()
    one.simulation.faults.clear()
    assert one.poll(gateway).outcome is Outcome.COMPLETE


def test_nulls_cost_their_fields_alone(bench: Benches) -> None:
    one = bench(cts="net")
    one.simulation.fault("null")
    poll = one.poll(one.gateway())
    (reading,) = (r for r in poll.meter_readings if r.measurement == "production")
    assert (reading.power_w, reading.voltage_v, reading.frequency_hz) == (None, None, 50.0)
    assert reading.delivered_wh is not None


@pytest.mark.parametrize("kind", ["cut", "html", "server_error"])
def test_pages_that_come_wrong_never_change_a_source(bench: Benches, kind: str) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    before = one.poll(gateway)
    assert gateway.profile is not None
    pinned = (gateway.profile.production, gateway.profile.consumption)
    one.simulation.fault(kind)
    poll = one.poll(gateway)
    assert poll.outcome is Outcome.FAILED
    one.clock.set(one.clock() + timedelta(hours=25))
    one.poll(gateway)
    one.simulation.faults.clear()
    after = one.poll(gateway)
    assert after.outcome is Outcome.COMPLETE
    assert {one.source for one in after.production} == {one.source for one in before.production}
    assert (gateway.profile.production, gateway.profile.consumption) == pinned


def test_at_the_start_a_gateway_that_is_booting_is_waited_for(bench: Benches) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    one.simulation.fault("server_error")
    with pytest.raises(GatewayUnreachableError):
        one.poll(gateway)
    one.simulation.faults.clear()
    assert one.poll(gateway).outcome is Outcome.COMPLETE


def test_nobody_there_is_asked_once_per_poll(bench: Benches) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    one.poll(gateway)
    one.server.stop()
    gateway.endpoints.http.forget_connection()
    with pytest.raises(GatewayUnreachableError):
        one.poll(gateway)


def test_an_answer_that_drips_ends_at_the_deadline(bench: Benches) -> None:
    one = bench(cts="net", poll_every_s=5)
    gateway = one.gateway()
    one.poll(gateway)
    gateway.budget_s = 1.5
    one.simulation.fault("drip")
    started = time.monotonic()
    assert one.poll(gateway).outcome is Outcome.FAILED
    assert time.monotonic() - started < 4


def test_meters_whose_own_clock_stands_still_say_nothing_new(bench: Benches) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    one.simulation.fault("frozen")
    assert one.poll(gateway).meter_readings
    one.clock.set(one.clock() + timedelta(minutes=2))
    poll = one.poll(gateway)
    assert poll.outcome is Outcome.PARTIAL
    assert (poll.meter_readings, poll.production) == ((), ())


def test_a_clock_that_runs_ahead_is_an_event_once_and_moves_no_sample(bench: Benches) -> None:
    one = bench(cts="net")
    one.simulation.fault("clock_skew", argument="300")
    gateway = one.gateway()
    poll = one.poll(gateway)
    assert [(event.kind, event.detail) for event in poll.events] == [
        ("clock_skew", "the gateway's clock runs 300 s ahead of ours")
    ]
    assert poll.production[0].reading_age_s == -300
    one.clock.set(one.clock() + timedelta(hours=2))
    assert one.poll(gateway).events == ()


def test_inverters_that_come_and_go_are_events(bench: Benches) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    one.poll(gateway)
    one.simulation.fault("lost_inverter")
    kinds = [[event.kind for event in one.poll(gateway).events] for _ in range(4)]
    assert kinds == [[], [], ["inverter_removed"], []]
    one.simulation.faults.clear()
    assert [event.kind for event in one.poll(gateway).events] == ["inverter_appeared"]


def later(one: Bench, hours: float) -> None:
    one.clock.set(one.clock() + timedelta(hours=hours))


def test_a_firmware_upgrade_is_seen_within_the_hour_and_detected_anew(bench: Benches) -> None:
    one = bench(generation="7", cts="none")
    gateway = one.gateway()
    assert one.poll(gateway).production[0].source is Source.V1
    one.simulation.fault("firmware", argument="8.3.5528")
    later(one, 1.1)
    poll = one.poll(gateway)
    assert poll.info is not None
    assert poll.info.firmware == "8.3.5528"
    assert poll.production[0].source is Source.INVERTERS


def test_a_meter_that_is_switched_off_ends_its_readings_within_the_hour(bench: Benches) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    assert one.poll(gateway).consumption
    one.simulation.fault("meter_off")
    later(one, 1.1)
    poll = one.poll(gateway)
    assert poll.consumption == ()
    assert poll.outcome is Outcome.COMPLETE


def test_the_nightly_restart_is_not_bothered_with_long_pages(bench: Benches) -> None:
    one = bench(cts="net", time_zone="Europe/Amsterdam")
    gateway = one.gateway()
    one.poll(gateway)
    one.clock.set(one.clock().replace(hour=21, minute=1))  # 23:01 in Amsterdam
    before = len(one.asked("/ivp/pdm/device_data"))
    assert one.poll(gateway).inverters == ()
    assert len(one.asked("/ivp/pdm/device_data")) == before


@pytest.mark.parametrize("kind", ["outage", "unauthorized"])
def test_each_way_to_fail_is_a_sentence(bench: Benches, kind: str) -> None:
    one = bench(cts="net")
    gateway = one.gateway()
    one.poll(gateway)
    one.simulation.fault(kind)
    ask: Callable[[], Poll] = lambda: one.poll(gateway)  # noqa: E731 - reads better below
    try:
        said = str(ask().error)
    except LoggerError as error:
        said = str(error)
    assert said
    assert "Traceback" not in said
    assert "0x" not in said
