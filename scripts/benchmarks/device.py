"""What a poll writes: to the device, and into the database.

usage: python device.py FOLDER [POLLS]     prints it as JSON; it measures whatever version of envoylog PYTHONPATH names

Polls of a simulated gateway are stored by one process on ext4 file systems of their own, one for each
`commit_every_s`, and the same rows by sqlite3 on others. The clock is put on by a minute for each poll. What the kernel
does within a minute by itself is done after each: the journal is committed (as after five seconds), then all that is
dirty is written (as after thirty). The devices count what reaches them. Without the right to mount, what the process
caused to be written is counted instead, which leaves out the file system's own journal.
"""

import contextlib
import ctypes
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.floors import instant_of
from benchmarks.poll import START as MIDNIGHT
from benchmarks.poll import Gateway
from benchmarks.table import Row

#: When inverters report too.
START = MIDNIGHT + timedelta(hours=9)
POLLS = 240
#: The first polls ask for everything, and fill files that are new.
SETTLING = 15
MINUTE = timedelta(minutes=1)
#: commit_every_s -> the KiB that a poll may bring to the device
MOST_KIB = {60: 55, 300: 15, 900: 15}
MOST_BYTES = 2000
SECTOR_BYTES = 512
IMAGE_BYTES = 192 * 2**20
#: What else a database holds: rollups, and what does not grow.
BESIDE_SAMPLES = (
    "energy_", "inverter_daily", "inverter_hours", "panel", "rollup", "sqlite_", "alembic", "data_dictionary",
    "gateways", "meters", "inverters", "batteries", "site_states", "events", "notifications", "leases",
)  # fmt: skip
LIBC = ctypes.CDLL(None)
TEXT = "%Y-%m-%d %H:%M:%S"
#: raw tables -> their natural keys
KEYS: dict[str, str] = {
    "polls": "gateway_id, polled_at",
    "production_samples": "gateway_id, polled_at, phase",
    "consumption_samples": "gateway_id, polled_at, measurement, phase",
    "meter_readings": "gateway_id, polled_at, measurement, phase",
    "inverter_samples": "gateway_id, reported_at, serial",
}


def device(bench: Bench) -> Iterator[Row]:
    """Measure what reaches the device."""
    for commit_s, found in _measured(bench)["device"].items():
        yield Row(f"to the device a poll, commits {commit_s} s", found["ours"], "KiB", found["floor"],
                  most=MOST_KIB[int(commit_s)])  # fmt: skip


def stored(bench: Bench) -> Iterator[Row]:
    """Measure what a poll takes in the database."""
    found = _measured(bench)["stored"]
    yield Row("stored of a poll", found["ours"], "B", found["floor"], most=MOST_BYTES)


def _measured(bench: Bench) -> dict[str, Any]:
    kept = bench.directory / "device.json"
    if not kept.exists():
        folder = bench.directory / "devices"
        folder.mkdir()
        kept.write_text(bench.python("device.py", str(folder)))
    return dict(json.loads(kept.read_text()))


class Place:
    """A folder, on a file system of its own where that can be had; knows what was written."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        folder.mkdir()
        self._device = _mounted(folder, stack)
        self._handle = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, self._handle)
        self._written_kib = 0.0

    def settle(self) -> None:
        """Do what the kernel does by itself within a minute."""
        # What is part of the journal's open transaction has it committed.
        for path in (self.folder, *sorted(self.folder.rglob("*"))) if self._device is not None else ():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        LIBC.syncfs(self._handle)

    def written_kib(self) -> float:
        """Return what was written since it was asked the last time."""
        before = self._written_kib
        if self._device is not None:
            self._written_kib = (
                int(Path(f"/sys/block/{self._device}/stat").read_text().split()[6]) * SECTOR_BYTES / 1024
            )
        return self._written_kib - before

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Let it be a minute later, and count what this process writes meanwhile where no device does."""
        before = _own_kib()
        yield
        self.settle()
        if self._device is None:
            self._written_kib += _own_kib() - before


def _mounted(folder: Path, stack: contextlib.ExitStack) -> str | None:
    image = folder.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    # Blocks as on a card, and nothing left for the kernel to initialize later.
    make = "mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)
    try:
        for command in (make, ("mount", "-o", "loop", str(image), str(folder))):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        image.unlink()
        return None
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)
    source = next(line.split()[0] for line in Path("/proc/mounts").read_text().splitlines()
                  if line.split()[1] == str(folder))  # fmt: skip
    return Path(source).name


def _own_kib() -> float:
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["write_bytes"]) / 1024


class Ours:
    """What the collector does, with one `commit_every_s`."""

    def __init__(self, gateway: Gateway, place: Place, commit_s: int, stack: contextlib.ExitStack) -> None:
        from logger.collector.wiring import pollers  # noqa: PLC0415 - of the version that is measured
        from logger.settings import GatewaySettings, Settings  # noqa: PLC0415 - the same
        from logger.store.lock import CollectorDatabase  # noqa: PLC0415 - the same

        self.place, self.database, self.at = place, place.folder / "db/envoylog.db", START
        roof = GatewaySettings(
            name="roof", host=gateway.url, token=gateway.token, time_zone="UTC", peak_power_kwp=5.6, mdns=False
        )
        settings = Settings(
            database_url=f"sqlite:///{self.database}", state_dir=place.folder / "state", commit_every_s=commit_s,
            gateways=(roof,),
        )  # fmt: skip
        settings.state_dir.mkdir()
        database = stack.enter_context(closing(CollectorDatabase(settings.database_url)))
        self.poller = pollers(settings, database, {}, clock=lambda: self.at)[0]

    def poll(self, at: datetime) -> None:
        """Poll, and store when that is due."""
        self.at = at
        with self.place.counted():
            poll = self.poller.poll(at, inverters=at.minute % 5 == 0)
            if poll.outcome != "complete":
                raise SystemExit(f"a poll went wrong: {poll.error}")
            if self.poller.keeper.is_due(at) and not self.poller.keeper.store():
                raise SystemExit(f"a poll was not stored: {self.poller.keeper.error}")


class Floor:
    """The same rows by sqlite3, written when they are committed."""

    def __init__(self, place: Place, commit_s: int, stack: contextlib.ExitStack) -> None:
        self.place, self.database = place, place.folder / "db/floor.db"
        self.database.parent.mkdir()
        self._every = commit_s // 60
        self._waiting: list[dict[str, list[Any]]] = []
        self._db = stack.enter_context(closing(sqlite3.connect(self.database)))
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")

    def make(self, model: Path) -> None:
        """Make the tables."""
        with _reading(model) as db:
            for table in KEYS:
                _make(self._db, table, db.execute(f"SELECT * FROM {table} LIMIT 0"))

    def add(self, rows: dict[str, list[Any]]) -> None:
        """Take the rows of a poll."""
        with self.place.counted():
            self._waiting.append(rows)
            if len(self._waiting) < self._every:
                return
            with self._db:
                for each in self._waiting:
                    for table, values in each.items():
                        _insert(self._db, table, values)
            self._waiting.clear()


def measure(folder: Path, polls: int) -> dict[str, Any]:
    """Return KiB to the device a poll, and bytes stored, of both."""
    logging.disable(logging.ERROR)
    with contextlib.ExitStack() as stack:
        gateway = Gateway("kept")
        stack.callback(gateway.stop)
        ours = {s: Ours(gateway, Place(folder / f"ours-{s}", stack), s, stack) for s in MOST_KIB}
        floors = {s: Floor(Place(folder / f"floor-{s}", stack), s, stack) for s in MOST_KIB}
        collectors: list[Ours | Floor] = [*ours.values(), *floors.values()]
        for number in range(SETTLING + polls):
            at = START + number * MINUTE
            gateway.set_clock(at)
            for collector in ours.values():
                collector.poll(at)
            rows = _rows(ours[60].database, at)
            for floor in floors.values():
                if number == 0:
                    floor.make(ours[60].database)
                floor.add(rows)
            # What is counted begins and ends with an empty log.
            if number == SETTLING - 1:
                for collector in collectors:
                    _put_in_place(collector)
                    collector.place.written_kib()
        for collector in collectors:
            _put_in_place(collector)
        each_kib = [each.place.written_kib() / polls for each in collectors]
        found = zip(each_kib[: len(ours)], each_kib[len(ours) :], strict=True)
        kib = {s: {"ours": first, "floor": second} for s, (first, second) in zip(MOST_KIB, found, strict=True)}
        return {
            "device": kib,
            "stored": {"ours": _stored(ours[60].database), "floor": _stored(_coded(ours[60].database))},
        }


def _put_in_place(collector: Ours | Floor) -> None:
    """Do what comes after some hours: what is in the log goes into its place."""
    with collector.place.counted(), closing(sqlite3.connect(collector.database)) as db:
        db.execute("PRAGMA wal_checkpoint")


def _rows(path: Path, at: datetime) -> dict[str, list[Any]]:
    """Return what one poll brought, by table."""
    span = (at - MINUTE).strftime(TEXT), at.strftime(TEXT)
    with _reading(path) as db:
        selects = {
            table: f"SELECT * FROM {table} WHERE {instant_of(table)} > ? AND {instant_of(table)} <= ?" for table in KEYS
        }
        return {table: db.execute(select, span).fetchall() for table, select in selects.items()}


def _stored(path: Path) -> float:
    """Return the bytes a poll of all that holds samples."""
    with _reading(path) as db:
        polls = int(db.execute("SELECT count(*) FROM polls").fetchone()[0])
        taken = db.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name")
        return sum(size for name, size in taken if not name.removeprefix("ix_").startswith(BESIDE_SAMPLES)) / polls


def _coded(path: Path) -> Path:
    """Return a database of the same samples, whose times and texts are numbers."""
    target = path.with_name("coded.db")
    with _reading(path) as db, closing(sqlite3.connect(target)) as out, out:
        codes: dict[Any, int] = {}

        def coded(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            with contextlib.suppress(ValueError):
                return int(datetime.fromisoformat(value).timestamp())
            return codes.setdefault(value, len(codes))

        for table, key in KEYS.items():
            found = db.execute(f"SELECT * FROM {table} ORDER BY {key}")
            rows = [tuple(map(coded, row)) for row in found]
            _make(out, table, found)
            _insert(out, table, rows)
    return target


def _reading(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


def _make(db: sqlite3.Connection, table: str, model: sqlite3.Cursor) -> None:
    names = [column[0] for column in model.description]
    db.execute(f"CREATE TABLE {table} ({', '.join(names)}, PRIMARY KEY ({KEYS[table]})) WITHOUT ROWID")


def _insert(db: sqlite3.Connection, table: str, rows: list[Any]) -> None:
    if rows:
        db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else POLLS)))
