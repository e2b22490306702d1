"""What a database takes and what it will: by table group, by year, and written by day."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from logger.cli import run
from logger.settings import Settings
from logger.store import size
from logger.store.lock import collector_lock


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
        assert left.written_mb_per_day == round(96 * 48 * 1024 / 1e6, 1)
