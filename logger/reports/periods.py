"""What a user types for a date, and the periods between two of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from logger.clock import QUARTER_S, day_end_s, day_start_s, from_epoch_s, utc_offset_s
from logger.errors import UsageError

Text = str | None  #: what a user typed for a date or chose, if anything
Kind = Literal["quarter-hourly", "hourly", "daily", "monthly", "yearly"]
#: what an energy report is compared with
How = Literal["previous", "year-before"]
HOWS: tuple[How, ...] = ("previous", "year-before")
#: kind of report -> the columns that name a period: in its view, and in local time
PERIOD_LABELS: dict[Kind, tuple[str, ...]] = {
    "quarter-hourly": ("quarter_starts_at", "local_quarter"),
    "hourly": ("hour_starts_at", "local_hour"),
    "daily": ("day",),
    "monthly": ("month",),
    "yearly": ("year",),
}
#: kind of report -> the days that it is about unless others are asked for; all there are where none stands here
DEFAULT_DAYS = {
    "quarter-hourly": 1,
    "hourly": 1,
    "daily": 31,
    "phases": 7,
    "inverters": 7,
    "quality": 7,
    "battery": 31,
    "panels": 7,
}
WITHIN_A_DAY: tuple[Kind, ...] = ("quarter-hourly", "hourly")


class Period(NamedTuple):
    """A quarter hour, hour, day, month or year of local time."""

    text: str  #: how views name it
    labels: tuple[Any, ...]  #: how reports name it: its start, below a day in UTC and in local time
    start_s: int  #: epoch seconds
    end_s: int


@dataclass(frozen=True, slots=True)
class Days:
    """Local calendar days, both ends included."""

    first: date
    last: date


#: No gateway was there before, and no clock goes further.
EARLIEST_YEAR, LATEST_YEAR = 1990, 2100
WORDS = ("today", "yesterday", "this-month", "last-month", "this-year", "last-year")
#: the last days, today included: 7d
_LAST_DAYS = re.compile(r"([1-9]\d{0,3})d")


def parse(text: str, today: date) -> Days:
    """Return the days that a word, day, month or year names.

    Raises:
        UsageError: it names none.
    """
    if (last_days := _LAST_DAYS.fullmatch(text)) is not None:
        return Days(today - timedelta(days=int(last_days[1]) - 1), today)
    yesterday, month_before = today - timedelta(days=1), today.replace(day=1) - timedelta(days=1)
    meant = (today, yesterday, str(today)[:7], str(month_before)[:7], today.year, today.year - 1)
    asked, text = text, str(dict(zip(WORDS, meant, strict=True)).get(text, text))
    kind: Kind = "yearly" if len(text) == 4 else "monthly" if len(text) == 7 else "daily"
    refusal = UsageError(f"{asked!r} is no date; write 2026-03-29, 2026-03, 2026, 7d, {', '.join(WORDS)}.")
    try:
        first = date.fromisoformat(text + {"yearly": "-01-01", "monthly": "-01"}.get(kind, ""))
        found = Days(first, next_period(kind, first) - timedelta(days=1))
    except (ValueError, OverflowError) as error:
        raise refusal from error
    if not EARLIEST_YEAR <= first.year <= LATEST_YEAR:
        raise refusal
    return found


def span(since: Text, until: Text, today: date) -> tuple[date | None, date | None]:
    """Return the first and last day of ``--from`` and ``--to``; None where not given.

    ``--from`` alone is from then on, but for a word: ``--from last-month`` is that month.
    """
    first = parse(since, today) if since else None
    is_word = since in WORDS or _LAST_DAYS.fullmatch(since or "") is not None
    last = parse(until, today) if until else first if is_word else None
    begin, end = first.first if first else None, last.last if last else None
    if begin and end and begin > end:
        raise UsageError(f"The range ends ({end}) before it starts ({begin}); swap --from and --to.")
    return begin, end


def text_of(kind: Kind, day: date) -> str:
    """Return how views name the period that holds a day; what is shorter goes by its day."""
    return str(day)[: {"monthly": 7, "yearly": 4}.get(kind, 10)]


def period_of(kind: Kind, day: date) -> date:
    """Return the first day of the period that holds a day."""
    text = text_of(kind, day)
    return date.fromisoformat(text + "-01-01"[len(text) - 4 :])


def next_period(kind: Kind, first: date) -> date:
    """Return the first day of the next period."""
    longest = timedelta(days={"monthly": 32, "yearly": 366}.get(kind, 1))
    return period_of(kind, first + longest)


def periods(kind: Kind, first: date, last: date, zone: ZoneInfo) -> Iterator[Period]:
    """Yield each period that has one of the days ``first`` to ``last``."""
    day = period_of(kind, first)
    start_s = day_start_s(day, zone)
    while kind not in WITHIN_A_DAY and day <= last:
        text, day_of_next = text_of(kind, day), next_period(kind, day)
        label = {"daily": day, "yearly": day.year}.get(kind, text)
        end_s = day_start_s(day_of_next, zone)
        yield Period(text, (label,), start_s, end_s)
        day, start_s = day_of_next, end_s
    # The hour that comes twice in autumn is yielded twice.
    until_s = day_end_s(last, zone)
    while kind in WITHIN_A_DAY and start_s < until_s:
        offset_s, end_s = utc_offset_s(start_s, zone), start_s + QUARTER_S
        while kind == "hourly" and (end_s + offset_s) % 3600 and utc_offset_s(end_s, zone) == offset_s:
            end_s += QUARTER_S
        at, local = (from_epoch_s(s).replace(tzinfo=None) for s in (start_s, start_s + offset_s))
        yield Period(str(at), (at, local), start_s, end_s)
        start_s = end_s
