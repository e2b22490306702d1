"""A gateway that is no longer at its configured address is found again by its serial."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise

import pytest
from sqlalchemy import text

from logger.collector.wiring import pollers
from logger.errors import CertificateChangedError, GatewayError, GatewayReplacedError, GatewayUnreachableError
from logger.gateway import discovery
from logger.gateway.client import Gateway
from logger.gateway.http import Address
from logger.gateway.tls import Deadline
from logger.readings import Outcome, Poll
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.store.schema import upgrade
from tests.conftest import Bench, Benches, collect

Announce = Callable[..., None]
Move = Callable[..., GatewayServer]
MINUTE = timedelta(minutes=1)
#: Test processes hear each other's announcements: each test has a gateway of its own.
serials = map(str, count(910000000000 + 1000 * (time.monotonic_ns() % 900_000)))


@pytest.fixture
def moved() -> Iterator[Move]:
    """Serves a bench's gateway at 127.0.0.2: same port, same certificate."""
    with contextlib.ExitStack() as stack:

        def move(roof: Bench, *, new_certificate: bool = False) -> GatewayServer:
            roof.server.stop()
            server = served(stack, roof.simulation, "127.0.0.2", port_of(roof))
            if not new_certificate:
                server._server.context = roof.server._server.context
            return server

        yield move


def served(stack: contextlib.ExitStack, simulation: Simulation, host: str, port: int) -> GatewayServer:
    server = GatewayServer(simulation, port, host)
    stack.callback(server.stop)
    return server


def port_of(roof: Bench) -> int:
    return int(roof.server.url.rpartition(":")[2])


def minute(roof: Bench, gateway: Gateway) -> Poll | GatewayError:
    """Poll, and let a minute pass."""
    try:
        return roof.poll(gateway, inverters=False)
    except GatewayError as error:
        return error
    finally:
        gateway.endpoints.http.forget_connection()  # A server that moved has dropped it.
        roof.clock.set(roof.clock() + MINUTE)


def outcomes(roof: Bench, gateway: Gateway, minutes: int) -> list[str]:
    polls = [minute(roof, gateway) for _ in range(minutes)]
    return [poll.outcome if isinstance(poll, Poll) else type(poll).__name__ for poll in polls]


FOUND = "answers at 127.0.0.2 instead of 127.0.0.1; found by mDNS: correct host in the configuration"
GONE = GatewayUnreachableError.__name__
HERE = str(Outcome.COMPLETE)


def test_after_three_failed_polls_it_is_found_and_goes_on_with_pin_and_token(
    bench: Benches, announce: Announce, moved: Move
) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    moved(roof)
    assert outcomes(roof, gateway, 3) == [GONE] * 3
    before = len(roof.simulation.requests)
    found = minute(roof, gateway)
    assert isinstance(found, Poll)
    assert found.outcome is Outcome.COMPLETE
    assert [(event.kind, event.detail) for event in found.events] == [("address_change", FOUND)]
    first = roof.simulation.requests[before]
    assert (first.path, first.credentials) == ("/info", "none")
    later = minute(roof, gateway)
    assert isinstance(later, Poll)
    assert (later.outcome, later.events) == (Outcome.COMPLETE, ())


def test_it_is_not_looked_for_without_permission(bench: Benches, announce: Announce, moved: Move) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=False)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    moved(roof)
    assert outcomes(roof, gateway, 6) == [GONE] * 6


def test_an_old_gateway_that_is_asked_with_a_password_is_not_looked_for(
    bench: Benches, announce: Announce, moved: Move
) -> None:
    roof = bench(serial=next(serials), generation="5", cts="none")
    gateway = roof.gateway(mdns=True, token_file=None, username="me", password="secret")
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    moved(roof)
    before = len(roof.simulation.requests)
    assert outcomes(roof, gateway, 5) == [GONE] * 5
    assert roof.simulation.requests[before:] == []


def test_another_certificate_at_the_found_address_is_sent_nothing(
    bench: Benches, announce: Announce, moved: Move, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    moved(roof, new_certificate=True)
    sent = len(roof.simulation.requests)
    assert outcomes(roof, gateway, 16) == [GONE] * 16
    assert len(roof.simulation.requests) == sent
    lines = [line for line in caplog.messages if "mDNS" in line]
    assert len(lines) == 1
    assert "envoylog trust accept roof" in lines[0]


def test_without_a_pin_no_certificate_at_a_found_address_is_trusted(
    bench: Benches, announce: Announce, moved: Move, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(serial=next(serials))
    announce(roof.simulation.model.serial, "127.0.0.2")
    host = roof.server.url.partition("://")[2]
    moved(roof)
    gateway = roof.gateway(mdns=True, serial=roof.simulation.model.serial, host=host)
    assert outcomes(roof, gateway, 4) == [GONE] * 4
    assert roof.simulation.requests == []
    assert gateway.endpoints.http.pins.read() is None
    assert "host = '127.0.0.2'" in caplog.text


def test_a_gateway_that_had_tokens_is_not_believed_to_have_become_an_old_one(
    bench: Benches, announce: Announce
) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True, tls="off", host=roof.server.url.partition("://")[2])
    minute(roof, gateway)
    serial = roof.simulation.model.serial
    announce(serial, "127.0.0.2")
    roof.server.stop()
    impostor = Simulation(model=Model(generation="5", cts="none", serial=serial))
    with contextlib.ExitStack() as stack:
        served(stack, impostor, "127.0.0.2", port_of(roof))
        assert outcomes(roof, gateway, 5) == [GONE] * 5
    assert impostor.requests == []


def test_another_gateway_announced_under_this_serial_is_asked_only_for_its_own(
    bench: Benches, announce: Announce
) -> None:
    roof = bench(generation="5", cts="none", serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    roof.server.stop()
    other = Simulation(model=Model(generation="5", cts="none", serial=next(serials)))
    with contextlib.ExitStack() as stack:
        served(stack, other, "127.0.0.2", port_of(roof))
        assert outcomes(roof, gateway, 5) == [GONE] * 5
    assert [request.path for request in other.requests] == ["/info"]
    assert gateway.endpoints.http.address.host == "127.0.0.1"


def test_a_gateway_whose_address_another_one_has_taken_is_not_given_up(
    bench: Benches, announce: Announce, moved: Move, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SEARCH_S", 0.5)
    roof = bench(generation="5", cts="none", serial=next(serials))
    roof.settings = replace(roof.settings, gateways=(replace(roof.settings.gateways[0], mdns=True, token_file=None),))
    engine = roof.engine()
    upgrade(engine)
    poller = pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]

    def polled(times: int) -> list[str]:
        polls = []
        for _ in range(times):
            polls.append(str(collect(poller, roof.clock()).outcome))
            roof.clock.set(roof.clock() + MINUTE)
        return polls

    assert polled(1) == ["complete"]
    moved(roof)
    other = Simulation(model=Model(generation="5", cts="none", serial=next(serials)))
    with contextlib.ExitStack() as stack:
        served(stack, other, "127.0.0.1", port_of(roof))
        roof.clock.set(roof.clock() + timedelta(hours=1))
        assert polled(4) == ["failed"] * 4
        assert isinstance(poller.last_error, GatewayReplacedError)
        announce(roof.simulation.model.serial, "127.0.0.2")
        roof.clock.set(roof.clock() + 10 * MINUTE)
        assert polled(2) == ["complete"] * 2
    assert {request.path for request in other.requests} == {"/info"}
    with engine.connect() as connection:
        kinds = connection.execute(text("SELECT kind FROM events ORDER BY at")).scalars().all()
    assert [kind for kind in kinds if kind != "outage"] == ["gateway_replaced", "address_change"]
    lines = [line for line in caplog.messages if "answers at 127.0.0.2" in line]
    assert len(lines) == 1


def test_a_stranger_at_the_old_address_hinders_nobody(bench: Benches, announce: Announce, moved: Move) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    moved(roof)
    stranger = Simulation(model=Model(serial=next(serials)))
    with contextlib.ExitStack() as stack:
        served(stack, stranger, "127.0.0.1", port_of(roof))
        refused = [CertificateChangedError.__name__] * 3
        assert outcomes(roof, gateway, 4) == [*refused, HERE]
    assert stranger.requests == []


def test_it_returns_to_the_configured_host_when_only_that_answers(
    bench: Benches, announce: Announce, moved: Move
) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.2")
    away = moved(roof)
    assert outcomes(roof, gateway, 10) == [GONE] * 3 + [HERE] * 7
    away.stop()
    assert outcomes(roof, gateway, 3) == [GONE] * 3
    with contextlib.ExitStack() as stack:
        home = served(stack, roof.simulation, "127.0.0.1", port_of(roof))
        home._server.context = roof.server._server.context
        back = minute(roof, gateway)
    assert isinstance(back, Poll)
    assert [event.detail for event in back.events] == ["answers at 127.0.0.1 again, as configured"]


def test_a_gateway_that_is_only_away_for_a_while_has_not_moved(bench: Benches, announce: Announce) -> None:
    roof = bench(serial=next(serials))
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    announce(roof.simulation.model.serial, "127.0.0.1")
    roof.simulation.fault("outage")
    assert outcomes(roof, gateway, 3) == [GONE] * 3
    roof.simulation.faults.clear()
    back = minute(roof, gateway)
    assert isinstance(back, Poll)
    assert (back.outcome, back.events) == (Outcome.COMPLETE, ())


def test_it_is_looked_for_once_in_ten_minutes_and_within_the_polls_time(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(serial=next(serials), poll_every_s=5)
    gateway = roof.gateway(mdns=True)
    minute(roof, gateway)
    roof.server.stop()
    assert outcomes(roof, gateway, 3) == [GONE] * 3
    started = time.monotonic()
    assert outcomes(roof, gateway, 1) == [GONE]
    assert time.monotonic() - started < gateway.budget_s
    looks = []
    real = discovery.discover

    def counted(*args: object, **options: object) -> list[discovery.Found]:
        looks.append(roof.clock())
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(discovery, "discover", counted)
    monkeypatch.setattr(discovery, "SEARCH_S", 0.1)
    outcomes(roof, gateway, 30)
    assert len(looks) == 3
    assert {after - before for before, after in pairwise(looks)} == {10 * MINUTE}


def test_a_gateway_that_was_never_met_is_not_looked_for(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> None:
    roof = bench(serial=next(serials))
    roof.server.stop()
    monkeypatch.delattr(discovery, "discover")
    assert outcomes(roof, roof.gateway(mdns=True), 5) == [GONE] * 5


@pytest.mark.parametrize(
    ("host", "expected"),
    [("envoy.local", Address(None, "127.0.0.2", None)),
     ("https://envoy.local", Address("https", "127.0.0.2", None)),
     ("http://192.168.1.3:8080", Address("http", "127.0.0.2", 8080))],
)  # fmt: skip
def test_scheme_and_port_are_those_of_the_configuration(
    bench: Benches, announce: Announce, host: str, expected: Address
) -> None:
    roof = bench(serial=next(serials))
    announce(roof.simulation.model.serial, "127.0.0.2")
    found = roof.gateway(host=host).relocation
    assert found._announced(roof.simulation.model.serial, Deadline(9)) == [expected]


@pytest.fixture(autouse=True)
def log_of_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
