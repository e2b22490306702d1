"""On a terminal: 80 columns, colour unless it is not wanted, and only text."""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from sqlalchemy import text

from logger.cli import run
from logger.store.database import opened

DAY = (
    "INSERT INTO energy_daily (gateway_id, day, phase, period_s, production_wh, consumption_wh, grid_import_wh, "
    "grid_export_wh, covered_s) VALUES (1, '2026-05-01', 'total', 86400, 9000, 8000, 4000, 5000, 40000)"
)


@pytest.fixture
def url(sqlite_url: str) -> str:
    """A database of one day that was measured by half."""
    with opened(sqlite_url) as engine, engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial) VALUES (1, 'D\u00e4cher \u2014', '1')")
        )
        connection.execute(text(DAY))
    return sqlite_url


def shown(*args: str, **environ: str) -> bytes:
    """Return what a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}} | environ
    with subprocess.Popen([sys.executable, "-m", "logger", *args], stdout=theirs, stderr=theirs, env=env) as process:
        process.wait(60)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    return written


def test_a_table_has_colour_on_a_terminal_unless_it_is_not_wanted(url: str) -> None:
    args = ("--database-url", url, "report", "daily", "--from", "2026-05-01")
    coloured = shown(*args).decode()
    plain = shown(*args, NO_COLOR="1").decode()
    assert "\x1b[33mpartial\x1b[0m" in coloured
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "No room for: " in plain


def test_a_table_is_readable_on_a_terminal_of_latin_1(url: str) -> None:
    args = ("--database-url", url, "report", "daily", "--from", "2026-05-01")
    written = shown(*args, NO_COLOR="1", PYTHONIOENCODING="latin-1").decode("latin-1")
    assert "D\u00e4cher -: energy by day" in written
    assert "\n---------" in written.replace("\r", "")


def test_a_table_in_a_file_is_wide_and_without_colour(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    path = tmp_path / "day.txt"
    args = ["--database-url", url, "report", "daily", "--from", "2026-05-01", "--format", "table", "-o", str(path)]
    assert run(args) == 0
    written = path.read_text(encoding="utf-8")
    assert "\x1b" not in written
    assert "No room for" not in written
    assert max(map(len, written.splitlines())) > 60


@pytest.mark.parametrize("form", ["xlsx", "ods", "parquet"])
def test_what_is_no_text_is_refused_on_a_terminal(
    url: str, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["--database-url", url, "report", "daily", "--format", form]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"write it to a file: -o energy.{form}" in err
    ours, theirs = pty.openpty()
    assert run(["--database-url", url, "report", "daily", "--format", form, "-o", os.ttyname(theirs)]) == 2
    assert "is no text for a terminal" in capsys.readouterr().err
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [("--help >/dev/full", 1, "is full; make room."), ("report daily --from 2026-05-01 --to 2026-05-01 >&-", 0, "")],
)
def test_where_nothing_can_be_written_is_one_sentence_or_none(url: str, typed: str, code: int, said: str) -> None:
    command = f"{sys.executable} -m logger --database-url {url} {typed}"
    ended = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code
    assert "unexpected" not in ended.stderr
    assert said in ended.stderr


def test_ctrl_c_in_the_first_moments_ends_without_a_traceback() -> None:
    code = "import os, signal, logger.__main__; os.kill(os.getpid(), signal.SIGINT)"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-2, "")
