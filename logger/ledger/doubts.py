"""Where what the house consumed is not known although registers were read (rules R14, R19 and R22).

That is where the power of a battery is missing from the balance, where the house runs on another grid than the one that
the meter measures, and on single phases of a site whose batteries have no CT.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logger.clock import QUARTER_S, utc_text
from logger.ledger.battery import Account, Bound
from logger.ledger.consumption import Energy
from logger.ledger.curve import Curve, Decision, Stretch, touched
from logger.ledger.interpolation import interpolated
from logger.ledger.limits import Stream

#: What is known to this part of it is known.
KNOWN = 0.05
#: A meter that counts less in a quarter hour is on a grid without anything, mWh.
SILENT_MWH = 5_000
KIND, SUBJECT = "consumption_unknown", "consumption total"


class Island(NamedTuple):
    """A stretch in which the house was not on the utility's grid; ``end_s`` is None while it lasts."""

    start_s: int
    end_s: int | None
    is_generator: bool


@dataclass(frozen=True, slots=True)
class Doubts:
    """What makes a balance of registers less than known, on one phase."""

    battery: Account
    islands: Sequence[Island]
    streams: Mapping[Stream, Curve]
    edges_s: range
    is_total: bool

    @property
    def uncovered_s(self) -> Iterator[Stretch]:
        """Return when what it takes was not measured."""
        if self.is_total:
            yield from self.battery.uncovered_s
            if Stream.IMPORT in self.streams or self.has_battery:
                yield from ((self.edges_s[i], self.edges_s[i + 1]) for i in self._adrift())

    def resolve(self, balance: Energy, *, is_counted: bool) -> list[Stretch]:
        """Complete a balance by the batteries' power, None where it is unknown; return over what it is one.

        ``is_counted``: what the house consumed has a register of its own, and only batteries are added to it.
        """
        battery, edges_s = self.battery, self.edges_s
        unknown: set[int] = set()
        if not is_counted or self.has_battery:
            unknown.update(self._adrift())
        if not self.is_total:
            unknown.update(i for stretch_s in battery.there_s for i in touched(edges_s, *stretch_s))
            bounds: list[Bound] = []
        else:
            bounds = battery.bounds
            bounded = {bound[:2] for bound in bounds}
            unknown.update(i for gap in battery.gaps if gap not in bounded for i in self._touched(*gap))
            both = zip(balance, battery.discharge_mwh, battery.charge_mwh, strict=True)
            balance[:] = [None if mwh is None else mwh + (out or 0) - (into or 0) for mwh, out, into in both]
        for i in unknown:
            balance[i] = None
        return [bound[:2] for bound in bounds if self._is_bounded(balance, bound)]

    def decisions(self, consumed: Energy) -> Iterator[Decision]:
        """Return a decision where each unknown stretch begins, and one where it ends."""
        if not self.is_total or not self.streams.keys() & {Stream.IMPORT, Stream.CONSUMPTION_CT}:
            return
        stretches = [(*gap, "the power of the batteries is not known") for gap in self.battery.gaps]
        for start_s, end_s, is_generator in self.islands:
            stretches.append((start_s, end_s, "a generator runs" if is_generator else "the site is off grid"))
        for start_s, end_s, why in stretches:
            # An instant on midnight belongs to the day that it ends.
            for at_s, detail in ((start_s + 1, f"{why} from {utc_text(start_s)}"), (end_s, f"{why} until then")):
                i = -1 if at_s is None else (at_s - 1 - self.edges_s[0]) // QUARTER_S
                if at_s is not None and 0 <= i < len(consumed) and consumed[i] is None:
                    yield Decision(at_s, KIND, SUBJECT, detail)

    @property
    def has_battery(self) -> bool:
        """Whether what batteries do belongs to the balance."""
        return bool(self.battery.there_s) or Stream.DISCHARGE in self.streams

    def _adrift(self) -> Iterator[int]:
        """Return the quarter hours in which no balance of one grid is known."""
        for island in self.islands:
            yield from (i for i in self._touched(*island[:2]) if not self._is_balanced(island, i))

    def _touched(self, start_s: int, end_s: int | None) -> range:
        return touched(self.edges_s, start_s, self.edges_s[-1] if end_s is None else end_s)

    def _is_balanced(self, island: Island, i: int) -> bool:
        """Return whether the storage CT and a meter that counted nothing off the grid balance a quarter hour."""
        battery, meters = self.streams.get(Stream.DISCHARGE), (Stream.IMPORT, Stream.EXPORT)
        start_s = max(island.start_s, self.edges_s[i])
        end_s = min(self.edges_s[i + 1] if island.end_s is None else island.end_s, self.edges_s[i + 1])
        is_measured = battery is not None and battery.anchor.first_s <= start_s <= end_s <= battery.last_s
        if island.is_generator or not is_measured:
            return False
        for stream in meters:
            if (curve := self.streams.get(stream)) is None:
                return False
            at_s = curve.readings.at_s
            # What it counted since the reading before belongs to the grid that is back.
            last_s = at_s[max(0, bisect_left(at_s, end_s) - 1)] if end_s == island.end_s else end_s
            before_mwh, after_mwh = interpolated(at_s, curve.count_mwh, (start_s, max(start_s, last_s)))
            if after_mwh - before_mwh > SILENT_MWH:
                return False
        return True

    def _is_bounded(self, balance: Energy, bound: Bound) -> bool:
        """Put what batteries gave over a gap into a balance, if that is then known well enough."""
        edges_s, (start_s, end_s, least_mwh, most_mwh) = self.edges_s, bound
        within = touched(edges_s, start_s, end_s)
        known = [mwh for i in within if (mwh := balance[i]) is not None]
        given_mwh, off_mwh = (least_mwh + most_mwh) / 2, (most_mwh - least_mwh) / 2
        over = (end_s - start_s) / (QUARTER_S * len(within))
        if len(known) < len(within) or off_mwh > KNOWN * (sum(known) * over + given_mwh):
            for i in within:
                balance[i] = None
            return False
        put = 0
        for i in within:
            upto = round(given_mwh * (min(end_s, edges_s[i + 1]) - start_s) / (end_s - start_s))
            balance[i], put = (balance[i] or 0) + upto - put, upto
        return True
