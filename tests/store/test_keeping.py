"""Keeping a database for years: prune, check, backup and restore, size."""

import contextlib
import json
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from logger import exports
from logger.cli import run
from logger.clock import utc_now
from logger.errors import StoreError
from logger.reports.tables import energy_report
from logger.rollups import build, inverters
from logger.rollups.prune import prune
from logger.simulator.site import Shape, Site
from logger.store import backup, maintenance
from logger.store.collectorlock import collector_lock
from logger.store.database import open_engine, translated_errors
from tests.conftest import administer, with_database
from tests.filled import fill, instant, times, utc

SINCE = utc(2026, 5, 1)
NOW = SINCE + timedelta(days=12, hours=7)


def fill_up(engine: Engine) -> None:
    """Twelve days of a site with two inverters, rolled up as they came."""
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    fill(engine, site, times(SINCE, NOW, 900), zone="Europe/Amsterdam")
    reports = [
        {"at": instant(engine, at), "serial": serial,
         "wh": site.counter_wh("made", at.timestamp()) / 2}
        for at in times(SINCE, NOW, 900)
        for serial in ("a", "b")
    ]  # fmt: skip
    insert = (
        "INSERT INTO inverter_samples (gateway_id, reported_at, serial, energy_lifetime_wh) "
        "VALUES (1, :at, :serial, :wh)"
    )
    with engine.begin() as connection:
        connection.execute(text(insert), reports)
    build.bring_up_to_date(engine, 1, now=NOW, gap_s=900)
    inverters.bring_inverters_up_to_date(engine, 1, now=NOW)


@pytest.fixture(scope="module")
def filled_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "filled.db"
    shutil.copy(sqlite_template, path)
    engine = open_engine(f"sqlite:///{path}")
    fill_up(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="module")
def filled_name(postgres_url: str, postgres_template: str) -> Iterator[str]:
    name = f"filled_{uuid.uuid4().hex[:8]}"
    administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    engine = open_engine(with_database(postgres_url, name))
    fill_up(engine)
    engine.dispose()
    yield name
    administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a filled database of each engine."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("filled_file"), tmp_path / "envoylog.db")
        yield f"sqlite:///{tmp_path / 'envoylog.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex[:12]}"
    template = request.getfixturevalue("filled_name")
    administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield with_database(server, name)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    return engine


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def report(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        made = energy_report(connection, "daily", now=NOW, since="2026-05-01")
    rows: list[Any] = json.loads(exports.to_json(made))
    return rows


def test_pruning_changes_no_report_and_counting_goes_on_from_there(filled: Engine) -> None:
    before, samples = report(filled), count(filled, "production_samples")
    with filled.begin() as connection:
        pruned = prune(connection, 1, now=NOW, keep_days=4, gap_s=900)
    assert report(filled) == before
    assert count(filled, "production_samples") == samples - pruned.rows["production_samples"]
    assert count(filled, "production_samples") < samples / 2
    assert count(filled, "inverter_samples") < samples
    with filled.begin() as connection:
        assert build.rebuild(connection, 1, now=NOW, gap_s=900, since=None) == []
    with filled.begin() as connection:
        assert prune(connection, 1, now=NOW, keep_days=4, gap_s=900).rows["production_samples"] == 0
    assert report(filled) == before


def test_a_sound_database_is_ok_and_a_changed_total_is_found(
    filled: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--database-url", database_url, "db", "check"]) == 0
    assert capsys.readouterr().out == "ok\n"
    with filled.begin() as connection:
        connection.execute(text("UPDATE energy_daily SET production_wh = production_wh + 1 "
                                "WHERE day = '2026-05-04'"))  # fmt: skip
    assert run(["--database-url", database_url, "db", "check"]) == 8
    assert "1 days (2026-05-04 to 2026-05-04)" in capsys.readouterr().out


def test_a_backup_is_restored_with_the_same_reports(
    filled: Engine, database_url: str, tmp_path: Path
) -> None:
    command: Callable[..., int] = lambda *args: run(["--database-url", database_url, *args])  # noqa: E731 - short
    before = report(filled)
    with collector_lock(filled):
        assert command("db", "backup", "-o", str(tmp_path / "b")) == 0
    (made,) = (tmp_path / "b").iterdir()
    with open_engine(f"sqlite:///{made}", read_only=True).connect() as connection:
        assert maintenance.problems(connection) == []
    with filled.begin() as connection:
        connection.execute(text("DELETE FROM energy_daily"))
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (2, 'later')"))
    with collector_lock(filled):
        assert command("db", "restore", str(made), "--yes") == 3
    assert command("db", "restore", str(made), "--yes") == 0
    filled.dispose()  # Its connection holds the file that was replaced.
    assert report(filled) == before
    assert count(filled, "gateways") == 1
    assert command("db", "check") == 0


def test_a_backup_while_polls_are_stored_is_of_one_instant(filled: Engine, tmp_path: Path) -> None:
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    done = threading.Event()

    def store() -> None:
        for at in times(NOW + timedelta(minutes=15), NOW + timedelta(days=9), 900):
            if done.is_set():
                return
            with filled.begin() as connection:
                for statement in (
                    "INSERT INTO polls (gateway_id, polled_at) VALUES (1, :at)",
                    (
                        "INSERT INTO production_samples (gateway_id, polled_at, phase, "
                        "energy_lifetime_wh, source) VALUES (1, :at, 'total', :wh, 'ct')"
                    ),
                ):
                    wh = round(5_000_000 + site.counter_wh("made", at.timestamp()), 3)
                    bound = {"at": instant(filled, at)} | ({"wh": wh} if ":wh" in statement else {})
                    connection.execute(text(statement), bound)
                build.catch_up(connection, 1, now=at, gap_s=900)

    writer = threading.Thread(target=store)
    writer.start()
    made = backup.backup(filled, tmp_path, "20260513-070000", keep=1)
    done.set()
    writer.join()
    copied = open_engine(f"sqlite:///{made}")
    with copied.connect() as connection:
        counted = text("SELECT (SELECT count(*) FROM polls), count(DISTINCT polled_at) "
                       "FROM production_samples")  # fmt: skip
        polls, sampled = connection.execute(counted).one()
    assert polls == sampled
    assert report(copied)[:-1] == report(filled)[:-1]
    assert run(["--database-url", f"sqlite:///{made}", "db", "check"]) == 0


def test_only_the_newest_backups_are_kept(
    filled: Engine, database_url: str, tmp_path: Path
) -> None:
    del filled
    for number in range(4):
        (tmp_path / f"envoylog-2000010{number}-000000.db").write_text("")
    args = ["db", "backup", "-o", str(tmp_path), "--keep", "2"]
    assert run(["--database-url", database_url, *args]) == 0
    kept = sorted(path.name for path in tmp_path.glob("envoylog-*"))
    assert kept[0] == "envoylog-20000103-000000.db"
    assert kept[1].startswith(f"envoylog-{utc_now():%Y%m%d}")
    assert len(kept) == 2


def test_a_file_that_is_no_backup_is_refused(
    filled: Engine, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = report(filled)
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    older = tmp_path / "older.db"
    old = open_engine(f"sqlite:///{older}")
    with old.begin() as connection:
        maintenance.migrate(connection, "0002")
    old.dispose()
    for name, remedy in (("broken.db", "not a database"), ("older.db", f"{older} db upgrade")):
        args = ["db", "restore", str(tmp_path / name), "--yes"]
        assert run(["--database-url", database_url, *args]) == 6
        assert remedy in capsys.readouterr().err
        assert report(filled) == before


def test_a_restore_that_breaks_off_changes_nothing(postgresql_url: str, sqlite_url: str) -> None:
    server, empty = open_engine(postgresql_url), Path(sqlite_url.removeprefix("sqlite:///"))
    with server.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (1, 'mine')"))

    def cut(_table: str, _seen: int, _of_all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.restore(server, empty, cut)
    assert count(server, "gateways") == 1
    backup.restore(server, empty)
    assert count(server, "gateways") == 0
    with server.connect() as connection:
        assert len(inspect(connection).get_foreign_keys("polls")) == 1


def test_a_backup_that_finds_no_room_leaves_nothing_and_names_the_place(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't be written to .*file"):
        backup.backup(engine, tmp_path / "file", "20260513-070000", keep=1)

    def half(_engine: Engine, path: Path, _step: object) -> None:
        path.write_text("half")
        small = sqlite3.connect(":memory:")
        with contextlib.closing(small), translated_errors():
            small.execute("PRAGMA max_page_count=1")
            small.execute("CREATE TABLE more (than fits)")

    monkeypatch.setattr(backup, "_write", half)
    with pytest.raises(StoreError, match=r"disk of .*room is full.*no new backup"):
        backup.backup(engine, tmp_path / "room", "20260513-070000", keep=1)
    assert list((tmp_path / "room").iterdir()) == []


def test_the_size_comes_with_a_forecast(
    filled: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del filled
    assert run(["--database-url", database_url, "db", "size"]) == 0
    assert "GB a year" in capsys.readouterr().out


def test_pruning_needs_a_limit(
    filled: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del filled
    assert run(["--database-url", database_url, "db", "prune", "--yes"]) == 2
    assert "keep_samples_days" in capsys.readouterr().err
