"""Values between readings."""

from bisect import bisect_left
from collections.abc import Iterable


def interpolated(at_s: list[int], values_mwh: list[int], edges_s: Iterable[int]) -> list[int]:
    """Return values at instants in order; each step grows evenly."""
    found, after, size = [], 0, len(at_s)
    for edge_s in edges_s:
        after = bisect_left(at_s, edge_s, after)
        value_mwh = values_mwh[after] if after < size else values_mwh[-1]
        if after and value_mwh != (before_mwh := values_mwh[after - 1]):
            into_s, over_s = edge_s - at_s[after - 1], at_s[after] - at_s[after - 1]
            value_mwh = before_mwh + (value_mwh - before_mwh) * into_s // over_s
        found.append(value_mwh)
    return found
