"""The events of a day in words, in the time of its site.

Walk: events -> here -> quality
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from logger.reports.columns import SUSPECT

#: At most this many things of a day are described.
MAX_NOTES = 6
#: At most this many gaps of a day are listed, else the longest.
MAX_GAPS = 3
#: kind of event -> what the heading of its column calls it
NAMES = {
    "counter_reset": "reset",
    "counter_wrap": "wrap",
    "counter_dip": "dip",
    "suspect_increment": "suspect jump",
    "stalled_counter": "stall",
    "source_change": "source change",
}
#: how events write an instant of UTC
_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b")
_GAP = re.compile(rf"nothing measured for \d+ min, until ({_INSTANT.pattern})")


def in_words(events: Sequence[Any], day: date, zone: ZoneInfo) -> str:
    """Return what happened on a day; what casts doubt on all of it comes first."""
    notes = [*_others(events, day, zone, suspect=True), *_gaps(events, day, zone)]
    notes += _others(events, day, zone, suspect=False)
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"and {len(notes) - MAX_NOTES} more, see v_events"]
    return "; ".join(notes)


def in_local_time(text: str, day: date, zone: ZoneInfo) -> str:
    """Return a text with its instants as the site's clocks showed them, with the date where it is of another day."""
    return _INSTANT.sub(lambda found: _clock(datetime.fromisoformat(f"{found[0]}+00:00"), day, zone), text)


def _clock(at: datetime, day: date, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == day else f"{local:%Y-%m-%d %H:%M}"


def gap_of(event: Any) -> datetime | None:
    """Return until when nothing was measured; None where an event says so of nothing."""
    found = _GAP.fullmatch(event.detail or "")
    return datetime.fromisoformat(f"{found[1]}+00:00") if found and event.kind == "outage" else None


def _gaps(events: Sequence[Any], day: date, zone: ZoneInfo) -> Iterator[str]:
    """Yield when nothing was measured: once for the gateway, once for what else shared a gap."""
    gaps: dict[str, list[tuple[datetime, datetime]]] = {}
    for event in events:
        if (until := gap_of(event)) is not None:
            gaps.setdefault(event.subject, []).append((event.at.astimezone(UTC), until))
    for subject, spans in gaps.items():
        what = "nothing measured" if subject == "gateway" else f"{subject} not measured"
        minutes = round(sum((until - since).total_seconds() for since, until in spans) / 60)
        longest = max(spans, key=lambda span: span[1] - span[0])
        words = [
            f"{_clock(since, day, zone)} to {_clock(until, day, zone)}"
            for since, until in (spans if len(spans) <= MAX_GAPS else [longest])
        ]
        many = f" {len(spans)} times, {minutes} min in all, the longest"
        yield f"{what}{many if len(spans) > MAX_GAPS else ''} {' and '.join(words)}"


def _others(events: Sequence[Any], day: date, zone: ZoneInfo, *, suspect: bool) -> Iterator[str]:
    """Yield the events that are no gap, the first of those that are alike."""
    chosen = [event for event in events if (event.kind in SUSPECT) == suspect and gap_of(event) is None]
    alike = Counter((event.kind, event.subject) for event in chosen)
    for event in chosen:
        if not (times := alike.pop((event.kind, event.subject), 0)):
            continue
        again = f" (and {times - 1} more alike)" if times > 1 else ""
        name = NAMES.get(event.kind, event.kind)
        detail = in_local_time(event.detail or "", day, zone)
        said = ": ".join(filter(None, (event.subject, detail)))
        yield f"{_clock(event.at, day, zone)} {name}, {said}{again}"
