"""Small questions about what is stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from logger.store.database import backend
from logger.store.models import (
    BATTERIES,
    GATEWAYS,
    METADATA,
    POLLS,
    PRODUCTION_SAMPLES,
    SITE_STATES,
    STORAGE_SAMPLES,
    epoch,
)

#: how the problems of a damaged file begin
DAMAGED = "the file is damaged"


def gateways(connection: Connection) -> Sequence[Any]:
    """Return all gateway rows, in the order in which they were first seen."""
    return connection.execute(select(GATEWAYS).order_by(GATEWAYS.c.gateway_id)).all()


def ends_s(connection: Connection, column: ColumnElement[Any], gateway_id: int) -> tuple[int, int] | None:
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
    query = (
        select(epoch(PRODUCTION_SAMPLES.c.polled_at))
        .where(PRODUCTION_SAMPLES.c.gateway_id == gateway_id, PRODUCTION_SAMPLES.c.phase == "total")
        .order_by(PRODUCTION_SAMPLES.c.polled_at)
        .limit(500)
    )
    steps = sorted(after - before for before, after in pairwise(connection.execute(query).scalars()))
    return steps[len(steps) // 2] if steps else None


def battery_known_at(connection: Connection, gateway_id: int, before: datetime) -> datetime | None:
    """Return when the power of batteries was last known before an instant; None where that is longer than a day ago.

    From then on it matters what comes next: nothing is filled over more than a day.
    """
    columns = STORAGE_SAMPLES.c
    query = select(func.max(columns.polled_at)).where(
        columns.gateway_id == gateway_id,
        columns.power_w.is_not(None),
        columns.polled_at >= before - timedelta(days=1),
        columns.polled_at < before,
    )
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def logged_days(connection: Connection) -> float:
    """Return how many days of polls there are, the longest of all gateways."""
    column = POLLS.c.polled_at
    spans = [ends_s(connection, column, row.gateway_id) for row in gateways(connection)]
    return max((last - first for first, last in filter(None, spans)), default=0) / 86_400


def gateway_named(connection: Connection, name: str) -> Any:
    """Return the row of the newest gateway that goes by a name, or None."""
    query = select(GATEWAYS).where(GATEWAYS.c.name == name)
    return connection.execute(query.order_by(GATEWAYS.c.gateway_id.desc()).limit(1)).first()


def gateway_id_of(connection: Connection, serial: str) -> int | None:
    """Return the id of the gateway with a serial, or None before it was seen."""
    return connection.scalar(select(GATEWAYS.c.gateway_id).where(GATEWAYS.c.serial == serial))


def last_production_source(connection: Connection, gateway_id: int) -> str | None:
    """Return where a gateway's production last came from."""
    query = select(PRODUCTION_SAMPLES.c.source).where(PRODUCTION_SAMPLES.c.gateway_id == gateway_id)
    source: str | None = connection.scalar(query.order_by(PRODUCTION_SAMPLES.c.polled_at.desc()).limit(1))
    return source


def last_states(connection: Connection, gateway_id: int) -> dict[str, str | None]:
    """Return the states of a site's devices, by subject, as they last changed."""
    columns = SITE_STATES.c
    newest = (
        select(columns.subject, func.max(columns.at).label("at"))
        .where(columns.gateway_id == gateway_id)
        .group_by(columns.subject)
        .subquery()
    )
    same = (columns.gateway_id == gateway_id) & (columns.subject == newest.c.subject) & (columns.at == newest.c.at)
    found = connection.execute(select(columns.subject, columns.state).join(newest, same))
    return {row.subject: row.state for row in found}


def last_batteries(connection: Connection, gateway_id: int) -> list[str]:
    """Return the IQ Batteries that were listed within a day before the last poll, by serial."""
    columns, mine = BATTERIES.c, GATEWAYS.c.gateway_id == gateway_id
    last_at = connection.execute(select(GATEWAYS.c.last_seen_at).where(mine)).scalar_one_or_none()
    if last_at is None:
        return []
    lately = (columns.kind == "encharge") & (columns.last_seen_at >= last_at - timedelta(days=1))
    query = select(columns.serial).where(columns.gateway_id == gateway_id, lately).order_by(columns.serial)
    return list(connection.execute(query).scalars())


def problems(connection: Connection) -> list[str]:
    """Return what is broken in the database itself; nothing when it is sound."""
    found = [
        f"{DAMAGED}: {finding}"
        for (finding,) in connection.exec_driver_sql(backend(connection).INTEGRITY)
        if finding != "ok"
    ]
    return found + [f"{name} has rows of gateway {number}, which there is not" for name, number in strays(connection)]


def strays(connection: Connection) -> Iterator[tuple[str, int]]:
    """Yield the tables that have rows of a gateway which somebody deleted, and its id."""
    known = {row.gateway_id for row in gateways(connection)}
    for table in METADATA.sorted_tables:
        yield from ((table.name, number) for number in _gateway_ids(connection, table) if number not in known)


def _gateway_ids(connection: Connection, table: Table) -> Iterator[int]:
    """Return whose rows a table has, by one seek in its key for each."""
    column = table.c.get("gateway_id")
    if column is None:
        return
    query = select(func.min(column))
    number = connection.execute(query).scalar_one()
    while number is not None:
        yield number
        number = connection.execute(query.where(column > number)).scalar_one()
