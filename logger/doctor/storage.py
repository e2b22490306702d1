"""The database: who reads which, its schema, whether it is sound, its backups, and the disks."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection

from logger.clock import from_epoch_s
from logger.doctor import machine
from logger.doctor.findings import Finding, error, ok, warning
from logger.doctor.installation import Installation, finding_of, nearest
from logger.errors import SchemaOutdatedError, StoreAwayError, StoreError
from logger.settings import Settings, places, urls
from logger.store import database, queries, schema, size

CHECK = "database"
#: A larger file takes too long to read for a look.
LARGEST_LOOKED_THROUGH_BYTES = 100e6
#: A server that lets a question wait for longer hangs.
PATIENCE_S = 30.0
#: From so many days of polls on there should be a backup that is no older than this.
WORTH_A_BACKUP_DAYS = 7
OLDEST_BACKUP = timedelta(days=31)


def examine(here: Installation, loaded: Settings) -> Iterator[Finding]:
    """Yield what there is to say of the database and of what lies beside it."""
    shown = urls.masked(loaded.database_url)
    days: float | None = None
    taken_bytes = 0
    try:
        refuse_folder(database.file_of(loaded.database_url))
        with database.opened(loaded.database_url, read_only=True) as engine:
            database.backend(engine).bound(engine, PATIENCE_S)
            schema.require_current(engine)
            with database.translated_errors(), engine.connect() as connection:
                taken_bytes, days = size.database_bytes(connection), queries.logged_days(connection)
                yield ok(CHECK, f"{here.user} reads {shown}: {taken_bytes / 1e6:.1f} MB, {days:.1f} days of polls.")
                yield from _soundness(connection, taken_bytes)
            yield ok("schema", f"{schema.head()}, as this program needs it.")
    except StoreError as problem:
        check = "schema" if isinstance(problem, SchemaOutdatedError) else CHECK
        wait = "look whether the database server runs" if isinstance(problem, StoreAwayError) else "envoylog db check"
        found = finding_of(check, problem, wait)
        yield error(check, f"{shown}: {found.finding}" if check == CHECK else found.finding, str(found.to_do))
    yield from _backups(here, loaded, days)
    yield from _disks(loaded, taken_bytes, days)


def refuse_folder(file: Path | None) -> None:
    """Refuse a folder in the place of a database's file, or raise StoreError."""
    is_folder = False
    with contextlib.suppress(OSError):  # It may not be for us to see.
        is_folder = file is not None and file.is_dir()
    if file is not None and is_folder:
        raise StoreError(f"The database {file} is a folder; name a file in it: {file / places.DATABASE_NAME}")


def _soundness(connection: Connection, taken_bytes: int) -> Iterator[Finding]:
    if taken_bytes > LARGEST_LOOKED_THROUGH_BYTES:
        yield ok("soundness", "Too large to look through here; envoylog db check does.")
        return
    found = queries.problems(connection)
    for problem in found[:3]:
        yield error("soundness", f"{problem[:1].upper()}{problem[1:]}.", "envoylog db restore FILE")
    if not found:
        yield ok("soundness", "Every page of the database can be read.")


def backups(loaded: Settings) -> Sequence[Path]:
    """Return the backups in their usual place, oldest first."""
    with contextlib.suppress(OSError):
        return sorted((loaded.state_dir / "backups").glob("envoylog-*.db"))
    return []


def _backups(here: Installation, loaded: Settings, days: float | None) -> Iterator[Finding]:
    if loaded.state_dir in here.hidden:
        yield ok("backups", f"{here.user} may not look into {loaded.state_dir / 'backups'}.")
        return
    found = backups(loaded)
    try:
        newest = from_epoch_s(found[-1].stat().st_mtime) if found else None
    except OSError:
        newest = None
    if newest is not None:
        age = here.clock() - newest
        text = f"The newest is {age.days} days old: {found[-1]}."
        yield warning("backups", text, "envoylog db backup") if age > OLDEST_BACKUP else ok("backups", text)
    elif days is not None and days > WORTH_A_BACKUP_DAYS:
        text = f"There is none in {loaded.state_dir / 'backups'}, and {days:.0f} days of polls to lose."
        yield warning("backups", text, "envoylog db backup")
    else:
        yield ok("backups", "There is none yet, and not much to lose.")


def _disks(loaded: Settings, taken_bytes: int, days: float | None) -> Iterator[Finding]:
    places = {"state_dir": loaded.state_dir}
    if (file := database.file_of(loaded.database_url)) is not None:
        places["database"] = file.parent
    seen: list[int] = []
    for what, path in places.items():
        with contextlib.suppress(OSError):
            if (device := nearest(path).stat().st_dev) in seen:
                continue
            seen.append(device)
        yield from machine.room(what, path)
    parts = {"database": taken_bytes, "backups": sum(map(_bytes, backups(loaded)))}
    with contextlib.suppress(OSError):
        parts["waiting polls"] = sum(map(_bytes, (loaded.state_dir / "spool").glob("*")))
    words = ", ".join(f"{what} {taken / 1e6:.1f} MB" for what, taken in parts.items() if taken)
    year_mb = taken_bytes / days * 365 / 1e6 if days and days > 1 else None
    pace = "" if year_mb is None else f"; about {year_mb / 1e3:.1f} GB a year" if year_mb >= 950 else (
        f"; about {year_mb:.0f} MB a year"
    )  # fmt: skip
    yield ok("room", f"envoylog takes: {words}{pace}." if words else "envoylog takes none yet.")


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
