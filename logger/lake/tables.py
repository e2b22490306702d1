"""Rows of a database as Arrow tables of a lake, month by month.

Walk: the tables of samples -> here -> lake.write
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select

from logger.lake.layout import arrow
from logger.store.database import backend, tuples

#: Rows that are turned into columns at a time.
BATCH = 20_000


def tables_of(connection: Connection, query: Select[Any], serial: str, schema: Any) -> Iterator[Any]:
    """Yield a query's rows as Arrow tables."""
    if (csv_lines := backend(connection).csv_lines) is not None:
        yield from _of_csv(csv_lines(connection, query), serial, schema)
        return
    rows = itertools.chain.from_iterable(tuples(connection, query))
    while batch := list(itertools.islice(rows, BATCH)):
        yield of_rows(batch, serial, schema)


def of_rows(batch: Sequence[Any], serial: str, schema: Any) -> Any:
    """Return rows as SQLite keeps them as an Arrow table."""
    pa = arrow()
    columns = [pa.repeat(serial, len(batch))]
    for of, values in zip(list(schema)[1:], zip(*batch, strict=True), strict=True):
        columns.append(_typed(pa.array(values), of.type))
    return pa.table(columns, schema=schema)


def _of_csv(lines: Iterable[bytes], serial: str, schema: Any) -> Iterator[Any]:
    """Yield lines that a server wrote as Arrow tables."""
    pa = arrow()
    from pyarrow import csv  # noqa: PLC0415 - an extra

    names = schema.names[1:]
    kinds = {
        name: pa.timestamp("s") if pa.types.is_timestamp(schema.field(name).type) else schema.field(name).type
        for name in names
    }
    source = io.BufferedReader(_Chunks(lines), 1 << 20)
    try:
        found = csv.open_csv(
            source,
            csv.ReadOptions(column_names=names, block_size=4 << 20),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types=kinds,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["1"],
                false_values=["0"],
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    for batch in found:
        columns = [pa.repeat(serial, len(batch))]
        columns += [_typed(batch.column(name), schema.field(name).type) for name in names]
        yield pa.table(columns, schema=schema)


def _typed(values: Any, kind: Any) -> Any:
    """Return a column with the type that it has in the lake; instants without an offset are UTC."""
    pa = arrow()
    if pa.types.is_null(values.type):
        return values.cast(kind)
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("s")).cast(pa.timestamp("us")).cast(kind)
    return values.cast(kind)


class _Chunks(io.RawIOBase):
    """Bytes as they come, as a file to read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how many bytes there were, 0 at the end."""
        while not self._rest:
            try:
                self._rest = memoryview(bytes(next(self._chunks)))
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def by_month(tables: Iterable[Any], time: str) -> Iterator[tuple[str, Iterator[Any]]]:
    """Yield each month and its parts of tables that are in order of time; the parts first, then the next month."""
    pa = arrow()

    def parts() -> Iterator[tuple[str, Any]]:
        for table in tables:
            months = pa.compute.strftime(table[time], format="%Y-%m")
            for month in sorted(pa.compute.unique(months).to_pylist()):
                yield month, table.filter(pa.compute.equal(months, month))

    for month, group in itertools.groupby(parts(), key=lambda part: part[0]):
        yield month, (part for _, part in group)
