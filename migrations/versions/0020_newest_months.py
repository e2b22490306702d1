"""Find the newest months and years of a view in SQLite without adding up all days.

A row is the last day of a month, found in the order of months, beside which the month's days are added up: all sums at
once, as the one value that SQLite takes from beside a row. PostgreSQL has them since 0017.

Revision ID: 0020 Revises: 0019
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

#: whole texts of the views, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision


def upgrade() -> None:
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")


def replace_views(direction: str) -> None:
    for path in sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql")):
        op.execute(sa.text(f"DROP VIEW {path.stem}"))
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))
