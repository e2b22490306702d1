"""Let PostgreSQL know how many events there are of gateways, and look at one gap before another, not at all.

Where it does not know what a join leaves over, it sorts all events for the newest ten. Each event has its gateway.

Revision ID: 0021 Revises: 0020
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
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
        words = " ".join(path.read_text(encoding="utf-8").split())
        op.execute(sa.text(words.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)))
