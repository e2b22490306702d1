"""The schema on one page, with its types. Migrations make it; a test keeps the two alike.

Natural keys: the gateway first, then time, then the series. Everything outside a key may be missing, so that tables can
be filled by plain SQL too. Units end names. SQLAlchemy Core alone: its ORM would cost the collector 6 MiB.

Instants are aware UTC with whole seconds on both engines: timestamptz in PostgreSQL, text such as ``2026-03-29
01:00:00`` in SQLite, so that a plain comparison reads well and uses the key.
"""

import sqlite3
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Date, Dialect, Double, Integer, SmallInteger, String, Table, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: An instant as SQLite keeps it.
INSTANT = "%Y-%m-%d %H:%M:%S"


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant: aware UTC in and out, whole seconds."""

    impl = sa.DateTime(timezone=True).with_variant(String(19), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the instant as the engine stores it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        whole = value.astimezone(UTC).replace(microsecond=0)
        return whole.strftime(INSTANT) if dialect.name == "sqlite" else whole

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the instant that the engine stored."""
        if value is None:
            return None
        instant: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)


def instant(connection: sa.Connection, at: datetime) -> Any:
    """Return an instant as the driver takes it."""
    return _INSTANT.process_bind_param(at, connection.dialect)


_INSTANT = UtcDateTime()


class epoch(FunctionElement[int]):  # noqa: N801 - reads as the SQL function that it is
    """An instant's epoch seconds, computed by the engine."""

    inherit_cache = True
    name = "epoch"
    type = sa.BigInteger()


@compiles(epoch, "sqlite")
def _epoch_of_text(element: epoch, compiler: Any, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    if sqlite3.sqlite_version_info >= (3, 38):
        return f"unixepoch({instant})"
    return f"CAST(strftime('%s', {instant}) AS INTEGER)"


@compiles(epoch)
def _epoch(element: epoch, compiler: Any, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"CAST(floor(extract(epoch FROM {instant})) AS BIGINT)"


METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose rows lie in the order of their key (SQLite: WITHOUT ROWID)."""
    return Table(name, METADATA, *columns, sqlite_with_rowid=False)


def _key(**kinds: Any) -> list[Column[Any]]:
    """Return the columns of a natural key, of which the gateway is the first."""
    return [
        Column("gateway_id", SmallInteger, sa.ForeignKey("gateways.gateway_id"), primary_key=True),
        *(Column(name, kind, primary_key=True) for name, kind in kinds.items()),
    ]


def _columns(*numbers: str, **kinds: Any) -> list[Column[Any]]:
    """Return columns outside the key, those of measured numbers first."""
    return [Column(name, kind) for name, kind in (dict.fromkeys(numbers, Double) | kinds).items()]


#: One gateway, by its serial.
GATEWAYS = _table(
    "gateways",
    Column("gateway_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("serial", Text, unique=True, nullable=False),
    *_columns(part_number=Text, firmware=Text, is_metered=Boolean, phase_mode=Text, phase_count=Integer),
    *_columns(time_zone=Text, peak_power_kwp=Double, first_seen_at=UtcDateTime, last_seen_at=UtcDateTime),
    Column("grid_meter", Text),
)

#: One CT slot, as last seen.
METERS = _table(
    "meters",
    *_key(eid=Integer),
    *_columns(measurement=Text, state=Text, metering_status=Text, status_flags=Text),
    *_columns(phase_mode=Text, phase_count=Integer),
)

#: One microinverter.
INVERTERS = _table(
    "inverters", *_key(serial=Text), *_columns(device_type=Integer, first_seen_at=UtcDateTime, last_seen_at=UtcDateTime)
)

#: One poll and how it ended.
POLLS = _table("polls", *_key(polled_at=UtcDateTime), *_columns("took_s", outcome=Text, error=Text))

#: Production at one instant.
PRODUCTION_SAMPLES = _table(
    "production_samples",
    *_key(polled_at=UtcDateTime, phase=Text),
    *_columns("power_w", "energy_lifetime_wh", reading_age_s=Integer, source=Text),
)

#: Consumption, total or net, at one instant.
CONSUMPTION_SAMPLES = _table(
    "consumption_samples",
    *_key(polled_at=UtcDateTime, measurement=Text, phase=Text),
    *_columns("power_w", "energy_lifetime_wh", reading_age_s=Integer, source=Text),
)

#: What one enabled CT measured at one instant.
METER_READINGS = _table(
    "meter_readings",
    *_key(polled_at=UtcDateTime, measurement=Text, phase=Text),
    *_columns("power_w", "delivered_wh", "received_wh", "voltage_v", "current_a", "power_factor"),
    *_columns("apparent_power_va", "reactive_power_var", "frequency_hz", reading_age_s=Integer),
)

#: One report of one microinverter.
INVERTER_SAMPLES = _table(
    "inverter_samples",
    *_key(reported_at=UtcDateTime, serial=Text),
    *_columns("power_w", "max_power_w", "energy_lifetime_wh", "energy_interval_wh", interval_s=Integer),
    *_columns("dc_voltage_v", "dc_current_a", "ac_voltage_v", "ac_current_a", "frequency_hz", "temperature_c"),
)

#: One battery, as last seen.
BATTERIES = _table(
    "batteries",
    *_key(serial=Text),
    *_columns(kind=Text, part_number=Text, firmware=Text, capacity_wh=Double, rated_power_w=Double),
    *_columns(first_seen_at=UtcDateTime, last_seen_at=UtcDateTime),
)

#: What one battery reported at one instant.
BATTERY_SAMPLES = _table(
    "battery_samples",
    *_key(polled_at=UtcDateTime, serial=Text),
    *_columns("power_w", "soc_pct", "temperature_c", "cell_temperature_c"),
    *_columns(state=Text, reading_age_s=Integer, source=Text),
)

#: What all batteries of a kind reported together at one instant.
STORAGE_SAMPLES = _table(
    "storage_samples",
    *_key(polled_at=UtcDateTime, kind=Text),
    *_columns("power_w", "soc_pct", "energy_wh", "capacity_wh", "health_pct", "reserve_pct"),
    *_columns(reading_age_s=Integer, source=Text),
)

#: A state of the site's devices, one row per change.
SITE_STATES = _table("site_states", *_key(at=UtcDateTime, subject=Text), Column("state", Text))

#: A change worth knowing when energy is read years later.
EVENTS = _table("events", *_key(at=UtcDateTime, kind=Text, subject=Text), *_columns(detail=Text, utc_offset_s=Integer))

#: What a receiver was told of a local day: never twice of one kind and subject.
NOTIFICATIONS = _table(
    "notifications",
    *_key(day=Date, receiver=Text, kind=Text, subject=Text),
    *_columns(noticed_at=UtcDateTime, detail=Text, outcome=Text, tries=Integer, error=Text, sent_at=UtcDateTime),
)


def _energy() -> list[Column[Any]]:
    return [
        *_columns("production_wh", "consumption_wh", "grid_import_wh", "grid_export_wh"),
        *_columns("battery_charge_wh", "battery_discharge_wh", covered_s=Integer),
        *_columns("bridged_wh", "peak_production_w", peak_production_at=UtcDateTime),
        *_columns("peak_consumption_w", peak_consumption_at=UtcDateTime),
        *_columns("battery_estimated_wh"),
    ]


#: Energy of a quarter hour.
ENERGY_15MIN = _table(
    "energy_15min", *_key(starts_at=UtcDateTime, phase=Text), *_columns(utc_offset_s=Integer), *_energy()
)
#: Energy of a local hour.
ENERGY_HOURLY = _table(
    "energy_hourly",
    *_key(starts_at=UtcDateTime, phase=Text),
    *_columns(utc_offset_s=Integer, period_s=Integer),
    *_energy(),
)

#: Energy of a local day.
ENERGY_DAILY = _table("energy_daily", *_key(day=Date, phase=Text), *_columns(period_s=Integer), *_energy())

#: Energy of one microinverter on a local day.
INVERTER_DAILY = _table(
    "inverter_daily", *_key(day=Date, serial=Text), *_columns("energy_wh", "peak_power_w", covered_s=Integer)
)

#: What is configured of one panel, by the serial of its inverter.
PANELS = _table(
    "panels",
    *_key(serial=Text),
    *_columns(name=Text, array=Text),
    *_columns("azimuth_deg", "tilt_deg", "panel_w", "inverter_w"),
)

#: One panel against the others of its array on a local day.
PANEL_DAILY = _table(
    "panel_daily",
    *_key(day=Date, serial=Text),
    *_columns(array=Text),
    *_columns("energy_wh", "peers_median_wh", "ratio", "relative_pct", state=Text),
)

#: Energy of one microinverter by the hours of a day, and how often it reported (internal).
INVERTER_HOURS = _table("inverter_hours", *_key(day=Date, serial=Text), *_columns(reports=Integer, hours_wh=Text))

#: Where a ledger was left (internal).
ROLLUP_CHECKPOINTS = _table(
    "rollup_checkpoints", *_key(ledger=Text, at=UtcDateTime), Column("state", Text, nullable=False)
)

#: One of several collectors, and until when it is there (internal).
COLLECTORS = _table(
    "collectors",
    Column("collector", Text, primary_key=True),
    Column("gateways", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

#: Which collector asks a gateway (internal).
GATEWAY_LEASES = _table("gateway_leases", Column("gateway", Text, primary_key=True), Column("collector", Text))

#: What every column means, for people with a SQL shell.
DATA_DICTIONARY = _table(
    "data_dictionary",
    Column("table", Text, primary_key=True),
    Column("column", Text, primary_key=True),
    Column("unit", Text),
    Column("meaning", Text, nullable=False),
)

# Of some rows alone, as migrations 0009, 0014 and 0019 make them: to say so here would load both engines' dialects,
# 2 MB of a collector. Those of expressions, such as the month of a day, stand there alone.
sa.Index("ix_energy_15min_gaps", ENERGY_15MIN.c.gateway_id, ENERGY_15MIN.c.starts_at, ENERGY_15MIN.c.covered_s)
sa.Index("ix_events_grid", EVENTS.c.gateway_id, EVENTS.c.at)
sa.Index("ix_events_unplaced", EVENTS.c.gateway_id, EVENTS.c.at)
_panel = PANEL_DAILY.c
sa.Index("ix_panel_daily_state", _panel.gateway_id, _panel.serial, _panel.state, _panel.day)
for _column in (
    GATEWAYS.c.name, ENERGY_15MIN.c.starts_at, ENERGY_HOURLY.c.starts_at, ENERGY_DAILY.c.day, INVERTER_DAILY.c.day,
    PANEL_DAILY.c.day,
):  # fmt: skip
    sa.Index(f"ix_{_column.table.name}_{_column.name}", _column)
