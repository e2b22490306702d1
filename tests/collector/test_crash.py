"""Killed at any moment, the collector keeps every poll that it took."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger.collector.wiring import pollers
from logger.errors import SettingsError
from logger.rollups import rollup
from logger.store import schema
from logger.store.lock import CollectorDatabase, collector_lock
from tests import chaos, power, soak
from tests.conftest import Benches, Opening, collect


def test_every_poll_that_was_acknowledged_is_stored_once_through_kill_9(tmp_path: Path, database_url: str) -> None:
    assert soak.kills(tmp_path, database_url, 4, seed=3) > 0


def test_a_power_cut_costs_no_more_than_commit_every_s(tmp_path: Path) -> None:
    try:
        polls, _ = power.cuts(tmp_path, 2, seed=7)
    except RuntimeError as error:
        pytest.skip(str(error))
    assert polls > 10


def test_rollups_follow_a_kill_that_came_between_storing_and_rolling_up(bench: Benches, database_url: str) -> None:
    roof = bench(cts="net", database_url=database_url)
    database = CollectorDatabase(database_url)
    (killed,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
    for _ in range(7):
        killed.poll(roof.clock(), inverters=False)
        roof.clock.set(roof.clock() + timedelta(minutes=1))
    killed.keeper._store_waiting()
    database.close()
    database = CollectorDatabase(database_url)
    elsewhere = replace(roof.settings, state_dir=roof.directory / "again")
    (again,) = pollers(elsewhere, database, roof.environ, clock=roof.clock)
    assert again.keeper.queue.oldest() is None
    assert again.keeper.store_all()
    with database.engine.connect() as connection:
        changes = rollup.rebuild(connection, 1, now=roof.clock(), gap_s=900, since=None)
    assert changes == []
    database.close()


@pytest.mark.slow
def test_a_day_of_random_faults_leaves_every_poll_and_names_each_fault(tmp_path: Path, sqlite_url: str) -> None:
    result = chaos.month(tmp_path, sqlite_url, 1, seed=4)
    assert result["polls"] > 2 * 288
    assert result["not complete"] > 0
    assert result["threads at most"] <= 3


def test_a_database_that_is_locked_for_long_loses_nothing(opening: Opening, bench: Benches) -> None:
    roof = bench(cts="net")
    database = CollectorDatabase(roof.settings.database_url)
    engine = database.engine
    schema.upgrade(engine)
    poller = pollers(roof.settings, database, roof.environ, clock=roof.clock)[0]
    with engine.connect() as connection:  # The pool has this one connection.
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    quick = opening(roof.settings.database_url)
    with quick.begin():  # BEGIN IMMEDIATE: another writer
        for _ in range(3):
            collect(poller, roof.clock())
            roof.clock.set(roof.clock() + timedelta(minutes=1))
        assert poller.keeper.error is not None
    assert poller.keeper.store_all()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM polls")).scalar_one() == 3
    database.close()


def test_a_second_collector_on_the_same_database_is_refused(
    opening: Opening, engine: Engine, database_url: str
) -> None:
    other = opening(database_url)
    with (
        collector_lock(engine),
        pytest.raises(SettingsError, match="Another envoylog is collecting"),
        collector_lock(other),
    ):
        pass
    with collector_lock(other):
        pass
