"""The panels of a gateway, day by day: which there are, in which arrays, and what is known of each from before.

Walk: inverter_daily, inverter_hours, panels -> here -> ledger.panel_day, ledger.panels
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, select

from logger.ledger import panel_arrays
from logger.ledger.panel_day import (
    BEFORE,
    LOST,
    ArrayDay,
    Comparison,
    Hours,
    Limits,
    PanelState,
    Unit,
    array_day,
    compare,
)
from logger.ledger.panel_shape import HoursOf
from logger.ledger.panels import MEMORY, STREAK, Past, Verdict, decide
from logger.rollups.panel_list import PanelList
from logger.rollups.site import Site
from logger.store.database import rows
from logger.store.models import INVERTER_DAILY, INVERTER_HOURS, PANEL_DAILY, PANELS

#: Each so many days it is looked whether an array turns out to be several.
PART_DAYS = 7
#: Reports of a day whose number is not known come each five minutes of what was covered.
REPORT_S = 300


class Panel(NamedTuple):
    """What was decided of a panel on a day."""

    serial: str
    before: PanelState | None  #: the day before
    verdict: Verdict
    row: dict[str, Any]  #: of panel_daily, without its key


class PanelSite:
    """The panels of a gateway through the days from ``since`` up to ``until``; each is to be judged in turn."""

    def __init__(self, connection: Connection, site: Site, since: date, until: date) -> None:
        self._connection, self._site = connection, site
        self._units: defaultdict[int, dict[str, Unit]] = defaultdict(dict)  # by day
        self._states: defaultdict[int, dict[str, PanelState | None]] = defaultdict(dict)  # by day
        self._arrays: defaultdict[int, dict[str, str | None]] = defaultdict(dict)  # by day
        self._array_days: dict[tuple[str, int], ArrayDay] = {}
        self._compared: dict[tuple[str, int], dict[str, Comparison]] = {}
        self._pasts: dict[str, Past] = {}
        self._last: dict[str, PanelState | None] = {}  # state of the last day
        self._array_of: dict[str, str] = {}  # of the last day
        self._begin, end = since.toordinal(), until.toordinal()
        self._known_from = self._begin - BEFORE - STREAK
        self._configured = self._read_configured()
        self._list = PanelList(connection, site, since)
        self._read_units(self._known_from, end)
        self._read_past()

    def judge(self, day: int) -> Iterator[Panel]:
        """Yield what is decided of each panel on a day, in the order of their serials; none where nothing was heard."""
        units = self._units.get(day)
        if not units:
            return
        before = dict(self._last)
        listed = self._list.listed(day, units)
        self._place(day, listed)
        by_array: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        for serial in sorted(listed):
            by_array[self._array_of.get(serial, panel_arrays.ALL)][serial] = listed[serial]
            self._arrays[day][serial] = self._array_of.get(serial)
        verdicts: dict[str, Verdict] = {}
        for array, panels in by_array.items():
            pasts = {serial: self._pasts.setdefault(serial, Past()) for serial in panels}
            hours = {serial: self._hours_of(array, serial) for serial in panels}
            verdicts |= decide(day, panels, self._compare(array, day), pasts, hours)
        for serial, verdict in sorted(verdicts.items()):
            self._states[day][serial] = self._last[serial] = verdict.state
            unit = units.get(serial)
            compared = self._compared[self._array_of.get(serial, panel_arrays.ALL), day].get(serial)
            row = {
                "array": self._array_of.get(serial),
                "energy_wh": None if unit is None else unit.energy_wh,
                "peers_median_wh": None if compared is None else round(compared.peers_wh, 3),
                "ratio": verdict.ratio,
                "relative_pct": None if verdict.relative is None else round(100 * verdict.relative, 2),
                "state": None if verdict.state is None else verdict.state.value,
            }
            yield Panel(serial, before.get(serial), verdict, row)

    # -- which arrays
    def _place(self, day: int, listed: Mapping[str, bool]) -> None:
        """Say in which array each panel is; one that changes it begins anew."""
        new = {serial: self._configured[serial][0] for serial in listed if serial in self._configured}
        others = [serial for serial in listed if not new.get(serial)]
        known = {serial: array for serial in others if (array := self._array_of.get(serial))}
        if len(known) < len(others):
            known |= panel_arrays.found(self._middles_h(day, others), known)
        elif day % PART_DAYS == 0:
            known |= panel_arrays.parted(self._middles_h(day, others), known)
        for serial in listed:
            array = new.get(serial) or known.get(serial)
            if (self._array_of.get(serial) or panel_arrays.ALL) != (array or panel_arrays.ALL):
                self._pasts[serial] = Past()
            if array:
                self._array_of[serial] = array

    def _middles_h(self, day: int, serials: Sequence[str]) -> dict[str, float]:
        """Return the hours around which panels make their energy, of those where that is known."""
        middles = {}
        for serial in serials:
            days = [unit.hours_wh for own in range(day - BEFORE, day + 1) if (unit := self._units[own].get(serial))]
            middle_h = panel_arrays.middle_h(days)
            if middle_h is not None:
                middles[serial] = middle_h
        return middles

    # -- what they did beside each other
    def _compare(self, array: str, day: int) -> dict[str, Comparison]:
        """Return the panels of an array beside each other; those that are missing too."""
        found = self._compared.get((array, day))
        if found is None:
            serials = [own for own, name in self._arrays[day].items() if (name or panel_arrays.ALL) == array]
            units = {serial: self._units[day].get(serial, Unit(None, 0)) for serial in serials}
            before = [self._array_day(array, own) for own in range(day - BEFORE, day)]
            limits = next((self._configured[own][1] for own in serials if own in self._configured), Limits())
            today = self._array_day(array, day)
            found = compare(today, [own for own in before if own.reports], units, self._before(day), limits)
            self._compared[array, day] = found
        return found

    def _array_day(self, array: str, day: int) -> ArrayDay:
        found = self._array_days.get((array, day))
        if found is None:
            names = self._arrays[day]
            units = {
                serial: unit
                for serial, unit in self._units[day].items()
                if (names.get(serial) or panel_arrays.ALL) == array
            }
            found = self._array_days[array, day] = array_day(day, units, self._lost(day))
        return found

    def _lost(self, day: int) -> set[str]:
        """Return the panels that were dead, silent or removed the day before."""
        return {serial for serial, state in self._before(day).items() if state in LOST}

    def _before(self, day: int) -> Mapping[str, PanelState | None]:
        """Return the states of the day before."""
        return next((states for own in range(day - 1, day - STREAK, -1) if (states := self._states.get(own))), {})

    def _hours_of(self, array: str, serial: str) -> HoursOf:
        def hours(day: int) -> tuple[Hours, Hours]:
            if day < self._known_from + BEFORE:
                self._read_units(self._begin - MEMORY - BEFORE, self._known_from)
            compared = self._compare(array, day).get(serial)
            return (compared.hours_wh, compared.peers_hours_wh) if compared else ((), ())

        return hours

    # -- what is stored
    def _read_configured(self) -> dict[str, tuple[str | None, Limits]]:
        columns = PANELS.c
        query = select(columns.serial, columns.array, columns.panel_w, columns.inverter_w)
        found = self._connection.execute(query.where(columns.gateway_id == self._site.gateway_id))
        return {serial: (array, Limits(panel_w, inverter_w)) for serial, array, panel_w, inverter_w in found}

    def _read_units(self, begin: int, end: int) -> None:
        """Read what panels did on days, of which those from ``end`` on may be known."""
        self._known_from = min(self._known_from, begin)
        days, hours = INVERTER_DAILY.c, INVERTER_HOURS.c
        same = and_(hours.gateway_id == days.gateway_id, hours.day == days.day, hours.serial == days.serial)
        query = select(
            days.day, days.serial, days.energy_wh, days.peak_power_w, days.covered_s, hours.reports, hours.hours_wh
        ).select_from(INVERTER_DAILY.outerjoin(INVERTER_HOURS, same))
        first, last = date.fromordinal(max(1, begin)), date.fromordinal(end)
        query = query.where(days.gateway_id == self._site.gateway_id, days.day >= first, days.day < last)
        found = self._connection.execute(query.order_by(days.day, days.serial))
        for day, serial, energy_wh, peak_w, covered_s, reports, text in found:
            count = (covered_s or 0) // REPORT_S if reports is None else reports
            self._units[day.toordinal()][serial] = Unit(energy_wh, count, hours_from(text), peak_w)

    def _read_past(self) -> None:
        """Read what was decided of the days before."""
        columns = PANEL_DAILY.c
        begin, oldest = date.fromordinal(self._begin), date.fromordinal(max(1, self._begin - MEMORY - BEFORE))
        query = select(columns.day, columns.serial, columns.array, columns.state, columns.relative_pct, columns.ratio)
        query = query.where(columns.gateway_id == self._site.gateway_id, columns.day >= oldest, columns.day < begin)
        decided: defaultdict[int, list[Any]] = defaultdict(list)
        for day, *panel in rows(self._connection, query.order_by(columns.day, columns.serial)):
            decided[_ordinal(day)].append(panel)
        for day, panels in sorted(decided.items()):
            for serial, array, state, _, _ in panels:
                self._arrays[day][serial] = array
                self._states[day][serial] = self._last[serial] = state and PanelState(state)
            for serial, array, state, relative_pct, ratio in panels:
                if (array or panel_arrays.ALL) != self._array_of.get(serial, panel_arrays.ALL):
                    self._pasts[serial] = Past()
                if array:
                    self._array_of[serial] = array
                verdict = Verdict(day, state and PanelState(state), relative_pct and relative_pct / 100, ratio)
                compared = None
                if day >= self._begin - STREAK:
                    compared = self._compare(array or panel_arrays.ALL, day).get(serial)
                self._pasts.setdefault(serial, Past()).add(verdict, compared)


def hours_from(text: str | None) -> Hours:
    """Return the hours that a text holds, as ``hours_text`` wrote it."""
    return tuple(float(wh) if wh else None for wh in text.split(",")) if text else ()


def hours_text(hours_mwh: Hours) -> str:
    """Return hours as text: Wh with a decimal, parted by commas, empty where unknown."""
    return ",".join("" if mwh is None else f"{mwh / 1000:.1f}".removesuffix(".0") for mwh in hours_mwh)


def _ordinal(day: Any) -> int:
    return day.toordinal() if isinstance(day, date) else date.fromisoformat(day).toordinal()
