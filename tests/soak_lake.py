"""A fleet's report from a lake, counted by a Dask cluster of two workers, against the database's; one worker is killed.

Run it with ``scripts/soak lake``.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from logger.cli import run
from logger.errors import CheckFailedError
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from logger.store.schema import upgrade
from tests.sample_data import fill, times, utc

SINCE = utc(2026, 5, 20)
STEP_S = 600
ZONES = ("Europe/Amsterdam", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")
#: Of each sample table, the columns that a site's size multiplies.
SIZES = {
    "production_samples": ("power_w", "energy_lifetime_wh"),
    "consumption_samples": ("power_w", "energy_lifetime_wh"),
    "meter_readings": ("power_w", "delivered_wh", "received_wh"),
    "polls": (),
}


def lake(directory: Path, database_url: str, count: int, days: int, seed: int) -> int:
    """Compare the reports of a fleet; return 0 if they are equal to the last digit."""
    chance, until = random.Random(seed), SINCE + timedelta(days=days)
    with opened(database_url) as engine:
        upgrade(engine)
        site = Site(Shape(phases=1), SINCE - timedelta(days=1))
        fill(engine, site, times(SINCE, until, STEP_S), zone=ZONES[0])
        with engine.begin() as connection:
            for number in range(2, count + 1):
                _another(connection, number, chance)
        began_s = time.monotonic()
        for number in range(1, count + 1):
            rollup.bring_up_to_date(engine, number, now=until, gap_s=2 * STEP_S + STEP_S // 2)
        click.echo(f"{count} gateways, {days} days: rolled up in {time.monotonic() - began_s:.1f} s")
    folder = directory / "lake"
    _timed("exported", "--database-url", database_url, "export", "all", "--format", "parquet", "-o", str(folder))
    whole = _report(directory, "--database-url", database_url)
    found = {"here": _report(directory, "--lake", str(folder))}
    with cluster(directory) as (url, workers):
        found["two workers"] = _report(directory, "--lake", str(folder), "--scheduler", url)
        killer = threading.Timer(5, os.kill, (workers[0].pid, signal.SIGKILL))
        killer.start()
        found["one of them killed"] = _report(directory, "--lake", str(folder), "--scheduler", url)
        killer.join()
        if workers[0].wait(5) != -signal.SIGKILL:
            raise CheckFailedError("no worker was killed")
    different = [name for name, rows in found.items() if rows != whole]
    for name in different:
        click.echo(f"{name}: not what the database says", err=True)
    click.echo(f"{len(whole)} gateways, {len(found) - len(different)} of {len(found)} reports equal the database's")
    return CheckFailedError.exit_code if different or len(whole) != count else 0


def _another(connection: Any, number: int, chance: random.Random) -> None:
    """Add a gateway like the first, of another size and zone, with a gap."""
    size, gap = chance.uniform(0.3, 3), SINCE + timedelta(hours=chance.randint(1, 200))
    zone = chance.choice(ZONES)
    connection.execute(
        text(
            "INSERT INTO gateways (gateway_id, name, serial, firmware, time_zone, phase_count, peak_power_kwp) "
            f"SELECT {number}, 'site{number}', 'serial{number}', firmware, '{zone}', 1, peak_power_kwp * {size} "
            "FROM gateways WHERE gateway_id = 1"
        )
    )
    for table, sized in SIZES.items():
        columns = [row[0] for row in connection.execute(text(f"SELECT * FROM {table} LIMIT 0")).cursor.description]
        values = [f"{name} * {size}" if name in sized else name for name in columns]
        connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {number}, {', '.join(values[1:])} FROM {table} "
                "WHERE gateway_id = 1 AND NOT polled_at BETWEEN "
                f"'{gap:%Y-%m-%d %H:%M:%S}' AND '{gap + timedelta(hours=3):%Y-%m-%d %H:%M:%S}'"
            )
        )


@contextmanager
def cluster(directory: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers of one thread each, as a person would."""
    processes: list[subprocess.Popen[bytes]] = []

    def started(name: str, *args: str) -> Path:
        log = directory / f"{name}.log"
        command = [sys.executable, "-m", "distributed.cli.dask_" + name.rstrip("12"), *args]
        with log.open("wb") as out:
            processes.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=directory))
        return log

    try:
        log = started("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not (found := re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text())):
            time.sleep(0.1)
        for number in (1, 2):
            started(f"worker{number}", found[1], "--nthreads", "1", "--no-nanny", "--no-dashboard")
        time.sleep(5)
        yield found[1], processes[1:]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _report(directory: Path, *args: str) -> list[dict[str, Any]]:
    out = directory / "report.json"
    given = ["--from", f"{SINCE:%Y-%m-%d}", "--to", "2026-12-31", "--format", "json", "-o", str(out)]
    url = [] if "--lake" in args else args
    _timed(" ".join(args[-3:]), *url, "fleet", "report", *(args if "--lake" in args else ()), *given)
    # It says how long ago now is.
    return [{key: row[key] for key in row if key not in {"silent_s", "note"}} for row in json.loads(out.read_text())]


def _timed(what: str, *args: str) -> None:
    began_s = time.monotonic()
    if code := run(list(args)):
        raise CheckFailedError(f"{' '.join(args)} ended with {code}")
    click.echo(f"{time.monotonic() - began_s:8.1f} s  {what}")
