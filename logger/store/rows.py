"""Rows into tables, in statements that are made once; those of a poll as plain values, as the driver takes them."""

from collections.abc import Callable, Sequence
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


def run(connection: Connection, statement: str, *values: Any) -> None:
    """Run a statement that has ``?`` for each of the values, which are as the driver takes them."""
    connection.exec_driver_sql(_marked(statement, backend(connection).MARK), values)


@lru_cache
def _marked(statement: str, mark: str) -> str:
    return statement.replace("?", mark)


@lru_cache
def _insert(table: str, names: tuple[str, ...], mark: str) -> str:
    marks = ", ".join([mark] * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows whose natural key is new; a row that is there stays as it is."""
    upsert(connection, table, rows, ())


def insert_new(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert a row whose natural key is new; return whether it was."""
    statement = _insertion(backend(connection).insert, table)
    return connection.execute(statement, row, execution_options={"preserve_rowcount": True}).rowcount == 1


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: Sequence[str]) -> None:
    """Insert rows; where the natural key exists, replace some columns."""
    if rows:
        connection.execute(_insertion(backend(connection).insert, table, tuple(replace)), list(rows))


@lru_cache
def _insertion(insert: Callable[[Table], Any], table: Table, replace: tuple[str, ...] = ()) -> Any:
    statement = insert(table)
    if not replace:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={name: statement.excluded[name] for name in replace}
    )
