"""Count each day of a month or year up to yesterday as one that should have been measured.

Before, only the days before the first logged one were: a month of whose end nothing is known had the coverage of its
beginning.

Revision ID: 0005 Revises: 0004
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: whole texts of the views per engine and direction, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision


def replace_views(direction: str) -> None:
    """Make views anew, with the comments that they had."""
    bind = op.get_bind()
    comments = bind.execute(sa.text('SELECT "table", "column", meaning, unit FROM data_dictionary')).all()
    for path in sorted((TEXTS / bind.dialect.name / direction).glob("*.sql")):
        view = path.stem
        op.execute(sa.text(f"DROP VIEW {view}"))
        # On one line, as databases have kept them since the first of them was made.
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))
        for table, column, meaning, unit in comments:
            if table == view and bind.dialect.name != "sqlite":
                words = (meaning + (f" [{unit}]" if unit else "")).replace("'", "''")
                op.execute(sa.text(f"COMMENT ON COLUMN {view}.\"{column}\" IS '{words}'"))


def upgrade() -> None:
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")
