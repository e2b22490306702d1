"""The collector's right to a server's database: for one, out of a reader's reach, and also behind a pooler."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from logger.collector.wiring import pollers
from logger.errors import CollectorRunningError, StoreError
from logger.store import postgresql_lock
from logger.store.lock import CollectorDatabase
from logger.store.postgresql import create_reader
from logger.store.postgresql_lock import ServerLock
from tests.another_user import NOBODY
from tests.conftest import Benches, Opening, collect

NUMBER = postgresql_lock._LOCKS << 32 | postgresql_lock._NUMBER


@contextlib.contextmanager
def session(url: str, user: str | None = None) -> Iterator[Connection]:
    """A connection of another program, out of any transaction."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    other = create_engine(parsed.set(username=user, password="hush") if user else parsed, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        yield connection
    other.dispose()


@pytest.fixture
def reader(postgresql_url: str, opening: Opening) -> Iterator[str]:
    engine, role = opening(postgresql_url), f"reader_{time.monotonic_ns()}"
    create_reader(engine, role, "hush")
    yield role
    with engine.begin() as connection:
        connection.execute(text(f'DROP OWNED BY "{role}"'))
        connection.execute(text(f'DROP ROLE "{role}"'))


def test_a_role_that_may_only_read_keeps_nobody_from_collecting(
    postgresql_url: str, opening: Opening, reader: str
) -> None:
    lock, other = ServerLock(opening(postgresql_url)), ServerLock(opening(postgresql_url))
    with session(postgresql_url, reader) as spoiler:
        for take in (f"pg_try_advisory_lock({NUMBER})", f"pg_try_advisory_lock({postgresql_lock._LOCKS}, 7)"):
            assert spoiler.exec_driver_sql(f"SELECT {take}").scalar_one()
        lock.hold()
        with pytest.raises(CollectorRunningError):
            other.hold()
        spoiler.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    with pytest.raises(CollectorRunningError):  # The number is free, but the collector has another.
        other.hold()
    lock.release()
    other.hold()
    other.release()


def test_a_collector_of_an_older_version_is_another_collector(postgresql_url: str, opening: Opening) -> None:
    lock = ServerLock(opening(postgresql_url))
    with session(postgresql_url) as older:
        assert older.exec_driver_sql(f"SELECT pg_try_advisory_lock({NUMBER})").scalar_one()
        with pytest.raises(CollectorRunningError):
            lock.hold()
        older.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        lock.hold()
        assert not older.exec_driver_sql(f"SELECT pg_try_advisory_lock({NUMBER})").scalar_one()
    lock.release()


def test_a_collector_of_another_database_of_the_server_is_none(
    postgresql_url: str, postgres_url: str, opening: Opening
) -> None:
    locks = [ServerLock(opening(url)) for url in (postgresql_url, postgres_url)]
    for lock in locks:
        lock.hold()
    for lock in locks:
        lock.release()


def test_the_lock_holds_up_neither_cleaning_nor_a_change_of_tables(postgresql_url: str, opening: Opening) -> None:
    lock = ServerLock(opening(postgresql_url))
    lock.hold()
    with session(postgresql_url) as other:
        other.exec_driver_sql("SET lock_timeout = '2s'")
        for statement in (
            "VACUUM FULL gateways",
            "VACUUM",
            "ALTER TABLE polls ADD COLUMN x int",
            "DROP TABLE events CASCADE",
        ):
            other.exec_driver_sql(statement)
        held = "SELECT relation::regclass::text FROM pg_locks WHERE locktype = 'relation' AND pid = %s"
        assert other.exec_driver_sql(held, (lock._server_process,)).all() == []
        oldest = "SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE pid = %s"
        assert other.exec_driver_sql(oldest, (lock._server_process,)).one() == (None, None)
    lock.hold()
    lock.release()


def test_a_reader_is_made_only_where_it_can_read(postgresql_url: str, opening: Opening) -> None:
    owner = f"owner_{time.monotonic_ns()}"
    with session(postgresql_url) as admin:
        admin.exec_driver_sql(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'hush'")
        admin.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {owner}")
        url = make_url(postgresql_url).set(username=owner, password="hush").render_as_string(hide_password=False)
        with pytest.raises(StoreError, match="could not read"):
            create_reader(opening(url), f"reader_of_{owner}", "hush")
        query = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
        assert admin.exec_driver_sql(query, (f"reader_of_{owner}",)).scalar_one() == 0
        admin.exec_driver_sql(f"DROP OWNED BY {owner}")
        admin.exec_driver_sql(f"DROP ROLE {owner}")


PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def pooled_url(postgresql_url: str, public_path: Path) -> Iterator[str]:
    """The same database behind PgBouncer, of which each transaction gets any connection of the server."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    url = make_url(postgresql_url)
    host, port = url.host or url.query.get("host") or "127.0.0.1", url.port or url.query.get("port") or 5432
    with socket.create_server(("127.0.0.1", 0)) as free:
        own_port = free.getsockname()[1]
    password, file = f" password={url.password}" if url.password else "", public_path / "pgbouncer.ini"
    file.write_text(
        f"[databases]\n* = host={host} port={port} user={url.username}{password}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {own_port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    # It refuses to run as root; who owns the server's socket can reach it.
    user = (Path(str(host)).stat().st_uid if str(host).startswith("/") else NOBODY) if os.geteuid() == 0 else None
    process = subprocess.Popen([PGBOUNCER, str(file)], stderr=subprocess.PIPE, text=True, user=user)
    try:
        assert process.stderr is not None
        while "process up" not in (line := process.stderr.readline()):
            assert line, "PgBouncer did not start"
        yield f"postgresql://{url.username}@127.0.0.1:{own_port}/{url.database}"
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_collecting_goes_on_behind_a_pooler_and_is_for_one(
    bench: Benches, pooled_url: str, postgresql_url: str, opening: Opening
) -> None:
    roof = bench(cts="net", database_url=pooled_url)
    database = CollectorDatabase(pooled_url)
    (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
    for _ in range(12):
        collect(poller, roof.clock())
        roof.clock.set(roof.clock() + timedelta(minutes=1))
        assert poller.keeper.error is None
    for url in (pooled_url, postgresql_url):
        with pytest.raises(CollectorRunningError):
            ServerLock(opening(url)).hold()
    assert poller.keeper.store_all()
    database.close()
    lock = ServerLock(opening(pooled_url))
    lock.hold()
    lock.release()
    with opening(pooled_url, read_only=True).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM polls")).scalar_one() == 12
