"""Keep what gateways say: one row per poll and phase, exactly as reported.

Revision ID: 0001
Revises:
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")


def instant(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=not key)


def words(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=not key)


def whole(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=not key)


def number(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Double(), nullable=True) for name in names]


def create(name: str, *columns: sa.Column[Any]) -> None:
    """Create a table whose key is the gateway and every column that can't be missing."""
    key = ["gateway_id", *(column.name for column in columns if not column.nullable)]
    op.create_table(
        name,
        sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{name}_gateway_id"),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    op.create_table(
        "gateways",
        sa.Column("gateway_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        words("name"),
        words("serial", key=True),
        words("part_number"),
        words("firmware"),
        sa.Column("is_metered", sa.Boolean(), nullable=True),
        words("phase_mode"),
        whole("phase_count"),
        words("time_zone"),
        *number("peak_power_kwp"),
        instant("first_seen_at"),
        instant("last_seen_at"),
        sa.PrimaryKeyConstraint("gateway_id", name="pk_gateways"),
        sa.UniqueConstraint("serial", name="uq_gateways_serial"),
        sqlite_with_rowid=False,
    )
    create(
        "meters",
        words("measurement"),
        whole("eid", key=True),
        words("state"),
        words("metering_status"),
        words("status_flags"),
        words("phase_mode"),
        whole("phase_count"),
    )
    create(
        "inverters", words("serial", key=True), whole("device_type"), instant("first_seen_at"), instant("last_seen_at")
    )
    create("polls", instant("polled_at", key=True), *number("took_s"), words("outcome"), words("error"))
    create(
        "production_samples",
        instant("polled_at", key=True),
        words("phase", key=True),
        *number("power_w", "energy_lifetime_wh"),
        whole("reading_age_s"),
        words("source"),
    )
    create(
        "consumption_samples",
        instant("polled_at", key=True),
        words("measurement", key=True),
        words("phase", key=True),
        *number("power_w", "energy_lifetime_wh"),
        whole("reading_age_s"),
        words("source"),
    )
    create(
        "meter_readings",
        instant("polled_at", key=True),
        words("measurement", key=True),
        words("phase", key=True),
        *number("power_w", "delivered_wh", "received_wh", "voltage_v", "current_a"),
        *number("power_factor", "apparent_power_va", "reactive_power_var", "frequency_hz"),
        whole("reading_age_s"),
    )
    create(
        "inverter_samples",
        instant("reported_at", key=True),
        words("serial", key=True),
        *number("power_w", "max_power_w", "energy_lifetime_wh", "energy_interval_wh"),
        whole("interval_s"),
        *number("dc_voltage_v", "dc_current_a", "ac_voltage_v", "ac_current_a"),
        *number("frequency_hz", "temperature_c"),
    )
    create("events", instant("at", key=True), words("kind", key=True), words("subject", key=True), words("detail"))


def downgrade() -> None:
    for name in (
        "events",
        "inverter_samples",
        "meter_readings",
        "consumption_samples",
        "production_samples",
        "polls",
        "inverters",
        "meters",
        "gateways",
    ):
        op.drop_table(name)
