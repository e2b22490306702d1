"""One poll without input and output: documents in, readings out.

An endpoint that failed costs what depends on it; the others still deliver. What is read from which document is what
``profile`` has pinned.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from logger.errors import (
    EndpointMissingError,
    EndpointRefusedError,
    GatewayError,
    MalformedDocumentError,
    NotAskedError,
)
from logger.gateway import anomalies, clamps, equipment
from logger.gateway import profile as profiles
from logger.gateway.anomalies import Anomaly
from logger.gateway.profile import ConsumptionFrom, Documents, ProductionFrom, Profile, known
from logger.gateway.sources import acb, batteries, inverters, meters, production, system
from logger.gateway.sources.batteries import Remembered
from logger.gateway.sources.system import States
from logger.readings import (
    Battery,
    BatteryKind,
    BatterySample,
    ConsumptionSample,
    InverterSample,
    Measurement,
    MeterReading,
    ProductionSample,
    Source,
    SourceFailure,
    StorageSample,
)

#: Where a page of batteries is not to be had, that is no error of a poll.
NOT_TO_BE_HAD = (EndpointMissingError, EndpointRefusedError, NotAskedError)
#: in the place of a page that was not known to be worth asking for when this poll began
NOT_YET = NotAskedError("asked for from the next poll on.")
#: pages that tell states alone -> what reads them
STATES = {
    equipment.RELAY: system.of_relay,
    equipment.CONTACTS: system.of_contacts,
    equipment.CONTACT_SETTINGS: system.of_contact_settings,
    equipment.SECCTRL: system.of_secctrl,
    equipment.TARIFF: system.of_tariff,
}


@dataclass(slots=True)
class Parts:
    """What the documents of one poll give: readings, failures, anomalies."""

    profile: Profile
    documents: Documents
    at_s: int
    frozen: frozenset[int]
    remembered: Remembered
    production: list[ProductionSample] = field(default_factory=list)
    consumption: list[ConsumptionSample] = field(default_factory=list)
    meter_readings: list[MeterReading] = field(default_factory=list)
    inverters: list[InverterSample] = field(default_factory=list)
    batteries: list[BatterySample] = field(default_factory=list)
    storage: list[StorageSample] = field(default_factory=list)
    battery_devices: list[Battery] = field(default_factory=list)
    states: States = field(default_factory=dict)  #: of what its pages say, changed or not
    heard: dict[str, str | None] = field(default_factory=dict)  #: battery, or acb -> why it is silent, or None
    failures: list[SourceFailure] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)

    def answer(self, path: str) -> Any:
        """Return a document, or raise the error in its place."""
        document = self.documents.get(path, NOT_YET) if path in equipment.PAGES else self.documents[path]
        if isinstance(document, GatewayError):
            raise document
        return document

    def is_left_alone(self, path: str) -> bool:
        """Whether a document was not asked for: known for a while, and recorded then."""
        return isinstance(self.documents.get(path), NotAskedError)


def read(
    profile: Profile,
    documents: Documents,
    at_s: int,
    frozen: frozenset[int] = frozenset(),
    *,
    with_inverters: bool,
    remembered: Remembered = Remembered(),  # noqa: B008 - frozen, and nothing in it
) -> Parts:
    """Return what the documents that ``next_endpoint`` asked for give at ``at_s`` (epoch seconds).

    ``frozen`` names the meters (eid) whose own reading time stands still, ``remembered`` has what slow pages of
    batteries said lately. Where a document failed, its stream fails.
    """
    parts = Parts(profile, documents, at_s, frozen, remembered)
    # Production is read from meters or inverters, consumption also from production and batteries.
    streams = {"meters": _meters} if profile.meters else {}
    if profile.equipment.has_batteries:
        streams["batteries"] = _batteries
    if with_inverters or profile.production is ProductionFrom.SUM:
        streams["inverters"] = _inverters
    streams |= {"production": _production, "consumption": _consumption}
    for source, read_stream in streams.items():
        try:
            read_stream(parts)
        except GatewayError as error:
            parts.failures.append(SourceFailure(source=source, error=str(error)))
    if not any(anomaly.kind == "inactive_meter" for anomaly in parts.anomalies):
        parts.anomalies += anomalies.in_values(parts.production, parts.meter_readings, parts.inverters)
    parts.anomalies += anomalies.in_meters(parts.meter_readings)
    parts.anomalies += clamps.in_readings(parts.meter_readings, has_batteries=profile.equipment.has_batteries)
    parts.anomalies += anomalies.in_slots(profile.meters.values())
    parts.anomalies += anomalies.in_production_page(known(documents, profiles.PRODUCTION_JSON))
    lists = (profiles.DEVICE_DATA, profiles.V1_INVERTERS)
    parts.anomalies += anomalies.in_lists(*(known(documents, path) for path in lists))
    return parts


def _meters(parts: Parts) -> None:
    parts.meter_readings = meters.parse(parts.answer(profiles.READINGS), parts.profile.meters, parts.at_s, parts.frozen)
    measured = {reading.measurement for reading in parts.meter_readings}
    for meter in parts.profile.meters.values():
        if meter.measurement not in measured:
            if meter.eid in parts.frozen:
                parts.anomalies.append(Anomaly("frozen_readings", meter.measurement, "its own time stands still"))
            raise MalformedDocumentError(f"no new reading of the {meter.measurement} meter.")


def _inverters(parts: Parts) -> None:
    detail = known(parts.documents, profiles.DEVICE_DATA)
    # The plain list adds the units that the detail leaves out; alone it has to be there.
    plain = known(parts.documents, profiles.V1_INVERTERS)
    if detail is None:
        if parts.is_left_alone(profiles.V1_INVERTERS) and parts.profile.production is not ProductionFrom.SUM:
            return
        plain = parts.answer(profiles.V1_INVERTERS)
    parts.inverters = inverters.parse(detail, plain, parts.at_s)


def _production(parts: Parts) -> None:
    match parts.profile.production:
        case ProductionFrom.CT:
            parts.production = meters.production(parts.meter_readings)
            # The gateway may call its own production meter inactive.
            if profiles.PRODUCTION_JSON in parts.documents and not parts.is_left_alone(profiles.PRODUCTION_JSON):
                _check_active(parts, parts.answer(profiles.PRODUCTION_JSON), Source.CT)
        case ProductionFrom.EIM | ProductionFrom.EIM_PLAIN:
            page = parts.answer(parts.profile.eim_endpoint)
            parts.production = production.from_eim(page, parts.profile.phases, parts.at_s)
            _check_active(parts, page, Source.EIM)
        case ProductionFrom.V1:
            parts.production = production.from_v1(parts.answer(profiles.V1))
        case ProductionFrom.INVERTERS:
            parts.production = production.from_inverters_item(parts.answer(profiles.PRODUCTION_JSON), parts.at_s)
        case ProductionFrom.HTML:
            parts.production = production.from_html(parts.answer(profiles.PRODUCTION))
        case ProductionFrom.SUM:
            parts.production = inverters.production(parts.inverters, parts.at_s)


def _check_active(parts: Parts, page: Any, source: Source) -> None:
    """Make production unknown where its meter is inactive: a fallback would break the register."""
    item = production.production_item(page, "eim")
    if not item or production.is_active(item):
        return
    parts.production = production.unknown(source, len(parts.production) - 1)
    if source is Source.CT:
        parts.meter_readings = [ct for ct in parts.meter_readings if ct.measurement != meters.PRODUCTION]
    detail = "the gateway calls its production meter inactive"
    parts.anomalies.append(Anomaly("inactive_meter", "production", detail))
    raise MalformedDocumentError(f"{detail}.")


def _batteries(parts: Parts) -> None:
    """Read what batteries report; a page that this gateway has not, or not for us, is no failure."""
    _slow_pages(parts)
    failure: GatewayError | None = None
    if parts.profile.equipment.has_encharge:
        reported = None
        try:
            reported = batteries.powers(parts.answer(equipment.POWER))
        except GatewayError as error:
            failure = None if isinstance(error, NOT_TO_BE_HAD) else error
        found = batteries.encharge(reported, parts.remembered, parts.at_s)
        parts.batteries += found.samples
        parts.heard |= found.heard
        for serial, values in found.unusable.items():
            detail = f"{values}: no value that can be"
            parts.anomalies.append(Anomaly("unusable_values", f"battery {serial}", detail))
        secctrl = parts.documents.get(equipment.SECCTRL)
        if isinstance(secctrl, GatewayError) and not isinstance(secctrl, NOT_TO_BE_HAD):
            failure = failure or secctrl
        summed = batteries.encharge_storage(found.samples, known(parts.documents, equipment.SECCTRL))
        parts.storage += [summed] if summed is not None else []
    if parts.profile.equipment.has_acb:
        page = known(parts.documents, profiles.PRODUCTION_JSON)
        together, why = acb.acb_storage(page, parts.at_s, parts.remembered.ahead_s)
        parts.storage += [together] if together is not None else []
        if page is not None:
            parts.heard["acb"] = why
    _add_live_power(parts)
    if failure is not None:
        raise failure


def _slow_pages(parts: Parts) -> None:
    """Read the pages that are asked for now and then: lists of batteries, and states."""
    page = {path: found for path, found in parts.documents.items() if not isinstance(found, GatewayError)}
    if (inventory := page.get(equipment.INVENTORY)) is not None:
        parts.battery_devices += batteries.listed_batteries(inventory, parts.remembered.rated_w)
        parts.states |= system.of_inventory(inventory)
    if (acb_inventory := page.get(equipment.ACB_INVENTORY)) is not None:
        parts.battery_devices += acb.listed_acbs(acb_inventory)
        parts.batteries += acb.each_acb(acb_inventory, parts.at_s)
    for path, states_of in STATES.items():
        if path in page:
            parts.states |= states_of(page[path])
    if equipment.GENERATOR in page:
        has_generator = bool(page.get(equipment.GENERATOR_SETTINGS)) or "generator" in parts.remembered.states
        parts.states |= system.of_generator(page[equipment.GENERATOR], was_there=has_generator)


def _add_live_power(parts: Parts) -> None:
    """Take the power of the IQ Batteries together from what streams, where they do not say each their own.

    It holds AC Batteries too: where there are any it says nothing of either.
    """
    live_w = batteries.live_power_w(known(parts.documents, equipment.LIVEDATA), parts.at_s, parts.remembered.ahead_s)
    if live_w is None or parts.profile.equipment.has_acb:
        return
    parts.storage = [
        replace(sample, power_w=live_w, source=Source.LIVEDATA) if sample.power_w is None else sample
        for sample in parts.storage
    ]


def _battery_power_w(storage: Iterable[StorageSample]) -> float | None:
    """Return the power of all batteries of a site without a storage CT; None where it is not known.

    AC Batteries that have not reported for long count for nothing beside IQ Batteries that do.
    """
    powers_w = {sample.kind: sample.power_w for sample in storage}
    acb_w = powers_w.get(BatteryKind.ACB)
    if BatteryKind.ENCHARGE not in powers_w:
        return acb_w
    return meters.plus(powers_w[BatteryKind.ENCHARGE], acb_w or 0.0)


def _consumption(parts: Parts) -> None:
    match parts.profile.consumption:
        case ConsumptionFrom.NET_CT:
            has_storage_ct = any(meter.measurement == Measurement.STORAGE for meter in parts.profile.meters.values())
            parts.consumption = meters.consumption_by_net(
                parts.meter_readings, parts.production, has_storage_ct=has_storage_ct
            )
        case ConsumptionFrom.TOTAL_CT:
            parts.consumption = meters.consumption_by_total(parts.meter_readings, parts.production)
        case ConsumptionFrom.EIM:
            page = parts.answer(parts.profile.eim_endpoint)
            parts.consumption = production.consumption_from_eim(
                page, parts.production, parts.profile.firmware, parts.profile.phases, parts.at_s
            )
    if parts.profile.has_uncounted_battery:
        battery_w = _battery_power_w(parts.storage)
        parts.consumption = [meters.with_battery(sample, battery_w) for sample in parts.consumption]
    if system.is_apart({**parts.remembered.states, **parts.states}):
        parts.consumption = [meters.unknown_balance(sample) for sample in parts.consumption]
