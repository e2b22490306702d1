"""One HTTP(S) connection to a gateway: pinned, patient up to a deadline, one request at a time.

What it reads is bounded: bodies of answers, of refusals, and cookies. Errors of the libraries are translated here,
once, into those of ``logger.errors``.
"""

import io
import logging
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from logger import errors
from logger.gateway.kept import STALE_WITHIN_S, Answer, Kept
from logger.gateway.tls import CONNECT_S, LEAST_S, READ_S, Deadline, Pins, context, dial, fingerprint_at, reason_of
from logger.settings import NO_USER, GatewaySettings

log = logging.getLogger(__name__)

#: The largest document, of 50 units in detail, has 60 kB.
LARGEST_BODY_BYTES = 2 * 1024 * 1024
LARGEST_REFUSAL_BYTES = 64 * 1024
LARGEST_COOKIES = 4_096  #: characters of all together, their names too
#: adds to a request who we are: requests' AuthBase, or a plain function
Dress = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class Address(NamedTuple):
    """Where a gateway listens; the scheme is None until detected."""

    scheme: str | None
    host: str
    port: int | None

    @classmethod
    def parse(cls, host: str) -> "Address":
        """Return the address of a name, name:port or URL, or raise SettingsError."""
        if "@" in host:
            raise errors.SettingsError(f"host holds a user or a password, {NO_USER}.")
        try:
            parts = urlsplit(host if "://" in host else f"//{host}")
            name, port = parts.hostname, parts.port
        except ValueError:
            name, port = None, None
        if (
            not name
            or any(map(str.isspace, name))
            or parts.scheme not in {"", "http", "https"}
            or parts.path.strip("/")
        ):
            raise errors.SettingsError(f"host = {host!r} is not an address; write envoy.local or https://192.168.1.20.")
        return cls(parts.scheme or None, name, port)

    def url(self, scheme: str) -> str:
        """Return the base URL for a scheme."""
        # An IPv6 address with a zone, fe80::1%eth0, has its percent sign quoted in a URL.
        name = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return f"{scheme}://{name}" + (f":{self.port}" if self.port else "")


class _Adapter(HTTPAdapter):
    """Hands our context and pin to the pool, and watches its one connection."""

    def __init__(self, trust: ssl.SSLContext, fingerprint: str | None) -> None:
        self.deadline = Deadline(0)  #: of the request that is being made
        self.received_bytes = 0  #: for the request that is being made
        self.answers = 0  #: that the present connection has given
        self.connection: Any = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        manager: Any = self.poolmanager
        manager.connection_pool_kw["ssl_context"] = trust
        if fingerprint is not None:
            manager.connection_pool_kw["assert_fingerprint"] = fingerprint
        manager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": _watched(pool.ConnectionCls, self)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request, once more on a new connection where a kept one ended at once.

        Old gateways reset the second request of a connection that they promised to keep.
        """
        started = time.monotonic()
        try:
            response = super().send(request, *args, **options)
        except requests.exceptions.ConnectionError:
            # Another kind of end than silence, which is a ReadTimeout.
            if self.answers == 0 or time.monotonic() - started > STALE_WITHIN_S:
                raise
            log.debug("a kept connection ended without an answer, asking on a new one")
            response = super().send(request, *args, **options)
        self.answers += 1
        if response.status_code != requests.codes.ok:
            _bound(response)
        return response


class _Body(io.BytesIO):
    """The body of an answer that was read already."""

    def read(self, size: int | None = -1, *, decode_content: bool = True) -> bytes:  # noqa: ARG002 - as urllib3 reads
        return super().read(size)


def _bound(response: requests.Response) -> None:
    """Read the body of an answer that is none: requests would read all of it before it asks again."""
    body = response.raw.read(LARGEST_REFUSAL_BYTES, decode_content=True)
    if response.raw.read(1, decode_content=True):
        response.raw.close()  # The rest comes on a connection that nobody uses any more.
    response.raw = _Body(body)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: redirects of gateways lead to error pages, or elsewhere."""


def _watched(base: Any, adapter: _Adapter) -> Any:
    class Watched(base):  # type: ignore[misc]
        """Connects to any address of its host, and reads no longer than its adapter may."""

        def _new_conn(self) -> socket.socket:
            adapter.answers = 0
            try:
                return dial(self.host, self.port, self.timeout)
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error

        def connect(self) -> None:
            super().connect()
            self.sock.adapter, adapter.connection = adapter, self

    return Watched


class Http:
    """Asks one gateway, one request at a time."""

    def __init__(self, settings: GatewaySettings, state_dir: Path) -> None:
        self.settings = settings
        self.configured = self.address = Address.parse(settings.host)
        self.pins = Pins(state_dir, settings.name)
        self.scheme = self.address.scheme
        self.cookies = requests.cookies.RequestsCookieJar()
        self._needs_tls = False  #: once it spoke TLS it is never asked in plain HTTP again
        self._opened: tuple[requests.Session, _Adapter] | None = None
        self._kept: Kept | None = None

    @property
    def is_secure(self) -> bool:
        """Whether what is sent can be read by the gateway alone."""
        return self.scheme == "https"

    def forget_connection(self) -> None:
        """Close the connection; the next request reads the pin anew."""
        if self._opened is not None:
            self._opened[0].close()
        self._opened = self._kept = None
        if self.address.scheme is None and not self._needs_tls and not self.pins.path.exists():
            self.scheme = None

    def move_to(self, address: Address) -> None:
        """Ask at another address from now on; nothing that the old one gave is sent to it."""
        self.address, self.scheme = address, address.scheme
        self.forget_connection()
        self.cookies.clear()

    def get(self, path: str, deadline: Deadline, auth: Dress | None = None) -> Answer:
        """Return the gateway's answer, whatever its status.

        Raises:
            GatewayUnreachableError: no answer in time.
            CertificateChangedError: another certificate than the pinned one; nothing was sent.
            MalformedDocumentError: the answer was cut.
        """
        if deadline.is_over:
            raise errors.NotReadyError("no time left in this poll.")
        session, adapter = self._opened = self._opened or self._open(deadline)
        adapter.deadline, adapter.received_bytes, left_s = deadline, 0, deadline.left_s
        if left_s <= LEAST_S:
            self.forget_connection()  # What its silence suggested about the scheme, too.
            raise errors.GatewayUnreachableError("no answer in time.")
        try:
            if (answer := self._asked_again(path, deadline, auth)) is None:
                url = self.address.url(self.scheme or "https") + path
                timeouts = min(CONNECT_S, left_s), min(READ_S, left_s)
                with session.get(url, auth=auth, timeout=timeouts, allow_redirects=False, stream=True) as response:
                    answer = Answer(response.status_code, response.raw.read(LARGEST_BODY_BYTES, decode_content=True))
                    if response.raw.read(1, decode_content=True):
                        raise errors.MalformedDocumentError("the answer is larger than any of a gateway.")
                is_steady = getattr(auth, "is_steady", False)
                self._kept = Kept(adapter.connection, response.request, auth, self.cookies) if is_steady else None
            else:
                adapter.answers += 1
            if sum(len(f"{cookie.name}{cookie.value}{cookie.path}") for cookie in self.cookies) > LARGEST_COOKIES:
                self.cookies.clear()
        except errors.GatewayError:
            self.forget_connection()
            raise
        except (OSError, HTTPError, HTTPException, ValueError) as error:
            self.forget_connection()
            raise self._translated(error, deadline, left_s) from error
        log.debug("%s %s %d bytes", path, answer.status, len(answer.body))
        self._needs_tls = self._needs_tls or self.is_secure
        return answer

    def _asked_again(self, path: str, deadline: Deadline, auth: Dress | None) -> Answer | None:
        """Return what is answered on the kept connection; None where that is no answer as usual."""
        kept = self._kept if self._kept is not None and self._kept.can_ask(auth) else None
        answer = None if kept is None else kept.ask(path, deadline, LARGEST_BODY_BYTES)
        if answer is not None and answer.status not in {401, 403}:
            return answer
        self._kept = None
        return None

    def _translated(self, error: Exception, deadline: Deadline, left_s: float) -> Exception:
        """Return what an error of the libraries means; ``left_s`` is the time that it had."""
        name = self.settings.name
        match error:
            case requests.exceptions.SSLError() | SSLError() if "ingerprint" in str(error):
                return errors.CertificateChangedError(
                    f"The certificate of gateway {name!r} is not the pinned one, so nothing was sent; if you know why "
                    f"it changed (firmware update, new gateway), run: envoylog trust accept {name}"
                )
            case requests.exceptions.SSLError() | SSLError() if self.settings.tls == "verify":
                return errors.CertificateChangedError(
                    f"The certificate of gateway {name!r} is not signed by an authority that this machine trusts; "
                    'write tls = "pin".'
                )
            case requests.exceptions.SSLError() | SSLError():
                return errors.GatewayUnreachableError(f"TLS failed ({reason_of(error)}).")
            case requests.exceptions.ReadTimeout() | ReadTimeoutError() | TimeoutError():
                in_time = f"within {left_s:.0f} s" if deadline.is_over else "in time"
                return errors.NotReadyError(f"no answer {in_time}.")
            case requests.exceptions.ChunkedEncodingError() | ProtocolError() | DecodeError() | IncompleteRead():
                return errors.MalformedDocumentError("the answer was cut short.")
            case ValueError() if not isinstance(error, OSError):
                return errors.MalformedDocumentError("the answer breaks the rules of HTTP.")
        return errors.GatewayUnreachableError(f"{reason_of(error)}.")

    def _open(self, deadline: Deadline) -> tuple[requests.Session, _Adapter]:
        if self.scheme is None:
            # It may have had a certificate before: then it never falls back to plain HTTP.
            self.scheme = "https"
            if not self._needs_tls and self.pins.read() is None:
                self._detect_scheme(deadline)
        fingerprint = self._trusted(deadline) if self.is_secure else None
        if self.settings.tls == "off":
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        session = _Session()
        session.trust_env = False  # Proxies and netrc are for the internet, not for this box.
        session.verify = self.settings.tls == "verify"
        session.cookies = self.cookies
        session.headers.update({"Accept": "*/*", "User-Agent": "envoylog"})
        adapter = _Adapter(context(verified=self.settings.tls == "verify"), fingerprint)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session, adapter

    def _detect_scheme(self, deadline: Deadline) -> None:
        try:
            shown = self._shown(deadline)
        except errors.GatewayUnreachableError:
            self.scheme = "http"
            return
        if self.settings.tls != "pin":
            self.pins.write(shown)  # Not compared: it is what shows after a restart that it speaks TLS.

    def _trusted(self, deadline: Deadline) -> str | None:
        """Return the pinned fingerprint, pinning it at first contact; None where none is used."""
        is_pinned = self.settings.tls == "pin"
        if is_pinned and (pinned := self.pins.read()) is not None:
            return pinned
        if self.address != self.configured:
            raise errors.CertificateChangedError(
                "no certificate is pinned that could prove it, so nothing was sent; if it is "
                f'this gateway, write host = "{self.address.host}" into the configuration.'
            )
        if not is_pinned:
            return None
        shown = self._shown(deadline)
        self.pins.write(shown)
        log.warning("gateway=%s certificate pinned sha256=%s", self.settings.name, shown)
        return shown

    def _shown(self, deadline: Deadline) -> str:
        return fingerprint_at(self.address.host, self.address.port or 443, min(CONNECT_S, deadline.left_s))
