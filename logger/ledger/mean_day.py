"""Where the sun was: energy that was bridged lies where the site makes it, by its own mean day of the fortnight before.

The days before the gap's first are settled when the gap is, so that the same follows however it is counted. Where they
do not hold each quarter hour of the day that is needed, energy stays evenly spread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from logger.clock import QUARTER_S, day_start_s, local_day, quarter_start_s, utc_offset_s
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Stretch, Tie, joined, touched
from logger.ledger.limits import Stream

DAYS = timedelta(days=14)
QUARTERS = 96
#: What follows the sun, and is spread by it.
OF_THE_SUN = (Stream.PRODUCTION, Stream.EXPORT)

#: What a quarter hour of the day holds on average, mWh x 1000; None where no day knows
MeanDay = list[int | None]


class Measured(NamedTuple):
    """A quarter hour of which nothing was bridged."""

    starts_s: int
    production_mwh: int | None
    export_mwh: int | None


@dataclass(frozen=True, slots=True)
class History:
    """What was measured before a window."""

    zone: ZoneInfo
    #: phase, from, to -> what was measured in that time before the window
    measured: Callable[[str, int, int], Sequence[Measured]]
    #: since when gaps are spread by it; those before it evenly, as they were once
    since_s: Callable[[], int]


class _Laid(NamedTuple):
    """Energy that was bridged, laid where the sun was."""

    moved_mwh: dict[Stream, list[int]]  #: by how much each quarter hour holds more than evenly spread
    bridged_mwh: list[int]  #: of production

    def added_to(self, energy: Mapping[Stream, Energy]) -> dict[Stream, Energy]:
        """Return energies with what was moved."""
        found = dict(energy)
        for stream, moved in self.moved_mwh.items():
            found[stream] = [None if mwh is None else mwh + by for mwh, by in zip(energy[stream], moved, strict=True)]
        return found


def lay(
    energy: Mapping[Stream, Energy],
    streams: Mapping[Stream, Curve],
    edges_s: range,
    phase: str,
    history: History | None,
) -> tuple[dict[Stream, Energy], Sequence[int]]:
    """Return energy, what was bridged moved to where the sun was, and how much of production was bridged."""
    production = streams.get(Stream.PRODUCTION)
    bridged = [0] * (len(edges_s) - 1) if production is None else production.bridged(edges_s)
    stretches = sorted(
        (stretch_s, -OF_THE_SUN.index(stream))
        for stream in OF_THE_SUN
        if stream in streams
        for stretch_s in joined(streams[stream].stretches_s(Tie.BRIDGED))
    )
    laid = _Laid({}, bridged)
    if history is None or not stretches:
        return dict(energy), bridged
    days = _Days(history, phase, edges_s, {s: energy[s] for s in OF_THE_SUN if s in streams}, laid)
    begin_s = max(edges_s[0], history.since_s())
    # In order of time: what lies before a gap is laid before it.
    for (start_s, end_s), order in stretches:
        stream = OF_THE_SUN[-order]
        within = touched(edges_s, start_s, end_s)
        bounds_s = [start_s, *(edges_s[i] for i in within[1:]), end_s]
        counts = streams[stream].counts(bounds_s)
        pieces = days.shares(stream, counts[-1] - counts[0], (start_s, end_s)) if start_s >= begin_s else None
        if pieces is None or any(days.energy[stream][i] is None for i in within):
            continue
        moved = laid.moved_mwh.setdefault(stream, [0] * len(bridged))
        for i, mwh, before, after in zip(within, pieces, counts, counts[1:], strict=False):
            moved[i] += mwh - (after - before)
            if stream is Stream.PRODUCTION:
                bridged[i] += mwh - (after - before)
    return laid.added_to(energy), bridged


def shares(total_mwh: int, stretch_s: Stretch, mean: MeanDay, zone: ZoneInfo) -> list[int] | None:
    """Return how much of an energy each quarter hour of a stretch holds by a mean day; None where it does not know."""
    start_s, end_s = stretch_s
    weights = []
    for quarter_s in range(quarter_start_s(start_s), end_s, QUARTER_S):
        weight = mean[_of_day(quarter_s, zone)]
        if weight is None:
            return None
        weights.append(weight * (min(end_s, quarter_s + QUARTER_S) - max(start_s, quarter_s)))
    whole = sum(weights)
    if not whole:
        return None
    found, upto, given = [], 0, 0
    for weight in weights:
        upto += weight
        found.append(total_mwh * upto // whole - given)
        given += found[-1]
    return found


def mean_day(values: Sequence[tuple[int, int | None]], zone: ZoneInfo) -> MeanDay:
    """Return the mean day of quarter hours, by their start."""
    known: list[list[int]] = [[] for _ in range(QUARTERS)]
    for starts_s, mwh in values:
        if mwh is not None:
            known[_of_day(starts_s, zone)].append(mwh)
    return [sum(each) * 1000 // len(each) if each else None for each in known]


def fortnight_s(before_s: int, zone: ZoneInfo) -> Stretch:
    """Return the days before that of an instant, by which it is spread."""
    day = local_day(before_s, zone)
    return day_start_s(day - DAYS, zone), day_start_s(day, zone)


def _of_day(quarter_s: int, zone: ZoneInfo) -> int:
    return (quarter_s + utc_offset_s(quarter_s, zone)) % 86_400 // QUARTER_S


@dataclass
class _Days:
    """The mean days of a phase, by that before which they lie."""

    history: History
    phase: str
    edges_s: range
    energy: dict[Stream, Energy]  #: evenly spread
    laid: _Laid
    known: dict[Stretch, dict[Stream, MeanDay]] = field(default_factory=dict)

    def shares(self, stream: Stream, total_mwh: int, stretch_s: Stretch) -> list[int] | None:
        """Return how much of an energy each quarter hour holds: by that stream's mean day, or by production's."""
        before_s, zone = fortnight_s(stretch_s[0], self.history.zone), self.history.zone
        if before_s not in self.known:
            rows = [*self.history.measured(self.phase, *before_s), *self._within(*before_s)]
            self.known[before_s] = {
                Stream.EXPORT: mean_day([(row.starts_s, row.export_mwh) for row in rows], zone),
                Stream.PRODUCTION: mean_day([(row.starts_s, row.production_mwh) for row in rows], zone),
            }
        means = self.known[before_s]
        found = shares(total_mwh, stretch_s, means[stream], zone)
        return found or shares(total_mwh, stretch_s, means[Stream.PRODUCTION], zone)

    def _within(self, since_s: int, until_s: int) -> list[Measured]:
        """Return what was measured of the window itself."""
        energy = self.laid.added_to(self.energy)
        nothing: Energy = [None] * len(self.edges_s)
        produced, exported = (energy.get(stream, nothing) for stream in OF_THE_SUN)
        return [
            Measured(self.edges_s[i], produced[i], exported[i])
            for i in touched(self.edges_s, since_s, until_s)
            if not self.laid.bridged_mwh[i] and produced[i] is not None
        ]
