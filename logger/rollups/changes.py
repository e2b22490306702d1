"""Which days a rebuild changes, for people to see."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from logger.store.models import ENERGY_DAILY

#: day -> production, consumption, import and export (kWh), None where unknown
Totals = defaultdict[date, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class DayChange:
    """A day whose totals a rebuild changes; kWh, None where unknown."""

    gateway: str
    day: date
    production_kwh: tuple[float | None, ...]  #: before, after
    consumption_kwh: tuple[float | None, ...]
    grid_import_kwh: tuple[float | None, ...]
    grid_export_kwh: tuple[float | None, ...]


def totals(connection: Connection, gateway_id: int) -> Totals:
    """Return the totals of each day that is there."""
    columns = ENERGY_DAILY.c
    flows = (columns.production_wh, columns.consumption_wh, columns.grid_import_wh, columns.grid_export_wh)
    query = select(columns.day, *flows)
    days: Totals = defaultdict(lambda: (None,) * 4)
    for day, *each_wh in connection.execute(query.where(columns.gateway_id == gateway_id, columns.phase == "total")):
        days[day] = tuple(None if wh is None else round(wh / 1000, 6) for wh in each_wh)
    return days


def changes(gateway: str, before: Totals, after: Totals) -> list[DayChange]:
    """Return the days of a gateway whose totals are others."""
    return [
        DayChange(gateway, day, *zip(before[day], after[day], strict=True))
        for day in sorted({*before, *after})
        if before[day] != after[day]
    ]
