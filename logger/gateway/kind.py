"""What a gateway is, and which source each of its streams keeps.

Detection is a pure function of documents. It runs at the start, when firmware or meters change,
and daily; between these a stream keeps its source, whatever a single poll says.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from logger.errors import MalformedDocumentError
from logger.gateway.parse import integer, items, number, table, text
from logger.gateway.quirks import STALLS_V1_FROM, Firmware, firmware_of
from logger.readings import GatewayInfo, Measurement, Meter

INFO = "/info"
HOME = "/home"
METERS = "/ivp/meters"
READINGS = "/ivp/meters/readings"
PRODUCTION_JSON = "/production.json?details=1"
PRODUCTION = "/production"
V1 = "/api/v1/production"
V1_INVERTERS = "/api/v1/production/inverters"
DEVICE_DATA = "/ivp/pdm/device_data"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One gateway's sources, pinned until the next detection."""

    info: GatewayInfo
    firmware: Firmware
    production: ProductionFrom
    consumption: ConsumptionFrom | None
    meters: dict[int, Meter]  #: enabled ones by eid


def parse_info(body: str) -> GatewayInfo:
    """Return who answers /info (XML, always open).

    Raises:
        MalformedDocumentError: not the XML of a gateway.
    """
    if "<!ENTITY" in body:
        raise MalformedDocumentError("the /info page declares entities, which no gateway does.")
    try:
        root = ET.fromstring(body.strip())  # noqa: S314 - entities were refused just above
    except (ET.ParseError, ValueError) as error:
        raise MalformedDocumentError("the answer is not a gateway's /info page.") from error
    serial = (root.findtext("device/sn") or "").strip()
    software = (root.findtext("device/software") or "").strip()
    if not serial:
        raise MalformedDocumentError("the /info page names no serial number.")
    metered = (root.findtext("device/imeter") or "").strip().lower()
    bare = software[1:] if software[:1].isalpha() else software
    tokens = (root.findtext("web-tokens") or "").strip().lower() == "true"
    return GatewayInfo(
        serial=serial,
        part_number=(root.findtext("device/pn") or "").strip() or None,
        firmware=bare,
        is_metered={"true": True, "false": False}.get(metered),
        has_web_tokens=tokens or firmware_of(software) >= (7,),
        gateway_time_s=integer((root.findtext("time") or "").strip()),
    )


def parse_meters(document: Any) -> tuple[Meter, ...]:
    """Return the CT slots of /ivp/meters, joined on eid; a broken slot is left out."""
    found: dict[int, Meter] = {}
    for item in items(document):
        eid, measurement = integer(item.get("eid")), text(item.get("measurementType"))
        if eid is None or measurement is None:
            continue
        flags = item.get("statusFlags")
        found[eid] = Meter(
            measurement=measurement,
            eid=eid,
            state=text(item.get("state")) or "disabled",
            metering_status=text(item.get("meteringStatus")),
            status_flags=",".join(map(str, flags)) if isinstance(flags, list) else None,
            phase_mode=text(item.get("phaseMode")),
            phase_count=integer(item.get("phaseCount")),
        )
    return tuple(found.values())


def is_enabled(meter: Meter) -> bool:
    """Return whether a CT's numbers are real: only its state says so."""
    return meter.state == "enabled"


def detect(info: GatewayInfo, documents: dict[str, Any], *, keep_v1: bool) -> Kind:
    """Return the kind of gateway.

    ``documents`` maps a path to its JSON (or text, for the HTML page); a path that this gateway
    does not have, or refuses, is missing. ``keep_v1``: the stream came from /api/v1/production
    under this same firmware, so that its zeros after a restart are no reason to leave it.
    """
    firmware = firmware_of(info.firmware)
    meters = {meter.eid: meter for meter in info.meters if is_enabled(meter)}
    readable = {integer(one.get("eid")) for one in items(documents.get(READINGS))}
    measured = {meter.measurement for eid, meter in meters.items() if eid in readable}
    return Kind(
        info=info,
        firmware=firmware,
        production=_production(info, firmware, measured, documents, keep_v1=keep_v1),
        consumption=_consumption(meters, measured, documents),
        meters=meters,
    )


def is_decided(kind: Kind) -> bool:
    """Return whether no further page could change this kind: meters beat everything."""
    if kind.production in {ProductionFrom.EIM, ProductionFrom.EIM_PLAIN}:
        return True
    enabled = {meter.measurement for meter in kind.meters.values()}
    measures_house = bool(enabled & {Measurement.TOTAL_CONSUMPTION, Measurement.NET_CONSUMPTION})
    return kind.production is ProductionFrom.CT and (
        kind.consumption is not None or not measures_house
    )


def _production(
    info: GatewayInfo,
    firmware: Firmware,
    measured: set[str],
    documents: dict[str, Any],
    *,
    keep_v1: bool,
) -> ProductionFrom:
    page = documents.get(PRODUCTION_JSON)
    if Measurement.PRODUCTION in measured:
        return ProductionFrom.CT
    if is_active(production_item(page, "eim")):
        return ProductionFrom.EIM
    if page is None and is_active(production_item(documents.get(PRODUCTION), "eim")):
        return ProductionFrom.EIM_PLAIN
    v1 = table(documents.get(V1))
    stalls = info.is_metered is True and firmware >= STALLS_V1_FROM
    if v1 and not stalls and (keep_v1 or not is_zero(v1)):
        return ProductionFrom.V1
    if is_active(production_item(page, "inverters")):
        return ProductionFrom.INVERTERS
    html = documents.get(PRODUCTION)
    if not v1 and isinstance(html, str):
        return ProductionFrom.HTML
    return ProductionFrom.V1 if v1 and not stalls else ProductionFrom.SUM


def _consumption(
    meters: dict[int, Meter], measured: set[str], documents: dict[str, Any]
) -> ConsumptionFrom | None:
    if Measurement.TOTAL_CONSUMPTION in measured:
        return ConsumptionFrom.TOTAL_CT
    if Measurement.NET_CONSUMPTION in measured:
        return ConsumptionFrom.NET_CT
    enabled = {meter.measurement for meter in meters.values()}
    consumption_cts = {Measurement.TOTAL_CONSUMPTION, Measurement.NET_CONSUMPTION}
    if meters and not enabled & consumption_cts:
        return None  # The gateway fills the items even where no CT feeds them.
    page = documents.get(PRODUCTION_JSON)
    found = (consumption_item(page, m) for m in sorted(consumption_cts))
    return ConsumptionFrom.EIM if any(map(is_active, found)) else None


def production_item(page: Any, kind: str) -> dict[str, Any]:
    """Return the production item of a type (inverters | eim) of production.json, or {}."""
    for item in items(table(page).get("production")):
        wanted = text(item.get("measurementType")) in {None, Measurement.PRODUCTION}
        if item.get("type") == kind and (kind != "eim" or wanted):
            return item
    return {}


def consumption_item(page: Any, measurement: str) -> dict[str, Any]:
    """Return the consumption item of a measurement by name, or {}.

    A single item without a name is the total (an early firmware names nothing).
    """
    found = [one for one in items(table(page).get("consumption")) if one.get("type") == "eim"]
    for item in found:
        if text(item.get("measurementType")) == measurement:
            return item
    unnamed = len(found) == 1 and "measurementType" not in found[0]
    return found[0] if unnamed and measurement == Measurement.TOTAL_CONSUMPTION else {}


def is_active(item: dict[str, Any]) -> bool:
    """Return whether an item's numbers are real: only activeCount says so."""
    return (number(item.get("activeCount")) or 0) > 0


def is_zero(v1: dict[str, Any]) -> bool:
    """Return whether /api/v1/production says nothing: all three energies 0 (or absent)."""
    keys = ("wattHoursToday", "wattHoursSevenDays", "wattHoursLifetime")
    return not any(number(v1.get(key)) for key in keys)
