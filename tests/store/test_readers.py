"""A SQLite file is read by members of its folder's group and by plain SQLite, collected into or not; and not spoilt."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from logger.errors import CollectorRunningError, StoreError
from logger.store import schema, sqlite_file
from logger.store.database import open_engine, opened
from logger.store.file_lock import FileLock
from logger.store.lock import CollectorDatabase
from tests.another_user import NOBODY, ROOT_ALONE, as_user

SERVICE, GROUP, MEMBER = 64_001, 64_002, 64_003
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or ""
COUNT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], uri=sys.argv[1].startswith("file:"))
print(connection.execute("SELECT count(*) FROM gateways").fetchall())
"""


@pytest.fixture
def path(public_path: Path) -> Iterator[Path]:
    """Where the service has its database: a folder for its group."""
    folder = public_path / "db"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, SERVICE, GROUP)
    folder.chmod(0o2770)
    yield folder / "envoylog.db"
    folder.chmod(0o700)


@contextlib.contextmanager
def as_service() -> Iterator[None]:
    with as_user(SERVICE, group=GROUP):
        yield


def count_as_member(path: Path, *, read_only: bool) -> str:
    """Read as another program of a member of the group."""
    name = f"file:{path}?mode=ro" if read_only else str(path)
    found = subprocess.run(
        [PYTHON, "-c", COUNT, name],
        check=False, capture_output=True, text=True, user=MEMBER, group=MEMBER, extra_groups=[GROUP],
    )  # fmt: skip
    return found.stdout.strip() or found.stderr


def ours(path: Path) -> str:
    """Read as our own commands do, as a member of the group."""
    with (
        as_user(MEMBER, groups=[GROUP]),
        opened(f"sqlite:///{path}", read_only=True) as engine,
        engine.connect() as connection,
    ):
        assert schema.current(engine) == schema.head()
        return str(connection.execute(text("SELECT count(*) FROM gateways")).all())


def add(database: CollectorDatabase, serial: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, serial) SELECT count(*) + 1, :s FROM gateways"), {"s": serial}
        )


def beside(path: Path) -> dict[str, tuple[int, int, int]]:
    found = {file.name.removeprefix("envoylog.db"): file.stat() for file in path.parent.iterdir()}
    return {name: (is_.st_uid, is_.st_gid, stat.S_IMODE(is_.st_mode)) for name, is_ in found.items()}


@ROOT_ALONE
@pytest.mark.skipif(not PYTHON, reason="needs the system's Python")
def test_a_member_of_the_group_reads_while_it_is_collected_into_and_while_it_is_not(path: Path) -> None:
    with as_service():
        database = CollectorDatabase(f"sqlite:///{path}")
        database.ready()
        add(database, "1")
    assert beside(path) == {
        "": (SERVICE, GROUP, 0o640), "-wal": (SERVICE, GROUP, 0o640), "-shm": (SERVICE, GROUP, 0o640),
        ".collector": (SERVICE, GROUP, 0o600),
    }  # fmt: skip
    assert [count_as_member(path, read_only=read_only) for read_only in (True, False)] == ["[(1,)]"] * 2
    with as_service():
        add(database, "2")
        with opened(f"sqlite:///{path}") as other:  # Another command that writes meanwhile.
            other.connect().close()
    assert sqlite_file.is_wal(path)
    assert count_as_member(path, read_only=False) == "[(2,)]"
    with as_service():
        database.close()
    assert set(beside(path)) == {"", ".collector"}
    assert not sqlite_file.is_wal(path)
    for mode in (0o2770, 0o2750):
        path.parent.chmod(mode)
        assert [count_as_member(path, read_only=read_only) for read_only in (True, False)] == ["[(2,)]"] * 2
        assert ours(path) == "[(2,)]"
    assert set(beside(path)) == {"", ".collector"}


KILLED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("INSERT INTO gateways (gateway_id, serial) VALUES (9, '9')")
os.kill(os.getpid(), 9)
"""


def kill_while_writing(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    for file in path.parent.iterdir():
        os.chown(file, SERVICE, GROUP)


def migrated(path: Path, template: Path) -> None:
    """A database of an older version that stopped: in WAL mode, with nothing beside it."""
    shutil.copyfile(template, path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    if os.geteuid() == 0:
        os.chown(path, SERVICE, GROUP)
    path.chmod(0o640)


@ROOT_ALONE
@pytest.mark.skipif(not PYTHON, reason="needs the system's Python")
def test_what_a_collector_that_was_killed_had_committed_is_read(path: Path, sqlite_template: Path) -> None:
    migrated(path, sqlite_template)
    kill_while_writing(path)
    assert {"-wal", "-shm"} < set(beside(path))
    assert count_as_member(path, read_only=False) == ours(path) == "[(1,)]"
    assert beside(path)["-shm"][0] == SERVICE


@ROOT_ALONE
@pytest.mark.skipif(not PYTHON, reason="needs the system's Python")
def test_a_database_that_an_older_version_left_is_read_and_nothing_is_left_beside_it(
    path: Path, sqlite_template: Path
) -> None:
    migrated(path, sqlite_template)
    assert ours(path) == "[(0,)]"
    assert set(beside(path)) == {""}
    # Another program leaves files of its own, which the collector can't write: it goes on all the same.
    assert count_as_member(path, read_only=False) == "[(0,)]"
    assert beside(path)["-shm"][0] == MEMBER
    with as_service():
        database = CollectorDatabase(f"sqlite:///{path}")
        database.ready()
        add(database, "1")
    assert beside(path)["-shm"][0] == SERVICE
    assert count_as_member(path, read_only=False) == "[(1,)]"
    with as_service():
        database.close()
    assert set(beside(path)) == {"", ".collector"}


@ROOT_ALONE
def test_a_member_of_the_group_can_neither_write_nor_take_the_collectors_lock(
    path: Path, sqlite_template: Path
) -> None:
    migrated(path, sqlite_template)
    with as_service():
        lock = FileLock(Path(f"{path}.collector"), "taken")
        lock.hold()
        lock.release()
    with as_user(MEMBER, groups=[GROUP]):
        with pytest.raises(StoreError, match=f"as the owner of {path}, with: sudo -u '#{SERVICE}'"):
            open_engine(f"sqlite:///{path}")
        with pytest.raises(PermissionError):
            Path(f"{path}.collector").read_bytes()
        with pytest.raises(StoreError, match="can't be written"):
            FileLock(Path(f"{path}.collector"), "taken").hold()
    with as_service():
        lock.hold()
        with pytest.raises(CollectorRunningError):
            FileLock(Path(f"{path}.collector"), "taken").hold()
        lock.release()


@ROOT_ALONE
def test_what_root_makes_for_the_service_the_service_can_write(path: Path) -> None:
    umask = os.umask(0o022)
    database = CollectorDatabase(f"sqlite:///{path}")
    database.ready()
    database.close()
    os.umask(umask)
    assert beside(path) == {"": (SERVICE, GROUP, 0o640), ".collector": (SERVICE, GROUP, 0o600)}
    with as_service():
        database = CollectorDatabase(f"sqlite:///{path}")
        database.ready()
        add(database, "1")
        database.close()


@ROOT_ALONE
def test_who_is_not_a_member_reads_a_sentence(path: Path, sqlite_template: Path) -> None:
    migrated(path, sqlite_template)
    with as_user(NOBODY), pytest.raises(StoreError, match="is not for this user"):
        open_engine(f"sqlite:///{path}", read_only=True)
    path.parent.chmod(0o2775)
    with as_user(NOBODY), pytest.raises(StoreError, match="can't be read by this user"):
        open_engine(f"sqlite:///{path}", read_only=True)


def test_a_link_to_a_database_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "deeper/envoylog.db")
    (tmp_path / "deeper").mkdir()
    with opened(f"sqlite:///{link}") as engine:
        schema.upgrade(engine)
    assert [file.name for file in (tmp_path / "deeper").iterdir()] == ["envoylog.db"]
    with opened(f"sqlite:///{link}", read_only=True) as engine:
        assert schema.current(engine) == schema.head()
