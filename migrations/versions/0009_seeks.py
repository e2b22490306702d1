"""Seek the newest poll and the gaps instead of looking at all samples and quarter hours.

PostgreSQL could plan to read all samples for v_power_now; v_gaps has an index of what it shows.

Revision ID: 0009 Revises: 0008
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: whole texts of the views per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
INDEX, TABLE = "ix_energy_15min_gaps", "energy_15min"
#: as v_gaps has it
GAPS = sa.text("phase = 'total' AND covered_s < 900")


def upgrade() -> None:
    columns = ["gateway_id", "starts_at", "covered_s"]
    op.create_index(INDEX, TABLE, columns, sqlite_where=GAPS, postgresql_where=GAPS)
    _replace("upgrade")


def downgrade() -> None:
    _replace("downgrade")
    op.drop_index(INDEX, TABLE)


def _replace(direction: str) -> None:
    for path in sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql")):
        op.execute(sa.text(path.read_text(encoding="utf-8").replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)))
