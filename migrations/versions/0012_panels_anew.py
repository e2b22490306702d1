"""Judge panels anew: what is said of them is surer now.

Revision ID: 0012 Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: Where this ledger has no checkpoint all days are judged the next time.
FORGET = "DELETE FROM rollup_checkpoints WHERE ledger = 'panels'"


def upgrade() -> None:
    op.execute(sa.text(FORGET))


def downgrade() -> None:
    op.execute(sa.text(FORGET))
