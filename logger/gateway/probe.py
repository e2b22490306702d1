"""What answers at a host: a gateway, a router, another web server, or nothing; found out in seconds, as nobody.

Nothing is sent but ``GET /info`` and ``GET /``, and nothing is kept. HTTPS and HTTP are asked at once, so that the one
that keeps silent costs no time.
"""

import contextlib
import hashlib
import html
import http.client
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from logger.errors import MalformedDocumentError
from logger.gateway.http import Address
from logger.gateway.profile import INFO, parse_info
from logger.gateway.tls import Deadline, context, dial, reason_of
from logger.readings import GatewayInfo

PROBE_S = 5.0
#: bytes of a page that are looked at; /info of a large site has some ten thousand
LARGEST_PAGE = 256 * 1024
ROUTES = Path("/proc/net/route")
#: What routers call themselves, in the title of their page or the name of their server.
ROUTERS = re.compile(
    r"fritz!?\s?box|\brouter|openwrt|luci\b|speedport|easybox|connect box|livebox|bbox\b|freebox|home\s?box"
    r"|gateway login|unifi|edgeos|mikrotik|routeros|tp-?link|archer|netgear|linksys|asuswrt|rt-a[cx]|d-?link|zyxel"
    r"|draytek|technicolor|sagemcom|huawei|ubee|arris|vodafone|ziggo|experia|pfsense|opnsense|airport|eero|google wifi",
    re.IGNORECASE,
)
#: why there is nothing -> what that means, and what to do
NOTHING = {
    "no such host": "no machine has this name; write the IP address that your router's list of devices shows for it",
    "name not found": "the name can't be looked up; write the IP address that your router shows for it",
    "connection refused": "the machine there runs no web server; is it the address of the gateway?",
    "no answer in time": "no answer within {seconds:.0f} s; is the gateway switched on and in this network?",
    "no route to host": "no machine has this address now; is the gateway switched on and in this network?",
    "network unreachable": "this machine has no way to that network",
}
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_REALM = re.compile(r'realm="([^"]*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What answers at a host."""

    host: str
    kind: Literal["gateway", "router", "web server", "other", "nothing"]
    detail: str  #: what it calls itself, or why there is nothing
    info: GatewayInfo | None = None  #: of a gateway
    scheme: str | None = None  #: by which it answers
    fingerprint: str | None = None  #: SHA-256 of its certificate, 64 hex digits

    @property
    def sentence(self) -> str:
        """What answers, for people."""
        name = f" ({self.detail})" if self.detail else ""
        match self.kind:
            case "gateway":
                return f"A gateway answers at {self.host}."
            case "router":
                where = "its list of devices has the address of the gateway"
                return f"A router{name} answers at {self.host}, not a gateway; {where}."
            case "web server":
                return f"Another web server{name} answers at {self.host}, not a gateway."
            case "other":
                return f"Something answers at {self.host}, but it is no web server ({self.detail}) and no gateway."
        return f"Nothing answers at {self.host}: {self.detail}"


@dataclass(frozen=True, slots=True)
class _Page:
    status: int
    server: str
    realm: str
    body: str


@dataclass(slots=True)
class _Heard:
    """What one scheme has given."""

    scheme: str
    problem: str = ""  #: why there is no page
    is_connected: bool = False
    fingerprint: str | None = None
    info: GatewayInfo | None = None
    page: _Page | None = None  #: of what is no gateway


def probe(host: str, timeout_s: float = PROBE_S) -> Found:
    """Return what answers at a host, name:port or URL; by HTTPS and HTTP where it names no scheme.

    SettingsError: it is not an address.
    """
    address, deadline = Address.parse(host.strip()), Deadline(timeout_s)
    schemes = [address.scheme] if address.scheme else ["https", "http"]
    with ThreadPoolExecutor(len(schemes)) as threads:
        heard = list(threads.map(lambda scheme: _asked(address, scheme, deadline), schemes))
    shown = address.host if address.port is None else f"{address.host}:{address.port}"
    for each in heard:
        if each.info is not None:
            return Found(
                host=shown, kind="gateway", detail="", info=each.info, scheme=each.scheme, fingerprint=each.fingerprint
            )
    for each in heard:
        if each.page is not None:
            name = _name(each.page)
            is_router = ROUTERS.search(name) or address.host in default_routes()
            return Found(host=shown, kind="router" if is_router else "web server", detail=name, scheme=each.scheme)
    for each in heard:
        if each.is_connected:
            return Found(host=shown, kind="other", detail=each.problem, scheme=each.scheme)
    why = heard[-1].problem
    meaning = NOTHING.get(why, why).format(seconds=timeout_s)
    return Found(host=shown, kind="nothing", detail=meaning if meaning.endswith("?") else f"{meaning}.")


def _asked(address: Address, scheme: str, deadline: Deadline) -> _Heard:
    """Return what a scheme gives: who answers /info, or else what the front page calls itself."""
    heard = _Heard(scheme)
    try:
        page = _page(address, scheme, INFO, deadline, heard)
        with contextlib.suppress(MalformedDocumentError):
            heard.info = parse_info(page.body) if page.status == http.client.OK else None
        if heard.info is None:
            heard.page = page
            heard.page = _page(address, scheme, "/", deadline, heard)
    except MalformedDocumentError as error:  # An answer that does not end.
        heard.problem = str(error)
    except (OSError, http.client.HTTPException, ValueError) as error:
        heard.problem = reason_of(error)
    return heard


def _page(address: Address, scheme: str, path: str, deadline: Deadline, heard: _Heard) -> _Page:
    port = address.port or (443 if scheme == "https" else 80)
    with _connected(address.host, port, scheme, deadline, heard) as sock:
        connection = http.client.HTTPConnection(address.host, port)
        connection.sock = sock
        connection.request("GET", path, headers={"User-Agent": "envoylog", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(LARGEST_PAGE).decode("utf-8", "replace")
        realm = _REALM.search(answer.headers.get("WWW-Authenticate", ""))
        return _Page(answer.status, answer.headers.get("Server", ""), realm[1] if realm else "", body)


@contextlib.contextmanager
def _connected(host: str, port: int, scheme: str, deadline: Deadline, heard: _Heard) -> Iterator[Any]:
    """Open a connection whose reads end at the deadline, and note the certificate that it shows."""
    with contextlib.ExitStack() as stack:
        sock: Any = stack.enter_context(dial(host, port, max(0.001, deadline.left_s)))
        heard.is_connected = True
        sock.settimeout(max(0.001, deadline.left_s))
        if scheme == "https":
            sock = stack.enter_context(context(verified=False).wrap_socket(sock, server_hostname=host))
            heard.fingerprint = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
        sock.adapter = _Patience(deadline)
        yield sock


@dataclass(slots=True)
class _Patience:
    """Ends each read of a connection at a deadline, and one that never ends at a size."""

    deadline: Deadline
    received_bytes: int = 0


def _name(page: _Page) -> str:
    """Return what a server calls itself: the title of its page, else its realm, else its software."""
    title = _TITLE.search(page.body)
    names = [html.unescape(title[1]) if title else "", page.realm, page.server]
    plain = ("".join(filter(str.isprintable, " ".join(each.split()))) for each in names)
    return next((name[:60] for name in plain if name), "")


def default_routes() -> set[str]:
    """Return the addresses of the routers that lead this machine out of its network."""
    found = set()
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in ROUTES.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                found.add(socket.inet_ntoa(bytes.fromhex(fields[2])[::-1]))
    return found
