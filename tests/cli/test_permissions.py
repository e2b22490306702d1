"""What is not for this user is a sentence with what to do, in each command, and never a traceback."""

import os
from pathlib import Path

import pytest

from logger.cli import run
from tests.another_user import NOBODY, ROOT_ALONE, as_user

COMMANDS = [
    ["report", "daily"], ["status"], ["export", "polls"], ["db", "upgrade"], ["db", "current"], ["db", "check"],
    ["db", "size"], ["db", "backup"], ["db", "restore", "CLOSED/x.db", "--yes"], ["db", "publish", "CLOSED/x.db"],
    ["db", "copy", "sqlite:///CLOSED/x.db", "--yes"], ["token", "show"], ["token", "set", "--file", "CLOSED/t"],
    ["poll", "--no-store"], ["run"], ["sql", "datasette-metadata"],
]  # fmt: skip


@ROOT_ALONE
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_folders_that_are_closed_are_named(
    public_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, config = public_path / "closed", public_path / "config.toml"
    closed.mkdir(mode=0o700)
    config.write_text(
        f"database_url = 'sqlite:///{closed}/e.db'\nstate_dir = '{closed}/state'\n[[gateways]]\nname = 'roof'\n"
        f"host = 'https://127.0.0.1:9'\ntoken_file = '{closed}/t'\n"
    )
    monkeypatch.setenv("HOME", str(public_path))
    words = [word.replace("CLOSED", str(closed)) for word in command]
    with as_user(NOBODY):
        code = run(["--config", str(config), *words])
    out, err = capsys.readouterr()
    assert code in {1, 2, 3, 4, 6}
    assert str(closed) in err
    assert "Traceback" not in out + err
    assert "unexpected" not in err


def test_a_bug_in_any_command_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("logger.settings.load", broken)
    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path)})
    for command in (["db", "current"], ["report", "daily"], ["status"], ["db", "check"]):
        assert run(["--database-url", "sqlite:////e.db", *command]) == 1
        assert "unexpected ZeroDivisionError: by nothing; please report this" in capsys.readouterr().err
