"""Consumption over a gap of one of the counters that it is the balance of.

Where a meter was silent its energy is spread evenly over the gap, while another's goes up and
down with the sun: quarter by quarter their balance means nothing, and only over the whole gap is
it what the house used. So it is spread evenly there too.
"""

from collections.abc import Mapping
from typing import Any

from logger.clock import QUARTER_S
from logger.energy.series import Counted


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
