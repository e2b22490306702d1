"""Rows of values as a driver takes them, in statements that are made once: what is written with each poll."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table

from logger.store.database import backend

Row = tuple[Any, ...]


def is_new_row(connection: Connection, table: Table, names: tuple[str, ...], row: Row) -> bool:
    """Insert a row, unless its natural key is there already; return whether it was new."""
    mark = backend(connection).MARK
    counting = {"preserve_rowcount": True}
    return connection.exec_driver_sql(_insert(table.name, names, mark), row, counting).rowcount == 1


def insert_rows(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Insert rows whose natural key is new; a row that is there stays as it is.

    Those that come in the order of the key, behind all others, fill pages to their end and touch none twice.
    """
    if rows:
        connection.exec_driver_sql(_insert(table.name, names, backend(connection).MARK), list(rows))


@lru_cache
def _insert(table: str, names: tuple[str, ...], mark: str) -> str:
    marks = ", ".join([mark] * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
