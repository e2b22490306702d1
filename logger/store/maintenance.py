"""The schema's version: what the database has, what this program needs, and getting there."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from logger.errors import SchemaOutdatedError, StoreError
from logger.store.collectorlock import collector_lock
from logger.store.database import is_file, open_engine, translated_errors

if TYPE_CHECKING:
    from alembic.config import Config

PACKAGE = Path(__file__).resolve().parent.parent


def migrations_path() -> Path:
    """Return where the migrations lie: inside the wheel, or beside the package in a checkout."""
    shipped = PACKAGE / "migrations"
    return shipped if shipped.is_dir() else PACKAGE.parent / "migrations"


def config() -> "Config":
    """Return Alembic's configuration; needs no alembic.ini."""
    from alembic.config import Config  # noqa: PLC0415 - 10 MB that only a migration needs

    made = Config()
    made.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def revisions() -> list[str]:
    """Return the schema versions that this program knows, oldest first: files are named so."""
    files = (migrations_path() / "versions").glob("[0-9]*.py")
    return sorted(path.stem.partition("_")[0] for path in files)


def head() -> str:
    """Return the schema version that this program needs."""
    return revisions()[-1]


def current(engine: Engine) -> str | None:
    """Return the database's schema version; None when it is empty.

    Raises:
        StoreError: the database can't be read.
    """
    with translated_errors(), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version"))
        version: str | None = found.scalar_one_or_none()
        return version


def upgrade(engine: Engine) -> None:
    """Bring the database to this program's schema, in one transaction.

    Raises:
        SchemaOutdatedError: the database is of a newer program.
        StoreError: the database can't be written.
    """
    found = current(engine)
    if found is not None:
        _refuse_newer(found)
    with translated_errors(), engine.begin() as connection:
        migrate(connection, "head")


def migrate(connection: Connection, revision: str, *, down: bool = False) -> None:
    """Run migrations on an open connection."""
    from alembic import command  # noqa: PLC0415 - only a migration needs it

    made = config()
    made.attributes["connection"] = connection
    (command.downgrade if down else command.upgrade)(made, revision)


def require_current(engine: Engine) -> None:
    """Check that the database has this program's schema.

    Raises:
        SchemaOutdatedError: it has another; says what to do.
    """
    found = current(engine)
    if found == head():
        return
    if found is not None:
        _refuse_newer(found)
    raise SchemaOutdatedError(
        f"The database has schema {found or 'none'}, this program needs {head()}; "
        "run: envoylog db upgrade"
    )


def _refuse_newer(found: str) -> None:
    known = revisions()
    if found not in known:
        raise SchemaOutdatedError(
            f"The database has schema {found}, which a newer envoylog made; "
            "upgrade the program: pip install --upgrade envoylog"
        )


def problems(connection: Connection) -> list[str]:
    """Return what is broken in the database itself; nothing when it is sound."""
    if not is_file(connection):
        return []  # PostgreSQL checks its pages and keys itself.
    found = [
        f"the file is damaged: {said}"
        for (said,) in connection.exec_driver_sql("PRAGMA integrity_check")
        if said != "ok"
    ]
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return found + [f"a row of {row[0]} belongs to no gateway" for row in broken]


def backup(engine: Engine, directory: Path, stamp: str, keep: int) -> Path:
    """Write a verified copy of a SQLite database while it is in use; keep the newest ``keep``.

    Raises:
        StoreError: PostgreSQL, or the copy can't be written or does not read back.
    """
    if not is_file(engine):
        raise StoreError(
            "PostgreSQL brings its own backup: pg_dump --format=custom --file=envoylog.dump URL"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"envoylog-{stamp}.db"
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with translated_errors():
            driver = engine.raw_connection()
            try:
                driver.cursor().execute("VACUUM INTO ?", (str(temporary),))
            finally:
                driver.close()
            verify(temporary)
        temporary.replace(path)
        for old in sorted(directory.glob("envoylog-*.db"))[:-keep]:
            old.unlink()
    except OSError as error:
        raise StoreError(
            f"The backup can't be written to {directory} ({error.strerror}); choose another -o."
        ) from error
    return path


def verify(path: Path) -> None:
    """Check that a file is a sound database of this program.

    Raises:
        StoreError: it is not.
    """
    copy = open_engine(f"sqlite:///{path}", read_only=True)
    try:
        require_current(copy)
        with translated_errors(), copy.connect() as connection:
            if said := problems(connection):
                raise StoreError(f"{path}: {said[0]}; use another backup.")
    finally:
        copy.dispose()


def restore(engine: Engine, source: Path) -> None:
    """Put a verified backup in the place of a SQLite database.

    Raises:
        StoreError: PostgreSQL, or the backup is not sound.
        SettingsError: a collector is using the database.
    """
    if not is_file(engine):
        raise StoreError("PostgreSQL brings its own restore: pg_restore --clean --dbname=URL FILE")
    verify(source)
    target = Path(str(engine.url.database))
    with collector_lock(engine):
        engine.dispose()
        temporary = target.with_suffix(".restoring")
        shutil.copyfile(source, temporary)
        for rest in ("-wal", "-shm"):
            Path(f"{target}{rest}").unlink(missing_ok=True)
        temporary.replace(target)
