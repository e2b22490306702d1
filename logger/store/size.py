"""How much room a database takes, for what, how much a year adds, and how much a day writes.

An SD card bears only a limited amount of writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.exc import OperationalError

from logger.clock import from_epoch_s
from logger.settings import Settings
from logger.store.database import backend
from logger.store.models import ENERGY_15MIN, POLLS
from logger.store.queries import ends_s, gateways, logged_days

RAW = (
    "polls", "production_samples", "consumption_samples", "meter_readings", "inverter_samples",
    "battery_samples", "storage_samples",
)  # fmt: skip
ROLLUPS = ("energy_15min", "energy_hourly", "energy_daily", "inverter_daily", "rollup_checkpoints")
#: The pace of this many days shows how a year will be.
RECENT_DAYS = 30.0
#: Rows are counted in so many hours, evenly spaced, of so many gateways: to count all would be to read all of them.
HOURS, SAMPLED_GATEWAYS = 48, 8
HOUR_S = 3_600
#: What a collector wrote in a shorter time shows little about a day.
LONG_ENOUGH_S = 600
#: What reached an ext4 when one poll of a site with three phases and 20 inverters was committed: the log of pages and
#: its index, the pages themselves, and what the file system writes for itself. 52 KiB of one poll, 75 of five, 115 of
#: fifteen: about by the fourth root.
COMMIT_BYTES = 52 * 1024
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A database's size; None where nobody knows it."""

    database_mb: float
    raw_mb: float | None
    rollups_mb: float | None
    rest_mb: float | None
    free_mb: float | None  #: in the file, for new rows
    days_logged: float
    growth_gb_per_year: float | None
    written_mb_per_day: float
    written_source: str  #: who counted that: collector, server or estimate


def size(connection: Connection, settings: Settings) -> Size:
    """Measure a database; of a file this reads all but the samples."""
    database, free = database_bytes(connection), free_bytes(connection)
    by_table = _bytes_by_table(connection)
    days, used = logged_days(connection), database - (free or 0)
    raw, rollups = _sum(by_table, RAW), _sum(by_table, ROLLUPS)
    if by_table is not None:
        raw = raw or used - sum(by_table.values())
    written, source = _written_per_day(connection, settings)
    return Size(
        database_mb=round(database / 1e6, 1),
        raw_mb=_mb(raw),
        rollups_mb=_mb(rollups),
        rest_mb=_mb(None if raw is None or rollups is None else used - raw - rollups),
        free_mb=_mb(free),
        days_logged=round(days, 1),
        growth_gb_per_year=_growth(connection, days, raw, rollups, used),
        written_mb_per_day=round(written / 1e6, 1),
        written_source=source,
    )


def database_bytes(connection: Connection) -> int:
    """Return how much room the database takes."""
    return int(connection.exec_driver_sql(backend(connection).SIZE_BYTES).scalar_one())


def free_bytes(connection: Connection) -> int | None:
    """Return how much of that waits to be filled again; None where a server does not know."""
    free: int | None = connection.exec_driver_sql(backend(connection).FREE_BYTES).scalar_one()
    return free


def _bytes_by_table(connection: Connection) -> dict[str, int] | None:
    try:
        found = connection.exec_driver_sql(backend(connection).TABLE_BYTES)
    except OperationalError:
        return None  # A SQLite that was built without its statistics.
    return {name: int(taken) for name, taken in found}


def _sum(by_table: dict[str, int] | None, names: Sequence[str]) -> int | None:
    return None if by_table is None else sum(by_table.get(name, 0) for name in names)


def _growth(connection: Connection, days: float, raw: int | None, rollups: int | None, used: int) -> float | None:
    """Return what a year adds when it goes on as in the last days, in GB."""
    if days < 1:
        return None
    recent = min(RECENT_DAYS, days)
    samples = _recent_share(connection, POLLS.c.polled_at, recent)
    quarters = _recent_share(connection, ENERGY_15MIN.c.starts_at, recent)
    added = (used if raw is None else raw) * samples + (rollups or 0) * quarters
    return round(added / recent * 365 / 1e9, 2)


def _recent_share(connection: Connection, column: ColumnElement[Any], days: float) -> float:
    """Return which part of a table's rows is of its last days, about."""
    ids = [row.gateway_id for row in gateways(connection)]
    ids = ids[:: max(1, len(ids) // SAMPLED_GATEWAYS)]
    ends = {gateway_id: found for gateway_id in ids if (found := ends_s(connection, column, gateway_id)) is not None}
    if not ends:
        return 0.0
    since_s = max(last_s for _, last_s in ends.values()) - round(days * DAY_S)
    recent = total = 0.0
    for gateway_id, (first_s, last_s) in ends.items():
        total += _rows(connection, column, gateway_id, first_s, last_s + 1)
        recent += _rows(connection, column, gateway_id, max(first_s, since_s + 1), last_s + 1)
    return recent / total


def _rows(connection: Connection, column: ColumnElement[Any], gateway_id: int, since_s: int, until_s: int) -> float:
    """Return how many rows a gateway has in some time: exactly within two days, else about."""
    mine = select(func.count()).select_from(column.table).where(column.table.c.gateway_id == gateway_id)
    step_s = max(HOUR_S, -(-(until_s - since_s) // HOURS))
    counted = seconds = 0
    for start_s in range(since_s, until_s, step_s):
        end_s = min(start_s + HOUR_S, until_s)
        within = mine.where(column >= from_epoch_s(start_s), column < from_epoch_s(end_s))
        counted += connection.execute(within).scalar_one()
        seconds += end_s - start_s
    return counted * (until_s - since_s) / seconds if seconds else 0.0


def _mb(taken: int | None) -> float | None:
    return None if taken is None else round(taken / 1e6, 1)


def _written_per_day(connection: Connection, settings: Settings) -> tuple[float, str]:
    """Return how many bytes are written in a day, measured where that is possible, and by whom."""
    measured = backend(connection).written(connection)
    if measured is not None and measured.passed_s >= LONG_ENOUGH_S:
        return measured.size_bytes / measured.passed_s * DAY_S, measured.source
    polls = max(1.0, settings.commit_every_s / settings.poll_every_s)
    commits = DAY_S / (settings.poll_every_s * polls)
    return commits * COMMIT_BYTES * polls**0.25 * max(1, len(settings.gateways)), "estimate"
