"""Look for a view's rows gateway by gateway in SQLite, by the key that they lie in, whatever is asked of the view.

Its planner may otherwise begin with the rows of all time, because it does not know that there are few gateways.
PostgreSQL knows.

Revision ID: 0013 Revises: 0012
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: whole texts of the views, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision


def replace_views(direction: str) -> None:
    """Make views anew."""
    for path in sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql")):
        op.execute(sa.text(f"DROP VIEW {path.stem}"))
        # On one line, as databases have kept them since the first of them was made.
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))


def upgrade() -> None:
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")
