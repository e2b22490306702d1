"""One HTTP(S) connection to a gateway: pinned, patient up to a deadline, one request at a time.

Errors of the libraries are translated here, once, into those of ``logger.errors``.

Walk: endpoints -> here -> endpoints
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from logger.errors import (
    CertificateChangedError,
    GatewayUnreachableError,
    MalformedDocumentError,
    NotReadyError,
    SettingsError,
)
from logger.gateway.tls import (
    CONNECT_S,
    Adapter,
    Pins,
    fingerprint_at,
    reason_of,
    unverified_context,
    verified_context,
)
from logger.settings import GatewaySettings

log = logging.getLogger(__name__)

READ_S = 45.0
LARGEST_BODY_BYTES = 16 * 1024 * 1024
#: With less time than this nothing is begun.
LEAST_S = 0.05


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


class Deadline:
    """A point in time after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self.seconds += seconds
        self._until += seconds

    @property
    def left_s(self) -> float:
        """Seconds that remain, 0 when it has passed."""
        return max(0.0, self._until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is begun any more."""
        return self.left_s <= LEAST_S


class Http:
    """Asks one gateway, one request at a time."""

    def __init__(self, settings: GatewaySettings, state_dir: Path) -> None:
        self.settings = settings
        self.configured = self.address = Address.parse(settings.host)
        self.pins = Pins(state_dir, settings.name)
        self.scheme = self.address.scheme
        self.cookies = requests.cookies.RequestsCookieJar()
        self._opened: tuple[requests.Session, Adapter] | None = None

    @property
    def is_secure(self) -> bool:
        """Whether what is sent can be read by the gateway alone."""
        return self.scheme == "https"

    @property
    def port(self) -> int:
        """The TLS port."""
        return self.address.port or 443

    def forget_connection(self) -> None:
        """Close the connection; the next request reads the pin anew."""
        if self._opened is not None:
            self._opened[0].close()
        self._opened = None
        if self.address.scheme is None and self.pins.read() is None:
            self.scheme = None

    def move_to(self, address: Address) -> None:
        """Ask at another address from now on; nothing that the old one gave is sent to it."""
        self.address, self.scheme = address, address.scheme
        self.forget_connection()
        self.cookies.clear()

    def get(self, path: str, deadline: Deadline, auth: AuthBase | None = None) -> Answer:
        """Return the gateway's answer, whatever its status.

        Raises:
            GatewayUnreachableError: no answer in time.
            CertificateChangedError: another certificate than the pinned one; nothing was sent.
            MalformedDocumentError: the answer was cut.
        """
        if deadline.is_over:
            raise NotReadyError("no time left in this poll.")
        session, adapter = self._opened = self._opened or self._open(deadline)
        url = self.address.url(self.scheme or "https") + path
        if deadline.is_over:
            self.forget_connection()  # What its silence seemed to say of the scheme, too.
            raise GatewayUnreachableError("no answer in time.")
        left_s = deadline.left_s
        try:
            with (
                adapter.cut_after(left_s),
                session.get(
                    url,
                    auth=auth,
                    timeout=(min(CONNECT_S, left_s), min(READ_S, left_s)),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                body = response.raw.read(LARGEST_BODY_BYTES, decode_content=True)
                log.debug("%s %s %d bytes", path, response.status_code, len(body))
                return Answer(response.status_code, body.decode("utf-8", "replace"))
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            self.forget_connection()
            raise self._translated(error, deadline, left_s, was_cut=adapter.was_cut) from error

    def _translated(
        self, error: Exception, deadline: Deadline, left_s: float, *, was_cut: bool
    ) -> Exception:
        """Return what an error of the libraries means; ``left_s`` is the time that it had."""
        match error:
            case requests.exceptions.SSLError():
                return self._tls_error(error)
            case (
                requests.exceptions.ChunkedEncodingError()
                | urllib3.exceptions.ProtocolError()
                | urllib3.exceptions.DecodeError()
            ):
                if deadline.is_over:
                    return NotReadyError(f"no whole answer within {left_s:.0f} s.")
                return MalformedDocumentError("the answer was cut short.")
            case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError():
                return NotReadyError("no answer in time.")
        if was_cut:
            return NotReadyError(f"no answer within {left_s:.0f} s.")
        return GatewayUnreachableError(f"{reason_of(error)}.")

    def _tls_error(self, error: Exception) -> Exception:
        name = self.settings.name
        if "ingerprint" in str(error):
            return CertificateChangedError(
                f"The certificate of gateway {name!r} is not the pinned one, so nothing was sent; "
                "if you know why it changed (firmware update, new gateway), run: "
                f"envoylog trust accept {name}"
            )
        if self.settings.tls == "verify":
            return CertificateChangedError(
                f"The certificate of gateway {name!r} is not signed by an authority that this "
                'machine trusts; write tls = "pin".'
            )
        return GatewayUnreachableError(f"TLS failed ({reason_of(error)}).")

    def _open(self, deadline: Deadline) -> tuple[requests.Session, Adapter]:
        if self.scheme is None:
            self.scheme = self._detected_scheme(deadline)
        fingerprint = self._trusted(deadline) if self.is_secure else None
        if self.settings.tls == "off":
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        session = requests.Session()
        session.trust_env = False  # Proxies and netrc are for the internet, not for this box.
        session.verify = self.settings.tls == "verify"
        session.cookies = self.cookies
        session.headers.update({"Accept": "*/*", "User-Agent": "envoylog"})
        adapter = Adapter(
            verified_context() if session.verify else unverified_context(), fingerprint
        )
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session, adapter

    def _trusted(self, deadline: Deadline) -> str | None:
        """Return the pinned fingerprint, pinning it at first contact; None where none is used."""
        is_pinned = self.settings.tls == "pin"
        fingerprint = self.pins.read() if is_pinned else None
        if fingerprint is not None:
            return fingerprint
        if self.address != self.configured:
            raise CertificateChangedError(
                "no certificate is pinned that could prove it, so nothing was sent; if it is "
                f'this gateway, write host = "{self.address.host}" into the configuration.'
            )
        if not is_pinned:
            return None
        fingerprint = fingerprint_at(self.address.host, self.port, self._patience_s(deadline))
        self.pins.write(fingerprint)
        log.info("gateway=%s certificate pinned sha256=%s", self.settings.name, fingerprint)
        return fingerprint

    def _detected_scheme(self, deadline: Deadline) -> str:
        if self.pins.read() is not None:
            return "https"  # It had a certificate before: never fall back to plain HTTP.
        try:
            fingerprint_at(self.address.host, self.port, self._patience_s(deadline))
        except GatewayUnreachableError:
            return "http"
        return "https"

    @staticmethod
    def _patience_s(deadline: Deadline) -> float:
        return min(CONNECT_S, deadline.left_s)
