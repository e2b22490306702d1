"""Small questions about what is stored."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from logger.store.database import epoch
from logger.store.models import GATEWAYS, POLLS, PRODUCTION_SAMPLES

_gateways = GATEWAYS


def gateways(connection: Connection) -> Sequence[Any]:
    """Return all gateway rows, in the order in which they were first seen."""
    return connection.execute(select(_gateways).order_by(_gateways.c.gateway_id)).all()


def ends_s(
    connection: Connection, column: ColumnElement[Any], gateway_id: int
) -> tuple[int, int] | None:
    """Return a gateway's first and last instant in a table's time column, epoch seconds.

    Two seeks by the key: one query for both ends would read the whole table.
    """
    table = column.table
    mine = select(epoch(column)).where(table.c.gateway_id == gateway_id).limit(1)
    first_s = connection.execute(mine.order_by(column)).scalar_one_or_none()
    if first_s is None:
        return None
    return first_s, connection.execute(mine.order_by(column.desc())).scalar_one()


def typical_step_s(connection: Connection, gateway_id: int) -> int | None:
    """Return the median time between a gateway's first few hundred samples; None for too few."""
    table = PRODUCTION_SAMPLES
    query = (
        select(epoch(table.c.polled_at))
        .where(table.c.gateway_id == gateway_id, table.c.phase == "total")
        .order_by(table.c.polled_at)
        .limit(500)
    )
    times = list(connection.execute(query).scalars())
    steps = sorted(after - before for before, after in pairwise(times))
    return steps[len(steps) // 2] if steps else None


def logged_days(connection: Connection) -> float:
    """Return how many days of polls there are, the longest of all gateways."""
    column = POLLS.c.polled_at
    spans = [ends_s(connection, column, row.gateway_id) for row in gateways(connection)]
    return max((last - first for first, last in filter(None, spans)), default=0) / 86_400


def gateway_named(connection: Connection, name: str) -> Any:
    """Return the row of the newest gateway that goes by a name, or None."""
    query = select(_gateways).where(_gateways.c.name == name)
    return connection.execute(query.order_by(_gateways.c.gateway_id.desc()).limit(1)).first()


def last_production_source(connection: Connection, gateway_id: int) -> str | None:
    """Return where a gateway's production last came from."""
    table = PRODUCTION_SAMPLES
    query = select(table.c.source).where(table.c.gateway_id == gateway_id)
    found: str | None = connection.execute(
        query.order_by(table.c.polled_at.desc()).limit(1)
    ).scalar_one_or_none()
    return found


def last_poll_at(connection: Connection, gateway_id: int) -> datetime | None:
    """Return when a gateway was last polled."""
    table = POLLS
    query = select(func.max(table.c.polled_at)).where(table.c.gateway_id == gateway_id)
    found: datetime | None = connection.execute(query).scalar_one()
    return found
