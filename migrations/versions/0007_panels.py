"""Compare each panel with its neighbours, and show quarter hours in kWh and local time.

Revision ID: 0007 Revises: 0006
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: whole texts of the views per engine, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision

VIEWS = ("v_panels", "v_energy_15min")
TABLES = ("panels", "panel_daily", "inverter_hours")
GATEWAY = (None, "which gateway")
DAY = (None, "local date of the gateway")
SERIAL = (None, "the microinverter's serial number")
ARRAY = (None, "which panels it is compared with: as configured, or found by when they make most")
STATE = (None, "fine, weak, shaded, dead, silent or removed; unknown where it has no neighbours")
RELATIVE = (
    "%",
    "of the last 14 bright days, against what is usual beside its neighbours; unknown while these are too few",
)
DICTIONARY: dict[str, dict[str, tuple[str | None, str]]] = {
    "panels": {
        "gateway_id": GATEWAY,
        "serial": SERIAL,
        "name": (None, "what it is called, as configured"),
        "array": (None, "its array, as configured"),
        "azimuth_deg": ("deg", "where the array faces, as configured: 180 is south"),
        "tilt_deg": ("deg", "tilt of the array, as configured: 0 is flat"),
        "panel_w": ("W", "peak power of one panel, as configured"),
        "inverter_w": ("W", "what one inverter can give, as configured"),
    },
    "panel_daily": {
        "gateway_id": GATEWAY,
        "day": DAY,
        "serial": SERIAL,
        "array": ARRAY,
        "energy_wh": ("Wh", "energy of the day"),
        "peers_median_wh": ("Wh", "median of the others of its array"),
        "ratio": (
            None,
            "energy / median of its array in the hours in which none is clipped; unknown on days that don't count",
        ),
        "relative_pct": RELATIVE,
        "state": STATE,
    },
    "inverter_hours": {
        "gateway_id": GATEWAY,
        "day": DAY,
        "serial": SERIAL,
        "reports": (None, "internal: how often it reported"),
        "hours_wh": (None, "internal: energy by hour of standard time, in Wh"),
    },
    "v_panels": {
        "gateway": (None, "name"),
        "day": (None, "local date"),
        "serial": SERIAL,
        "name": (None, "what the panel is called, as configured"),
        "array": ARRAY,
        "state": STATE,
        "relative_pct": RELATIVE,
        "energy_kwh": ("kWh", "energy of the day"),
        "peers_median_kwh": ("kWh", "median of the others of its array"),
    },
    "v_energy_15min": {
        "gateway": (None, "name"),
        "quarter_starts_at": ("UTC", "start of the quarter hour"),
        "local_quarter": ("local", "start of the quarter hour in the gateway's time zone"),
        "production_kwh": ("kWh", "produced"),
        "consumption_kwh": ("kWh", "used by the house: production + import - export + battery discharge - charge"),
        "grid_import_kwh": ("kWh", "bought from the grid"),
        "grid_export_kwh": ("kWh", "fed into the grid"),
        "battery_charge_kwh": ("kWh", "put into the battery"),
        "battery_discharge_kwh": ("kWh", "taken from the battery"),
        "self_consumption_kwh": ("kWh", "production that was not exported: production - export"),
        "self_consumption_pct": ("%", "self-consumption / production, from summed energies"),
        "self_sufficiency_pct": ("%", "(consumption - import) / consumption, from summed energies"),
        "specific_yield_kwh_per_kwp": ("kWh/kWp", "production / peak power of the panels"),
        "peak_production_w": ("W", "highest power that was sampled"),
        "coverage_pct": ("%", "share of the time in which every stream was measured"),
        "bridged_kwh": ("kWh", "part of the production that came from one difference over an outage"),
    },
}


def create(table: str, key: dict[str, Any], **columns: Any) -> None:
    op.create_table(
        table,
        sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
        *(sa.Column(own, kind, nullable=False) for own, kind in key.items()),
        *(sa.Column(own, kind, nullable=True) for own, kind in columns.items()),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{table}_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", *key, name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    words: Any = sa.Text()
    number: Any = sa.Double()
    create(
        "panels",
        {"serial": words},
        name=words,
        array=words,
        azimuth_deg=number,
        tilt_deg=number,
        panel_w=number,
        inverter_w=number,
    )
    create(
        "panel_daily",
        {"day": sa.Date(), "serial": words},
        array=words,
        energy_wh=number,
        peers_median_wh=number,
        ratio=number,
        relative_pct=number,
        state=words,
    )
    create("inverter_hours", {"day": sa.Date(), "serial": words}, reports=sa.Integer(), hours_wh=words)
    engine = op.get_bind().dialect.name
    for view in VIEWS:
        text = (TEXTS / engine / "upgrade" / f"{view}.sql").read_text(encoding="utf-8")
        op.execute(sa.text(" ".join(text.split())))
    described = [
        (table, column, unit, meaning)
        for table, meanings in DICTIONARY.items()
        for column, (unit, meaning) in meanings.items()
    ]
    names = ("table", "column", "unit", "meaning")
    rows = [dict(zip(names, row, strict=True)) for row in described]
    op.bulk_insert(sa.table("data_dictionary", *(sa.column(name, sa.Text()) for name in names)), rows)
    for table, column, unit, meaning in described if engine != "sqlite" else ():
        text = (meaning + (f" [{unit}]" if unit else "")).replace("'", "''")
        op.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{column}\" IS '{text}'"))


def downgrade() -> None:
    dictionary = sa.table("data_dictionary", sa.column("table", sa.Text()))
    op.execute(dictionary.delete().where(dictionary.c.table.in_(list(DICTIONARY))))
    for view in VIEWS:
        op.execute(sa.text(f"DROP VIEW {view}"))
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute(sa.text("DELETE FROM rollup_checkpoints WHERE ledger = 'panels'"))
    op.execute(sa.text("DELETE FROM events WHERE kind IN ('weak_panel', 'dead_panel', 'silent_panel')"))
