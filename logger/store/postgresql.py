"""What PostgreSQL does in its own way: a server that can be away, with roles, locks and COPY."""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping
from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, DropConstraint

from logger.errors import ReadOnlyError, StoreAwayError, StoreDamagedError, StoreError
from logger.store import postgresql_bulk, postgresql_views
from logger.store.database import BACKUPS, BATCH, FULL, LOCKED, Meaning, Written, first_line, translated_errors
from logger.store.models import UtcDateTime
from logger.store.patience import Patience
from logger.store.postgresql_lock import PREPARE, ServerLock

logging.getLogger("psycopg").setLevel(logging.ERROR)  # It warns of what comes after an error that is raised.

#: by SQLSTATE; https://www.postgresql.org/docs/current/errcodes-appendix.html
MEANINGS = {
    "53100": FULL,  # disk_full
    "40P01": LOCKED,  # deadlock_detected
    "55P03": LOCKED,  # lock_not_available
    "XX001": Meaning(StoreDamagedError, f"The server found damaged data; {BACKUPS}"),  # data_corrupted
    "XX002": Meaning(StoreDamagedError, f"The server found a damaged index; {BACKUPS}"),  # index_corrupted
    "42P01": Meaning(StoreError, "The database has no tables yet; run: envoylog db upgrade"),  # undefined_table
    "25006": Meaning(  # read_only_sql_transaction
        ReadOnlyError, "The database may only be read here; name a user and a server that may write in database_url."
    ),
}
#: classes of SQLSTATE: connection, resources (too many clients), operator intervention
AWAY = ("08", "53", "57")
#: A connection that is refused has no code; of a full server the reason shows that it passes.
TOO_MANY = re.compile("too many (clients|connections)|connection slots")
#: A peer that is gone is noticed within half a minute, also while we wait for its answer.
DEAD_PEER = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
#: how long a server may take to answer whether it is there, after it refused a connection
PING_S = 3

#: our tables and views that a role could not read
_CLOSED = """
SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'p', 'm') AND relnamespace = current_schema()::regnamespace
AND NOT (has_table_privilege(%s, oid, 'SELECT') AND has_schema_privilege(%s, relnamespace, 'USAGE'))
"""

SIZE_BYTES = "SELECT pg_database_size(current_database())"
FREE_BYTES = "SELECT NULL"
TABLE_BYTES = (
    "SELECT coalesce(pg_partition_root(oid), oid)::regclass::text, sum(pg_total_relation_size(oid)) FROM pg_class "
    "WHERE relkind = 'r' AND pg_table_is_visible(coalesce(pg_partition_root(oid), oid)) GROUP BY 1"
)
INTEGRITY = "SELECT 'ok'"  # A server checks its pages itself.
MERGES_PHASES = INSTANTS_ARE_TEXT = False
MONTHS = True
LOCK_WRITES = "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE"
LOCK_OWN_WRITES = "LOCK TABLE {} IN ROW EXCLUSIVE MODE NOWAIT"
LOCK_SCHEMA = PREPARE
#: before the server looks whether two wait for each other (deadlock_timeout), which would end the other one as well
GIVE_WAY = "SET LOCAL lock_timeout = '900ms'"
WAIT_AT_MOST = "SET LOCAL lock_timeout = '{}s'"
MARK = "%s"
BATCH_BY_BATCH: Mapping[str, Any] = {"yield_per": BATCH}
write_file = replace_file = None
insert = postgresql.insert


def file_of(_url: URL) -> None:
    """Return nothing: a server has it."""


def create(url: URL, *, read_only: bool) -> Engine:
    """Return an engine of a server's database."""
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=3,
        # A pooler may give each transaction another connection of the server: none has prepared anything.
        # Whatever a role or a database was given as its own encoding: texts are UTF-8.
        connect_args={
            "connect_timeout": 10,
            "application_name": "envoylog",
            "prepare_threshold": None,
            "client_encoding": "utf8",
            **DEAD_PEER,
        },
    )
    sa.event.listen(engine, "connect", _speak_iso)
    if read_only:
        sa.event.listen(engine, "connect", lambda connection, _record: connection.set_read_only(True))
    return engine


def _speak_iso(connection: Any, _record: Any) -> None:
    """Have instants written as the driver reads them, whatever a role or a database was given as its own style."""
    if not (connection.info.parameter_status("DateStyle") or "ISO").startswith("ISO"):
        connection.execute("SET DateStyle TO ISO")
        connection.commit()


def require_text(connection: Connection) -> None:
    """Refuse a database that is to be made where it can't keep each text that a gateway or a person gives.

    Raises:
        StoreError: its encoding has some letters only.
    """
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding not in {"UTF8", "SQL_ASCII"}:
        raise StoreError(
            f"The database has the encoding {encoding}, which lacks most letters of the world; make one with UTF8: "
            "createdb --encoding UTF8 --template template0 NAME"
        )


def place(_engine: Engine) -> str:
    """Return where the database is: a server has its own ways to tell that it is gone."""
    return "server"


def leave(engine: Engine) -> None:
    """Close the connections."""
    engine.dispose()


def begin_collecting(engine: Engine) -> None:
    """Do nothing: a server is prepared."""
    del engine


def bound(engine: Engine, seconds: float) -> None:
    """End connections whose server, or network, hangs: libpq waits without end for one that says nothing."""
    Patience(engine, seconds)


def meaning(error: Exception) -> Meaning | None:
    """Return what an error of psycopg means."""
    state: str | None = getattr(error, "sqlstate", None)
    reason = first_line(error).rpartition("failed: ")[2]
    if state is None:
        if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return None
        if not TOO_MANY.search(reason) and _refused_us(error):
            return Meaning(
                StoreError,
                f"The database server refused database_url ({reason}); check its user, password and database.",
            )
    elif state in MEANINGS:
        return MEANINGS[state]
    elif not state.startswith(AWAY):
        return None
    return Meaning(StoreAwayError, f"The database server can't be reached ({reason}); is it running?")


def _refused_us(error: psycopg.Error) -> bool:
    """Return whether a server that takes connections did not take ours.

    The reason has no code: libpq gives none before a connection stands.
    """
    refused = error.pgconn
    if refused is None or isinstance(error, psycopg.errors.ConnectionTimeout):
        return False
    host, port = refused.host.decode(), refused.port.decode()
    address = make_conninfo(host=host, port=port, connect_timeout=PING_S)
    return bool(PGconn.ping(address.encode()) == Ping.OK)


def migration(engine: Engine) -> AbstractContextManager[Connection]:
    """Begin a transaction."""
    return engine.begin()


@contextlib.contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """Read in one transaction that sees no other."""
    with engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection:
        connection.exec_driver_sql("SET LOCAL DateStyle TO ISO")
        yield connection


def pipelined(connection: Connection) -> AbstractContextManager[object]:
    """Send what is executed without waiting for each answer: a server may be some milliseconds away."""
    driver: Any = connection.connection.driver_connection
    return driver.pipeline() if psycopg.Pipeline.is_supported() else contextlib.nullcontext()


@contextlib.contextmanager
def large_transaction(engine: Engine, *, is_new: bool) -> Iterator[Connection]:
    """Write everything or nothing; instants without an offset are UTC."""
    del is_new
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL TimeZone TO 'UTC'")
        yield connection


def plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column with instants and days as text, and yes and no as 1 and 0."""
    if isinstance(column.type, UtcDateTime):
        return sa.cast(sa.func.timezone("UTC", column), sa.Text)
    if isinstance(column.type, sa.Date):
        return sa.cast(column, sa.Text)
    return sa.cast(column, sa.Integer) if isinstance(column.type, sa.Boolean) else column


def or_as_it_is(form: ColumnElement[Any], _column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the form of a column: a server keeps nothing that has none."""
    return form


@contextlib.contextmanager
def foreign_keys_deferred(connection: Connection, tables: Sequence[Table]) -> Iterator[None]:
    """Drop the foreign keys and add them at the end: a server would remember every new row."""
    keys = [key for table in tables for key in table.foreign_key_constraints]
    for key in keys:
        connection.execute(DropConstraint(key))
    yield
    for key in keys:
        connection.execute(AddConstraint(key))


def truncate(connection: Connection, tables: Sequence[Table]) -> None:
    """Delete all rows."""
    names = ", ".join(f'"{table.name}"' for table in tables)
    connection.exec_driver_sql(f"TRUNCATE {names}")


def vacuum(engine: Engine) -> None:
    """Give the room of deleted rows to new rows."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM")


def written(connection: Connection) -> Written | None:
    """Return how much the server's log grew since its counters began (PostgreSQL 14 and newer)."""
    if connection.exec_driver_sql("SELECT to_regclass('pg_catalog.pg_stat_wal')").scalar_one() is None:
        return None
    size, passed_s = connection.exec_driver_sql(
        "SELECT wal_bytes, extract(epoch FROM now() - stats_reset) FROM pg_stat_wal"
    ).one()
    return None if passed_s is None else Written("server", int(size), float(passed_s))


def create_reader(engine: Engine, role: str, password: str) -> None:
    """Make a role that can read everything here, also what comes later, and no more.

    Raises:
        StoreError: the user of database_url may not make roles, or may not let others read.
    """
    name = sql.Identifier(role)
    with translated_errors(), engine.begin() as connection:
        database, schema = connection.exec_driver_sql("SELECT current_database(), current_schema()").one()
        driver: Any = connection.connection.driver_connection
        # What the server keeps and logs of a password is what libpq makes of it.
        secret = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        within = sql.Identifier(schema)
        with driver.cursor() as cursor:
            for statement in (
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(secret)),
                sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name),
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), name),
                sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(within, name),
                sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(within, name),
                sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}").format(within, name),
                # Of views, for servers on which not everybody may call what somebody makes.
                sql.SQL("GRANT EXECUTE ON FUNCTION battery_level, battery_levels, newest_powers TO {}").format(name),
                sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT EXECUTE ON FUNCTIONS TO {}").format(within, name),
            ):
                cursor.execute(statement)
        # To grant what is not ours is a warning, no error.
        closed = connection.exec_driver_sql(_CLOSED, (role, role)).scalars().all()
        if closed:
            raise StoreError(
                f"{role} could not read {', '.join(sorted(closed)[:3])}, so it was not made; run this as their owner."
            )


bulk_insert, stream, csv_lines = postgresql_bulk.bulk_insert, postgresql_bulk.stream, postgresql_bulk.csv_lines
copied, copy_in = postgresql_bulk.copied, postgresql_bulk.copy_in
others_views_kept = postgresql_views.others_views_kept
collector_lock = ServerLock
