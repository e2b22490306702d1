"""One poll by hand: what is new in words, local times, and what follows from a first and a second poll."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from logger.clock import time_zone, utc_now
from tests.cli.test_bad_input import answered, config_of
from tests.conftest import Bench, Benches, daytime_zone

ZONE = daytime_zone()


@pytest.fixture
def roof(bench: Benches) -> tuple[Bench, Path]:
    roof = bench(cts="net", time_zone=ZONE)
    roof.clock.set(utc_now())
    (roof.directory / "roof.token").write_text(roof.simulation.token())
    return roof, config_of(roof)


def test_a_first_poll_says_that_energy_appears_with_the_second_and_so_do_reports(
    roof: tuple[Bench, Path],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench, path = roof
    code, out, err = answered(capsys, "poll", "--config", path)
    assert code == 0
    local = utc_now().astimezone(time_zone(ZONE))
    first, *rest = out.splitlines()
    assert first.startswith("roof: firmware 8.3.5289, serial 122334455667, polled at ")
    assert first[-8:-6] in {f"{local:%H}", f"{local - timedelta(minutes=9):%H}"}
    assert rest[0].startswith("  now         making ")
    assert rest[-1] == "  stored      the first poll: energy appears with the second"
    assert err == ""
    assert ["certificate pinned" in record.message for record in caplog.records] == [True]
    for kind in ("hourly", "daily", "monthly", "yearly"):
        code, out, err = answered(capsys, "report", kind, "--config", path)
        assert (code, out) == (7, "")
        assert "roof was polled once, at " in err
        assert "it appears with the second; run: envoylog run" in err
    later = utc_now() + timedelta(minutes=5)
    bench.clock.set(later)
    for module in ("logger.clock", "logger.collector.keeper", "logger.cli.report"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: later)
    code, out, err = answered(capsys, "poll", "--config", path)
    assert (code, err) == (0, "")
    stored, today = out.splitlines()[-2:]
    assert stored.startswith("  stored      ")
    assert " made since the poll of " in stored
    assert today.startswith("  today       ")
    code, out, _ = answered(capsys, "report", "daily", "--config", path)
    assert code == 0
    assert "Production" in out


def test_all_samples_are_shown_when_they_are_asked_for(
    roof: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = roof
    assert "net-consumption CT" not in answered(capsys, "poll", "--config", path)[1]
    _, out, _ = answered(capsys, "poll", "--config", path, "--verbose", "--no-store")
    assert "  production              total" in out
    assert "  net-consumption CT      L1" in out or "  net-consumption CT      total" in out
    assert out.count("  inverter 12") == 12
    assert max(map(len, out.splitlines())) <= 80


def test_one_gateway_by_two_names_is_polled_by_the_first_that_had_it(
    roof: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bench, path = roof
    alone = path.read_text()
    url = bench.server.url.replace("127.0.0.1", "localhost")
    again = f'\n[[gateways]]\nname = "barn"\nhost = "{url}"\ntoken_file = "roof.token"\n'
    path.write_text(alone + again)
    for args in (["--no-store"], [], []):
        code, out, err = answered(capsys, "poll", "--config", path, *args)
        assert code == 3
        assert [line.split(":")[0] for line in out.splitlines() if line[0] != " "] == ["roof"]
        assert "'roof' and 'barn' are one gateway (serial 122334455667); remove 'barn'" in err
    engine = bench.engine()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM gateways")).scalars().all() == ["roof"]
    # Renamed, it goes on by its new name.
    path.write_text(alone.replace('"roof"', '"barn"', 1))
    assert answered(capsys, "poll", "--config", path)[0] == 0


def test_what_a_poll_could_not_have_is_said_once(roof: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]) -> None:
    bench, path = roof
    answered(capsys, "poll", "--config", path)
    bench.server.stop()
    code, out, err = answered(capsys, "poll", "--config", path)
    assert (code, out) == (5, "")
    assert err.count("\n") == 1
    code, out, _ = answered(capsys, "poll", "--config", path, "--json")
    assert code == 5
    assert json.loads(out)[0]["outcome"] == "failed"
