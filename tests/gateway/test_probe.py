"""What answers at a host is found out within seconds, as nobody."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from logger.errors import SettingsError
from logger.gateway import probe as probing
from logger.gateway.probe import probe
from logger.gateway.tls import fingerprint_at
from tests.conftest import Benches

Serve = Callable[..., str]


@pytest.fixture
def web_server() -> Iterator[Serve]:
    """Serves one page by plain HTTP, for every path."""
    with contextlib.ExitStack() as stack:

        def serve(body: str, status: int = 200, **headers: str) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response_only(status)
                    for name, value in headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.end_headers()
                    self.wfile.write(body.encode())

                def log_message(self, *_: object) -> None: ...

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return f"127.0.0.1:{server.server_port}"

        yield serve


@pytest.fixture
def listening() -> Iterator[Callable[[bytes], str]]:
    """Takes connections, and says something or nothing."""
    with contextlib.ExitStack() as stack:

        def listen(greeting: bytes) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def greet() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection = stack.enter_context(server.accept()[0])
                        connection.sendall(greeting)

            threading.Thread(target=greet, daemon=True).start()
            return f"127.0.0.1:{server.getsockname()[1]}"

        yield listen


@pytest.mark.parametrize(("generation", "scheme"), [("8", "https"), ("7", "https"), ("5", "http"), ("3", "http")])
def test_a_gateway_is_known_with_its_serial_firmware_and_certificate(
    bench: Benches, generation: str, scheme: str
) -> None:
    roof = bench(generation=generation, cts="none")
    _, _, host = roof.server.url.partition("://")
    found = probe(host)
    assert (found.kind, found.scheme) == ("gateway", scheme)
    assert found.info is not None
    assert (found.info.serial, found.info.firmware) == ("122334455667", roof.simulation.model.version)
    if scheme == "https":
        assert found.fingerprint == fingerprint_at("127.0.0.1", int(host.rpartition(":")[2]))
    assert {request.credentials for request in roof.simulation.requests} <= {"none"}
    assert probe(roof.server.url).kind == "gateway"


@pytest.mark.parametrize(
    ("body", "headers", "kind", "name"),
    [
        ("<title>FRITZ!Box 7590</title>", {}, "router", "FRITZ!Box 7590"),
        ("", {"WWW_Authenticate": 'Basic realm="NETGEAR R7000"'}, "router", "NETGEAR R7000"),
        ("<TITLE>\n Home&nbsp;Assistant\n</TITLE>", {"Server": "x"}, "web server", "Home Assistant"),
        ("hello", {"Server": "lighttpd/1.4"}, "web server", "lighttpd/1.4"),
        ("<title>\x1b[31mred\u202e</title>", {}, "web server", "[31mred"),
        ("<envoy_info><device></device></envoy_info>", {}, "web server", ""),
        ("", {}, "web server", ""),
    ],
)
def test_another_web_server_is_named_and_a_router_is_known(
    web_server: Serve, body: str, headers: dict[str, str], kind: str, name: str
) -> None:
    found = probe(web_server(body, **headers))
    assert (found.kind, found.detail) == (kind, name)
    assert name in found.sentence
    assert "not a gateway" in found.sentence


def test_the_way_out_of_this_network_is_a_router_whatever_it_calls_itself(
    web_server: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0100007F\t0003\neth0\t0002A8C0\t00000000\t1\n"
    )
    monkeypatch.setattr(probing, "ROUTES", routes)
    assert probe(web_server("<title>Welcome</title>")).kind == "router"


def test_what_speaks_no_http_is_no_gateway(listening: Callable[[bytes], str]) -> None:
    found = probe(listening(b"SSH-2.0-OpenSSH_9.2\r\n"), timeout_s=1)
    assert found.kind == "other"
    assert "no web server" in found.sentence


def test_silence_ends_in_time(listening: Callable[[bytes], str]) -> None:
    started = time.monotonic()
    assert probe(listening(b""), timeout_s=0.5).kind == "other"
    assert time.monotonic() - started < 2


def test_an_answer_that_drips_ends_in_time(bench: Benches) -> None:
    roof = bench()
    roof.simulation.fault("slow", argument="3")
    started = time.monotonic()
    assert probe(roof.server.url, timeout_s=0.5).kind == "other"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("host", "words"), [("127.0.0.1:9", "runs no web server"), ("no-such-host.invalid", "address"), ("[::1]:9", "::1")]
)
def test_where_nothing_answers_it_says_why(host: str, words: str) -> None:
    found = probe(host, timeout_s=2)
    assert found.kind == "nothing"
    assert found.sentence.startswith("Nothing answers at")
    assert words in found.sentence


@pytest.mark.parametrize("host", ["", "a b", "ftp://x", "host:port", "http://x/y/z"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="host"):
        probe(host)
