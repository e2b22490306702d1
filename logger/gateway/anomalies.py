"""What is odd about a gateway's answers, and what has changed; reported once when it begins.

Pure functions find what is odd within one poll; ``Watch`` remembers what the polls before were like. Nothing here asks
a gateway or reads a clock.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from logger.gateway.parse import instant_s, integer, items, number, text
from logger.gateway.quirks import is_copy
from logger.gateway.sources import meters
from logger.gateway.sources.production import consumption_item, copies_production, is_active, production_item
from logger.readings import Event, InverterSample, Measurement, Meter, MeterReading, Phase, ProductionSample, Source

#: Sources of production that a CT measures.
COUNTED_BY_CT = frozenset({Source.CT, Source.EIM})
#: What was not seen for this long is new when it comes again.
FORGET_AFTER = timedelta(hours=1)
#: A meter whose own clock stands still this long gives nothing new.
FROZEN_AFTER_S = 60
CLOCK_SKEW_S = 60
#: With more in memory than any site has, what is old is forgotten.
MOST_SEEN = 500
REMOVED_AFTER_LISTS = 3
#: These cast doubt on what is counted, so each day on which they last has an event.
DAILY = frozenset({"clamp_missing", "clamp_reversed", "ct_disagrees", "wiring_flagged"})
#: Inverters report each 5 or 15 minutes; by less power than this a production CT is not judged, W.
REPORT_EVERY_S, LEAST_W = 1_000, 100.0
#: A production CT that shows less than this share of the inverters' power does not measure them.
NEXT_TO_NOTHING = 0.05
#: What was right before is wrong when it lasts: all inverters have reported anew by then.
LASTING = timedelta(minutes=20)

#: what a gateway's flags of a meter mean -> what to look at
FLAGS = {
    "production-imbalance": "its phases make very different powers: look at a clamp that sits on another conductor",
    "negative-production": "it reads negative by day: look at the direction of the production clamps",
    "power-on-unused-phase": "there is power on a phase that is not in use: look at the number of phases configured",
    "negative-total-consumption": "the house uses less than nothing: look at the direction and the phase of the clamps",
    "check-wiring": "look at the direction, the phase and the seat of its clamps",
}


class Anomaly(NamedTuple):
    """One odd thing: ``kind`` and ``subject`` are those of the event that reports it."""

    kind: str
    subject: str
    detail: str


def in_values(
    production: Iterable[ProductionSample], readings: Iterable[MeterReading], inverters: Iterable[InverterSample]
) -> list[Anomaly]:
    """Return the streams whose power or counter came without a usable number."""
    missing: set[str] = set()
    for sample in production:
        # A page for people has no counter; a sum of units has one only where all of them do.
        counts = sample.source not in {Source.HTML, Source.DERIVED}
        if sample.power_w is None or (counts and sample.energy_lifetime_wh is None):
            missing.add("production")
    missing |= {ct.measurement for ct in readings if None in {ct.power_w, ct.delivered_wh, ct.received_wh}}
    if any(unit.power_w is None for unit in inverters):
        missing.add("inverters")
    detail = "the power or counter is no number that can be"
    return [Anomaly("unusable_values", subject, detail) for subject in sorted(missing)]


def in_meters(readings: Iterable[MeterReading]) -> list[Anomaly]:
    """Return a storage CT that reports phases but no total that could be believed."""
    phases = {reading.phase for reading in readings if reading.measurement == Measurement.STORAGE}
    if not phases or Phase.TOTAL in phases:
        return []
    return [Anomaly("lost_channel", "storage", "one phase went to zero; the total is left out")]


def in_production_page(page: Any) -> list[Anomaly]:
    """Return what is wrong in production.json's consumption items."""
    total, net = consumption_item(page, meters.TOTAL), consumption_item(page, meters.NET)
    produced = production_item(page, "eim")
    if produced and copies_production(page):
        detail = "it is a copy of production: no CT measures consumption, which is not known"
        return [Anomaly("copied_total", "total-consumption", detail)]
    copied = is_active(total) and is_active(net) and is_copy(total, net)
    if not (copied and is_active(produced) and number(produced.get("whLifetime"))):
        return []
    return [Anomaly("copied_total", "total-consumption", "it is a copy of net-consumption")]


def in_slots(meters: Iterable[Meter]) -> list[Anomaly]:
    """Return the enabled meters that the gateway itself flags (statusFlags, meteringStatus)."""
    found = []
    for meter in meters:
        flags = list(filter(None, (meter.status_flags or "").split(",")))
        flags += ["check-wiring"] if meter.metering_status == "check-wiring" else []
        if meter.state == "enabled" and flags:
            detail = "; ".join(f"{flag}: {FLAGS.get(flag, 'look at its clamps')}" for flag in dict.fromkeys(flags))
            found.append(Anomaly("wiring_flagged", meter.measurement, f"the gateway flags this meter: {detail}"))
    return found


def in_lists(*lists: Any) -> list[Anomaly]:
    """Return whether a page lists an inverter more than once."""
    for page in lists:
        units = items(list(page.values()) if isinstance(page, dict) else page)
        serials = list(filter(None, (text(unit.get("serialNumber", unit.get("sn"))) for unit in units)))
        if twice := len(serials) - len(set(serials)):
            return [Anomaly("duplicate_inverters", "inverters", f"{twice} are listed twice")]
    return []


class Watch:
    """Remembers what a gateway's answers were like, from poll to poll."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], datetime] = {}
        self._reading_times: dict[int, tuple[int, int]] = {}
        self._day: date | None = None
        self._today_wh: float | None = None
        self._today_was_late = False
        self._skew_s = 0
        self._missing: dict[str, int] = {}  # serial -> from how many lists in a row
        self.is_inactive = False  #: the gateway calls its production meter so
        self._has_clamp = False  # the production CT has measured the inverters
        self._clamp_lost_at: datetime | None = None

    def begun(self, found: Iterable[Anomaly], at: datetime, local: datetime | None = None) -> list[Event]:
        """Return an event for each anomaly that was not there lately, or (``DAILY``) on this local day.

        ``local`` is the instant as the site's clocks show it.
        """
        events: list[Event] = []
        now = local or at
        self.is_inactive = False
        for kind, subject, detail in found:
            self.is_inactive = self.is_inactive or kind == "inactive_meter"
            # Other flags of a meter are another anomaly.
            key = (kind, f"{subject} {detail}" if kind == "wiring_flagged" else subject)
            before = self._seen.get(key)
            is_new_day = before is not None and kind in DAILY and before.astimezone(now.tzinfo).date() != now.date()
            if before is None or at - before > FORGET_AFTER or is_new_day:
                events.append(Event(at=at, kind=kind, subject=subject, detail=detail))
            self._seen[key] = at
        if len(self._seen) > MOST_SEEN:
            recent = [(key, seen) for key, seen in self._seen.items() if at - seen <= FORGET_AFTER]
            self._seen = dict(recent[-10 * MOST_SEEN :])
        return events

    def clamp(
        self, production: Iterable[ProductionSample], inverters: Iterable[InverterSample], at: datetime
    ) -> list[Anomaly]:
        """Return a production CT that does not measure what the inverters report, or the wrong way round.

        One that has measured them before is given some time: they may all have been switched off at once.
        """
        shown_w = next(
            (own.power_w for own in production if own.phase is Phase.TOTAL and own.source in COUNTED_BY_CT), None
        )
        since = at - timedelta(seconds=REPORT_EVERY_S)
        made_w = sum(unit.power_w for unit in inverters if unit.power_w is not None and unit.reported_at >= since)
        if shown_w is None or made_w < LEAST_W:
            return []
        if shown_w > NEXT_TO_NOTHING * made_w:
            self._has_clamp, self._clamp_lost_at = True, None
            return []
        self._clamp_lost_at = self._clamp_lost_at or at
        if self._has_clamp and at - self._clamp_lost_at < LASTING:
            return []
        kind, look = "clamp_missing", "is there a clamp, and are all of them the same way round?"
        if shown_w < -0.5 * made_w:
            kind, look = "clamp_reversed", "its clamps are the wrong way round, or their wires swapped"
        detail = (
            f"it shows {shown_w:.0f} W while the inverters report {made_w:.0f} W; look at the production CT: {look}"
        )
        return [Anomaly(kind, "production", detail)]

    def frozen(self, document: Any, now_s: int) -> frozenset[int]:
        """Return the meters (eid) whose own reading time has stood still for a minute."""
        frozen = set()
        for item in items(document):
            eid, timestamp_s = integer(item.get("eid")), instant_s(item.get("timestamp"))
            if eid is None or not timestamp_s:
                continue  # It was never read.
            if self._reading_times.get(eid, (None,))[0] != timestamp_s:
                self._reading_times[eid] = (timestamp_s, now_s)
            if now_s - self._reading_times[eid][1] >= FROZEN_AFTER_S:
                frozen.add(eid)
        if len(self._reading_times) > MOST_SEEN:  # They change without end.
            self._reading_times.clear()
        return frozenset(frozen)

    def day_count(self, page: Any, local_day: date) -> list[Anomaly]:
        """Return a ``whToday`` that goes on with yesterday's count, unless the day before's did.

        No energy is taken from it: it is a sign of the firmware alone.
        """
        item = production_item(page, "eim")
        today_wh, lifetime_wh = number(item.get("whToday")), number(item.get("whLifetime"))
        before_wh, before_day = self._today_wh, self._day
        self._today_wh, self._day = today_wh, local_day
        if today_wh is None or not before_wh or before_day in {None, local_day}:
            return []
        was_late = self._today_was_late
        self._today_was_late = today_wh >= before_wh and today_wh != lifetime_wh
        if was_late or not self._today_was_late:
            return []
        detail = f"whToday went on at midnight: {today_wh:.0f} Wh after {before_wh:.0f} Wh"
        return [Anomaly("today_not_reset", "production", detail)]

    def clock_skew(self, gateway_time_s: int | None, now_s: int, at: datetime) -> list[Event]:
        """Return an event when the gateway's clock has come to be more than a minute off."""
        if gateway_time_s is None:
            return []
        ahead_s = gateway_time_s - now_s
        was, self._skew_s = self._skew_s, ahead_s
        if abs(ahead_s) <= CLOCK_SKEW_S or abs(ahead_s - was) <= CLOCK_SKEW_S:
            return []
        side = "ahead of" if ahead_s > 0 else "behind"
        detail = f"the gateway's clock runs {abs(ahead_s)} s {side} ours"
        return [Event(at=at, kind="clock_skew", subject="gateway", detail=detail)]

    def inverter_list(self, reports: Iterable[InverterSample], at: datetime) -> list[Event]:
        """Return which units came, and which were missing from three lists in a row."""
        listed = {unit.serial for unit in reports}
        if not listed:
            return []
        before = self._missing or dict.fromkeys(listed, 0)
        missing = {serial: lists + 1 for serial, lists in before.items() if serial not in listed}
        kinds = dict.fromkeys(listed - before.keys(), "inverter_appeared")
        for serial in [unit for unit, lists in missing.items() if lists >= REMOVED_AFTER_LISTS]:
            kinds[serial] = "inverter_removed"
            del missing[serial]
        self._missing = dict.fromkeys(listed, 0) | missing
        detail = f"{len(listed)} inverters are listed"
        return [Event(at=at, kind=kind, subject=serial, detail=detail) for serial, kind in sorted(kinds.items())]
