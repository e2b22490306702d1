"""What SQLite does in its own way: a file, its lock beside it, and the processes that use it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
from sqlalchemy.dialects import sqlite

from logger.clock import running_s
from logger.errors import ReadOnlyError, SettingsError, StoreAwayError, StoreDamagedError, StoreError
from logger.store import phase_samples, sqlite_file
from logger.store.database import BACKUPS, BATCH, FULL, LOCKED, OTHER_COLLECTOR, Meaning, Written, translated_errors
from logger.store.file_lock import FileLock
from logger.store.models import UtcDateTime

#: by the first part of an error's name; https://sqlite.org/rescode.html
MEANINGS = {
    "FULL": FULL,
    "BUSY": LOCKED,
    "LOCKED": LOCKED,
    "READONLY": Meaning(ReadOnlyError, "The database can't be written: check its file's permissions."),
    "CANTOPEN": Meaning(StoreError, "The database can't be opened: check its path and permissions."),
    "IOERR": Meaning(StoreAwayError, "The database's disk can't be read or written; is it there, and whole?"),
    "NOTADB": Meaning(StoreDamagedError, f"The file is not a database, or damaged; {BACKUPS}"),
    "CORRUPT": Meaning(StoreDamagedError, f"The database's file is damaged; {BACKUPS}"),
}

SIZE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
FREE_BYTES = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
# A size is that of all pages, each of which is read: those of samples are what the others leave of the file. Added up
# by SQLite (aggregate) they take less than half the time of a row for each.
TABLE_BYTES = (
    "SELECT tbl_name, SUM(pgsize) FROM sqlite_master AS m CROSS JOIN dbstat AS d ON d.name = m.name "
    "WHERE aggregate = 1 AND tbl_name <> 'polls' AND tbl_name NOT LIKE '%_samples' AND tbl_name <> 'meter_readings' "
    "GROUP BY tbl_name"
)
#: of pages, by a process that stays
STAYING_KIB = 512
INTEGRITY = "PRAGMA integrity_check"
MERGES_PHASES = INSTANTS_ARE_TEXT = True
MONTHS = False
LOCK_WRITES = LOCK_OWN_WRITES = LOCK_SCHEMA = GIVE_WAY = "SELECT 1"  # A transaction that may write is the only one.
WAIT_AT_MOST = "PRAGMA busy_timeout={}000"
MARK = "?"
# A file's rows come as they are fetched; a buffer between costs a tenth of a rebuild.
BATCH_BY_BATCH: Mapping[str, Any] = {}
insert = sqlite.insert
csv_lines = None


def create(url: URL, *, read_only: bool) -> Engine:
    """Return an engine of a file, whose directory is made; only an existing one can be read."""
    return sqlite_file.create_engine(url, path_of(url), read_only=read_only)


def place(engine: Engine) -> tuple[object, ...] | None:
    """Return which file the database is, and which its log; None when somebody has removed it."""
    return sqlite_file.place(str(engine.url.database))


def require_text(connection: Connection) -> None:
    """Do nothing: a file keeps any text."""
    del connection


def leave(engine: Engine) -> None:
    """Close a file that was removed, and remove what still lies beside it: it would be read into the next one."""
    engine.dispose()
    for leftover in sqlite_file.BESIDE:
        Path(f"{path_of(engine.url)}{leftover}").unlink(missing_ok=True)


def begin_collecting(engine: Engine) -> None:
    """Prepare for many small commits."""
    sqlite_file.reserve_log(engine, path_of(engine.url))


def bound(engine: Engine, _seconds: float) -> None:
    """Hold little of the file in memory for ever: few pages are read again. A file answers, or gives an error."""
    sa.event.listen(engine, "connect", lambda opened, _: opened.execute(f"PRAGMA cache_size=-{STAYING_KIB}"))


def path_of(url: URL) -> Path:
    """Return the file of a URL.

    Raises:
        SettingsError: it names none, or a folder.
    """
    if not url.database or url.database == ":memory:":
        raise SettingsError("database_url must name a file: sqlite:////path/to/file.db.")
    path, is_folder = Path(url.database), False
    with contextlib.suppress(OSError):
        is_folder = path.is_dir()
    if is_folder:
        raise SettingsError(f"The database {path} is a folder; name a file in it, such as {path / 'envoylog.db'}.")
    return path


file_of = path_of


def meaning(error: Exception) -> Meaning | None:
    """Return what an error of sqlite3 means."""
    name = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_")
    return MEANINGS.get(name.partition("_")[0])


def is_full(error: StoreError) -> bool:
    """Return whether it was a file's disk that had no room."""
    cause = error.__cause__
    driver_error = getattr(cause, "orig", cause)
    return getattr(driver_error, "sqlite_errorname", None) == "SQLITE_FULL"


def bulk_insert(connection: Connection, table: Table, names: Sequence[str], batches: Iterable[Any]) -> None:
    """Insert rows by the driver's executemany."""
    columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    statement = f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})'  # noqa: S608 - our own names
    for rows in batches:
        connection.exec_driver_sql(statement, [tuple(row) for row in rows])


def copied(column: ColumnElement[Any], source: Any) -> ColumnElement[Any]:
    """Return a column of a source as a file keeps it."""
    form: ColumnElement[Any] = source.plain(column)
    return form


def copy_in(connection: Connection, table: Table, batches: Iterable[Any]) -> None:
    """Insert rows of ``copied`` columns."""
    bulk_insert(connection, table, table.c.keys(), batches)


def stream(connection: Connection, query: str) -> Iterator[Sequence[Any]]:
    """Return the rows of SQL in batches."""
    driver: Any = connection.connection.driver_connection
    cursor = driver.execute(query)
    while batch := cursor.fetchmany(BATCH):
        yield batch


@contextlib.contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Read in one transaction; opened for writing, it would take the right to write."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        yield connection


def pipelined(_connection: Connection) -> AbstractContextManager[object]:
    """Do nothing: nobody is far away."""
    return contextlib.nullcontext()


@contextlib.contextmanager
def large_transaction(engine: Engine, *, is_new: bool) -> Iterator[Connection]:
    """Write everything or nothing.

    A new file keeps meanwhile that there was nothing, rather than all that is new beside it:
    half of the writing, and half of the room. Nobody can be using it yet.
    """
    if is_new:
        _run(engine, "PRAGMA journal_mode=DELETE")
    with engine.begin() as connection:
        yield connection
    if is_new:
        _run(engine, "PRAGMA journal_mode=WAL")


def _run(engine: Engine, *statements: str) -> None:
    """Run statements that no transaction may hold."""
    with contextlib.closing(engine.raw_connection()) as driver:
        for statement in statements:
            driver.cursor().execute(statement)


def plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column as it is, without its Python type."""
    if isinstance(column.type, (UtcDateTime, sa.Date)):
        return sa.type_coerce(column, sa.Text)
    return sa.type_coerce(column, sa.Integer) if isinstance(column.type, sa.Boolean) else column


def or_as_it_is(form: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the form of a column, or what it holds as text where that has none: a file keeps anything anywhere."""
    return sa.func.coalesce(form, sa.cast(column, sa.Text))


@contextlib.contextmanager
def foreign_keys_deferred(connection: Connection, tables: Sequence[Table]) -> Iterator[None]:
    """Change nothing: to look at a foreign key is one seek in a small table."""
    del connection, tables
    yield


@contextlib.contextmanager
def migration(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction in which rows are put elsewhere as they are, also those whose gateway somebody deleted."""
    with engine.connect() as connection, contextlib.closing(connection.connection.cursor()) as driver:
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def others_views_kept(connection: Connection) -> AbstractContextManager[None]:
    """Change nothing: a view of a file is looked up when it is asked."""
    del connection
    return contextlib.nullcontext()


def truncate(connection: Connection, tables: Sequence[Table]) -> None:
    """Delete all rows."""
    for table in reversed(phase_samples.tables_of(connection, tables)):
        connection.execute(table.delete())


def vacuum(engine: Engine) -> None:
    """Give the room of deleted rows back to the disk; a file that nobody else has open gets the pages of a new one."""
    with contextlib.suppress(sqlite3.OperationalError):  # Locked: somebody reads or collects.
        _run(engine, "PRAGMA busy_timeout=0", "PRAGMA journal_mode=DELETE")
    wait = f"PRAGMA busy_timeout={sqlite_file.BUSY_TIMEOUT_MS}"
    _run(engine, wait, "VACUUM", "PRAGMA journal_mode=WAL", "PRAGMA wal_checkpoint(TRUNCATE)")


def write_file(engine: Engine, path: Path) -> None:
    """Write the database as it is now into another file, that nobody else knows yet."""
    with translated_errors():
        sqlite_file.write(path_of(engine.url).resolve(), path)


def replace_file(engine: Engine, source: Path) -> None:
    """Put a copy of a file in the database's place; all of it or nothing."""
    target = path_of(engine.url)
    engine.dispose()
    try:
        sqlite_file.replace(target, source)
    except OSError as error:
        raise StoreError(
            f"{target} can't be written ({error.strerror}), so it stays as it was; make room or fix its permissions."
        ) from error


def written(connection: Connection) -> Written | None:
    """Return what the running collector has written; None when none runs, or we may not look."""
    path = lock_path(connection.engine)
    try:
        process = Path("/proc") / str(int(path.read_text()))
        # The number may by now be another process's: this one has the file open.
        if not any(file.exists() and file.samefile(path) for file in (process / "fd").iterdir()):
            return None
        counters = (process / "io").read_text()
        # The name, in parentheses, may hold spaces.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    counts = dict(line.split(": ") for line in counters.splitlines())
    size = int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"])
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return Written("collector", size, running_s() - started_s)


def lock_path(engine: Engine) -> Path:
    """Return the file beside a database file that its collector holds; it names its process."""
    return Path(f"{engine.url.database}.collector")


def collector_lock(engine: Engine, *, shared: bool = False) -> FileLock:
    """Return the lock of the file beside the database."""
    if shared:
        raise SettingsError(
            'collect = "shared" needs a PostgreSQL database, and database_url is a file; leave collect out, or see '
            "`envoylog db copy`."
        )
    return FileLock(lock_path(engine), OTHER_COLLECTOR)


def create_reader(engine: Engine, role: str, password: str) -> None:
    """Say that there are no roles."""
    del engine, role, password
    raise StoreError("SQLite has no roles: open the file read-only instead, sqlite3 -readonly FILE.")
