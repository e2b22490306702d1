"""Rows in place of those that are there, of which only what differs is written.

A row that stays is changed where it lies. SQLite then leaves alone the indexes of what is the same in it: the fewer
pages change, the longer a card lasts.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Table, and_, bindparam, delete, select, type_coerce
from sqlalchemy.types import NullType

from logger.store.database import backend, driver_rows

#: More rows than this are deleted and inserted all at once.
MANY = 300


def replace(
    connection: Connection,
    table: Table,
    gateway_id: int,
    since: date,
    until: date | None,
    rows: Sequence[Mapping[str, Any]],
) -> Any:
    """Replace a gateway's rows from an instant or day on, up to another with it, or all that come later.

    The table's key is the gateway, the time, and a series; the rows name all columns. Returns the first time of which
    something changed, as the driver gives it; None where nothing did.
    """
    names = tuple(table.c.keys())
    of: dict[str, Any] = {"gateway": gateway_id, "since": since} | ({} if until is None else {"until": until})
    keys, ends = len(table.primary_key), until is not None
    after = {row[:keys]: row for row in driver_rows(connection, table, names, rows)}
    found = connection.execute(_reading(table, ends=ends), of | {"most": len(after) + MANY + 1})
    before = {row[:keys]: row for row in map(tuple, found)}
    gone = [key for key in before if key not in after]
    new = [row for key, row in after.items() if before.get(key) != row]
    first = min((row[1] for row in (*gone, *new)), default=None)
    if len(gone) + len(new) > MANY:
        connection.execute(_deletion(table, ends=ends), of)
        if after:
            backend(connection).bulk_insert(connection, table, names, [after.values()])
        return first
    mark = backend(connection).MARK
    if gone:
        connection.exec_driver_sql(_removal(table, mark), gone)
    if new:
        stay = [(before[row[:keys]], row) for row in new if row[:keys] in before]
        differing = tuple(
            name for place, name in enumerate(names) if any(old[place] != row[place] for old, row in stay)
        )
        connection.exec_driver_sql(_upsert(table, mark, differing), new)
    return first


def _span(table: Table, *, ends: bool) -> ColumnElement[bool]:
    gateway, time, *_ = table.primary_key.columns
    span = and_(gateway == bindparam("gateway"), time >= bindparam("since"))
    return and_(span, time <= bindparam("until")) if ends else span


@lru_cache
def _reading(table: Table, *, ends: bool) -> Any:
    """Return the query of rows as the driver gives them, as which they are written too."""
    plain = [type_coerce(column, NullType()) for column in table.c]
    return select(*plain).where(_span(table, ends=ends)).limit(bindparam("most"))


@lru_cache
def _deletion(table: Table, *, ends: bool) -> Delete:
    return delete(table).where(_span(table, ends=ends))


@lru_cache
def _removal(table: Table, mark: str) -> str:
    key = " AND ".join(f'"{column.name}" = {mark}' for column in table.primary_key)
    return f'DELETE FROM "{table.name}" WHERE {key}'  # noqa: S608 - our own names


@lru_cache
def _upsert(table: Table, mark: str, differing: tuple[str, ...]) -> str:
    names, marks = ", ".join(f'"{column.name}"' for column in table.c), ", ".join([mark] * len(table.c))
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    rest = ", ".join(f'"{name}" = excluded."{name}"' for name in differing)
    change = f"UPDATE SET {rest}" if differing else "NOTHING"
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO {change}'  # noqa: S608 - our own names
