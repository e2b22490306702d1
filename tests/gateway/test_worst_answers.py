"""The worst that a gateway may answer costs neither the poll, nor the memory, nor the token."""

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayError,
    MalformedDocumentError,
    SettingsError,
)
from logger.gateway import parse
from logger.gateway.anomalies import Anomaly, Watch
from logger.gateway.auth import LocalUsers
from logger.gateway.devices import Devices
from logger.gateway.http import LARGEST_BODY_BYTES, LARGEST_REFUSAL_BYTES, Http
from logger.gateway.profile import parse_info
from logger.gateway.quirks import firmware_of
from logger.gateway.sources import inverters, meters
from logger.gateway.tls import Deadline, Pins
from logger.readings import Battery, BatteryKind, Meter, Outcome
from logger.settings import GatewaySettings
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from tests.conftest import Benches

METER = Meter(
    measurement="production", eid=7, state="enabled", metering_status=None, status_flags=None,
    phase_mode="three", phase_count=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("\ud800123", "\ufffd123"),
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("\u202eroof", "\ufffdroof"),
        ("x" * 10_000, "x" * parse.LONGEST_TEXT),
        (10**300, ("1" + "0" * 300)[: parse.LONGEST_TEXT]),
        ("  ", None),
        (True, None),
    ],
)
def test_a_text_is_well_formed_printable_and_short(sent: Any, kept: str | None) -> None:
    assert parse.text(sent) == kept


@pytest.mark.parametrize("sent", ["9" * 200_000, "9" * 200_000 + "x", " " * 200_000 + "1", "1e400", 1e16, float("inf")])
def test_a_number_that_no_column_holds_is_unknown_at_once(sent: Any) -> None:
    started = time.process_time()
    assert parse.number(sent) is None
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("timestamp", [1_781_500_000_000, "1781500000000", 5_000_000_000, "soon"])
def test_a_reading_whose_time_no_clock_shows_is_of_unknown_age(timestamp: Any) -> None:
    document = [{"eid": 7, "timestamp": timestamp, "activePower": 5, "actEnergyDlvd": 9}]
    found = meters.parse(document, {7: METER}, 1_781_500_000)
    expected = [] if timestamp == "soon" else [(5.0, 9.0, None)]
    assert [(reading.power_w, reading.delivered_wh, reading.reading_age_s) for reading in found] == expected


def test_a_whole_number_that_no_column_holds_is_unknown() -> None:
    report = {"serialNumber": "1", "lastReportDate": 1_781_500_000, "lastReportWatts": 3}
    assert inverters.parse(None, [report | {"devType": 2**31}], 1_781_500_100)[0].device_type is None


def test_a_list_without_end_ends() -> None:
    assert len(parse.items([{}] * 1_000_000)) == parse.MOST_ITEMS


@pytest.mark.parametrize("software", ["8.\u00b2.1", "D\u0668.2", "", ".".join("9" * 60)])
def test_any_text_is_a_firmware(software: str) -> None:
    assert all(isinstance(part, int) for part in firmware_of(software))


@pytest.mark.parametrize("body", ["<a>" * 60_000 + "</a>" * 60_000, "<a/>" * 200_000, "<a b='" + "x" * 500_000 + "'/>"])
def test_an_info_page_of_any_size_is_refused_in_a_sentence(body: str) -> None:
    with pytest.raises(MalformedDocumentError):
        parse_info(f"<envoy_info>{body}</envoy_info>")


# -- bodies
Serve = Callable[[bytes], str]


@pytest.fixture
def answering() -> Iterator[Serve]:
    """Serves one answer to whoever asks, over plain HTTP; counts what was taken of it."""
    with ExitStack() as stack:

        def serve(answer: bytes) -> str:
            listening = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

            def answer_all() -> None:
                while True:
                    try:
                        connection, _ = listening.accept()
                    except OSError:
                        return
                    with connection:
                        connection.recv(65_536)
                        try:
                            connection.sendall(answer)
                        except OSError:
                            continue

            threading.Thread(target=answer_all, daemon=True).start()
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

        yield serve


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("encoding", ["", "Content-Encoding: gzip"])
def test_a_body_beyond_any_gateways_is_refused(answering: Serve, tmp_path: Any, encoding: str) -> None:
    body = b"[" + b" " * (40 * LARGEST_BODY_BYTES) + b"]"
    sent = gzip.compress(body, 1) if encoding else body[: 2 * LARGEST_BODY_BYTES]
    url = answering(_answer("200 OK", sent, encoding or "X: 1"))
    http = Http(GatewaySettings(name="roof", host=url), tmp_path)
    with pytest.raises(MalformedDocumentError, match="larger"):
        http.get("/info", Deadline(20))


@pytest.mark.parametrize("status", ["302 Found", "401 Unauthorized", "403 Forbidden"])
@pytest.mark.parametrize("location", ["Location: http://[broken", "Location: http://127.0.0.1:1/x"])
def test_the_body_of_what_is_no_answer_is_not_read_whole(
    answering: Serve, tmp_path: Any, status: str, location: str
) -> None:
    sent = gzip.compress(b" " * (50 * LARGEST_BODY_BYTES), 1)
    url = answering(_answer(status, sent, "Content-Encoding: gzip", location))
    answer = Http(GatewaySettings(name="roof", host=url), tmp_path).get("/info", Deadline(20))
    assert str(answer.status) == status[:3]
    assert len(answer.text) <= LARGEST_REFUSAL_BYTES


@pytest.mark.parametrize("cookie", ["c{n}={long}", "c{n}{long}=", "c{n}=; Path=/{long}"])
def test_cookies_without_end_are_not_kept(answering: Serve, tmp_path: Any, cookie: str) -> None:
    cookies = ["Set-Cookie: " + cookie.format(n=n, long="x" * 3000) for n in range(20)]
    http = Http(GatewaySettings(name="roof", host=answering(_answer("200 OK", b"[]", *cookies))), tmp_path)
    http.get("/info", Deadline(20))
    assert len(http.cookies) == 0


@pytest.mark.parametrize(
    "challenge", ["Digest", 'Digest nonce="x"', 'Digest realm="x"', "Digest realm, nonce", 'Digest realm="\xff"']
)
def test_a_challenge_that_can_not_be_answered_is_a_refusal(answering: Serve, tmp_path: Any, challenge: str) -> None:
    url = answering(_answer("401 Unauthorized", b"", f"WWW-Authenticate: {challenge}", "Connection: close"))
    settings = GatewaySettings(name="roof", host=url)
    assert Http(settings, tmp_path).get("/x", Deadline(20), LocalUsers(settings, "122334455667")).status == 401


def test_an_answer_that_is_no_http_is_one_sentence(answering: Serve, tmp_path: Any) -> None:
    url = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n[]\r\n0\r\n\r\n")
    with pytest.raises(MalformedDocumentError, match=r"rules of HTTP|cut short"):
        Http(GatewaySettings(name="roof", host=url), tmp_path).get("/x", Deadline(20))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 100 Continue\r\n\r\n" * 250_000, CHUNKED + b"2\r\n[]\r\n0\r\n" + b"X: 1\r\n" * 1_000_000]
)
def test_an_answer_that_does_not_end_is_left(answering: Serve, tmp_path: Any, answer: bytes) -> None:
    http = Http(GatewaySettings(name="roof", host=answering(answer)), tmp_path)
    with pytest.raises(MalformedDocumentError, match="does not end"):
        http.get("/info", Deadline(20))


# -- trust
@pytest.mark.parametrize("mode", ["off", "pin"])
def test_what_spoke_tls_once_gets_nothing_over_plain_http(bench: Benches, mode: str) -> None:
    roof = bench(cts="net", generation="7")
    gateway = roof.gateway(host=roof.server.url.partition("://")[2], tls=mode)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    port = int(roof.server.url.rpartition(":")[2])
    roof.server.stop()
    gateway.endpoints.http.forget_connection()
    plain = Simulation(model=Model(generation="5", cts="none"))
    with closing(_stopping(GatewayServer(plain, port))):
        for _ in range(3):
            with pytest.raises(GatewayError):
                roof.poll(gateway)
        again = roof.gateway(host=roof.server.url.partition("://")[2], tls=mode, token_file=None)
        with pytest.raises(GatewayError):
            roof.poll(again)
    assert plain.requests == []


def test_no_session_goes_over_plain_http(bench: Benches) -> None:
    roof = bench(cts="net", generation="7")
    gateway = roof.gateway()
    roof.poll(gateway)
    gateway.endpoints.http.scheme = "http"
    with pytest.raises(GatewayError, match="never sent over plain HTTP"):
        roof.poll(gateway)


class _stopping:  # noqa: N801 - used like closing
    def __init__(self, server: GatewayServer) -> None:
        self.close = server.stop


@pytest.mark.parametrize("name", ["roof.token", "state/certificates/roof.sha256"])
def test_a_pipe_in_the_place_of_a_secret_keeps_nobody_waiting(bench: Benches, name: str) -> None:
    roof = bench(cts="net")
    roof.poll(roof.gateway())
    (roof.directory / name).unlink()
    os.mkfifo(roof.directory / name, 0o600)
    with pytest.raises(AuthenticationError if "sha" in name else SettingsError, match="can't be read"):
        roof.poll(roof.gateway())


@pytest.mark.parametrize("content", [b"", b"\n", b"abc", b"\xff\xfe"])
def test_a_damaged_pin_is_never_pinned_anew_in_silence(bench: Benches, content: bytes) -> None:
    roof = bench(cts="net")
    pins = Pins(roof.settings.state_dir, "roof")
    roof.poll(roof.gateway())
    pins.path.write_bytes(content)
    with pytest.raises(CertificateChangedError, match="trust accept roof"):
        roof.poll(roof.gateway())
    assert pins.path.read_bytes() == content


def test_json_of_any_depth_is_malformed() -> None:
    with pytest.raises(MalformedDocumentError):
        parse.document(200, b"[" * 100_000)
    assert parse.document(200, b'{"a": 1}') == {"a": 1}


def test_a_page_of_endless_values_is_refused_before_they_cost_memory() -> None:
    for body in (b"[" + b"{}," * 300_000 + b"{}]", b'{"a":[' + b"[],1," * 150_000 + b"1]}"):
        with pytest.raises(MalformedDocumentError, match="more values"):
            parse.document(200, body)
    assert len(parse.document(200, json.dumps([{"a": 1}] * 40_000).encode())) == 40_000


def test_devices_with_other_serials_each_time_are_forgotten() -> None:
    watch, devices = Watch(), Devices()
    at = datetime(2026, 6, 15, 12, tzinfo=UTC)
    for number in range(40):
        at += timedelta(minutes=2)
        serials = [f"{number}-{unit}" for unit in range(600)]
        watch.begun([Anomaly("unusable_values", serial, "") for serial in serials], at)
        watch.frozen([{"eid": 1000 * number + unit, "timestamp": 1_781_500_000} for unit in range(600)], 1_781_500_000)
        devices.changed({f"contact {serial} name": "on" for serial in serials}, at)
        devices.news([Battery(serial=serial, kind=BatteryKind.ENCHARGE) for serial in serials], at)
        devices.silence(dict.fromkeys(serials, "it says nothing"), at)
    for remembering in (watch, devices):
        for name, remembered in vars(remembering).items():
            assert not hasattr(remembered, "__len__") or len(remembered) <= 6_000, name
