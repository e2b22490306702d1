"""production.json, /production and /api/v1/production: samples of production and consumption.

What is read is what ``profile`` has pinned; here each of these documents is taken at its word. ``activeCount`` decides
whether an ``eim`` item is real: a gateway without a CT fills it as well. Powers are W, energies Wh; net-consumption is
positive for import. A document without what is read from it raises MalformedDocumentError.
"""

import re
from collections.abc import Iterable
from typing import Any

from logger.errors import MalformedDocumentError
from logger.gateway.parse import counter, items, number, power, reading_age_s, table, text
from logger.gateway.quirks import COPIES_NET_FROM, Firmware, is_copy
from logger.gateway.sources.meters import NET, TOTAL, plus
from logger.readings import LINES, ConsumptionSample, Measurement, Phase, ProductionSample, Source

#: Energies that differ by no more than this share are a copy.
SAME_ENERGY = 0.001
ENERGIES = ("wattHoursToday", "wattHoursSevenDays", "wattHoursLifetime")


def production_item(page: Any, kind: str) -> dict[str, Any]:
    """Return the production item of a type (inverters | eim), or {}."""
    kinds = {None, Measurement.PRODUCTION}
    found = (item for item in items(table(page).get("production")) if item.get("type") == kind)
    return next((item for item in found if kind != "eim" or text(item.get("measurementType")) in kinds), {})


def consumption_item(page: Any, measurement: str) -> dict[str, Any]:
    """Return the consumption item of a measurement by name, or {}.

    A single item without a name is the total (an early firmware names nothing).
    """
    found = [item for item in items(table(page).get("consumption")) if item.get("type") == "eim"]
    if measurement == TOTAL and len(found) == 1 and "measurementType" not in found[0]:
        return found[0]
    return next((item for item in found if text(item.get("measurementType")) == measurement), {})


def is_active(item: dict[str, Any]) -> bool:
    """Return whether an item's numbers are real: only activeCount shows it."""
    return (number(item.get("activeCount")) or 0) > 0


def is_zero(v1: dict[str, Any]) -> bool:
    """Return whether /api/v1/production gives nothing: all three energies 0 (or absent)."""
    return not any(number(v1.get(key)) for key in ENERGIES)


def unknown(source: Source, phases: int) -> list[ProductionSample]:
    """Return samples of which nothing is known: the gateway called its own numbers invalid."""
    lines = LINES[:phases] if phases > 1 else ()
    return [ProductionSample(phase, None, None, None, source) for phase in (Phase.TOTAL, *lines)]


def from_eim(page: Any, phases: int, now_s: int) -> list[ProductionSample]:
    """Return the eim item (wNow, whLifetime), in total and per ``lines``."""
    item = production_item(page, "eim")
    if not item:
        raise MalformedDocumentError("the eim production item is missing.")
    age_s = reading_age_s(item.get("readingTime"), now_s)
    return [
        ProductionSample(phase, power(part.get("wNow")), counter(part.get("whLifetime")), age_s, Source.EIM)
        for phase, part in _parts(item, phases)
    ]


def from_inverters_item(page: Any, now_s: int) -> list[ProductionSample]:
    """Return the inverters item (wNow, whLifetime)."""
    item = production_item(page, "inverters")
    lifetime_wh, age_s = counter(item.get("whLifetime")), reading_age_s(item.get("readingTime"), now_s)
    if not lifetime_wh:
        raise MalformedDocumentError("the inverters item is missing or empty.")
    return [ProductionSample(Phase.TOTAL, power(item.get("wNow")), lifetime_wh, age_s, Source.INVERTERS)]


def from_v1(document: Any) -> list[ProductionSample]:
    """Return /api/v1/production (wattsNow, wattHoursLifetime)."""
    v1 = table(document)
    if is_zero(v1):
        raise MalformedDocumentError("all energies are 0, as after a restart of the gateway.")
    power_w, lifetime_wh = power(v1.get("wattsNow")), counter(v1.get("wattHoursLifetime"))
    return [ProductionSample(Phase.TOTAL, power_w, lifetime_wh, None, Source.V1)]


def from_html(page: Any) -> list[ProductionSample]:
    """Return the power of the HTML page /production of firmware 3 (row "Currently").

    Its energies have three digits and are no counters.
    """
    cell = r"Currently\s*</td>\s*<td[^>]*>\s*([-\d.,]+)\s*(k|M)?W\b"
    found = re.search(cell, page, re.IGNORECASE) if isinstance(page, str) else None
    power_w = power(found[1].replace(",", "")) if found else None
    if found is None or power_w is None:
        raise MalformedDocumentError("the page has no row Currently.")
    scale = {"k": 1e3, "m": 1e6}.get((found[2] or "").lower(), 1.0)
    return [ProductionSample(Phase.TOTAL, power_w * scale, None, None, Source.HTML)]


def consumption_from_eim(
    page: Any, production: Iterable[ProductionSample], firmware: Firmware, phases: int, now_s: int
) -> list[ConsumptionSample]:
    """Return the active consumption items, repaired where total copies net; nothing where it copies production (C9).

    The lifetime of the net item means different things on different firmware: only its power is kept.
    """
    produced = {sample.phase: sample for sample in production}
    total_item, net_item = consumption_item(page, TOTAL), consumption_item(page, NET)
    if copies_production(page):
        return []
    nets = dict(_parts(net_item, phases)) if is_active(net_item) else {}
    totals = _parts(total_item, phases) if is_active(total_item) else []
    age_s = reading_age_s(net_item.get("readingTime"), now_s)
    samples = [
        ConsumptionSample(NET, phase, power(net.get("wNow")), None, age_s, Source.EIM) for phase, net in nets.items()
    ]
    age_s = reading_age_s(total_item.get("readingTime"), now_s)
    for phase, total in totals:
        power_w, total_wh = power(total.get("wNow")), number(total.get("whLifetime"))
        if firmware >= COPIES_NET_FROM and phase in nets and is_copy(total, nets[phase]):
            own = produced.get(phase)
            power_w = plus(power_w, own.power_w if own else None)
            total_wh = plus(total_wh, own.energy_lifetime_wh if own else None)
        samples.append(ConsumptionSample(TOTAL, phase, power_w, total_wh, age_s, Source.EIM))
    return samples


def copies_production(page: Any) -> bool:
    """Return whether total-consumption is but production again: of a site with a production CT alone (C9).

    No net item is active then. Power is equal to the milliwatt, energy within a thousandth.
    """
    total, made = consumption_item(page, TOTAL), production_item(page, "eim")
    if not is_active(total) or is_active(consumption_item(page, NET)):
        return False
    powers_w, energies_wh = ([number(item.get(key)) for item in (total, made)] for key in ("wNow", "whLifetime"))
    if None in powers_w or None in energies_wh:
        return False
    total_wh, made_wh = (float(wh or 0) for wh in energies_wh)
    return powers_w[0] == powers_w[1] and abs(total_wh - made_wh) <= SAME_ENERGY * abs(made_wh)


def _parts(item: dict[str, Any], phases: int) -> list[tuple[Phase, dict[str, Any]]]:
    """Return an eim item and its first ``phases`` lines; more lines than phases are noise."""
    lines = items(item.get("lines"))[:phases] if phases > 1 else []
    return [(Phase.TOTAL, item), *zip(LINES, lines if len(lines) > 1 else [], strict=False)]
