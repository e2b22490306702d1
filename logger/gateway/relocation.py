"""Where a gateway is when it is no longer at its configured address.

A router may hand a gateway another address, and its old one to another device. A gateway whose
serial is known and that has failed for some polls is looked for by that serial. Whatever is found
has to prove itself before it is asked anything but /info: by the pinned certificate where there
is TLS, and by its serial.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from logger.clock import Clock
from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayError,
    SettingsError,
)
from logger.gateway import discovery
from logger.gateway.endpoints import Endpoints
from logger.gateway.http import Address
from logger.gateway.tls import Deadline
from logger.readings import Event, GatewayInfo

log = logging.getLogger(__name__)

FAILED_POLLS = 3
LOOK_EVERY = timedelta(minutes=10)
SEARCH_S = 3.0
ASK_S = 5.0

Identify = Callable[[Deadline], GatewayInfo]


class Relocation:
    """Counts failed polls, and moves its endpoints to where its gateway is found."""

    def __init__(self, endpoints: Endpoints, interfaces: list[str] | None, clock: Clock) -> None:
        self.endpoints = endpoints
        self.interfaces = interfaces
        self.clock = clock
        self.configured = endpoints.http.address
        self._failed_polls = 0
        self._looked_at: datetime | None = None
        self._events: list[Event] = []
        self._refused: set[Address] = set()

    @property
    def can_look(self) -> bool:
        """Whether this gateway may be looked for."""
        return self.endpoints.settings.mdns and discovery.is_available()

    def failed(self, error: GatewayError | None = None) -> None:
        """Count a poll that gave nothing; a gateway that only wants a token is where it is."""
        is_there = isinstance(error, AuthenticationError)
        is_there = is_there and not isinstance(error, CertificateChangedError)
        self._failed_polls = 0 if is_there else self._failed_polls + 1

    def answered(self) -> None:
        """Count anew: the gateway is there."""
        self._failed_polls = 0

    def take_events(self) -> tuple[Event, ...]:
        """Return the changes of address that no poll has reported yet."""
        events, self._events = tuple(self._events), []
        return events

    def look(
        self, serial: str | None, at: datetime, identify: Identify, patience: Deadline
    ) -> None:
        """Look for the gateway if it is time to, and go on where it answers.

        A part of ``patience`` remains for the poll. Where the gateway is now and where it was
        configured are asked before any new address: it may just be back.
        """
        now = self.clock()
        waits = self._looked_at is not None and now - self._looked_at < LOOK_EVERY
        if serial is None or self._failed_polls < FAILED_POLLS or waits or not self.can_look:
            return
        self._looked_at = now
        here = self.endpoints.http.address
        announced = self._announced(serial, patience)
        if not announced and here == self.configured:
            return
        for address in dict.fromkeys([here, self.configured, *announced]):
            self.endpoints.move_to(address)
            if self._is_it(address, identify, Deadline(min(ASK_S, patience.left_s / 3))):
                self.answered()
                if address != here:
                    self._events.append(self._change(address, at))
                return
        self.endpoints.move_to(here)

    def _announced(self, serial: str, patience: Deadline) -> list[Address]:
        """Return where the gateway announces itself, under the configured scheme and port."""
        search_s = min(SEARCH_S, patience.left_s / 3)
        try:
            found = discovery.discover(search_s, self.interfaces, until=serial)
        except (GatewayError, SettingsError) as error:
            log.debug("gateway=%s not looked for: %s", self.endpoints.settings.name, error)
            return []
        scheme = self.configured.scheme
        if self.endpoints.info is not None and self.endpoints.info.has_web_tokens:
            scheme = scheme or "https"  # Nothing that speaks plain HTTP can be it.
        return [
            Address(scheme, host, self.configured.port)
            for gateway in found
            if gateway.serial == serial
            for host in gateway.addresses
        ]

    def _is_it(self, address: Address, identify: Identify, patience: Deadline) -> bool:
        name = self.endpoints.settings.name
        try:
            identify(patience)
        except CertificateChangedError:
            if address != self.configured and address not in self._refused:
                self._refused.add(address)
                message = (
                    "gateway=%s is announced at %s by mDNS, but no pinned certificate proves it, "
                    "so nothing was sent; if it is yours, write host = %r into the configuration "
                    "and run: envoylog trust accept %s"
                )
                log.warning(message, name, address.host, address.host, name)
            return False
        except GatewayError as error:
            log.debug("gateway=%s not at %s: %s", name, address.host, error)
            return False
        return True

    def _change(self, address: Address, at: datetime) -> Event:
        detail = f"answers at {address.host} again, as configured"
        if address != self.configured:
            detail = f"answers at {address.host} instead of {self.configured.host}; found by mDNS: "
            detail += "correct host in the configuration"
        return Event(at=at, kind="address_change", subject="gateway", detail=detail)
