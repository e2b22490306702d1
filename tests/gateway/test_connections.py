"""Connections that end, addresses that are dead, and pages that take a gateway down with them."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from logger.errors import GatewayUnreachableError
from logger.gateway import tls
from logger.gateway.http import Http
from logger.gateway.tls import Deadline
from logger.readings import Outcome, Poll, Source
from logger.simulator.site import Shape
from tests.conftest import Bench, Benches

MINUTE = timedelta(minutes=1)
DEVICE_DATA = "/ivp/pdm/device_data"
LIST = "/api/v1/production/inverters"
PRODUCTION = "/production.json?details=1"
Hook = Callable[[Any], bool]


def before_each_request(roof: Bench, hook: Hook) -> None:
    """Let a hook look at each request first; where it returns True it has been dealt with."""
    handler: Any = roof.server._server.RequestHandlerClass
    answer = handler.do_GET
    handler.do_GET = lambda self: None if hook(self) else answer(self)


def end(handler: Any, *, with_reset: bool = False) -> bool:
    """End a connection without an answer."""
    if with_reset:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        socket.socket.close(handler.connection)
    handler.close_connection = True
    return True


# ---------------------------------------------------------------------- kept connections


@pytest.mark.parametrize("with_reset", [True, False])
@pytest.mark.parametrize(("generation", "cts"), [("8", "net"), ("7", "none")])
def test_a_gateway_that_ends_every_kept_connection_loses_no_poll(
    bench: Benches, generation: str, cts: str, with_reset: bool
) -> None:
    roof = bench(generation=generation, cts=cts)
    answered: set[int] = set()

    def hook(handler: Any) -> bool:
        if id(handler) in answered:
            return end(handler, with_reset=with_reset)
        answered.add(id(handler))
        handlers.append(handler)  # An id must not be used again.
        return False

    handlers: list[Any] = []
    before_each_request(roof, hook)
    gateway = roof.gateway()
    for _ in range(3):
        assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_a_request_is_tried_once_more_and_not_for_ever(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.poll(gateway)
    asked: list[str] = []

    def hook(handler: Any) -> bool:
        asked.append(handler.path)
        return end(handler)

    before_each_request(roof, hook)
    with pytest.raises(GatewayUnreachableError):
        roof.poll(gateway)
    assert asked == ["/ivp/meters/readings"] * 2


def test_a_request_that_was_not_answered_in_time_is_not_tried_again(bench: Benches) -> None:
    roof = bench(cts="net")
    http = Http(roof.settings.gateways[0], roof.settings.state_dir)
    assert http.get("/info", Deadline(5)).status == 200
    asked: list[str] = []

    def hook(handler: Any) -> bool:
        asked.append(handler.path)
        time.sleep(0.4)
        return end(handler)

    before_each_request(roof, hook)
    with pytest.raises(GatewayUnreachableError, match="no answer"):
        http.get("/info", Deadline(0.2))
    http.forget_connection()
    assert asked == ["/info"]


# ----------------------------------------------------------------------------- addresses


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that swallows packets: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes every name resolve to these ports of this machine."""

    def to(*ports: int) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return to


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("first", ["dead", "closed", "two dead"])
def test_every_address_of_a_name_is_tried_when_packets_to_the_first_are_lost(
    bench: Benches, dead: int, resolves: Callable[..., None], first: str
) -> None:
    roof = bench(cts="net", poll_every_s=5)
    port = int(roof.server.url.rpartition(":")[2])
    before = {"dead": [dead], "closed": [closed_port()], "two dead": [dead, dead]}[first]
    resolves(*before, port)
    gateway = roof.gateway(host=f"https://roof.test:{port}")
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_all_addresses_together_take_no_longer_than_one_may(dead: int, resolves: Callable[..., None]) -> None:
    resolves(dead, dead, dead)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        tls.dial("roof.test", 1, 0.4)
    assert 0.3 < time.monotonic() - started < 0.7


def test_the_address_that_answers_first_is_taken_and_the_others_are_let_go(
    bench: Benches, dead: int, resolves: Callable[..., None]
) -> None:
    roof = bench()
    resolves(dead, int(roof.server.url.rpartition(":")[2]))
    with tls.dial("roof.test", 1, 2.0) as connection:
        assert connection.getpeername()[1] != dead
        assert connection.gettimeout() == 2.0


def test_when_all_addresses_refuse_the_reason_is_the_refusal(resolves: Callable[..., None]) -> None:
    resolves(closed_port(), closed_port())
    with pytest.raises(ConnectionRefusedError):
        tls.dial("roof.test", 1, 2.0)


# -------------------------------------------------------- pages that take the gateway down


class Fragile:
    """A gateway that is gone for the next requests when it is asked for one page."""

    def __init__(self, roof: Bench, page: str, *, gone_for: int = 3, hangs_s: float = 0.0) -> None:
        self.page, self.gone_for, self.hangs_s = page, gone_for, hangs_s
        self.asked = 0
        self._left = 0
        before_each_request(roof, self._look)

    def _look(self, handler: Any) -> bool:
        if self._left:
            self._left -= 1
            return end(handler)
        if handler.path != self.page:
            return False
        self.asked += 1
        self._left = self.gone_for
        time.sleep(self.hangs_s)
        return end(handler)


def minutes(roof: Bench, gateway: Any, number: int) -> list[Poll | None]:
    """Poll each minute; a poll that could not even be made is None."""
    polls: list[Poll | None] = []
    for _ in range(number):
        try:
            polls.append(roof.poll(gateway))
        except GatewayUnreachableError:
            polls.append(None)
        roof.clock.set(roof.clock() + MINUTE)
    return polls


def anomalies(polls: list[Poll | None]) -> list[tuple[str, str]]:
    events = [event for poll in polls if poll for event in poll.events]
    return [(event.kind, event.subject) for event in events if event.kind == "hanging_page"]


@pytest.mark.parametrize(
    ("page", "model"),
    [(DEVICE_DATA, {"cts": "net"}), (DEVICE_DATA, {"cts": "none", "firmware": "8.2.4345"}),
     (LIST, {"cts": "net", "generation": "7"}), (PRODUCTION, {"cts": "net"})],
)  # fmt: skip
def test_a_page_that_took_the_gateway_down_three_times_is_asked_only_daily(
    bench: Benches, page: str, model: dict[str, str]
) -> None:
    roof = bench(**model)
    gateway = roof.gateway()
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    fragile = Fragile(roof, page)
    polls = minutes(roof, gateway, 30)
    assert fragile.asked == 3
    assert anomalies(polls) == [("hanging_page", page)]
    assert {poll.outcome for poll in polls[-10:] if poll} == {Outcome.COMPLETE}
    assert None not in polls[-10:]
    roof.clock.set(roof.clock() + timedelta(hours=23, minutes=50))
    later = minutes(roof, gateway, 10)
    assert fragile.asked == 4
    assert anomalies(later) == []
    assert [poll is not None and bool(poll.production) for poll in later[-5:]] == [True] * 5


def test_a_page_that_hangs_for_most_of_a_poll_is_to_blame(bench: Benches) -> None:
    roof = bench(cts="net", poll_every_s=5)
    gateway = roof.gateway()
    roof.poll(gateway)
    gateway.budget_s = 0.5
    fragile = Fragile(roof, DEVICE_DATA, gone_for=0, hangs_s=0.6)
    polls = minutes(roof, gateway, 8)
    assert fragile.asked == 3
    assert anomalies(polls) == [("hanging_page", DEVICE_DATA)]
    assert polls[-1] is not None
    assert len(polls[-1].inverters) == 12  # From the plain list.


def test_an_answer_in_between_means_that_the_page_is_not_to_blame(bench: Benches) -> None:
    roof = bench(cts="net")
    gateway = roof.gateway()
    roof.poll(gateway)
    fragile = Fragile(roof, DEVICE_DATA)
    polls = []
    for page in (DEVICE_DATA, "none", DEVICE_DATA, "none"):
        fragile.page = page
        polls += minutes(roof, gateway, 2)
    assert fragile.asked == 4
    assert anomalies(polls) == []


def test_an_outage_is_no_pages_fault(bench: Benches) -> None:
    roof = bench(cts="net", shape=Shape(inverters=3))
    gateway = roof.gateway()
    roof.poll(gateway)
    for _ in range(5):
        roof.simulation.fault("outage")
        assert minutes(roof, gateway, 2) == [None, None]
        roof.simulation.faults.clear()
        assert anomalies(minutes(roof, gateway, 2)) == []


def test_what_is_needed_is_asked_for_at_every_poll_whatever_it_does(bench: Benches) -> None:
    roof = bench(cts="none", generation="7")
    gateway = roof.gateway()
    assert roof.poll(gateway).production[0].source is Source.V1
    fragile = Fragile(roof, "/api/v1/production")
    polls = minutes(roof, gateway, 12)
    assert fragile.asked > 3
    assert anomalies(polls) == []
