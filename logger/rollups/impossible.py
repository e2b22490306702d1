"""What a site cannot do, decided here alone, of what was counted on a local day.

More export than there was to give, a balance of the house below zero, a production meter that is far from what the
inverters report: one of the CTs is missing, reversed or in the wrong place, or something at the site is not measured.
The figures stay as they were counted; an event names what to look at, and its day is suspect (reports.columns).

Decided from rollups only, so that pruned samples change nothing, and by quarter hours that were wholly measured: over a
gap energy is spread in other ways than it was used.

Walk: energy_15min, inverter_daily -> judge -> here -> events
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from logger.clock import QUARTER_S

#: How the subject of such a decision begins: others of its kind are reported by a poll.
SUBJECT = "day's "
KINDS = ("clamp_missing", "clamp_reversed", "ct_disagrees", "unseen_source")

#: CTs disagree by 2 % at most where all is well, and less is not worth a word: Wh, share of what was produced.
SLACK_WH, SLACK = 300.0, 0.03
#: What batteries report without a CT is up to 16 % low.
BATTERY_SLACK = 0.25
#: A production counter may lag by a quarter hour, or stand still for a while and catch up: s.
BLOCK_S = 2 * 3600
#: Below this share of the day's best quarter hour it is dark, and a grid that only takes is reversed.
DARK = 0.02
#: By so much (share of the larger) a CT may count less than the inverters, or more: some inverters fall silent.
LESS, MORE = 0.10, 0.25
#: A CT that counts less than this share of what the inverters made does not measure them.
NOTHING = 0.05
#: The gateway alone consumes more in a day, Wh.
IDLE_WH = 50.0
#: Less than this a day is too little to compare, Wh.
LEAST_WH = 500.0
#: Days are compared of which this share was wholly measured.
MEASURED = 0.95
#: So much of the daylight has to be covered by the inverters' reports.
COVERED = 0.9


class Quarter(NamedTuple):
    """What energy_15min has of a quarter hour of the total; Wh, None where unknown."""

    starts_s: int
    production_wh: float | None
    consumption_wh: float | None
    grid_import_wh: float | None
    grid_export_wh: float | None
    battery_charge_wh: float | None
    battery_discharge_wh: float | None
    battery_estimated_wh: float | None
    covered_s: int | None


class Unit(NamedTuple):
    """What inverter_daily has of an inverter."""

    energy_wh: float | None
    covered_s: int | None


class Day(NamedTuple):
    """What was counted of a gateway on a local day, or so far."""

    quarters: Sequence[Quarter]
    #: those of half a day before and after, as far as there are any
    around: Sequence[Quarter]
    units: Sequence[Unit]
    end_s: int  #: when it ends
    has_stalls: bool  #: a counter stood still on it, and caught up


class Finding(NamedTuple):
    """One thing that cannot be; an event's kind, subject and detail."""

    kind: str
    subject: str
    detail: str


class _Flows(NamedTuple):
    """Energy of some time, all of it known; Wh."""

    produced: float
    imported: float
    exported: float
    charged: float
    discharged: float
    estimated: float

    @property
    def excess_wh(self) -> float:
        """How much more was exported than was there to give."""
        return self.exported - self.produced - self.discharged

    @property
    def balance_wh(self) -> float:
        """What was left for the house, below zero too."""
        return self.produced + self.imported - self.exported + self.discharged - self.charged


def findings(day: Day) -> list[Finding]:
    """Return what cannot be of a day."""
    measured = [quarter for quarter in day.quarters if _is_measured(quarter)]
    is_over = bool(day.quarters) and day.quarters[-1].starts_s + QUARTER_S >= day.end_s
    found = [*_of_balance(measured, has_stalls=day.has_stalls)]
    # Over a gap energies that belong together are spread in different ways, those of inverters from dusk on.
    if is_over and len(measured) >= MEASURED * len(day.quarters):
        if not found:
            found += [*_of_ratio(day.quarters), *_of_nothing(day.quarters)]
        around = sum(map(_is_measured, day.around))
        if around >= MEASURED * len(day.around):
            found += _of_production(day)
    return found


def _is_measured(quarter: Quarter) -> bool:
    return (quarter.covered_s or 0) >= QUARTER_S


def _of_balance(measured: Sequence[Quarter], *, has_stalls: bool) -> Iterator[Finding]:
    """Find an export, or a balance of the house, that what was measured does not give."""
    known = [quarter for quarter in measured if quarter.consumption_wh is not None and _flows(quarter) is not None]
    blocks = [[*part] for _, part in groupby(known, lambda quarter: 0 if has_stalls else quarter.starts_s // BLOCK_S)]
    sums = [_sum(block) for block in blocks]
    whole = _sum(known)
    slack_wh = max(SLACK_WH, SLACK * (whole.produced + whole.discharged)) + BATTERY_SLACK * whole.estimated
    excess_wh = sum(max(0.0, flows.excess_wh) for flows in sums)
    missing_wh = sum(max(0.0, -flows.balance_wh) for flows in sums)
    if excess_wh > slack_wh:
        if _takes_only(known):
            detail = (
                f"{_kwh(whole.exported)} went to the grid, also in the dark, and next to nothing came from it then; "
                "look at the grid CT: it is the wrong way round, or something that is not measured produces"
            )
            yield Finding("clamp_reversed", f"{SUBJECT}export", detail)
        else:
            detail = (
                f"{_kwh(excess_wh)} more went to the grid than was produced; look for an inverter or battery that "
                "this gateway does not measure, a grid CT the wrong way round, or a consumption CT at the grid"
            )
            yield Finding("unseen_source", f"{SUBJECT}export", detail)
    elif missing_wh > slack_wh:
        detail = (
            f"what the house consumed comes out {_kwh(missing_wh)} below zero; look at the direction and the place "
            "of the production, grid and storage CTs"
        )
        yield Finding("ct_disagrees", f"{SUBJECT}consumption", detail)


def _takes_only(known: Iterable[Quarter]) -> bool:
    """Whether in the dark the grid was given to, and gave nothing: no house does that."""
    pairs = [(quarter, flows) for quarter in known if (flows := _flows(quarter))]
    best_wh = max((flows.produced for _, flows in pairs), default=0.0)
    dark = [flows for _, flows in pairs if flows.produced <= DARK * best_wh and not flows.discharged]
    given_wh, taken_wh = sum(flows.exported for flows in dark), sum(flows.imported for flows in dark)
    return given_wh > SLACK_WH and taken_wh < DARK * given_wh


def _of_ratio(quarters: Iterable[Quarter]) -> Iterator[Finding]:
    """Find a self-consumption outside of 0 to 100 %, though each hour could be."""
    both = [(q.production_wh, q.grid_export_wh) for q in quarters]
    produced = sum(wh for wh, _ in both if wh is not None)
    exported = sum(wh for _, wh in both if wh is not None)
    if produced > 0 and exported - produced > max(SLACK_WH, SLACK * produced):
        detail = (
            f"{_kwh(exported)} went to the grid and {_kwh(produced)} were produced; a battery that gives to the grid "
            "does that, or a grid or production CT in the wrong place"
        )
        yield Finding("ct_disagrees", f"{SUBJECT}self-consumption", detail)


def _of_nothing(quarters: Sequence[Quarter]) -> Iterator[Finding]:
    """Find a grid or a house that took nothing all day; with a battery it may."""
    if any(q.battery_charge_wh is not None or q.battery_discharge_wh is not None for q in quarters):
        return
    traded = [(q.grid_import_wh, q.grid_export_wh) for q in quarters]
    used = [q.consumption_wh for q in quarters if q.consumption_wh is not None]
    if len(used) == len(quarters) and sum(wh or 0.0 for both in traded for wh in both) < IDLE_WH:
        detail = "nothing came from the grid all day and nothing went there; look whether the grid CT has a clamp"
        yield Finding("clamp_missing", f"{SUBJECT}grid", detail)
    elif len(used) == len(quarters) and sum(used) < IDLE_WH:
        detail = "the house consumed nothing all day; look whether its CT has a clamp, and where that sits"
        yield Finding("clamp_missing", f"{SUBJECT}consumption", detail)


def _of_production(day: Day) -> Iterator[Finding]:
    """Find a production far from what the inverters report."""
    produced = [quarter.production_wh for quarter in day.quarters]
    known = [wh for wh in produced if wh is not None]
    units = [unit for unit in day.units if unit.energy_wh is not None]
    made_wh, counted_wh = sum(unit.energy_wh or 0.0 for unit in units), sum(known)
    if not known or not units or max(made_wh, counted_wh) < LEAST_WH:
        return
    both = f"production is {_kwh(counted_wh)}, what the inverters report {_kwh(made_wh)}"
    if counted_wh < NOTHING * made_wh:
        detail = f"{both}; look at the production CT: no clamp, or the wrong way round"
        yield Finding("clamp_missing", f"{SUBJECT}production", detail)
        return
    longest_s = max(unit.covered_s or 0 for unit in units)
    light_wh = NOTHING * max(known)
    daylight_s = QUARTER_S * sum(wh > light_wh for wh in known)
    if longest_s < COVERED * daylight_s:
        return
    if counted_wh < (1 - LESS) * made_wh:
        detail = f"{both}; look at the production CT: it misses some of the inverters, or a phase"
        yield Finding("ct_disagrees", f"{SUBJECT}production", detail)
    elif made_wh < (1 - MORE) * counted_wh and all(2 * (unit.covered_s or 0) >= longest_s for unit in units):
        detail = f"{both}; look for an inverter in the production CT that is not listed"
        yield Finding("ct_disagrees", f"{SUBJECT}production", detail)


def _flows(quarter: Quarter) -> _Flows | None:
    produced, imported, exported = quarter.production_wh, quarter.grid_import_wh, quarter.grid_export_wh
    if produced is None or imported is None or exported is None:
        return None
    battery = quarter.battery_charge_wh, quarter.battery_discharge_wh, quarter.battery_estimated_wh
    return _Flows(produced, imported, exported, *(wh or 0.0 for wh in battery))


def _sum(quarters: Iterable[Quarter]) -> _Flows:
    return _Flows._make(map(sum, zip((0.0,) * 6, *filter(None, map(_flows, quarters)), strict=True)))


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:.1f} kWh"
