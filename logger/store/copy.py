"""Everything of one database into another, of either engine: as it was at one instant."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select

from logger.errors import StoreError
from logger.store import bulk, maintenance
from logger.store.collectorlock import collector_lock
from logger.store.database import translated_errors
from logger.store.models import DATA_DICTIONARY, METADATA

#: Gateways first; the dictionary comes with the schema.
TABLES: Sequence[Table] = [
    table for table in METADATA.sorted_tables if table is not DATA_DICTIONARY
]
BATCH = 10_000

#: hears the table, how many rows were read, and how many of all tables there are
Step = Callable[[str, int, int], None]


def copy(source: Engine, target: Engine, step: Step | None = None) -> dict[str, int]:
    """Copy all rows into a database that holds none; return how many of each table.

    The target gets its tables if it has none. It has everything or nothing at the end.

    Raises:
        StoreError: the target holds data, or either can't be used.
        CollectorRunningError: a collector has the target.
    """
    return _copy(source, target, step, replacing=False)


def replace(source: Engine, target: Engine, step: Step | None = None) -> dict[str, int]:
    """The same, in the place of what the target holds.

    Raises:
        StoreError: either can't be used; the target stays as it was.
        CollectorRunningError: a collector has the target.
    """
    return _copy(source, target, step, replacing=True)


def _copy(source: Engine, target: Engine, step: Step | None, *, replacing: bool) -> dict[str, int]:
    with translated_errors(), collector_lock(target), bulk.snapshot(source) as here:
        found = maintenance.current(target)
        if found is not None:
            maintenance.refuse_newer(found)
        counts = {table.name: _count(here, table) for table in TABLES}
        total = sum(counts.values())
        with bulk.large_transaction(target, is_new=found is None) as there:
            if found != maintenance.head():
                maintenance.migrate(there, "head")
            if replacing:
                bulk.empty(there, TABLES)
            elif held := [table.name for table in TABLES if _holds(there, table)]:
                raise StoreError(
                    f"The target holds data already ({', '.join(held[:3])}), so nothing was "
                    "copied; name an empty or new database."
                )
            with bulk.unbound(there, TABLES):
                for table in TABLES:
                    source_rows = bulk.plain_rows(here, table)
                    bulk.pour(there, table, _told(source_rows, table.name, total, step))
            for table in TABLES:
                if (arrived := _count(there, table)) != counts[table.name]:
                    raise StoreError(
                        f"{arrived} of {counts[table.name]} rows of {table.name} arrived, so "
                        "nothing was kept; try again, and report this if it happens again."
                    )
    return counts


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _holds(connection: Connection, table: Table) -> bool:
    key = next(iter(table.primary_key.columns))
    return connection.execute(select(key).limit(1)).first() is not None


def _told(source: Iterator[Any], name: str, total: int, step: Step | None) -> Iterator[Any]:
    """Pass rows on, and say now and then how many they were."""
    if step is None:
        yield from source
        return
    seen = 0
    for row in source:
        yield row
        seen += 1
        if seen == BATCH:
            step(name, seen, total)
            seen = 0
    step(name, seen, total)
