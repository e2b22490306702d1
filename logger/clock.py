"""The only place that reads the clock or knows what a local day is.

Instants are aware UTC with whole seconds; a day is a ``date`` of the gateway's time zone. Every offset that is in use
is a multiple of a quarter hour, so a quarter hour of UTC never straddles two local hours or days.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from logger.errors import SettingsError

Clock = Callable[[], datetime]

QUARTER_S = 900


def utc_now() -> datetime:
    """Return the present instant in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def epoch_now_s() -> float:
    """Return the present instant as epoch seconds with fraction."""
    return time.time()


def running_s() -> float:
    """Return seconds since the machine was started, also those in which it was suspended.

    Unlike the clock this can't be set.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def to_epoch_s(instant: datetime) -> int:
    """Return an aware instant as whole epoch seconds."""
    return int(instant.timestamp())


def from_epoch_s(epoch_s: float) -> datetime:
    """Return epoch seconds as an aware UTC instant, whole seconds."""
    return datetime.fromtimestamp(int(epoch_s), UTC)


@lru_cache(maxsize=1)
def machine_zone() -> tzinfo:
    """Return the time zone of this machine, as it was when this was first asked."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (KeyError, ValueError, OSError):
        return datetime.now(UTC).astimezone().tzinfo or UTC


def here(instant: datetime) -> datetime:
    """Return an instant in the time of this machine."""
    return instant.astimezone(machine_zone())


@lru_cache
def utc_text(epoch_s: int) -> str:
    """Return epoch seconds as people write instants of UTC."""
    return f"{from_epoch_s(epoch_s):%Y-%m-%d %H:%M:%S}"


def time_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name.

    Raises:
        SettingsError: the name is not a time zone.
    """
    try:
        # With leap seconds a day would begin some seconds late.
        return ZoneInfo("" if name.startswith("right/") else name)
    except (KeyError, ValueError, OSError) as error:
        sentence = f"time_zone {name[:60]!r} is not a known time zone; use an IANA name such as Europe/Amsterdam."
        raise SettingsError(sentence) from error


def quarter_start_s(epoch_s: int) -> int:
    """Return the start of the quarter hour that holds an epoch second."""
    return epoch_s - epoch_s % QUARTER_S


def utc_offset_s(epoch_s: int, zone: ZoneInfo) -> int:
    """Return how far the zone's local time runs ahead of UTC at an instant, in seconds."""
    offset = datetime.fromtimestamp(epoch_s, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def standard_offset_s(epoch_s: int, zone: ZoneInfo) -> int:
    """Return how far the zone's standard time runs ahead of UTC at an instant, in seconds."""
    saved = datetime.fromtimestamp(epoch_s, zone).dst()
    return utc_offset_s(epoch_s, zone) - (int(saved.total_seconds()) if saved is not None else 0)


def local_day(epoch_s: int, zone: ZoneInfo) -> date:
    """Return the local calendar date of an instant."""
    return datetime.fromtimestamp(epoch_s, zone).date()


@lru_cache(maxsize=4096)
def day_start_s(day: date, zone: ZoneInfo) -> int:
    """Return the first instant of a local day.

    Where the clock jumps over midnight (Santiago, in spring) the day starts at 01:00; where
    midnight comes twice, it starts at the first.
    """
    guess = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    while local_day(guess, zone) < day:
        guess += QUARTER_S
    while local_day(guess - QUARTER_S, zone) == day:
        guess -= QUARTER_S
    return guess


def day_end_s(day: date, zone: ZoneInfo) -> int:
    """Return the first instant after a local day."""
    return day_start_s(day + timedelta(days=1), zone)


def in_words(seconds: float) -> str:
    """Return how long something took or lasts, as exactly as it matters."""
    for unit, length_s, most in (("s", 1, 120), ("min", 60, 120), ("hours", 3600, 48)):
        if seconds < most * length_s:
            return f"{max(0, seconds) // length_s:.0f} {unit}"
    return f"{seconds // 86_400:.0f} days"
