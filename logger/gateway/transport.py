"""One HTTP(S) connection to a gateway: pinned, patient up to a deadline, one request at a time.

The certificate is self-signed, so it is pinned: its SHA-256 fingerprint is read in a handshake
that sends no request, kept in the state directory, and compared by urllib3 before any later
request leaves. One SSLContext serves the process: requests with ``verify=False`` would load the
system's CA store for each connection.
"""

import logging
import socket
import ssl
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from logger.errors import (
    CertificateChangedError,
    GatewayUnreachableError,
    MalformedDocumentError,
    NotReadyError,
    SettingsError,
)
from logger.gateway.connecting import connected, reason_of
from logger.gateway.pins import (
    CONNECT_S,
    Pins,
    fingerprint_at,
    unverified_context,
    verified_context,
)
from logger.settings import GatewaySettings

log = logging.getLogger(__name__)

READ_S = 45.0
LARGEST_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status and the body as text; headers are not to be trusted."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway listens; the scheme is None until detected."""

    scheme: str | None
    host: str
    port: int | None

    @classmethod
    def parse(cls, host: str) -> "Address":
        """Return the address of ``host``: a name, name:port, or URL.

        Raises:
            SettingsError: it is none of these.
        """
        try:
            parts = urlsplit(host if "://" in host else f"//{host}")
            name, port = parts.hostname, parts.port
        except ValueError:
            name, port = None, None
        if not name or parts.scheme not in {"", "http", "https"} or parts.path.strip("/"):
            raise SettingsError(
                f"host = {host!r} is not an address; write envoy.local or https://192.168.1.20."
            )
        return cls(parts.scheme or None, name, port)

    def url(self, scheme: str) -> str:
        """Return the base URL for a scheme."""
        # An IPv6 address with a zone, fe80::1%eth0, has its percent sign quoted in a URL.
        name = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return f"{scheme}://{name}" + (f":{self.port}" if self.port else "")


def _tracked(base: Any, sockets: "weakref.WeakSet[socket.socket]") -> Any:
    class Tracked(base):  # type: ignore[misc]
        """Connects within its time, and remembers its socket so that a deadline can end a read."""

        def _new_conn(self) -> socket.socket:
            try:
                return connected(self.host, self.port, self.timeout)
            except socket.gaierror as error:
                raise NameResolutionError(self.host, self, error) from error
            except TimeoutError as error:
                raise ConnectTimeoutError(self, f"connecting timed out: {error}") from error
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error

        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    return Tracked


class _Adapter(HTTPAdapter):
    """Hands our context and pin to the pool, and keeps hold of its sockets."""

    def __init__(self, context: ssl.SSLContext, fingerprint: str | None) -> None:
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._pool: dict[str, Any] = {"ssl_context": context, "assert_fingerprint": fingerprint}
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        """Make the pool with our context; the classes of its connections are tracked ones."""
        super().init_poolmanager(connections, maxsize, block, **options, **self._pool)
        plain = type("Pool", (urllib3.HTTPConnectionPool,), {})
        secure = type("SecurePool", (urllib3.HTTPSConnectionPool,), {})
        plain.ConnectionCls = _tracked(HTTPConnection, self.sockets)  # type: ignore[attr-defined]
        secure.ConnectionCls = _tracked(HTTPSConnection, self.sockets)  # type: ignore[attr-defined]
        self.poolmanager.pool_classes_by_scheme = {"http": plain, "https": secure}


class Deadline:
    """A point in time after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self._until += seconds

    @property
    def left_s(self) -> float:
        """Seconds that remain, 0 when it has passed."""
        return max(0.0, self._until - time.monotonic())


class Transport:
    """Asks one gateway, one request at a time."""

    def __init__(self, settings: GatewaySettings, state_dir: Path) -> None:
        self.settings = settings
        self.configured = self.address = Address.parse(settings.host)
        self.pins = Pins(state_dir, settings.name)
        self.scheme = self.address.scheme
        self.cookies = requests.cookies.RequestsCookieJar()
        self._session: requests.Session | None = None
        self._adapter: _Adapter | None = None
        self._was_cut = False

    @property
    def is_secure(self) -> bool:
        """Whether what is sent can be read by the gateway alone."""
        return self.scheme == "https"

    def forget_connection(self) -> None:
        """Close the connection; the next request reads the pin anew."""
        if self._session is not None:
            self._session.close()
        self._session = self._adapter = None
        if self.address.scheme is None and self.pins.read() is None:
            self.scheme = None

    def move_to(self, address: Address) -> None:
        """Ask at another address from now on; nothing that the old one gave is sent to it."""
        if address == self.address:
            return
        self.address, self.scheme = address, address.scheme
        self.forget_connection()
        self.cookies.clear()

    def get(
        self,
        path: str,
        *,
        deadline: Deadline,
        headers: dict[str, str] | None = None,
        auth: AuthBase | None = None,
    ) -> Answer:
        """Return the gateway's answer, whatever its status.

        Raises:
            GatewayUnreachableError: no answer in time.
            CertificateChangedError: another certificate than the pinned one; nothing was sent.
            MalformedDocumentError: the answer was cut.
        """
        if deadline.left_s <= 0.05:
            raise NotReadyError("no time left in this poll.")
        if self._session is None:
            self._connect(deadline)
        assert self._session is not None  # noqa: S101 - for the type checker
        assert self._adapter is not None  # noqa: S101 - the same
        url = self.address.url(self.scheme or "https") + path
        left = deadline.left_s
        if left <= 0.05:
            self.forget_connection()  # What its silence seemed to say of the scheme, too.
            raise GatewayUnreachableError("no answer in time.")
        self._was_cut = False
        timer = threading.Timer(left, self._cut)
        timer.daemon = True
        timer.start()
        try:
            with self._session.get(
                url,
                headers=headers,
                auth=auth,
                timeout=(min(CONNECT_S, left), min(READ_S, left)),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = response.raw.read(LARGEST_BODY_BYTES, decode_content=True)
                log.debug("%s %s %d bytes", path, response.status_code, len(body))
                return Answer(response.status_code, body.decode("utf-8", "replace"))
        except requests.exceptions.SSLError as error:
            self.forget_connection()
            raise self._tls_error(error) from error
        except (
            requests.exceptions.ChunkedEncodingError,
            urllib3.exceptions.ProtocolError,
            urllib3.exceptions.DecodeError,
        ) as error:
            self.forget_connection()
            if deadline.left_s <= 0.05:
                raise NotReadyError(f"no whole answer within {left:.0f} s.") from error
            raise MalformedDocumentError("the answer was cut short.") from error
        except (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
            self.forget_connection()
            raise NotReadyError("no answer in time.") from error
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            self.forget_connection()
            if self._was_cut:
                raise NotReadyError(f"no answer within {left:.0f} s.") from error
            raise GatewayUnreachableError(f"{reason_of(error)}.") from error
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """End a read that drips on past its deadline; only who is connected to is cut."""
        for sock in list(self._adapter.sockets if self._adapter else ()):
            try:
                sock.getpeername()
                self._was_cut = True  # First: the read ends at once, and asks whether it was.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                continue

    def _connect(self, deadline: Deadline) -> None:
        if self.scheme is None:
            self.scheme = self._detect_scheme(deadline)
        fingerprint = None
        if self.scheme == "https" and self.settings.tls == "pin":
            fingerprint = self.pins.read()
        if self.scheme == "https" and fingerprint is None:
            if self.address != self.configured:
                raise CertificateChangedError(
                    "no certificate is pinned that could prove it, so nothing was sent; if it is "
                    f'this gateway, write host = "{self.address.host}" into the configuration.'
                )
            if self.settings.tls == "pin":
                patience = min(CONNECT_S, deadline.left_s)
                fingerprint = fingerprint_at(self.address.host, self.port, patience)
                self.pins.write(fingerprint)
                log.info("gateway=%s certificate pinned sha256=%s", self.settings.name, fingerprint)
        if self.settings.tls == "off":
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        verify = self.settings.tls == "verify"
        session = requests.Session()
        session.trust_env = False  # Proxies and netrc are for the internet, not for this box.
        session.verify = verify
        session.cookies = self.cookies
        session.headers.update({"Accept": "*/*", "User-Agent": "envoylog"})
        context = verified_context() if verify else unverified_context()
        self._adapter = _Adapter(context, fingerprint)
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        self._session = session

    @property
    def port(self) -> int:
        """The TLS port."""
        return self.address.port or 443

    def _detect_scheme(self, deadline: Deadline) -> str:
        if self.pins.read() is not None:
            return "https"  # It had a certificate before: never fall back to plain HTTP.
        try:
            fingerprint_at(self.address.host, self.port, min(CONNECT_S, deadline.left_s))
        except GatewayUnreachableError:
            return "http"
        return "https"

    def _tls_error(self, error: Exception) -> Exception:
        said = str(error)
        if "ingerprint" in said:
            return CertificateChangedError(
                f"The certificate of gateway {self.settings.name!r} is not the pinned one, so "
                "nothing was sent; if you know why it changed (firmware update, new gateway), "
                f"run: envoylog trust accept {self.settings.name}"
            )
        if self.settings.tls == "verify":
            return CertificateChangedError(
                f"The certificate of gateway {self.settings.name!r} is not signed by an "
                'authority that this machine trusts; write tls = "pin".'
            )
        return GatewayUnreachableError(f"TLS failed ({reason_of(error)}).")
