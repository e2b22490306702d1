"""What a user gets wrong is one sentence with the remedy, and the right exit code."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from logger.cli import run
from logger.clock import utc_now
from logger.store.schema import upgrade
from tests.conftest import Bench, Benches, daytime_zone


def config_of(roof: Bench, **more: str) -> Path:
    path = roof.directory / "config.toml"
    lines = {
        "database_url": f'"{roof.settings.database_url}"',
        "state_dir": f'"{roof.settings.state_dir}"',
        **{key: value for key, value in more.items() if key in {"poll_every_s", "polls"}},
    }
    gateway = {"name": '"roof"', "host": f'"{roof.server.url}"', "token_file": '"roof.token"',
               "time_zone": f'"{daytime_zone()}"'}  # fmt: skip
    gateway |= {key: value for key, value in more.items() if key not in lines}
    path.write_text(
        "\n".join(f"{key} = {value}" for key, value in lines.items())
        + "\n[[gateways]]\n"
        + "\n".join(f"{key} = {value}" for key, value in gateway.items())
    )
    return path


def answered(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    code = run([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


@pytest.fixture
def ready(bench: Benches) -> tuple[Bench, Path]:
    roof = bench(cts="net")
    roof.clock.speed = 1.0
    roof.clock.set(utc_now())
    (roof.directory / "roof.token").write_text(roof.simulation.token())
    return roof, config_of(roof)


def test_a_poll_is_stored_and_shown(ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]) -> None:
    roof, path = ready
    code, out, _ = answered(capsys, "--config", path, "poll", "--json")
    assert code == 0
    (record,) = json.loads(out)
    assert record["gateway"] == "roof"
    assert record["outcome"] == "complete"
    engine = roof.engine()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM polls")).scalar_one() == 1


def test_a_poll_in_the_nightly_restart_warns_that_inverters_are_not_asked(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = ready
    assert "22:58" not in answered(capsys, "--config", path, "poll")[2]
    monkeypatch.setattr("logger.gateway.client.Gateway.is_nightly_outage", lambda *_: True)
    code, out, err = answered(capsys, "--config", path, "poll")
    assert code == 0
    assert "inverters are not asked from 22:58 to 23:06" in err
    assert "inverters" not in out
    assert "  now         making" in out


def test_no_store_writes_nothing(ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]) -> None:
    roof, path = ready
    code, out, _ = answered(capsys, "--config", path, "poll", "--no-store")
    assert code == 0
    assert "  now         making" in out
    assert not Path(roof.settings.database_url.removeprefix("sqlite:///")).exists()


def test_an_unknown_key_names_the_nearest(ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]) -> None:
    roof, _ = ready
    path = config_of(roof, pollls="1", hots='"x"')
    code, _, err = answered(capsys, "--config", path, "config", "check")
    assert code == 3
    assert "did you mean" in err


def test_an_unreachable_host_is_named_with_what_to_check(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    roof, _ = ready
    path = config_of(roof, host='"https://127.0.0.1:9"')
    code, _, err = answered(capsys, "--config", path, "poll")
    assert code == 5
    assert "127.0.0.1:9" in err
    assert "Is the host right" in err


def test_an_expired_token_and_a_foreign_one_exit_4(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    roof, path = ready
    for token in (roof.simulation.token(days=-1),
                  roof.simulation.entrez.token("1", roof.clock())):  # fmt: skip
        (roof.directory / "roof.token").write_text(token)
        code, out, err = answered(capsys, "--config", path, "poll")
        assert code == 4
        assert "envoylog token set" in err
        assert token not in out + err


def test_another_certificate_exits_4_and_accepting_it_heals(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    roof, path = ready
    assert answered(capsys, "--config", path, "poll")[0] == 0
    roof.server.renew_certificate()
    sent = len(roof.simulation.requests)
    code, _, err = answered(capsys, "--config", path, "poll")
    assert code == 4
    assert "envoylog trust accept roof" in err
    assert len(roof.simulation.requests) == sent
    assert answered(capsys, "--config", path, "trust", "show")[0] == 4
    assert answered(capsys, "--config", path, "trust", "accept", "--yes")[0] == 0
    assert answered(capsys, "--config", path, "poll")[0] == 0


def test_a_wrong_local_password_exits_4_and_keeps_the_rest(bench: Benches, capsys: pytest.CaptureFixture[str]) -> None:
    roof = bench(generation="5", cts="none")
    secret = roof.directory / "password"
    secret.touch(0o600)
    secret.write_text("wrong")
    path = config_of(roof, username='"me"', password_file='"password"')
    code, out, err = answered(capsys, "--config", path, "poll")
    assert code == 4
    assert "refuses the user 'me'" in err
    assert "  now         making" in out


def test_a_database_of_a_newer_schema_and_an_older_one_exit_6(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    roof, path = ready
    engine = roof.engine()
    upgrade(engine)
    for version, remedy in (("9999", "pip install --upgrade"), ("0001", "envoylog db upgrade")):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
        code, _, err = answered(capsys, "--config", path, "poll")
        assert code == 6
        assert remedy in err


def test_a_directory_that_cannot_be_made_exits_6(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, path = ready
    blocker = tmp_path / "file"
    blocker.write_text("")
    url = f"sqlite:///{blocker}/deeper/envoylog.db"
    code, _, err = answered(capsys, "--config", path, "--database-url", url, "poll")
    assert code == 6
    assert "can't be made" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_exits_6(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, path = ready
    closed = tmp_path / "closed"
    closed.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    code, _, err = answered(capsys, "--config", path, "--database-url", f"sqlite:///{closed}/x.db",
                        "poll")  # fmt: skip
    assert code == 6
    assert "permissions" in err


def test_a_full_disk_stores_nothing_half_and_exits_6(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roof, path = ready
    engine = roof.engine()
    upgrade(engine)
    with engine.begin() as connection:
        # The last table of a poll that is written needs more room than there is.
        for statement in (
            "CREATE TABLE ballast (room)",
            (
                "CREATE TRIGGER full BEFORE INSERT ON inverter_samples "
                "BEGIN INSERT INTO ballast VALUES (zeroblob(1000000)); END"
            ),
        ):
            connection.exec_driver_sql(statement)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def with_a_full_disk(*args: Any, **options: Any) -> Engine:
        small = create_engine(*args, **options)
        limit = f"PRAGMA max_page_count={pages + 1}"
        event.listen(small, "connect", lambda driver, _: driver.execute(limit))
        return small

    monkeypatch.setattr("sqlalchemy.create_engine", with_a_full_disk)
    code, _, err = answered(capsys, "--config", path, "poll")
    assert code == 6
    assert "disk is full; make room" in err
    with engine.connect() as connection:
        for table in ("gateways", "polls", "production_samples", "meter_readings"):
            rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert rows == 0, table


@pytest.mark.parametrize(
    ("url", "words"),
    [("mysql://x/y", "SQLite and PostgreSQL"), ("nonsense", "not a database URL"),
     ("sqlite://", "must name a file"), ("postgresql://me@host:99999/x", "ports end at 65535"),
     ("postgresql://me@host:port/x", "not a database URL"), ("postgresql://me:a@b@host/x", "%40 for @"),
     ("sqlite:////", "is a folder; name a file in it")],
)  # fmt: skip
def test_a_database_url_that_cannot_be_used_exits_3(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    _, path = ready
    for command in (["poll"], ["report", "daily"], ["db", "upgrade"], ["db", "check"]):
        code, _, err = answered(capsys, "--config", path, "--database-url", url, *command)
        assert code == 3
        assert words in err
    code, _, err = answered(capsys, "--config", path, "db", "copy", url)
    assert code in {2, 3}
    assert words in err


def test_a_server_that_is_not_there_exits_6(ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://nobody@127.0.0.1:9/x"
    code, _, err = answered(capsys, "--config", ready[1], "--database-url", url, "poll")
    assert code == 6
    assert "server can't be reached" in err


def test_a_report_without_data_exits_7_and_names_what_there_is(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = ready
    answered(capsys, "--config", path, "poll")
    code, _, err = answered(capsys, "--config", path, "report", "daily", "--from", "2001",
                        "--to", "2001")  # fmt: skip
    assert code == 7
    assert "roof" in err


def test_a_report_for_an_unknown_gateway_lists_the_known(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = ready
    answered(capsys, "--config", path, "poll")
    code, _, err = answered(capsys, "--config", path, "report", "daily", "--gateway", "barn")
    assert code == 2
    assert "roof" in err


@pytest.mark.parametrize(
    ("args", "code"),
    [(["report", "weekly"], 2), (["poll", "--nope"], 2), (["nope"], 2),
     (["--config", "/nowhere.toml", "poll"], 3), (["simulate", "--fault", "flood"], 2)],
)  # fmt: skip
def test_wrong_words_exit_with_their_code(capsys: pytest.CaptureFixture[str], args: list[str], code: int) -> None:
    assert answered(capsys, *args)[0] == code


@pytest.mark.parametrize("url", ["postgresql://me:hush%40hush@db/x", "postgresql://db/x?user=me&password=hushhush&a=b"])
def test_the_configuration_is_shown_without_its_secrets(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    _, path = ready
    monkeypatch.setenv("ENVOYLOG_GATEWAYS__ROOF__TOKEN", "topsecret")
    monkeypatch.setenv("ENVOYLOG_DATABASE_URL", url)
    code, out, _ = answered(capsys, "--config", path, "config", "show")
    assert code == 0
    assert "topsecret" not in out
    assert "hush" not in out
    assert "token = (set, hidden)  # environment" in out
    assert "name = roof  # file" in out
    assert "mdns = true  # default" in out


def test_a_token_is_kept_and_shown_without_itself(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    roof, path = ready
    pasted = tmp_path / "pasted"
    pasted.write_text(roof.simulation.token(days=700))
    assert answered(capsys, "--config", path, "token", "set", "--file", pasted)[0] == 0
    kept = roof.settings.state_dir / "tokens" / "roof.jwt"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    code, out, _ = answered(capsys, "--config", path, "token", "show")
    assert code == 0
    assert "days left" in out
    assert pasted.read_text() not in out


def test_a_rebuild_that_ends_before_it_begins_is_refused(
    ready: tuple[Bench, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = ready
    answered(capsys, "--config", path, "db", "upgrade")
    code, out, err = answered(capsys, "--config", path, "db", "rebuild", "--from", "2026-06", "--to", "2026-05")
    assert (code, out) == (2, "")
    assert "swap --from and --to" in err
