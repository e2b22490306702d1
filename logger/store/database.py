"""Everything that differs between SQLite and PostgreSQL, and nothing else.

Instants are aware UTC with whole seconds on both: timestamptz in PostgreSQL, text such as
``2026-03-29 01:00:00`` in SQLite, so that a plain comparison reads well and uses the key.
"""

import contextlib
import logging
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Select,
    String,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger, TypeDecorator

from logger.errors import RowRefusedError, StoreAwayError, StoreError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000
#: Few enough that they stay in the processor's cache until they are sorted.
BATCH = 500
FORMAT = "%Y-%m-%d %H:%M:%S"


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in and out, whole seconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return text for SQLite, timestamptz for PostgreSQL."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(19))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the instant as the engine stores it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        whole = value.astimezone(UTC).replace(microsecond=0)
        return whole.strftime(FORMAT) if dialect.name == "sqlite" else whole

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the instant that the engine stored."""
        if value is None:
            return None
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        aware: datetime = value.replace(tzinfo=value.tzinfo or UTC)
        return aware.astimezone(UTC).replace(microsecond=0)


class epoch(FunctionElement[int]):  # noqa: N801 - reads as the SQL function that it is
    """An instant's epoch seconds, computed by the engine."""

    inherit_cache = True
    name = "epoch"
    type = BigInteger()


@compiles(epoch)
def _epoch(element: epoch, compiler: Any, **options: Any) -> str:
    inner = compiler.process(element.clauses, **options)
    if compiler.dialect.name == "sqlite":
        if sqlite3.sqlite_version_info >= (3, 38):
            return f"unixepoch({inner})"
        return f"CAST(strftime('%s', {inner}) AS INTEGER)"
    return f"CAST(floor(extract(epoch FROM {inner})) AS BIGINT)"


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine for a database URL.

    Raises:
        StoreError: the URL, its driver, its directory or its server can't be used.
    """
    made = _parse(url)
    with translated_errors():
        if made.get_backend_name() == "sqlite":
            return _open_sqlite(made, read_only=read_only)
        engine = create_engine(
            made.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=3,
            connect_args={"connect_timeout": 10, "application_name": "envoylog"},
        )
        if read_only:
            event.listen(engine, "connect", _only_read)
        return engine


def _parse(url: str) -> URL:
    try:
        if url.startswith("postgres://"):
            url = "postgresql" + url.removeprefix("postgres")
        made = make_url(url)
        backend = made.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(
            "database_url is not a database URL; write sqlite:////path/to/file.db or "
            "postgresql://user@host/name."
        ) from error
    if backend not in {"sqlite", "postgresql"}:
        raise StoreError(f"database_url names {backend}; envoylog keeps SQLite and PostgreSQL.")
    return made


def _open_sqlite(url: URL, *, read_only: bool) -> Engine:
    path = Path(url.database or "")
    if not url.database or url.database == ":memory:":
        raise StoreError("database_url must name a file: sqlite:////path/to/file.db.")
    if read_only:
        if not path.is_file():
            raise StoreError(f"There is no database {path} yet; start `envoylog run` first.")
    else:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The directory {path.parent} can't be made ({error.strerror}); "
                "choose another database_url or fix its permissions."
            ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")
            # What was committed leaves the spool, so it has to outlive a power cut.
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    event.listen(engine, "connect", prepare)
    # A write transaction starts as one: no upgrade from read to write that could fail half-way.
    if not read_only:
        event.listen(engine, "begin", _begin_immediate)
        event.listen(engine, "connect", _no_implicit_begin)
    return engine


def _no_implicit_begin(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _only_read(connection: Any, _record: Any) -> None:
    connection.read_only = True


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into a sentence with a remedy.

    Raises:
        StoreError: instead of a driver's error.
    """
    try:
        yield
    except _errors(DBAPIError) as error:
        passes, sentence = _meaning(error)
        refused = isinstance(error, _errors(DataError, IntegrityError))
        kind = StoreAwayError if passes else RowRefusedError if refused else StoreError
        raise kind(sentence) from error
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


def sentence_of(error: Exception) -> str:
    """Return what a database's or driver's error means, with the remedy."""
    return _meaning(error)[1]


def _meaning(error: Exception) -> tuple[bool, str]:
    """Return whether it may pass by itself, and what to tell."""
    said = str(getattr(error, "orig", None) or error).strip()
    first = said.splitlines()[0] if said else "no reason given"
    low = said.lower()
    reason = first.rpartition("failed: ")[2]
    away = f"The database server can't be reached ({reason}); is it running?"
    for words, passes, sentence in (
        ("full", True, "The database's disk is full; make room, polls wait meanwhile."),
        ("no space left", True, "The database's disk is full; make room, polls wait meanwhile."),
        ("locked", True, "The database is locked by another program; stop it and try again."),
        ("readonly", False, "The database can't be written: check its file's permissions."),
        ("unable to open", False, "The database can't be opened: check its path and permissions."),
        ("disk i/o", True, "The database's disk can't be read or written; is it there, and whole?"),
        ("not a database", False, "The file is not a database; choose another database_url."),
        ("starting up", True, away),
        ("shutting down", True, away),
        ("recovery", True, away),
        ("too many clients", True, away),
        ("password", False, "The database server refused the user or password of database_url."),
        ("does not exist", False, f"The database server says: {first}; create it first."),
        ("no such table", False, "The database has no tables yet; run: envoylog db upgrade"),
        ("connection", True, away),
        ("server closed", True, away),
        ("timeout", True, away),
    ):  # fmt: skip
        if words in low:
            return passes, sentence
    return False, f"The database refused: {first}."


def is_full(error: StoreError) -> bool:
    """Return whether it was a file's disk that had no room."""
    cause = error.__cause__
    said = getattr(cause, "orig", cause)
    return getattr(said, "sqlite_errorname", None) == "SQLITE_FULL"


def wait_at_most(connection: Connection, seconds: int) -> None:
    """Let what this transaction asks for fail when others hold it for longer."""
    if is_file(connection):
        connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * seconds}")
    else:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{seconds}s'")


def is_file(bind: Connection | Engine) -> bool:
    """Return whether the database is a file of ours, rather than a server."""
    return bool(bind.dialect.name == "sqlite")


def insert_or_ignore(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows whose natural key is new; a row that is there stays as it is."""
    if rows:
        connection.execute(_insert(connection)(table).on_conflict_do_nothing(), list(rows))


def insert_all(connection: Connection, table: Table, made: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all name the same columns, straight to the driver: for thousands of rows."""
    if not made:
        return
    names = tuple(made[0])
    statement = _insertion(table, connection.dialect, names)
    order = statement.positiontup if statement.positional else names
    processors = statement._bind_processors  # noqa: SLF001 - the public road is the slow one
    columns = []
    for name in order:
        column: list[Any] = [row[name] for row in made]
        if (processor := processors.get(name)) is not None:
            # Instants and days come again in many rows: of each phase, of each inverter.
            bound = {value: processor(value) for value in dict.fromkeys(column)}
            column = [bound[value] for value in column]
        columns.append(column)
    found: Any = zip(*columns, strict=True)
    if not statement.positional:
        found = (dict(zip(order, row, strict=True)) for row in found)
    connection.exec_driver_sql(str(statement), list(found))


@lru_cache(maxsize=64)
def _insertion(table: Table, dialect: Dialect, names: tuple[str, ...]) -> Any:
    return table.insert().compile(dialect=dialect, column_keys=list(names))


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: Sequence[str]
) -> None:
    """Insert rows; where the natural key exists, replace some columns."""
    if not rows:
        return
    statement = _insert(connection)(table)
    statement = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in replace},
    )
    connection.execute(statement, list(rows))


def _insert(connection: Connection) -> Any:
    # Imported on use: each brings its asynchronous drivers along.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415

    return insert


def rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """Return a query's rows as ``batches`` does, one by one."""
    for batch in batches(connection, query):
        yield from batch


def batches(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """Return a query's rows as plain tuples, straight from the driver and in batches.

    For millions of rows: SQLAlchemy's result objects would take half of the time. The query's
    columns must be of types that need no conversion (numbers, text, ``epoch``).
    """
    dialect = connection.dialect
    # From the engine's cache, as it compiles everything else.
    compiled: Any
    compiled, extracted, *_ = query._compile_w_cache(  # noqa: SLF001
        dialect,
        compiled_cache=connection.engine._compiled_cache,  # noqa: SLF001
        column_keys=[],
    )
    bound: Any = compiled.construct_params(extracted_parameters=extracted)
    processors: Any = compiled._bind_processors  # noqa: SLF001 - the public road is the slow one
    values = {key: processors[key](v) if key in processors else v for key, v in bound.items()}
    driver = connection.connection.dbapi_connection
    assert driver is not None  # noqa: S101 - a checked-out connection has one
    given: Any = values
    if compiled.positional:
        given = tuple(values[name] for name in compiled.positiontup or ())
        cursor = driver.cursor()
    else:
        # A cursor with a name stays on the server: otherwise all rows would come at once.
        cursor = driver.cursor("envoylog_rows")
    cursor.execute(str(compiled), given)
    try:
        while batch := cursor.fetchmany(BATCH):
            yield batch
    finally:
        cursor.close()


def database_size_bytes(connection: Connection) -> int:
    """Return how much room the database takes."""
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    return int(size)


def create_reader(engine: Engine, role: str, password: str) -> None:
    """Make a PostgreSQL role that can read everything here, also what comes later, and no more.

    Raises:
        StoreError: this is SQLite, or the user of database_url may not make roles.
    """
    if engine.dialect.name == "sqlite":
        raise StoreError(
            "SQLite has no roles: open the file read-only instead, sqlite3 -readonly FILE."
        )
    from psycopg import sql  # noqa: PLC0415 - PostgreSQL only

    name, secret = sql.Identifier(role), sql.Literal(password)
    with translated_errors(), engine.begin() as connection:
        database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        driver: Any = connection.connection.dbapi_connection
        for statement in (
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, secret),
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name),
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), name),
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name),
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name),
            sql.SQL(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}"
            ).format(name),
        ):
            connection.exec_driver_sql(statement.as_string(driver))
