"""What a site's quarter hours are as rows of the energy tables."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, select

from logger.clock import from_epoch_s, local_day, time_zone, utc_offset_s
from logger.energy.flows import Quarter
from logger.rollups.samples import Stretch
from logger.store.database import insert_all
from logger.store.models import (
    ENERGY_15MIN,
    ENERGY_DAILY,
    ENERGY_HOURLY,
    GATEWAYS,
)


@dataclass(frozen=True, slots=True)
class Site:
    """What the arithmetic must know of a gateway."""

    gateway_id: int
    name: str
    zone: ZoneInfo
    peak_power_w: float | None


def site_of(connection: Connection, gateway_id: int) -> Site:
    """Return what the database knows of a gateway."""
    table = GATEWAYS
    query = select(table.c.name, table.c.time_zone, table.c.peak_power_kwp)
    name, zone, peak_kwp = connection.execute(query.where(table.c.gateway_id == gateway_id)).one()
    peak_w = peak_kwp * 1000 if peak_kwp else None
    return Site(gateway_id, name, time_zone(zone or "UTC"), peak_w)


def write_quarters(
    connection: Connection,
    site: Site,
    since_s: int,
    quarters: list[Quarter],
    stretch: Stretch,
) -> None:
    """Replace the quarter hours of a site from an instant on."""
    table = ENERGY_15MIN
    connection.execute(
        delete(table).where(
            table.c.gateway_id == site.gateway_id, table.c.starts_at >= from_epoch_s(since_s)
        )
    )
    if not quarters:
        return
    offsets: dict[int, int] = {}
    made: list[dict[str, Any]] = []
    for quarter in quarters:
        start = quarter.starts_s
        offset = offsets.get(start)
        if offset is None:
            offset = offsets[start] = utc_offset_s(start, site.zone)
        row: dict[str, Any] = {
            "gateway_id": site.gateway_id,
            "starts_at": from_epoch_s(start),
            "phase": quarter.phase,
            "utc_offset_s": offset,
            "production_wh": _wh(quarter.production),
            "consumption_wh": _wh(quarter.consumption),
            "grid_import_wh": _wh(quarter.grid_import),
            "grid_export_wh": _wh(quarter.grid_export),
            "battery_charge_wh": _wh(quarter.battery_charge),
            "battery_discharge_wh": _wh(quarter.battery_discharge),
            "covered_s": quarter.covered_s,
            "bridged_wh": quarter.bridged / 1000,
        }
        total = quarter.phase == "total"
        for name, peaks in (
            ("production", stretch.production_peaks),
            ("consumption", stretch.consumption_peaks),
        ):
            peak = peaks.of.get(start) if total else None
            row[f"peak_{name}_w"] = peak[0] if peak else None
            row[f"peak_{name}_at"] = from_epoch_s(peak[1]) if peak else None
        made.append(row)
    insert_all(connection, table, made)


def _wh(energy_mwh: int | None) -> float | None:
    return None if energy_mwh is None else energy_mwh / 1000


def delete_rows(connection: Connection, site: Site, since_s: int, until_s: int | None) -> None:
    """Delete what was rolled up from an instant on, and up to another; whole days of days."""
    for table, column in (
        (ENERGY_15MIN, "starts_at"),
        (ENERGY_HOURLY, "starts_at"),
        (ENERGY_DAILY, "day"),
    ):

        def key(at_s: int, column: str = column) -> Any:
            return local_day(at_s, site.zone) if column == "day" else from_epoch_s(at_s)

        where = [table.c.gateway_id == site.gateway_id, table.c[column] >= key(since_s)]
        if until_s is not None:
            where.append(table.c[column] < key(until_s))
        connection.execute(delete(table).where(*where))
