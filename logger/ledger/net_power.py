"""Import and export from net power: only where a site counts neither (rule C3)."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Decision
from logger.ledger.limits import Stream, limits_of

#: stream, instant -> the most power (W) that it can have
MaxPower = Callable[[Stream, int], float]


class Integrated(NamedTuple):
    """Energy (mWh) by quarter hour, and how much of each was measured."""

    imports_mwh: list[float]
    exports_mwh: list[float]
    covered_s: list[int]


def max_power_w(curves: Mapping[Stream, Curve], peak_power_w: float | None) -> MaxPower:
    """Return the most power that a stream of a site can have at an instant.

    As for registers: by the site's peak power or the stream's own history, which ends with what
    was counted around that instant.
    """
    known: dict[tuple[Stream, int, int], float] = {}

    def max_w(stream: Stream, at_s: int) -> float:
        curve, limits = curves.get(stream), limits_of(stream, peak_power_w)
        if limits.peak_w is not None or curve is None:
            return limits.power_w(0, 0)
        key = stream, quarter_start_s(at_s - 1), quarter_start_s(at_s)
        if key not in known:
            edges_s = range(max(key[1], curve.since_s), key[2] + QUARTER_S + 1, QUARTER_S)
            around_mwh = [after - before for before, after in pairwise(curve.counts(edges_s))]
            known_s = max(curve.since_s, min(key[2], quarter_start_s(curve.last_s)))
            last = bisect_right(curve.readings.at_s, known_s) - 1
            known_for_s = curve.readings.at_s[last] - curve.anchor.first_s if last >= 0 else 0
            most_mwh = max([curve.max_quarter_mwh(known_s), *around_mwh]) if last >= 0 else 0
            known[key] = limits.power_w(most_mwh, known_for_s)
        return known[key]

    return max_w


def plausible(
    at_s: Sequence[int],
    powers_w: Sequence[float],
    curves: Mapping[Stream, Curve],
    max_w: MaxPower,
    battery_s: float = inf,
) -> list[float | None]:
    """Return net powers with None for those that the site can't have.

    ``battery_s`` is when one was first heard of that no CT measures.
    """
    has_battery = Stream.DISCHARGE in curves or Stream.CHARGE in curves
    found: list[float | None] = []
    for instant_s, power_w in zip(at_s, powers_w, strict=True):
        drawn_w = max_w(Stream.CONSUMPTION_CT, instant_s)
        given_w = max_w(Stream.PRODUCTION, instant_s) + (drawn_w if has_battery or instant_s >= battery_s else 0)
        found.append(power_w if -given_w <= power_w <= drawn_w else None)
    return found


def implausible_power_events(
    at_s: Sequence[int], powers_w: Sequence[float], found_w: Sequence[float | None], phase: str, since_s: int
) -> Iterator[Decision]:
    """Return one decision for each run of net powers that can't be."""
    was_plausible = True
    for instant_s, power_w, plausible_w in zip(at_s, powers_w, found_w, strict=True):
        if plausible_w is None and was_plausible and instant_s > since_s:
            # By the first of the run: what comes later must not change what is reported of it.
            detail = f"{power_w:.0f} W is more than this site can have: left out, and what follows"
            yield Decision(instant_s, "suspect_power", f"net power {phase}", detail)
        was_plausible = plausible_w is not None


def integrate(at_s: Sequence[int], powers_w: Sequence[float | None], edges_s: range, *, gap_s: int) -> Integrated:
    """Return import and export energy of a net power, by trapezoids.

    Steps longer than ``gap_s``, and those to and from an unknown power, are unknown, not zero.
    """
    count = len(edges_s) - 1
    result = Integrated([0.0] * count, [0.0] * count, [0] * count)
    for (t0, p0), (t1, p1) in pairwise(zip(at_s, powers_w, strict=True)):
        if p0 is None or p1 is None or t1 - t0 > gap_s:
            continue
        start_s, start_w = t0, p0
        while start_s < t1:
            end_s = min(quarter_start_s(start_s) + QUARTER_S, t1)
            end_w = p0 + (p1 - p0) * (end_s - t0) / (t1 - t0)
            plus_mwh, minus_mwh = _areas(start_w, end_w, end_s - start_s)
            i = (start_s - edges_s[0]) // QUARTER_S
            if 0 <= i < count:
                result.imports_mwh[i] += plus_mwh
                result.exports_mwh[i] += minus_mwh
                result.covered_s[i] += end_s - start_s
            start_s, start_w = end_s, end_w
    return result


def together(nets: Sequence[Integrated]) -> Integrated:
    """Return import and export of phases that are each counted for themselves."""
    every = [zip(*columns, strict=True) for columns in zip(*nets, strict=True)]
    imports, exports, covered = every
    return Integrated([sum(row) for row in imports], [sum(row) for row in exports], [min(row) for row in covered])


def _areas(p0: float, p1: float, over_s: int) -> tuple[float, float]:
    """Return the areas above and below zero under a straight line, in mWh."""
    if p0 * p1 < 0:
        zero_s = over_s * p0 / (p0 - p1)
        first, second = abs(p0) / 2 * zero_s / 3.6, abs(p1) / 2 * (over_s - zero_s) / 3.6
        return (first, second) if p0 > 0 else (second, first)
    area = (p0 + p1) / 2 * over_s / 3.6
    return max(0.0, area), max(0.0, -area)


def add_net_power(
    energy: dict[Stream, Energy], curves: Mapping[Stream, Curve], net: Integrated, edges_s: range
) -> None:
    """Add import and export from power to the energy of streams.

    Where power was not measured they follow from the registers: there the difference of
    consumption and production is known, though not how much went either way in between. So import
    less export is right, and where the registers were silent too it is marked by lost coverage.
    """
    nothing: Energy = [None] * len(net.covered_s)
    counted = energy.get(Stream.IMPORT, nothing)
    for stream, added in ((Stream.IMPORT, net.imports_mwh), (Stream.EXPORT, net.exports_mwh)):
        rows = zip(energy.get(stream, nothing), added, net.covered_s, strict=True)
        energy[stream] = [(mwh or 0) + round(more_mwh) if covered_s else mwh for mwh, more_mwh, covered_s in rows]
    if Stream.PRODUCTION not in curves or Stream.CONSUMPTION_CT not in curves:
        return
    both = curves[Stream.PRODUCTION], curves[Stream.CONSUMPTION_CT]
    begin_s = max(curve.anchor.first_s for curve in both)
    end_s = min(curve.last_s for curve in both)
    for i, covered_s in enumerate(net.covered_s):
        produced, consumed = energy[Stream.PRODUCTION][i], energy[Stream.CONSUMPTION_CT][i]
        counted_s = min(edges_s[i + 1], end_s) - max(edges_s[i], begin_s)
        if produced is None or consumed is None or counted[i] is not None or covered_s >= counted_s:
            continue
        grid_import, grid_export = energy[Stream.IMPORT][i] or 0, energy[Stream.EXPORT][i] or 0
        missing = consumed - produced - (grid_import - grid_export)
        energy[Stream.IMPORT][i] = grid_import + max(0, missing)
        energy[Stream.EXPORT][i] = grid_export + max(0, -missing)
