"""Seek days, months, years and hours of local time in views, so that ten years of them are as quick as one.

A name stands for all gateways that had it, so views added up by name whatever was asked of them. Most names are of
one gateway alone: its rows are shown as they are, found by an index and in its order; those of a name that several had
are added up beside it. Self-sufficiency is never below zero: what the inverters draw at night is imported, and is no
consumption. The gateways of all rows are few, and so are gaps and outages: each of these indexes is small.

Revision ID: 0014 Revises: 0013
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

#: whole texts of the views per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision
TOTAL = "WHERE phase = 'total'"
#: index -> what it is of; names in braces are of EXPRESSIONS
INDEXES = {
    "gateways_name": "gateways (name)",
    "energy_daily_day": "energy_daily (day)",
    "energy_daily_month": f"energy_daily ({{month}}) {TOTAL}",
    "energy_daily_gateway_month": f"energy_daily (gateway_id, {{month}}) {TOTAL}",
    "energy_daily_year": f"energy_daily ({{year}}) {TOTAL}",
    "energy_daily_gateway_year": f"energy_daily (gateway_id, {{year}}) {TOTAL}",
    "energy_hourly_starts_at": f"energy_hourly (starts_at) {TOTAL}",
    "energy_hourly_local": f"energy_hourly ({{local}}) {TOTAL}",
    "energy_hourly_gateway_local": f"energy_hourly (gateway_id, {{local}}) {TOTAL}",
    "energy_15min_starts_at": f"energy_15min (starts_at) {TOTAL}",
    "energy_15min_local": f"energy_15min ({{local}}) {TOTAL}",
    "energy_15min_gateway_local": f"energy_15min (gateway_id, {{local}}) {TOTAL}",
    "energy_15min_gaps_local": f"energy_15min ({{local}}) {TOTAL} AND covered_s < 900",
    "inverter_daily_day": "inverter_daily (day)",
    "panel_daily_day": "panel_daily (day)",
    "events_grid": "events (gateway_id, at) WHERE kind IN ('grid_lost', 'grid_back')",
}
#: as the views have them
EXPRESSIONS = {
    "sqlite": {
        "month": "substr(day, 1, 7)",
        "year": "CAST(substr(day, 1, 4) AS INTEGER)",
        "local": "datetime(starts_at, utc_offset_s || ' seconds')",
    },
    "postgresql": {
        "month": "(CAST(CAST(extract(year FROM day) AS INTEGER) AS TEXT) || '-' || "
        "lpad(CAST(CAST(extract(month FROM day) AS INTEGER) AS TEXT), 2, '0'))",
        "year": "(CAST(extract(year FROM day) AS INTEGER))",
        "local": "(starts_at AT TIME ZONE 'UTC' + utc_offset_s * INTERVAL '1 second')",
    },
}


def upgrade() -> None:
    for name, of in INDEXES.items():
        op.execute(sa.text(f"CREATE INDEX ix_{name} ON {of.format(**EXPRESSIONS[op.get_bind().dialect.name])}"))
    replace_views("upgrade")


def downgrade() -> None:
    replace_views("downgrade")
    for name in INDEXES:
        op.execute(sa.text(f"DROP INDEX ix_{name}"))


def replace_views(direction: str) -> None:
    """Make views anew; PostgreSQL keeps who may read them, and what their columns mean."""
    engine = op.get_bind().dialect.name
    for path in sorted((TEXTS / engine / direction).glob("*.sql")):
        words = " ".join(path.read_text(encoding="utf-8").split())
        if engine == "sqlite":
            op.execute(sa.text(f"DROP VIEW {path.stem}"))
        else:
            words = words.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
        op.execute(sa.text(words))
