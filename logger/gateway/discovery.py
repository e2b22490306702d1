"""The gateways on this network, by mDNS.

A gateway announces itself as ``_enphase-envoy._tcp.local.`` with its serial number and firmware.
The library that listens is an extra and is loaded only when somebody looks: a collector that
never has to look never pays for it.
"""

import importlib.util
import ipaddress
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from logger.errors import GatewayUnreachableError, SettingsError

log = logging.getLogger(__name__)

SERVICE = "_enphase-envoy._tcp.local."
#: A name that is announced without an address is not waited for longer.
DETAIL_S = 1.5
#: What anybody on the network may announce is shown only if it looks like a gateway's.
SERIAL = re.compile(r"\w{1,32}", re.ASCII)
FIRMWARE = re.compile(r"[\w.-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that announced itself."""

    serial: str
    firmware: str | None
    addresses: tuple[str, ...]  #: IPv4 first, link-local IPv6 last
    port: int


def is_available() -> bool:
    """Return whether the library that listens is installed."""
    return importlib.util.find_spec("zeroconf") is not None


def interfaces_of(environ: Mapping[str, str]) -> list[str] | None:
    """Return the addresses of this machine to listen on, or None for all of its interfaces."""
    named = environ.get("ENVOYLOG_MDNS_INTERFACES", "").replace(",", " ").split()
    for address in named:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise SettingsError(
                f"ENVOYLOG_MDNS_INTERFACES names {address!r}; write addresses of this machine, "
                "such as 192.168.1.2, separated by commas."
            ) from error
    return named or None


def discover(
    timeout_s: float, interfaces: list[str] | None = None, *, until: str | None = None
) -> list[Found]:
    """Return the gateways that announce themselves within a time, by serial.

    With ``until`` it ends as soon as the gateway of that serial is found.

    Raises:
        SettingsError: the library is not installed; names the extra.
        GatewayUnreachableError: this machine can't listen.
    """
    if not is_available():
        raise SettingsError(
            "Looking for gateways by mDNS needs an extra; run: pip install 'envoylog[discovery]'"
        )
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
                info = zeroconf.ServiceInfo(SERVICE, name)
                info.request(listener, 1000 * min(left_s, DETAIL_S))
                _note(info, found)
    except (OSError, RuntimeError, zeroconf.Error) as error:
        raise GatewayUnreachableError(
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


def _preference(address: str) -> tuple[bool, bool]:
    ip = ipaddress.ip_address(address)
    return ip.version == 6, ip.is_link_local
