"""Let several collectors share the gateways of one configuration.

Revision ID: 0010 Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DICTIONARY = (
    ("collectors", "collector", "internal: which of several collectors"),
    ("collectors", "gateways", "internal: a digest of the gateways that it has configured"),
    ("collectors", "expires_at", "internal: until when it is there, unless it says so again"),
    ("gateway_leases", "gateway", "internal: name of a gateway that is shared"),
    ("gateway_leases", "collector", "internal: who asks it"),
)


def upgrade() -> None:
    instant = sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")
    op.create_table(
        "collectors",
        sa.Column("collector", sa.Text(), nullable=False),
        sa.Column("gateways", sa.Text(), nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("collector", name="pk_collectors"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gateway_leases",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("collector", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("gateway", name="pk_gateway_leases"),
        sqlite_with_rowid=False,
    )
    names = ("table", "column", "meaning")
    rows = [dict(zip(names, row, strict=True)) for row in DICTIONARY]
    op.bulk_insert(sa.table("data_dictionary", *(sa.column(name, sa.Text()) for name in names)), rows)
    for table, column, meaning in DICTIONARY if op.get_bind().dialect.name != "sqlite" else ():
        op.execute(sa.text(f"COMMENT ON COLUMN {table}.{column} IS '{meaning}'"))


def downgrade() -> None:
    dictionary = sa.table("data_dictionary", sa.column("table", sa.Text()))
    op.execute(dictionary.delete().where(dictionary.c.table.in_(("collectors", "gateway_leases"))))
    op.drop_table("gateway_leases")
    op.drop_table("collectors")
