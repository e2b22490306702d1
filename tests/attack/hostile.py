"""A gateway that answers what it is told to over HTTP(S), byte by byte, and keeps what was sent to it."""

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from logger.simulator.access import server_context


class Reply(NamedTuple):
    """What is answered: a status, headers, and the body as it goes over the wire."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    head: bytes = b""  #: instead of all that: this,
    endless: bytes = b""  #: and then this until nobody listens


#: path -> reply
Replies = Callable[[str], Reply]


class Hostile:
    """Serves replies on this machine, from one port, until it is closed."""

    def __init__(self, replies: Replies, *, port: int = 0, is_secure: bool = True, serial: str = "1") -> None:
        self.replies = replies
        self.received: list[bytes] = []  #: head and body of each request
        self._open: set[Any] = set()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.received.append(f"{self.requestline}\n{self.headers}".encode())
                reply = owner.replies(self.path)
                with contextlib.suppress(OSError):
                    self.wfile.write(reply.head)
                    while reply.endless:
                        self.wfile.write(reply.endless)
                    self.send_response_only(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    if "Content-Length" not in reply.headers:
                        self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)

            do_POST = do_GET  # noqa: N815 - check_jwt takes both

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def finish_request(self, request: Any, client_address: Any) -> None:
                if context is not None:
                    request.settimeout(60)
                    request = context.wrap_socket(request, server_side=True)
                owner._open.add(request)
                with contextlib.closing(request):
                    super().finish_request(request, client_address)

            def handle_error(self, *_: Any) -> None:
                """Let clients leave in mid-sentence."""

        context: ssl.SSLContext | None = server_context(serial) if is_secure else None
        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_port
        self.url = f"{'https' if is_secure else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Leave the port, and cut every connection."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
