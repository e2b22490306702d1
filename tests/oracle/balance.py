"""What the house used, also over a gap of one of the counters that it is the balance of.

Where a meter was silent its energy is spread evenly over the gap, while another's goes up and down with the sun:
quarter by quarter their balance means nothing, and only over the whole gap is it what the house used. So it is spread
evenly there too. The same holds where a counter stood still for a while and then caught up, and where what follows
makes up for a balance below zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.oracle.clock import QUARTER_S
from tests.oracle.series import RETIRED_S, STALL_S, Counted
from tests.oracle.streams import CHARGE, DISCHARGE, EXPORT, IMPORT, PRODUCTION, STANDBY, TOTAL

#: What the house used is made of these, where it has a counter of its own and where it has none.
BATTERY = (CHARGE, DISCHARGE)
BALANCE = (PRODUCTION, IMPORT, EXPORT, STANDBY, *BATTERY)


#: A counter that stands still for longer is told and bridged; the quarter hours before it is.
CATCH_UP_S = STALL_S + QUARTER_S


class Used(NamedTuple):
    """What the house used."""

    energy_mwh: dict[int, int | None]  #: by quarter hour; None where it is not known
    evened_s: list[tuple[int, int]]  #: stretches over which it was spread, by their start
    open_s: list[int]  #: quarter hours below zero that what follows may still make up for


class Break(NamedTuple):
    """Two samples of a counter between which nothing is known of it: it began anew."""

    name: str
    start_s: int
    end_s: int


def consumption(
    energy: Mapping[str, Mapping[int, int]], streams: Mapping[str, Counted], starts: Sequence[int], settled_s: int
) -> Used:
    """Return what the house used in each quarter hour; those from ``settled_s`` on may change."""
    broken = _broken(streams)
    used = {start: _used(energy, streams, start, broken.get(start, ())) for start in starts}
    has_battery = any(name in streams for name in BATTERY)
    result = Used(used, [], [])
    # A counter of its own is measured, whatever the others are: only a battery makes it a balance.
    for own, names in ((True, (TOTAL, *BATTERY) if has_battery else ()), (False, BALANCE)):
        part = {start: mwh for start, mwh in used.items() if _has_own_counter(energy, start) is own}
        bridges_s = bridges_of({name: streams[name] for name in names if name in streams})
        even_out(part, bridges_s)
        for still_s in sorted(one for name in names for one in _stills_s(streams, name)):
            _even_below_zero(part, still_s)
        if names:
            evened_s, open_s = make_up(part, bridges_s, settled_s)
            result.evened_s.extend(evened_s)
            result.open_s.extend(open_s)
        used |= part
    result.evened_s.sort()
    return result


def _has_own_counter(energy: Mapping[str, Mapping[int, int]], start: int) -> bool:
    return TOTAL in energy and energy[TOTAL].get(start) is not None


def _broken(streams: Mapping[str, Counted]) -> dict[int, list[Break]]:
    """Return for each quarter hour which counters began anew, and what is unknown of them."""
    found: dict[int, list[Break]] = {}
    for name, one in streams.items():
        for start_s, end_s in one.breaks_s:
            for start in range(start_s - start_s % QUARTER_S, end_s, QUARTER_S):
                found.setdefault(start, []).append(Break(name, start_s, end_s))
    return found


def _used(
    energy: Mapping[str, Mapping[int, int]], streams: Mapping[str, Counted], start: int, broken: Sequence[Break]
) -> int | None:
    """What the house used: C3 from its own CT, else C2 as the balance; C6 adds the battery.

    While one of its counters was ``broken`` off, what the others counted is no balance.
    """
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
    if broken:
        names = [name for _, name in parts]
        holes_s = joined((one.start_s, one.end_s) for one in broken if one.name in names)
        for sign, name in parts:
            own_s = [(one.start_s, one.end_s) for one in broken if one.name == name]
            lost = sum(
                streams[name].grown_mwh(max(start_s, start), min(end_s, start + QUARTER_S))
                for start_s, end_s in holes_s
                if not any(a < end_s and start_s < b for a, b in own_s)
            )
            total -= sign * min(lost, energy[name][start])
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
    return joined(one for stream in streams.values() for one in stream.bridges_s)


def joined(stretches_s: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start_s, end_s in sorted(stretches_s):
        if found and start_s < found[-1][1]:
            found[-1] = found[-1][0], max(end_s, found[-1][1])
        else:
            found.append((start_s, end_s))
    return found


def even_out(balance: dict[int, int | None], bridges_s: list[tuple[int, int]]) -> None:
    """Spread a balance (mWh by quarter hour) evenly over each bridge; its sum stays."""
    for start_s, end_s in bridges_s:
        first = start_s - start_s % QUARTER_S
        touched = [start for start in range(first, end_s, QUARTER_S) if balance.get(start) is not None]
        inner = [s for s in touched if start_s <= s and s + QUARTER_S <= end_s]
        _share(balance, inner)
        if any((balance[start] or 0) < 0 for start in touched):
            _share(balance, touched)


def _stills_s(streams: Mapping[str, Counted], name: str) -> list[tuple[int, int]]:
    return streams[name].stills_s if name in streams else []


def _even_below_zero(balance: dict[int, int | None], still_s: tuple[int, int]) -> None:
    """Spread a balance over the time in which a counter stood still, if it is below zero there."""
    first = still_s[0] - still_s[0] % QUARTER_S
    touched = [s for s in range(first, still_s[1], QUARTER_S) if balance.get(s) is not None]
    if any((balance[start] or 0) < 0 for start in touched):
        _share(balance, touched)


def make_up(
    balance: dict[int, int | None], bridges_s: list[tuple[int, int]], settled_s: int
) -> tuple[list[tuple[int, int]], list[int]]:
    """Spread what is below zero over what follows, if that makes up for it soon.

    Return the stretches over which it was spread, and what may still be made up for by quarter
    hours from ``settled_s`` on.
    """
    bridged = {
        start for start_s, end_s in bridges_s for start in range(start_s - start_s % QUARTER_S, end_s, QUARTER_S)
    }
    evened_s: list[tuple[int, int]] = []
    open_s: list[int] = []
    below = sorted(start for start, mwh in balance.items() if (mwh or 0) < 0)
    for start in below:
        debt_mwh = balance[start] or 0
        if debt_mwh >= 0 or start in bridged:
            continue
        touched = [start]
        end_s = start + QUARTER_S
        while debt_mwh < 0 and end_s <= start + CATCH_UP_S and end_s not in bridged:
            following = balance.get(end_s)
            if following is None:
                break
            touched.append(end_s)
            debt_mwh += following
            end_s += QUARTER_S
        if debt_mwh >= 0:
            _share(balance, touched)
            evened_s.append((start, end_s))
        if end_s > settled_s or (debt_mwh < 0 and end_s == settled_s):
            open_s.append(start)
    return evened_s, open_s


def _share(balance: dict[int, int | None], starts: list[int]) -> None:
    """Give quarter hours equal shares of their sum, to the last milliwatt-hour."""
    total, given = sum(balance[start] or 0 for start in starts), 0
    for number, start in enumerate(starts, start=1):
        upto = total * number // len(starts)
        balance[start], given = upto - given, upto
