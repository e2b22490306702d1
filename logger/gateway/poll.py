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

    def read(self, *, with_inverters: bool) -> None:
        """Read one stream after the other; where a document failed, that stream alone fails."""
        # Production is read from meters or inverters, consumption also from production.
        streams = {"meters": self._meters} if self.profile.meters else {}
        if with_inverters or self.profile.production is ProductionFrom.SUM:
            streams["inverters"] = self._inverters
        streams |= {"production": self._production, "consumption": self._consumption}
        for source, read_stream in streams.items():
            try:
                read_stream()
            except GatewayError as error:
                self.failures.append(SourceFailure(source=source, error=str(error)))
        self._look()

    def _meters(self) -> None:
        document = self._answer(profiles.READINGS)
        readings = meters.parse(document, self.profile.meters, self.at_s, self.frozen)
        self.meter_readings = readings
        for meter in self.profile.meters.values():
            if not any(reading.measurement == meter.measurement for reading in readings):
                if meter.eid in self.frozen:
                    self._note("frozen_readings", meter.measurement, "its own time stands still")
                raise MalformedDocumentError(f"no new reading of the {meter.measurement} meter.")

    def _inverters(self) -> None:
        detail = known(self.documents, profiles.DEVICE_DATA)
        # The plain list adds the units that the detail leaves out; alone it has to be there.
        plain = known(self.documents, profiles.V1_INVERTERS)
        if detail is None:
            needed = self.profile.production is ProductionFrom.SUM
            if self._is_left_alone(profiles.V1_INVERTERS) and not needed:
                return
            plain = self._answer(profiles.V1_INVERTERS)
        self.inverters = inverters.parse(detail, plain, self.at_s)

    def _production(self) -> None:
        match self.profile.production:
            case ProductionFrom.CT:
                self.production = meters.production(self.meter_readings)
                # The gateway may call its own production meter inactive.
                if not self._is_left_alone(profiles.PRODUCTION_JSON):
                    page = self._answer(profiles.PRODUCTION_JSON)
                    self._check_active(production.production_item(page, "eim"), Source.CT)
            case ProductionFrom.EIM | ProductionFrom.EIM_PLAIN:
                page = self._answer(self.profile.eim_endpoint)
                self.production = production.from_eim(page, self._phases, self.at_s)
                self._check_active(production.production_item(page, "eim"), Source.EIM)
            case ProductionFrom.V1:
                self.production = production.from_v1(self._answer(profiles.V1))
            case ProductionFrom.INVERTERS:
                page = self._answer(profiles.PRODUCTION_JSON)
                self.production = production.from_inverters_item(page, self.at_s)
            case ProductionFrom.HTML:
                self.production = production.from_html(self._answer(profiles.PRODUCTION))
            case ProductionFrom.SUM:
                self.production = inverters.production(self.inverters, self.at_s)

    def _check_active(self, item: dict[str, Any], source: Source) -> None:
        """Make production unknown where its meter is inactive.

        There is no fallback, for it would break the register.
        """
        if not item or production.is_active(item):
            return
        self.production = production.unknown(source, len(self.production) - 1)
        self.meter_readings = [
            reading
            for reading in self.meter_readings
            if source is not Source.CT or reading.measurement != Measurement.PRODUCTION
        ]
        detail = "the gateway calls its production meter inactive"
        self._note("inactive_meter", "production", detail)
        raise MalformedDocumentError(f"{detail}.")

    def _consumption(self) -> None:
        readings, produced = self.meter_readings, self.production
        match self.profile.consumption:
            case ConsumptionFrom.NET_CT:
                self.consumption = meters.consumption_by_net(readings, produced)
            case ConsumptionFrom.TOTAL_CT:
                self.consumption = meters.consumption_by_total(readings, produced)
            case ConsumptionFrom.EIM:
                page = self._answer(self.profile.eim_endpoint)
                self.consumption = production.consumption_from_eim(
                    page, produced, self.profile.firmware, self._phases, self.at_s
                )

    def _look(self) -> None:
        """Note what is odd about what came."""
        found = self.anomalies
        if not any(anomaly.kind == "inactive_meter" for anomaly in found):
            found += anomalies.in_values(self.production, self.meter_readings, self.inverters)
        found += anomalies.in_meters(self.meter_readings)
        found += anomalies.in_production_page(known(self.documents, profiles.PRODUCTION_JSON))
        lists = (profiles.DEVICE_DATA, profiles.V1_INVERTERS)
        found += anomalies.in_lists(*(known(self.documents, path) for path in lists))

    @property
    def _phases(self) -> int:
        """How many lines count; without CT information every one does."""
        return self.profile.info.phase_count or 3

    def _note(self, kind: str, subject: str, detail: str) -> None:
        self.anomalies.append(Anomaly(kind, subject, detail))

    def _is_left_alone(self, path: str) -> bool:
        """Whether a document was not asked for: known for a while, and recorded then."""
        return isinstance(self.documents.get(path), NotAskedError)

    def _answer(self, path: str) -> Any:
        """Return a document, or raise the error in its place."""
        document = self.documents[path]
        if isinstance(document, GatewayError):
            raise document
        return document


def read(
    profile: Profile, documents: Documents, at_s: int, frozen: frozenset[int] = frozenset(), *, with_inverters: bool
) -> Parts:
    """Return what the documents that ``next_endpoint`` asked for give at ``at_s`` (epoch seconds).

    ``frozen`` names the meters (eid) whose own reading time stands still.
    """
    parts = Parts(profile, documents, at_s, frozen)
    parts.read(with_inverters=with_inverters)
    return parts
