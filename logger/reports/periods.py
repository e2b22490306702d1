"""What a user types for a date, and the periods between two of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, utc_offset_s
from logger.errors import UsageError

Kind = Literal["hourly", "daily", "monthly", "yearly"]
#: kind of report -> the columns that name a period: in its view, and in local time
PERIOD_LABELS: dict[Kind, tuple[str, ...]] = {
    "hourly": ("hour_starts_at", "local_hour"),
    "daily": ("day",),
    "monthly": ("month",),
    "yearly": ("year",),
}


class Period(NamedTuple):
    """An hour, day, month or year of local time."""

    text: str  #: how views name it
    labels: tuple[Any, ...]  #: how reports name it: its start, for an hour in UTC and in local time
    start_s: int  #: epoch seconds
    end_s: int


@dataclass(frozen=True, slots=True)
class Days:
    """Local calendar days, both ends included."""

    first: date
    last: date


WORDS = ("today", "yesterday", "last-month")


def parse(text: str, today: date) -> Days:
    """Return the days that a word, day, month or year names.

    Raises:
        UsageError: it names none.
    """
    yesterday, last_month = today - timedelta(days=1), today.replace(day=1) - timedelta(days=1)
    words = {"today": Days(today, today), "yesterday": Days(yesterday, yesterday),
             "last-month": Days(last_month.replace(day=1), last_month)}  # fmt: skip
    if text in words:
        return words[text]
    kinds: dict[int, tuple[Kind, str]] = {4: ("yearly", "-01-01"), 7: ("monthly", "-01")}
    kind, rest = kinds.get(len(text), ("daily", ""))
    try:
        first = date.fromisoformat(text + rest)
        return Days(first, next_period(kind, first) - timedelta(days=1))
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is no date; write 2026-03-29, 2026-03, 2026, today, yesterday or last-month."
        ) from error


def span(since: str | None, until: str | None, today: date) -> tuple[date | None, date | None]:
    """Return the first and last day of ``--from`` and ``--to``; None where not given.

    ``--from`` alone is from then on, but for a word: ``--from last-month`` is that month.
    """
    first = parse(since, today) if since else None
    last = parse(until, today) if until else first if since in WORDS else None
    begin, end = first.first if first else None, last.last if last else None
    if begin and end and begin > end:
        raise UsageError(
            f"The range ends ({end}) before it starts ({begin}); swap --from and --to."
        )
    return begin, end


def period_of(kind: Kind, day: date) -> date:
    """Return the first day of the period that holds a day."""
    if kind == "monthly":
        return day.replace(day=1)
    if kind == "yearly":
        return day.replace(month=1, day=1)
    return day


def next_period(kind: Kind, first: date) -> date:
    """Return the first day of the period after one."""
    if kind == "monthly":
        return (first + timedelta(days=32)).replace(day=1)
    if kind == "yearly":
        return first.replace(year=first.year + 1)
    return first + timedelta(days=1)


def text_of(kind: Kind, day: date) -> str:
    """Return how views name the period that starts on a day."""
    return {"monthly": f"{day:%Y-%m}", "yearly": f"{day:%Y}"}.get(kind, str(day))


def periods(kind: Kind, first: date, last: date, zone: ZoneInfo) -> Iterator[Period]:
    """Yield each period that has one of the days ``first`` to ``last``."""
    day = period_of(kind, first)
    start_s = day_start_s(day, zone)
    while kind != "hourly" and day <= last:
        text, day_of_next = text_of(kind, day), next_period(kind, day)
        label = {"daily": day, "yearly": day.year}.get(kind, text)
        end_s = day_start_s(day_of_next, zone)
        yield Period(text, (label,), start_s, end_s)
        day, start_s = day_of_next, end_s
    # The hour that comes twice in autumn is yielded twice.
    until_s = day_end_s(last, zone)
    while kind == "hourly" and start_s < until_s:
        offset_s, end_s = utc_offset_s(start_s, zone), start_s + QUARTER_S
        while (end_s + offset_s) % 3600 and utc_offset_s(end_s, zone) == offset_s:
            end_s += QUARTER_S
        at, local = (from_epoch_s(s).replace(tzinfo=None) for s in (start_s, start_s + offset_s))
        yield Period(str(at), (at, local), start_s, end_s)
        start_s = end_s
