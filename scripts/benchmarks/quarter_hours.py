"""Rolls the last twelve hours up again, a quarter hour at a time, as the collector does; beside it its floor.

usage: python quarter_hours.py DATABASE SINCE     prints the CPU milliseconds of each, as JSON
"""

import json
import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.floors import READ, instant_of, quarters, write
from benchmarks.site import TEXT

from logger.rollups.rollup import bring_up_to_date
from logger.store.database import open_engine

#: The samples that come late, and what they are ordered by.
TABLES = {table: instant_of(table) for table in READ}


def taken_ms(path: Path, since: datetime) -> dict[str, list[float]]:
    """Take twelve hours of samples out, put them back by quarter hours, and time each rollup."""
    taken: dict[str, list[float]] = {"rollup": [], "floor": []}
    with closing(sqlite3.connect(path)) as db:
        db.execute("ATTACH ':memory:' AS late")
        since_text = since.strftime(TEXT)
        for name, at in TABLES.items():
            db.execute(f"CREATE TABLE late.{name} AS SELECT * FROM {name} WHERE {at} > ?", (since_text,))
            db.execute(f"DELETE FROM {name} WHERE {at} > ?", (since_text,))
        db.execute("DELETE FROM rollup_checkpoints WHERE at > ?", (since_text,))
        db.commit()
        engine = open_engine(f"sqlite:///{path}")
        for quarter in range(48):
            begin = since + timedelta(minutes=15 * quarter)
            end = begin + timedelta(minutes=15)
            span = begin.strftime(TEXT), end.strftime(TEXT)
            for name, at in TABLES.items():
                db.execute(f"INSERT INTO main.{name} SELECT * FROM late.{name} WHERE {at} > ? AND {at} <= ?", span)
            db.commit()
            began = time.process_time()
            bring_up_to_date(engine, 1, now=end, gap_s=900)
            rolled_up = time.process_time()
            with db:
                write(db, quarters(db, span))
            taken["rollup"].append(1000 * (rolled_up - began))
            taken["floor"].append(1000 * (time.process_time() - rolled_up))
        engine.dispose()
    return taken


if __name__ == "__main__":
    print(json.dumps(taken_ms(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))))
