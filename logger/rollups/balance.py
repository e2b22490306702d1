"""Whether a day's import and export are known where a utility's meter balances several phases.

What phases give each other between two polls is estimated (ledger.two_way). On a day with little export that may be
much of it: import and export are not known to a percent then, which is an event at the day's end and makes the day
partial.

Walk: ledger.flows -> here -> events
"""

from collections import deque
from collections.abc import Iterable
from itertools import groupby
from math import sqrt
from typing import NamedTuple

from logger.clock import QUARTER_S, day_end_s, day_start_s, local_day
from logger.ledger.curve import Decision
from logger.ledger.flows import Interval, Settlement
from logger.ledger.grid import Guess
from logger.rollups.site import Site

KIND = "balance_estimated"
SUBJECT = "balance total"
#: What is known to this share of itself is known; less than a watt-hour is nothing to anybody.
KNOWN = 0.01
LEAST_MWH = 1_000
#: A day of which no more than this is missing at its end may be final, s.
ENDS_WITHIN_S = 72 * 60


class Balance(NamedTuple):
    """What was counted of a local day up to an instant, and in how much doubt it is."""

    at_s: int  #: when the day began
    import_mwh: int = 0
    export_mwh: int = 0
    one_sided_mwh: int = 0  #: sum of the estimates that may be off to the same side
    square_mwh2: int = 0  #: sum of the squares of the others

    @property
    def off_mwh(self) -> float:
        """By how much import and export may be off.

        Measured with simulated houses, polls each 5, 60 and 300 s: days were off by 0.3 to 0.5 of the root on average,
        and rarely by more than it; with batteries by 0.4 of the sum, and by all of it at most.
        """
        return self.one_sided_mwh + sqrt(self.square_mwh2)


def settle_days(
    result: Settlement, before: Balance | None, site: Site, since_s: int
) -> tuple[list[Decision], Balance | None]:
    """Return which days of a window are not known to a percent, and what is known at its settled instant.

    ``before`` is what was known at ``since_s``; it is None where nothing is balanced.
    """
    if result.guesses is None and before is None:
        return [], None
    guesses = deque(guess for guess in result.guesses or () if guess.at_s >= since_s)
    totals = [interval for interval in result.intervals if interval.phase == "total"]
    decisions: list[Decision] = []
    settled = before
    if before is not None and not totals:
        # What was decided of a day before it was over lies ahead, and is decided anew with what lies there.
        day_ends_s = day_end_s(local_day(before.at_s, site.zone), site.zone)
        decisions += _decision(before, since_s, day_ends_s) if since_s < day_ends_s else []
    for begin_s, quarters in groupby(totals, lambda of: day_start_s(local_day(of.starts_s, site.zone), site.zone)):
        day = before if before is not None and before.at_s == begin_s else Balance(begin_s)
        end_s = begin_s
        for quarter in quarters:
            end_s = quarter.starts_s + QUARTER_S
            of_quarter = []
            while guesses and guesses[0].at_s < end_s:
                of_quarter.append(guesses.popleft())
            day = _with(day, quarter, of_quarter)
            if end_s == result.settled_s:
                settled = day
        decisions += _decision(day, end_s, day_end_s(local_day(begin_s, site.zone), site.zone))
    return decisions, settled


def _with(day: Balance, interval: Interval, guesses: Iterable[Guess]) -> Balance:
    one_sided_mwh, square_mwh2 = day.one_sided_mwh, day.square_mwh2
    for guess in guesses:
        if guess.is_one_sided:
            one_sided_mwh += guess.ways_mwh
        else:
            square_mwh2 += guess.ways_mwh**2
    return Balance(
        day.at_s,
        day.import_mwh + (interval.grid_import_mwh or 0),
        day.export_mwh + (interval.grid_export_mwh or 0),
        one_sided_mwh,
        square_mwh2,
    )


def _decision(day: Balance, until_s: int, end_s: int) -> list[Decision]:
    """Return that a day is not known to a percent, where it is not; of one that lasts, nothing yet."""
    flows = {"import": day.import_mwh, "export": day.export_mwh}
    if until_s < end_s - ENDS_WITHIN_S or day.off_mwh <= max(LEAST_MWH, KNOWN * min(flows.values())):
        return []
    words = [f"{name} {mwh / 1e6:.2f} kWh" for name, mwh in flows.items()]
    detail = (
        f"{' and '.join(words)} may be off by {max(0.01, day.off_mwh / 1e6):.2f} kWh: what the phases give each other "
        "between two polls is estimated; a shorter poll_every_s tells it better"
    )
    # The last second: until then it may change.
    return [Decision(end_s - 1, KIND, SUBJECT, detail)]
