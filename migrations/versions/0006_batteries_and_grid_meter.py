"""Keep what batteries and system devices report, and how the utility's meter sees several phases.

Import and export of several phases were the sums of what each phase counted; whoever has logged such a site keeps that
(per_phase) until it is rebuilt.

Revision ID: 0006 Revises: 0005
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: whole texts of the views per engine and direction, frozen with this migration
TEXTS = Path(__file__).with_name("views") / revision

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(19), "sqlite")
ENERGY = ("energy_15min", "energy_hourly", "energy_daily")
TABLES = ("batteries", "battery_samples", "storage_samples", "site_states")

#: Also where phases were counted that are no longer in use. Where import and export came from power, it was that of the
#: total: they are a balancing meter's already.
GRID_METER = """
UPDATE gateways SET grid_meter = CASE WHEN EXISTS (
    SELECT 1 FROM meter_readings r
    WHERE r.gateway_id = gateways.gateway_id AND r.measurement = 'net-consumption' AND r.phase = 'L2'
) OR NOT EXISTS (
    SELECT 1 FROM meter_readings r WHERE r.gateway_id = gateways.gateway_id
) THEN 'per_phase' ELSE 'balancing' END
WHERE phase_count > 1 OR EXISTS (
    SELECT 1 FROM energy_daily d WHERE d.gateway_id = gateways.gateway_id AND d.phase = 'L2'
)
"""
GATEWAY = (None, "which gateway")
POLLED = ("UTC", "when we polled, by our own clock")
AGE = ("s", "polled_at minus the time of the device's own report; unknown where it has none")
SERIAL = (None, "the battery's serial number")
POWER = ("W", "positive: discharging, negative: charging; unknown while it is silent")
SOURCE = (None, "ensemble, acb, inventory or livedata")
ESTIMATED = ("Wh", "part of charge + discharge that was integrated from power")
#: of tables, and of the columns that these get
DICTIONARY: dict[str, dict[str, tuple[str | None, str]]] = {
    "gateways": {"grid_meter": (None, "how the utility's meter sees several phases: balancing or per_phase")},
    "batteries": {
        "gateway_id": GATEWAY,
        "serial": SERIAL,
        "kind": (None, "encharge (IQ Battery) or acb (AC Battery)"),
        "part_number": (None, "part number"),
        "firmware": (None, "its firmware"),
        "capacity_wh": ("Wh", "capacity, as last reported: it may change with a firmware"),
        "rated_power_w": ("W", "rated power, as last reported"),
        "first_seen_at": ("UTC", "first seen in a list of devices"),
        "last_seen_at": ("UTC", "last seen in a list of devices"),
    },
    "battery_samples": {
        "gateway_id": GATEWAY,
        "polled_at": POLLED,
        "serial": SERIAL,
        "power_w": POWER,
        "soc_pct": ("%", "state of charge"),
        "temperature_c": ("C", "temperature of the battery"),
        "cell_temperature_c": ("C", "temperature of its warmest cell"),
        "state": (None, "its state, as reported"),
        "reading_age_s": AGE,
        "source": SOURCE,
    },
    "storage_samples": {
        "gateway_id": GATEWAY,
        "polled_at": POLLED,
        "kind": (None, "encharge (all IQ Batteries together) or acb (all AC Batteries)"),
        "power_w": ("W", "positive: discharging, negative: charging; unknown while one of the batteries is"),
        "soc_pct": ("%", "state of charge"),
        "energy_wh": ("Wh", "energy that can be taken out: a level, not a counter"),
        "capacity_wh": ("Wh", "capacity that is available; it may change with a firmware"),
        "health_pct": ("%", "state of health"),
        "reserve_pct": ("%", "what is kept back for outages"),
        "reading_age_s": AGE,
        "source": SOURCE,
    },
    "site_states": {
        "gateway_id": GATEWAY,
        "at": ("UTC", "since when it is so; one row per change"),
        "subject": (
            None,
            "grid_relay, grid_mode, generator, contact NC1 to NO2, battery_mode, reserve_pct or charge_from_grid",
        ),
        "state": (None, "the state; unknown while nothing says so"),
    },
    **{table: {"battery_estimated_wh": ESTIMATED} for table in ENERGY},
}
#: of views; those of which there is no text are left out
VIEWS: dict[str, dict[str, tuple[str | None, str]]] = {
    "v_power_now": {
        "battery_soc_pct": ("%", "state of charge of the IQ Batteries, or else of the AC Batteries"),
        "grid_state": (None, "the mode of the site: on_grid, off_grid or generator"),
    },
    "v_battery_daily": {
        "gateway": (None, "name"),
        "day": (None, "local date"),
        "charge_kwh": ("kWh", "put into the battery"),
        "discharge_kwh": ("kWh", "taken from the battery"),
        "estimated_pct": ("%", "part of both that was integrated from power"),
        "min_soc_pct": ("%", "lowest state of charge"),
        "max_soc_pct": ("%", "highest state of charge"),
        "cycles": (None, "discharge / capacity"),
        "efficiency_pct": ("%", "(discharge + change of stored energy) / charge; unknown below one cycle"),
    },
    "v_outages": {
        "gateway": (None, "name"),
        "starts_at": ("local", "when the grid was lost, in the gateway's time zone"),
        "ends_at": ("local", "when it was back; unknown while it is not"),
        "minutes": ("min", "how long that was"),
        "consumption_kwh": (
            "kWh",
            "what the house used in the whole quarter hours of it; unknown where one of them is",
        ),
        "soc_start_pct": ("%", "state of charge when it began"),
        "soc_end_pct": ("%", "state of charge when it ended"),
    },
}
#: of an inverter's day
COVERED = "seconds that reports cover"
#: columns of views that showed UTC, and show local time
LOCAL = (("v_gaps", "starts_at"), ("v_gaps", "ends_at"), ("v_events", "at"))


def words(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=True) for name in names]


def numbers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Double(), nullable=True) for name in names]


def age() -> sa.Column[Any]:
    return sa.Column("reading_age_s", sa.Integer(), nullable=True)


def instants(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, INSTANT, nullable=True) for name in names]


def create(name: str, key: list[sa.Column[Any]], *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("gateway_id", sa.SmallInteger(), nullable=False),
        *key,
        *columns,
        sa.ForeignKeyConstraint(["gateway_id"], ["gateways.gateway_id"], name=f"fk_{name}_gateway_id"),
        sa.PrimaryKeyConstraint("gateway_id", *(column.name for column in key), name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def key(**kinds: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name, kind in kinds.items()]


def texts(direction: str) -> list[Path]:
    return sorted((TEXTS / op.get_bind().dialect.name / direction).glob("*.sql"))


def comment(table: str, column: str, unit: str | None, meaning: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        text = (meaning + (f" [{unit}]" if unit else "")).replace("'", "''")
        op.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{column}\" IS '{text}'"))


def replace_views(direction: str) -> None:
    """Make views anew, with the comments that the dictionary has for them."""
    found = op.get_bind().execute(sa.text('SELECT "table", "column", unit, meaning FROM data_dictionary'))
    comments = [tuple(row) for row in found]
    for view in sorted({path.stem for path in texts("upgrade") + texts("downgrade")}):
        op.execute(sa.text(f"DROP VIEW IF EXISTS {view}"))
    for path in texts(direction):
        # On one line, as databases have kept them since the first of them was made.
        op.execute(sa.text(" ".join(path.read_text(encoding="utf-8").split())))
        for table, column, unit, meaning in comments:
            if table == path.stem:
                comment(table, column, unit, meaning)


def describe_days(meaning: str) -> None:
    """Say what is covered of an inverter's day."""
    for table in ("inverter_daily", "v_inverter_daily"):
        statement = sa.text(
            'UPDATE data_dictionary SET meaning = :meaning WHERE "table" = :table AND "column" = :column'
        )
        op.execute(statement.bindparams(meaning=meaning, table=table, column="covered_s"))
        comment(table, "covered_s", "s", meaning)


def name_unit(unit: str) -> None:
    """Name the unit of what is shown in local time, or was before."""
    for table, column in LOCAL:
        statement = sa.text('UPDATE data_dictionary SET unit = :unit WHERE "table" = :table AND "column" = :column')
        op.execute(statement.bindparams(unit=unit, table=table, column=column))


def upgrade() -> None:
    op.add_column("gateways", *words("grid_meter"))
    op.execute(sa.text(GRID_METER))
    for table in ENERGY:
        op.add_column(table, *numbers("battery_estimated_wh"))
    create(
        "batteries",
        key(serial=sa.Text()),
        *words("kind", "part_number", "firmware"),
        *numbers("capacity_wh", "rated_power_w"),
        *instants("first_seen_at", "last_seen_at"),
    )
    create(
        "battery_samples",
        key(polled_at=INSTANT, serial=sa.Text()),
        *numbers("power_w", "soc_pct", "temperature_c", "cell_temperature_c"),
        *words("state"),
        age(),
        *words("source"),
    )
    create(
        "storage_samples",
        key(polled_at=INSTANT, kind=sa.Text()),
        *numbers("power_w", "soc_pct", "energy_wh", "capacity_wh", "health_pct", "reserve_pct"),
        age(),
        *words("source"),
    )
    create("site_states", key(at=INSTANT, subject=sa.Text()), *words("state"))
    described = DICTIONARY | {view: VIEWS[view] for view in (path.stem for path in texts("upgrade")) if view in VIEWS}
    columns = [sa.column(name, sa.Text()) for name in ("table", "column", "unit", "meaning")]
    op.bulk_insert(
        sa.table("data_dictionary", *columns),
        [
            {"table": table, "column": column, "unit": unit, "meaning": meaning}
            for table, meanings in described.items()
            for column, (unit, meaning) in meanings.items()
        ],
    )
    for table, meanings in DICTIONARY.items():
        for column, (unit, meaning) in meanings.items():
            comment(table, column, unit, meaning)
    # Days were not judged by what a site can do: the first step of the rollups judges them all.
    op.execute(
        sa.text(
            "INSERT INTO rollup_checkpoints (gateway_id, ledger, at, state) "
            "SELECT gateway_id, 'unjudged', '1970-01-01 00:00:00', '{}' FROM gateways"
        )
    )
    # What was bridged up to here was spread evenly, and stays so until a rebuild of all.
    op.execute(
        sa.text(
            "INSERT INTO rollup_checkpoints (gateway_id, ledger, at, state) SELECT gateway_id, 'evenly', MAX(at), '{}' "
            "FROM rollup_checkpoints WHERE ledger = 'energy' GROUP BY gateway_id"
        )
    )
    describe_days(COVERED + "; 0 where much of the day is missing, or was counted with others over a gap")
    name_unit("local")
    replace_views("upgrade")


def downgrade() -> None:
    dictionary = sa.table("data_dictionary", sa.column("table", sa.Text()), sa.column("column", sa.Text()))
    for table, meanings in (DICTIONARY | VIEWS).items():
        rows = sa.and_(dictionary.c.table == table, dictionary.c.column.in_(list(meanings)))
        op.execute(dictionary.delete().where(rows))
    describe_days(COVERED)
    name_unit("UTC")
    replace_views("downgrade")
    op.execute(sa.text("DELETE FROM rollup_checkpoints WHERE ledger IN ('unjudged', 'evenly')"))
    for table in reversed(TABLES):
        op.drop_table(table)
    for table in ENERGY:
        op.drop_column(table, "battery_estimated_wh")
    op.drop_column("gateways", "grid_meter")
