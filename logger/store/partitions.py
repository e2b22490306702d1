"""Months of PostgreSQL's raw tables as partitions, made ahead; other databases, and older ones, have none.

Every instant has a place: before the first month and after the last there is one partition each, so that a row from
anywhere finds one, and the last of a gateway's rows is found without a look into those before. A month that is made
takes its rows out of the partition that had them. They lie in a schema of their own, where that may be made, so that
whoever looks at the tables sees those that there are on SQLite.
"""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, func, select, text

from logger.store import models
from logger.store.database import backend, translated_errors, wait_at_most
from logger.store.models import GATEWAYS, UtcDateTime

#: what is partitioned: samples; polls stay for ever
TABLES = (
    models.PRODUCTION_SAMPLES, models.CONSUMPTION_SAMPLES, models.METER_READINGS, models.INVERTER_SAMPLES,
    models.BATTERY_SAMPLES, models.STORAGE_SAMPLES,
)  # fmt: skip
#: This many months after this one are there before they begin.
AHEAD = 2
#: Whoever reads for longer keeps a month from being made; there is time until it begins, s.
PATIENCE_S = 5
#: a table's partitions in order of time, and their bounds as text: NULL where there is none
_PARTITIONS = """
SELECT nspname, c.relname, substring(bound FROM 'FROM [(]''([^'']+)''') AS since,
    substring(bound FROM 'TO [(]''([^'']+)''') AS until
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
    JOIN pg_namespace n ON n.oid = relnamespace, pg_get_expr(c.relpartbound, c.oid) AS bound
WHERE inhparent = to_regclass(:name) ORDER BY since NULLS FIRST
"""


class Partition(NamedTuple):
    """A partition and what it holds, half-open; None for no bound."""

    schema: str
    name: str
    since: datetime | None
    until: datetime | None


def time_of(table: Table) -> Any:
    """Return the column by which a table is partitioned."""
    return next(column for column in table.primary_key.columns if isinstance(column.type, UtcDateTime))


def partitions(connection: Connection, table: Table) -> list[Partition]:
    """Return a table's partitions in order of time; none where it has none."""
    if not backend(connection).MONTHS:
        return []
    _run(connection, "SELECT set_config('TimeZone', 'UTC', true)")
    found = connection.execute(text(_PARTITIONS), {"name": table.name})
    return [Partition(row.nspname, row.relname, _instant(row.since), _instant(row.until)) for row in found]


def _instant(bound: str | None) -> datetime | None:
    return None if bound is None else datetime.fromisoformat(f"{bound.partition('+')[0]}+00:00")


def month_of(at: datetime) -> datetime:
    """Return the begin of an instant's month."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(month: datetime) -> datetime:
    """Return the begin of the next month."""
    return month_of(month + timedelta(days=31))


def make_ahead(engine: Engine, now: datetime) -> None:
    """Make this month and the next ones.

    Raises:
        StoreError: somebody has been reading for too long, or the server is away.
    """
    if backend(engine).MONTHS:
        months = [month_of(now)]
        for _ in range(AHEAD):
            months.append(after(months[-1]))
        with translated_errors(), engine.begin() as connection:
            make(connection, dict.fromkeys(TABLES, months))


def make(connection: Connection, months: Mapping[Table, Iterable[datetime]]) -> None:
    """Make each table's months that are not there; the caller commits."""
    for table, wanted in months.items():
        found = partitions(connection, table)
        lacking = {(month, after(month)) for month in wanted} - {(part.since, part.until) for part in found}
        for part in found:
            if within := sorted(month for month, _ in lacking if _holds(part, month)):
                wait_at_most(connection, PATIENCE_S)
                _split(connection, table, part, within)


def _holds(part: Partition, month: datetime) -> bool:
    return (part.since is None or part.since <= month) and (part.until is None or month < part.until)


def _split(connection: Connection, table: Table, old: Partition, within: Iterable[datetime]) -> None:
    """Put months, and what lies before, between and after them, in the place of the partition that held them.

    All at once: a server remembers each table that a transaction makes or drops, and has room for some thousands.
    """
    parted = f"{table.name}_parted"
    _run(connection, f'ALTER TABLE "{table.name}" DETACH PARTITION "{old.schema}"."{old.name}"')
    _run(connection, f'ALTER TABLE "{old.schema}"."{old.name}" RENAME TO "{parted}"')
    edges = sorted({edge for month in within for edge in (month, after(month))})
    for since, until in itertools.pairwise([old.since, *edges, old.until]):
        if since is None or until is None or since < until:
            _create(connection, table, old.schema, since, until)
    _run(connection, f'INSERT INTO "{table.name}" SELECT * FROM "{old.schema}"."{parted}"')  # noqa: S608 - tables of ours
    _run(connection, f'DROP TABLE "{old.schema}"."{parted}"')


def _create(connection: Connection, table: Table, schema: str, since: datetime | None, until: datetime | None) -> None:
    first = "MINVALUE" if since is None else f"'{since.isoformat()}'"
    last = "MAXVALUE" if until is None else f"'{until.isoformat()}'"
    part = "before" if since is None else "after" if until is None else f"{since:%Y_%m}"
    of = f'"{schema}"."{table.name}_{part}" PARTITION OF "{table.name}"'
    _run(connection, f"CREATE TABLE {of} FOR VALUES FROM ({first}) TO ({last})")


def _run(connection: Connection, statement: str) -> None:
    """Run a statement as it is: what looks like a parameter in it is none."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def months_of(connection: Connection, table: Table) -> list[datetime]:
    """Return the months in which a table of any database has rows: one seek in the key for each and each gateway."""
    time, found = time_of(table), set[datetime]()
    for gateway_id in connection.execute(select(GATEWAYS.c.gateway_id)).scalars().all():
        first = select(func.min(time)).where(table.c.gateway_id == gateway_id)
        at = connection.execute(first).scalar_one()
        while at is not None:
            found.add(month_of(at))
            at = connection.execute(first.where(time >= after(month_of(at)))).scalar_one()
    return sorted(found)


def hide(connection: Connection, tables: Iterable[Table], gateway_id: int, last: datetime) -> None:
    """Let this transaction see no samples of a gateway up to an instant: a view stands before each table."""
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    for table in tables:
        where = f"gateway_id = {gateway_id} AND {time_of(table).name} <= '{last.isoformat()}'"
        there = f'"{schema}"."{table.name}"'
        _run(connection, f'CREATE TEMP VIEW "{table.name}" AS SELECT * FROM {there} WHERE NOT ({where})')  # noqa: S608


def drop_before(connection: Connection, table: Table, month: datetime, lasts: Mapping[int, datetime]) -> None:
    """Drop a table's months before one, of each gateway up to an instant.

    What they hold of later instants, and of other gateways, stays, before the first month.
    """
    make(connection, {table: [month]})
    time, kept = time_of(table), f"{table.name}_kept"
    _run(connection, f'CREATE TEMP TABLE "{kept}" (LIKE "{table.name}") ON COMMIT DROP')
    for gateway_id in connection.execute(select(GATEWAYS.c.gateway_id)).scalars().all():
        query = select(table).where(table.c.gateway_id == gateway_id, time < month)
        if (last := lasts.get(gateway_id)) is not None:
            query = query.where(time > last)
        _run(connection, f'INSERT INTO "{kept}" {query.compile(connection, compile_kwargs={"literal_binds": True})}')
    old = [part for part in partitions(connection, table) if part.until is not None and part.until <= month]
    for part in old:
        _run(connection, f'DROP TABLE "{part.schema}"."{part.name}"')
    _create(connection, table, old[0].schema, None, month)
    _run(connection, f'INSERT INTO "{table.name}" SELECT * FROM "{kept}"')  # noqa: S608 - tables of ours
    _run(connection, f'DROP TABLE "{kept}"')
