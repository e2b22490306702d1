"""Serves a simulated gateway on this machine over HTTP(S), and Enphase's cloud beside it.

Walk: pages, access -> here -> a client's socket
"""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from logger.clock import utc_now
from logger.simulator import access
from logger.simulator.faults import OUTAGES, Fault
from logger.simulator.house import Outage
from logger.simulator.numbers import Model, Numbers
from logger.simulator.pages import PAGES
from logger.simulator.site import Shape, SimulatedClock, Site


@dataclass(slots=True)
class Request:
    """What a client sent, for tests to look at."""

    at: datetime
    path: str
    status: int
    credentials: str  #: none | bearer | cookie | digest


class Answer(NamedTuple):
    """What a page answers: text for HTML and XML, else a document."""

    status: int
    body: Any


@dataclass(slots=True)
class Simulation:
    """Everything that a simulated gateway is made of."""

    shape: Shape = field(default_factory=Shape)
    model: Model = field(default_factory=Model)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(utc_now()))
    faults: list[Fault] = field(default_factory=list)
    born: datetime | None = None  #: when the counters began; default a day before the clock
    entrez: access.Entrez = field(default_factory=access.Entrez)
    sessions: access.Sessions = field(default_factory=access.Sessions)
    requests: list[Request] = field(default_factory=list)
    handshakes: int = 0
    digest: access.Digest = field(init=False)
    start: datetime = field(init=False)
    _frozen: Numbers | None = field(init=False, default=None)
    _site: Site = field(init=False)

    def __post_init__(self) -> None:
        """Build the site; faults count their seconds from now."""
        self.start = self.clock()
        self._site = self._built(())
        # The simulated gateway knows its users by plain passwords, not by their derivation.
        self.digest = access.Digest({"envoy": self.model.serial[-6:], "me": "secret"})

    @property
    def site(self) -> Site:
        """The house, with the outages that are planned by now."""
        start_s = self.start.timestamp()
        outages = tuple(
            Outage(start_s + fault.since_s, start_s + fault.until_s, fault.kind)
            for fault in self.faults
            if fault.kind in OUTAGES
        )
        if outages != self._site.outages:
            self._site = self._built(outages)
        return self._site

    def _built(self, outages: tuple[Outage, ...]) -> Site:
        return Site(self.shape, self.born or self.start - timedelta(days=1), outages)

    def token(self, **options: Any) -> str:
        """Return a token that this gateway takes."""
        return self.entrez.token(self.model.serial, self.clock(), **options)

    def fault(self, kind: str, **options: Any) -> None:
        """Start a fault now, or at ``since_s`` seconds after the start."""
        self.faults.append(Fault(kind, **{"since_s": (self.clock() - self.start).total_seconds(), **options}))

    def numbers(self, at: datetime) -> Numbers:
        """Return what the gateway counts and measures at an instant."""
        return Numbers(self.site, self.model, self.faults, self.start.timestamp(), at.timestamp())

    def page(self, at: datetime, path: str) -> Any:
        """Return the document of a path: text, list or dict; None where the firmware has none."""
        numbers = self.numbers(at)
        page = PAGES[numbers.generation].get(path)
        if path == "/ivp/meters/readings":
            self._frozen = (self._frozen or numbers) if numbers.fault("frozen") else None
            numbers = self._frozen or numbers
        return None if page is None else page(numbers)

    def answer(self, at: datetime, path: str) -> Answer | None:
        """Return what a path answers; None where the firmware has no such page."""
        page = self.page(at, path)
        return None if page is None else Answer(200, page)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    simulation: Simulation

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay quiet; ``requests`` keeps what was asked."""

    def send_body(self, data: bytes, each_byte_s: float = 0) -> None:
        """End the headers and send the body, at once or a byte at a time."""
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            for part in [bytes([byte]) for byte in data] if each_byte_s else [data]:
                self.wfile.write(part)
                time.sleep(each_byte_s)


class _GatewayHandler(_Handler):
    now: datetime
    numbers: Numbers

    def do_GET(self) -> None:
        """Answer as a gateway would, faults first."""
        simulation = self.simulation
        self.now = simulation.clock()
        self.numbers = simulation.numbers(self.now)
        if self.numbers.fault("outage"):
            self.close_connection = True
            self._keep(0)
            return
        if slow := self.numbers.fault("slow"):
            time.sleep(slow.number(3))
        if self.numbers.fault("server_error") and self.path != "/info":
            self._send(503, "<html>503</html>", "text/html")
        elif self.numbers.wants_tokens and not isinstance(self.connection, ssl.SSLSocket):
            self._send(301, "", "text/html", {"Location": "https://envoy.local/"})
        elif not self._is_welcome():
            self._refuse()
        elif self.path == "/auth/check_jwt":
            session = simulation.sessions.open(self.numbers.now_s)
            cookie = {"Set-Cookie": f"sessionId={session}; Path=/; HttpOnly; Secure"}
            self._send(200, "<!DOCTYPE html><h2>Valid token.</h2>", "text/html", cookie)
        else:
            self._answer()

    do_POST = do_GET  # noqa: N815 - check_jwt takes both

    def _is_welcome(self) -> bool:
        """Return whether the credentials are good for the page that is asked for."""
        if self.path in access.OPEN_PAGES:
            return True
        if self.numbers.fault("unauthorized") or self.numbers.refuses(self.path):
            return False
        simulation, header = self.simulation, self.headers.get("Authorization", "")
        if not self.numbers.wants_tokens:
            return self.path not in access.DIGEST_PAGES or simulation.digest.accepts(header, self.command)
        kind, _, token = header.partition(" ")
        if kind == "Bearer" and simulation.entrez.accepts(token, self.numbers.serial, self.now):
            return True
        is_check = self.path == "/auth/check_jwt"
        return not is_check and simulation.sessions.accepts(self._cookie(), self.numbers.now_s)

    def _refuse(self) -> None:
        if self.numbers.wants_tokens:
            self._send(401, access.LOGIN_PAGE, "text/html")
        else:
            challenge = {"WWW-Authenticate": self.simulation.digest.challenge()}
            self._send(401, '{"status": 401, "error": "Unauthorized"}', "application/json", challenge)

    def _answer(self) -> None:
        if (found := self.simulation.answer(self.now, self.path)) is None:
            self._send(404, '{ "error" : "404 - Not Found" }', "application/json; charset=ISO-8859-4")
            return
        status, page = found
        if isinstance(page, str):
            self._send(status, page, "text/html" if page.startswith("<html") else "text/xml")
        elif self.numbers.fault("html"):
            self._send(200, "<html><body>Please wait</body></html>", "text/html")
        else:
            body = json.dumps(page)
            if self.numbers.fault("cut"):
                body = body[: len(body) * 2 // 3]
            self._send(status, body, None if self.path.startswith("/ivp") else "application/json")

    def _send(self, status: int, body: str, content_type: str | None, headers: Mapping[str, str] | None = None) -> None:
        self._keep(status)
        self.send_response_only(status)
        if self.numbers.wants_tokens:
            self.send_header("Server", "openresty/1.17.8.1")
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        drip = None if self.path in access.OPEN_PAGES else self.numbers.fault("drip")
        self.send_body(body.encode(), drip.number(1) if drip else 0)

    def _keep(self, status: int) -> None:
        scheme = self.headers.get("Authorization", "").partition(" ")[0].lower()
        credentials = scheme or ("cookie" if self._cookie() else "none")
        self.simulation.requests.append(Request(self.now, self.path, status, credentials))
        del self.simulation.requests[:-10_000]

    def _cookie(self) -> str | None:
        found = SimpleCookie(self.headers.get("Cookie", "")).get("sessionId")
        return found.value if found else None


class _CloudHandler(_Handler):
    def do_POST(self) -> None:
        """Answer the login and the wish for a token."""
        body, now = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(), self.simulation.clock()
        status, answer = self.simulation.entrez.answer(self.path, body, now)
        self.simulation.requests.append(Request(now, self.path, status, "cloud"))
        self.send_response_only(status)
        self.send_body(answer.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    context: ssl.SSLContext | None = None

    def __init__(self, host: str, port: int, handler: type[_Handler], simulation: Simulation) -> None:
        super().__init__((host, port), type(handler.__name__, (handler,), {"simulation": simulation}))
        self.simulation = simulation

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
    """A running simulated gateway; ``url`` is where it listens. As a context manager it stops.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, simulation: Simulation, port: int = 0, host: str = "127.0.0.1") -> None:
        self.simulation, self.host = simulation, host
        self._server = _Server(host, port, _GatewayHandler, simulation)
        self._cloud = _Server("127.0.0.1", 0, _CloudHandler, simulation)
        if simulation.numbers(simulation.clock()).wants_tokens:
            self.renew_certificate()
        for server in (self._server, self._cloud):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

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
        self._server.context = access.server_context(self.simulation.model.serial)

    def stop(self) -> None:
        """Stop answering."""
        for server in (self._server, self._cloud):
            server.shutdown()
            server.server_close()
