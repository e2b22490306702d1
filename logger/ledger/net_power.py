"""Import and export from net power: only where a site counts neither (rule C3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from logger.clock import QUARTER_S, quarter_start_s
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve
from logger.ledger.limits import (
    CHARGE,
    CONSUMPTION_CT,
    DISCHARGE,
    EXPORT,
    IMPORT,
    PRODUCTION,
    limits_of,
)

#: stream, instant -> the most power (W) that it can have
MaxPower = Callable[[str, int], float]


class Decision(NamedTuple):
    """What the ledger decided about a stream, to be kept as an event."""

    at_s: int
    kind: str
    subject: str
    detail: str


class Integrated(NamedTuple):
    """Energy (mWh) by quarter hour, and how much of each was measured."""

    imports_mwh: dict[int, float]
    exports_mwh: dict[int, float]
    covered_s: dict[int, int]


def max_power_w(
    curves: Mapping[str, Curve], peak_power_w: float | None, edges_s: Sequence[int]
) -> MaxPower:
    """Return the most power that a stream of a site can have at an instant.

    As for registers: by the site's peak power or the stream's own history, which ends with what
    was counted around that instant.
    """
    energy: dict[str, Energy] = {}

    def max_w(name: str, at_s: int) -> float:
        curve, limits = curves.get(name), limits_of(name, peak_power_w)
        if limits.peak_w is not None or curve is None:
            return limits.power_w(0, 0)
        known_s = quarter_start_s(min(max(at_s, curve.since_s), curve.last_s))
        anchor = curve.anchor_at(known_s)
        if anchor is None or (curve.anchor is None and known_s == curve.since_s):
            return limits.power_w(0, 0)
        if name not in energy:
            energy[name] = curve.energy(edges_s)
        around = {(s - edges_s[0]) // QUARTER_S for s in (at_s - 1, at_s)}
        around_mwh = [energy[name][i] or 0 for i in around if 0 <= i < len(energy[name])]
        most_mwh = max(anchor.max_quarter_mwh, *around_mwh, 0)
        return limits.power_w(most_mwh, anchor.at_s - anchor.first_s)

    return max_w


def plausible(
    at_s: Sequence[int],
    power_w: Sequence[float],
    curves: Mapping[str, Curve],
    max_w: MaxPower,
) -> tuple[list[float | None], list[tuple[int, float]]]:
    """Return net powers with None for those that can't be, and the first of each run of these."""
    has_battery = DISCHARGE in curves or CHARGE in curves
    good: list[float | None] = []
    bad: list[tuple[int, float]] = []
    for at, watts in zip(at_s, power_w, strict=True):
        drawn_w = max_w(CONSUMPTION_CT, at)
        least_w = -max_w(PRODUCTION, at) - (drawn_w if has_battery else 0)
        if least_w <= watts <= drawn_w:
            good.append(watts)
            continue
        if not good or good[-1] is not None:
            bad.append((at, watts))
        good.append(None)
    return good, bad


def implausible_power_events(
    firsts: Sequence[tuple[int, float]], phase: str, since_s: int
) -> Iterator[Decision]:
    """Return one decision for each run of net powers that can't be, by its first."""
    for at_s, power_w in firsts:
        if at_s > since_s:
            # What comes later must not change what is reported of it.
            detail = f"{power_w:.0f} W is more than this site can have: left out, and what follows"
            yield Decision(at_s, "suspect_power", f"net power {phase}", detail)


def integrate(
    times_s: Sequence[int], powers_w: Sequence[float | None], *, gap_s: int
) -> Integrated:
    """Return import and export energy of a net power, by trapezoids.

    Steps longer than ``gap_s``, and those to and from an unknown power, are unknown, not zero.
    """
    result = Integrated({}, {}, {})
    for i in range(1, len(times_s)):
        t0, t1, p0, p1 = times_s[i - 1], times_s[i], powers_w[i - 1], powers_w[i]
        if p0 is None or p1 is None or t1 - t0 > gap_s:
            continue
        a, pa = t0, p0
        while a < t1:
            start = quarter_start_s(a)
            b = min(start + QUARTER_S, t1)
            pb = p0 + (p1 - p0) * (b - t0) / (t1 - t0)
            plus, minus = _areas(pa, pb, b - a)
            result.imports_mwh[start] = result.imports_mwh.get(start, 0.0) + plus
            result.exports_mwh[start] = result.exports_mwh.get(start, 0.0) + minus
            result.covered_s[start] = result.covered_s.get(start, 0) + b - a
            a, pa = b, pb
    return result


def _areas(p0: float, p1: float, over_s: int) -> tuple[float, float]:
    """Areas above and below zero under a straight line, in mWh."""
    if p0 >= 0 and p1 >= 0:
        return (p0 + p1) / 2 * over_s / 3.6, 0.0
    if p0 <= 0 and p1 <= 0:
        return 0.0, -(p0 + p1) / 2 * over_s / 3.6
    first_s = over_s * p0 / (p0 - p1)
    first, second = abs(p0) / 2 * first_s / 3.6, abs(p1) / 2 * (over_s - first_s) / 3.6
    return (first, second) if p0 > 0 else (second, first)


def add_net_power(
    energy: dict[str, Energy], curves: Mapping[str, Curve], net: Integrated, edges_s: range
) -> None:
    """Add import and export from power to the energy of streams.

    Where power was not measured they follow from the registers: there the difference of
    consumption and production is known, though not how much went either way in between. So import
    less export is right, and where the registers were silent too it is marked by lost coverage.
    """
    nothing: Energy = [None] * (len(edges_s) - 1)
    counted = energy.get(IMPORT, nothing)
    for name, added_mwh in ((IMPORT, net.imports_mwh), (EXPORT, net.exports_mwh)):
        energy[name] = [
            (mwh or 0) + round(added_mwh[start]) if start in added_mwh else mwh
            for start, mwh in zip(edges_s, energy.get(name, nothing), strict=False)
        ]
    if PRODUCTION not in curves or CONSUMPTION_CT not in curves:
        return
    both = curves[PRODUCTION], curves[CONSUMPTION_CT]
    begin_s, end_s = max(one.first_s for one in both), min(one.last_s for one in both)
    rows = zip(edges_s, energy[PRODUCTION], energy[CONSUMPTION_CT], counted, strict=False)
    for i, (start, produced, consumed, imported) in enumerate(rows):
        counted_s = min(start + QUARTER_S, end_s) - max(start, begin_s)
        if produced is None or consumed is None or imported is not None:
            continue
        if net.covered_s.get(start, 0) >= counted_s:
            continue
        bought, sold = energy[IMPORT][i] or 0, energy[EXPORT][i] or 0
        missing = consumed - produced - (bought - sold)
        energy[IMPORT][i] = bought + max(0, missing)
        energy[EXPORT][i] = sold + max(0, -missing)
