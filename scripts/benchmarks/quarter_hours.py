"""Rolls the last twelve hours up again, a quarter hour at a time, as the collector does.

usage: python quarter_hours.py DATABASE SINCE     prints the CPU milliseconds of each, as JSON

It runs against whatever version of envoylog PYTHONPATH names: the inside of older ones is called otherwise.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

TABLES = ("production_samples", "consumption_samples", "meter_readings")
TEXT = "%Y-%m-%d %H:%M:%S"


def roller() -> Callable[[Any, datetime], None]:
    """Return what brings the rollups of gateway 1 up to date."""
    try:
        from logger.rollups import build, inverters  # noqa: PLC0415 - until 0.1
    except ImportError:
        from logger.rollups import rollup  # noqa: PLC0415 - since 0.2

        return lambda engine, now: rollup.bring_up_to_date(engine, 1, now=now, gap_s=900)

    def bring_up_to_date(engine: Any, now: datetime) -> None:
        build.bring_up_to_date(engine, 1, now=now, gap_s=900)
        inverters.bring_inverters_up_to_date(engine, 1, now=now)

    return bring_up_to_date


def taken_ms(path: Path, since: datetime) -> list[float]:
    """Take twelve hours of samples out, put them back by quarter hours, and time each rollup."""
    from logger.store.database import open_engine  # noqa: PLC0415 - beside what roller() finds

    bring_up_to_date = roller()
    taken = []
    with closing(sqlite3.connect(path)) as db:
        db.execute("ATTACH ':memory:' AS late")
        for name in TABLES:
            db.execute(f"CREATE TABLE late.{name} AS SELECT * FROM {name} WHERE polled_at > ?",
                       (since.strftime(TEXT),))  # fmt: skip
            db.execute(f"DELETE FROM {name} WHERE polled_at > ?", (since.strftime(TEXT),))
        db.execute("DELETE FROM rollup_checkpoints WHERE at > ?", (since.strftime(TEXT),))
        db.commit()
        engine = open_engine(f"sqlite:///{path}")
        for quarter in range(48):
            begin = since + timedelta(minutes=15 * quarter)
            end = begin + timedelta(minutes=15)
            for name in TABLES:
                db.execute(
                    f"INSERT INTO main.{name} SELECT * FROM late.{name} WHERE polled_at > ? AND polled_at <= ?",
                    (begin.strftime(TEXT), end.strftime(TEXT)),
                )
            db.commit()
            before = time.process_time()
            bring_up_to_date(engine, end)
            taken.append(1000 * (time.process_time() - before))
        engine.dispose()
    return taken


if __name__ == "__main__":
    print(json.dumps(taken_ms(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))))
