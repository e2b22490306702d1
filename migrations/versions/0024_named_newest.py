"""Find the newest rows of a named gateway in SQLite, and those of one that was replaced, whatever the years.

SQLite keeps the order of an index for a gateway of which it knows that there is one. Of a given name it knows that
where the gateway's number is said to be that of the only one of this name. The index of names has numbers in an order
that nobody asks for, because SQLite would otherwise look for name and number in it, and expect several.

A name that two gateways have, as where one was replaced, is shown in the order of each of them: what one has beside
the other, and what the other has alone. This holds for the first of such names; others are added up as before.

Revision ID: 0024 Revises: 0023
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

#: whole texts of the views, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
INDEX = "ix_gateways_name"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        replace_index("name, gateway_id COLLATE NOCASE")
        replace_views("upgrade")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        replace_views("downgrade")
        replace_index("name")


def replace_index(columns: str) -> None:
    op.execute(sa.text(f"DROP INDEX {INDEX}"))
    op.execute(sa.text(f"CREATE INDEX {INDEX} ON gateways ({columns})"))


def replace_views(direction: str) -> None:
    for path in sorted((TEXTS / "sqlite" / direction).glob("*.sql")):
        op.execute(sa.text(f"DROP VIEW {path.stem}"))
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))
