"""What was asked once is asked again as before, also on a new connection; what is odd is left to requests."""

import contextlib
import socket
import threading
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
#: the answers of one connection, in order, after which the gateway ends it; None keeps silent
Answers = list[bytes | None]


class Line(HTTPConnection):
    """Connects to a gateway that has these answers, connection by connection."""

    def __init__(self, connections: list[Answers]) -> None:
        super().__init__("envoy.local")
        self.connections, self.opened, self.sent = connections, 0, b""
        self.ends: list[socket.socket] = []

    def connect(self) -> None:
        if not self.connections:
            raise ConnectionRefusedError("refused")
        self.opened += 1
        self.sock, theirs = socket.socketpair()
        self.ends += [self.sock, theirs]
        threading.Thread(target=self._answer, args=(theirs, self.connections.pop(0)), daemon=True).start()

    def _answer(self, theirs: socket.socket, answers: Answers) -> None:
        with contextlib.suppress(OSError):
            for each in answers:
                self.sent += theirs.recv(4096)
                if each is None:
                    return
                theirs.sendall(each)
            theirs.shutdown(socket.SHUT_RDWR)


Opened = Callable[..., tuple[Kept, Line]]


@pytest.fixture
def opened() -> Iterator[Opened]:
    lines: list[Line] = []

    def make(*connections: Answers) -> tuple[Kept, Line]:
        request = requests.Request(
            "GET", "https://envoy.local/x", headers={"Accept": "*/*", "Authorization": "Bearer t"}
        )
        line = Line(list(connections))
        lines.append(line)
        return Kept(line, request.prepare(), "me", RequestsCookieJar()), line

    yield make
    for line in lines:
        for end in line.ends:
            end.close()


def ask(kept: Kept, path: str = "/page?details=1", left_s: float = 5) -> Answer | None:
    return kept.ask(path, Deadline(left_s), MOST)


def answer(body: bytes = b"[1]", headers: str = "", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def test_requests_go_on_as_they_were_dressed(opened: Opened) -> None:
    kept, line = opened([answer(), answer(b"{}", status="404 Not Found")])
    assert kept.can_ask("me")
    assert not kept.can_ask("somebody else")
    assert ask(kept) == Answer(200, b"[1]")
    assert ask(kept) == Answer(404, b"{}")
    sent = line.sent.decode()
    assert sent.startswith("GET /page?details=1 HTTP/1.1\r\nHost: envoy.local\r\n")
    assert sent.count("Authorization: Bearer t\r\n") == 2
    assert sent.count("Accept-Encoding: identity\r\n") == 2
    assert line.opened == 1


def test_chunks_are_put_together(opened: Opened) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\n[1\r\n1\r\n]\r\n0\r\nt: 1\r\n\r\n"
    kept, _ = opened([body, answer()])
    assert ask(kept) == Answer(200, b"[1]")
    assert ask(kept) == Answer(200, b"[1]")


def test_a_plain_answer_is_what_any_answer_is(opened: Opened) -> None:
    heads = ("", "Connection: keep-alive\r\n", "Server: a: b\r\n", "X-Other: 1\r\n", "Content-Length: 3\r\n")
    kept, line = opened([answer(headers=head) for head in heads] + [answer(b""), answer(status="403 Forbidden")])
    for _ in heads:
        assert ask(kept) == Answer(200, b"[1]")
    assert ask(kept) == Answer(200, b"")
    assert ask(kept) == Answer(403, b"[1]")
    assert line.opened == 1


ODD = (b"hello\r\n", answer(status="1xx"), b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n")


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_ends_the_connection_and_is_asked_for_once_more(opened: Opened, odd: bytes) -> None:
    kept, line = opened([answer(), odd], [answer(b"[2]")])
    assert ask(kept) == Answer(200, b"[1]")
    assert ask(kept) == Answer(200, b"[2]")
    assert line.opened == 2


@pytest.mark.parametrize("odd", ODD)
def test_on_a_new_connection_an_odd_answer_is_an_error(opened: Opened, odd: bytes) -> None:
    kept, line = opened([odd], [answer()])
    with pytest.raises(ConnectionError, match="aborted"):
        ask(kept)
    assert line.opened == 1
    assert line.sock is None


def test_an_answer_that_is_too_large_is_left_to_requests(opened: Opened) -> None:
    kept, line = opened([answer(b"x" * (MOST + 1))])
    assert ask(kept) is None
    assert line.sock is None


@pytest.mark.parametrize("cut", [answer()[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1"])
def test_an_answer_that_is_cut_is_an_error(opened: Opened, cut: bytes) -> None:
    kept, line = opened([cut], [answer()])
    with pytest.raises(IncompleteRead):
        ask(kept)
    assert line.opened == 1
    assert line.sock is None


def test_silence_lasts_no_longer_than_the_poll_has_time(opened: Opened) -> None:
    kept, line = opened([None], [answer()])
    with pytest.raises(TimeoutError):
        ask(kept, left_s=0.05)
    assert line.opened == 1


def test_a_gateway_that_closes_between_polls_is_asked_on_a_new_connection(opened: Opened) -> None:
    kept, line = opened([answer(headers="Connection: close\r\n")], [answer(b"[2]")], [answer(b"[3]")])
    for body in (b"[1]", b"[2]", b"[3]"):  # By a header, then by ending it.
        assert ask(kept) == Answer(200, body)
    assert line.opened == 3


def test_a_gateway_that_is_gone_is_no_answer(opened: Opened) -> None:
    kept, _ = opened([answer(headers="Connection: close\r\n")])
    assert ask(kept) == Answer(200, b"[1]")
    with pytest.raises(ConnectionRefusedError):
        ask(kept)


def test_another_cookie_is_another_dress(opened: Opened) -> None:
    kept, _ = opened([answer(headers="Set-Cookie: sessionId=abc; Path=/\r\n")])
    assert ask(kept) == Answer(200, b"[1]")
    found: Any = dict(kept.cookies)
    assert found == {"sessionId": "abc"}
    assert not kept.can_ask("me")
