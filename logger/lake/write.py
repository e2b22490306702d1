"""Rows of a database into a lake: whole files, each of which takes its place when it is complete.

What an export reads of a gateway replaces what the lake has of the same time; what lies before or after it stays, so
that the lake keeps samples that were pruned from the database. To export the same again changes nothing.
"""

import datetime as dt
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.errors import NoDataError, StoreError, UsageError
from logger.lake.layout import arrow, columns_of, dictionary_of, is_whole, path_of, places, read, schema_of, time_of
from logger.lake.tables import by_month, of_rows, tables_of
from logger.rollups import site
from logger.settings import Settings
from logger.store.database import backend, rows
from logger.store.models import ENERGY_DAILY
from logger.store.queries import gateways
from logger.store.sqlite_file import sync

log = logging.getLogger(__name__)
#: rows of a group of a file
GROUP = 100_000
#: What came later than this after others of its time is not found by ``since_last``.
LATE = dt.timedelta(days=7)


class Span(NamedTuple):
    """What to export: of which gateway (None: of all), from which local day to which, both included."""

    gateway: str | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    since_last: bool = False  #: instead: what is new since the lake was last written


class Exported(NamedTuple):
    """What was written."""

    rows: int
    files: int


@dataclass
class _Target:
    """Whose rows of which table go where."""

    lake: Path
    table: Table
    name: str | None
    serial: str
    schema: Any
    places: dict[str, list[Path]] = field(default_factory=dict)  #: month -> files that the lake has


def export(
    connection: Connection,
    lake: Path,
    tables: Sequence[Table],
    span: Span,
    settings: Settings,
    step: Callable[[int], None] = lambda _tables: None,
) -> Exported:
    """Write tables into a lake; ``step`` hears when one of a gateway is done.

    Raises:
        UsageError: no such gateway, or the lake can't be written.
        NoDataError: there is nothing of it in the database.
        StoreError: a row holds what its columns can't.
    """
    pa = arrow()
    known = gateways(connection)
    chosen = [row for row in known if span.gateway in {None, row.name}]
    if span.gateway is not None and not chosen:
        names = ", ".join(str(row.name) for row in known) or "none yet"
        raise UsageError(f"There is no gateway {span.gateway!r} in the database; known: {names}.")
    done = Exported(0, 0)
    try:
        for table in tables:
            dictionary, found = dictionary_of(connection, table), list(places(lake, table.name))
            for row in chosen:
                about = {
                    "gateway": {name: value for name, value in row._asdict().items() if name != "gateway_id"},
                    "site": [other.serial for other in known if other.name == row.name],
                    "gap_s": site.gap_s(connection, row.gateway_id, settings),
                    "rolled_up_to": _rolled_up_to(connection, row),
                }
                target = _Target(lake, table, row.name, row.serial, schema_of(table, dictionary, about))
                for place in found:
                    if place.serial == row.serial:
                        target.places.setdefault(place.month, []).append(place.path)
                try:
                    part = _export(connection, target, row, span)
                except pa.ArrowInvalid as error:
                    raise StoreError(
                        f"{table.name} holds what its columns can't: {str(error).splitlines()[0]}"
                    ) from error
                done = Exported(done.rows + part.rows, done.files + part.files)
                step(1)
    except OSError as error:
        raise UsageError(f"{lake} can't be written ({error.strerror}); choose another place.") from error
    if not done.rows:
        raise NoDataError("The database holds no such samples in this range.")
    return done


def _rolled_up_to(connection: Connection, gateway: Any) -> dt.datetime | None:
    """Return up to when there are totals of a gateway: who counts the lake's samples has to end there too."""
    of = ENERGY_DAILY.c
    query = select(of.day, of.period_s).where(of.gateway_id == gateway.gateway_id).order_by(of.day.desc()).limit(1)
    if (row := connection.execute(query).first()) is None:
        return None
    return from_epoch_s(day_start_s(row.day, time_zone(gateway.time_zone or "UTC")) + (row.period_s or 0))


def _export(connection: Connection, target: _Target, gateway: Any, span: Span) -> Exported:
    """Write a gateway's rows of one table."""
    table, time = target.table, time_of(target.table)
    plain = backend(connection).plain
    query = select(*(plain(column) for column in columns_of(table))).where(table.c.gateway_id == gateway.gateway_id)
    if time is None:
        batch = list(rows(connection, query.order_by(*table.primary_key.columns)))
        if not batch:
            return Exported(0, 0)
        _replace(target, "", [of_rows(batch, target.serial, target.schema)])
        return Exported(len(batch), 1)
    since, until = _reach(target, time.key, gateway, span)
    where = [time >= since] if since else []
    where += [time < until] if until else []
    ends = [
        connection.execute(select(time).where(table.c.gateway_id == gateway.gateway_id, *where).order_by(end).limit(1))
        for end in (time, time.desc())
    ]
    first, last = (end.scalar_one_or_none() for end in ends)
    if first is None or last is None:
        return Exported(0, 0)
    query = query.where(*where).order_by(*table.primary_key.columns)
    count = files = 0
    for month, parts in by_month(tables_of(connection, query, target.serial, target.schema), time.name):
        before, after = _kept(target, month, time.name, first, last)
        count += _replace(target, month, _chain(before, parts, after)) - len(before) - len(after)
        files += 1
    return Exported(count, files)


def _reach(target: _Target, time: str, gateway: Any, span: Span) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return from when on and until when a gateway's rows are exported; None: the first, the last.

    Of a month whose file is broken, everything is.
    """
    zone = time_zone(gateway.time_zone or "UTC")
    since = from_epoch_s(day_start_s(span.since, zone)) if span.since else None
    until = from_epoch_s(day_end_s(span.until, zone)) if span.until else None
    for month in sorted(target.places, reverse=True) if span.since_last else ():
        # Where a month is not whole, the one before tells; where none is, everything is new.
        if newest := [at for path in target.places[month] if (at := _newest(path, time))]:
            since = max(newest) - LATE
            break
    for month, paths in target.places.items():
        begin = dt.datetime.fromisoformat(f"{month}-01").replace(tzinfo=dt.UTC)
        end = (begin + dt.timedelta(days=31)).replace(day=1)
        if (since is None or end > since) and (until is None or begin < until) and not all(map(is_whole, paths)):
            log.warning("a file of the lake was not whole and is written anew path=%s", paths[0])
            since, until = since and min(since, begin), until and max(until, end)
    return since, until


def _newest(path: Path, time: str) -> dt.datetime | None:
    found: dt.datetime | None = arrow().compute.max(read(path)[time]).as_py() if is_whole(path) else None
    return found


def _kept(target: _Target, month: str, time: str, first: dt.datetime, last: dt.datetime) -> tuple[Any, Any]:
    """Return what the lake has of a month before and after what is exported of it."""
    pa = arrow()
    files = [read(path) for path in target.places.get(month, ()) if is_whole(path)]
    whole = pa.concat_tables([target.schema.empty_table(), *(_aligned(file, target.schema) for file in files)])
    before = whole.filter(pa.compute.less(whole[time], pa.scalar(first, whole[time].type)))
    after = whole.filter(pa.compute.greater(whole[time], pa.scalar(last, whole[time].type)))
    return before.sort_by(time), after.sort_by(time)


def _aligned(found: Any, schema: Any) -> Any:
    """Return a table with the columns of a schema: what an older version did not know is unknown."""
    pa = arrow()
    columns = [
        found[name].cast(schema.field(name).type) if name in found.column_names else pa.nulls(len(found), of)
        for name, of in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _chain(before: Any, parts: Iterable[Any], after: Any) -> Iterator[Any]:
    yield before
    yield from parts
    yield after


def _replace(target: _Target, month: str, parts: Iterable[Any]) -> int:
    """Write a file that takes the place of what the lake has of a month; return how many rows it has."""
    pa = arrow()
    path = path_of(target.lake, target.table.name, target.name, target.serial, month)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count, waiting = 0, []
    try:
        with pa.parquet.ParquetWriter(temporary, target.schema, compression="zstd") as writer:
            for part in parts:
                count += len(part)
                waiting.append(part)
                if sum(map(len, waiting)) >= GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        if target.places.get(month):
            sync(temporary)  # What was there may hold samples that no database has any more.
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for old in target.places.get(month, ()):  # of another name that the gateway had
        if old != path:
            old.unlink(missing_ok=True)
            with suppress(OSError):  # There may be something else in it.
                old.parent.rmdir()
                old.parent.parent.rmdir()
    return count
