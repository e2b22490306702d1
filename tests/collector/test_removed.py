"""A database that somebody removes, or lets nobody write, while polls are stored is noticed; no poll is missing."""

import contextlib
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from logger.collector.wiring import pollers
from logger.collector.writer import AWAY
from logger.store.lock import CollectorDatabase
from logger.store.models import POLLS, PRODUCTION_SAMPLES
from tests.conftest import Benches, Opening, collect


@pytest.mark.parametrize("how", ["removed", "moved away", "replaced by an older copy"])
def test_polls_go_on_into_a_database_made_anew(bench: Benches, caplog: pytest.LogCaptureFixture, how: str) -> None:
    roof = bench(cts="net")
    path = Path(roof.settings.database_url.removeprefix("sqlite:///"))
    database = CollectorDatabase(roof.settings.database_url)
    (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
    copy = path.with_name("copy.db")

    def minutes(count: int) -> None:
        for _ in range(count):
            collect(poller, roof.clock())
            roof.clock.set(roof.clock() + timedelta(minutes=1))

    minutes(2)
    if how == "replaced by an older copy":
        database.engine.dispose()
        shutil.copyfile(path, copy)
    minutes(2)
    if how == "moved away":
        path.rename(path.with_name("elsewhere.db"))
    else:
        path.unlink()
    if copy.exists():
        copy.rename(path)
    minutes(4)
    assert poller.keeper.store_all()
    assert "removed or replaced" in caplog.text
    with roof.engine().connect() as connection:
        stored = connection.execute(select(POLLS.c.polled_at).order_by(POLLS.c.polled_at)).scalars().all()
        samples = connection.execute(select(PRODUCTION_SAMPLES.c.polled_at).distinct()).scalars().all()
    assert len(stored) == len(samples) == (6 if how == "replaced by an older copy" else 4)
    database.close()


def test_a_server_that_comes_back_for_reading_alone_is_away_until_it_takes_polls(
    bench: Benches, opening: Opening, postgresql_url: str
) -> None:
    roof = bench(database_url=postgresql_url, cts="net")
    admin = opening(postgresql_url)

    def come_back(setting: str) -> None:
        with admin.begin() as connection:
            connection.exec_driver_sql("SET TRANSACTION READ WRITE")
            connection.exec_driver_sql(f"ALTER DATABASE {admin.url.database} {setting}")
            connection.exec_driver_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                                       "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip

    with contextlib.closing(CollectorDatabase(postgresql_url)) as database:
        (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
        come_back("SET default_transaction_read_only = on")
        collect(poller, roof.clock())
        assert isinstance(poller.keeper.error, AWAY), poller.keeper.error
        come_back("RESET default_transaction_read_only")
        roof.clock.set(roof.clock() + timedelta(minutes=1))
        collect(poller, roof.clock())
        assert poller.keeper.error is None
        with admin.connect() as connection:
            assert len(connection.execute(select(POLLS.c.polled_at)).all()) == 2
