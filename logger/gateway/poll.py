"""One poll without input and output: documents in, readings out.

An endpoint that failed costs what depends on it; the others still deliver. What is read from which document is what
``profile`` has pinned.
"""

from dataclasses import dataclass, field
from typing import Any

from logger.errors import GatewayError, MalformedDocumentError, NotAskedError
from logger.gateway import anomalies
from logger.gateway import profile as profiles
from logger.gateway.anomalies import Anomaly
from logger.gateway.profile import ConsumptionFrom, Documents, ProductionFrom, Profile, known
from logger.gateway.sources import inverters, meters, production
from logger.readings import ConsumptionSample, InverterSample, MeterReading, ProductionSample, Source, SourceFailure


@dataclass(slots=True)
class Parts:
    """What the documents of one poll give: readings, failures, anomalies."""

    profile: Profile
    documents: Documents
    at_s: int
    frozen: frozenset[int]
    production: list[ProductionSample] = field(default_factory=list)
    consumption: list[ConsumptionSample] = field(default_factory=list)
    meter_readings: list[MeterReading] = field(default_factory=list)
    inverters: list[InverterSample] = field(default_factory=list)
    failures: list[SourceFailure] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)

    def answer(self, path: str) -> Any:
        """Return a document, or raise the error in its place."""
        document = self.documents[path]
        if isinstance(document, GatewayError):
            raise document
        return document

    def is_left_alone(self, path: str) -> bool:
        """Whether a document was not asked for: known for a while, and recorded then."""
        return isinstance(self.documents.get(path), NotAskedError)


def read(
    profile: Profile, documents: Documents, at_s: int, frozen: frozenset[int] = frozenset(), *, with_inverters: bool
) -> Parts:
    """Return what the documents that ``next_endpoint`` asked for give at ``at_s`` (epoch seconds).

    ``frozen`` names the meters (eid) whose own reading time stands still. Where a document failed, its stream fails.
    """
    parts = Parts(profile, documents, at_s, frozen)
    # Production is read from meters or inverters, consumption also from production.
    streams = {"meters": _meters} if profile.meters else {}
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
            if not parts.is_left_alone(profiles.PRODUCTION_JSON):
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


def _consumption(parts: Parts) -> None:
    match parts.profile.consumption:
        case ConsumptionFrom.NET_CT:
            parts.consumption = meters.consumption_by_net(parts.meter_readings, parts.production)
        case ConsumptionFrom.TOTAL_CT:
            parts.consumption = meters.consumption_by_total(parts.meter_readings, parts.production)
        case ConsumptionFrom.EIM:
            page = parts.answer(parts.profile.eim_endpoint)
            parts.consumption = production.consumption_from_eim(
                page, parts.production, parts.profile.firmware, parts.profile.phases, parts.at_s
            )
