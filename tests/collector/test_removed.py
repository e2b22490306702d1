"""A database file that somebody removes while polls are stored is noticed, logged and made anew."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from logger.collector.wiring import pollers
from logger.store.lock import CollectorDatabase
from logger.store.models import POLLS, PRODUCTION_SAMPLES
from tests.conftest import Benches, collect


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
