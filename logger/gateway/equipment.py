"""Which batteries and system devices a site has, and which pages are asked for them, how often.

A site without batteries is asked for none of them: what it has is found out at detection, from firmware 5 on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logger.errors import GatewayError, GatewayUnreachableError, MalformedDocumentError
from logger.gateway.parse import integer
from logger.gateway.quirks import Firmware
from logger.gateway.sources.acb import acb_item
from logger.gateway.sources.batteries import devices, encharges, serials

#: From this firmware on there may be IQ Batteries.
BATTERIES_FROM: Firmware = (5,)

INVENTORY = "/ivp/ensemble/inventory"
POWER = "/ivp/ensemble/power"
SECCTRL = "/ivp/ensemble/secctrl"
STATUS = "/ivp/ensemble/status"
RELAY = "/ivp/ensemble/relay"
CONTACTS = "/ivp/ensemble/dry_contacts"
CONTACT_SETTINGS = "/ivp/ss/dry_contact_settings"
GENERATOR = "/ivp/ensemble/generator"
GENERATOR_SETTINGS = "/ivp/ss/gen_config"
TARIFF = "/admin/lib/tariff"
ACB_INVENTORY = "/inventory.json?deleted=1"
LIVEDATA = "/ivp/livedata/status"

DAY_S = 86_400
#: pages that are not asked for with each poll -> every so many seconds
EVERY_S: Mapping[str, int] = {
    INVENTORY: 300,
    RELAY: 300,
    CONTACTS: 300,
    ACB_INVENTORY: 900,
    STATUS: DAY_S,
    CONTACT_SETTINGS: DAY_S,
    TARIFF: DAY_S,
}
#: Without which there is nothing to integrate: what worked before is asked for again with the next poll.
WITH_EACH_POLL = frozenset({POWER, SECCTRL, GENERATOR, LIVEDATA})
PAGES = WITH_EACH_POLL | EVERY_S.keys() | {GENERATOR_SETTINGS}
#: The list of AC Batteries takes about 20 s: it is asked for where a poll has this much time.
SLOW_PAGE_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a site has besides inverters and meters."""

    has_encharge: bool = False  #: IQ Batteries
    has_acb: bool = False  #: AC Batteries
    has_enpower: bool = False  #: a system controller
    has_collar: bool = False
    has_generator: bool = False  #: that may run: present is 1
    is_unknown: bool = False  #: the list of batteries did not come, though there may be one: ask again soon

    @property
    def has_batteries(self) -> bool:
        """Whether there are batteries of any kind."""
        return self.has_encharge or self.has_acb

    def pages(self) -> list[str]:
        """Return what each poll asks for, the power first: it belongs to the readings of the meters."""
        wanted = [POWER, SECCTRL] if self.has_encharge else []
        return wanted + ([GENERATOR] if self.has_generator else [])

    def slow_pages(self) -> list[str]:
        """Return what is asked for now and then."""
        wanted = []
        if self.has_encharge:
            wanted += [INVENTORY, STATUS]
            wanted += [CONTACTS, CONTACT_SETTINGS] if self.has_enpower else []
            wanted += [] if self.has_enpower or self.has_collar else [RELAY]
        elif self.is_unknown:
            return [INVENTORY]
        if self.has_acb:
            wanted.append(ACB_INVENTORY)
        return [*wanted, TARIFF] if wanted else []


def equipment_of(documents: Mapping[str, Any], production_page: Any) -> Equipment:
    """Return what the documents of a detection tell (rules R1, R14)."""
    inventory, generator = documents.get(INVENTORY), documents.get(GENERATOR)
    present = integer(generator.get("present")) if isinstance(generator, dict) else None
    has_encharge = bool(encharges(inventory)) or bool(serials(documents.get(POWER)))
    return Equipment(
        has_encharge=has_encharge,
        has_acb=bool(acb_count(production_page)),
        has_enpower=bool(devices(inventory, "ENPOWER")),
        has_collar=bool(devices(inventory, "COLLAR")),
        has_generator=present == 1,
        is_unknown=INVENTORY in documents and is_odd(inventory) and not has_encharge,
    )


def is_odd(inventory: Any) -> bool:
    """Return whether a list of batteries did not come, or is none, though the gateway may have it."""
    is_late = isinstance(inventory, (GatewayUnreachableError, MalformedDocumentError))
    return is_late or not isinstance(inventory, (list, GatewayError))


def acb_count(production_page: Any) -> int | None:
    """Return how many AC Batteries production.json counts; None where it does not say."""
    return integer(acb_item(production_page).get("activeCount"))
