"""How much is written in a day: an SD card bears only so much."""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from logger.clock import running_s
from logger.settings import Settings
from logger.store.collectorlock import lock_path
from logger.store.database import is_file

#: What a collector wrote in a shorter time says little about a day.
LONG_ENOUGH_S = 600
#: What one commit was measured to write: pages, their log, and the spool.
COMMIT_BYTES = 48 * 1024
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Wear:
    """Megabytes a day, and who says so: collector, server or estimate."""

    written_mb_per_day: float
    written_source: str


def wear(connection: Connection, engine: Engine, settings: Settings) -> Wear:
    """Return what is written in a day, measured where that is possible."""
    measured = of_collector(engine) if is_file(engine) else _of_server(connection)
    if measured is not None and measured[1] >= LONG_ENOUGH_S:
        written, passed_s = measured
        return Wear(
            round(written / passed_s * DAY_S / 1e6, 1),
            "collector" if is_file(engine) else "server",
        )
    commits = DAY_S / max(settings.poll_every_s, settings.commit_every_s)
    estimate = commits * COMMIT_BYTES * max(1, len(settings.gateways))
    return Wear(round(estimate / 1e6, 1), "estimate")


def of_collector(engine: Engine) -> tuple[int, float] | None:
    """Return how many bytes the running collector has written, and in how many seconds.

    None when none runs, or when we may not look.
    """
    path = lock_path(engine)
    try:
        process = Path("/proc") / str(int(path.read_text()))
        # The number may by now be another process's: this one has the file open.
        if not any(one.exists() and one.samefile(path) for one in (process / "fd").iterdir()):
            return None
        told = (process / "io").read_text()
        # The name, in parentheses, may hold spaces.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    counts = dict(line.split(": ") for line in told.splitlines())
    written = int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"])
    return written, running_s() - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _of_server(connection: Connection) -> tuple[int, float] | None:
    """Return how long the server's log grew since when; PostgreSQL 14 and newer tell."""
    view = connection.exec_driver_sql("SELECT to_regclass('pg_catalog.pg_stat_wal')")
    if view.scalar_one() is None:
        return None
    written, passed_s = connection.exec_driver_sql(
        "SELECT wal_bytes, extract(epoch FROM now() - stats_reset) FROM pg_stat_wal"
    ).one()
    return None if passed_s is None else (int(written), float(passed_s))
