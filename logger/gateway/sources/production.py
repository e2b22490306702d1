"""Whatever says what the site produces -> ProductionSample, by the source that was pinned."""

import re
from typing import Any

from logger.errors import MalformedDocumentError
from logger.gateway.kind import is_zero, production_item
from logger.gateway.parse import counter, integer, items, power, table
from logger.readings import (
    LINES,
    InverterSample,
    Measurement,
    MeterReading,
    Phase,
    ProductionSample,
    Source,
)


def from_ct(readings: list[MeterReading]) -> list[ProductionSample]:
    """Return the production CT's activePower and actEnergyDlvd, in total and per phase."""
    return [
        ProductionSample(
            phase=one.phase,
            power_w=one.power_w,
            energy_lifetime_wh=one.delivered_wh,
            reading_age_s=one.reading_age_s,
            source=Source.CT,
        )
        for one in readings
        if one.measurement == Measurement.PRODUCTION
    ]


def unknown(source: Source, phases: int) -> list[ProductionSample]:
    """Return samples that say that nothing is known: the gateway called its own numbers invalid."""
    return [
        ProductionSample(
            phase=phase, power_w=None, energy_lifetime_wh=None, reading_age_s=None, source=source
        )
        for phase in (Phase.TOTAL, *(LINES[:phases] if phases > 1 else ()))
    ]


def from_eim(page: Any, phases: int, now_s: int) -> list[ProductionSample]:
    """Return the eim item of production.json (wNow, whLifetime), in total and per ``lines``.

    Raises:
        MalformedDocumentError: the item is gone.
    """
    item = production_item(page, "eim")
    if not item:
        raise MalformedDocumentError("the eim production item is missing.")
    return [
        ProductionSample(
            phase=phase,
            power_w=power(part.get("wNow")),
            energy_lifetime_wh=counter(part.get("whLifetime")),
            reading_age_s=age_s(item, now_s),
            source=Source.EIM,
        )
        for phase, part in phase_parts(item, phases)
    ]


def phase_parts(item: dict[str, Any], phases: int) -> list[tuple[Phase, dict[str, Any]]]:
    """Return an eim item and its first ``phases`` lines; more lines than phases are noise."""
    lines = items(item.get("lines"))[:phases]
    if phases < 2 or len(lines) < 2:
        lines = []
    return [(Phase.TOTAL, item), *zip(LINES, lines, strict=False)]


def age_s(item: dict[str, Any], now_s: int) -> int | None:
    """Return how old an item's readingTime is; None where it has none."""
    reading_s = integer(item.get("readingTime"))
    return now_s - reading_s if reading_s else None


def from_v1(document: Any) -> list[ProductionSample]:
    """Return /api/v1/production (wattsNow, wattHoursLifetime).

    Raises:
        MalformedDocumentError: all zeros, as after a restart of the gateway.
    """
    v1 = table(document)
    if is_zero(v1):
        raise MalformedDocumentError("all energies are 0, as after a restart of the gateway.")
    return [_total(power(v1.get("wattsNow")), counter(v1.get("wattHoursLifetime")), Source.V1)]


def from_inverters_item(page: Any, now_s: int) -> list[ProductionSample]:
    """Return the inverters item of production.json (wNow, whLifetime).

    Raises:
        MalformedDocumentError: the item is gone or empty.
    """
    item = production_item(page, "inverters")
    lifetime = counter(item.get("whLifetime"))
    if not lifetime:
        raise MalformedDocumentError("the inverters item is missing or empty.")
    return [_total(power(item.get("wNow")), lifetime, Source.INVERTERS, age_s(item, now_s))]


def from_html(page: str) -> list[ProductionSample]:
    """Return the power of the HTML page /production of firmware 3 (row "Currently").

    Its energies have three digits and are no counters.

    Raises:
        MalformedDocumentError: the row is not there.
    """
    cell = r"Currently\s*</td>\s*<td[^>]*>\s*([-\d.,]+)\s*(k|M)?W\b"
    found = re.search(cell, page, re.IGNORECASE)
    watts = power(found[1].replace(",", "")) if found else None
    if found is None or watts is None:
        raise MalformedDocumentError("the page has no row Currently.")
    scale = {"k": 1e3, "m": 1e6}.get((found[2] or "").lower(), 1.0)
    return [_total(watts * scale, None, Source.HTML)]


def from_reports(inverters: list[InverterSample], now_s: int) -> list[ProductionSample]:
    """Return the sum of what the microinverters last reported, where nothing else is known.

    Power counts reports younger than 30 minutes; energy needs every unit's counter.
    """
    if not inverters:
        return []
    fresh = [
        one.power_w
        for one in inverters
        if one.power_w is not None and now_s - one.reported_at.timestamp() < 1800
    ]
    counters = [one.energy_lifetime_wh for one in inverters]
    known = [one for one in counters if one is not None]
    whole = sum(known) if len(known) == len(counters) else None
    return [_total(sum(fresh) if fresh else None, whole, Source.DERIVED)]


def _total(
    power_w: float | None, energy_wh: float | None, source: Source, age: int | None = None
) -> ProductionSample:
    return ProductionSample(
        phase=Phase.TOTAL,
        power_w=power_w,
        energy_lifetime_wh=energy_wh,
        reading_age_s=age,
        source=source,
    )
