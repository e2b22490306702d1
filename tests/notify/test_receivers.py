"""Real receivers on this machine: what they get, what is said of those that can't be used, and pings."""

import json
import socket
import sys
from datetime import time
from pathlib import Path

import pytest
from sqlalchemy import text

from logger.cli import run
from logger.doctor import bundle, receivers
from logger.errors import SettingsError
from logger.notify import courier
from logger.notify.delivery import INSTALL
from logger.notify.healthcheck import HealthPinger
from logger.settings import load
from logger.settings.notify import HealthcheckSettings, Secret
from logger.status import Health
from logger.store.database import opened
from tests.notify.receiving import Mailbox, endpoint, mail_server

GATEWAY = '[[gateways]]\nname = "roof"\nhost = "127.0.0.1"\n'


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def config_of(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "config.toml"
    path.write_text(f'state_dir = "{tmp_path}/state"\n{text}\n{GATEWAY}')
    path.chmod(mode)
    return str(path)


def test_a_test_reaches_a_mail_server_and_an_endpoint_and_says_who_did_not_hear_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = Mailbox()
    with mail_server(box, free_port()) as port, endpoint() as hook:
        (tmp_path / "hook.url").write_text(f"json://127.0.0.1:{hook.server_port}/hush\n")
        (tmp_path / "hook.url").chmod(0o600)
        mail = f"mailto://127.0.0.1:{port}?from=envoylog@example.org&to=me@example.org"
        tables = f"[[notify]]\nname = 'mail'\nurl = '{mail}'\n[[notify]]\nurl_file = 'hook.url'\n"
        away = f"[[notify]]\nname = 'away'\nurl = 'json://127.0.0.1:{free_port()}/hush'\nwhen = ['suspect']"
        assert run(["--config", config_of(tmp_path, tables + away), "notify", "test"]) == 8
    found = capsys.readouterr()
    assert found.out == "mail: sent\n2: sent\n"
    assert found.err == "envoylog: away: not sent: Connection refused\n"
    assert [mail["subject"] for mail in box.mails] == ["envoylog: a test"]
    path, body = hook.requests[0]
    assert path == "/hush"
    assert "This is a test of envoylog (roof)." in json.loads(body)["message"]


@pytest.mark.parametrize(
    ("table", "code", "sentence"),
    [
        ("", 3, "No [[notify]] is configured; see: envoylog docs notifications"),
        ("[[notify]]\nurl_file = 'none'", 3, "1: not sent: The secret file {}/none can't be read (No such file"),
        ("[[notify]]\nurl_file = 'open'", 3, "open holds a secret but others can read it; run: chmod 600 {}/open"),
        ("[[notify]]\nurl_file = 'empty'", 3, "[[notify]] 1: {}/empty must hold one URL; write it there."),
        ("[[notify]]\nurl = 'hush://x'", 3, "1: not sent: [[notify]] 1: apprise can't use this URL; see https://"),
    ],
)
def test_a_receiver_that_cannot_be_used_is_one_sentence_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, code: int, sentence: str
) -> None:
    for name, mode, content in (("open", 0o644, "json://hush"), ("empty", 0o600, "\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    assert run(["--config", config_of(tmp_path, table), "notify", "test"]) == code
    found = capsys.readouterr()
    assert sentence.format(tmp_path) in found.err
    assert "hush" not in found.err + found.out


def test_without_apprise_it_is_said_how_to_install_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert courier.deliver({"url": "json://x"}) == {"outcome": "missing", "reason": ""}
    answer = [sys.executable, "-c", 'print(\'{"outcome": "missing", "reason": ""}\')']
    monkeypatch.setattr("logger.notify.delivery.COURIER", answer)
    assert run(["--config", config_of(tmp_path, "[[notify]]\nurl = 'json://x'"), "notify", "test"]) == 3
    assert INSTALL in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[notify]\nurl = 'json://x'", "write [[notify]] with two brackets, a table for each."),
        ("[[notify]]\nname = 'x'", "[[notify]] x: write either url, or url_file with the name of a file"),
        ("[[notify]]\nurl = 'json://x'\nurl_file = 'x'", "[[notify]] 1: write either url, or url_file"),
        ("[[notify]]\nulr = 'json://x'", "[[notify]] 1: unknown key 'ulr'; did you mean 'url'?"),
        (
            "[[notify]]\nurl = 'json://x'\nwhen = ['dead_panels']",
            "when names 'dead_panels'; did you mean 'dead_panel'?",
        ),
        ("[[notify]]\nurl = 'json://x'\nwhen = []", "when is empty; leave it out for all kinds"),
        ("[[notify]]\nurl = 'json://x'\nquiet_hours = '25-7'", 'quiet_hours is written like "22:00-07:00", not'),
        ("[[notify]]\nurl = 'json://x'\nquiet_hours = '7:00-7:00'", "begins and ends at the same time"),
        ("[[notify]]\nurl = 'json://x'\ntime_zone = 'Mars'", "time_zone 'Mars' is not a known time zone"),
        ("[[notify]]\nurl = 'json://x'\n[[notify]]\nname = '1'\nurl = 'json://x'", "two receivers are called '1'"),
        ("[healthcheck]\nevery_s = 60", "[healthcheck]: write either url, or url_file"),
        ("[healthcheck]\nurl = 'https://x'\nevery_s = 1", "every_s must lie between 5 and 86400"),
    ],
)
def test_wrong_tables_are_refused_with_what_to_write(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Path(config_of(tmp_path, text)), {})
    assert sentence in str(caught.value)


def test_a_configuration_that_holds_a_url_is_not_for_everybody_and_never_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "[[notify]]\nurl = 'json://hush'\nquiet_hours = '22:00 - 7:00'\n[healthcheck]\nurl = 'https://x/hush'"
    with pytest.raises(SettingsError, match="holds the URL of a receiver but everybody can read it; run: chmod o-rwx"):
        load(Path(config_of(tmp_path, text, 0o644)), {})
    loaded = load(Path(config := config_of(tmp_path, text, 0o640)), {})
    assert loaded.notify[0].quiet_hours == (time(22), time(7))
    assert "hush" not in repr(loaded)
    assert run(["--config", config, "config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "hush" not in shown
    assert shown.count("url = (set, hidden)") == 2
    assert "quiet_hours = 22:00-07:00" in shown


def test_pings_follow_polls_that_are_stored_and_fail_while_something_is_critical(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health, counted, passed = [Health(level=0, line="OK")], [0], [0.0]
    with endpoint() as monitor:
        settings = HealthcheckSettings(secret=Secret(where="[healthcheck]", url=f"{monitor.url}/hush?a=b"))
        pinger = HealthPinger(
            settings, lambda: counted[0], lambda: health[0], patience_s=300, running_s=lambda: passed[0]
        )

        def look(level: int, *, stored: int, after_s: float = 60) -> list[str]:
            health[0], counted[0], passed[0] = Health(level=level, line=""), counted[0] + stored, passed[0] + after_s
            monitor.requests.clear()
            pinger.look()
            return [path for path, _ in monitor.requests]

        assert look(0, stored=0) == []
        assert look(0, stored=1) == ["/hush?a=b"]
        assert look(0, stored=0) == []
        assert look(2, stored=1) == []  # What was missed before the start is no news.
        assert look(2, stored=1, after_s=300) == ["/hush/fail?a=b"]
        assert look(1, stored=0) == ["/hush?a=b"]
        monitor.status = 404
        assert look(0, stored=1) == look(0, stored=0) == ["/hush?a=b"]
        monitor.status = 200
        assert look(0, stored=0) == ["/hush?a=b"]
    assert look(0, stored=1) == []
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [
        "the health check was not pinged: it answered 404",
        "the health check was not pinged: it can't be reached",
    ]
    assert "hush" not in caplog.text


def test_checks_name_a_receiver_that_is_open_to_others_and_a_recording_hides_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open").write_text("json://hush")
    text = "[[notify]]\nname = 'me'\nurl_file = 'open'\n[healthcheck]\nurl = 'ftp://hush'"
    config = config_of(tmp_path, text)
    assert run(["--config", config, "config", "check"]) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "open holds a secret but others can read it" in shown
    assert f"chmod 600 {tmp_path}/open" in shown
    assert "The URL of [healthcheck] is none that can be pinged." in shown
    assert "hush" not in shown
    hidden = bundle._private(load(Path(config), {}))
    assert {"me": "(receiver)", f"{tmp_path}/open": "(path)", "ftp://hush": "(secret)"}.items() <= hidden.items()


def test_the_doctor_names_who_did_not_take_the_last_that_was_to_be_told(tmp_path: Path, sqlite_url: str) -> None:
    columns = "gateway_id, day, receiver, kind, subject, noticed_at, outcome, error"
    with opened(sqlite_url) as engine, engine.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (1, '1')"))
        for receiver, outcome, error in (("me", "waiting", "'timed out'"), ("you", "sent", "NULL")):
            values = f"1, '2026-06-15', '{receiver}', 'suspect', 'x', '2026-06-15 10:00:00', '{outcome}', {error}"
            connection.execute(text(f"INSERT INTO notifications ({columns}) VALUES ({values})"))
    tables = "[[notify]]\nname = 'me'\nurl = 'json://x'\n[[notify]]\nname = 'you'\nurl = 'json://x'"
    loaded = load(Path(config_of(tmp_path, tables)), {}, database_url=sqlite_url)
    (found,) = receivers._waiting(loaded)
    assert found.finding == "me: what was noticed at 2026-06-15 10:00 UTC waits: timed out."
    assert (found.level, found.to_do) == ("warning", "envoylog notify test")
