"""The schema's version: what the database has, what this program needs, and getting there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from logger.errors import SchemaOutdatedError
from logger.store.database import translated_errors

PACKAGE = Path(__file__).resolve().parent.parent


def migrations_path() -> Path:
    """Return where the migrations lie: inside the wheel, or beside the package in a checkout."""
    shipped = PACKAGE / "migrations"
    return shipped if shipped.is_dir() else PACKAGE.parent / "migrations"


def config() -> Config:
    """Return Alembic's configuration; needs no alembic.ini."""
    made = Config()
    made.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def head() -> str:
    """Return the schema version that this program needs."""
    return str(ScriptDirectory.from_config(config()).get_current_head())


def current(engine: Engine) -> str | None:
    """Return the database's schema version; None when it is empty.

    Raises:
        StoreError: the database can't be read.
    """
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


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
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if found not in known:
        raise SchemaOutdatedError(
            f"The database has schema {found}, which a newer envoylog made; "
            "upgrade the program: pip install --upgrade envoylog"
        )
