"""How SQLite keeps what a poll measured on each phase: rows of ``phase_samples``, behind three views.

production_samples, consumption_samples and meter_readings are views of it, which may be written as tables are: so that
a commit touches the pages of one table, and nothing that they share stands there thrice. Known texts are numbers, and
measured numbers whole thousandths, where these are the same number exactly: what gateways give has three decimals.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table

from logger.readings import ConsumptionSample, Measurement, Poll, ProductionSample
from logger.store import models
from logger.store.database import backend

#: The three tables that are views of it.
VIEWS = (models.PRODUCTION_SAMPLES, models.CONSUMPTION_SAMPLES, models.METER_READINGS)
#: What of it is asked for, and deleted, by itself; migration 0018 has the rest.
TABLE = Table(
    "phase_samples",
    sa.MetaData(),
    Column("gateway_id", sa.SmallInteger),
    Column("polled_at", models.UtcDateTime),
    Column("reading_age_s", sa.Integer),
    Column("sample_age_s", sa.Integer),
)
MEASUREMENTS = {"net-consumption": 0, "production": 1, "storage": 2, "total-consumption": 3}
PHASES = {"L1": 0, "L2": 1, "L3": 2, "total": 3}
SOURCES = {"ct": 1, "eim": 2, "v1": 3, "inverters": 4, "html": 5, "derived": 6}
_MEASURED = (
    "power_w", "delivered_wh", "received_wh", "voltage_v", "current_a", "power_factor", "apparent_power_va",
    "reactive_power_var", "frequency_hz",
)  # fmt: skip
_measured = attrgetter(*_MEASURED)
_COLUMNS = (
    "gateway_id", "polled_at", "measurement", "phase", "source", "sample_power_mw", "sample_energy_mwh", "sample_age_s",
    "is_reading", "reading_age_s", "power_mw", "delivered_mwh", "received_mwh", "voltage_mv", "current_ma",
    "power_factor_milli", "apparent_power_mva", "reactive_power_mvar", "frequency_mhz",
)  # fmt: skip
_NO_READING = (0, None, *(None for _ in _MEASURED))
_NO_SAMPLE = (None, None, None, None)
_INSERT = (
    f"INSERT INTO phase_samples ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - our own names
    "ON CONFLICT DO NOTHING"
)
#: No larger number has thousandths that SQLite and floating point both count exactly.
_MOST = 9e12


def insert(connection: Connection, gateway_id: int, at: Any, poll: Poll) -> None:
    """Store what a poll measured on each phase, at an instant as the driver takes it."""
    if rows := [(gateway_id, at, *row) for row in _rows(poll)]:
        connection.exec_driver_sql(_INSERT, rows)


def _rows(poll: Poll) -> Iterable[tuple[Any, ...]]:
    """Return a row for each measurement and phase, without the gateway and the instant, in the order of the key."""
    samples: dict[tuple[str, str], tuple[Any, ...]] = {}
    for sample in poll.production:
        samples.setdefault((Measurement.PRODUCTION, sample.phase), _sample(sample))
    for used in poll.consumption:
        samples.setdefault((used.measurement, used.phase), _sample(used))
    readings: dict[tuple[str, str], tuple[Any, ...]] = {}
    for reading in poll.meter_readings:
        values = (1, reading.reading_age_s, *map(thousandths, _measured(reading)))
        readings.setdefault((reading.measurement, reading.phase), values)
    for measurement, phase in sorted(samples.keys() | readings.keys()):
        key = measurement, phase
        codes = MEASUREMENTS.get(measurement, measurement), PHASES.get(phase, phase)
        yield *codes, *samples.get(key, _NO_SAMPLE), *readings.get(key, _NO_READING)


def _sample(sample: ProductionSample | ConsumptionSample) -> tuple[Any, ...]:
    source = SOURCES.get(sample.source, sample.source)
    return source, thousandths(sample.power_w), thousandths(sample.energy_lifetime_wh), sample.reading_age_s


def thousandths(number: float | None) -> int | float | None:
    """Return a number as it is kept: its whole thousandths as an int, or itself as a float where these are another."""
    if number is None:
        return None
    if -_MOST < number < _MOST and (whole := round(number * 1000)) / 1000 == number:
        return whole
    return float(number)


def tables_of(connection: Connection, tables: Sequence[Table]) -> Sequence[Table]:
    """Return what holds the rows of these tables, of which all views are among them or none.

    To look in a view for its first or last row would be to read all rows where it has none.
    """
    others = [table for table in tables if table not in VIEWS]
    return [TABLE, *others] if backend(connection).MERGES_PHASES and len(others) < len(tables) else tables
