"""The gateways on this network, by mDNS; and where one is that left its configured address.

A gateway announces itself as ``_enphase-envoy._tcp.local.`` with its serial number and firmware. The library that
listens is loaded only when somebody looks: a collector that never has to look never pays for it.

A router may hand a gateway another address, and its old one to another device. A gateway whose serial is known and that
has failed for some polls is looked for by that serial. Whatever is found has to prove itself before it is asked
anything but /info: by the pinned certificate where there is TLS, and by its serial.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

from logger import errors
from logger.gateway.endpoints import Endpoints
from logger.gateway.http import Address
from logger.gateway.tls import Deadline
from logger.readings import Event, GatewayInfo

log = logging.getLogger(__name__)

SERVICE = "_enphase-envoy._tcp.local."
#: A name that is announced without an address is not waited for longer.
DETAIL_S = 1.5
#: What anybody on the network may announce is shown only if it looks like a gateway's.
SERIAL = re.compile(r"\w{1,32}", re.ASCII)
FIRMWARE = re.compile(r"[\w.-]{1,32}", re.ASCII)
#: Of the gateway that is looked for: after how many polls, how often, and for how long.
FAILED_POLLS = 3
LOOK_EVERY = timedelta(minutes=10)
SEARCH_S = 3.0
ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that announced itself."""

    serial: str
    firmware: str | None
    addresses: tuple[str, ...]  #: IPv4 first, link-local IPv6 last
    port: int


def interfaces_of(environ: Mapping[str, str]) -> list[str] | None:
    """Return the addresses of this machine to listen on, or None for all of its interfaces."""
    named = environ.get("ENVOYLOG_MDNS_INTERFACES", "").replace(",", " ").split()
    for address in named:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise errors.SettingsError(
                f"ENVOYLOG_MDNS_INTERFACES names {address!r}; write addresses of this machine, "
                "such as 192.168.1.2, separated by commas."
            ) from error
    return named or None


def discover(timeout_s: float, interfaces: list[str] | None = None, *, until: str | None = None) -> list[Found]:
    """Return the gateways that announce themselves within a time, by serial.

    With ``until`` it ends as soon as the gateway of that serial is found.

    Raises:
        GatewayUnreachableError: this machine can't listen.
    """
    import zeroconf  # noqa: PLC0415 - only where somebody looks

    stop_at = time.monotonic() + timeout_s
    names: SimpleQueue[str] = SimpleQueue()
    found: dict[str, Found] = {}

    def on_change(*, name: str, state_change: zeroconf.ServiceStateChange, **_: Any) -> None:
        if state_change is not zeroconf.ServiceStateChange.Removed:
            names.put(name)

    try:
        with opened(interfaces) as listener:
            zeroconf.ServiceBrowser(listener, SERVICE, handlers=[on_change])
            while until not in found and (left_s := stop_at - time.monotonic()) > 0:
                try:
                    name = names.get(timeout=left_s)
                except Empty:
                    break
                try:
                    info = zeroconf.ServiceInfo(SERVICE, name)
                    info.request(listener, 1000 * min(left_s, DETAIL_S))
                except zeroconf.Error as error:  # A name that is none: of this one alone.
                    log.debug("ignored what is announced: %s", type(error).__name__)
                    continue
                _note(info, found)
    except (OSError, RuntimeError, zeroconf.Error) as error:
        raise errors.GatewayUnreachableError(
            f"This machine can't listen for gateways by mDNS ({error}); is it on a network?"
        ) from error
    return [found[serial] for serial in sorted(found)]


def opened(interfaces: list[str] | None) -> Any:
    """Return the library's listener on these interfaces, or on all."""
    import zeroconf  # noqa: PLC0415 - the same

    return zeroconf.Zeroconf(interfaces=interfaces or zeroconf.InterfaceChoice.All)


def _note(info: Any, found: dict[str, Found]) -> None:
    """Add what a gateway announces; under two names it is one gateway."""
    properties = info.decoded_properties
    serial, firmware = properties.get("serialnum") or "", properties.get("protovers") or ""
    addresses = info.parsed_scoped_addresses()
    if not SERIAL.fullmatch(serial) or not addresses:
        log.debug("ignored %s: no serial number or no address", info.name)
        return
    known = found.get(serial)
    every = dict.fromkeys([*(known.addresses if known else ()), *addresses])
    found[serial] = Found(
        serial=serial,
        firmware=firmware if FIRMWARE.fullmatch(firmware) else None,
        addresses=tuple(sorted(every, key=_preference)),
        port=info.port or 80,
    )


def as_host(address: str) -> str:
    """Return an announced address as ``host`` of the configuration has it."""
    return f"[{address}]" if address.count(":") > 1 else address


def _preference(address: str) -> tuple[bool, bool]:
    ip = ipaddress.ip_address(address)
    return ip.version == 6, ip.is_link_local


class Relocation:
    """Counts failed polls, and moves its endpoints to where its gateway is found."""

    def __init__(
        self, endpoints: Endpoints, identify: Callable[[Deadline], GatewayInfo], environ: Mapping[str, str]
    ) -> None:
        self.endpoints = endpoints
        self.identify = identify
        self.interfaces = interfaces_of(environ)
        self.configured = endpoints.http.configured
        self.events: list[Event] = []  #: changes of address that no poll has reported yet
        self.failed_polls = 0  #: in a row that gave nothing
        self._looked_at: datetime | None = None
        self._refused: set[Address] = set()

    @property
    def can_look(self) -> bool:
        """Whether this gateway may be looked for.

        Anybody can announce a serial, and a password must not be tried on whoever does: that takes a certificate.
        """
        settings, info = self.endpoints.settings, self.endpoints.info
        has_certificate = (info is not None and info.has_web_tokens) or self.endpoints.http.pins.path.exists()
        return settings.mdns and (has_certificate or not settings.has_password)

    def failed(self, error: errors.GatewayError | None = None) -> None:
        """Count a poll that gave nothing; a gateway that only wants a token is where it is."""
        is_there = isinstance(error, errors.AuthenticationError) and type(error) is not errors.CertificateChangedError
        self.failed_polls = 0 if is_there else self.failed_polls + 1

    def look(self, serial: str | None, at: datetime, patience: Deadline) -> None:
        """Look for the gateway if it is time to, and go on where it answers.

        A part of ``patience`` remains for the poll. Where the gateway is now and where it was configured are asked
        before any new address: it may just be back.
        """
        now = self.endpoints.clock()
        waits = self._looked_at is not None and now - self._looked_at < LOOK_EVERY
        if serial is None or self.failed_polls < FAILED_POLLS or waits or not self.can_look:
            return
        self._looked_at = now
        here = self.endpoints.http.address
        announced = self._announced(serial, patience)
        if not announced and here == self.configured:
            return
        for address in dict.fromkeys([here, self.configured, *announced]):
            self.endpoints.move_to(address)
            if self._is_it(address, Deadline(min(ASK_S, patience.left_s / 3))):
                self.failed_polls = 0
                if address != here:
                    detail = f"answers at {address.host} again, as configured"
                    if address != self.configured:
                        detail = f"answers at {address.host} instead of {self.configured.host}; found by mDNS: "
                        detail += "correct host in the configuration"
                    self.events.append(Event(at=at, kind="address_change", subject="gateway", detail=detail))
                return
        self.endpoints.move_to(here)

    def _announced(self, serial: str, patience: Deadline) -> list[Address]:
        """Return where the gateway announces itself, under the configured scheme and port."""
        try:
            found = discover(min(SEARCH_S, patience.left_s / 3), self.interfaces, until=serial)
        except (errors.GatewayError, errors.SettingsError) as error:
            log.debug("gateway=%s not looked for: %s", self.endpoints.settings.name, error)
            return []
        scheme = self.configured.scheme
        if self.endpoints.info is not None and self.endpoints.info.has_web_tokens:
            scheme = scheme or "https"  # Nothing that speaks plain HTTP can be it.
        hosts = next((gateway.addresses for gateway in found if gateway.serial == serial), ())
        return [Address(scheme, host, self.configured.port) for host in hosts]

    def _is_it(self, address: Address, patience: Deadline) -> bool:
        name = self.endpoints.settings.name
        try:
            self.identify(patience)
        except errors.CertificateChangedError:
            if address != self.configured and address not in self._refused:
                self._refused.add(address)
                message = (
                    "gateway=%s is announced at %s by mDNS, but no pinned certificate proves it, so nothing was sent; "
                    "if it is yours, write host = %r into the configuration and run: envoylog trust accept %s"
                )
                log.warning(message, name, address.host, address.host, name)
            return False
        except errors.GatewayError as error:
            log.debug("gateway=%s not at %s: %s", name, address.host, error)
            return False
        return True
