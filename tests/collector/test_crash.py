"""Killed at any moment, the collector keeps every poll that it took."""

import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger.collector.assemble import durable_pollers
from logger.errors import SettingsError
from logger.rollups import build
from logger.store import maintenance
from logger.store.collectorlock import collector_lock
from logger.store.database import open_engine
from logger.store.door import Door
from tests.conftest import Bench, Benches
from tests.filled import utc

CHILD = """
import sys
from datetime import UTC, datetime, timedelta
from logger import settings
from logger.collector.assemble import durable_pollers
from logger.store.door import Door
config, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
loaded = settings.load(__import__("pathlib").Path(config), {})
at = datetime(2026, 6, 15, 10, tzinfo=UTC)
poller = durable_pollers(loaded, Door.to(loaded.database_url), {})[0]
for number in range(first, first + count):
    poller.poll(at + timedelta(minutes=number), inverters=False)
    print(number, flush=True)
if count == 0:
    poller.finish()
"""


def config_of(one: Bench) -> Path:
    path = one.directory / "config.toml"
    path.write_text(
        f'database_url = "{one.settings.database_url}"\nstate_dir = "{one.settings.state_dir}"\n'
        f'commit_every_s = 300\n[[gateways]]\nname = "roof"\nhost = "{one.server.url}"\n'
        'token_file = "roof.token"\n'
    )
    return path


def test_every_poll_that_was_taken_is_stored_once_through_kill_9(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    one = bench(database_url=database_url, cts="net")
    config = config_of(one)
    dice = random.Random(1)
    taken: list[int] = []
    for _ in range(3):
        first = max(taken, default=-1) + 1
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(config), str(first), "1000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        with child.stdout as said:
            taken += [int(said.readline()) for _ in range(dice.randrange(1, 25))]
            child.kill()
            taken += [int(line) for line in said if line.endswith("\n")]
        child.wait()
        one.clock.set(one.clock() + timedelta(minutes=len(taken)))
    last = subprocess.run([sys.executable, "-c", CHILD, str(config), "0", "0"], check=False)
    assert last.returncode == 0
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT polled_at FROM polls ORDER BY polled_at")).all()
    start = utc(2026, 6, 15, 10)
    stored = {str(row[0])[:19] for row in rows}
    assert {f"{start + timedelta(minutes=n):%Y-%m-%d %H:%M:%S}" for n in taken} <= stored
    assert len(rows) == len(stored)
    with engine.begin() as connection:
        now = start + timedelta(days=1)
        assert build.rebuild(connection, 1, now=now, gap_s=900, since=None) == []


def test_a_database_that_is_locked_for_long_loses_nothing(bench: Benches) -> None:
    one = bench(cts="net")
    engine = open_engine(one.settings.database_url)
    maintenance.upgrade(engine)
    poller = durable_pollers(one.settings, Door(engine), one.environ, clock=one.clock)[0]
    with engine.connect() as connection:  # The pool has this one connection.
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    quick = open_engine(one.settings.database_url)
    with quick.begin():  # BEGIN IMMEDIATE: another writer
        for _ in range(3):
            poller.poll(one.clock(), inverters=False)
            one.clock.set(one.clock() + timedelta(minutes=1))
        assert poller.store_error is not None
    assert poller.finish()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM polls")).scalar_one() == 3


def test_a_second_collector_on_the_same_database_says_so(engine: Engine, database_url: str) -> None:
    other = open_engine(database_url)
    with (
        collector_lock(engine),
        pytest.raises(SettingsError, match="Another envoylog is collecting"),
        collector_lock(other),
    ):
        pass
    with collector_lock(other):
        pass
