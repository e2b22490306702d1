"""What is configured of panels, as the database keeps it."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from logger.settings import GatewaySettings
from logger.store.models import PANELS, ROLLUP_CHECKPOINTS

#: What panels did is decided anew from its beginning when this ledger has no checkpoint.
LEDGER = "panels"


def remember_panels(connection: Connection, gateway_id: int, settings: GatewaySettings) -> None:
    """Keep the names and arrays of a gateway's panels; where arrays change, all is to be decided anew."""
    rows: dict[str, dict[str, Any]] = {}
    for serial, name in settings.panel_names.items():
        rows[serial] = dict.fromkeys(PANELS.c.keys()) | {"serial": serial, "name": name}
    for array in settings.arrays:
        for serial in array.inverters:
            row = rows.setdefault(serial, dict.fromkeys(PANELS.c.keys()) | {"serial": serial})
            row |= {"array": array.name, "azimuth_deg": array.azimuth_deg, "tilt_deg": array.tilt_deg}
            row |= {"panel_w": array.panel_wp, "inverter_w": array.inverter_va}
    wanted = {serial: row | {"gateway_id": gateway_id} for serial, row in rows.items()}
    mine = PANELS.c.gateway_id == gateway_id
    known = {row.serial: row._asdict() for row in connection.execute(select(PANELS).where(mine))}
    if wanted == known:
        return
    connection.execute(delete(PANELS).where(mine))
    if wanted:
        connection.execute(insert(PANELS), list(wanted.values()))
    if _arrays(wanted) != _arrays(known):
        columns = ROLLUP_CHECKPOINTS.c
        connection.execute(delete(ROLLUP_CHECKPOINTS).where(columns.gateway_id == gateway_id, columns.ledger == LEDGER))


def _arrays(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return what decides about panels."""
    return {
        serial: (row["array"], row["panel_w"], row["inverter_w"])
        for serial, row in rows.items()
        if row["array"] is not None
    }
