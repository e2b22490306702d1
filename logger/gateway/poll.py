"""One poll without input and output: documents in, readings out.

An endpoint that failed costs what depends on it; the others still deliver. What is read from
which document is what ``profile`` has pinned.

Walk: profile -> here -> sources -> client
"""

from dataclasses import dataclass, field
from typing import Any

from logger.errors import GatewayError, MalformedDocumentError, NotAskedError
from logger.gateway import anomalies
from logger.gateway import profile as profiles
from logger.gateway.anomalies import Anomaly
from logger.gateway.profile import ConsumptionFrom, Documents, ProductionFrom, Profile, known
from logger.gateway.sources import inverters, meters, production
from logger.readings import (
    ConsumptionSample,
    InverterSample,
    Measurement,
    MeterReading,
    ProductionSample,
    Source,
    SourceFailure,
)


@dataclass(slots=True)
class Parts:
    """What the documents of one poll give: readings, failures, anomalies."""

    production: list[ProductionSample] = field(default_factory=list)
    consumption: list[ConsumptionSample] = field(default_factory=list)
    meter_readings: list[MeterReading] = field(default_factory=list)
    inverters: list[InverterSample] = field(default_factory=list)
    failures: list[SourceFailure] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)


def read(
    profile: Profile,
    documents: Documents,
    at_s: int,
    frozen: frozenset[int] = frozenset(),
    *,
    with_inverters: bool,
) -> Parts:
    """Return what the documents that ``next_endpoint`` asked for say at ``at_s`` (epoch seconds).

    ``frozen`` names the meters (eid) whose own reading time stands still.
    """
    parts = Parts()
    # Production is read from meters or inverters, consumption also from production.
    steps = {
        "meters": (bool(profile.meters), _read_meters),
        "inverters": (
            with_inverters or profile.production is ProductionFrom.SUM,
            _read_inverters,
        ),
        "production": (True, _read_production),
        "consumption": (profile.consumption is not None, _read_consumption),
    }
    for source, (is_wanted, step) in steps.items():
        if not is_wanted:
            continue
        try:
            step(parts, profile, documents, at_s, frozen)
        except GatewayError as error:
            parts.failures.append(SourceFailure(source=source, error=str(error)))
    parts.anomalies += _anomalies(parts, documents)
    return parts


def _read_meters(
    parts: Parts, profile: Profile, documents: Documents, at_s: int, frozen: frozenset[int]
) -> None:
    document = _answer(documents, profiles.READINGS)
    parts.meter_readings = meters.parse(document, profile.meters, at_s, frozen)
    read = {reading.measurement for reading in parts.meter_readings}
    for meter in profile.meters.values():
        if meter.measurement not in read:
            if meter.eid in frozen:
                detail = "its own time stands still"
                parts.anomalies.append(Anomaly("frozen_readings", meter.measurement, detail))
            raise MalformedDocumentError(f"no new reading of the {meter.measurement} meter.")


def _read_inverters(
    parts: Parts, profile: Profile, documents: Documents, at_s: int, _: frozenset[int]
) -> None:
    detail = known(documents, profiles.DEVICE_DATA)
    if detail is None:
        plain = documents.get(profiles.V1_INVERTERS)
        if isinstance(plain, NotAskedError) and profile.production is not ProductionFrom.SUM:
            return  # Known since this day's detection, and recorded then.
        plain = _answer(documents, profiles.V1_INVERTERS)
    else:
        # The plain list adds the units that the detail leaves out; without it some are missing.
        plain = known(documents, profiles.V1_INVERTERS)
    parts.inverters = inverters.parse(detail, plain, at_s)


def _read_production(
    parts: Parts, profile: Profile, documents: Documents, at_s: int, _: frozenset[int]
) -> None:
    match profile.production:
        case ProductionFrom.CT:
            _read_production_ct(parts, documents)
        case ProductionFrom.EIM | ProductionFrom.EIM_PLAIN:
            page = _answer(documents, profile.eim_endpoint)
            parts.production = production.from_eim(page, _phases(profile), at_s)
            if not production.is_active(production.production_item(page, "eim")):
                raise _inactive(parts, Source.EIM)
        case ProductionFrom.V1:
            parts.production = production.from_v1(_answer(documents, profiles.V1))
        case ProductionFrom.INVERTERS:
            page = _answer(documents, profiles.PRODUCTION_JSON)
            parts.production = production.from_inverters_item(page, at_s)
        case ProductionFrom.HTML:
            parts.production = production.from_html(_answer(documents, profiles.PRODUCTION))
        case ProductionFrom.SUM:
            parts.production = inverters.production(parts.inverters, at_s)


def _read_production_ct(parts: Parts, documents: Documents) -> None:
    """Take the CT's reading, unless the gateway calls its own production meter inactive."""
    parts.production = meters.production(parts.meter_readings)
    if isinstance(documents.get(profiles.PRODUCTION_JSON), NotAskedError):
        return
    page = _answer(documents, profiles.PRODUCTION_JSON)
    item = production.production_item(page, "eim")
    if item and not production.is_active(item):
        parts.meter_readings = [
            reading
            for reading in parts.meter_readings
            if reading.measurement != Measurement.PRODUCTION
        ]
        raise _inactive(parts, Source.CT)


def _inactive(parts: Parts, source: Source) -> GatewayError:
    """Make production unknown: there is no fallback, for it would break the counter's series."""
    parts.production = production.unknown(source, len(parts.production) - 1)
    detail = "the gateway calls its production meter inactive"
    parts.anomalies.append(Anomaly("inactive_meter", "production", detail))
    return MalformedDocumentError(f"{detail}.")


def _read_consumption(
    parts: Parts, profile: Profile, documents: Documents, at_s: int, _: frozenset[int]
) -> None:
    match profile.consumption:
        case ConsumptionFrom.NET_CT:
            parts.consumption = meters.consumption_by_net(parts.meter_readings, parts.production)
        case ConsumptionFrom.TOTAL_CT:
            parts.consumption = meters.consumption_by_total(parts.meter_readings, parts.production)
        case ConsumptionFrom.EIM:
            page = _answer(documents, profile.eim_endpoint)
            parts.consumption = production.consumption_from_eim(
                page, parts.production, profile.firmware, _phases(profile), at_s
            )


def _phases(profile: Profile) -> int:
    """Return how many lines count; without CT information every one does."""
    return profile.info.phase_count or 3


def _anomalies(parts: Parts, documents: Documents) -> list[Anomaly]:
    found: list[Anomaly] = []
    if not any(anomaly.kind == "inactive_meter" for anomaly in parts.anomalies):
        found += anomalies.in_values(parts.production, parts.meter_readings, parts.inverters)
    found += anomalies.in_meters(parts.meter_readings)
    found += anomalies.in_production_page(known(documents, profiles.PRODUCTION_JSON))
    return found + anomalies.in_lists(
        known(documents, profiles.DEVICE_DATA), known(documents, profiles.V1_INVERTERS)
    )


def _answer(documents: Documents, path: str) -> Any:
    """Return a document, or raise why there is none."""
    document = documents[path]
    if isinstance(document, GatewayError):
        raise document
    return document
