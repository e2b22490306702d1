"""Look once at a day's samples of batteries in PostgreSQL: each look plans for all months that there are.

Revision ID: 0016 Revises: 0015
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

#: whole texts of the view, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision


def upgrade() -> None:
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")


def replace_views(direction: str) -> None:
    for path in sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql")):
        words = " ".join(path.read_text(encoding="utf-8").split())
        op.execute(sa.text(words.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)))
