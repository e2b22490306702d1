"""Asks again as was asked before, on the same connection or on a new one: a third of the time that requests takes.

What is sent is dressed once for all pages and all polls. Gateways end a connection between two polls a minute apart: it
is opened anew here, with the same pin. Whatever is no answer as usual is left to requests, which logs in, reads what is
compressed, and knows what went wrong.
"""

import contextlib
import re
import select
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from types import SimpleNamespace
from typing import Any, NamedTuple

from requests import PreparedRequest
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from urllib3.exceptions import SSLError

from logger.gateway.tls import CONNECT_S, READ_S, Deadline

#: A kept connection that is of no use any more ends at once; one that hangs, only later.
STALE_WITHIN_S = 2.0
#: Headers that are not sent again: nothing is asked for compressed.
_LEFT_OUT = {"accept-encoding", "connection"}
#: What may stand in the head of a plain answer: nothing that says how to read it but its size.
_PLAIN = frozenset((b"content-length", b"content-type", b"server", b"date", b"cache-control", b"pragma", b"expires",
                    b"x-content-type-options", b"x-frame-options", b"x-xss-protection", b"vary", b"etag",
                    b"keep-alive", b"last-modified", b"accept-ranges", b"strict-transport-security"))  # fmt: skip
_STATUS = re.compile(rb"HTTP/1\.1 (200|401|403|404)(?: [ -~]*)?")
_SIZE = re.compile(b"[0-9]{1,9}")
_STAYS = (b"connection", b"keep-alive")
#: in the place of the page in what is sent
_PAGE = "/-page-"


class Answer(NamedTuple):
    """What came back: the status and the body; headers are not to be trusted."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class _Recorder:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


class Kept:
    """The connection of the last request, and how it was dressed."""

    def __init__(
        self, connection: HTTPConnection, request: PreparedRequest, dress: object, cookies: RequestsCookieJar
    ) -> None:
        self.connection, self.dress, self.request, self.cookies = connection, dress, request, cookies
        self._has_new_cookies = False
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _LEFT_OUT}
        recorder: Any = _Recorder()
        dry = HTTPConnection(connection.host, connection.port)
        dry.default_port, dry.sock = connection.default_port, recorder
        dry.request("GET", _PAGE, headers=headers)
        self._before, self._after = recorder.sent.split(_PAGE.encode(), 1)

    def can_ask(self, dress: object) -> bool:
        """Return whether a request of the same user can be sent."""
        return dress is self.dress and not self._has_new_cookies

    def ask(self, path: str, deadline: Deadline, most_bytes: int) -> Answer | None:
        """Return the answer; None where it is odd.

        Raises:
            OSError, HTTPError, IncompleteRead: no connection, silence, or an answer that was cut; it is closed then.
        """
        started, sock = time.monotonic(), self.connection.sock
        if sock is not None and _is_quiet(sock):
            try:
                return self._ask(sock, path, deadline, most_bytes)
            except IncompleteRead:
                raise
            except (HTTPException, ConnectionError, ssl.SSLError):
                # A kept connection that the gateway has ended is of no use any more, at once.
                if time.monotonic() - started > STALE_WITHIN_S:
                    raise
        try:
            return self._ask(self._opened(deadline), path, deadline, most_bytes)
        except (IncompleteRead, OSError):
            raise
        except HTTPException as error:
            raise ConnectionAbortedError(f"connection aborted: {error!r}") from error

    def _opened(self, deadline: Deadline) -> Any:
        """Return a new connection: urllib3 compares the certificate with the pin before anything is sent."""
        self.connection.close()
        self.connection.timeout = max(0.001, min(CONNECT_S, deadline.left_s))
        with contextlib.ExitStack() as undo:
            undo.callback(self.connection.close)
            try:
                self.connection.connect()
            except ssl.SSLError as error:
                raise SSLError(error) from error
            undo.pop_all()
        return self.connection.sock

    def _ask(self, sock: Any, path: str, deadline: Deadline, most_bytes: int) -> Answer | None:
        with contextlib.ExitStack() as undo:
            undo.callback(self.connection.close)
            sock.settimeout(max(0.001, min(READ_S, deadline.left_s)))
            sock.sendall(self._before + path.encode("ascii") + self._after)
            source = sock.makefile("rb")
            if (plain := _plain(source, most_bytes)) is None:
                answer = self._read(source, most_bytes)
            else:
                status, size = plain
                body = source.read(size)
                source.close()
                if len(body) < size:
                    raise IncompleteRead(body, size - len(body))
                answer = Answer(status, body)
            undo.pop_all()
        return answer

    def _read(self, source: Any, most_bytes: int) -> Answer | None:
        """Return an answer of any kind."""
        opened: Any = SimpleNamespace(makefile=lambda _: source)
        response = HTTPResponse(opened, method="GET")
        response.begin()
        body = response.read(most_bytes)
        if not response.isclosed() and response.read(1):
            self.connection.close()
            return None
        if response.length:
            raise IncompleteRead(body, response.length)
        if response.will_close:
            self.connection.close()
        if "set-cookie" in response.headers:
            answer = SimpleNamespace(_original_response=response)
            extract_cookies_to_jar(self.cookies, self.request, answer)  # type: ignore[no-untyped-call]
            self._has_new_cookies = True
        # Compressed though nobody asked for it: requests knows how to read that.
        return None if "content-encoding" in response.headers else Answer(response.status, body)


def _plain(source: Any, most_bytes: int) -> tuple[int, int] | None:
    """Return the status of an answer and the size of its body, its head being read; None where it is not a plain one.

    Then nothing is read yet: http.client, which takes several times as long, reads it.
    """
    head, end, _ = source.peek(1).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not end or (status := _STATUS.fullmatch(first)) is None:
        return None
    headers = [(name.lower(), text.strip()) for name, _, text in (line.partition(b":") for line in lines)]
    sizes = [text for name, text in headers if name == b"content-length"]
    is_plain = all(name in _PLAIN or (name, text.lower()) == _STAYS for name, text in headers)
    if not is_plain or len(sizes) != 1 or not _SIZE.fullmatch(sizes[0]) or int(sizes[0]) > most_bytes:
        return None
    source.read(len(head) + len(end))
    return int(status[1]), int(sizes[0])


def _is_quiet(sock: socket.socket) -> bool:
    """Return whether nothing came on a connection since the last answer: neither its end, nor what nobody asked for."""
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return not waiting.poll(0)
