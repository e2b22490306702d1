"""What a roll-up leaves as it was, it does not write: of a file, few pages change each quarter hour."""

import struct
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import open_engine
from tests.rollups.test_rollups import fill_more
from tests.sample_data import fill, fill_inverters, times, utc

SINCE = utc(2026, 6, 15, 9)


def written(engine: Engine, work: Callable[[], object]) -> Counter[str]:
    """Return of which tables and indexes how many pages the log has of some work."""
    with engine.begin() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    work()
    log = Path(f"{engine.url.database}-wal").read_bytes()
    (page_bytes,) = struct.unpack(">I", log[8:12])
    pages = {struct.unpack(">I", log[at : at + 4])[0] for at in range(32, len(log), 24 + page_bytes)}
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT pageno, name FROM dbstat")
        return Counter(name for page, name in found if page in pages)


def test_within_an_hour_a_roll_up_touches_no_index_of_days_and_hours(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    site, shares = Site(Shape(phases=3), SINCE - timedelta(days=1)), dict.fromkeys(map(str, range(20)), 0.05)
    batches = [times(SINCE + timedelta(minutes=n), SINCE + timedelta(minutes=n + 14), 60) for n in (0, 15, 30)]
    fill(engine, site, batches[0], zone="UTC")
    found: Counter[str] = Counter()
    for number, batch in enumerate(batches):
        if number:
            fill_more(engine, site, batch)
        fill_inverters(engine, site, batch[4::5], shares)
        found = written(engine, lambda batch=batch: rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900))  # type: ignore[misc]
    assert {"energy_15min", "energy_hourly", "energy_daily", "inverter_daily", "rollup_checkpoints"} <= found.keys()
    indexes = {name for name in found if name.startswith("ix_")}
    assert {name for name in indexes if not name.startswith("ix_energy_15min_")} == set()
    # Where it was left takes a page beside its row, for three phases.
    assert found["rollup_checkpoints"] == 2
    assert found.total() <= 16
    engine.dispose()


def test_what_is_counted_anew_and_stays_the_same_is_not_written(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    at = times(SINCE, SINCE + timedelta(hours=30), 900)
    fill(engine, Site(Shape(phases=2), SINCE - timedelta(days=1)), at, zone="UTC")
    rollup.bring_up_to_date(engine, 1, now=at[-1], gap_s=900)

    def again() -> None:
        with engine.begin() as connection:
            rollup.rebuild(connection, 1, now=at[-1], gap_s=900, since=SINCE.date())

    assert written(engine, again).keys() == {"rollup_checkpoints", "sqlite_schema"}
    engine.dispose()
