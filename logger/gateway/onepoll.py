"""The pages and readings of one poll.

A page that fails costs what depends on it; the others still deliver.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from logger.clock import to_epoch_s
from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    EndpointMissingError,
    EndpointRefusedError,
    GatewayError,
    GatewayUnreachableError,
    MalformedDocumentError,
)
from logger.gateway import kind as kinds
from logger.gateway import oddities
from logger.gateway.kind import ConsumptionFrom, Kind, ProductionFrom
from logger.gateway.oddities import Oddity
from logger.gateway.pages import Pages
from logger.gateway.sources import consumption, inverters, meters, production
from logger.gateway.transport import Deadline
from logger.readings import (
    ConsumptionSample,
    InverterSample,
    Measurement,
    MeterReading,
    ProductionSample,
    Source,
    SourceFailure,
)

log = logging.getLogger(__name__)


class OnePoll:
    """The pages and readings of one poll."""

    def __init__(
        self,
        pages: Pages,
        kind: Kind,
        at: datetime,
        deadline: Deadline,
        failures: list[SourceFailure],
    ) -> None:
        self.pages = pages
        self.kind = kind
        self.at_s = to_epoch_s(at)
        self.deadline = deadline
        self.failures = failures
        self.production: list[ProductionSample] = []
        self.consumption: list[ConsumptionSample] = []
        self.readings: list[MeterReading] = []
        self.inverters: list[InverterSample] = []
        self.inverters_complete = False
        self.odd: list[Oddity] = []
        self._asked_for: dict[str, Any] = {}
        self._answered = False

    def ask(self, *, inverters: bool) -> None:
        """Ask for what this kind of gateway needs, meters first: they matter most."""
        kind = self.kind
        if kind.meters:
            self._guarded("meters", self._ask_meters)
        if inverters or kind.production is ProductionFrom.SUM:
            self._guarded("inverters", self._ask_inverters)
        self._guarded("production", self._ask_production)
        if kind.consumption is not None:
            self._guarded("consumption", self._ask_consumption)
        self._look()

    def _look(self) -> None:
        """Note what is odd about what came."""
        if not any(one.kind == "inactive_meter" for one in self.odd):
            self.odd += oddities.in_values(self.production, self.readings, self.inverters)
        self.odd += oddities.in_meters(self.readings)
        self.odd += oddities.in_production_page(self.production_page)
        self.odd += oddities.in_lists(
            self._asked_for.get(kinds.DEVICE_DATA), self._asked_for.get(kinds.V1_INVERTERS)
        )

    @property
    def production_page(self) -> Any:
        """production.json as this poll saw it; None where it was not asked for or failed."""
        page = self._asked_for.get(kinds.PRODUCTION_JSON)
        return None if isinstance(page, GatewayError) else page

    def _guarded(self, part: str, ask: Callable[[], None]) -> None:
        try:
            ask()
        except (AuthenticationError, CertificateChangedError):
            raise
        except GatewayError as error:
            if type(error) is GatewayUnreachableError and not self._answered:
                raise  # Nobody is there: asking for more pages would only wait longer.
            self.failures.append(SourceFailure(source=part, error=str(error)))

    def _page(self, path: str) -> Any:
        """Return a page's JSON, asked for once per poll; a failure is the same for all who ask."""
        if path not in self._asked_for:
            self._asked_for[path] = self._asked(path)
        page = self._asked_for[path]
        if isinstance(page, GatewayError):
            raise page
        return page

    def _asked(self, path: str) -> Any:
        if (known := self.pages.is_unavailable(path)) is not None:
            return known
        try:
            page = self.pages.page(path, self.deadline)
        except AuthenticationError:
            raise
        except (EndpointMissingError, EndpointRefusedError) as error:
            if path in self._optional:
                self.pages.set_unavailable(path, error)
            return type(error)(f"{path}: {error}")
        except GatewayError as error:
            return type(error)(f"{path}: {error}")
        self._answered = True
        return page

    @property
    def _optional(self) -> set[str]:
        """The pages that this kind can do without for a day."""
        optional = {kinds.DEVICE_DATA, kinds.V1_INVERTERS}
        by_ct = self.kind.production is ProductionFrom.CT
        if by_ct and self.kind.consumption is not ConsumptionFrom.EIM:
            optional.add(kinds.PRODUCTION_JSON)
        return optional

    def _ask_meters(self) -> None:
        page = self._page(kinds.READINGS)
        frozen = self.pages.frozen(page, self.at_s)
        channels = meters.parse(page, self.kind.meters, self.at_s, frozen)
        self.readings = [one.reading for one in channels]
        for meter in self.kind.meters.values():
            if not any(one.measurement == meter.measurement for one in self.readings):
                if meter.eid in frozen:
                    detail = "its own time stands still"
                    self.odd.append(Oddity("frozen_readings", meter.measurement, detail))
                raise MalformedDocumentError(f"no new reading of the {meter.measurement} meter.")

    def _ask_production(self) -> None:
        kind, now_s = self.kind, self.at_s
        phases = kind.info.phase_count or 3  # Without CT information every line counts.
        match kind.production:
            case ProductionFrom.CT:
                self._ask_production_ct()
            case ProductionFrom.EIM | ProductionFrom.EIM_PLAIN:
                plain = kind.production is ProductionFrom.EIM_PLAIN
                page = self._page(kinds.PRODUCTION if plain else kinds.PRODUCTION_JSON)
                self.production = production.from_eim(page, phases, now_s)
                if not kinds.is_active(kinds.production_item(page, "eim")):
                    self.production = production.unknown(Source.EIM, len(self.production) - 1)
                    raise self._inactive()
            case ProductionFrom.V1:
                self.production = production.from_v1(self._page(kinds.V1))
            case ProductionFrom.INVERTERS:
                page = self._page(kinds.PRODUCTION_JSON)
                self.production = production.from_inverters_item(page, now_s)
            case ProductionFrom.HTML:
                body = self.pages.session.text(kinds.PRODUCTION, self.deadline)
                self.production = production.from_html(body)
            case ProductionFrom.SUM:
                self.production = production.from_reports(self.inverters, now_s)

    def _ask_production_ct(self) -> None:
        """Take the CT's reading, unless the gateway calls its own production meter inactive."""
        self.production = production.from_ct(self.readings)
        if self.pages.is_unavailable(kinds.PRODUCTION_JSON) is not None:
            return
        item = kinds.production_item(self._page(kinds.PRODUCTION_JSON), "eim")
        if not item or kinds.is_active(item):
            return
        phases = len(self.production) - 1
        self.production = production.unknown(Source.CT, phases)
        self.readings = [one for one in self.readings if one.measurement != Measurement.PRODUCTION]
        raise self._inactive()

    def _inactive(self) -> GatewayError:
        detail = "the gateway calls its production meter inactive"
        self.odd.append(Oddity("inactive_meter", "production", detail))
        return MalformedDocumentError(f"{detail}.")

    def _ask_consumption(self) -> None:
        kind = self.kind
        match kind.consumption:
            case ConsumptionFrom.NET_CT:
                self.consumption = consumption.from_net_ct(self.readings, self.production)
            case ConsumptionFrom.TOTAL_CT:
                self.consumption = consumption.from_total_ct(self.readings, self.production)
            case ConsumptionFrom.EIM:
                plain = kind.production is ProductionFrom.EIM_PLAIN
                self.consumption = consumption.from_eim(
                    self._page(kinds.PRODUCTION if plain else kinds.PRODUCTION_JSON),
                    self.production,
                    kind.firmware,
                    kind.info.phase_count or 3,
                    self.at_s,
                )
            case None:
                pass

    def _ask_inverters(self) -> None:
        """Ask for detail where the firmware has it, and for the plain list where that is cut."""
        detail = plain = None
        problem: GatewayError | None = None
        known = self.pages.is_unavailable(kinds.V1_INVERTERS)
        if known is not None and self.kind.firmware < (8,):
            if self.kind.production is ProductionFrom.SUM:
                raise self._refusal(known)
            return  # Known since this day's detection, and recorded then.
        if self.kind.firmware >= (8,):
            try:
                detail = self._page(kinds.DEVICE_DATA)
            except AuthenticationError:
                raise
            except GatewayError as error:
                problem = error
        if inverters.needs_plain_list(detail):
            try:
                plain = self._page(kinds.V1_INVERTERS)
            except AuthenticationError:
                raise
            except GatewayError as error:
                if detail is None:
                    raise self._refusal(error) from error
                problem = error
        self.inverters = inverters.parse(detail, plain, self.at_s)
        self.inverters_complete = True
        final = isinstance(problem, (EndpointMissingError, EndpointRefusedError))
        if problem is not None and not final:
            # The plain list has all units: what is missing is detail, not a reading.
            log.debug(
                "gateway=%s no inverter detail: %s", self.pages.session.settings.name, problem
            )

    def _refusal(self, error: GatewayError) -> GatewayError:
        """Return the reason to show: a configured user that is refused says so."""
        refused = self.pages.session.refused_user
        if refused is not None and isinstance(error, EndpointRefusedError):
            return EndpointRefusedError(str(refused))
        return error
