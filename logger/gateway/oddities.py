"""What is odd about a gateway's answers, told once when it begins and not at each poll."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from logger.gateway.kind import consumption_item, is_active, production_item
from logger.gateway.parse import items, number, text
from logger.gateway.quirks import is_copy
from logger.readings import (
    Event,
    InverterSample,
    Measurement,
    MeterReading,
    Phase,
    ProductionSample,
    Source,
)

#: What was not seen for so long is new when it comes again.
FORGET_AFTER = timedelta(hours=1)


class Oddity(NamedTuple):
    """One odd thing: ``kind`` and ``subject`` are those of the event that tells of it."""

    kind: str
    subject: str
    detail: str


class Oddities:
    """Remembers what is odd at present."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], datetime] = {}

    def told(self, found: Iterable[Oddity], at: datetime) -> list[Event]:
        """Return an event for each oddity that was not there lately."""
        events: list[Event] = []
        for kind, subject, detail in found:
            before = self._seen.get((kind, subject))
            if before is None or at - before > FORGET_AFTER:
                events.append(Event(at=at, kind=kind, subject=subject, detail=detail))
            self._seen[kind, subject] = at
        return events


def in_values(
    production: Iterable[ProductionSample],
    readings: Iterable[MeterReading],
    inverters: Iterable[InverterSample],
) -> list[Oddity]:
    """Return the streams whose power or counter came without a usable number."""
    missing: set[str] = set()
    for made in production:
        # A page for people has no counter; a sum of units has one only where all of them do.
        counts = made.source not in {Source.HTML, Source.DERIVED}
        if made.power_w is None or (counts and made.energy_lifetime_wh is None):
            missing.add("production")
    for one in readings:
        if None in {one.power_w, one.delivered_wh, one.received_wh}:
            missing.add(one.measurement)
    if any(one.power_w is None for one in inverters):
        missing.add("inverters")
    detail = "the power or counter is no number that can be"
    return [Oddity("unusable_values", subject, detail) for subject in sorted(missing)]


def in_meters(readings: Iterable[MeterReading]) -> list[Oddity]:
    """Return a storage CT that reports phases but no total that could be believed."""
    phases = {one.phase for one in readings if one.measurement == Measurement.STORAGE}
    if not phases or Phase.TOTAL in phases:
        return []
    return [Oddity("lost_channel", "storage", "one phase went to zero; the total is left out")]


def in_production_page(page: Any) -> list[Oddity]:
    """Return what production.json's consumption items say wrongly."""
    total = consumption_item(page, Measurement.TOTAL_CONSUMPTION)
    net = consumption_item(page, Measurement.NET_CONSUMPTION)
    made = production_item(page, "eim")
    if not (is_active(total) and is_active(net) and is_active(made)):
        return []
    if not number(made.get("whLifetime")) or not is_copy(total, net):
        return []
    return [Oddity("copied_total", "total-consumption", "it is a copy of net-consumption")]


def in_lists(*lists: Any) -> list[Oddity]:
    """Return whether a page lists an inverter more than once."""
    for page in lists:
        units = items(list(page.values()) if isinstance(page, dict) else page)
        serials = [
            found for one in units if (found := text(one.get("serialNumber", one.get("sn"))))
        ]
        twice = len(serials) - len(set(serials))
        if twice:
            return [Oddity("duplicate_inverters", "inverters", f"{twice} are listed twice")]
    return []


class Today:
    """Watches whether ``whToday`` starts again at midnight; no energy is taken from it."""

    def __init__(self) -> None:
        self._day: date | None = None
        self._wh: float | None = None
        self._was_late = False

    def oddities(self, page: Any, local_day: date) -> list[Oddity]:
        """Return an oddity when a day goes on with yesterday's count, unless the one before did."""
        item = production_item(page, "eim")
        today_wh, lifetime_wh = number(item.get("whToday")), number(item.get("whLifetime"))
        before_wh, before_day = self._wh, self._day
        self._wh, self._day = today_wh, local_day
        if today_wh is None or not before_wh or before_day in {None, local_day}:
            return []
        was_late = self._was_late
        self._was_late = today_wh >= before_wh and today_wh != lifetime_wh
        if was_late or not self._was_late:
            return []
        detail = f"whToday went on at midnight: {today_wh:.0f} Wh after {before_wh:.0f} Wh"
        return [Oddity("today_not_reset", "production", detail)]
