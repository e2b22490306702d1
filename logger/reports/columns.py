"""The columns of reports, and the only definition of every ratio, total and status.

Totals rows, the formulas of workbooks and the texts for people follow from what stands here; that the frozen texts of
the views agree is proved by tests/reports/test_views.py.

Walk: views -> reports.energy, details, quality -> here -> exports
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["final", "provisional", "suspect", "partial"]
Values = Sequence[float | None]  #: one for each row; None where unknown
Cells = Callable[[str], Sequence[Any]]  #: gives the values of a column or weight

#: Below this a period that is over is partial, not final.
COVERED_PCT = 95.0
#: Between two samples of a total's counter something was not counted, or what the house used is not known: that hour
#: and day are partial, however much was covered.
UNCOUNTED = ("counter_reset", "suspect_increment", "source_change", "consumption_unknown")
#: Import and export of a day are not known to a percent: it is partial, and none of its hours.
UNKNOWN_DAY = ("balance_estimated",)
#: What a site cannot do, or its gateway flags: the figures of such a day stay as they were counted, and are not to be
#: believed.
SUSPECT = ("clamp_missing", "clamp_reversed", "ct_disagrees", "unseen_source", "wiring_flagged")
#: status of a period -> what it means
STATUSES: dict[Status, str] = {
    "final": "over, and measured",
    "provisional": "the period runs",
    "suspect": "a day of it shows what the site cannot do, or its gateway flags a meter; an event has what to look at",
    "partial": f"below {COVERED_PCT:.0f} % coverage, or (hours and days) a counter was broken off, or (days) "
    "import and export of several phases are not known to 1 %",
}


def status_of(
    coverage_pct: float | None, *, is_over: bool, is_broken: bool = False, is_suspect: bool = False
) -> Status:
    """Return how sure a period is.

    ``is_broken`` where a total's counter was broken off in it; ``is_suspect`` where it has part of a suspect day.
    """
    if not is_over:
        return "provisional"
    if is_suspect:
        return "suspect"
    return "final" if (coverage_pct or 0.0) >= COVERED_PCT and not is_broken else "partial"


def sum_known(values: Iterable[float | None]) -> float | None:
    """Return the sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def max_known(values: Iterable[float | None]) -> float | None:
    """Return the largest of what is known; None where nothing is."""
    return max((value for value in values if value is not None), default=None)


def min_known(values: Iterable[float | None]) -> float | None:
    """Return the smallest of what is known; None where nothing is."""
    return min((value for value in values if value is not None), default=None)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A quotient of sums over the rows in which each input is known, never a mean of quotients.

    Unknown (None) where no row has all inputs, or the divisor is 0.
    """

    numerator: tuple[str, ...]  #: columns or weights: the first, less the others
    divisor: str
    factor: float = 100.0
    #: Unknown also while the first of the numerator is below the largest of this.
    least: str | None = None
    #: The divisor is a property of the gateway: it counts once for each that has a numerator, and where one of these
    #: lacks it the ratio is unknown.
    per_gateway: bool = False
    #: Never below zero, and unknown unless the divisor is above it.
    is_share: bool = False

    def terms(self, cells: Cells) -> tuple[Sequence[Values], Sequence[Values]]:
        """Return the columns that make the numerator and the divisor, each to be added up.

        Of a divisor ``per_gateway`` each column holds one gateway's, of which the largest counts; none where it is
        unknown.
        """
        if self.per_gateway:
            above = cells(self.numerator[0])
            rows = list(zip(cells("gateway"), above, cells(self.divisor), strict=True))
            weights = {gateway: weight for gateway, value, weight in rows if value is not None}
            divisors = [
                [weight if (own, value is None) == (gateway, False) else None for own, value, weight in rows]
                for gateway in weights
            ]
            return [above], [] if None in weights.values() else divisors
        columns = [cells(name) for name in (*self.numerator, self.divisor)]
        unknown = (None,) * len(columns)
        inputs = [unknown if None in row else row for row in zip(*columns, strict=True)]
        *numerator, divisor = zip(*inputs, strict=True)
        return numerator, [divisor]

    def of(self, cells: Cells) -> float | None:
        """Return the ratio over all rows."""
        numerator, divisors = self.terms(cells)
        added, *subtracted = map(sum_known, numerator)
        divisor = sum_known(map(max_known if self.per_gateway else sum_known, divisors))
        if added is None or not divisor or (self.is_share and divisor < 0):
            return None
        if self.least is not None:
            least = max_known(cells(self.least))
            if least is None or added < least:
                return None
        quotient = self.factor * (added - math.fsum(value or 0.0 for value in subtracted)) / divisor
        return max(0.0, quotient) if self.is_share else quotient


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: its name in csv, json and views, and what people read above it."""

    name: str
    title: str
    unit: str | None
    decimals: int
    total: Literal["sum", "max", "min"] | Ratio | None  #: how the totals row comes about
    meaning: str = ""

    @property
    def heading(self) -> str:
        """Return the title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def total_of(self, cells: Cells) -> float | None:
        """Return the total over all rows; None where unknown or without meaning."""
        if isinstance(self.total, Ratio):
            return self.total.of(cells)
        if self.total is None:
            return None
        return {"sum": sum_known, "max": max_known, "min": min_known}[self.total](cells(self.name))


def _kwh(name: str, title: str, meaning: str = "") -> Column:
    return Column(name, title, "kWh", 2, "sum", meaning)


def _count(name: str, title: str | None = None) -> Column:
    return Column(name, title or name.replace("_", " ").capitalize(), None, 0, "sum")


#: covered_s and period_s are weights: how long each row was measured, and how long it has lasted
COVERAGE = Column(
    "coverage_pct", "Coverage", "%", 1, Ratio(("covered_s",), "period_s"),
    "how much of the period was measured at the normal cadence",
)  # fmt: skip
BRIDGED = _kwh("bridged_kwh", "Bridged", "how much of the production came from one difference over an outage")
FLOWS = (
    _kwh("production_kwh", "Production", "what the site produced"),
    _kwh("consumption_kwh", "Consumption",
         "what the house used: production + import - export + battery discharge - battery charge, "
         "less what the inverters draw at night"),
    _kwh("grid_import_kwh", "Grid import", "what came from the grid"),
    _kwh("grid_export_kwh", "Grid export", "what went to the grid"),
    _kwh("battery_charge_kwh", "Battery charge", "what went into the battery"),
    _kwh("battery_discharge_kwh", "Battery discharge", "what came out of the battery"),
)  # fmt: skip
#: known_* are weights: of a month or year what lies on days that have all inputs of a ratio
ENERGY = (
    *FLOWS,
    _kwh("self_consumption_kwh", "Self-consumption", "production - export"),
    Column("self_consumption_pct", "Self-consumption", "%", 1,
           Ratio(("self_consumption_kwh",), "known_production_kwh"),
           "self-consumption / production"),
    Column("self_sufficiency_pct", "Self-sufficiency", "%", 1,
           Ratio(("known_consumption_kwh", "known_import_kwh"), "known_consumption_kwh", is_share=True),
           "(consumption - import) / consumption, never below 0"),
    # peak_power_kwp is a weight: what is configured for the gateway
    Column("specific_yield_kwh_per_kwp", "Specific yield", "kWh/kWp", 2,
           Ratio(("production_kwh",), "peak_power_kwp", factor=1.0, per_gateway=True),
           "production / peak power of the panels"),
    Column("peak_production_w", "Peak production", "W", 0, "max", "the highest power seen"),
    COVERAGE,
    BRIDGED,
)  # fmt: skip
#: per phase and day: the flows alone, as each phase's counters have them
PHASE = FLOWS
#: per day or month of a battery; throughput_kwh, estimated_kwh, capacity_kwh, drawn_kwh (what less was stored at its
#: end than before) and known_* (of days on which that is known) are weights
BATTERY = (
    _kwh("charge_kwh", "Charge", "what went into the battery"),
    _kwh("discharge_kwh", "Discharge", "what came out of it"),
    Column("estimated_pct", "Estimated", "%", 1, Ratio(("estimated_kwh",), "throughput_kwh"),
           "how much of both was integrated from power"),
    Column("min_soc_pct", "Lowest level", "%", 0, "min", "the lowest state of charge"),
    Column("max_soc_pct", "Highest level", "%", 0, "max", "the highest state of charge"),
    Column("cycles", "Cycles", None, 2, "sum", "discharge / capacity"),
    Column("efficiency_pct", "Efficiency", "%", 1,
           Ratio(("known_discharge_kwh", "drawn_kwh"), "known_charge_kwh", least="capacity_kwh"),
           "(discharge + what more was stored at the end) / charge; unknown below one cycle"),
    Column("outages", "Outages", None, 0, "sum", "how often the grid was lost"),
    Column("outage_minutes", "Without grid", "min", 0, "sum", "for how long"),
)  # fmt: skip
#: per inverter and day
INVERTER = (
    Column("energy_kwh", "Energy", "kWh", 3, "sum"),
    Column("peak_power_w", "Peak power", "W", 0, "max"),
    Column("covered_s", "Measured", "s", 0, None),
)
#: per panel and day
PANEL = (
    Column("energy_kwh", "Energy", "kWh", 3, "sum"),
    Column("peers_median_kwh", "Neighbours' median", "kWh", 3, "sum"),
    Column("relative_pct", "Against the usual", "%", 1, None),
)
INVERTERS_EXCESS = Ratio(("inverters_kwh", "production_kwh"), "production_kwh")
#: what happened on a day, and whether counters and inverters agree
QUALITY = (
    COVERAGE,
    Column("missing_s", "Missing", "s", 0, "sum"),
    BRIDGED,
    _count("polls"),
    _count("polls_failed", "Failed polls"),
    FLOWS[0],
    _kwh("inverters_kwh", "Inverters' sum"),
    Column("inverters_difference_pct", "Inverters over production", "%", 1, INVERTERS_EXCESS),
    *map(_count, ("gaps", "resets", "wraps", "dips")),
    _count("suspects", "Suspect jumps"),
    *map(_count, ("stalls", "source_changes")),
)
STATUS = "status"
NOTES = "notes"
#: headings of columns that hold no numbers, where they are not the name itself
LABELS = {
    "quarter_starts_at": "Quarter (UTC)",
    "local_quarter": "Quarter",
    "hour_starts_at": "Hour (UTC)",
    "local_hour": "Hour",
    "serial": "Inverter",
    "compared_with": "Compared with",
}
