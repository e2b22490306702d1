"""Opening a database, writing and reading its rows, and what its errors mean.

What differs between SQLite and PostgreSQL is in the modules ``sqlite`` and ``postgresql``; ``backend`` gives the one of
a connection. Only the types of columns (``models``) know them too.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from sqlalchemy import URL, ColumnElement, Connection, Engine, Select, Table, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from logger.errors import RowRefusedError, SettingsError, StoreAwayError, StoreBusyError, StoreError
from logger.settings import urls

#: Few enough rows that they stay in the processor's cache until they are sorted.
BATCH = 500
OTHER_COLLECTOR = (
    "Another envoylog is collecting into this database; stop it first "
    "(systemctl stop envoylog), or give this one a database_url of its own."
)
OTHERS_ALONE = (
    "Another envoylog is collecting into this database alone; stop it first (systemctl stop envoylog), or write "
    'collect = "shared" into its configuration too.'
)
#: what helps against damage
BACKUPS = "`envoylog db check` names the newest sound backup for `envoylog db restore`."


class Meaning(NamedTuple):
    """What a driver's error means: our error, and its sentence for people."""

    kind: type[StoreError]
    sentence: str


FULL = Meaning(StoreAwayError, "The database's disk is full; make room, polls wait meanwhile.")
LOCKED = Meaning(StoreBusyError, "The database is locked by another program; stop it and try again.")


class Written(NamedTuple):
    """How much was written in how long, and who counted: collector or server."""

    source: str
    size_bytes: int
    passed_s: float


class _Lock(Protocol):
    def hold(self) -> bool: ...
    def release(self) -> None: ...


class _Backend(Protocol):
    """All that differs. A row "as SQLite keeps it" has instants as text, and yes and no as 1 and 0.

    ``place`` is another value once the database is another one, or None while there is none; ``leave`` closes what was
    opened of one that is gone; ``bound`` is for a process that stays: each statement takes this many seconds at
    most, and connections hold little memory.
    ``write_file`` writes the database as it is into a SQLite file, and ``replace_file`` puts one in its place, where
    that is another way than to copy rows; ``csv_lines`` is what a server writes itself. ``copy_in`` takes rows of
    ``copied`` columns of another database. What is executed ``pipelined`` gives nothing, and errors come at its end. In
    upper case: SQL. ``LOCK_WRITES`` takes tables and lets others only read them until the end of the transaction;
    ``WAIT_AT_MOST`` takes seconds, after which what others hold is an error, and with ``GIVE_WAY`` it soon is.
    """

    SIZE_BYTES: str
    FREE_BYTES: str  #: of the size: waits to be filled again; NULL where nobody knows
    TABLE_BYTES: str  #: each table and its size; of a file, whose pages have to be read, without samples
    INTEGRITY: str  #: what is broken in the files themselves, or ok
    MERGES_PHASES: bool  #: whether what a poll measured is kept as ``phase_samples``
    INSTANTS_ARE_TEXT: bool  #: of which plain SQL may write any
    MONTHS: bool  #: whether samples may be kept by month, as ``partitions``
    LOCK_WRITES: str
    LOCK_OWN_WRITES: str  #: takes tables as one does who writes them, unless somebody has them alone
    LOCK_SCHEMA: str  #: so that one process after the other migrates
    GIVE_WAY: str
    WAIT_AT_MOST: str
    MARK: str  #: stands for a value in a statement
    BATCH_BY_BATCH: Mapping[str, Any]  #: of an execution whose rows are fetched as they are needed

    @property
    def write_file(self) -> Callable[[Engine, Path], None] | None: ...
    @property
    def csv_lines(self) -> Callable[[Connection, Select[Any]], Iterator[bytes]] | None: ...
    @property
    def replace_file(self) -> Callable[[Engine, Path], None] | None: ...
    def file_of(self, url: URL) -> Path | None: ...
    def create(self, url: URL, *, read_only: bool) -> Engine: ...
    def place(self, engine: Engine) -> object: ...
    def require_text(self, connection: Connection) -> None: ...
    def leave(self, engine: Engine) -> None: ...
    def bound(self, engine: Engine, seconds: float) -> None: ...
    def begin_collecting(self, engine: Engine) -> None: ...
    def meaning(self, error: Exception) -> Meaning | None: ...
    def insert(self, table: Table) -> Any: ...
    def bulk_insert(
        self, connection: Connection, table: Table, names: Sequence[str], batches: Iterable[Any]
    ) -> None: ...
    def plain(self, column: ColumnElement[Any]) -> ColumnElement[Any]: ...
    def or_as_it_is(self, form: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]: ...
    def copied(self, column: ColumnElement[Any], source: "_Backend") -> ColumnElement[Any]: ...
    def copy_in(self, connection: Connection, table: Table, batches: Iterable[Any]) -> None: ...
    def stream(self, connection: Connection, query: str) -> Iterator[Sequence[Any]]: ...
    def truncate(self, connection: Connection, tables: Sequence[Table]) -> None: ...
    def vacuum(self, engine: Engine) -> None: ...
    def written(self, connection: Connection) -> Written | None: ...
    def collector_lock(self, engine: Engine, *, shared: bool = False) -> _Lock: ...
    def create_reader(self, engine: Engine, role: str, password: str) -> None: ...
    def others_views_kept(self, connection: Connection) -> AbstractContextManager[None]: ...
    def migration(self, engine: Engine) -> AbstractContextManager[Connection]: ...
    def snapshot(self, engine: Engine) -> AbstractContextManager[Connection]: ...
    def large_transaction(self, engine: Engine, *, is_new: bool) -> AbstractContextManager[Connection]: ...
    def pipelined(self, connection: Connection) -> AbstractContextManager[object]: ...
    def foreign_keys_deferred(
        self, connection: Connection, tables: Sequence[Table]
    ) -> AbstractContextManager[None]: ...


@lru_cache
def _module(name: str) -> _Backend:
    # Imported on use: each brings its drivers along.
    return cast("_Backend", import_module(f"logger.store.{name}"))


def backend(bind: Connection | Engine) -> _Backend:
    """Return what a database's engine does in its own way."""
    return _module(bind.dialect.name)


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine for a database URL; who opens it disposes of it.

    Raises:
        SettingsError: the URL names no database.
        StoreError: its driver, its directory or its server can't be used.
    """
    parsed = _parse(url)
    with translated_errors():
        return _module(parsed.get_backend_name()).create(parsed, read_only=read_only)


def file_of(url: str) -> Path | None:
    """Return the file that a database is; None where a server has it.

    Raises:
        StoreError: the URL can't be used.
    """
    parsed = _parse(url)
    return _module(parsed.get_backend_name()).file_of(parsed)


@contextlib.contextmanager
def opened(url: str, *, read_only: bool = False) -> Iterator[Engine]:
    """Open an engine as ``open_engine`` does, and close its connections at the end."""
    engine = open_engine(url, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


def _parse(url: str) -> URL:
    try:
        if url.startswith("postgres://"):
            url = "postgresql" + url.removeprefix("postgres")
        urls.check(url)
        parsed = make_url(url)
        name = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise SettingsError(
            "database_url is not a database URL; write sqlite:////path/to/file.db or postgresql://user@host/name."
        ) from error
    if name not in {"sqlite", "postgresql"}:
        raise SettingsError(f"database_url names {name}; envoylog keeps SQLite and PostgreSQL.")
    if not 0 < (parsed.port or 1) < 65_536:
        raise SettingsError(f"database_url names the port {parsed.port}; ports end at 65535.")
    return parsed


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into a sentence with a remedy.

    Raises:
        StoreError: instead of a driver's error.
    """
    try:
        yield
    except _errors(DBAPIError) as error:
        meaning = _meaning(error)
        kind = meaning.kind
        if kind is StoreError and isinstance(error, _errors(DataError, IntegrityError)):
            kind = RowRefusedError
        raise kind(meaning.sentence) from error
    except SQLAlchemyError as error:
        raise StoreError(f"The database refused: {error}.") from error
    except OverflowError as error:
        raise RowRefusedError(f"The database refused a number: {error}.") from error


def _errors(*wrapped: type[DBAPIError]) -> tuple[type[Exception], ...]:
    """Return SQLAlchemy's errors and the drivers' own that they are made of.

    A driver that was never imported raised nothing.
    """
    drivers = [sys.modules[name] for name in ("sqlite3", "psycopg") if name in sys.modules]
    names = [kind.__name__.removeprefix("DBAPI") for kind in wrapped]
    return (*wrapped, *(getattr(driver, name) for driver in drivers for name in names))


def sentence_of(error: Exception) -> str | None:
    """Return what a database's or driver's error means, with the remedy; None for any other."""
    known = isinstance(error, (SQLAlchemyError, *_errors(DBAPIError)))
    return _meaning(error).sentence if known else None


def _meaning(error: Exception) -> Meaning:
    cause = getattr(error, "orig", None) or error
    driver = type(cause).__module__.partition(".")[0]
    name = {"sqlite3": "sqlite", "psycopg": "postgresql"}.get(driver)
    if name is not None and (found := _module(name).meaning(cause)) is not None:
        return found
    return Meaning(StoreError, f"The database refused: {first_line(cause)}.")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text."""
    return next(iter(str(error).strip().splitlines()), "no reason given")


def wait_at_most(connection: Connection, seconds: int) -> None:
    """Let what this transaction asks for, its begin too, fail when others hold it for longer."""
    with contextlib.closing(connection.connection.cursor()) as cursor:
        cursor.execute(backend(connection).WAIT_AT_MOST.format(seconds))


def give_way(connection: Connection) -> None:
    """Let what others hold fail soon from here on: they may come to wait for what this transaction holds."""
    connection.exec_driver_sql(backend(connection).GIVE_WAY)


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all name the same columns, straight to the driver: for thousands of rows."""
    if rows:
        names = tuple(rows[0])
        backend(connection).bulk_insert(connection, table, names, [driver_rows(connection, table, names, rows)])


def driver_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    """Return some columns of rows as the driver takes them."""
    dialect, columns = connection.dialect, []
    for name in names:
        values: Sequence[Any] = [row[name] for row in rows]
        if (bind := table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) is not None:
            # Instants and days come again in many rows: of each phase, of each inverter.
            bound = {value: bind(value) for value in dict.fromkeys(values)}
            values = [bound[value] for value in values]
        columns.append(values)
    return list(zip(*columns, strict=True))


def rows(
    connection: Connection, query: Select[Any], *parameters: Mapping[str, Any], few: bool = False
) -> Iterator[Any]:
    """Return a query's rows as ``batches`` does, one by one."""
    for batch in batches(connection, query, *parameters, few=few):
        yield from batch


def batches(
    connection: Connection, query: Select[Any], parameters: Mapping[str, Any] | None = None, *, few: bool = False
) -> Iterator[Sequence[Any]]:
    """Return a query's rows in batches: a server sends one at a time, but ``few`` rows at once, in fewer messages."""
    options = {} if few else backend(connection).BATCH_BY_BATCH
    with connection.execute(query, parameters, execution_options=options) as result:
        yield from result.partitions(BATCH)


def tuples(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """Return a query's rows as ``batches`` does, straight from the driver: of columns without a Python type."""
    text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
    return backend(connection).stream(connection, text)
