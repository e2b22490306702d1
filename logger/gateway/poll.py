"""One poll without input and output: documents in, readings out.

An endpoint that failed costs what depends on it; the others still deliver. What is read from
which document is what ``profile`` has pinned.
"""

from collections.abc import Callable
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
    """Return what the documents that ``next_endpoint`` asked for give at ``at_s`` (epoch seconds).

    ``frozen`` names the meters (eid) whose own reading time stands still.
    """
    reader = _Reader(profile, documents, at_s, frozen)
    # Production is read from meters or inverters, consumption also from production.
    if profile.meters:
        reader.guarded("meters", reader.meters)
    if with_inverters or profile.production is ProductionFrom.SUM:
        reader.guarded("inverters", reader.inverters)
    reader.guarded("production", reader.production)
    if profile.consumption is not None:
        reader.guarded("consumption", reader.consumption)
    reader.look()
    return reader.parts


@dataclass(slots=True)
class _Reader:
    """Reads one stream after the other into ``parts``."""

    profile: Profile
    documents: Documents
    at_s: int
    frozen: frozenset[int]
    parts: Parts = field(default_factory=Parts)

    def guarded(self, source: str, read_stream: Callable[[], None]) -> None:
        """Read a stream; where its document failed, that is this stream's failure alone."""
        try:
            read_stream()
        except GatewayError as error:
            self.parts.failures.append(SourceFailure(source=source, error=str(error)))

    def meters(self) -> None:
        document = self._answer(profiles.READINGS)
        readings = meters.parse(document, self.profile.meters, self.at_s, self.frozen)
        self.parts.meter_readings = readings
        for meter in self.profile.meters.values():
            if not any(reading.measurement == meter.measurement for reading in readings):
                if meter.eid in self.frozen:
                    self._note("frozen_readings", meter.measurement, "its own time stands still")
                raise MalformedDocumentError(f"no new reading of the {meter.measurement} meter.")

    def inverters(self) -> None:
        detail = known(self.documents, profiles.DEVICE_DATA)
        # The plain list adds the units that the detail leaves out; alone it has to be there.
        plain = known(self.documents, profiles.V1_INVERTERS)
        if detail is None:
            needed = self.profile.production is ProductionFrom.SUM
            if self._is_left_alone(profiles.V1_INVERTERS) and not needed:
                return
            plain = self._answer(profiles.V1_INVERTERS)
        self.parts.inverters = inverters.parse(detail, plain, self.at_s)

    def production(self) -> None:
        parts, now_s = self.parts, self.at_s
        match self.profile.production:
            case ProductionFrom.CT:
                self._production_ct()
            case ProductionFrom.EIM | ProductionFrom.EIM_PLAIN:
                page = self._answer(self.profile.eim_endpoint)
                parts.production = production.from_eim(page, self._phases, now_s)
                if not production.is_active(production.production_item(page, "eim")):
                    raise self._inactive(Source.EIM)
            case ProductionFrom.V1:
                parts.production = production.from_v1(self._answer(profiles.V1))
            case ProductionFrom.INVERTERS:
                page = self._answer(profiles.PRODUCTION_JSON)
                parts.production = production.from_inverters_item(page, now_s)
            case ProductionFrom.HTML:
                parts.production = production.from_html(self._answer(profiles.PRODUCTION))
            case ProductionFrom.SUM:
                parts.production = inverters.production(parts.inverters, now_s)

    def _production_ct(self) -> None:
        """Take the CT's reading, unless the gateway calls its own production meter inactive."""
        readings = self.parts.meter_readings
        self.parts.production = meters.production(readings)
        if self._is_left_alone(profiles.PRODUCTION_JSON):
            return
        item = production.production_item(self._answer(profiles.PRODUCTION_JSON), "eim")
        if item and not production.is_active(item):
            others = [
                reading for reading in readings if reading.measurement != Measurement.PRODUCTION
            ]
            self.parts.meter_readings = others
            raise self._inactive(Source.CT)

    def _inactive(self, source: Source) -> GatewayError:
        """Make production unknown: there is no fallback, for it would break the register."""
        self.parts.production = production.unknown(source, len(self.parts.production) - 1)
        detail = "the gateway calls its production meter inactive"
        self._note("inactive_meter", "production", detail)
        return MalformedDocumentError(f"{detail}.")

    def consumption(self) -> None:
        readings, produced = self.parts.meter_readings, self.parts.production
        match self.profile.consumption:
            case ConsumptionFrom.NET_CT:
                self.parts.consumption = meters.consumption_by_net(readings, produced)
            case ConsumptionFrom.TOTAL_CT:
                self.parts.consumption = meters.consumption_by_total(readings, produced)
            case ConsumptionFrom.EIM:
                page = self._answer(self.profile.eim_endpoint)
                self.parts.consumption = production.consumption_from_eim(
                    page, produced, self.profile.firmware, self._phases, self.at_s
                )

    def look(self) -> None:
        """Note what is odd about what came."""
        parts, found = self.parts, self.parts.anomalies
        if not any(anomaly.kind == "inactive_meter" for anomaly in found):
            found += anomalies.in_values(parts.production, parts.meter_readings, parts.inverters)
        found += anomalies.in_meters(parts.meter_readings)
        found += anomalies.in_production_page(known(self.documents, profiles.PRODUCTION_JSON))
        lists = (profiles.DEVICE_DATA, profiles.V1_INVERTERS)
        found += anomalies.in_lists(*(known(self.documents, path) for path in lists))

    @property
    def _phases(self) -> int:
        """How many lines count; without CT information every one does."""
        return self.profile.info.phase_count or 3

    def _note(self, kind: str, subject: str, detail: str) -> None:
        self.parts.anomalies.append(Anomaly(kind, subject, detail))

    def _is_left_alone(self, path: str) -> bool:
        """Whether a document was not asked for: known for a while, and recorded then."""
        return isinstance(self.documents.get(path), NotAskedError)

    def _answer(self, path: str) -> Any:
        """Return a document, or raise the error in its place."""
        document = self.documents[path]
        if isinstance(document, GatewayError):
            raise document
        return document
