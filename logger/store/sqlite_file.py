"""The file of a SQLite database: who may read and write it, while it is collected into and while it is not.

While something writes, the file is in WAL mode: reading goes on meanwhile, by ``-wal`` and ``-shm`` beside it. When the
last to write has closed it, it goes back to rollback mode and is one file that whoever may read it can read, also by
other programs. In WAL mode a reader would have to make ``-shm``, which takes the right to write into the folder, and
would make it a file of its own that the collector can't write.
"""

import contextlib
import os
import pwd
import shutil
import sqlite3
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from sqlalchemy import URL, Engine

from logger.errors import StoreAwayError, StoreError
from logger.settings import places

BUSY_TIMEOUT_MS = 10_000
#: Members of the group of a shared folder read the database; nobody writes it but its owner.
SHARED_MODE, OWN_MODE = 0o640, 0o644
#: Of a new file. A commit writes each page that it touches, two to six of a table, however few rows are new: small
#: pages write half as much as those of 4 KiB, are read as fast, and hold as much.
PAGE_BYTES = 1024
#: This many pages of the log wait until they are put into their places, each once for all commits that touched it.
LOG_PAGES = 2048
#: With what the commit adds that is the one too many.
LOG_BYTES = (LOG_PAGES + 256) * (PAGE_BYTES + 24)
#: With less room left on its disk it grows as it goes.
LOG_NEEDS_BYTES = 16 * LOG_BYTES
BESIDE = ("-wal", "-shm")


def create_engine(url: URL, path: Path, *, read_only: bool) -> Engine:
    """Return an engine of a file, whose folder and file are made; only an existing one can be read.

    Raises:
        StoreError: there is none to read, or this user may not do that.
    """
    path = path.resolve()
    if read_only:
        _require(path)
    else:
        _make(path)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    # What was committed leaves the spool, so it has to outlive a power cut.
    kind = ("query_only=ON",) if read_only else (
        f"page_size={PAGE_BYTES}", "journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={LOG_PAGES}",
    )  # fmt: skip

    def reach(_dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> None:
        if read_only:
            args[0] = _readers_uri(path)
        else:
            _make(path)
            args[0] = uri(path, mode="rw")
        options["uri"] = True

    def prepare(connection: Any, _record: Any) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON", *kind):
                cursor.execute(f"PRAGMA {pragma}")
        if not read_only:
            connection.isolation_level = None  # The driver begins nothing itself.

    sa.event.listen(engine, "do_connect", reach)
    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "engine_disposed", lambda _engine: _settle(path))
    # A write transaction starts as one: no upgrade from read to write that could fail half-way.
    if not read_only:
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


@lru_cache(maxsize=8)
def _with_log(database: str) -> tuple[Path, Path]:
    """Return a database and its log: each poll asks for them."""
    return Path(database), Path(f"{database}-wal")


def place(database: str) -> tuple[object, ...] | None:
    """Return which file a database is, and which its log; None when somebody has removed it."""
    path, log_path = _with_log(database)
    try:
        found = path.stat()
    except OSError:
        return None
    try:
        log: int | None = log_path.stat().st_ino
    except OSError:
        log = None
    return found.st_dev, found.st_ino, log


def reserve_log(engine: Engine, path: Path) -> None:
    """Give the log its room at once, where there is plenty: a file that grows costs each commit more."""
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < LOG_NEEDS_BYTES:
        return
    with engine.begin(), contextlib.suppress(OSError), Path(f"{path.resolve()}-wal").open("r+b") as log:
        # Nobody else writes to the log during a transaction of ours, and zeros are no part of it.
        if (left := LOG_BYTES - log.seek(0, os.SEEK_END)) > 0:
            log.write(bytes(left))
            log.flush()
            os.fdatasync(log.fileno())


def _require(path: Path) -> None:
    try:
        if not path.is_file():
            raise StoreError(f"There is no database {path} yet; start `envoylog run` first.")
    except PermissionError as error:
        raise StoreError(f"The database {path} is not for this user; {_join(path)}.") from error
    if not _may(path, os.R_OK):
        raise StoreError(f"The database {path} can't be read by this user; {_join(path)}.")


def _join(path: Path) -> str:
    """Return what to do for the right to read a file."""
    if path.is_relative_to(places.SYSTEM_STATE_DIR):
        return "join its group with `sudo usermod -aG envoylog $USER`, then log in again"
    return "check the permissions of the file and its folder"


def _make(path: Path) -> None:
    """Make a new, empty file that the right people can read, or see that an old one can be written."""
    try:
        places.make_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"The directory {path.parent} can't be made ({error.strerror}); "
            "choose another database_url or fix its permissions."
        ) from error
    try:
        mode = SHARED_MODE if path.parent.stat().st_mode & stat.S_ISGID else OWN_MODE
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode))
        places.inherit_owner(path)
    except FileExistsError:
        if not path.is_file():
            raise StoreError(f"The database {path} is no file; move away what lies there.") from None
        if not _can_write(path):
            raise StoreError(f"The database {path} can't be written by this user; {_remedy(path)}") from None
        _take_back(path)
    except OSError as error:
        if error.errno in places.NO_ROOM:
            raise StoreAwayError(f"The database {path} can't be made: its disk is full; make room.") from error
        raise StoreError(
            f"The database {path} can't be made ({error.strerror}); choose another database_url or fix the permissions "
            "of its folder."
        ) from error


def _remedy(path: Path) -> str:
    """Return what to do for the right to write a file, which takes that of its folder."""
    closed = path.parent if _may(path, os.W_OK) else path
    owner = closed.stat().st_uid
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only"
    if owner == os.geteuid():
        return f"run: chmod u+w {closed}"
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"'#{owner}'"
    return f"run the command as the owner of {closed}, with: sudo -u {name}"


def _take_back(path: Path) -> None:
    """Remove what another program that may only read has left beside a file that nobody was writing."""
    for rest in BESIDE:
        beside = Path(f"{path}{rest}")
        with contextlib.suppress(OSError):  # SQLite names what it can't open.
            if not _may(beside, os.W_OK) and (rest == "-shm" or not beside.stat().st_size):
                beside.unlink()


def _readers_uri(path: Path) -> str:
    """Return how a file is opened by who reads it: who may only read makes nothing beside it."""
    if _can_write(path):
        return uri(path, mode="rw")
    if is_wal(path) and not Path(f"{path}-wal").exists():
        # Nobody has it open: it is whole, and stays as it is for the moment.
        return uri(path, mode="ro", immutable=1)
    return uri(path, mode="ro")


def uri(path: Path, **parameters: object) -> str:
    """Return a file as SQLite takes it with parameters: https://sqlite.org/uri.html."""
    return f"file:{quote(str(path))}?{urlencode(parameters)}"


def _settle(path: Path) -> None:
    """Go back to one file that everybody can read, where no other program has it open."""
    with contextlib.suppress(OSError, sqlite3.Error):
        if is_wal(path) and _can_write(path):
            last = sqlite3.connect(uri(path, mode="rw"), uri=True, timeout=0, isolation_level=None)
            with contextlib.closing(last):
                last.execute("PRAGMA journal_mode=DELETE")


def is_wal(path: Path) -> bool:
    """Return whether a file is in WAL mode; https://sqlite.org/fileformat.html#file_format_version_numbers."""
    if not path.is_file():
        return False  # A pipe would be waited for.
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"


def may_be_replaced(path: Path) -> bool:
    """Return whether a file is a copy of our tables that nobody is using: another file may be of use to somebody."""
    if not path.is_file() or any(Path(f"{path}{rest}").exists() for rest in ("-wal", "-journal", ".collector")):
        return False
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(uri(path, mode="ro"), uri=True)) as it:
        tables = {name for (name,) in it.execute("SELECT name FROM sqlite_master")}
        return not path.stat().st_size or {"gateways", "energy_daily"} <= tables
    return False


def _can_write(path: Path) -> bool:
    return _may(path, os.W_OK) and _may(path.parent, os.W_OK | os.X_OK)


def _may(path: Path, right: int) -> bool:
    return os.access(path, right, effective_ids=True)


def write(path: Path, target: Path) -> None:
    """Write a database as it is now into another file, that nobody else knows yet.

    sqlite3.Error: either can't be used.
    """
    timeout_s = BUSY_TIMEOUT_MS / 1000
    source = sqlite3.connect(_readers_uri(path), uri=True, timeout=timeout_s, isolation_level=None)
    with contextlib.closing(source):
        source.execute("VACUUM INTO ?", (uri(target, nolock=1),))


def replace(path: Path, source: Path) -> None:
    """Put a copy of a file in the database's place, as its owner's and with its mode; all of it or nothing.

    OSError: it can't be written; the database stays as it was.
    """
    temporary = path.with_suffix(".restoring")
    temporary.unlink(missing_ok=True)
    try:
        _make(temporary)
        shutil.copyfile(source, temporary)
        if path.exists():
            places.take_after(temporary, path.stat())
        sync(temporary)
        for rest in BESIDE:
            Path(f"{path}{rest}").unlink(missing_ok=True)
        temporary.replace(path)
    except (OSError, StoreError):
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """See to it that a file outlives a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
