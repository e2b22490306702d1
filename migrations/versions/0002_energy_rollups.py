"""Keep energy per quarter hour, hour and day: computed from samples, never the other way round.

Revision ID: 0002 Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")
FLOWS = ("production", "consumption", "grid_import", "grid_export")
BATTERY = ("battery_charge", "battery_discharge")


def energy() -> list[sa.Column[Any]]:
    return [
        *(sa.Column(f"{flow}_wh", sa.Double(), nullable=True) for flow in FLOWS + BATTERY),
        sa.Column("covered_s", sa.Integer(), nullable=True),
        sa.Column("bridged_wh", sa.Double(), nullable=True),
        sa.Column("peak_production_w", sa.Double(), nullable=True),
        sa.Column("peak_production_at", INSTANT, nullable=True),
        sa.Column("peak_consumption_w", sa.Double(), nullable=True),
        sa.Column("peak_consumption_at", INSTANT, nullable=True),
    ]


def starts_at() -> sa.Column[Any]:
    return sa.Column("starts_at", INSTANT, nullable=False)


def day() -> sa.Column[Any]:
    return sa.Column("day", sa.Date(), nullable=False)


def phase() -> sa.Column[Any]:
    return sa.Column("phase", sa.Text(), nullable=False)


def offset() -> sa.Column[Any]:
    return sa.Column("utc_offset_s", sa.Integer(), nullable=True)


def period() -> sa.Column[Any]:
    return sa.Column("period_s", sa.Integer(), nullable=True)


def create(name: str, key: list[sa.Column[Any]], *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
        *key,
        *columns,
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{name}_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", *(one.name for one in key), name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    create("energy_15min", [starts_at(), phase()], offset(), *energy())
    create("energy_hourly", [starts_at(), phase()], offset(), period(), *energy())
    create("energy_daily", [day(), phase()], period(), *energy())
    create(
        "inverter_daily",
        [day(), sa.Column("serial", sa.Text(), nullable=False)],
        sa.Column("energy_wh", sa.Double(), nullable=True),
        sa.Column("peak_power_w", sa.Double(), nullable=True),
        sa.Column("covered_s", sa.Integer(), nullable=True),
    )
    create(
        "rollup_checkpoints",
        [sa.Column("ledger", sa.Text(), nullable=False), sa.Column("at", INSTANT, nullable=False)],
        sa.Column("state", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for name in ("rollup_checkpoints", "inverter_daily", "energy_daily", "energy_hourly", "energy_15min"):
        op.drop_table(name)
