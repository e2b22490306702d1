"""Energy from power: only where no counter exists."""

from collections.abc import Sequence

from logger.clock import QUARTER_S


def integrate(
    times_s: Sequence[int], powers_w: Sequence[float], *, gap_s: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Return import and export energy (mWh per quarter hour) of a net power, by trapezoids.

    Only for a site that counts neither: steps longer than ``gap_s`` are unknown, not zero.
    """
    imports: dict[int, float] = {}
    exports: dict[int, float] = {}
    for i in range(1, len(times_s)):
        t0, t1, p0, p1 = times_s[i - 1], times_s[i], powers_w[i - 1], powers_w[i]
        if t1 - t0 > gap_s:
            continue
        edge = t0 - t0 % QUARTER_S + QUARTER_S
        a, pa = t0, p0
        while a < t1:
            b = min(edge, t1)
            pb = p0 + (p1 - p0) * (b - t0) / (t1 - t0)
            plus, minus = _areas(pa, pb, b - a)
            start = edge - QUARTER_S
            imports[start] = imports.get(start, 0.0) + plus
            exports[start] = exports.get(start, 0.0) + minus
            a, pa, edge = b, pb, edge + QUARTER_S
    return imports, exports


def _areas(p0: float, p1: float, over_s: int) -> tuple[float, float]:
    """Areas above and below zero under a straight line, in mWh."""
    if p0 >= 0 and p1 >= 0:
        return (p0 + p1) / 2 * over_s / 3.6, 0.0
    if p0 <= 0 and p1 <= 0:
        return 0.0, -(p0 + p1) / 2 * over_s / 3.6
    first_s = over_s * p0 / (p0 - p1)
    first, second = abs(p0) / 2 * first_s / 3.6, abs(p1) / 2 * (over_s - first_s) / 3.6
    return (first, second) if p0 > 0 else (second, first)
