"""One day of an array: what each panel made beside its neighbours.

Days that say nothing are left out: those that were hardly measured, dark ones and those with snow. Hours in which
inverters are clipped are left out of a day.

Walk: inverter_daily, inverter_hours -> rollups.panels -> here -> panels
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import NamedTuple

#: So many days before a day say what is usual of an array.
BEFORE = 60
#: A bright day has this much energy per power, h; and no less than this, Wh, for under snow no power is known.
BRIGHT_H, BRIGHT_WH = 1.0, 150.0
#: On days of less than this share of a usual day all panels lie under snow.
SNOW = 0.05
#: Of a day with a smaller share of the usual reports nothing is said; a panel with less than its neighbours' is silent.
MEASURED, HEARD = 0.8, 0.5
#: So few reports of a day say nothing about who is silent.
FEW_REPORTS = 4
#: A panel is dead on a day of which it makes a smaller share than this, and its neighbours more than this, Wh.
NOTHING, DEAD_PEERS_WH = 0.005, 500.0
#: So few panels can be neighbours to each other; with so many the median of all stands for the neighbours of each.
FEW, MANY = 2, 8
#: An inverter that gives this share of all it can is clipped; where so many days end level, it is clipped there.
CLIPPED, LEVEL, LEVEL_DAYS = 0.97, 0.985, 10

#: Wh, by local hour, None where unknown; empty where no hour is known
Hours = tuple[float | None, ...]


class PanelState(StrEnum):
    """How a panel does against its neighbours."""

    FINE = "fine"
    WEAK = "weak"
    DEAD = "dead"
    SILENT = "silent"
    REMOVED = "removed"
    SHADED = "shaded"


#: In which a panel makes nothing that neighbours could be compared with; in which it makes less.
LOST = (PanelState.DEAD, PanelState.SILENT, PanelState.REMOVED)
LOSING = (PanelState.WEAK, PanelState.SHADED)


class Unit(NamedTuple):
    """What one panel did on a day."""

    energy_wh: float | None
    reports: int
    hours_wh: Hours = ()
    peak_power_w: float | None = None


class ArrayDay(NamedTuple):
    """What an array did on a day; the medians of its panels."""

    day: int  #: its ordinal
    reports: float
    energy_wh: float | None
    peak_power_w: float | None
    highest_wh: float  #: the best hour of any panel
    best_wh: Mapping[str, float]  #: and of each


class Comparison(NamedTuple):
    """A panel beside its neighbours, on one day."""

    peers_wh: float  #: their median
    fault: PanelState | None  #: dead or silent on this day alone
    is_alive: bool  #: it made something, and was heard
    ratio: float | None  #: None where the day can't be compared
    hours_wh: Hours = ()  #: its own and its neighbours', None where one is not known or was clipped
    peers_hours_wh: Hours = ()


class Limits(NamedTuple):
    """What a panel and its inverter can give, where that is configured."""

    panel_w: float | None = None
    inverter_w: float | None = None


def array_day(day: int, units: Mapping[str, Unit], lost: Collection[str]) -> ArrayDay:
    """Return what the panels did together that are not ``lost``: dead, silent or removed the day before."""
    live = [unit for serial, unit in units.items() if serial not in lost and unit.reports]
    energies = [unit.energy_wh for unit in live if unit.energy_wh is not None]
    peaks = [unit.peak_power_w for unit in live if unit.peak_power_w is not None]
    best_wh = {serial: max(filter(None, unit.hours_wh), default=0.0) for serial, unit in units.items()}
    return ArrayDay(
        day,
        median([unit.reports for unit in live]) if live else 0.0,
        median(energies) if energies else None,
        median(peaks) if peaks else None,
        max((wh for serial, wh in best_wh.items() if serial not in lost), default=0.0),
        best_wh,
    )


def compare(
    today: ArrayDay,
    before: Sequence[ArrayDay],
    units: Mapping[str, Unit],
    states: Mapping[str, PanelState | None],
    limits: Limits,
) -> dict[str, Comparison]:
    """Return each panel beside its neighbours, on a day after the days ``before``; none that has no neighbours.

    ``states`` are those of the day before. Neighbours that lose do not count where enough are left that do not.
    """
    live = {serial: unit for serial, unit in units.items() if states.get(serial) not in LOST and unit.reports}
    fine = {serial: unit for serial, unit in live.items() if states.get(serial) not in LOSING}
    if len(fine) >= FEW:
        live = fine
    counts = _is_measured(today, before) and not _is_snow(today, before)
    peaks = [own.peak_power_w for own in (*before, today) if own.peak_power_w is not None]
    bright_wh = max(BRIGHT_WH, BRIGHT_H * (limits.panel_w or max(peaks, default=0.0)))
    clipped_w = limits.inverter_w or _level_wh([own.highest_wh for own in before])
    all_hours = _median_hours(live.values()) if len(live) >= MANY else ()
    found: dict[str, Comparison] = {}
    for serial, unit in units.items():
        peers = [own for other, own in live.items() if other != serial and own.energy_wh is not None]
        if not peers:
            continue
        peers_wh = median([own.energy_wh or 0.0 for own in peers])
        heard = median([own.reports for own in peers])
        is_silent = not unit.reports or (heard >= FEW_REPORTS and unit.reports < HEARD * heard)
        # One that reports without saying what it made is not known to be dead, nor alive.
        made_wh = None if is_silent else unit.energy_wh
        is_dead = made_wh is not None and made_wh <= NOTHING * peers_wh and peers_wh > DEAD_PEERS_WH
        fault = PanelState.SILENT if is_silent else PanelState.DEAD if is_dead else None
        comparison = Comparison(peers_wh, fault, made_wh is not None and made_wh > NOTHING * peers_wh, None)
        if comparison.is_alive and counts and unit.reports >= MEASURED * heard and peers_wh >= bright_wh:
            reference = all_hours or _median_hours(peers)
            both = zip(unit.hours_wh, reference, strict=bool(unit.hours_wh and reference))
            if any(own is not None and hour is not None for own, hour in both):
                level_wh = _level_wh([own.best_wh.get(serial, 0.0) for own in before])
                comparison = _by_hours(comparison, (unit.hours_wh, level_wh), (reference, clipped_w))
            else:  # Where reports are an hour apart, no hour was measured for itself.
                comparison = comparison._replace(ratio=(made_wh or 0.0) / peers_wh)
        found[serial] = comparison
    return found


def _is_measured(today: ArrayDay, before: Sequence[ArrayDay]) -> bool:
    usual = [own.reports for own in before[-14:] if own.reports]
    return today.reports > 0 and (not usual or today.reports >= MEASURED * median(usual))


def _is_snow(today: ArrayDay, before: Sequence[ArrayDay]) -> bool:
    usual = [own.energy_wh for own in before if own.energy_wh is not None]
    return today.energy_wh is not None and bool(usual) and today.energy_wh < SNOW * median(usual)


def _level_wh(highest_wh: Sequence[float]) -> float | None:
    """Return the height at which the best hours of many days end, or None."""
    top_wh = max(highest_wh, default=0.0)
    level = sum(wh >= LEVEL * top_wh for wh in highest_wh)
    return top_wh if top_wh and level >= LEVEL_DAYS else None


def _median_hours(units: Collection[Unit]) -> Hours:
    columns = zip(*(unit.hours_wh for unit in units if unit.hours_wh), strict=True)
    return tuple(median(known) if (known := [wh for wh in column if wh is not None]) else None for column in columns)


def _by_hours(comparison: Comparison, own: tuple[Hours, float | None], peers: tuple[Hours, float | None]) -> Comparison:
    """Return a comparison by the hours that can be compared: in which neither makes as much as it ever can."""
    (own_wh, own_level_wh), (peers_wh, level_wh) = own, peers
    pairs: list[tuple[float | None, float | None]] = []
    for wh, among_wh in zip(own_wh, peers_wh, strict=True):
        is_known = wh is not None and among_wh is not None
        is_clipped = _is_clipped(wh, own_level_wh) or _is_clipped(wh, level_wh) or _is_clipped(among_wh, level_wh)
        pairs.append((wh, among_wh) if is_known and not is_clipped else (None, None))
    own_kept, peers_kept = zip(*pairs, strict=True)
    made_wh = sum(filter(None, peers_kept))
    ratio = sum(filter(None, own_kept)) / made_wh if made_wh > 0 else None
    return comparison._replace(ratio=ratio, hours_wh=own_kept, peers_hours_wh=peers_kept)


def _is_clipped(wh: float | None, level_wh: float | None) -> bool:
    return wh is not None and level_wh is not None and wh >= CLIPPED * level_wh
