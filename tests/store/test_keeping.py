"""Keeping a database for years: prune, check, backup and restore, size."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger import exports
from logger.cli import run
from logger.clock import utc_now
from logger.reports.tables import energy_report
from logger.rollups import build, inverters
from logger.rollups.prune import prune
from logger.simulator.site import Shape, Site
from logger.store.collectorlock import collector_lock
from tests.filled import fill, instant, times, utc

SINCE = utc(2026, 5, 1)
NOW = SINCE + timedelta(days=20, hours=7)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Twenty days of a site with two inverters, rolled up as they came."""
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
        pruned = prune(connection, 1, now=NOW, keep_days=5, gap_s=900)
    assert report(filled) == before
    assert count(filled, "production_samples") == samples - pruned.rows["production_samples"]
    assert count(filled, "production_samples") < samples / 2
    assert count(filled, "inverter_samples") < samples
    with filled.begin() as connection:
        assert build.rebuild(connection, 1, now=NOW, gap_s=900, since=None) == []
    with filled.begin() as connection:
        assert prune(connection, 1, now=NOW, keep_days=5, gap_s=900).rows["production_samples"] == 0
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


@pytest.fixture
def sqlite_only(filled: Engine) -> Engine:
    if filled.dialect.name != "sqlite":
        pytest.skip("PostgreSQL brings its own backup")
    return filled


def test_a_backup_is_restored_with_the_same_reports(
    sqlite_only: Engine, database_url: str, tmp_path: Path
) -> None:
    command: Callable[..., int] = lambda *args: run(["--database-url", database_url, *args])  # noqa: E731 - short
    before = report(sqlite_only)
    with collector_lock(sqlite_only):
        assert command("db", "backup", "-o", str(tmp_path / "b")) == 0
    (made,) = (tmp_path / "b").iterdir()
    with sqlite_only.begin() as connection:
        connection.execute(text("DELETE FROM energy_daily"))
    with collector_lock(sqlite_only):
        assert command("db", "restore", str(made), "--yes") == 3
    assert command("db", "restore", str(made), "--yes") == 0
    sqlite_only.dispose()  # Its connection holds the file that was replaced.
    assert report(sqlite_only) == before
    assert command("db", "check") == 0


def test_only_the_newest_backups_are_kept(
    sqlite_only: Engine, database_url: str, tmp_path: Path
) -> None:
    del sqlite_only
    for number in range(4):
        (tmp_path / f"envoylog-2000010{number}-000000.db").write_text("")
    assert (
        run(["--database-url", database_url, "db", "backup", "-o", str(tmp_path), "--keep", "2"])
        == 0
    )
    kept = sorted(path.name for path in tmp_path.glob("envoylog-*.db"))
    assert kept[0] == "envoylog-20000103-000000.db"
    assert kept[1].startswith(f"envoylog-{utc_now():%Y%m%d}")
    assert len(kept) == 2


def test_a_file_that_is_no_backup_is_refused(
    sqlite_only: Engine, database_url: str, tmp_path: Path
) -> None:
    before = report(sqlite_only)
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    args = ["--database-url", database_url, "db", "restore", str(tmp_path / "broken.db"), "--yes"]
    assert run(args) == 6
    assert report(sqlite_only) == before


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
