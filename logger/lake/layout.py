"""Where what lies in a lake, and what its files say of themselves.

::

    LAKE/production_samples/gateway=roof/month=2026-03/122334455667.parquet    a month of UTC
    LAKE/inverters/gateway=roof/122334455667.parquet                           what has no time

A file is of one gateway, by its serial: a lake may hold several databases, and two gateways of one name. Its schema
says the unit and the meaning of each column, and in its metadata, as JSON, of which gateway it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table, select

from logger.errors import NoDataError, StoreError
from logger.exports import need
from logger.store import models
from logger.store.models import DATA_DICTIONARY, UtcDateTime

#: tables of what was at an instant, by month
BY_MONTH: Sequence[Table] = (
    models.POLLS, models.PRODUCTION_SAMPLES, models.CONSUMPTION_SAMPLES, models.METER_READINGS, models.INVERTER_SAMPLES,
    models.BATTERY_SAMPLES, models.STORAGE_SAMPLES, models.SITE_STATES, models.EVENTS,
)  # fmt: skip
#: tables of what there is
STANDING: Sequence[Table] = (models.GATEWAYS, models.METERS, models.INVERTERS, models.BATTERIES, models.PANELS)
TABLES = (*STANDING, *BY_MONTH)
#: of the files, as they are now
FORMAT = 1
#: the key of a file's metadata that is ours
KEY = b"envoylog"
#: whose rows a file has, in each row
SERIAL = "gateway_serial"


class Place(NamedTuple):
    """A file of the lake, by what its path says."""

    table: str
    serial: str
    month: str  #: 2026-03; empty where the table has no time
    path: Path


def arrow() -> Any:
    """Return pyarrow.

    Raises:
        UsageError: the extra that it needs is not installed.
    """
    need("pyarrow", "parquet")
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.compute  # noqa: PLC0415 - an extra
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    return pa


def time_of(table: Table) -> Column[Any] | None:
    """Return the column by whose month a table's rows are parted; None where it has none."""
    if table not in BY_MONTH:
        return None
    return next(column for column in table.primary_key.columns if isinstance(column.type, UtcDateTime))


def columns_of(table: Table) -> list[Column[Any]]:
    """Return the columns that a lake has of a table: numbers of gateways are those of one database."""
    return [column for column in table.c if column.name not in {"gateway_id", "utc_offset_s"}]


def path_of(lake: Path, table: str, name: str | None, serial: str, month: str = "") -> Path:
    """Return where the file of a gateway lies."""
    folder = lake / table / f"gateway={quote(name or '', safe=' ')}"
    return (folder / f"month={month}" if month else folder) / f"{quote(serial, safe='')}.parquet"


def places(lake: Path, table: str) -> Iterator[Place]:
    """Yield the files of a table, in order; what begins with a dot or underscore is no part of it."""
    for path in sorted((lake / table).glob("gateway=*/**/*.parquet")):
        if path.name[0] not in "._":
            month = path.parent.name.removeprefix("month=") if path.parent.name.startswith("month=") else ""
            yield Place(table, unquote(path.stem), month, path)


def schema_of(table: Table, dictionary: Mapping[str, tuple[str | None, str]], known: Mapping[str, Any]) -> Any:
    """Return the Arrow schema of a table's files, with units and meanings, and what is known of their gateway."""
    pa = arrow()
    kinds: Sequence[tuple[Any, Any]] = (
        (UtcDateTime, pa.timestamp("us", tz="UTC")), (sa.Date, pa.date32()), (sa.Integer, pa.int64()),
        (sa.Boolean, pa.bool_()), (sa.Double, pa.float64()), (sa.Text, pa.string()),
    )  # fmt: skip
    fields = [pa.field(SERIAL, pa.string(), metadata={"meaning": "serial number of the gateway"})]
    for column in columns_of(table):
        kind = next(own for of, own in kinds if isinstance(column.type, of))
        unit, meaning = dictionary.get(column.name, (None, ""))
        fields.append(pa.field(column.name, kind, metadata={"unit": unit or "", "meaning": meaning}))
    text = json.dumps({"format": FORMAT, "table": table.name, **known}, sort_keys=True, default=str)
    return pa.schema(fields, {KEY: text.encode()})


def dictionary_of(connection: Connection, table: Table) -> dict[str, tuple[str | None, str]]:
    """Return the unit and meaning of each column of a table, as the database explains them."""
    columns = DATA_DICTIONARY.c
    query = select(columns.column, columns.unit, columns.meaning).where(columns.table == table.name)
    return {name: (unit, meaning) for name, unit, meaning in connection.execute(query)}


def is_whole(path: Path) -> bool:
    """Return whether a file is all there: its last bytes say what is in it."""
    pa = arrow()
    try:
        pa.parquet.read_metadata(path)
    except (pa.ArrowInvalid, FileNotFoundError):
        return False
    return True


def read(path: Path) -> Any:
    """Return a file of the lake as an Arrow table, whatever unit its instants have.

    Raises:
        StoreError: it is no whole file, or not of a lake.
    """
    pa = arrow()
    try:
        found = pa.parquet.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise BrokenPartitionError(path) from error
    for field in found.schema:
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            raise StoreError(
                f"{path}: {field.name} has no time zone, so nobody knows when that was; "
                "write this month again: envoylog export all --format parquet -o LAKE"
            )
    return found


def known_of(path: Path) -> dict[str, Any]:
    """Return what a file says of itself.

    Raises:
        StoreError: it is no whole file, or not of a lake, or of a newer program's.
    """
    pa = arrow()
    try:
        found = (pa.parquet.read_schema(path).metadata or {}).get(KEY)
    except (pa.ArrowInvalid, OSError) as error:
        raise BrokenPartitionError(path) from error
    if found is None:
        raise StoreError(f"{path} is no file of a lake that `envoylog export` wrote; take it out of there.")
    known: dict[str, Any] = json.loads(found)
    if known.get("format", 0) > FORMAT:
        raise StoreError(f"{path} was written by a newer envoylog; upgrade this one: pip install --upgrade envoylog")
    return known


def duckdb_views(lake: Path) -> str:
    """Return SQL that gives DuckDB the tables of a lake, each with the gateway and the month of its files.

    Raises:
        NoDataError: there is none.
    """
    found = [table for table in TABLES if next(places(lake, table.name), None) is not None]
    if not found:
        raise NoDataError(f"{lake} holds no samples; write some: envoylog export all --format parquet -o {lake}")
    lines = ["SET TimeZone = 'UTC';"]
    for table in found:
        files = lake / table.name / "gateway=*" / ("month=*/*.parquet" if table in BY_MONTH else "*.parquet")
        options = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"
        quoted = str(files).replace("'", "''")
        lines.append(f"CREATE OR REPLACE VIEW {table.name} AS SELECT * FROM read_parquet('{quoted}', {options});")  # noqa: S608
    return "\n".join(lines) + "\n"


class BrokenPartitionError(StoreError):
    """A file of a lake is not whole."""

    def __init__(self, path: Path) -> None:
        """Name the file, and the way to write it again."""
        month = path.parent.name.removeprefix("month=")
        span = f" --from {month} --to {month}" if month != path.parent.name else ""
        super().__init__(
            f"{path} is no whole Parquet file; was a copy of the lake interrupted? "
            f"Write it again: envoylog export all --format parquet -o LAKE{span}; "
            "or delete it, if no gateway of the database has the serial number that it is named after."
        )
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes the same error."""
        return type(self), (self.path,)
