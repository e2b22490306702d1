"""How much room a database takes, for what, and how much a year adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select, text

from logger.clock import from_epoch_s
from logger.store.database import database_size_bytes, is_file
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    ENERGY_15MIN,
    ENERGY_DAILY,
    ENERGY_HOURLY,
    INVERTER_DAILY,
    INVERTER_SAMPLES,
    METADATA,
    METER_READINGS,
    POLLS,
    PRODUCTION_SAMPLES,
    ROLLUP_CHECKPOINTS,
)
from logger.store.queries import ends_s, gateways, logged_days

RAW = (POLLS, PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS, INVERTER_SAMPLES)
ROLLUPS = (
    ENERGY_15MIN,
    ENERGY_HOURLY,
    ENERGY_DAILY,
    INVERTER_DAILY,
    ROLLUP_CHECKPOINTS,
)
#: The pace of so many days says how a year will be.
RECENT_DAYS = 30.0

_samples = PRODUCTION_SAMPLES.c.polled_at
_quarters = ENERGY_15MIN.c.starts_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A database's size; None where it can't be told."""

    database_mb: float
    raw_mb: float | None
    rollups_mb: float | None
    rest_mb: float | None
    free_mb: float | None  #: in the file, for new rows
    days_logged: float
    growth_gb_per_year: float | None


def size(connection: Connection) -> Size:
    """Measure a database; reads all of a file."""
    database, free = database_size_bytes(connection), free_bytes(connection)
    of_tables = _bytes_of_tables(connection)
    raw, rollups = _sum(of_tables, RAW), _sum(of_tables, ROLLUPS)
    days = logged_days(connection)
    return Size(
        database_mb=round(database / 1e6, 1),
        raw_mb=_mb(raw),
        rollups_mb=_mb(rollups),
        rest_mb=_mb(None if raw is None or rollups is None else database - raw - rollups - free),
        free_mb=_mb(free if is_file(connection) else None),
        days_logged=round(days, 1),
        growth_gb_per_year=_growth(connection, days, raw, rollups, database - free),
    )


def free_bytes(connection: Connection) -> int:
    """Return how much of a file waits to be filled again; a server does not tell."""
    if not is_file(connection):
        return 0
    pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _bytes_of_tables(connection: Connection) -> dict[str, int] | None:
    if not is_file(connection):
        query = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
        return {
            name: int(connection.execute(query, {"name": name}).scalar_one())
            for name in METADATA.tables
        }
    known = connection.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_DBSTAT_VTAB')")
    if not known.scalar_one():
        return None
    found = connection.exec_driver_sql("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name")
    return {name: int(taken) for name, taken in found}


def _sum(of_tables: dict[str, int] | None, tables: Sequence[Table]) -> int | None:
    if of_tables is None:
        return None
    return sum(of_tables.get(table.name, 0) for table in tables)


def _growth(
    connection: Connection, days: float, raw: int | None, rollups: int | None, taken: int
) -> float | None:
    """Return what a year adds when it goes on as in the last days, in GB."""
    if days < 1:
        return None
    recent = min(RECENT_DAYS, days)
    added = (taken if raw is None else raw) * _recent_share(connection, _samples, recent)
    added += (rollups or 0) * _recent_share(connection, _quarters, recent)
    return round(added / recent * 365 / 1e9, 2)


def _recent_share(connection: Connection, column: ColumnElement[Any], days: float) -> float:
    """Return which part of a table's rows is of its last days."""
    known = [ends_s(connection, column, one.gateway_id) for one in gateways(connection)]
    last_s = max((last for _, last in filter(None, known)), default=None)
    if last_s is None:
        return 0.0
    since = from_epoch_s(last_s) - timedelta(days=days)
    counted = select(func.count()).select_from(column.table)
    # By gateway, as the key is.
    recent = sum(
        connection.execute(
            counted.where(column.table.c.gateway_id == one.gateway_id, column > since)
        ).scalar_one()
        for one in gateways(connection)
    )
    return float(recent / connection.execute(counted).scalar_one())


def _mb(taken: int | None) -> float | None:
    return None if taken is None else round(taken / 1e6, 1)
