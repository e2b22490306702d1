"""Small questions about what is stored."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from logger.store.models import GatewayRow, PollRow, table_of

_gateways = table_of(GatewayRow)


def gateways(connection: Connection) -> Sequence[Any]:
    """Return all gateway rows, in the order in which they were first seen."""
    return connection.execute(select(_gateways).order_by(_gateways.c.gateway_id)).all()


def gateway_id_of(connection: Connection, name: str) -> int | None:
    """Return the newest gateway that goes by a name."""
    query = select(func.max(_gateways.c.gateway_id)).where(_gateways.c.name == name)
    found: int | None = connection.execute(query).scalar_one()
    return found


def last_poll_at(connection: Connection, gateway_id: int) -> datetime | None:
    """Return when a gateway was last polled."""
    table = table_of(PollRow)
    query = select(func.max(table.c.polled_at)).where(table.c.gateway_id == gateway_id)
    found: datetime | None = connection.execute(query).scalar_one()
    return found
