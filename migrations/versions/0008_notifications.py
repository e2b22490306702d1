"""Keep what was told to whom, so that nobody is told twice.

Revision ID: 0008 Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = "notifications"
DICTIONARY: dict[str, tuple[str | None, str]] = {
    "gateway_id": (None, "which gateway it is about; of a disk, the first"),
    "day": (None, "local date of the gateway on which it was noticed"),
    "receiver": (None, "who is told: the name in [[notify]], or its number"),
    "kind": (None, "what it is about, such as gateway_silent or dead_panel"),
    "subject": (None, "what exactly: a panel, a token, a month"),
    "noticed_at": ("UTC", "when it was noticed"),
    "detail": (None, "what is told"),
    "outcome": (None, "waiting, sent, or given up after a day"),
    "tries": (None, "how often it was tried"),
    "error": (None, "why the receiver did not take it the last time"),
    "sent_at": ("UTC", "when the receiver took it"),
}


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")),
        sa.Column("detail", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("tries", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("sent_at", sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{TABLE}_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", "day", "receiver", "kind", "subject", name=f"pk_{TABLE}"),
        sqlite_with_rowid=False,
    )
    names = ("table", "column", "unit", "meaning")
    rows = [dict(zip(names, (TABLE, column, *words), strict=True)) for column, words in DICTIONARY.items()]
    op.bulk_insert(sa.table("data_dictionary", *(sa.column(name, sa.Text()) for name in names)), rows)
    for column, (unit, meaning) in DICTIONARY.items() if op.get_bind().dialect.name != "sqlite" else ():
        words = meaning + (f" [{unit}]" if unit else "")
        op.execute(sa.text(f"COMMENT ON COLUMN {TABLE}.\"{column}\" IS '{words}'"))


def downgrade() -> None:
    dictionary = sa.table("data_dictionary", sa.column("table", sa.Text()))
    op.execute(dictionary.delete().where(dictionary.c.table == TABLE))
    op.drop_table(TABLE)
