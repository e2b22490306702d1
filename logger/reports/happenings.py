"""What happened at a site in words, for people who do not know the kinds of events.

Walk: events -> here -> reports.page
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.reports.energy import Site
from logger.reports.notes import gap_of, in_local_time
from logger.store.models import EVENTS, PANELS

#: kind of event -> what people call it; those that matter most come first
TITLES = {
    "grid_lost": "Grid lost",
    "grid_back": "Grid back",
    "generator_started": "Generator started",
    "generator_stopped": "Generator stopped",
    "dead_panel": "Panel",
    "silent_panel": "Panel",
    "weak_panel": "Panel",
    "unseen_source": "More to the grid than was made",
    "clamp_missing": "A clamp measures nothing",
    "clamp_reversed": "A clamp is the wrong way round",
    "ct_disagrees": "Two measurements disagree",
    "wiring_flagged": "The gateway flags a meter",
    "battery_silent": "Battery silent",
    "battery_unmeasured": "Battery not measured",
    "inverter_removed": "Inverter no longer listed",
    "inverter_appeared": "New inverter",
    "gateway_replaced": "Another gateway answers",
    "firmware_change": "New firmware",
    "meter_enabled": "Meter switched on",
    "meter_disabled": "Meter switched off",
    "source_change": "Measured another way",
    "counter_reset": "A counter began anew",
    "suspect_increment": "A counter jumped",
    "stalled_counter": "A counter stood still",
    "consumption_unknown": "Consumption not known",
    "balance_estimated": "Import and export not known to 1 %",
    "certificate_change": "New certificate",
    "address_change": "New address",
    "clock_set": "This machine's clock was set",
    "clock_skew": "The gateway's clock is off",
    "misplaced_samples": "Measurements at a wrong time",
    "suspect_power": "An impossible power",
    "counter_dip": "A counter was wrong for a moment",
    "counter_wrap": "A counter ran over",
    "inactive_meter": "A meter did not measure",
    "frozen_readings": "Readings stood still",
    "lost_channel": "A battery's channel was missing",
    "unusable_values": "The gateway gave no numbers",
    "copied_total": "The gateway copied a measurement",
    "duplicate_inverters": "Inverters listed twice",
    "today_not_reset": "The gateway's day did not begin anew",
    "slow_answers": "The gateway was slow",
    "hanging_page": "The gateway fell silent",
}
WEIGHT = {kind: number for number, kind in enumerate(TITLES)}
#: At most this many gaps are listed, else the longest.
MOST_GAPS = 4
#: Shorter gaps (min) are summed up.
LONG_MIN = 60
#: More than this many events that are alike are one happening.
MOST_ALIKE = 2


class Gap(NamedTuple):
    """How long nothing was measured: once, up to an instant of local time, or several times."""

    minutes: int
    until: datetime | None = None
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened, or several that are alike."""

    at: datetime  #: local time of the site
    title: str
    text: str
    weight: int  #: what matters most has the least
    gap: Gap | None = None  #: of nothing measured, whose text is what lacks it


def happenings(connection: Connection, site: Site, first: date, last: date) -> list[Happening]:
    """Return what happened from one local day to another, in order."""
    zone = time_zone(site.zone)
    query = select(EVENTS.c.at, EVENTS.c.kind, EVENTS.c.subject, EVENTS.c.detail).where(
        EVENTS.c.gateway_id.in_(site.gateway_ids),
        EVENTS.c.at >= from_epoch_s(day_start_s(first, zone)),
        EVENTS.c.at < from_epoch_s(day_end_s(last, zone)),
    )
    events = connection.execute(query.order_by(EVENTS.c.at, EVENTS.c.kind, EVENTS.c.subject)).all()
    names = select(PANELS.c.serial, PANELS.c.name).where(PANELS.c.gateway_id.in_(site.gateway_ids))
    called = {serial: name for serial, name in connection.execute(names) if name}
    gaps = [(event, until) for event in events if (until := gap_of(event)) is not None]
    others = [event for event in events if gap_of(event) is None]
    told = [*_gaps(gaps, zone), *_others(others, zone, called)]
    return sorted(told, key=lambda happening: happening.at)


def _gaps(gaps: Sequence[tuple[Any, datetime]], zone: Any) -> Iterator[Happening]:
    """Yield the gaps of each subject: the long ones, and what the others come to."""
    by_subject: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for event, until in gaps:
        by_subject[event.subject].append((event.at.astimezone(zone), until.astimezone(zone)))
    for subject, spans in by_subject.items():
        what, whose = ("Nothing measured", "") if subject == "gateway" else ("Not measured", subject)
        weight = len(WEIGHT) if subject == "gateway" else len(WEIGHT) + 1
        longest = sorted(spans, key=lambda span: span[0] - span[1])[:MOST_GAPS]
        shown = [span for span in longest if _minutes(span) >= LONG_MIN]
        for since, until in shown:
            gap = Gap(_minutes((since, until)), until)
            yield Happening(at=since, title=what, text=whose, weight=0, gap=gap)
        rest = [span for span in spans if span not in shown]
        if rest:
            gap = Gap(sum(map(_minutes, rest)), times=len(rest))
            yield Happening(at=rest[0][0], title=what, text=whose, weight=weight, gap=gap)


def _minutes(span: tuple[datetime, datetime]) -> int:
    return round((span[1].timestamp() - span[0].timestamp()) / 60)


def _others(events: Sequence[Any], zone: Any, called: dict[str, str]) -> Iterator[Happening]:
    """Yield the events that are no gap; those that are alike once."""
    alike: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for event in events:
        # Inverters come and go together.
        of = str(event.at.astimezone(zone).date()) if event.kind.startswith("inverter_") else event.subject
        alike[event.kind, of].append(event)
    for (kind, _), same in alike.items():
        for event in same if len(same) <= MOST_ALIKE else same[:1]:
            local = event.at.astimezone(zone)
            detail = in_local_time(event.detail or "", local.date(), zone)
            subject = event.subject or ""
            is_panel = subject.startswith("panel ")
            if is_panel:
                serial = subject.removeprefix("panel ")
                subject = called.get(serial, serial)
            elif subject in {"gateway", "grid", "collector"}:
                subject = ""
            text = f"{subject} {detail}" if is_panel else ": ".join(filter(None, (subject, detail)))
            if len(same) > MOST_ALIKE:
                text += f" (and {len(same) - 1} more alike)"
            title = TITLES.get(kind, kind.replace("_", " ").capitalize())
            weight = WEIGHT.get(kind, len(WEIGHT) + 2)
            yield Happening(at=local, title=title, text=text.strip(), weight=weight)
