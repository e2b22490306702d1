"""Seek since when a panel has been as it is, instead of looking at all of its days.

Revision ID: 0015 Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INDEX = "ix_panel_daily_state"


def upgrade() -> None:
    op.create_index(INDEX, "panel_daily", ["gateway_id", "serial", "state", "day"])


def downgrade() -> None:
    op.drop_index(INDEX, "panel_daily")
