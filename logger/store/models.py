"""The schema on one page. Migrations make it; a test keeps the two alike.

Natural keys: the gateway first, then time, then the series. Everything outside a key may be
missing, so that tables can be filled by plain SQL too. Units end names. SQLAlchemy Core alone:
its ORM would cost the collector 6 MiB.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

from logger.store.database import UtcDateTime

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose rows lie where their key says (SQLite: WITHOUT ROWID)."""
    return Table(name, METADATA, *columns, sqlite_with_rowid=False)


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True)


def _gateway_id() -> Column[Any]:
    return Column("gateway_id", SmallInteger, ForeignKey("gateways.gateway_id"), primary_key=True)


#: One gateway, by its serial.
GATEWAYS = _table(
    "gateways",
    Column("gateway_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("serial", Text, unique=True, nullable=False),
    Column("part_number", Text),
    Column("firmware", Text),
    Column("is_metered", Boolean),
    Column("phase_mode", Text),
    Column("phase_count", Integer),
    Column("time_zone", Text),
    Column("peak_power_kwp", Double),
    Column("first_seen_at", UtcDateTime),
    Column("last_seen_at", UtcDateTime),
)

#: One CT slot, as last seen.
METERS = _table(
    "meters",
    _gateway_id(),
    Column("measurement", Text),
    _key("eid", Integer),
    Column("state", Text),
    Column("metering_status", Text),
    Column("status_flags", Text),
    Column("phase_mode", Text),
    Column("phase_count", Integer),
)

#: One microinverter.
INVERTERS = _table(
    "inverters",
    _gateway_id(),
    _key("serial", Text),
    Column("device_type", Integer),
    Column("first_seen_at", UtcDateTime),
    Column("last_seen_at", UtcDateTime),
)

#: One poll and how it ended.
POLLS = _table(
    "polls",
    _gateway_id(),
    _key("polled_at", UtcDateTime),
    Column("took_s", Double),
    Column("outcome", Text),
    Column("error", Text),
)

#: Production at one instant.
PRODUCTION_SAMPLES = _table(
    "production_samples",
    _gateway_id(),
    _key("polled_at", UtcDateTime),
    _key("phase", Text),
    Column("power_w", Double),
    Column("energy_lifetime_wh", Double),
    Column("reading_age_s", Integer),
    Column("source", Text),
)

#: Consumption, total or net, at one instant.
CONSUMPTION_SAMPLES = _table(
    "consumption_samples",
    _gateway_id(),
    _key("polled_at", UtcDateTime),
    _key("measurement", Text),
    _key("phase", Text),
    Column("power_w", Double),
    Column("energy_lifetime_wh", Double),
    Column("reading_age_s", Integer),
    Column("source", Text),
)

#: What one enabled CT measured at one instant.
METER_READINGS = _table(
    "meter_readings",
    _gateway_id(),
    _key("polled_at", UtcDateTime),
    _key("measurement", Text),
    _key("phase", Text),
    Column("power_w", Double),
    Column("delivered_wh", Double),
    Column("received_wh", Double),
    Column("voltage_v", Double),
    Column("current_a", Double),
    Column("power_factor", Double),
    Column("apparent_power_va", Double),
    Column("reactive_power_var", Double),
    Column("frequency_hz", Double),
    Column("reading_age_s", Integer),
)

#: One report of one microinverter.
INVERTER_SAMPLES = _table(
    "inverter_samples",
    _gateway_id(),
    _key("reported_at", UtcDateTime),
    _key("serial", Text),
    Column("power_w", Double),
    Column("max_power_w", Double),
    Column("energy_lifetime_wh", Double),
    Column("energy_interval_wh", Double),
    Column("interval_s", Integer),
    Column("dc_voltage_v", Double),
    Column("dc_current_a", Double),
    Column("ac_voltage_v", Double),
    Column("ac_current_a", Double),
    Column("frequency_hz", Double),
    Column("temperature_c", Double),
)

#: A change worth knowing when energy is read years later.
EVENTS = _table(
    "events",
    _gateway_id(),
    _key("at", UtcDateTime),
    _key("kind", Text),
    _key("subject", Text),
    Column("detail", Text),
)


def _energy() -> list[Column[Any]]:
    return [
        Column("production_wh", Double),
        Column("consumption_wh", Double),
        Column("grid_import_wh", Double),
        Column("grid_export_wh", Double),
        Column("battery_charge_wh", Double),
        Column("battery_discharge_wh", Double),
        Column("covered_s", Integer),
        Column("bridged_wh", Double),
        Column("peak_production_w", Double),
        Column("peak_production_at", UtcDateTime),
        Column("peak_consumption_w", Double),
        Column("peak_consumption_at", UtcDateTime),
    ]


#: Energy of a quarter hour.
ENERGY_15MIN = _table(
    "energy_15min",
    _gateway_id(),
    _key("starts_at", UtcDateTime),
    _key("phase", Text),
    Column("utc_offset_s", Integer),
    *_energy(),
)

#: Energy of a local hour.
ENERGY_HOURLY = _table(
    "energy_hourly",
    _gateway_id(),
    _key("starts_at", UtcDateTime),
    _key("phase", Text),
    Column("utc_offset_s", Integer),
    Column("period_s", Integer),
    *_energy(),
)

#: Energy of a local day.
ENERGY_DAILY = _table(
    "energy_daily",
    _gateway_id(),
    _key("day", Date),
    _key("phase", Text),
    Column("period_s", Integer),
    *_energy(),
)

#: Energy of one microinverter on a local day.
INVERTER_DAILY = _table(
    "inverter_daily",
    _gateway_id(),
    _key("day", Date),
    _key("serial", Text),
    Column("energy_wh", Double),
    Column("peak_power_w", Double),
    Column("covered_s", Integer),
)

#: Where a ledger was left (internal).
ROLLUP_CHECKPOINTS = _table(
    "rollup_checkpoints",
    _gateway_id(),
    _key("ledger", Text),
    _key("at", UtcDateTime),
    Column("state", Text, nullable=False),
)

#: What every column means, for people with a SQL shell.
DATA_DICTIONARY = _table(
    "data_dictionary",
    _key("table", Text),
    _key("column", Text),
    Column("unit", Text),
    Column("meaning", Text, nullable=False),
)
