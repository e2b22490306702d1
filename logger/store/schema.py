"""The schema's version: what the database has, what this program needs, and getting there."""

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from logger.errors import SchemaOutdatedError
from logger.store.database import backend, translated_errors

#: A program that gives an empty database its tables.
_PREPARE = """
import os
from logger.store import database, schema

with database.opened(os.environ["ENVOYLOG_DATABASE_URL"]) as engine:
    schema.prepare(engine)
"""
PACKAGE = Path(__file__).resolve().parent.parent


def migrations_path() -> Path:
    """Return where the migrations lie: inside the wheel, or beside the package in a checkout."""
    shipped = PACKAGE / "migrations"
    return shipped if shipped.is_dir() else PACKAGE.parent / "migrations"


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


def known(engine: Engine) -> str | None:
    """Return the same, if this program knows it.

    Raises:
        SchemaOutdatedError: only a newer program does.
        StoreError: the database can't be read.
    """
    found = current(engine)
    if found is not None and found not in revisions():
        raise SchemaOutdatedError(
            f"The database has schema {found}, which a newer envoylog made; "
            "upgrade the program: pip install --upgrade envoylog"
        )
    return found


def upgrade(engine: Engine) -> None:
    """Bring the database to this program's schema, in one transaction.

    Raises:
        SchemaOutdatedError: the database is of a newer program.
        StoreError: the database can't be written.
    """
    if (found := known(engine)) == head():
        return
    with translated_errors(), backend(engine).migration(engine) as connection:
        if found is None:
            backend(connection).require_text(connection)
        connection.exec_driver_sql(backend(connection).LOCK_SCHEMA)  # Collectors may start at the same moment.
        with backend(connection).others_views_kept(connection):
            migrate(connection, "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to an older schema, in one transaction: for a return to an older program.

    Raises:
        SchemaOutdatedError: this program does not know the schema that there is, or should be.
        StoreError: the database can't be written.
    """
    known(engine)
    if revision not in revisions():
        raise SchemaOutdatedError(f"There is no schema {revision}; known: {', '.join(revisions())}.")
    own = backend(engine)
    with translated_errors(), own.migration(engine) as connection, own.others_views_kept(connection):
        migrate(connection, revision, down=True)


def migrate(connection: Connection, revision: str, *, down: bool = False) -> None:
    """Run migrations on an open connection."""
    # 10 MB that only a migration needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    settings = Config()
    settings.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    (command.downgrade if down else command.upgrade)(settings, revision)


def require_current(engine: Engine, remedy: str = "envoylog db upgrade") -> None:
    """Check that the database has this program's schema.

    Raises:
        SchemaOutdatedError: it has another; names the command to run.
    """
    if (found := known(engine)) != head():
        raise SchemaOutdatedError(
            f"The database has schema {found or 'none'}, this program needs {head()}; run: {remedy}"
        )


def prepare(engine: Engine) -> None:
    """Give an empty database its tables; refuse one of another version.

    Raises:
        StoreError: it can't be used, or needs `envoylog db upgrade`.
    """
    if current(engine) is None:
        upgrade(engine)
    require_current(engine)


def prepare_apart(engine: Engine) -> None:
    """Do the same for a process that stays: what making tables takes, 10 MB, is given to one that ends.

    StoreError: it can't be used, or needs `envoylog db upgrade`.
    """
    if current(engine) is None:
        environ = os.environ | {"ENVOYLOG_DATABASE_URL": engine.url.render_as_string(hide_password=False)}
        # Should it fail, it is tried here, where the reason can be given.
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-P", "-c", _PREPARE],
            check=False,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    prepare(engine)
