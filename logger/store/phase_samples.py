"""How SQLite keeps what a poll measured on each phase: rows of ``phase_samples``, behind three views.

production_samples, consumption_samples and meter_readings are views of it, which may be written as tables are: so that
a commit touches the pages of one table, and nothing that they share stands there thrice. Known texts are numbers, and
measured numbers whole thousandths, where these are the same number exactly: what gateways give has three decimals.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table

from logger.errors import RowRefusedError
from logger.readings import Measurement, Poll
from logger.store import models
from logger.store.database import BATCH, backend

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
_SAMPLE = ("power_w", "energy_lifetime_wh", "reading_age_s", "source")
_READING = (
    "power_w", "delivered_wh", "received_wh", "voltage_v", "current_a", "power_factor", "apparent_power_va",
    "reactive_power_var", "frequency_hz", "reading_age_s",
)  # fmt: skip
_of_sample, _of_reading = attrgetter(*_SAMPLE), attrgetter(*_READING)
_COLUMNS = (
    "gateway_id", "polled_at", "measurement", "phase", "source", "sample_power_mw", "sample_energy_mwh", "sample_age_s",
    "is_reading", "reading_age_s", "power_mw", "delivered_mwh", "received_mwh", "voltage_mv", "current_ma",
    "power_factor_milli", "apparent_power_mva", "reactive_power_mvar", "frequency_mhz",
)  # fmt: skip
_NO_READING = (0, *(None for _ in _READING))
_NO_SAMPLE = (None, None, None, None)
#: What a phase has of a measurement: what of a sample, or of a reading, is kept.
_Kept = dict[tuple[str, str], tuple[Any, ...]]
_INSERT = (
    f"INSERT INTO phase_samples ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - our own names
    "ON CONFLICT DO NOTHING"
)
#: No larger number has thousandths that SQLite and floating point both count exactly.
_MOST = 9e12


def insert(connection: Connection, gateway_id: int, at: Any, poll: Poll) -> None:
    """Store what a poll measured on each phase, at an instant as the driver takes it."""
    samples, readings = _Kept(), _Kept()
    for sample in poll.production:
        samples.setdefault((Measurement.PRODUCTION, sample.phase), _sample(*_of_sample(sample)))
    for used in poll.consumption:
        samples.setdefault((used.measurement, used.phase), _sample(*_of_sample(used)))
    for reading in poll.meter_readings:
        readings.setdefault((reading.measurement, reading.phase), _reading(*_of_reading(reading)))
    if rows := list(_rows((gateway_id, at), samples, readings)):
        connection.exec_driver_sql(_INSERT, rows)


def copy_in(connection: Connection, batches: Mapping[Table, Iterator[Sequence[Any]]]) -> None:
    """Insert rows of all views, which come in the order of their gateways and instants."""
    rows = _of_views(groupby(chain.from_iterable(batches[view]), itemgetter(0, 1)) for view in VIEWS)
    while some := list(islice(rows, BATCH)):
        connection.exec_driver_sql(_INSERT, some)


def _of_views(views: Iterable[Iterator[Any]]) -> Iterator[tuple[Any, ...]]:
    """Return the rows that views' rows are, in the order of the key; those of a view come grouped by poll."""
    left = [(view, rows, first) for view, rows in zip(VIEWS, views, strict=True) if (first := next(rows, None))]
    while left:
        poll = min(first[0] for _, _, first in left)
        samples, readings = _Kept(), _Kept()
        for place, (view, rows, first) in reversed([*enumerate(left)]):
            if first[0] == poll:
                for row in first[1]:
                    _add(view, row, samples, readings)
                following = next(rows, None)
                left[place : place + 1] = [(view, rows, following)] if following else []
        yield from _rows(poll, samples, readings)


def _add(view: Table, row: Sequence[Any], samples: _Kept, readings: _Kept) -> None:
    if view is models.PRODUCTION_SAMPLES:
        samples[Measurement.PRODUCTION, row[2]] = _sample(*row[3:])
    elif view is models.METER_READINGS:
        readings[row[2], row[3]] = _reading(*row[4:])
    elif row[2] == Measurement.PRODUCTION:
        raise RowRefusedError(
            f"A row of {view.name} is named production: its measurement is total-consumption or net-consumption."
        )
    else:
        samples[row[2], row[3]] = _sample(*row[4:])


def _rows(poll: tuple[int, Any], samples: _Kept, readings: _Kept) -> Iterator[tuple[Any, ...]]:
    """Return a row for each measurement and phase of a gateway and instant, in the order of the key."""
    for measurement, phase in sorted(samples.keys() | readings.keys()):
        key = measurement, phase
        codes = MEASUREMENTS.get(measurement, measurement), PHASES.get(phase, phase)
        yield *poll, *codes, *samples.get(key, _NO_SAMPLE), *readings.get(key, _NO_READING)


def _sample(power_w: Any, energy_lifetime_wh: Any, reading_age_s: int | None, source: str | None) -> tuple[Any, ...]:
    code = 0 if source is None else SOURCES.get(source, source)
    return code, thousandths(power_w), thousandths(energy_lifetime_wh), reading_age_s


def _reading(*values: Any) -> tuple[Any, ...]:
    return 1, values[-1], *map(thousandths, values[:-1])


def thousandths(number: Any) -> Any:
    """Return a number as it is kept: its whole thousandths as an int, or itself as a float where these are another.

    What is no number stays: a file keeps anything anywhere.
    """
    if number is None:
        return None
    try:
        if -_MOST < number < _MOST and (whole := round(number * 1000)) / 1000 == number:
            return whole
        return float(number)
    except TypeError:
        return number


def tables_of(connection: Connection, tables: Sequence[Table]) -> Sequence[Table]:
    """Return what holds the rows of these tables, of which all views are among them or none.

    To look in a view for its first or last row would be to read all rows where it has none.
    """
    others = [table for table in tables if table not in VIEWS]
    return [TABLE, *others] if backend(connection).MERGES_PHASES and len(others) < len(tables) else tables
