"""Asks once more on a connection that was kept, as was asked on it before: half of the time that requests takes.

A site with batteries is asked for more pages with each poll. What is sent is dressed once for all of them; whatever is
no answer as usual is left to requests, which opens connections, checks pins, logs in and knows what went wrong.
"""

import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from types import SimpleNamespace
from typing import Any, NamedTuple

from requests import PreparedRequest
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar

from logger.gateway.tls import READ_S, Deadline

#: A kept connection that is of no use any more ends at once; one that hangs, only later.
STALE_WITHIN_S = 2.0
#: Headers that are not sent again: nothing is asked for compressed.
_LEFT_OUT = {"accept-encoding", "connection"}
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
        """Return whether a request of the same user can go on it."""
        return dress is self.dress and not self._has_new_cookies and self.connection.sock is not None

    def ask(self, path: str, deadline: Deadline, most_bytes: int) -> Answer | None:
        """Return the answer; None where the connection had ended or the answer is odd: ask on a new one.

        Raises:
            OSError, IncompleteRead: silence, or an answer that was cut; the connection is closed.
        """
        started = time.monotonic()
        sock = self.connection.sock
        try:
            sock.settimeout(max(0.001, min(READ_S, deadline.left_s)))
            sock.sendall(self._before + path.encode("ascii") + self._after)
            response = HTTPResponse(sock, method="GET")
            response.begin()
            body = response.read(most_bytes)
            if not response.isclosed() and response.read(1):
                self.connection.close()
                return None
            if response.length:
                raise IncompleteRead(body, response.length)  # noqa: TRY301 - as of chunks
        except IncompleteRead:
            self.connection.close()
            raise
        except (HTTPException, ConnectionError) as error:
            self.connection.close()
            # A server that hangs up is both.
            if isinstance(error, ConnectionError) and time.monotonic() - started > STALE_WITHIN_S:
                raise
            return None
        except Exception:
            self.connection.close()
            raise
        if response.will_close:
            self.connection.close()
        if "set-cookie" in response.headers:
            answer = SimpleNamespace(_original_response=response)
            extract_cookies_to_jar(self.cookies, self.request, answer)  # type: ignore[no-untyped-call]
            self._has_new_cookies = True
        # Compressed though nobody asked for it: requests knows how to read that.
        return None if "content-encoding" in response.headers else Answer(response.status, body)
