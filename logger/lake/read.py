"""What a lake holds of a site, as a database of its own: the same code counts its energy then.

Walk: the files of a lake -> here -> rollups.rollup -> reports
"""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

from logger.errors import NoDataError, UsageError
from logger.lake.layout import SERIAL, TABLES, Place, arrow, known_of, places, read
from logger.rollups import rollup
from logger.settings import urls
from logger.store import schema
from logger.store.database import opened, translated_errors
from logger.store.models import GATEWAYS, METADATA, UtcDateTime


class SiteFiles(NamedTuple):
    """The files of the gateways that have followed one another at a site, the first one first."""

    gateways: Sequence[Sequence[Place]]


def sites_in(lake: Path) -> list[SiteFiles]:
    """Return what a lake holds, site by site.

    Raises:
        UsageError: there is no lake.
        NoDataError: it holds no gateway.
        StoreError: a file is broken.
    """
    if not lake.is_dir():
        raise UsageError(f"There is no lake {lake}; write one: envoylog export all --format parquet -o {lake}")
    found: dict[str, list[Place]] = {}
    for table in TABLES:
        for place in places(lake, table.name):
            found.setdefault(place.serial, []).append(place)
    if not found:
        raise NoDataError(f"{lake} holds no samples; write some: envoylog export all --format parquet -o {lake}")
    sites: dict[tuple[str, ...], SiteFiles] = {}
    for serial, own in found.items():
        serials = tuple(known_of(newest(own).path).get("site", [serial]))
        sites[serials] = SiteFiles([found[of] for of in serials if of in found])
    return list(sites.values())


def newest(own: Sequence[Place]) -> Place:
    """Return the file of a gateway that knows it as it is now."""
    return max(own, key=lambda place: (place.table == GATEWAYS.name, place.month))


@contextlib.contextmanager
def database_of(site: SiteFiles, now: datetime) -> Iterator[Engine]:
    """Open a database that holds a site's samples, and what they add up to; it is gone at the end.

    Raises:
        StoreError: a file is broken.
    """
    with tempfile.TemporaryDirectory(prefix="envoylog-lake-") as folder:
        path = Path(folder) / "envoylog.db"
        shutil.copyfile(_empty(), path)
        with opened(urls.of_file(path)) as engine, translated_errors():
            for number, own in enumerate(site.gateways, 1):
                known = known_of(newest(own).path)
                with engine.begin() as connection:
                    # Nobody needs this file after a power cut.
                    connection.execute(GATEWAYS.insert(), _row(number, known["gateway"]))
                    for place in own:
                        if place.table != GATEWAYS.name:
                            _fill(connection, place, number)
                end = datetime.fromisoformat(known["rolled_up_to"]) if known["rolled_up_to"] else now
                rollup.bring_up_to_date(engine, number, now=end, gap_s=known["gap_s"])
            yield engine


@functools.cache
def _empty() -> Path:
    """Return an empty database, made once in a process."""
    folder = tempfile.TemporaryDirectory(prefix="envoylog-lake-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / "empty.db"
    with opened(urls.of_file(path)) as engine:
        schema.upgrade(engine)
    return path


#: kept until this process ends
_FOLDERS: list[Any] = []


def _row(number: int, known: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in known.items() if name in GATEWAYS.c}
    for name, value in values.items():
        if value is not None and isinstance(GATEWAYS.c[name].type, UtcDateTime):
            values[name] = datetime.fromisoformat(value)
    return {**values, "gateway_id": number}


def _fill(connection: Connection, place: Place, number: int) -> None:
    """Insert the rows of a file."""
    pa, table, found = arrow(), METADATA.tables[place.table], read(place.path)
    names = [name for name in found.column_names if name in table.c and name != SERIAL]
    columns = []
    for name in names:
        column = found[name]
        if pa.types.is_timestamp(column.type):
            whole = column.cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.timestamp("s"))
            column = pa.compute.strftime(whole, format="%Y-%m-%d %H:%M:%S")
        columns.append(column.to_pylist())
    marks = ", ".join("?" * (len(names) + 1))
    statement = f'INSERT OR IGNORE INTO "{table.name}" (gateway_id, {", ".join(names)}) VALUES ({marks})'  # noqa: S608 - names of ours
    if len(found):
        connection.exec_driver_sql(statement, [(number, *row) for row in zip(*columns, strict=True)])
