"""For Alembic: migrates the configured database, or the connection handed over in config."""

import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, DateTime

from logger import settings
from logger.store.database import opened
from logger.store.models import METADATA, UtcDateTime


def render_item(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """Write our instant type as plain SQLAlchemy, so that revisions import nothing of ours."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogen.imports.add("import sqlalchemy as sa")
        return "sa.DateTime(timezone=True)"
    return False


def same_type(_context: Any, _inspected: Any, _metadata: Any, inspected_type: Any, metadata_type: Any) -> bool | None:
    """Say that SQLite's text is the type of an instant there."""
    if isinstance(metadata_type, UtcDateTime) and not isinstance(inspected_type, DateTime):
        return False
    return None


def migrate(connection: Connection) -> None:
    """Run the migrations on a connection."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=True,
        render_item=render_item,
        compare_type=same_type,
        # Comments come from the data dictionary, which only PostgreSQL also shows as comments.
        autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.comments"],
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    migrate(handed_over)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    chosen = settings.load(settings.find_config(None, os.environ), os.environ, database_url=url)
    with opened(chosen.database_url) as engine, engine.begin() as connection:
        migrate(connection)
