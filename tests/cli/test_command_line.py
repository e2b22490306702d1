"""What is typed wrong is answered with what to type, on every terminal."""

import io
import logging
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from logger.cli import everywhere, run
from logger.clock import time_zone
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from tests.sample_data import fill, times, utc


def answer(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Return the one sentence that a wrong command line gets."""
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("envoylog: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("polll", "no command 'polll'; did you mean `envoylog poll`?"),
        ("dayly", "did you mean `envoylog report daily`?"),
        ("help", "type: envoylog --help"),
        ("start", "type: envoylog run"),
        ("poll now", "`envoylog poll` takes no 'now'. See"),
        ("backup", "did you mean `envoylog db backup`?"),
        ("db bakcup", "did you mean `envoylog db backup`?"),
        ("report mothly", "no report 'mothly'; did you mean `envoylog report monthly`?"),
        ("report weekly", "there are battery, daily, hourly,"),
        ("poll --no-stor", "no option --no-stor; did you mean --no-store"),
        ("poll --conifg x", "did you mean --config?"),
        ("db copy", "needs URL, the empty database to copy into: sqlite:////"),
        ("db restore", "needs FILE, the backup to put in the place"),
        ("sql create-reader", "needs ROLE, the name of the role"),
        ("export", "needs WHAT, one of production, consumption"),
        ("export prodution", "WHAT is one of production, consumption, meters, inverters, polls, all, not 'prodution'"),
        ("report daily --format xslx", "not 'xslx'; did you mean xlsx?"),
        ("report daily yesterday", "--from yesterday"),
        ("simulate --port 99999", "--port is a number, 0 to 65535, not 99999."),
        ("simulate --inverters many", "--inverters is a number, 1 to 80, not many."),
        ("discover --timeout-s -3", "--timeout-s is a number, 0.1 to 300, not -3.0."),
    ],
)
def test_a_wrong_command_line_is_answered_with_what_to_type(
    capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    assert words in answer(capsys, line)


@pytest.mark.parametrize("line", ["poll", "report daily", "db size", "config check", "token show", "health"])
def test_the_configuration_may_be_named_before_a_command_or_after(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str
) -> None:
    missing = tmp_path / "missing.toml"
    command = line.split()
    for args in (["--config", str(missing), *command], [*command, "--config", str(missing)],
                 [command[0], "--config", str(missing), *command[1:]]):  # fmt: skip
        assert run(args) == 3
        printed = capsys.readouterr()
        assert f"no configuration file {missing}" in printed.out + printed.err


@pytest.mark.parametrize("line", ["poll", "run", "status", "report daily", "token show", "db size", "export polls"])
def test_without_a_configuration_the_answer_is_setup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("ENVOYLOG_CONFIG", "ENVOYLOG_DATABASE_URL", "ENVOYLOG_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("logger.settings.places.SYSTEM_CONFIG_DIR", tmp_path / "etc")
    assert run(line.split()) == 3
    assert capsys.readouterr().err == "envoylog: There is no configuration yet; run: envoylog setup\n"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "envoylog").mkdir()
    (tmp_path / "envoylog" / "config.toml").touch()
    assert run(["poll"]) == 3
    assert "No gateway is configured in" in (err := capsys.readouterr().err)
    assert "run: envoylog setup" in err


def test_a_folder_is_refused_where_a_backup_is_needed_and_its_newest_backup_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "is a folder; name the backup in it." in answer(capsys, f"db restore {tmp_path}")
    for stamp in ("20260102", "20260103"):
        (tmp_path / f"envoylog-{stamp}-000000.db").touch()
    assert f"the newest is {tmp_path}/envoylog-20260103-000000.db" in answer(capsys, f"db restore {tmp_path}")
    assert "is no file" in answer(capsys, f"db restore {tmp_path}/none.db")


def test_a_sentence_is_wrapped_between_words_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(capsys, "report weekly")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["report", "weekly"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60


def test_the_log_has_this_machines_time_also_while_the_process_goes_by_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logger.clock.machine_zone", lambda: time_zone("Asia/Kathmandu"))
    record = logging.makeLogRecord({"msg": "x", "created": 1_780_000_000})
    assert everywhere.LocalTime("%(asctime)s %(message)s").format(record) == "2026-05-29 02:11:40 x"


#: a dash, an ellipsis, two blocks, and letters beyond ASCII, beyond latin-1 and beyond both
WRITTEN = "\N{EN DASH} \N{HORIZONTAL ELLIPSIS} \N{LOWER ONE EIGHTH BLOCK}\N{FULL BLOCK} \u00fc \u0151 \u20ac"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", WRITTEN), ("latin-1", "- ... _# \u00fc o ?"), ("ascii", "- ... _# u o ?")]
)
def test_a_terminal_of_few_characters_shows_the_nearest(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    everywhere.prepare_streams()
    sys.stdout.write(WRITTEN)
    sys.stdout.flush()
    written = sys.stdout.buffer
    assert isinstance(written, io.BytesIO)
    assert written.getvalue().decode(encoding) == shown


class Terminal(io.TextIOWrapper):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


#: erases the screen, by two ways; rings; hides what follows; turns letters round; goes back to the line's beginning
EVIL = "ro\x1b[2J\x9b2J\x07\x1b[8m\u202e\u2066\r\u200eof"


def test_a_terminal_obeys_nothing_that_a_name_holds_and_data_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path
) -> None:
    since, until = utc(2026, 6, 1), utc(2026, 6, 1, 2)
    with opened(sqlite_url) as engine:
        fill(engine, Site(Shape(), since - timedelta(days=1)), times(since, until, 900), zone="UTC")
        with engine.begin() as connection:
            connection.execute(text("UPDATE gateways SET name = :name"), {"name": EVIL})
        rollup.bring_up_to_date(engine, 1, now=until, gap_s=900)
    report = ["--database-url", sqlite_url, "report", "daily"]
    for form in ("table", "json", "csv"):
        monkeypatch.setattr(sys, "stdout", Terminal(screen := io.BytesIO(), encoding="utf-8"))
        assert run([*report, "--format", form]) == 0
        sys.stdout.flush()
        shown = re.sub(r"\x1b\[[012]m", "", screen.getvalue().decode())
        assert "ro\N{REPLACEMENT CHARACTER}" in shown or form == "json"
        assert [char for char in shown if not char.isprintable() and char != "\n"] == []
    assert run([*report, "--format", "csv", "-o", str(tmp_path / "x.csv")]) == 0
    assert EVIL in (tmp_path / "x.csv").read_bytes().decode()
