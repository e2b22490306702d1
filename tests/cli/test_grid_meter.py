"""How the utility's meter sees several phases: what is configured, kept, refused and adopted."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from logger.cli import run
from logger.clock import utc_now
from logger.simulator.site import Shape
from logger.store.database import opened
from tests.cli.test_bad_input import config_of
from tests.conftest import Bench, Benches


@pytest.fixture
def roof(bench: Benches) -> Bench:
    """A gateway with three phases, which was polled just now."""
    found = bench(cts="net", shape=Shape(phases=3))
    found.clock.set(utc_now())
    (found.directory / "roof.token").write_text(found.simulation.token())
    assert run(["--config", str(config_of(found)), "poll"]) == 0
    return found


def kept(roof: Bench, value: str | None = None) -> Any:
    with opened(roof.settings.database_url) as engine, engine.begin() as connection:
        if value:
            connection.execute(text("UPDATE gateways SET grid_meter = :value"), {"value": value})
        return connection.execute(text("SELECT grid_meter FROM gateways")).scalar_one()


def note(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert run(["--config", str(config), "status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["gateways"][0]["grid_meter_note"]


def test_a_new_gateway_has_a_meter_that_balances_and_another_is_refused_until_a_rebuild(
    roof: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept(roof) == "balancing"
    config = config_of(roof, grid_meter='"per_phase"')
    capsys.readouterr()
    assert run(["--config", str(config), "poll"]) == 3
    assert "run `envoylog db rebuild`" in capsys.readouterr().err
    assert run(["--config", str(config), "db", "rebuild", "--dry-run"]) == 0
    assert kept(roof) == "balancing"
    assert run(["--config", str(config), "db", "rebuild"]) == 0
    assert kept(roof) == "per_phase"
    assert run(["--config", str(config), "poll"]) == 0
    assert note(config, capsys) is None


def test_a_database_from_before_counts_each_phase_until_it_is_rebuilt_and_status_says_so(
    roof: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(roof, "per_phase")
    config = config_of(roof)
    assert run(["--config", str(config), "poll"]) == 0
    assert kept(roof) == "per_phase"
    assert note(config, capsys) == (
        "import and export are counted as per_phase; run `envoylog db rebuild` to count as balancing, "
        "or keep it with grid_meter = 'per_phase'"
    )
    assert run(["--config", str(config), "status"]) == 0
    assert "  grid meter  import and export are counted as per_phase" in capsys.readouterr().out
    assert run(["--config", str(config), "db", "rebuild"]) == 0
    assert kept(roof) == "balancing"
    assert note(config, capsys) is None
