"""Asks once more on a connection that was kept, as was asked on it before: half of the time that requests takes.

A site with batteries is asked for more pages with each poll. Whatever is no answer as usual is left to requests, which
opens connections, checks pins, logs in and knows what went wrong.
"""

import time
from http.client import HTTPException
from typing import NamedTuple

from requests import PreparedRequest
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from urllib3.connection import HTTPConnection

from logger.gateway.tls import READ_S, Deadline

#: A kept connection that is of no use any more ends at once; one that hangs, only later.
STALE_WITHIN_S = 2.0
#: Headers that are not sent again: nothing is asked for compressed.
_LEFT_OUT = {"accept-encoding", "connection"}


class Answer(NamedTuple):
    """What came back: the status and the body; headers are not to be trusted."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


class Kept:
    """The connection of the last request, and how it was dressed."""

    def __init__(
        self, connection: HTTPConnection, request: PreparedRequest, dress: object, cookies: RequestsCookieJar
    ) -> None:
        self.connection, self.dress, self.request, self.cookies = connection, dress, request, cookies
        self._has_new_cookies = False
        self._headers = {name: text for name, text in request.headers.items() if name.lower() not in _LEFT_OUT}

    def can_ask(self, dress: object) -> bool:
        """Return whether a request of the same user can go on it."""
        return dress is self.dress and not self._has_new_cookies and self.connection.sock is not None

    def ask(self, path: str, deadline: Deadline, most_bytes: int) -> Answer | None:
        """Return the answer; None where the connection had ended or the answer is odd: ask on a new one.

        Raises:
            OSError, urllib3's HTTPError: silence, or an answer that was cut; the connection is closed.
        """
        started = time.monotonic()
        try:
            self.connection.timeout = max(0.001, min(READ_S, deadline.left_s))
            self.connection.request("GET", path, headers=self._headers, preload_content=False)
            response = self.connection.getresponse()
            body = response.read(most_bytes, decode_content=True)
            if response.read(1, decode_content=True):
                self.connection.close()
                return None
        except (HTTPException, ConnectionError) as error:
            self.connection.close()
            # A server that hangs up is both.
            if isinstance(error, ConnectionError) and time.monotonic() - started > STALE_WITHIN_S:
                raise
            return None
        except Exception:
            self.connection.close()
            raise
        if "set-cookie" in response.headers:
            extract_cookies_to_jar(self.cookies, self.request, response)  # type: ignore[no-untyped-call]
            self._has_new_cookies = True
        return Answer(response.status, body)
