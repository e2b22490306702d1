"""Energy from power: only where no counter exists."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.oracle.clock import QUARTER_S, quarter_start_s
from tests.oracle.series import Counted
from tests.oracle.streams import CHARGE, DISCHARGE, EXPORT, IMPORT, PRODUCTION, TOTAL, Decision, limits_of


class Integrated(NamedTuple):
    """Energy (mWh) by quarter hour, and how much of each was measured."""

    imports_mwh: dict[int, float]
    exports_mwh: dict[int, float]
    covered_s: dict[int, int]


def integrate(times_s: Sequence[int], powers_w: Sequence[float | None], *, gap_s: int) -> Integrated:
    """Return import and export energy of a net power, by trapezoids.

    Only for a site that counts neither: steps longer than ``gap_s``, and those to and from an
    unknown power, are unknown, not zero.
    """
    imports: dict[int, float] = {}
    exports: dict[int, float] = {}
    covered_s: dict[int, int] = {}
    for i in range(1, len(times_s)):
        t0, t1, p0, p1 = times_s[i - 1], times_s[i], powers_w[i - 1], powers_w[i]
        if p0 is None or p1 is None or t1 - t0 > gap_s:
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
            covered_s[start] = covered_s.get(start, 0) + b - a
            a, pa, edge = b, pb, edge + QUARTER_S
    return Integrated(imports, exports, covered_s)


def believable(
    times_s: Sequence[int], powers_w: Sequence[float], bounds_w: Callable[[int], tuple[float, float]]
) -> tuple[list[float | None], list[list[tuple[int, float]]]]:
    """Return the powers with None for those that can't be, and the runs of these.

    ``bounds_w`` tells the least and the most power that a site can have at an instant.
    """
    good: list[float | None] = []
    bad: list[list[tuple[int, float]]] = []
    for at_s, power_w in zip(times_s, powers_w, strict=True):
        least_w, most_w = bounds_w(at_s)
        if least_w <= power_w <= most_w:
            good.append(power_w)
            continue
        if not good or good[-1] is not None:
            bad.append([])
        bad[-1].append((at_s, power_w))
        good.append(None)
    return good, bad


def _areas(p0: float, p1: float, over_s: int) -> tuple[float, float]:
    """Areas above and below zero under a straight line, in mWh."""
    if p0 >= 0 and p1 >= 0:
        return (p0 + p1) / 2 * over_s / 3.6, 0.0
    if p0 <= 0 and p1 <= 0:
        return 0.0, -(p0 + p1) / 2 * over_s / 3.6
    first_s = over_s * p0 / (p0 - p1)
    first, second = abs(p0) / 2 * first_s / 3.6, abs(p1) / 2 * (over_s - first_s) / 3.6
    return (first, second) if p0 > 0 else (second, first)


def most_w_of(streams: Mapping[str, Counted], peak_power_w: float | None, since_s: int) -> Callable[[str, int], float]:
    """Return the most power that a stream of a site can have at an instant.

    As for counters: by the site's peak power or the stream's own history, which ends with what was
    counted around that instant.
    """

    def most_w(name: str, at_s: int) -> float:
        one, limits = streams.get(name), limits_of(name, peak_power_w)
        state = one.state_at(max(at_s, since_s)) if one is not None else None
        if one is None or state is None:
            return limits.power_w(0, 0)
        around = {quarter_start_s(at_s - 1), quarter_start_s(at_s)}
        most_mwh = max(state.most_mwh, *(one.energy_mwh.get(start, 0) for start in around))
        return limits.power_w(most_mwh, state.at_s - state.first_s)

    return most_w


def net_bounds_w(
    streams: Mapping[str, Counted], most_w: Callable[[str, int], float]
) -> Callable[[int], tuple[float, float]]:
    """Return the least and the most net power that a site can have at an instant."""
    has_battery = DISCHARGE in streams or CHARGE in streams

    def bounds_w(at_s: int) -> tuple[float, float]:
        drawn_w = most_w(TOTAL, at_s)
        return -most_w(PRODUCTION, at_s) - (drawn_w if has_battery else 0), drawn_w

    return bounds_w


def suspects_of(runs: Iterable[Sequence[tuple[int, float]]], phase: str, since_s: int) -> Iterator[Decision]:
    """Return one decision for each run of net powers that can't be."""
    for run in runs:
        at_s = run[0][0]
        if at_s > since_s:
            # What comes later must not change what is told of it.
            detail = f"{run[0][1]:.0f} W is more than this site can have: left out, and what follows"
            yield Decision(at_s, "suspect_power", f"net power {phase}", detail)


def add_net(energy: dict[str, dict[int, int]], streams: Mapping[str, Counted], net: Integrated) -> None:
    """Add import and export from power to the energy of streams (rule C3).

    Where power was not measured they follow from the counters: there the difference of
    consumption and production is known, though not how much went either way in between. So import
    less export is right, and where the counters were silent too it is marked by lost coverage.
    """
    counted = energy.get(IMPORT, {})
    for name, made_mwh in ((IMPORT, net.imports_mwh), (EXPORT, net.exports_mwh)):
        energy[name] = dict(energy.get(name, {}))
        for start, mwh in made_mwh.items():
            energy[name][start] = energy[name].get(start, 0) + round(mwh)
    if PRODUCTION not in streams or TOTAL not in streams:
        return
    both = [one for one in (streams[PRODUCTION], streams[TOTAL]) if one.last is not None]
    begin_s = max(one.first_s or 0 for one in both)
    end_s = min(one.last.at_s for one in both if one.last)
    for start in sorted(energy[PRODUCTION].keys() & energy[TOTAL].keys() - counted.keys()):
        counted_s = min(start + QUARTER_S, end_s) - max(start, begin_s)
        if net.covered_s.get(start, 0) >= counted_s:
            continue
        bought, sold = energy[IMPORT].get(start, 0), energy[EXPORT].get(start, 0)
        missing = energy[TOTAL][start] - energy[PRODUCTION][start] - (bought - sold)
        energy[IMPORT][start] = bought + max(0, missing)
        energy[EXPORT][start] = sold + max(0, -missing)
