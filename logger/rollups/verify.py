"""What the energy tables say, day by day and column by column, in eight bytes each.

Ten years of quarter hours are compared so in a few megabytes, to the last digit as stored.
"""

import itertools
import marshal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select

from logger.clock import local_day
from logger.rollups.site import Site
from logger.rollups.write import KINDS
from logger.store.database import rows
from logger.store.models import (
    ENERGY_15MIN,
    ENERGY_DAILY,
    ENERGY_HOURLY,
    EVENTS,
    INVERTER_DAILY,
    UtcDateTime,
    epoch,
)

TABLES = [ENERGY_15MIN, ENERGY_HOURLY, ENERGY_DAILY, INVERTER_DAILY, EVENTS]
#: Which rows there are comes first, then the columns.
ROWS = "rows"
SIZE = 8

#: (table, local day) -> the digests of its rows' keys and of each column
Digests = dict[tuple[str, date], bytes]


@dataclass(frozen=True, slots=True)
class Difference:
    """A day on which a table's rows or some of its columns are not the same."""

    table: str
    day: date
    columns: tuple[str, ...]


def digests(connection: Connection, site: Site) -> Digests:
    """Return the digests of all that is rolled up of a gateway, and of what its ledger decided."""
    found: Digests = {}
    for table in TABLES:
        key_count = len(table.primary_key.columns) - 1
        for day, part in itertools.groupby(_rows(connection, site, table), lambda row: row[0]):
            columns = list(zip(*part, strict=True))[1:]
            digest = _digest(columns[:key_count]) + b"".join(map(_digest, columns[key_count:]))
            # Where the clock is put back over midnight, a day comes in two parts.
            before = found.get((table.name, day))
            found[table.name, day] = digest if before is None else _joined(before, digest)
    return found


def differences(before: Digests, after: Digests) -> list[Difference]:
    """Return what is not the same, by table and day."""
    found = []
    for table in TABLES:
        names = [ROWS, *(column.name for column in table.c if not column.primary_key)]
        keys = {key for key in before.keys() | after.keys() if key[0] == table.name}
        for key in sorted(keys):
            one, other = before.get(key, b""), after.get(key, b"")
            if one == other:
                continue
            differing = [
                name
                for number, name in enumerate(names)
                if _part(one, number) != _part(other, number)
            ]
            columns = (ROWS,) if ROWS in differing else tuple(differing)
            found.append(Difference(table.name, key[1], columns))
    return found


def _rows(connection: Connection, site: Site, table: Table) -> Iterator[tuple[Any, ...]]:
    """Return the day of each row of a table, the rest of its key, and its other columns."""
    if table is EVENTS:
        for row in rows(connection, _query(site, table, epoch(table.c.at))):
            yield (local_day(row[0], site.zone), *row[1:])
        return
    if "day" in table.c:
        query = _query(site, table, epoch(table.c.day))
    else:
        local = epoch(table.c.starts_at) + func.coalesce(table.c.utc_offset_s, 0)
        query = _query(site, table, local)
    first = date(1970, 1, 1).toordinal()
    days: dict[int, date] = {}
    for row in rows(connection, query):
        number = row[0] // 86_400
        day = days.get(number)
        if day is None:
            day = days[number] = date.fromordinal(first + number)
        yield (day, *row[1:])


def _query(site: Site, table: Table, local_s: ColumnElement[Any]) -> Select[Any]:
    key = [column for column in table.primary_key.columns if column.name != "gateway_id"]
    rest = [column for column in table.c if not column.primary_key]
    plain = [
        epoch(column) if isinstance(column.type, UtcDateTime) or column.name == "day" else column
        for column in (*key, *rest)
    ]
    query = select(local_s, *plain).where(table.c.gateway_id == site.gateway_id).order_by(*key)
    return query.where(or_(*(table.c.kind == kind for kind in KINDS))) if table is EVENTS else query


def _digest(values: Iterable[Any]) -> bytes:
    # Version 2 writes equal values alike, whether they are one object or two.
    return blake2b(marshal.dumps(tuple(values), 2), digest_size=SIZE).digest()


def _joined(one: bytes, other: bytes) -> bytes:
    count = len(one) // SIZE
    return b"".join(_digest((_part(one, n), _part(other, n))) for n in range(count))


def _part(digest: bytes, number: int) -> bytes:
    return digest[number * SIZE : (number + 1) * SIZE]
