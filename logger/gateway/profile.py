"""What a gateway is: the source that each of its streams keeps, and what has to be asked for it.

Detection is a pure function of documents. It runs at the start, when firmware or meters change, and daily; between
these a stream keeps its source, whatever a single poll gives.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from logger.errors import GatewayError, GatewayUnreachableError, MalformedDocumentError
from logger.gateway import equipment as batteries
from logger.gateway.equipment import Equipment, equipment_of
from logger.gateway.parse import instant_s, integer, items, table, text
from logger.gateway.quirks import STALLS_V1_FROM, Firmware, firmware_of, is_old
from logger.gateway.sources.batteries import encharges
from logger.gateway.sources.inverters import needs_plain_list
from logger.gateway.sources.meters import NET, TOTAL, is_enabled, slots
from logger.gateway.sources.production import consumption_item, is_active, is_zero, production_item
from logger.readings import GatewayInfo, Measurement, Meter

#: path -> what it answered: JSON, text for HTML pages, or the GatewayError why it did not
Documents = Mapping[str, Any | GatewayError]

INFO = "/info"
HOME = "/home"
METERS = "/ivp/meters"
READINGS = "/ivp/meters/readings"
PRODUCTION_JSON = "/production.json?details=1"
PRODUCTION = "/production"
V1 = "/api/v1/production"
V1_INVERTERS = "/api/v1/production/inverters"
DEVICE_DATA = "/ivp/pdm/device_data"
#: What decides the sources of the streams, in the order in which it is asked.
DECIDING = (READINGS, PRODUCTION_JSON, PRODUCTION, V1)
#: characters of /info that are looked at: packages make some ten thousand
LARGEST_INFO = 200_000
#: From this firmware on the gateway has device_data.
DETAILED_FROM: Firmware = (8,)


class ProductionFrom(StrEnum):
    """Where production comes from; the first that fits wins."""

    CT = "production CT"  #: /ivp/meters/readings
    EIM = "production.json eim"
    EIM_PLAIN = "/production eim"
    V1 = "/api/v1/production"
    INVERTERS = "production.json inverters"
    HTML = "HTML page"
    SUM = "sum of inverters"


class ConsumptionFrom(StrEnum):
    """Where consumption comes from."""

    NET_CT = "net-consumption CT"
    TOTAL_CT = "total-consumption CT"
    EIM = "production.json consumption items"


#: From this firmware on a gateway may call its own production meter inactive in any poll (rule P1a).
INACTIVE_FROM: Firmware = (8,)
_ENDPOINTS = {
    # A CT's own page does not show whether the gateway calls it inactive.
    ProductionFrom.CT: PRODUCTION_JSON,
    ProductionFrom.EIM: PRODUCTION_JSON,
    ProductionFrom.EIM_PLAIN: PRODUCTION,
    ProductionFrom.V1: V1,
    ProductionFrom.INVERTERS: PRODUCTION_JSON,
    ProductionFrom.HTML: PRODUCTION,
}
_CONSUMPTION_CTS = (NET, TOTAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One gateway's sources, pinned until the next detection."""

    info: GatewayInfo
    firmware: Firmware
    production: ProductionFrom
    consumption: ConsumptionFrom | None
    meters: dict[int, Meter]  #: enabled ones by eid
    is_provisional: bool  #: a document came wrong: the gateway may be unwell, ask again soon
    equipment: Equipment = field(default_factory=Equipment)

    @property
    def eim_endpoint(self) -> str:
        """Where the items of type eim are read."""
        return PRODUCTION if self.production is ProductionFrom.EIM_PLAIN else PRODUCTION_JSON

    @property
    def phases(self) -> int:
        """How many lines count; without CT information every one does."""
        return self.info.phase_count or 3

    @property
    def dispensable(self) -> frozenset[str]:
        """The endpoints that this gateway's streams can do without for a day."""
        needs_eim = self.consumption is ConsumptionFrom.EIM or self.equipment.has_acb
        pages = batteries.PAGES | {DEVICE_DATA, V1_INVERTERS}
        return pages | {PRODUCTION_JSON} if self.production is ProductionFrom.CT and not needs_eim else pages

    @property
    def has_uncounted_battery(self) -> bool:
        """Whether there are batteries, and no CT that counts what they give and take."""
        counted = any(meter.measurement == Measurement.STORAGE for meter in self.meters.values())
        return self.equipment.has_batteries and not counted


def known(documents: Documents, path: str) -> Any:
    """Return what an endpoint answered, or None where it did not or was not asked."""
    document = documents.get(path)
    return None if isinstance(document, GatewayError) else document


def next_endpoint(
    profile: Profile, documents: Documents, *, with_inverters: bool, due: Sequence[str] = ()
) -> str | None:
    """Return what a poll has to ask for next, meters first: they matter most; None at its end.

    What batteries give and take comes right after, to be of the same second. ``due`` are pages that are asked for now
    and then: last. Where a CT counts production, production.json only shows whether the gateway calls it inactive: on
    firmware that was never seen to do so it is asked with the inverters.
    """
    wanted = [READINGS] if profile.meters else []
    wanted += profile.equipment.pages()
    if with_inverters or profile.production is ProductionFrom.SUM:
        wanted.append(DEVICE_DATA if profile.firmware >= DETAILED_FROM else V1_INVERTERS)
        if DEVICE_DATA in documents and needs_plain_list(known(documents, DEVICE_DATA)):
            wanted.append(V1_INVERTERS)
    is_needed = profile.production is not ProductionFrom.CT or profile.firmware >= INACTIVE_FROM
    if profile.production in _ENDPOINTS and (is_needed or with_inverters):
        wanted.append(_ENDPOINTS[profile.production])
    if profile.consumption is ConsumptionFrom.EIM:
        wanted.append(profile.eim_endpoint)
    if profile.equipment.has_acb:
        wanted.append(PRODUCTION_JSON)
    wanted += due
    return next((path for path in wanted if path not in documents), None)


def next_deciding_endpoint(info: GatewayInfo, documents: Documents) -> str | None:
    """Return what has to be asked for next to know the profile; None when it is clear."""
    useless = set(documents)
    if not any(map(is_enabled, info.meters)):
        useless.add(READINGS)
    if known(documents, PRODUCTION_JSON) is not None:
        useless.add(PRODUCTION)
    profile = detect(info, documents, keep_v1=False)
    enabled = {meter.measurement for meter in profile.meters.values()}
    # What a CT measures needs no other source.
    is_clear = profile.production in {ProductionFrom.EIM, ProductionFrom.EIM_PLAIN} or (
        profile.production is ProductionFrom.CT
        and (profile.consumption is not None or enabled.isdisjoint(_CONSUMPTION_CTS))
    )
    deciding = next((path for path in DECIDING if not is_clear and path not in useless), None)
    return deciding or next((path for path in _of_batteries(info, documents) if path not in documents), None)


def _of_batteries(info: GatewayInfo, documents: Documents) -> list[str]:
    """Return what shows which batteries and system devices there are, from firmware 5 on."""
    if firmware_of(info.firmware) < batteries.BATTERIES_FROM:
        return []
    inventory = documents.get(batteries.INVENTORY)
    if batteries.INVENTORY in documents and batteries.is_odd(inventory):
        return [batteries.INVENTORY, batteries.POWER]
    generator = [batteries.GENERATOR, batteries.GENERATOR_SETTINGS] if encharges(inventory) else []
    return [batteries.INVENTORY, *generator]


def parse_info(body: str) -> GatewayInfo:
    """Return who answers /info (XML, always open); MalformedDocumentError: no gateway."""
    if "<!ENTITY" in body or len(body) > LARGEST_INFO:
        raise MalformedDocumentError("the /info page is larger than any gateway's, or declares entities.")
    try:
        root = ET.fromstring(body.strip())  # noqa: S314 - entities were refused just above
    except (ET.ParseError, ValueError) as error:
        raise MalformedDocumentError("the answer is not a gateway's /info page.") from error
    tags = ("device/sn", "device/pn", "device/software", "device/imeter", "web-tokens", "time")
    texts = {tag: text(root.findtext(tag)) or "" for tag in tags}
    if not texts["device/sn"]:
        raise MalformedDocumentError("the /info page names no serial number.")
    software = texts["device/software"]
    return GatewayInfo(
        serial=texts["device/sn"],
        part_number=texts["device/pn"] or None,
        firmware=software[1:] if software[:1].isalpha() else software,
        is_metered={"true": True, "false": False}.get(texts["device/imeter"].lower()),
        has_web_tokens=texts["web-tokens"].lower() == "true" or firmware_of(software) >= (7,),
        gateway_time_s=instant_s(texts["time"]),
    )


def with_meters(info: GatewayInfo, document: Any) -> GatewayInfo:
    """Add the CT slots of /ivp/meters, and the phases in use, to what /info has."""
    meters = slots(document)
    modes = (meter.phase_mode for meter in meters if is_enabled(meter) and meter.phase_mode)
    counts = (meter.phase_count for meter in meters if is_enabled(meter) and meter.phase_count)
    return replace(info, phase_mode=next(modes, None), phase_count=max(counts, default=None), meters=meters)


def detect(info: GatewayInfo, documents: Documents, *, keep_v1: bool) -> Profile:
    """Return what a gateway is, by the documents that are known so far.

    ``keep_v1``: the stream came from /api/v1/production under this same firmware, so that its zeros after a restart are
    no reason to leave it.
    """
    firmware = firmware_of(info.firmware)
    meters = {meter.eid: meter for meter in info.meters if is_enabled(meter)}
    readable = {integer(item.get("eid")) for item in items(known(documents, READINGS))}
    measured = {meter.measurement for eid, meter in meters.items() if eid in readable}
    return Profile(
        info=info,
        firmware=firmware,
        production=_production(info, measured, documents, keep_v1=keep_v1),
        consumption=_consumption(meters, measured, documents),
        meters=meters,
        is_provisional=not is_old(info.firmware)
        and any(isinstance(found, (MalformedDocumentError, GatewayUnreachableError)) for found in documents.values()),
        equipment=equipment_of(documents, known(documents, PRODUCTION_JSON)),
    )


def _production(info: GatewayInfo, measured: set[str], documents: Documents, *, keep_v1: bool) -> ProductionFrom:
    page, plain, v1 = known(documents, PRODUCTION_JSON), known(documents, PRODUCTION), table(known(documents, V1))
    stalls = info.is_metered is True and firmware_of(info.firmware) >= STALLS_V1_FROM
    fits = {
        ProductionFrom.CT: Measurement.PRODUCTION in measured,
        ProductionFrom.EIM: is_active(production_item(page, "eim")),
        ProductionFrom.EIM_PLAIN: page is None and is_active(production_item(plain, "eim")),
        ProductionFrom.V1: v1 and not stalls and (keep_v1 or not is_zero(v1)),
        ProductionFrom.INVERTERS: is_active(production_item(page, "inverters")),
        ProductionFrom.HTML: not v1 and isinstance(plain, str),
    }
    last = ProductionFrom.V1 if v1 and not stalls else ProductionFrom.SUM
    return next((source for source in ProductionFrom if fits.get(source)), last)


def _consumption(meters: Mapping[int, Meter], measured: set[str], documents: Documents) -> ConsumptionFrom | None:
    if TOTAL in measured:
        return ConsumptionFrom.TOTAL_CT
    if NET in measured:
        return ConsumptionFrom.NET_CT
    enabled = {meter.measurement for meter in meters.values()}
    if meters and enabled.isdisjoint(_CONSUMPTION_CTS):
        return None  # The gateway fills the items even where no CT feeds them.
    page = known(documents, PRODUCTION_JSON)
    found = (consumption_item(page, measurement) for measurement in _CONSUMPTION_CTS)
    return ConsumptionFrom.EIM if any(map(is_active, found)) else None
