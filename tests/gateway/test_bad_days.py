"""A gateway's bad days: each ends by itself, costs what it must, and is reported once."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.errors import AuthenticationError, GatewayError, GatewayUnreachableError
from logger.gateway import http
from logger.gateway.client import Gateway
from logger.gateway.http import Address
from logger.gateway.profile import ProductionFrom
from logger.gateway.tls import fingerprint_at
from logger.readings import Outcome
from logger.settings import write_secret
from logger.simulator.access import ACCOUNT
from logger.simulator.server import GatewayServer
from logger.store.schema import upgrade
from tests.conftest import Bench, Benches, collect

MINUTE = timedelta(minutes=1)
QUARTER_WH = 5_600 / 4
Restart = Callable[..., GatewayServer]


@pytest.fixture
def restarted() -> Iterator[Restart]:
    """Restarts a bench's gateway with another firmware, on the same port."""
    with contextlib.ExitStack() as stack:

        def restart(roof: Bench, firmware: str) -> GatewayServer:
            port = int(roof.server.url.rpartition(":")[2])
            roof.server.stop()
            roof.simulation.fault("firmware", argument=firmware)
            server = GatewayServer(roof.simulation, port)
            stack.callback(server.stop)
            return server

        yield restart


def collecting(roof: Bench, **changes: object) -> tuple[Poller, Engine]:
    """Return a poller of the bench's gateway, and its database."""
    gateway = replace(roof.settings.gateways[0], **changes)  # type: ignore[arg-type]
    roof.settings = replace(roof.settings, gateways=(gateway,))
    engine = roof.engine()
    upgrade(engine)
    return pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0], engine


def polled(roof: Bench, poller: Poller, minutes: int) -> list[str]:
    polls = []
    for _ in range(minutes):
        polls.append(str(collect(poller, roof.clock()).outcome))
        roof.clock.set(roof.clock() + MINUTE)
    return polls


def without_scheme(roof: Bench) -> str:
    return roof.server.url.partition("://")[2]


def events(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT kind, detail FROM events ORDER BY at, kind"))
        return [(row.kind, row.detail) for row in rows if row.kind != "outage"]


def produced_wh(engine: Engine) -> float:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT sum(production_wh) FROM energy_15min"))
        return float(found.scalar_one())


# ------------------------------------------------------------------------- firmware comes


@pytest.mark.parametrize("cts", ["none", "net"])
def test_firmware_7_over_5_is_polled_on_with_the_token_that_is_there(
    bench: Benches, restarted: Restart, cts: str
) -> None:
    roof = bench(generation="5", cts=cts)
    since = roof.clock()
    poller, engine = collecting(roof, host=without_scheme(roof))
    assert polled(roof, poller, 20) == ["complete"] * 20
    restarted(roof, "7.6.175")
    after = polled(roof, poller, 20)
    assert after.count("complete") >= 18
    assert after[2:] == ["complete"] * 18
    assert poller.keeper.store_all()
    assert ("firmware_change", "5.0.62 to 7.6.175") in events(engine)
    assert poller.gateway.endpoints.http.scheme == "https"
    # Inverters report each 15 minutes under firmware 5 and each 5 under 7: that, and no jump.
    true_wh = roof.simulation.site.energy_between_wh("production", since, roof.clock() - MINUTE)
    late_wh = 1 if cts == "net" else QUARTER_WH
    assert 0.8 * true_wh < produced_wh(engine) <= true_wh + late_wh


def test_firmware_7_on_port_443_is_found_when_port_80_sends_us_there(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(generation="5", cts="none")
    secure_port = 9  # Nobody there yet.
    monkeypatch.setattr(http, "fingerprint_at", lambda host, _, wait_s: fingerprint_at(host, secure_port, wait_s))
    plain = roof.server.url
    monkeypatch.setattr(
        Address, "url",
        lambda _, scheme: plain if scheme == "http" else f"https://127.0.0.1:{secure_port}",
    )  # fmt: skip
    gateway = roof.gateway(host="127.0.0.1")
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    roof.simulation.fault("firmware", argument="7.6.175")
    secure = GatewayServer(roof.simulation)
    secure_port = int(secure.url.rpartition(":")[2])
    outcomes = []
    for _ in range(3):
        roof.clock.set(roof.clock() + MINUTE)
        with contextlib.suppress(GatewayError):
            outcomes.append(roof.poll(gateway).outcome)
    secure.stop()
    assert outcomes[-1] is Outcome.COMPLETE
    bearers = [request for request in roof.simulation.requests if request.credentials == "bearer"]
    assert len(bearers) == 1


def test_firmware_7_without_a_token_asks_for_it_once_and_waits(
    bench: Benches, restarted: Restart, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(generation="5", cts="net")
    token_file = roof.directory / "roof.token"
    token = token_file.read_text()
    token_file.unlink()
    poller, engine = collecting(roof, host=without_scheme(roof), token_file=None)
    assert polled(roof, poller, 2) == ["complete"] * 2
    caplog.set_level(logging.INFO)
    restarted(roof, "7.6.175")
    before = len(roof.simulation.requests)
    assert polled(roof, poller, 30) == ["failed"] * 30
    assert len([line for line in caplog.messages if "needs a token" in line]) == 1
    asked = [request.path for request in roof.simulation.requests[before + 10 :]]
    assert set(asked) == {"/info"}
    assert len(asked) <= 30
    write_secret(poller.gateway.endpoints.tokens.kept_path, token)
    assert polled(roof, poller, 3) == ["complete"] * 3
    assert poller.keeper.store_all()
    assert ("firmware_change", "5.0.62 to 7.6.175") in events(engine)


def test_firmware_8_comes_over_7_and_never_joins_two_counters(bench: Benches, restarted: Restart) -> None:
    roof = bench(generation="7", cts="none")
    since = roof.clock()
    poller, engine = collecting(roof)
    assert polled(roof, poller, 20) == ["complete"] * 20
    kept = roof.server._server.context
    restarted(roof, "8.3.5422")._server.context = kept
    after = polled(roof, poller, 40)
    assert after[2:] == ["complete"] * 38
    assert poller.keeper.store_all()
    stored = events(engine)
    assert ("firmware_change", "7.6.175 to 8.3.5422") in stored
    assert "source_change" in {kind for kind, _ in stored}
    true_wh = roof.simulation.site.energy_between_wh("production", since, roof.clock() - MINUTE)
    assert 0.7 * true_wh < produced_wh(engine) <= true_wh + QUARTER_WH


# ------------------------------------------------------------------------- nobody lets us in


@pytest.mark.parametrize(
    ("generation", "most", "mean"),
    # Firmware 5 asks each page as nobody and as both built-in users, each with its challenge.
    [("8", 2, 1.2), ("5", 25, 7)],
)
def test_an_hour_of_401_never_becomes_a_storm_of_requests(
    bench: Benches, generation: str, most: int, mean: float
) -> None:
    roof = bench(generation=generation, cts="net")
    poller, _ = collecting(roof, **({"token_file": None} if generation == "5" else {}))
    polled(roof, poller, 2)
    roof.simulation.fault("unauthorized")
    polled(roof, poller, 1)
    before, each = len(roof.simulation.requests), []
    for _ in range(60):
        already = len(roof.simulation.requests)
        assert polled(roof, poller, 1) == ["failed"]
        each.append(len(roof.simulation.requests) - already)
    assert max(each) <= most, each
    assert len(roof.simulation.requests) - before <= mean * 60, each
    roof.simulation.faults.clear()
    roof.clock.set(roof.clock() + 15 * MINUTE)
    assert polled(roof, poller, 1) == ["complete"]


def test_an_old_gateway_that_refuses_everything_gives_no_complete_poll(bench: Benches) -> None:
    roof = bench(generation="5", cts="none")
    roof.simulation.fault("unauthorized")
    poller, _ = collecting(roof, token_file=None)
    assert polled(roof, poller, 5) == ["failed"] * 5
    roof.simulation.faults.clear()
    roof.clock.set(roof.clock() + timedelta(hours=25))
    assert polled(roof, poller, 1) == ["complete"]
    assert poller.gateway.profile is not None
    assert poller.gateway.profile.production is ProductionFrom.V1


def test_refused_pages_change_no_source_before_a_day_has_passed(bench: Benches) -> None:
    roof = bench(generation="5", cts="net")
    gateway = roof.gateway(token_file=None)
    roof.poll(gateway)
    assert gateway.profile is not None
    before = gateway.profile
    roof.simulation.fault("unauthorized")
    for _ in range(23):
        roof.clock.set(roof.clock() + timedelta(hours=1))
        assert roof.poll(gateway).outcome is Outcome.FAILED
    assert gateway.profile == before


@pytest.mark.parametrize("token", ["expired", "none"])
def test_a_cloud_that_is_away_is_asked_ever_less_and_the_reason_stays(
    bench: Benches, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench()
    path = roof.directory / "roof.token"
    write_secret(path, roof.simulation.token(days=-1))
    owner = {"username": ACCOUNT[0], "password": ACCOUNT[1]}
    gateway = roof.gateway(token_file=path if token == "expired" else None, **owner)
    account = gateway.endpoints.tokens.account
    there, real = (account.enlighten_url, account.asked)
    tries = []

    def counted(serial: str) -> str:
        tries.append(roof.clock())
        return real(serial)

    monkeypatch.setattr(account, "asked", counted)
    account.enlighten_url = "http://127.0.0.1:9"
    start, messages = roof.clock(), set()
    for _ in range(240):
        with pytest.raises(AuthenticationError) as caught:
            roof.poll(gateway)
        messages.add(str(caught.value))
        roof.clock.set(roof.clock() + MINUTE)
    assert [(at - start) / MINUTE for at in tries] == [0, 15, 45, 105, 225]
    assert len(messages) == 1
    assert "token set" in messages.pop()
    assert {request.path for request in roof.simulation.requests} == {"/info"}
    account.enlighten_url = there
    roof.clock.set(roof.clock() + timedelta(hours=4))
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_an_expired_token_without_an_account_asks_nobody_for_another(bench: Benches) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", roof.simulation.token(days=0.1))
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.clock.set(roof.clock() + timedelta(hours=3))
    before = len(roof.simulation.requests)
    for _ in range(30):
        with pytest.raises(AuthenticationError, match="expired"):
            roof.poll(gateway)
        roof.clock.set(roof.clock() + MINUTE)
    asked = roof.simulation.requests[before:]
    assert {request.path for request in asked} == {"/info"}
    assert "bearer" not in {request.credentials for request in asked}
    assert len(asked) <= 31
    write_secret(roof.directory / "roof.token", roof.simulation.token())
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


# ------------------------------------------------------------------------- nobody answers


def seconds(roof: Bench, gateway: Gateway) -> float:
    """Poll in vain; return how long it took."""
    started = time.monotonic()
    try:
        assert roof.poll(gateway).outcome is not Outcome.COMPLETE
    except GatewayUnreachableError as error:
        assert str(error)  # noqa: PT017 - either is a failed poll
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("kind", "argument"), [("drip", "60"), ("slow", "0.6"), ("outage", ""), ("server_error", ""), ("cut", "")]
)
def test_every_poll_ends_within_its_time_and_the_next_is_normal(bench: Benches, kind: str, argument: str) -> None:
    roof = bench(cts="net", poll_every_s=5)
    gateway = roof.gateway()
    roof.poll(gateway)
    gateway.budget_s = 1.0
    roof.simulation.fault(kind, argument=argument)
    assert seconds(roof, gateway) < 1.4
    roof.simulation.faults.clear()
    gateway.budget_s = 4.5
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_a_gateway_that_is_too_slow_to_identify_itself_is_not_gone(bench: Benches) -> None:
    roof = bench(cts="net", poll_every_s=5)
    gateway = roof.gateway()
    roof.poll(gateway)
    gateway.budget_s = 1.0
    roof.clock.set(roof.clock() + timedelta(hours=2))  # Time to ask for /info again.
    roof.simulation.fault("slow", argument="1.5")
    poll = roof.poll(gateway)
    assert poll.outcome is Outcome.FAILED
    assert [event.kind for event in poll.events] == ["slow_answers"]
    assert "no answer within 1 s" in str(poll.error)


def test_at_first_contact_silence_is_not_waited_for_longer_than_in_any_poll(bench: Benches) -> None:
    roof = bench(cts="net", poll_every_s=5)
    gateway = roof.gateway()
    gateway.budget_s = 1.0
    roof.simulation.fault("slow", argument="5")
    assert seconds(roof, gateway) < 1.4


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes no more connections in silence: connecting times out."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_connecting_in_vain_takes_no_longer_than_a_poll_may(bench: Benches, silent_port: int, scheme: str) -> None:
    roof = bench(poll_every_s=5)
    gateway = roof.gateway(host=f"{scheme}127.0.0.1:{silent_port}")
    gateway.budget_s = 1.0
    for _ in range(2):
        assert seconds(roof, gateway) < 1.4
    if not scheme:
        assert gateway.endpoints.http.scheme is None


def test_a_name_that_no_server_knows_is_one_line_and_a_failed_poll_each_time(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench()
    poller, _ = collecting(roof, host="no-such-host.invalid")
    caplog.set_level(logging.INFO)
    assert polled(roof, poller, 10) == ["failed"] * 10
    lines = [line for line in caplog.messages if "gateway=roof" in line]
    assert len(lines) == 1
    assert "no such host" in lines[0] or "name not found" in lines[0]


def test_a_name_server_that_is_silent_takes_no_longer_than_a_poll_may(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(poll_every_s=5)
    host = roof.server.url.replace("127.0.0.1", "localhost")
    gateway = roof.gateway(host=host)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    gateway.endpoints.http.forget_connection()
    real, back = socket.getaddrinfo, threading.Event()

    def silent(*args: object, **options: object) -> object:
        back.wait(20)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    gateway.budget_s = 0.5
    for _ in range(2):
        with pytest.raises(GatewayUnreachableError, match="name not found"):
            roof.poll(gateway)
        assert seconds(roof, gateway) < 0.9
    back.set()
    gateway.budget_s = 4.5
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
