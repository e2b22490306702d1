"""A copy for others to read, and what is said about a database that is damaged."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.store import sqlite_file
from logger.store.transfer import TABLES
from tests.another_user import NOBODY, ROOT_ALONE, as_user


def publish(url: str, path: Path) -> int:
    return run(["--database-url", url, "db", "publish", str(path)])


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    return {table.name: connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0] for table in TABLES}


def test_a_published_copy_is_one_file_with_everything_that_takes_its_place(
    filled: Engine, filled_url: str, tmp_path: Path
) -> None:
    path, link = tmp_path / "share/energy ü%20?.db", tmp_path / "link.db"
    path.parent.mkdir()
    link.symlink_to(path)
    assert publish(filled_url, path) == 0
    assert not sqlite_file.is_wal(path)
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    before = path.stat()
    with closing(sqlite3.connect(path)) as older:
        held = counts(older)
        with filled.begin() as connection:
            there = {
                table.name: connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
                for table in TABLES
            }
            connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (2, 'later')"))
        assert held == there
        assert publish(filled_url, link) == 0
        assert counts(older) == held  # Who reads goes on with what was there.
    with closing(sqlite3.connect(path)) as newer:
        assert counts(newer)["gateways"] == held["gateways"] + 1
    now = path.stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert link.is_symlink()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_is_no_published_copy_stays(
    filled: Engine, filled_url: str, filled_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, other, live = tmp_path / "photo.jpg", tmp_path / "other.db", tmp_path / "live.db"
    photo.write_bytes(b"\xff\xd8\xff" * 1000)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    shutil.copyfile(filled_file, live)
    Path(f"{live}.collector").touch()
    own = [Path(filled.url.database or "")] if filled.dialect.name == "sqlite" else []
    for path in (photo, other, live, *own, tmp_path):
        before = path.read_bytes() if path.is_file() else b""
        assert publish(filled_url, path) == 6
        assert "so it stays; choose another name" in capsys.readouterr().err
        assert not path.is_file() or path.read_bytes() == before
    assert publish(filled_url, tmp_path / "none/energy.db") == 6
    assert "can't be written (No such file or directory)" in capsys.readouterr().err


@ROOT_ALONE
def test_who_may_only_read_publishes_and_backs_up(filled_file: Path, public_path: Path) -> None:
    database, own = public_path / "db/envoylog.db", public_path / "own"
    database.parent.mkdir()
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    shutil.copyfile(filled_file, database)
    database.chmod(0o644)
    with as_user(NOBODY):
        assert publish(f"sqlite:///{database}", own / "energy.db") == 0
        assert run(["--database-url", f"sqlite:///{database}", "db", "backup", "-o", str(own / "backups")]) == 0
        assert run(["--database-url", f"sqlite:///{own}/energy.db", "report", "daily"]) == 0
    assert [file.name for file in database.parent.iterdir()] == ["envoylog.db"]


@pytest.fixture
def damaged(filled_file: Path, tmp_path: Path) -> Path:
    """A database with pages of zeros, as SD cards leave them."""
    content = bytearray(filled_file.read_bytes())
    middle = len(content) // 8192
    content[middle * 4096 : (middle + 12) * 4096] = bytes(12 * 4096)
    path = tmp_path / "damaged.db"
    path.write_bytes(content)
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("is_headless", [False, True])
def test_a_damaged_database_is_named_with_its_newest_sound_backup_and_what_to_type(
    damaged: Path, filled_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], is_headless: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("ENVOYLOG_STATE_DIR", str(tmp_path / "state"))
    command = ["--database-url", f"sqlite:///{damaged}"]
    content = damaged.read_bytes()
    if is_headless:
        damaged.write_bytes(bytes(4096) + content[4096:])
    assert run([*command, "db", "check"]) == 8
    assert "holds no sound backup" in capsys.readouterr().out
    backups = tmp_path / "state/backups"
    backups.mkdir(parents=True)
    for name, whole in (("20260101-000000", filled_file.read_bytes()), ("20260102-000000", content)):
        (backups / f"envoylog-{name}.db").write_bytes(whole)
    remedy = f"put its newest sound backup in its place: envoylog db restore {backups}/envoylog-20260101"
    assert run([*command, "db", "check"]) == 8
    assert f"The database {damaged} is damaged; stop envoylog, then {remedy}" in capsys.readouterr().out
    assert run([*command, "db", "backup", "-o", str(tmp_path / "more")]) == 6
    assert remedy in capsys.readouterr().err
    assert run([*command, "db", "restore", str(backups / "envoylog-20260101-000000.db"), "--yes"]) == 0
    capsys.readouterr()
    assert run([*command, "db", "check"]) == 0
    assert stat.S_IMODE(damaged.stat().st_mode) == 0o640


@ROOT_ALONE
def test_backups_and_restored_files_of_root_are_the_folders_owners(filled_file: Path, public_path: Path) -> None:
    database = public_path / "envoylog.db"
    shutil.copyfile(filled_file, database)
    for path in (public_path, database):
        os.chown(path, NOBODY, NOBODY)
    command = ["--database-url", f"sqlite:///{database}", "db"]
    assert run([*command, "backup", "-o", str(public_path / "backups")]) == 0
    (copy,) = (public_path / "backups").iterdir()
    assert run([*command, "restore", str(copy), "--yes"]) == 0
    assert {path.stat().st_uid for path in public_path.rglob("*")} == {NOBODY}
