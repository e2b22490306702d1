"""The schema's version: what the database has, what this program needs, and getting there."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Table, func, inspect, select, text

from logger.errors import SchemaOutdatedError
from logger.store.database import is_file, translated_errors
from logger.store.models import GATEWAYS, METADATA

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
        refuse_newer(found)
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
        refuse_newer(found)
    raise SchemaOutdatedError(
        f"The database has schema {found or 'none'}, this program needs {head()}; "
        "run: envoylog db upgrade"
    )


def refuse_newer(found: str) -> None:
    """Check that this program knows a schema version.

    Raises:
        SchemaOutdatedError: only a newer program does.
    """
    known = revisions()
    if found not in known:
        raise SchemaOutdatedError(
            f"The database has schema {found}, which a newer envoylog made; "
            "upgrade the program: pip install --upgrade envoylog"
        )


def problems(connection: Connection) -> list[str]:
    """Return what is broken in the database itself; nothing when it is sound."""
    found: list[str] = []
    if is_file(connection):  # A server checks its pages itself.
        found = [
            f"the file is damaged: {said}"
            for (said,) in connection.exec_driver_sql("PRAGMA integrity_check")
            if said != "ok"
        ]
    known = set(connection.execute(select(GATEWAYS.c.gateway_id)).scalars())
    for table in METADATA.sorted_tables:
        strays = [one for one in _gateway_ids(connection, table) if one not in known]
        found += [f"{table.name} has rows of gateway {one}, which there is not" for one in strays]
    return found


def _gateway_ids(connection: Connection, table: Table) -> Iterator[int]:
    """Return whose rows a table has, by one seek in its key for each."""
    column = table.c.get("gateway_id")
    if column is None:
        return
    query = select(func.min(column))
    one = connection.execute(query).scalar_one()
    while one is not None:
        yield one
        one = connection.execute(query.where(column > one)).scalar_one()
