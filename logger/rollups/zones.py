"""What of the configuration decides over totals: a gateway's time zone, and its cadence.

The zone says where days begin; changing it means a whole rebuild.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from logger.settings import GatewaySettings, Settings, normal_gap_s
from logger.store.models import GATEWAYS
from logger.store.queries import typical_step_s


def gap_s(connection: Connection, gateway_id: int, settings: Settings) -> int:
    """Return the longest normal step between samples of a gateway.

    By the configured cadence; where this gateway is not configured, by its samples.
    """
    table = GATEWAYS
    query = select(table.c.name).where(table.c.gateway_id == gateway_id)
    name = connection.execute(query).scalar_one()
    if any(one.name == name for one in settings.gateways):
        return settings.normal_gap_s
    return normal_gap_s(typical_step_s(connection, gateway_id) or settings.poll_every_s)


def adopt(connection: Connection, gateway_id: int, configured: Sequence[GatewaySettings]) -> bool:
    """Take over the configured time zone and peak power; return whether the zone changed."""
    table = GATEWAYS
    query = select(table.c.name, table.c.serial, table.c.time_zone)
    name, serial, zone = connection.execute(query.where(table.c.gateway_id == gateway_id)).one()
    for one in configured:
        if (one.serial or serial) != serial or (one.serial is None and one.name != name):
            continue
        wanted = one.time_zone or zone
        values = {"time_zone": wanted}
        if one.peak_power_kwp is not None:
            values["peak_power_kwp"] = one.peak_power_kwp
        connection.execute(update(table).where(table.c.gateway_id == gateway_id).values(values))
        return bool(wanted != zone)
    return False
