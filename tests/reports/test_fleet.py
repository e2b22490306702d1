"""Many gateways beside each other, on both engines."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from logger.cli import run
from logger.clock import utc_now
from logger.reports import Report
from logger.reports.fleet import GatewayFacts, Token, counts, facts, fleet_report
from logger.store.database import insert_all
from logger.store.models import ENERGY_DAILY, GATEWAYS, POLLS, PRODUCTION_SAMPLES

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
FIRST, LAST = date(2026, 6, 15), date(2026, 6, 19)
DAYS = [FIRST + timedelta(days=number) for number in range(5)]


def fill(engine: Engine, made_wh: dict[str, float], *, covered_s: int = 86_400, silent_h: int = 0,
         zone: str = "Europe/Amsterdam", now: datetime = NOW) -> None:  # fmt: skip
    """Add gateways that were asked a minute ago, and that all days made the same."""
    with engine.begin() as connection:
        first = len(connection.execute(GATEWAYS.select()).all()) + 1
        for number, (name, wh) in enumerate(made_wh.items(), start=first):
            at = now - timedelta(minutes=1, hours=silent_h)
            row = {"gateway_id": number, "name": name, "serial": f"serial {number}", "firmware": "8.3.5289"}
            row |= {"time_zone": zone, "peak_power_kwp": 5.0, "first_seen_at": at - timedelta(days=40)}
            insert_all(connection, GATEWAYS, [row])
            failed = {"outcome": "failed", "error": "gateway: connection refused."}
            polls = [{"gateway_id": number, "polled_at": at, "outcome": "complete", "error": None}]
            polls += [{**polls[0], "polled_at": now - timedelta(minutes=1), **failed}] if silent_h else []
            insert_all(connection, POLLS, polls)
            sample = {"gateway_id": number, "polled_at": at, "phase": "total"}
            insert_all(connection, PRODUCTION_SAMPLES, [sample])
            days = [
                {"gateway_id": number, "day": now.date() + (day - NOW.date()), "phase": phase, "period_s": 86_400,
                 "covered_s": covered_s, "production_wh": wh}
                for day in DAYS for phase in ("total", "L1")
            ]  # fmt: skip
            insert_all(connection, ENERGY_DAILY, days)


def report_of(engine: Engine, tokens: dict[str, Token | None] | None = None) -> Report:
    with engine.connect() as connection:
        found = facts(connection, FIRST, LAST)
    return fleet_report(found, FIRST, LAST, now=NOW, normal_age_s=300, tokens=tokens or {})


def test_each_gateway_has_a_state_and_the_worst_come_first(engine: Engine) -> None:
    fill(engine, {"a": 20_000, "b": 20_500, "c": 19_500, "short": 20_000})
    fill(engine, {"weak": 15_000, "weaker": 8_000})
    fill(engine, {"gone": 20_000}, silent_h=30)
    fill(engine, {"holes": 16_000}, covered_s=70_000)
    report = report_of(engine, {"short": Token(4, is_short=True), "a": Token(300, is_short=False)})
    states = dict(zip(report.column("gateway"), report.column("state"), strict=True))
    assert list(states.items()) == [
        ("gone", "silent"), ("weaker", "weak"), ("weak", "weak"), ("short", "token"), ("holes", "incomplete"),
        ("c", "fine"), ("a", "fine"), ("b", "fine"),
    ]  # fmt: skip
    assert counts(report) == "1 silent, 2 weak, 1 token, 1 incomplete, 3 fine"
    notes = dict(zip(report.column("gateway"), report.column("note"), strict=True))
    assert notes["gone"] == "nothing measured for 30 hours: connection refused"
    assert notes["weak"] == "makes 75 % of what its neighbours make by kWp"
    assert notes["short"] == "the token lasts 4 days"
    assert notes["holes"] == "81.0 % of the time was measured"
    assert notes["a"] == ""
    weak = dict(zip(report.names, report.rows[2], strict=True))
    assert (weak["production_kwh"], weak["specific_yield_kwh_per_kwp"], weak["relative_pct"]) == (75.0, 15.0, 75.0)
    assert (weak["coverage_pct"], weak["silent_s"], weak["firmware"]) == (100.0, 60, "8.3.5289")
    # What was not measured says nothing of how much it makes.
    assert report.column("relative_pct")[4] is None


def test_neighbours_are_those_of_the_same_time_zone_and_few_say_nothing(engine: Engine) -> None:
    fill(engine, dict.fromkeys("abcd", 20000))
    fill(engine, dict.fromkeys("efgh", 5000), zone="Europe/Helsinki")
    fill(engine, dict.fromkeys("ij", 1000), zone="Asia/Kathmandu")
    report = report_of(engine)
    relative = dict(zip(report.column("gateway"), report.column("relative_pct"), strict=True))
    assert relative == dict.fromkeys("abcdefgh", 100.0) | dict.fromkeys("ij")
    assert set(report.column("state")) == {"fine"}


def test_a_gateway_goes_on_in_the_one_that_replaced_it(engine: Engine) -> None:
    fill(engine, {"a": 20_000})
    with engine.begin() as connection:
        connection.execute(ENERGY_DAILY.delete().where(ENERGY_DAILY.c.day > DAYS[1]))
    fill(engine, {"b": 20_000})
    with engine.begin() as connection:
        connection.execute(GATEWAYS.update().values(name="roof"))
        connection.execute(ENERGY_DAILY.delete().where(ENERGY_DAILY.c.gateway_id == 2, ENERGY_DAILY.c.day < DAYS[1]))
        half = ENERGY_DAILY.update().where(ENERGY_DAILY.c.day == DAYS[1])
        connection.execute(half.values(production_wh=10_000, covered_s=43_200))
    report = report_of(engine)
    (row,) = [dict(zip(report.names, row, strict=True)) for row in report.rows]
    assert (row["production_kwh"], row["coverage_pct"], row["serial"]) == (100.0, 100.0, "serial 2")


def test_days_without_any_energy_were_not_measured() -> None:
    found = GatewayFacts(gateway="roof", first_seen_at=NOW - timedelta(days=3))
    report = fleet_report([found, GatewayFacts(gateway="new")], FIRST, LAST, now=NOW, normal_age_s=300, tokens={})
    new, roof = (dict(zip(report.names, row, strict=True)) for row in report.rows)
    assert (roof["coverage_pct"], roof["production_kwh"], roof["note"]) == (
        0.0, None, "never measured; 0.0 % of the time was measured",
    )  # fmt: skip
    assert (new["coverage_pct"], new["note"]) == (None, "never measured")


def test_the_commands_show_the_fleet(database_url: str, engine: Engine, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    fill(engine, {"a": 20_000, "b": 20_500, "c": 19_500, "weak": 9_000}, now=utc_now())
    config = tmp_path / "config.toml"
    names = ("a", "weak", "never")
    gateways = (f'[[gateways]]\nname = "{name}"\nhost = "10.0.0.{n}"\n' for n, name in enumerate(names))
    config.write_text(f'database_url = "{database_url}"\nstate_dir = "state"\n' + "".join(gateways))
    config.chmod(0o600)
    command = ["--config", str(config), "fleet"]
    assert run([*command, "status"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("3 gateways, the last 7 days and today: 1 silent, 1 weak, 1 incomplete\n")
    assert "never: never measured" in shown
    assert run([*command, "status", "--json"]) == 0
    assert [record["gateway"] for record in json.loads(capsys.readouterr().out)] == ["never", "weak", "a"]
    assert run([*command, "report", "--from", "7d", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["gateway"] for record in records[:2]] == ["never", "weak"]
    assert {record["gateway"] for record in records} == {"a", "b", "c", "weak", "never"}
    assert run([*command, "report", "--from", "7d", "-o", str(tmp_path / "fleet.xlsx")]) == 0
    assert run([*command, "report", "--from", "yesterday", "--to", "2020"]) == 2
    assert "ends" in capsys.readouterr().err
    config.write_text(f'database_url = "{database_url}"\n')
    assert run([*command, "status"]) == 7
    assert "No gateway is configured" in capsys.readouterr().err
