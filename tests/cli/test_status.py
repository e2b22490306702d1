"""How things stand, true to the minute."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, Table, event

from logger import status
from logger.cli import run
from logger.clock import utc_now
from logger.gateway.credentials import TokenLeft
from logger.readings import Poll
from logger.reports.columns import SUSPECT
from logger.service.state import State
from logger.settings import GatewaySettings, Settings, load
from logger.store import models
from logger.store.database import opened
from logger.store.spool import Spool, Waiting
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


def judged(path: Path, later: timedelta, token: TokenLeft | None = None) -> status.Health:
    loaded = load(path, {})
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        now: datetime = utc_now() + later
        found = status.statuses(connection, loaded, now, [token])
    return status.health(found, loaded)


def test_all_is_well_after_a_poll(polled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["--config", str(polled), "health"]) == 0
    assert capsys.readouterr().out.startswith("OK roof: measured")


def test_silence_is_critical_and_a_token_that_ends_a_warning(polled: Path) -> None:
    assert judged(polled, timedelta(minutes=3)).level == 0
    assert judged(polled, timedelta(minutes=30)).level == 2
    assert "30 min" in judged(polled, timedelta(minutes=30)).line
    ends = TokenLeft(expires_at=utc_now() + timedelta(days=5), lifetime=timedelta(days=365), renews=False)
    found = judged(polled, timedelta(0), ends)
    assert found.level == 1
    assert "the token ends in" in found.line
    assert "envoylog token set roof" in found.line


def test_of_many_gateways_a_monitors_line_names_the_worst_first_and_counts_the_others(polled: Path) -> None:
    loaded = load(polled, {})
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        (fine,) = status.statuses(connection, loaded, utc_now(), [None])
    silent = replace(fine, gateway="barn", last_good_age_s=3600)
    found = status.health([*[fine] * 998, silent, fine], loaded)
    assert found.level == 2
    assert found.line.startswith("CRITICAL barn: nothing measured for 60 min")
    assert found.line.endswith("; and 990 more, all ok")
    assert found.line.count("roof: ") == 9
    assert status.health([silent] * 1000, loaded).line.endswith("; and 990 more, 990 of them not ok")


#: how long a token lasts and what is left of that, whether it renews itself, and how bad that is
TOKENS = [
    (timedelta(hours=12), timedelta(hours=11), True, 0),
    (timedelta(hours=12), timedelta(minutes=50), True, 0),  # the next poll renews it
    (timedelta(hours=12), timedelta(minutes=20), True, 1),
    (timedelta(hours=12), timedelta(minutes=-20), True, 1),
    (timedelta(hours=12), timedelta(hours=11), False, 1),
    (timedelta(days=1), timedelta(hours=3), True, 0),
    (timedelta(days=365), timedelta(days=20), True, 0),
    (timedelta(days=365), timedelta(days=13), True, 1),
    (timedelta(days=365), timedelta(days=20), False, 0),
    (timedelta(days=365), timedelta(days=13), False, 1),
]


def test_a_token_that_renews_itself_is_a_warning_only_when_it_should_have_been(polled: Path) -> None:
    for lifetime, left, renews, level in TOKENS:
        token = TokenLeft(expires_at=utc_now() + left, lifetime=lifetime, renews=renews)
        found = judged(polled, timedelta(0), token)
        assert found.level == level, token
        assert ("was not renewed yet" in found.line) == (renews and level > 0)


def test_who_does_not_see_what_waits_is_not_warned_before_it_should_be_stored(polled: Path) -> None:
    loaded = replace(load(polled, {}), commit_every_s=900)
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        (found,) = status.statuses(connection, loaded, utc_now() + timedelta(minutes=16), [None])
    assert status.judge(found, loaded)[0] == 2
    hidden = replace(found, spool_is_hidden=True)
    assert status.judge(hidden, loaded)[0] == 0
    assert hidden.last_good_age_s is not None
    assert status.judge(replace(hidden, last_good_age_s=hidden.last_good_age_s + 300), loaded)[0] == 2


def test_a_last_poll_that_failed_long_ago_is_no_reason_any_more(polled: Path) -> None:
    loaded = load(polled, {})
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        (found,) = status.statuses(connection, loaded, utc_now() + timedelta(hours=4), [None])
    error = "gateway: connection refused."
    failed = replace(found, last_outcome="failed", last_error=error, last_poll_age_s=60)
    assert status.judge(failed, loaded) == (2, "nothing measured for 4 hours: connection refused")
    stopped = replace(failed, last_poll_age_s=3600)
    assert status.judge(stopped, loaded) == (2, "nothing measured for 4 hours; start the collector: envoylog run")


#: a state of the service, and what is said of it
SERVICE = [
    (State(installed=True, running=False, in_words="stopped", to_type="sudo systemctl start envoylog"),
     "the service is stopped; type: sudo systemctl start envoylog"),
    (State(installed=True, running=True, running_for_s=9000, in_words="running for 2 hours"),
     "the service is running for 2 hours; type: journalctl -u envoylog -n 20"),
    (State(installed=True, running=True, running_for_s=20, in_words="running for 20 seconds"),
     "the service has just started, and stores its first poll within 120 s"),
]  # fmt: skip


def test_where_the_service_collects_its_state_and_the_command_to_type_are_said(
    polled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = load(polled, {}).database_url
    monkeypatch.setattr("logger.settings.places.is_system", lambda _: True)
    monkeypatch.setattr("logger.cli.status.utc_now", lambda: utc_now() + timedelta(hours=5))
    for service, words in SERVICE:
        monkeypatch.setattr("logger.service.state.look", lambda service=service: service)
        capsys.readouterr()
        assert run(["--config", str(polled), "--database-url", url, "health"]) == 2
        assert words in capsys.readouterr().out


def test_while_the_server_is_away_it_is_said_what_waits_for_it_and_for_how_long(
    polled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = ["--config", str(polled), "--database-url", "postgresql://127.0.0.1:1/x"]
    state_dir = load(polled, {}).state_dir
    for minute, name in enumerate(["roof", "roof", "other"]):
        poll = Poll(gateway_serial="1", polled_at=utc_now() - timedelta(minutes=70 - 10 * minute), took_s=0.5)
        Spool(state_dir, name).append(poll)
    for command, code in (("health", 2), ("status", 6)):
        capsys.readouterr()
        assert run([*server, command]) == code
        said = "".join(capsys.readouterr())
        assert "is it running? 0.0 MB of polls wait for it here, the oldest for 70 min." in said
    assert Waiting.of(state_dir, ["other"]).since == poll.polled_at
    assert Waiting.of(tmp_path, ["roof"]) == (0, None)


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
    assert gateway["now"]["consumption_w"] is not None
    assert gateway["today"] is None  # before the second poll


def test_the_screen_says_in_words_what_flows_and_what_to_do(
    polled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert run(["--config", str(polled), "status"]) == 0
    screen = capsys.readouterr().out
    assert "  energy      appears with the second poll" in screen
    assert "  now         making " in screen
    assert "s ago)" in screen
    assert "attention" not in screen
    assert "  token       36" in screen
    monkeypatch.setattr("logger.cli.status.utc_now", lambda: utc_now() + timedelta(hours=5))
    assert run(["--config", str(polled), "status"]) == 0
    screen = capsys.readouterr().out
    assert "  attention   nothing measured for 5 hours; start the collector: envoylog run" in screen
    assert "last seen" in screen
    assert max(map(len, screen.splitlines())) <= 80


Row = tuple[Table, dict[str, Any]]


def gateway_of(number: int, now: datetime) -> list[Row]:
    """Return rows of a gateway, each of another kind; the ninth has the eighth's name."""
    zone = ("Europe/Amsterdam", "Pacific/Auckland", None)[number % 3]
    today = now.astimezone(ZoneInfo(zone or "UTC")).date()
    rows: list[Row] = [(models.GATEWAYS, {"name": f"roof {min(number, 8)}", "serial": f"{number}", "time_zone": zone})]
    for minute in range(number - 1):
        outcome = "failed" if number % 4 == 3 and minute == 0 else "complete"
        rows.append((models.POLLS, {"polled_at": now - timedelta(minutes=minute), "took_s": 0.1, "outcome": outcome}))
    for days in range(3):
        day = today - timedelta(days=days)
        energy = {"day": day, "phase": "total", "production_wh": 1.0 * days, "covered_s": 1, "period_s": 1}
        rows.append((models.ENERGY_DAILY, energy))
        if number % 2:
            at, kind = now - timedelta(hours=12 * days + number), SUSPECT[days % len(SUSPECT)]
            rows.append((models.EVENTS, {"at": at, "kind": kind, "subject": "x", "detail": f"{days}"}))
        if number % 3 != 1:
            state = ("fine", "weak", "dead")[(days + number) % 3]
            judged = {"day": day - timedelta(days=6), "state": state}
            rows += [(models.PANEL_DAILY, judged | {"serial": serial}) for serial in ("a", "b")]
    if number % 4 == 0:
        wired = {"eid": number, "measurement": "production", "state": "enabled", "metering_status": "check-wiring"}
        rows.append((models.METERS, wired))
    return [(table, {"gateway_id": number} | row) for table, row in rows]


def test_of_many_gateways_it_is_asked_as_often_as_of_one_and_found_what_each_says_alone(
    engine: Engine, tmp_path: Path
) -> None:
    now = datetime(2026, 6, 15, 11, 30, tzinfo=UTC)
    with engine.begin() as connection:
        for number in range(1, 10):
            for table, row in gateway_of(number, now):
                connection.execute(table.insert(), row)
    gateways = [GatewaySettings(name=f"roof {number}", host="127.0.0.1") for number in (3, 1, 2, 4, 5, 6, 7, 8, 10)]
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *now_asked: asked.append(now_asked[2]))

    def found(*some: GatewaySettings) -> list[status.GatewayStatus]:
        asked.clear()
        loaded = Settings(database_url="", state_dir=tmp_path, gateways=some)
        with engine.connect() as connection:
            return status.statuses(connection, loaded, now, [None] * len(some))

    alone = [found(gateway)[0] for gateway in gateways]
    once = found(gateways[0]) and len(asked)
    assert found(*gateways) == alone
    assert len(asked) == once
    assert {own.serial for own in alone} == {"1", "2", "3", "4", "5", "6", "7", "9", None}
    assert len({own.suspect for own in alone}) > 2
    assert len({own.ill_panels for own in alone}) > 1
    assert [own.last_good_age_s for own in alone] == [60, None, 0, 0, 0, 0, 60, 0, None]
