"""Raw samples into files, in a stream: csv and JSON lines (Parquet: lake.write).

Memory stays the same however long the range is. pandas is not used.

Walk: the tables of samples -> here -> cli
"""

import csv
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy import ColumnElement, Connection, Select, Text, case, cast, func, literal, select

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.errors import NoDataError, UsageError
from logger.exports.text import FORMULA_STARTS, escape_formula
from logger.store.database import backend, tuples
from logger.store.models import GATEWAYS, METADATA

#: what can be exported -> its table
TABLES = {
    "production": "production_samples",
    "consumption": "consumption_samples",
    "meters": "meter_readings",
    "inverters": "inverter_samples",
    "polls": "polls",
}
#: rows at a time
BATCH = 20_000
#: columns that hold text
TEXTS = frozenset({"phase", "measurement", "source", "serial", "outcome", "error"})


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export: rows of a raw table with the gateway's name in front, in order of time."""

    names: list[str]
    queries: list[Select[Any]]  #: one per gateway
    count: int  #: of rows; 1 where they were not counted


def select_samples(
    connection: Connection,
    what: str,
    *,
    gateway: str | None,
    since: dt.date | None,
    until: dt.date | None,
    is_counted: bool = False,
) -> Selection:
    """Return the rows of ``what`` of the local days ``since`` to ``until``, both included.

    Raises:
        UsageError: no such gateway.
        NoDataError: nothing in the range.
    """
    table, gateways = METADATA.tables[TABLES[what]], GATEWAYS
    time = table.c["reported_at" if what == "inverters" else "polled_at"]
    known = connection.execute(select(gateways.c.gateway_id, gateways.c.name, gateways.c.time_zone)).all()
    chosen = [row for row in known if gateway in {None, row.name}]
    if gateway is not None and not chosen:
        names = ", ".join(str(row.name) for row in known) or "none yet"
        raise UsageError(f"There is no gateway {gateway!r} in the database; known: {names}.")
    plain = backend(connection).plain
    columns = [column for column in table.c if column.name != "gateway_id"]
    queries, count = [], 0
    for row in chosen:
        where: list[ColumnElement[bool]] = [table.c.gateway_id == row.gateway_id]
        zone = time_zone(row.time_zone or "UTC")
        where += [time >= from_epoch_s(day_start_s(since, zone))] if since else []
        where += [time < from_epoch_s(day_end_s(until, zone))] if until else []
        rows = select(func.count() if is_counted else literal(1)).select_from(table).where(*where).limit(1)
        count += connection.execute(rows).scalar() or 0
        named = select(cast(literal(row.name), Text), *(plain(column) for column in columns))
        queries.append(named.select_from(table).where(*where).order_by(time))
    if not count:
        ends = connection.execute(select(func.min(time), func.max(time))).one()
        held = f"{ends[0]} to {ends[1]}" if ends[0] else "nothing yet"
        raise NoDataError(f"There are no {what} samples in this range; there is {held}.")
    return Selection(["gateway", *(column.name for column in columns)], queries, count)


def stream(connection: Connection, chosen: Selection, step: Callable[[int], None]) -> Iterator[Any]:
    """Yield batches of rows; ``step`` hears how many were read."""
    for query in chosen.queries:
        source = itertools.chain.from_iterable(tuples(connection, query))
        while batch := list(itertools.islice(source, BATCH)):
            yield batch
            step(len(batch))


def write_csv(out: IO[str], connection: Connection, chosen: Selection, step: Callable[[int], None]) -> None:
    """Write one header line and the rows; empty where unknown, instants in UTC."""
    csv.writer(out, lineterminator="\n").writerow(chosen.names)
    if (csv_lines := backend(connection).csv_lines) is None:
        write_lines(out, chosen.names, stream(connection, chosen, step))
        return
    # A server writes the lines itself, several times as fast.
    out.flush()
    raw: Any = out.buffer  # type: ignore[attr-defined] # of a file or stdout
    for query in chosen.queries:
        columns = [
            _escaped(column) if name == "gateway" or name in TEXTS else column
            for name, column in zip(chosen.names, query.selected_columns, strict=True)
        ]
        number = 0
        for number, line in enumerate(csv_lines(connection, query.with_only_columns(*columns)), 1):
            raw.write(line)
            if number % BATCH == 0:
                step(BATCH)
        step(number % BATCH)


def _escaped(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return text as ``escape_formula`` makes it; what is empty as what is unknown: csv does not tell them apart."""
    formula = func.ascii(column).in_(list(map(ord, FORMULA_STARTS)))
    is_plain = func.ascii(column) > max(map(ord, FORMULA_STARTS))  # Nearly every text is: it begins with a letter.
    return case((is_plain, column), (formula, func.concat("'", column)), else_=func.nullif(column, ""))


def write_lines(out: IO[str], names: Sequence[str], batches: Iterable[list[Any]]) -> None:
    """Write rows as lines of csv."""
    writer = csv.writer(out, lineterminator="\n")
    texts = [place for place, name in enumerate(names) if name == "gateway" or name in TEXTS]
    for batch in batches:
        # Looked for first: hardly any text has to be changed.
        if any(text != escape_formula(text) for place in texts for text in {row[place] for row in batch}):
            batch = [[escape_formula(cell) for cell in row] for row in batch]  # noqa: PLW2901
        writer.writerows(batch)


def write_jsonl(out: IO[str], names: Sequence[str], batches: Iterable[list[Any]]) -> None:
    """Write one JSON object a line; null where unknown."""
    for batch in batches:
        lines = (json.dumps(dict(zip(names, row, strict=True))) for row in batch)
        out.write("\n".join(lines) + "\n")
