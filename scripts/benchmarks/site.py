"""Databases to measure with: a site with three phases and 20 inverters, polled each minute.

Raw samples are written by plain SQL, so that any version of envoylog reads them after its own `envoylog db upgrade`.
"""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from logger.simulator.site import Shape, Site

START = datetime(2025, 1, 1, tzinfo=UTC)
TEXT = "%Y-%m-%d %H:%M:%S"
INVERTERS = 20
COUNTERS = ("production", "standby", "grid_import", "grid_export")
INSERTS = {
    "polls": "(gateway_id, polled_at, took_s, outcome) VALUES (1, ?, 0.1, 'complete')",
    "production_samples": "(gateway_id, polled_at, phase, power_w, energy_lifetime_wh, source) "
    "VALUES (1, ?, ?, ?, ?, 'ct')",
    "consumption_samples": "(gateway_id, polled_at, measurement, phase, power_w, "
    "energy_lifetime_wh, source) VALUES (1, ?, ?, ?, ?, ?, ?)",
    "meter_readings": "(gateway_id, polled_at, measurement, phase, power_w, delivered_wh, "
    "received_wh) VALUES (1, ?, ?, ?, ?, ?, ?)",
    "inverter_samples": "(gateway_id, reported_at, serial, energy_lifetime_wh) VALUES (1, ?, ?, ?)",
}


def fill(path: Path, days: int) -> None:
    """Write raw samples as the collector would, into a database that has the tables."""
    site = Site(Shape(phases=3, inverters=INVERTERS), START - timedelta(days=1))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO gateways (gateway_id, name, serial, time_zone, peak_power_kwp) "
            "VALUES (1, 'roof', 's', 'Europe/Amsterdam', 5.6)"
        )
        for day in range(days):
            _fill_day(db, site, START + timedelta(days=day))
            db.commit()


def _fill_day(db: sqlite3.Connection, site: Site, day: datetime) -> None:
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in INSERTS}
    for minute in range(1440):
        at = day + timedelta(minutes=minute)
        polled_at, at_s = at.strftime(TEXT), at.timestamp()
        rows["polls"].append((polled_at,))
        for phase in site.phases:
            key = (polled_at, f"L{phase}" if phase else "total")
            powers = site.powers(at_s, phase)
            produced_wh, standby_wh, import_wh, export_wh = (
                5e6 + site.counter_wh(name, at_s, phase) for name in COUNTERS
            )
            rows["production_samples"].append((*key, powers.production, produced_wh))
            for measurement, power_w, delivered_wh, received_wh in (
                ("production", powers.production, produced_wh, standby_wh),
                ("net-consumption", powers.net, import_wh, export_wh),
            ):
                rows["meter_readings"].append((key[0], measurement, key[1], power_w, delivered_wh, received_wh))
            for measurement, power_w, energy_wh, source in (
                ("net-consumption", powers.net, import_wh - export_wh, "ct"),
                ("total-consumption", powers.load, produced_wh - standby_wh + import_wh - export_wh, "derived"),
            ):
                rows["consumption_samples"].append((key[0], measurement, key[1], power_w, energy_wh, source))
        if minute % 5 == 0:
            each_wh = site.counter_wh("production", at_s) / INVERTERS
            rows["inverter_samples"] += [(polled_at, f"12{n:04d}", each_wh) for n in range(INVERTERS)]
    for table, columns in INSERTS.items():
        db.executemany(f"INSERT INTO {table} {columns}", rows[table])


def copied(source: Path, target: Path) -> Path:
    """Copy a database that nobody has open, and return the copy."""
    with closing(sqlite3.connect(source)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for leftover in (target, Path(f"{target}-wal"), Path(f"{target}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    return target


#: rollups -> when a row's period begins
PERIODS = {
    "energy_15min": "starts_at", "energy_hourly": "starts_at", "energy_daily": "day", "inverter_daily": "day",
    "panel_daily": "day",
}  # fmt: skip


def repeated(path: Path, days: int, times: int) -> None:
    """Give a rolled up database the same rollups again, so many times before its own."""
    with closing(sqlite3.connect(path)) as db, db:
        for table, period in PERIODS.items():
            if not (names := [row[1] for row in db.execute(f"PRAGMA table_info({table})")]):
                continue  # It came later than this version.
            form = "%Y-%m-%d" if period == "day" else TEXT
            earlier = f"strftime('{form}', {period}, format('-%d days', {days} * number))"
            values = ", ".join(earlier if name == period else name for name in names)
            db.execute(
                f"WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers "
                f"WHERE number < {times}) INSERT OR IGNORE INTO {table} SELECT {values} FROM numbers, {table}"
            )
