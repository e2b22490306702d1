"""Everything of one database into another, of either engine: copies, backups and the way back.

A copy is of one instant. On the way a row is as SQLite keeps it: instants and days are text, yes and no are 1 and 0. A
backup is one verified SQLite file, whichever engine it was made of.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select

from logger.errors import StoreAwayError, StoreError
from logger.settings import places, urls
from logger.store import partitions, phase_samples, schema, sqlite_file
from logger.store.database import backend, opened, translated_errors, tuples
from logger.store.lock import collector_lock
from logger.store.models import DATA_DICTIONARY, METADATA, UtcDateTime
from logger.store.queries import problems, strays
from logger.store.sqlite import is_full
from logger.store.sqlite_file import sync

#: Gateways first; the dictionary comes with the schema.
TABLES: Sequence[Table] = [table for table in METADATA.sorted_tables if table is not DATA_DICTIONARY]
#: What SQLite may leave beside a file.
BESIDE = ("", "-journal", "-wal", "-shm", ".collector")

#: hears the table, how many rows were read, and how many of all tables there are
Step = Callable[[str, int, int], None]


def unheard(_table: str, _rows: int, _of_all: int) -> None:
    """Let a copy go on without a word."""


def copy(source: Engine, target: Engine, step: Step = unheard, *, replacing: bool = False) -> dict[str, int]:
    """Copy all rows into a database that holds none; return how many of each table.

    The target gets its tables if it has none. It has everything or nothing at the end;
    ``replacing`` what it held, or as it was.

    Raises:
        StoreError: the target holds data, or either can't be used.
        CollectorRunningError: a collector has the target.
    """
    engine = backend(target)
    _require_gateways(source)
    with translated_errors(), collector_lock(target), backend(source).snapshot(source) as here:
        found = schema.known(target)
        counts = {table.name: _count(here, table) for table in TABLES}
        total = sum(counts.values())
        with engine.large_transaction(target, is_new=found is None) as there:
            if found != schema.head():
                schema.migrate(there, "head")
            if replacing:
                engine.truncate(there, TABLES)
            elif held := [table.name for table in TABLES if there.execute(select(table).limit(1)).first()]:
                raise StoreError(
                    f"The target holds data already ({', '.join(held[:3])}), so nothing was "
                    "copied; name an empty or new database."
                )
            partitions.make(there, {table: partitions.months_of(here, table) for table in partitions.TABLES})
            with engine.foreign_keys_deferred(there, TABLES):
                found_rows = {
                    table: _reported(
                        _batches(here, table, [engine.copied(column, backend(source)) for column in table.c]),
                        table.name,
                        total,
                        step,
                    )
                    for table in TABLES
                }
                merged = phase_samples.VIEWS if engine.MERGES_PHASES else ()
                for table in TABLES:
                    if table not in merged:
                        engine.copy_in(there, table, found_rows[table])
                if merged:
                    phase_samples.copy_in(there, found_rows)
            for table in TABLES:
                if (arrived := _count(there, table)) != counts[table.name]:
                    raise StoreError(
                        f"{arrived} of {counts[table.name]} rows of {table.name} arrived, so "
                        "nothing was kept; try again, and report this if it happens again."
                    )
    return counts


def _require_gateways(engine: Engine) -> None:
    """Refuse what no database takes: rows of a gateway that somebody deleted, with foreign keys switched off."""
    with translated_errors(), engine.connect() as connection:
        stray = next(strays(connection), None)
    if stray is not None:
        table, number = stray
        raise StoreError(
            f"{table} has rows of gateway {number}, which is not in gateways any more, so nothing was copied; put it "
            f"there again (gateway_id {number} and its serial), or delete its rows."
        )


def _batches(connection: Connection, table: Table, columns: Sequence[ColumnElement[Any]]) -> Iterator[Sequence[Any]]:
    """Return a table's rows in the order of its key.

    Those of one instant come so without being asked for, and would be sorted where the key's texts are made of numbers.
    """
    key = list(table.primary_key.columns)
    instants = [place for place, column in enumerate(key) if isinstance(column.type, UtcDateTime)]
    return tuples(connection, select(*columns).order_by(*key[: instants[0] + 1 if instants else None]))


def _reported(source: Iterator[Sequence[Any]], name: str, total: int, step: Step) -> Iterator[Sequence[Any]]:
    step(name, 0, total)
    for batch in source:
        yield batch
        step(name, len(batch), total)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def backup(engine: Engine, directory: Path, stamp: str, keep: int, step: Step = unheard) -> Path:
    """Write a verified copy of a database while it is in use; keep the newest ``keep``.

    Raises:
        StoreError: the copy can't be written or does not read back.
    """
    path = directory / f"envoylog-{stamp}.db"
    temporary = path.with_suffix(".new")
    try:
        places.make_folder(directory)
        _remove(temporary)
        try:
            _write(engine, temporary, step)
            with opened(urls.of_file(temporary), read_only=True) as written:
                _require_gateways(written)  # Not the database: a collector may be writing there.
            verify(temporary)
            places.inherit_owner(temporary)
            sync(temporary)  # The older ones may go next.
            temporary.replace(path)
        except StoreAwayError as error:
            if is_full(error):
                raise StoreError(
                    f"The disk of {directory} is full, so there is no new backup; make room, or choose another -o."
                ) from error
            raise
        finally:
            _remove(temporary)
        for old in backups_in(directory)[keep:]:
            old.unlink()
    except OSError as error:
        raise StoreError(
            f"The backup can't be written to {directory} ({error.strerror}); choose another -o."
        ) from error
    return path


def backups_in(directory: Path) -> list[Path]:
    """Return the backups of a directory, the newest first."""
    return sorted(directory.glob("envoylog-*.db"), reverse=True)


def what_to_restore(engine: Engine, directory: Path) -> str:
    """Return what to do about a database that is damaged: its newest backup that is sound."""
    name = f"The database {engine.url.database} is damaged"
    for path in backups_in(directory):
        with contextlib.suppress(StoreError):
            verify(path)
            return f"{name}; stop envoylog, then put its newest sound backup in its place: envoylog db restore {path}"
    return f"{name}, and {directory} holds no sound backup; if there is one elsewhere, run: envoylog db restore FILE"


def publish(engine: Engine, path: Path, step: Step = unheard) -> None:
    """Write a copy for others to read, as one file that takes its place when it is complete.

    On a network share no lock of a file can be relied on: nobody else knows the new one yet, and it is never changed.

    Raises:
        StoreError: the copy can't be written, or there is something else in its place.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.new")
    try:
        old = target.stat() if target.exists() else None
        is_ours = old is not None and str(target) == str(Path(engine.url.database or "").resolve())
        if is_ours or (old is not None and not sqlite_file.may_be_replaced(target)):
            raise StoreError(f"{path} is no published copy but something else, so it stays; choose another name.")
        _remove(temporary)
        try:
            temporary.touch(exist_ok=False)
            _write(engine, temporary, step)
            if old is not None:
                places.take_after(temporary, old)
            else:
                places.inherit_owner(temporary)
            sync(temporary)
            temporary.replace(target)
        finally:
            _remove(temporary)
    except OSError as error:
        raise StoreError(f"The copy {path} can't be written ({error.strerror}); choose another place.") from error
    except StoreAwayError as error:
        if is_full(error):
            raise StoreError(f"The disk of {path} is full, so the older copy stays; make room.") from error
        raise


def _write(engine: Engine, path: Path, step: Step) -> None:
    if (write_file := backend(engine).write_file) is not None:
        write_file(engine, path)
        return
    with opened(urls.of_file(path)) as target:
        copy(engine, target, step)


def _remove(path: Path) -> None:
    for rest in BESIDE:
        Path(f"{path}{rest}").unlink(missing_ok=True)


def verify(path: Path) -> None:
    """Check that a file is a sound database of this program.

    Raises:
        StoreError: it is not.
    """
    with opened(urls.of_file(path), read_only=True) as engine:
        if schema.known(engine) is None:
            raise StoreError(f"{path} holds no tables of envoylog; use another backup.")
        schema.require_current(engine, f"envoylog --database-url {urls.of_file(path)} db upgrade")
        with translated_errors(), engine.connect() as connection:
            if broken := problems(connection):
                raise StoreError(f"{path}: {broken[0]}; use another backup.")


def restore(engine: Engine, source: Path, step: Step = unheard) -> None:
    """Put a verified backup in the place of what the database holds; all of it or nothing.

    Raises:
        StoreError: the backup is not sound, or the database can't be written.
        CollectorRunningError: a collector is using the database.
    """
    verify(source)
    if (replace_file := backend(engine).replace_file) is not None:
        with collector_lock(engine):
            replace_file(engine, source)
        return
    with opened(urls.of_file(source), read_only=True) as backed_up:
        copy(backed_up, engine, step, replacing=True)
