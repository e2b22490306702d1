"""The schema on one page. Migrations make it; a test keeps the two alike.

Natural keys: the gateway first, then time, then the series. Everything outside a key may be
missing, so that tables can be filled by plain SQL too. Units end names.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, Double, ForeignKey, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from logger.store.database import UtcDateTime

CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables; a row lies where its key says (SQLite: WITHOUT ROWID)."""

    metadata = MetaData(naming_convention=CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's way
        datetime: UtcDateTime,
        float: Double,
        str: Text,
        date: Date,
    }
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - the same


def table_of(model: type[Any]) -> Table:
    """Return a model's table, for Core statements."""
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - a declared model has one
    return table


class _OfGateway:
    @declared_attr
    @classmethod
    def gateway_id(cls) -> Mapped[int]:
        """Which gateway; part of every key."""
        return mapped_column(
            SmallInteger, ForeignKey("gateways.gateway_id"), primary_key=True, sort_order=-2
        )


class _Polled(_OfGateway):
    polled_at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-1)


class GatewayRow(Base):
    """One gateway, by its serial."""

    __tablename__ = "gateways"

    gateway_id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str | None]
    serial: Mapped[str] = mapped_column(unique=True)
    part_number: Mapped[str | None]
    firmware: Mapped[str | None]
    is_metered: Mapped[bool | None]
    phase_mode: Mapped[str | None]
    phase_count: Mapped[int | None]
    time_zone: Mapped[str | None]
    peak_power_kwp: Mapped[float | None]
    first_seen_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]


class MeterRow(_OfGateway, Base):
    """One CT slot, as last seen."""

    __tablename__ = "meters"

    measurement: Mapped[str | None]
    eid: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str | None]
    metering_status: Mapped[str | None]
    status_flags: Mapped[str | None]
    phase_mode: Mapped[str | None]
    phase_count: Mapped[int | None]


class InverterRow(_OfGateway, Base):
    """One microinverter."""

    __tablename__ = "inverters"

    serial: Mapped[str] = mapped_column(primary_key=True)
    device_type: Mapped[int | None]
    first_seen_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]


class PollRow(_Polled, Base):
    """One poll and how it ended."""

    __tablename__ = "polls"

    took_s: Mapped[float | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]


class ProductionSampleRow(_Polled, Base):
    """Production at one instant."""

    __tablename__ = "production_samples"

    phase: Mapped[str] = mapped_column(primary_key=True)
    power_w: Mapped[float | None]
    energy_lifetime_wh: Mapped[float | None]
    reading_age_s: Mapped[int | None]
    source: Mapped[str | None]


class ConsumptionSampleRow(_Polled, Base):
    """Consumption, total or net, at one instant."""

    __tablename__ = "consumption_samples"

    measurement: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(primary_key=True)
    power_w: Mapped[float | None]
    energy_lifetime_wh: Mapped[float | None]
    reading_age_s: Mapped[int | None]
    source: Mapped[str | None]


class MeterReadingRow(_Polled, Base):
    """What one enabled CT said at one instant."""

    __tablename__ = "meter_readings"

    measurement: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(primary_key=True)
    power_w: Mapped[float | None]
    delivered_wh: Mapped[float | None]
    received_wh: Mapped[float | None]
    voltage_v: Mapped[float | None]
    current_a: Mapped[float | None]
    power_factor: Mapped[float | None]
    apparent_power_va: Mapped[float | None]
    reactive_power_var: Mapped[float | None]
    frequency_hz: Mapped[float | None]
    reading_age_s: Mapped[int | None]


class InverterSampleRow(_OfGateway, Base):
    """One report of one microinverter."""

    __tablename__ = "inverter_samples"

    reported_at: Mapped[datetime] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(primary_key=True)
    power_w: Mapped[float | None]
    max_power_w: Mapped[float | None]
    energy_lifetime_wh: Mapped[float | None]
    energy_interval_wh: Mapped[float | None]
    interval_s: Mapped[int | None]
    dc_voltage_v: Mapped[float | None]
    dc_current_a: Mapped[float | None]
    ac_voltage_v: Mapped[float | None]
    ac_current_a: Mapped[float | None]
    frequency_hz: Mapped[float | None]
    temperature_c: Mapped[float | None]


class EventRow(_OfGateway, Base):
    """A change worth knowing when energy is read years later."""

    __tablename__ = "events"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    detail: Mapped[str | None]


class _Energy(_OfGateway):
    production_wh: Mapped[float | None]
    consumption_wh: Mapped[float | None]
    grid_import_wh: Mapped[float | None]
    grid_export_wh: Mapped[float | None]
    battery_charge_wh: Mapped[float | None]
    battery_discharge_wh: Mapped[float | None]
    covered_s: Mapped[int | None] = mapped_column(Integer)
    bridged_wh: Mapped[float | None]
    peak_production_w: Mapped[float | None]
    peak_production_at: Mapped[datetime | None]
    peak_consumption_w: Mapped[float | None]
    peak_consumption_at: Mapped[datetime | None]


class Energy15MinRow(_Energy, Base):
    """Energy of a quarter hour."""

    __tablename__ = "energy_15min"

    starts_at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-1)
    phase: Mapped[str] = mapped_column(primary_key=True, sort_order=-1)
    utc_offset_s: Mapped[int | None] = mapped_column(sort_order=-1)


class EnergyHourlyRow(_Energy, Base):
    """Energy of a local hour."""

    __tablename__ = "energy_hourly"

    starts_at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-1)
    phase: Mapped[str] = mapped_column(primary_key=True, sort_order=-1)
    utc_offset_s: Mapped[int | None] = mapped_column(sort_order=-1)
    period_s: Mapped[int | None] = mapped_column(sort_order=-1)


class EnergyDailyRow(_Energy, Base):
    """Energy of a local day."""

    __tablename__ = "energy_daily"

    day: Mapped[date] = mapped_column(primary_key=True, sort_order=-1)
    phase: Mapped[str] = mapped_column(primary_key=True, sort_order=-1)
    period_s: Mapped[int | None] = mapped_column(sort_order=-1)


class InverterDailyRow(_OfGateway, Base):
    """Energy of one microinverter on a local day."""

    __tablename__ = "inverter_daily"

    day: Mapped[date] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(primary_key=True)
    energy_wh: Mapped[float | None]
    peak_power_w: Mapped[float | None]
    covered_s: Mapped[int | None]


class RollupCheckpointRow(_OfGateway, Base):
    """Where a ledger was left (internal)."""

    __tablename__ = "rollup_checkpoints"

    ledger: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    state: Mapped[str]


class DictionaryRow(Base):
    """What every column means, for people with a SQL shell."""

    __tablename__ = "data_dictionary"

    table: Mapped[str] = mapped_column(primary_key=True)
    column: Mapped[str] = mapped_column(primary_key=True)
    unit: Mapped[str | None]
    meaning: Mapped[str]
