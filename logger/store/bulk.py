"""Millions of rows from one database into another, by each driver's own fast way.

On the way a row is as SQLite keeps it: instants and days are text, yes and no are 1 and 0.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Date,
    Engine,
    ForeignKeyConstraint,
    Integer,
    Table,
    Text,
    cast,
    func,
    select,
)
from sqlalchemy.schema import AddConstraint, DropConstraint

from logger.store.database import UtcDateTime, is_file, rows
from logger.store.models import ENERGY_15MIN, INVERTER_DAILY


@contextlib.contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Read a database as it is now, however long it takes and whoever writes meanwhile.

    A file must have been opened read-only: otherwise reading would take the right to write.
    """
    if is_file(engine):
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
        return
    still = engine.execution_options(isolation_level="REPEATABLE READ")
    with still.connect() as connection:
        connection.exec_driver_sql("SET LOCAL DateStyle TO ISO")
        yield connection


@contextlib.contextmanager
def large_transaction(engine: Engine, *, is_new: bool) -> Iterator[Connection]:
    """Write everything or nothing.

    A new file keeps meanwhile that there was nothing, rather than all that is new beside it:
    half of the writing, and half of the room. Nobody can be using it yet.
    """
    if not is_file(engine):
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL TimeZone TO 'UTC'")
            yield connection
        return
    if is_new:
        _journal(engine, "DELETE")
    with engine.begin() as connection:
        yield connection
    if is_new:
        _journal(engine, "WAL")


def _journal(engine: Engine, mode: str) -> None:
    driver = engine.raw_connection()
    try:
        driver.cursor().execute(f"PRAGMA journal_mode={mode}")
    finally:
        driver.close()


def plain_rows(connection: Connection, table: Table) -> Iterator[Any]:
    """Return a table's rows in the order of its key, as SQLite keeps them."""
    columns = list(table.c) if is_file(connection) else [_plain(column) for column in table.c]
    return rows(connection, select(*columns).order_by(*table.primary_key.columns))


def _plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, UtcDateTime):
        return cast(func.timezone("UTC", column), Text)
    if isinstance(column.type, Date):
        return cast(column, Text)
    if isinstance(column.type, Boolean):
        return cast(column, Integer)
    return column


def pour(connection: Connection, table: Table, source: Iterator[Any]) -> None:
    """Insert rows that are as SQLite keeps them."""
    driver: Any = connection.connection.dbapi_connection
    names = ", ".join(f'"{column.name}"' for column in table.c)
    if is_file(connection):
        marks = ", ".join("?" * len(table.c))
        driver.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', source)  # noqa: S608 - our own names
        return
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as out:
        write = out.write_row
        for row in source:
            write(row)


@contextlib.contextmanager
def unbound(connection: Connection, tables: Sequence[Table]) -> Iterator[None]:
    """Let a server look at all foreign keys once at the end, rather than at each row.

    It would remember every new row of a table until then.
    """
    bonds = [
        one
        for table in tables
        for one in table.constraints
        if isinstance(one, ForeignKeyConstraint) and not is_file(connection)
    ]
    for one in bonds:
        connection.execute(DropConstraint(one))
    yield
    for one in bonds:
        connection.execute(AddConstraint(one))


def reserve_rollups(connection: Connection) -> None:
    """Let nobody else roll up until the end of the transaction, as a file does anyway.

    Reading goes on.
    """
    if not is_file(connection):
        names = ", ".join(table.name for table in (ENERGY_15MIN, INVERTER_DAILY))
        connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")


def empty(connection: Connection, tables: Sequence[Table]) -> None:
    """Delete all rows."""
    if is_file(connection):
        for table in reversed(tables):
            connection.execute(table.delete())
        return
    names = ", ".join(f'"{table.name}"' for table in tables)
    connection.exec_driver_sql(f"TRUNCATE {names}")


def vacuum(engine: Engine) -> None:
    """Give the room of deleted rows back to the disk (a file) or to new rows (a server)."""
    driver: Any = engine.raw_connection()
    try:
        if is_file(engine):
            driver.cursor().execute("VACUUM")
            driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            driver.dbapi_connection.autocommit = True
            driver.cursor().execute("VACUUM")
            driver.dbapi_connection.autocommit = False
    finally:
        driver.close()
