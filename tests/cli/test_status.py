"""How things stand, true to the minute."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from logger import status
from logger.cli import run
from logger.clock import utc_now
from logger.settings import load
from tests.cli.test_bad_input import config_of
from tests.conftest import Benches


@pytest.fixture
def polled(bench: Benches) -> Path:
    """A configuration whose gateway was polled just now."""
    roof = bench(cts="net")
    roof.clock.set(utc_now())
    (roof.directory / "roof.token").write_text(roof.simulation.token())
    path = config_of(roof)
    assert run(["--config", str(path), "poll"]) == 0
    return path


def judged(path: Path, later: timedelta, token_days: int = 300) -> status.Health:
    from logger.store.database import opened  # noqa: PLC0415 - only here

    loaded = load(path, {})
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        now: datetime = utc_now() + later
        found = status.statuses(connection, loaded, now, [token_days])
    return status.health(found, loaded)


def test_all_is_well_after_a_poll(polled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["--config", str(polled), "health"]) == 0
    assert capsys.readouterr().out.startswith("OK roof: measured")


def test_silence_is_critical_and_a_token_that_ends_a_warning(polled: Path) -> None:
    assert judged(polled, timedelta(minutes=3)).level == 0
    assert judged(polled, timedelta(minutes=30)).level == 2
    assert "30 min" in judged(polled, timedelta(minutes=30)).line
    assert judged(polled, timedelta(0), token_days=5).level == 1


def test_nothing_known_is_unknown(polled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    assert run(["--config", str(polled), "--database-url", url, "health"]) == 3
    assert "UNKNOWN" in capsys.readouterr().out


def test_status_is_complete_in_json(polled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["--config", str(polled), "status", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (gateway,) = record["gateways"]
    assert gateway["last_outcome"] == "complete"
    assert gateway["last_good_age_s"] < 60
    assert gateway["token_days_left"] in {364, 365}  # a year, less what has passed since
    assert record["database_mb"] > 0
    assert run(["--config", str(polled), "status"]) == 0
    assert "last measured" in capsys.readouterr().out
