"""Serves a simulated gateway on this machine over HTTP(S), and Enphase's cloud beside it."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from logger.clock import utc_now
from logger.simulator.access import ACCOUNT, Digest, Entrez, Sessions, server_context
from logger.simulator.documents import Documents, Model
from logger.simulator.faults import Fault, Faults
from logger.simulator.site import Shape, SimulatedClock, Site

OPEN = {"/info", "/info.xml", "/home", "/home.json"}
DIGEST_PAGES = {"/api/v1/production/inverters"}
LOGIN_PAGE = (
    "<html><head><title>401 Authorization Required</title></head><body>"
    "<center><h1>401 Authorization Required</h1></center></body></html>"
)
VALID = "<!DOCTYPE html><h2>Valid token.</h2>"


@dataclass(slots=True)
class Request:
    """What a client sent, for tests to look at."""

    at: datetime
    path: str
    status: int
    credentials: str  #: none | bearer | cookie | digest


@dataclass(slots=True)
class Simulation:
    """Everything that a simulated gateway is made of."""

    shape: Shape = field(default_factory=Shape)
    model: Model = field(default_factory=Model)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(utc_now()))
    faults: Faults = field(default_factory=lambda: Faults([]))
    born: datetime | None = None  #: when the counters began; default a day before the clock
    entrez: Entrez = field(default_factory=Entrez)
    sessions: Sessions = field(default_factory=Sessions)
    requests: list[Request] = field(default_factory=list)
    handshakes: int = 0
    site: Site = field(init=False)
    documents: Documents = field(init=False)
    digest: Digest = field(init=False)
    start: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Build the site; faults count their seconds from now."""
        self.start = self.clock()
        self.site = Site(self.shape, self.born or self.start - timedelta(days=1))
        self.documents = Documents(self.site, self.model, self.faults, self.start)
        # The simulated gateway knows its users by plain passwords, not by their derivation.
        self.digest = Digest({"envoy": self.model.serial[-6:], "me": "secret"})

    def token(self, **options: Any) -> str:
        """Return a token that this gateway takes."""
        return self.entrez.token(self.model.serial, self.clock(), **options)

    def fault(self, kind: str, **options: Any) -> None:
        """Start a fault now, or at ``since_s`` seconds after the start."""
        now_s = (self.clock() - self.start).total_seconds()
        self.faults.add(Fault(kind, **{"since_s": now_s, **options}))

    @property
    def is_secure(self) -> bool:
        """Whether this firmware speaks HTTPS and wants tokens."""
        return self.documents.generation(self.clock().timestamp()) in {"7", "8"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    simulation: Simulation

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay quiet; ``requests`` keeps what was asked."""

    def do_GET(self) -> None:
        """Answer as a gateway would, faults first."""
        simulation = self.simulation
        now = simulation.clock()
        at_s = (now - simulation.start).total_seconds()
        if simulation.faults.active("outage", at_s):
            self.close_connection = True
            self._keep(now, 0)
            return
        if slow := simulation.faults.active("slow", at_s):
            time.sleep(slow.number(3))
        generation = simulation.documents.generation(now.timestamp())
        if simulation.faults.active("server_error", at_s) and self.path != "/info":
            self._send(now, 503, "<html>503</html>", "text/html")
        elif generation in {"7", "8"} and not isinstance(self.connection, ssl.SSLSocket):
            self._send(now, 301, "", "text/html", {"Location": "https://envoy.local/"})
        elif not self._is_welcome(now, at_s, generation):
            pass
        elif self.path == "/auth/check_jwt":
            session = simulation.sessions.open(now.timestamp())
            cookie = {"Set-Cookie": f"sessionId={session}; Path=/; HttpOnly; Secure"}
            self._send(now, 200, VALID, "text/html", cookie)
        else:
            self._answer(now, at_s)

    do_POST = do_GET  # noqa: N815 - check_jwt takes both

    def _is_welcome(self, now: datetime, at_s: float, generation: str) -> bool:
        """Check the credentials; an unwelcome client has its 401 already."""
        simulation = self.simulation
        if self.path in OPEN:
            return True
        denied = simulation.faults.active("unauthorized", at_s) is not None
        if generation in {"7", "8"}:
            serial = simulation.documents.serial(now.timestamp())
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            good = kind == "Bearer" and simulation.entrez.accepts(token, serial, now)
            if self.path != "/auth/check_jwt":
                good = good or simulation.sessions.accepts(self._cookie(), now.timestamp())
            if good and not denied:
                return True
            self._send(now, 401, LOGIN_PAGE, "text/html")
            return False
        if self.path not in DIGEST_PAGES and not denied:
            return True
        header = self.headers.get("Authorization", "")
        if header and not denied and simulation.digest.accepts(header, self.command):
            return True
        self._send(
            now,
            401,
            '{"status": 401, "error": "Unauthorized"}',
            "application/json",
            {"WWW-Authenticate": simulation.digest.challenge()},
        )
        return False

    def _answer(self, now: datetime, at_s: float) -> None:
        simulation = self.simulation
        page = simulation.documents.at(now, self.path)
        if page is None:
            missing = '{ "error" : "404 - Not Found" }'
            self._send(now, 404, missing, "application/json; charset=ISO-8859-4")
            return
        content_type = None if self.path.startswith("/ivp") else "application/json"
        if isinstance(page, str):
            self._send(now, 200, page, "text/html" if page.startswith("<html") else "text/xml")
            return
        if simulation.faults.active("html", at_s):
            self._send(now, 200, "<html><body>Please wait</body></html>", "text/html")
            return
        body = json.dumps(page)
        if simulation.faults.active("cut", at_s):
            body = body[: len(body) * 2 // 3]
        self._send(now, 200, body, content_type)

    def _send(
        self,
        now: datetime,
        status: int,
        body: str,
        content_type: str | None,
        headers: dict[str, str] | None = None,
    ) -> None:
        data = body.encode()
        self._keep(now, status)
        self.send_response_only(status)
        old = self.simulation.documents.generation(now.timestamp()) in {"3", "5"}
        if old:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Server", "openresty/1.17.8.1")
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        at_s = (now - self.simulation.start).total_seconds()
        with contextlib.suppress(OSError):
            drip = self.simulation.faults.active("drip", at_s)
            if drip and self.path not in OPEN:
                for index in range(len(data)):
                    self.wfile.write(data[index : index + 1])
                    self.wfile.flush()
                    time.sleep(drip.number(1))
            else:
                self.wfile.write(data)

    def _keep(self, now: datetime, status: int) -> None:
        authorization = self.headers.get("Authorization", "").partition(" ")[0].lower()
        said = authorization or ("cookie" if self._cookie() else "none")
        self.simulation.requests.append(Request(now, self.path, status, said))
        del self.simulation.requests[:-10_000]

    def _cookie(self) -> str | None:
        found = SimpleCookie(self.headers.get("Cookie", "")).get("sessionId")
        return found.value if found else None


class _CloudHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    simulation: Simulation

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""

    def do_POST(self) -> None:
        """Answer the login and the wish for a token."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        simulation = self.simulation
        status, text = 404, "not found"
        if urlsplit(self.path).path == "/login/login.json":
            form = {key: values[0] for key, values in parse_qs(body).items()}
            given = (form.get("user[email]"), form.get("user[password]"))
            if given == ACCOUNT:
                status, text = 200, json.dumps({"session_id": "s1", "manager_token": "m1"})
            elif given[0] == "mfa@example.org":
                status, text = 200, json.dumps({"message": "success", "requires_mfa": True})
            else:
                status, text = 401, json.dumps({"message": "invalid"})
        elif self.path == "/tokens":
            wish = json.loads(body)
            known = wish.get("session_id") == "s1"
            status, text = 403, "no"
            if known:
                token = simulation.entrez.token(wish["serial_num"], simulation.clock())
                status, text = 200, token
        simulation.requests.append(Request(simulation.clock(), self.path, status, "cloud"))
        data = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    context: ssl.SSLContext | None = None
    simulation: Simulation

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, so that a slow client blocks no other."""
        try:
            if self.context is not None:
                request.settimeout(30)
                request = self.context.wrap_socket(request, server_side=True)
                self.simulation.handshakes += 1
            super().finish_request(request, client_address)
        finally:
            with contextlib.suppress(OSError):
                request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients leave in mid-sentence."""


class GatewayServer:
    """A running simulated gateway; ``url`` is where it listens."""

    def __init__(self, simulation: Simulation, port: int = 0, host: str = "127.0.0.1") -> None:
        self.simulation = simulation
        self.host = host
        handler = type("Handler", (_Handler,), {"simulation": simulation})
        self._server = _Server((host, port), handler, bind_and_activate=False)
        self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        self._server.simulation = simulation
        if simulation.is_secure:
            self.renew_certificate()
        cloud = type("CloudHandler", (_CloudHandler,), {"simulation": simulation})
        self._cloud = _Server(("127.0.0.1", 0), cloud)
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True)
            for one in (self._server, self._cloud)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        scheme = "https" if self._server.context is not None else "http"
        return f"{scheme}://{self.host}:{self._server.server_port}"

    @property
    def cloud_url(self) -> str:
        """The simulated cloud's base URL, for both of its services."""
        return f"http://127.0.0.1:{self._cloud.server_port}"

    def renew_certificate(self) -> None:
        """Use a new certificate from the next connection on, as a factory reset does."""
        self._server.context = server_context(self.simulation.model.serial)

    def stop(self) -> None:
        """Stop answering."""
        for server in (self._server, self._cloud):
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def serving(
    simulation: Simulation, port: int = 0, host: str = "127.0.0.1"
) -> Iterator[GatewayServer]:
    """Serve a simulation until the block ends.

    Raises:
        OSError: the port is taken.
    """
    server = GatewayServer(simulation, port, host)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
