"""Where the gateways are: configured, named on the command line, announced by mDNS, or typed by somebody."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from logger.errors import GatewayUnreachableError
from logger.gateway import discovery, words
from logger.gateway.http import Address
from logger.gateway.probe import Found, probe
from logger.readings import GatewayInfo
from logger.settings import GatewaySettings
from logger.setup.person import Person, Wishes, until_right


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A gateway that answers, and how its address is written in the configuration."""

    host: str
    found: Found
    info: GatewayInfo

    @classmethod
    def at(cls, host: str) -> "Place":
        """Return the gateway at a host.

        Raises:
            GatewayUnreachableError: there is none; says what is there instead.
            SettingsError: it is no address.
        """
        found = probe(host)
        if found.info is None:
            raise GatewayUnreachableError(found.sentence)
        return cls(host=host.strip(), found=found, info=found.info)


class Finder:
    """Finds the gateways that are to be set up."""

    def __init__(self, person: Person, wishes: Wishes, environ: Mapping[str, str]) -> None:
        self.person, self.wishes, self._environ = person, wishes, environ

    def places(self, configured: Sequence[GatewaySettings]) -> Iterator[Place]:
        """Yield each gateway that is to be set up, the configured ones first.

        Raises:
            GatewayUnreachableError: there is none, and nobody is asked.
        """
        if self.wishes.hosts:
            for host in self.wishes.hosts:
                yield self._told(self._at(host), configured)
            return
        announced = self._announced()
        yield from self.known_places(configured, announced)
        new = list(self._new(configured, announced))
        is_one = len(new) == 1 and not configured
        for place in new:
            self._told(place, configured)
            if is_one or self.person.confirm("Log it?"):
                yield place
        if not configured and not new:
            self.person.say(
                "None announced itself. Your router's list of devices has its address; it is called envoy there, or by "
                "its serial number."
            )
            yield self._told(self._asked(), configured)

    def _told(self, place: Place, configured: Iterable[GatewaySettings]) -> Place:
        """Say what is found, unless it is known."""
        if existing(configured, place) is None:
            self.person.say()
            self.person.say(f"Found: {words.kind(place.info)}, at {place.host}.")
        return place

    def known_places(
        self, configured: Iterable[GatewaySettings], announced: Sequence[discovery.Found] = ()
    ) -> Iterator[Place]:
        """Yield where gateways of the configuration answer."""
        for gateway in configured:
            if (place := self._configured(gateway, announced)) is not None:
                yield place

    def _announced(self) -> list[discovery.Found]:
        """Return the gateways that announce themselves."""
        self.person.say(f"Looking for gateways on this network ({self.wishes.timeout_s:g} s) …")
        try:
            return discovery.discover(self.wishes.timeout_s, discovery.interfaces_of(self._environ))
        except GatewayUnreachableError as error:
            self.person.say(str(error))
            return []

    def _new(self, configured: Iterable[GatewaySettings], announced: Iterable[discovery.Found]) -> Iterator[Place]:
        """Yield the announced gateways that are not configured yet."""
        serials = {gateway.serial for gateway in configured}
        for each in announced:
            place = None if each.serial in serials else self._first(each)
            if place is not None and existing(configured, place) is None:
                yield place

    def _first(self, announced: discovery.Found) -> Place | None:
        """Return where an announced gateway answers, of its addresses the best one."""
        for host in map(discovery.as_host, announced.addresses):
            found = probe(host)
            if found.info is not None and found.info.serial == announced.serial:
                return Place(host=host, found=found, info=found.info)
        return None

    def _asked(self) -> Place:
        """Return the gateway at an address that somebody types."""
        return until_right(self.person, lambda: Place.at(self.person.ask("Address of the gateway", "--host HOST")))

    def _at(self, host: str) -> Place:
        """Return the gateway at a host of the command line; a person may correct it."""
        try:
            return Place.at(host)
        except GatewayUnreachableError as error:
            if not self.person.is_there:
                raise
            self.person.say(str(error))
            return self._asked()

    def _configured(self, gateway: GatewaySettings, announced: Iterable[discovery.Found]) -> Place | None:
        """Return where a gateway of the configuration answers: at its host, or where it announces itself."""
        found = probe(gateway.host)
        if found.info is not None and gateway.serial in {None, found.info.serial}:
            return Place(host=gateway.host, found=found, info=found.info)
        moved = next((self._first(each) for each in announced if each.serial == gateway.serial), None)
        if moved is not None:
            self.person.say(f"{gateway.name} is not at {gateway.host} any more, but at {moved.host}.")
            if self.person.confirm(f'Write host = "{moved.host}"?'):
                return moved
        wrong = found.sentence
        if found.info is not None:
            wrong = f"{found.info.serial} answers at {gateway.host}, not {gateway.serial}."
        self.person.say(f"{gateway.name}: {wrong} It stays configured as it is.")
        return None


def existing(configured: Iterable[GatewaySettings], place: Place) -> GatewaySettings | None:
    """Return the configured gateway that a place is of, by its serial or else by its address."""
    gateways = list(configured)
    by_serial = (gateway for gateway in gateways if gateway.serial == place.info.serial)
    by_host = (gateway for gateway in gateways if gateway.serial is None and _same(gateway.host, place.host))
    return next(by_serial, None) or next(by_host, None)


def _same(one: str, other: str) -> bool:
    """Return whether two hosts are one, with a scheme and its port or without."""
    first, second = map(Address.parse, (one, other))
    return first.host == second.host and (first.port or 443) == (second.port or 443)
