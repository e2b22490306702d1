"""A kept connection is asked again as before; what is no answer as usual is left to whoever opened it."""

import socket
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from typing import Any

import pytest
import requests
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection

from logger.gateway.kept import Answer, Kept
from logger.gateway.tls import Deadline

MOST = 1000


Opened = Callable[..., tuple[Kept, socket.socket]]


@pytest.fixture
def opened() -> Iterator[Opened]:
    ends: list[socket.socket] = []

    def make(answer: bytes, *, ends_there: bool = False) -> tuple[Kept, socket.socket]:
        ours, theirs = socket.socketpair()
        ends.extend((ours, theirs))
        theirs.sendall(answer)
        if ends_there:
            theirs.shutdown(socket.SHUT_WR)
        request = requests.Request(
            "GET", "https://envoy.local/x", headers={"Accept": "*/*", "Authorization": "Bearer t"}
        )
        connection = HTTPConnection("envoy.local")
        connection.sock = ours
        return Kept(connection, request.prepare(), "me", RequestsCookieJar()), theirs

    yield make
    for end in ends:
        end.close()


def ask(kept: Kept, path: str = "/page?details=1", left_s: float = 5) -> Answer | None:
    return kept.ask(path, Deadline(left_s), MOST)


def answer(body: bytes = b"[1]", headers: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_requests_go_on_as_they_were_dressed(opened: Opened) -> None:
    kept, gateway = opened(answer())
    assert kept.can_ask("me")
    assert not kept.can_ask("somebody else")
    assert ask(kept) == Answer(200, b"[1]")
    gateway.sendall(answer(b"{}", status="404 Not Found"))
    assert ask(kept) == Answer(404, b"{}")
    sent = gateway.recv(4096).decode()
    assert sent.startswith("GET /page?details=1 HTTP/1.1\r\nHost: envoy.local\r\n")
    assert sent.count("Authorization: Bearer t\r\n") == 2
    assert sent.count("Accept-Encoding: identity\r\n") == 2


def test_chunks_are_put_together(opened: Opened) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\n[1\r\n1\r\n]\r\n0\r\nt: 1\r\n\r\n"
    kept, gateway = opened(body)
    assert ask(kept) == Answer(200, b"[1]")
    gateway.sendall(answer())
    assert ask(kept) == Answer(200, b"[1]")


ODD = (
    b"",
    b"hello\r\n",
    answer(status="1xx"),
    answer(b"x" * (MOST + 1)),
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_ends_the_connection_and_is_asked_for_anew(opened: Opened, odd: bytes) -> None:
    kept, _ = opened(odd, ends_there=True)
    assert ask(kept) is None
    assert not kept.can_ask("me")


@pytest.mark.parametrize("cut", [answer()[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1"])
def test_an_answer_that_is_cut_is_an_error(opened: Opened, cut: bytes) -> None:
    kept, _ = opened(cut, ends_there=True)
    with pytest.raises(IncompleteRead):
        ask(kept)
    assert not kept.can_ask("me")


def test_silence_lasts_no_longer_than_the_poll_has_time(opened: Opened) -> None:
    kept, _ = opened(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(TimeoutError):
        ask(kept, left_s=0.05)


def test_a_gateway_that_closes_is_asked_on_a_new_connection(opened: Opened) -> None:
    kept, _ = opened(answer(headers="Connection: close\r\n"))
    assert ask(kept) == Answer(200, b"[1]")
    assert not kept.can_ask("me")


def test_another_cookie_is_another_dress(opened: Opened) -> None:
    kept, _ = opened(answer(headers="Set-Cookie: sessionId=abc; Path=/\r\n"))
    assert ask(kept) == Answer(200, b"[1]")
    found: Any = dict(kept.cookies)
    assert found == {"sessionId": "abc"}
    assert not kept.can_ask("me")
