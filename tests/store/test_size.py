"""What a database takes and what it will: by table group, by year, and written by day."""

import contextlib
import itertools
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.collector.wiring import pollers
from logger.readings import InverterSample, Poll
from logger.settings import Settings
from logger.simulator.site import Shape
from logger.store import size
from logger.store.database import opened
from logger.store.lock import CollectorDatabase, collector_lock
from logger.store.writer import save
from tests.conftest import Benches, collect


def test_the_size_is_shown_by_what_it_is_for_with_a_forecast(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["--database-url", filled_url, "db", "size"]) == 0
    out = capsys.readouterr().out
    assert "MB raw samples" in out
    assert "GB a year at this pace" in out
    assert "MB written a day" in out
    assert run(["--database-url", filled_url, "db", "size", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["days_logged"] == 5.3
    assert found["raw_mb"] > found["rollups_mb"] > 0
    parts = sum(found[name] or 0 for name in ("raw_mb", "rollups_mb", "rest_mb", "free_mb"))
    assert parts == pytest.approx(found["database_mb"], abs=0.2)
    grown = (found["raw_mb"] + found["rollups_mb"]) / 5.3 * 365 / 1000
    assert found["growth_gb_per_year"] == pytest.approx(grown, rel=0.1, abs=0.01)
    settings = Settings(database_url=filled_url, state_dir=Path())
    monkeypatch.setattr(size, "RECENT_DAYS", 2.0)
    with filled.connect() as connection:
        recent = size.size(connection, settings).growth_gb_per_year
    assert recent == pytest.approx(found["growth_gb_per_year"], rel=0.2, abs=0.01)


def test_what_is_written_in_a_day_is_measured_where_a_collector_runs(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url="", state_dir=tmp_path, commit_every_s=900)
    is_file = filled.dialect.name == "sqlite"
    monkeypatch.setattr(size, "LONG_ENOUGH_S", 0)
    with filled.connect() as connection:
        with collector_lock(filled):
            held = size.size(connection, settings)
        left = size.size(connection, settings)
    assert held.written_source == ("collector" if is_file else "server")
    assert held.written_mb_per_day >= 0
    assert left.written_source == ("estimate" if is_file else "server")
    if is_file:
        assert left.written_mb_per_day == round(96 * 52 * 1024 * 15**0.25 / 1e6, 1)


@pytest.mark.parametrize(
    ("commit_every_s", "least_mb", "most_mb"), [(0, 72, 80), (60, 72, 80), (300, 20, 25), (900, 9, 12)]
)
def test_fewer_commits_write_less(sqlite_url: str, commit_every_s: int, least_mb: int, most_mb: int) -> None:
    settings = Settings(database_url="", state_dir=Path(), commit_every_s=commit_every_s)
    with opened(sqlite_url) as engine, engine.connect() as connection:
        assert least_mb < size.size(connection, settings).written_mb_per_day < most_mb


def frames(wal: Path) -> list[bytes]:
    """Return the pages of a log that belong to its present round; https://sqlite.org/fileformat2.html#walformat."""
    text = wal.read_bytes()
    step, salt = 24 + int.from_bytes(text[8:12]), text[16:24]
    starts = range(32, len(text) - step + 1, step)
    return list(itertools.takewhile(lambda page: page[8:16] == salt, (text[at : at + step] for at in starts)))


def test_a_commit_writes_few_and_small_pages_into_a_log_that_does_not_grow(bench: Benches) -> None:
    roof = bench(cts="net", shape=Shape(phases=3, inverters=20))
    with contextlib.closing(CollectorDatabase(roof.settings.database_url)) as database:
        (poller,) = pollers(roof.settings, database, roof.environ, clock=roof.clock)
        wal = roof.directory / "envoylog.db-wal"
        room, before = wal.stat().st_size, 0
        for number in range(24):
            collect(poller, roof.clock(), inverters=number % 5 == 0)
            roof.clock.set(roof.clock() + timedelta(minutes=1))
            before = before or len(frames(wal))  # The first poll comes with all that is new.
        written = [len(page) for page in frames(wal)[before:]]
        assert sum(written) / 23 < 24 * 1024
        assert wal.stat().st_size == room


def page_bytes(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[16:18])


def test_a_vacuum_gives_an_older_file_small_pages_once_nobody_else_has_it_open(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as older:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=4096", "VACUUM"):
            older.execute(statement)
    command = ["--database-url", sqlite_url, "db", "prune", "--vacuum", "--yes"]
    with opened(sqlite_url) as collecting:
        with collecting.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM gateways").all()
        assert run(command) == 0
        assert page_bytes(path) == 4096
    assert run(command) == 0
    assert page_bytes(path) == 1024


def test_the_last_report_of_a_unit_that_fell_silent_is_no_reason_to_read_years(sqlite_url: str) -> None:
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    reported = [now - timedelta(hours=number) for number in range(1, 8000)]
    alive, silent = (InverterSample(reported_at=at, serial=serial) for at, serial in ((now, "a"), (reported[-1], "b")))
    steps: list[int] = []

    def save_poll(engine: Engine, minute: int, *inverters: InverterSample) -> int:
        poll = Poll(gateway_serial="1", polled_at=now + timedelta(minutes=minute), took_s=0.1, inverters=inverters)
        with engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(lambda: steps.append(1), 10)
            steps.clear()
            save(connection, 1, poll)
            driver.set_progress_handler(None, 10)
        return len(steps)

    with opened(sqlite_url) as engine:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO gateways (gateway_id, name, serial) VALUES (1, 'roof', '1')"))
            rows = [{"at": f"{at:%Y-%m-%d %H:%M:%S}"} for at in reported]
            connection.execute(
                text("INSERT INTO inverter_samples (gateway_id, reported_at, serial) VALUES (1, :at, 'a')"), rows
            )
        save_poll(engine, 0, alive, silent)
        assert save_poll(engine, 2, alive, silent) < save_poll(engine, 1, alive) + 20
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM inverter_samples")).scalar_one() == len(reported) + 2
