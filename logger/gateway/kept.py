"""Asks once more on a connection that was kept, as was asked on it before: a tenth of the time that requests takes.

A site with batteries is asked for more pages with each poll. Whatever is no answer as usual is left to requests, which
opens connections, checks pins, logs in and knows what went wrong.
"""

import email.parser
import time
from http.client import HTTPMessage, IncompleteRead
from typing import Any, BinaryIO, NamedTuple

from requests import PreparedRequest
from requests.cookies import MockRequest, RequestsCookieJar

from logger.gateway.tls import READ_S, Deadline

#: A kept connection that is of no use any more ends at once; one that hangs, only later.
STALE_WITHIN_S = 2.0
MOST_HEADERS = 100
LONGEST_LINE = 65_536
#: Headers that are not sent again: nothing is asked for compressed.
_LEFT_OUT = {"content-length", "accept-encoding", "connection", "host"}


class Answer(NamedTuple):
    """What came back: the status and the body; headers are not to be trusted."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class OddAnswerError(Exception):
    """The answer is none as usual: requests may know it."""


class Kept:
    """The connection of the last request, and how it was dressed."""

    def __init__(self, connection: Any, request: PreparedRequest, dress: object, cookies: RequestsCookieJar) -> None:
        self.connection, self.dress, self.request, self.cookies = connection, dress, request, cookies
        self._has_new_cookies = False
        name = f"[{connection.host}]" if ":" in connection.host else connection.host
        port = "" if connection.port == connection.default_port else f":{connection.port}"
        headers = {"Host": f"{name.partition('%')[0]}{port}"}
        headers |= {name: _text(value) for name, value in request.headers.items() if name.lower() not in _LEFT_OUT}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._reader: BinaryIO | None = None
        self._socket: Any = None

    def can_ask(self, dress: object) -> bool:
        """Return whether a request of the same user can go on it."""
        return dress is self.dress and not self._has_new_cookies and self.connection.sock is not None

    def ask(self, path: str, deadline: Deadline, most_bytes: int) -> Answer | None:
        """Return the answer; None where the connection had ended or the answer is odd: ask on a new one.

        Raises:
            TimeoutError, IncompleteRead, OSError: the connection is closed.
        """
        sock, started = self.connection.sock, time.monotonic()
        if sock is not self._socket or self._reader is None:
            self.let_go()
            self._socket, self._reader = sock, sock.makefile("rb")
        try:
            sock.settimeout(max(0.001, min(READ_S, deadline.left_s)))
            sock.sendall(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode("latin-1"))
            return self._answer(self._reader, most_bytes)
        except Exception as error:
            self.close()
            is_over = isinstance(error, ConnectionError) and time.monotonic() - started <= STALE_WITHIN_S
            if is_over or isinstance(error, OddAnswerError):
                return None
            raise

    def let_go(self) -> None:
        """Leave the connection to others."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._socket = None

    def close(self) -> None:
        """End the connection: the next request opens one."""
        self.let_go()
        self.connection.close()

    def _answer(self, reader: BinaryIO, most_bytes: int) -> Answer:
        version, _, rest = reader.readline(LONGEST_LINE).partition(b" ")
        if not version:
            raise ConnectionResetError("the connection ended without an answer")
        if version != b"HTTP/1.1" or not rest[:3].isdigit() or not 200 <= (status := int(rest[:3])) < 600:
            raise OddAnswerError
        headers: dict[bytes, bytes] = {}
        lines: list[bytes] = []
        while (line := reader.readline(LONGEST_LINE)) not in {b"\r\n", b"\n"}:
            name, colon, value = line.partition(b":")
            if not colon or len(lines) > MOST_HEADERS:
                raise OddAnswerError
            headers[name.lower()] = value.strip()
            lines.append(line)
        length = headers.get(b"content-length", b"")
        if (
            status in {204, 304}
            or b"content-encoding" in headers
            or not (length.isdigit() or b"transfer-encoding" in headers)
        ):
            raise OddAnswerError
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise OddAnswerError
            body = _chunks(reader, most_bytes)
        else:
            body = _exactly(reader, int(length), most_bytes)
        if b"set-cookie" in headers:
            self._take_cookies(lines)
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return Answer(status, body)

    def _take_cookies(self, lines: list[bytes]) -> None:
        text = b"".join(lines).decode("latin-1")
        head = _Head(email.parser.Parser(_class=HTTPMessage).parsestr(text))
        self.cookies.extract_cookies(head, MockRequest(self.request))  # type: ignore[arg-type]
        self._has_new_cookies = True


class _Head:
    """The headers of an answer, as a jar of cookies wants them."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def info(self) -> Any:
        """Return the headers."""
        return self._headers


def _exactly(reader: BinaryIO, length: int, most_bytes: int) -> bytes:
    if not 0 <= length <= most_bytes:
        raise OddAnswerError
    body = reader.read(length)
    if len(body) < length:
        raise IncompleteRead(body, length - len(body))
    return body


def _chunks(reader: BinaryIO, most_bytes: int) -> bytes:
    body = b""
    while True:
        size = reader.readline(LONGEST_LINE).partition(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            raise IncompleteRead(body) from None
        if length == 0:
            break
        body += _exactly(reader, length, most_bytes - len(body))
        reader.readline(LONGEST_LINE)
    while reader.readline(LONGEST_LINE) not in {b"\r\n", b"\n", b""}:
        pass  # Trailers.
    return body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
