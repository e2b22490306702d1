"""Many rows into PostgreSQL and out of it, by COPY."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from logger.errors import RowRefusedError
from logger.store.database import BATCH
from logger.store.models import UtcDateTime, epoch

#: kinds of columns -> the server's, whose binary form has as many bytes; the first that fits
BINARY: Sequence[tuple[Any, str]] = (
    (UtcDateTime, "int8"), (sa.Date, "int4"), (sa.SmallInteger, "int2"), (sa.Integer, "int4"),
    (sa.Boolean, "bool"), (sa.Double, "float8"), (sa.Text, "text"),
)  # fmt: skip
EPOCH_2000_S = 946_684_800
#: No two cursors of a connection have the same name.
_NUMBERS = count()


def bulk_insert(connection: Connection, table: Table, names: Sequence[str], batches: Iterable[Any]) -> None:
    """Insert rows by COPY."""
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection
    columns = ", ".join(f'"{name}"' for name in names)
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as out:
        for rows in batches:
            for row in rows:
                out.write_row(row)


def copied(column: ColumnElement[Any], source: Any) -> ColumnElement[Any]:
    """Return a column of either engine in the form that COPY's binary rows have: instants count from 2000.

    What has no such form stays as it is, so that ``copy_in`` refuses it.
    """
    form: ColumnElement[Any]
    if isinstance(column.type, UtcDateTime):
        form = (epoch(column) - EPOCH_2000_S) * 1_000_000
    elif isinstance(column.type, sa.Date):
        form = (epoch(column) - EPOCH_2000_S) // 86_400
    elif isinstance(column.type, sa.Integer):  # A larger number would be cut.
        most = 2**15 - 1 if isinstance(column.type, sa.SmallInteger) else 2**31 - 1
        form = sa.case((column.between(-most, most), column))
    else:
        return cast("ColumnElement[Any]", source.plain(column))
    return cast("ColumnElement[Any]", source.or_as_it_is(form, column))


def copy_in(connection: Connection, table: Table, batches: Iterable[Any]) -> None:
    """Insert rows of ``copied`` columns by COPY, in its binary form: the server has no text to read."""
    driver: Any = connection.connection.driver_connection
    columns = ", ".join(f'"{column.name}"' for column in table.c)
    command = f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT BINARY)'
    with driver.cursor() as cursor, cursor.copy(command) as out:
        out.set_types([next(name for kind, name in BINARY if isinstance(column.type, kind)) for column in table.c])
        write = out.write_row
        for rows in batches:
            for row in rows:
                try:
                    write(row)
                except (TypeError, OverflowError) as error:
                    raise RowRefusedError(f"A row of {table.name} holds what its columns can't: {row!r}.") from error


def stream(connection: Connection, query: str) -> Iterator[Sequence[Any]]:
    """Return the rows of SQL in batches, of which the server sends one at a time."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor(f"envoylog {next(_NUMBERS)}") as cursor:
        cursor.execute(query.replace("%%", "%"))  # They are doubled for a statement with parameters.
        while batch := cursor.fetchmany(BATCH):
            yield batch


def csv_lines(connection: Connection, query: sa.Select[Any]) -> Iterator[bytes]:
    """Return a query's rows as Python's ``csv`` would write them, made by the server: one part for each."""
    columns = [_as_csv(column).label(f"c{place}") for place, column in enumerate(query.selected_columns)]
    chosen = query.with_only_columns(*columns)
    text = str(chosen.compile(connection, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY ({text}) TO STDOUT (FORMAT csv)") as lines:
        yield from lines


def _as_csv(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(column.type, sa.Double):
        return column
    digits, whole = sa.cast(column, sa.Text), sa.cast(sa.cast(column, sa.Numeric), sa.Text)
    return sa.case(
        (column != sa.func.trunc(column), digits),
        (sa.func.abs(column) < 1e15, digits + ".0"),
        (sa.func.abs(column) < 1e16, whole + ".0"),
        else_=digits,
    )
