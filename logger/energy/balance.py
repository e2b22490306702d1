"""What the house used, also over a gap of one of the counters that it is the balance of.

Where a meter was silent its energy is spread evenly over the gap, while another's goes up and
down with the sun: quarter by quarter their balance means nothing, and only over the whole gap is
it what the house used. So it is spread evenly there too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from logger.clock import QUARTER_S
from logger.energy.series import RETIRED_S, Counted
from logger.energy.streams import (
    CHARGE,
    DISCHARGE,
    EXPORT,
    IMPORT,
    PRODUCTION,
    STANDBY,
    TOTAL,
)

#: What the house used is made of these, where it has a counter of its own and where it has none.
BATTERY = (CHARGE, DISCHARGE)
BALANCE = (PRODUCTION, IMPORT, EXPORT, STANDBY, *BATTERY)


def consumption(
    energy: Mapping[str, Mapping[int, int]], streams: Mapping[str, Counted], starts: Iterable[int]
) -> dict[int, int | None]:
    """Return what the house used in each quarter hour, mWh; None where it is not known."""
    used = {start: _used(energy, streams, start) for start in starts}
    has_battery = any(name in streams for name in BATTERY)
    # A counter of its own is measured, whatever the others are: only a battery makes it a balance.
    for own, names in ((True, (TOTAL, *BATTERY) if has_battery else ()), (False, BALANCE)):
        part = {start: mwh for start, mwh in used.items() if _has_own_counter(energy, start) is own}
        even_out(part, bridges_of({name: streams[name] for name in names if name in streams}))
        used |= part
    return used


def _has_own_counter(energy: Mapping[str, Mapping[int, int]], start: int) -> bool:
    return TOTAL in energy and energy[TOTAL].get(start) is not None


def _used(
    energy: Mapping[str, Mapping[int, int]], streams: Mapping[str, Counted], start: int
) -> int | None:
    """What the house used: C3 from its own CT, else C2 as the balance; C6 adds the battery."""
    parts: list[tuple[int, str]]
    if _has_own_counter(energy, start):
        parts = [(1, TOTAL)]
    elif IMPORT in streams:
        parts = [(1, PRODUCTION), (1, IMPORT), (-1, EXPORT)]
        # While it is silent, standby is too little to make consumption unknown.
        if STANDBY in streams and _has(streams[STANDBY], start, silent_s=0):
            parts.append((-1, STANDBY))
    else:
        return None
    if DISCHARGE in streams and _has(streams[DISCHARGE], start):
        parts += [(1, DISCHARGE), (-1, CHARGE)]
    total = 0
    for sign, name in parts:
        part = energy[name].get(start) if name in energy else None
        if part is None:
            return None
        total += sign * part
    return total


def _has(one: Counted, start: int, silent_s: int = RETIRED_S) -> bool:
    """Whether a stream belongs to the site in a quarter hour, though it may be silent for long."""
    return (
        one.first_s is not None
        and one.last is not None
        and one.first_s < start + QUARTER_S
        and start < one.last.at_s + silent_s
    )


def bridges_of(streams: Mapping[Any, Counted]) -> list[tuple[int, int]]:
    """Return the stretches over which some stream was bridged, joined where they overlap."""
    joined: list[tuple[int, int]] = []
    for start_s, end_s in sorted(one for stream in streams.values() for one in stream.bridges_s):
        if joined and start_s < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end_s, joined[-1][1])
        else:
            joined.append((start_s, end_s))
    return joined


def even_out(balance: dict[int, int | None], bridges_s: list[tuple[int, int]]) -> None:
    """Spread a balance (mWh by quarter hour) evenly over each bridge; its sum stays."""
    for start_s, end_s in bridges_s:
        first = start_s - start_s % QUARTER_S
        touched = [
            start for start in range(first, end_s, QUARTER_S) if balance.get(start) is not None
        ]
        inner = [s for s in touched if start_s <= s and s + QUARTER_S <= end_s]
        _share(balance, inner)
        if any((balance[start] or 0) < 0 for start in touched):
            _share(balance, touched)


def _share(balance: dict[int, int | None], starts: list[int]) -> None:
    """Give quarter hours equal shares of their sum, to the last milliwatt-hour."""
    total, given = sum(balance[start] or 0 for start in starts), 0
    for number, start in enumerate(starts, start=1):
        upto = total * number // len(starts)
        balance[start], given = upto - given, upto
