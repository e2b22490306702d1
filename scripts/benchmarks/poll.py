"""What a poll costs in CPU, beside its floor: the same requests by http.client, the same rows by sqlite3.

usage: python poll.py [--minutes N] [--connection new|kept] [--parts]     prints JSON; it measures whatever version of
envoylog PYTHONPATH names.

One process polls a simulated gateway with three phases and 20 inverters over HTTPS in turns: once as the collector
does (asked, stored, rolled up), once as the floor. The gateway is another process, whose clock is put on by a minute
for each poll; with ``new`` it ends all connections between polls, as gateways do.
"""

import argparse
import contextlib
import http.client
import json
import logging
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.table import Row

#: From midnight in the site's zone on: what is rolled up of a day grows until the next.
START = datetime(2026, 6, 15, 0, tzinfo=UTC)
POLL_EVERY = timedelta(seconds=60)
DAY = 1440
INVERTERS = 20
#: connections -> how many floors a poll may take
BOUNDS = {"new": 2.5, "kept": 4.0}
SETTLING = 20
READINGS, PRODUCTION, UNITS = "/ivp/meters/readings", "/production.json?details=1", "/ivp/pdm/device_data"
NAMES = ("activePower", "actEnergyDlvd", "actEnergyRcvd", "voltage", "current", "pwrFactor", "apparentPower",
         "reactivePower", "freq")  # fmt: skip
TABLES = """
CREATE TABLE polls (at TEXT PRIMARY KEY, took_s REAL, outcome TEXT) WITHOUT ROWID;
CREATE TABLE readings (at TEXT, eid INTEGER, phase TEXT, w REAL, dlvd REAL, rcvd REAL, v REAL, a REAL, pf REAL, va REAL,
    var REAL, hz REAL, PRIMARY KEY (at, eid, phase)) WITHOUT ROWID;
CREATE TABLE samples (at TEXT, kind TEXT, phase TEXT, w REAL, wh REAL, PRIMARY KEY (at, kind, phase)) WITHOUT ROWID;
CREATE TABLE units (at TEXT, serial TEXT, w REAL, j REAL, PRIMARY KEY (at, serial)) WITHOUT ROWID;
"""


class Relay:
    """Passes bytes on to a port until it is told to drop all connections."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """End all connections."""
        gone, self._open = self._open, []
        for end in gone:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # Closed once nobody reads it: its number may be another's then.


def serve(*, drops: bool) -> None:
    """Serve a gateway; each line of stdin is the time it is then."""
    from logger.simulator.numbers import Model  # noqa: PLC0415 - of the version that is measured
    from logger.simulator.server import GatewayServer, Simulation  # noqa: PLC0415
    from logger.simulator.site import Shape, SimulatedClock  # noqa: PLC0415

    clock = SimulatedClock(START, speed=0)
    simulation = Simulation(shape=Shape(phases=3, inverters=INVERTERS), model=Model(cts="net"), clock=clock)
    server = GatewayServer(simulation)
    relay = Relay(urlsplit(server.url).port or 443)
    print(f"https://127.0.0.1:{relay.port}", simulation.token(days=300), flush=True)
    for line in sys.stdin:
        clock.set(datetime.fromtimestamp(int(line), UTC))
        if drops:
            relay.drop()
        print(flush=True)


class Gateway:
    """The simulated gateway in its process."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.url, self.token = self._told().split()

    def _told(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        return self._process.stdout.readline()

    def set_clock(self, at: datetime) -> None:
        """Set what its clock shows."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(f"{int(at.timestamp())}\n")
        self._process.stdin.flush()
        self._told()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class Floor:
    """The least that a poll can do: ask, parse, insert, commit."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        parts = urlsplit(gateway.url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=10, context=context)
        self._headers = {"Authorization": f"Bearer {gateway.token}", "User-Agent": "floor", "Accept": "*/*"}
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(TABLES)

    def _get(self, path: str) -> Any:
        self._connection.request("GET", path, headers=self._headers)
        return json.loads(self._connection.getresponse().read())

    def poll(self, at: datetime, *, inverters: bool, is_new: bool) -> None:
        """Ask once and store it."""
        if is_new:
            self._connection.close()
        text = at.strftime("%Y-%m-%d %H:%M:%S")
        readings, samples, units = [], [], []
        for item in self._get(READINGS):
            for phase, part in (("total", item), *zip(("L1", "L2", "L3"), item["channels"], strict=False)):
                if "activePower" not in part:
                    continue
                readings.append((text, item["eid"], phase, *(part.get(name) for name in NAMES)))
                samples.append((text, str(item["eid"]), phase, part["activePower"], part["actEnergyDlvd"]))
                samples.append((text, f"used {item['eid']}", phase, part["activePower"], part["actEnergyRcvd"]))
        page = self._get(PRODUCTION)
        assert page["production"]  # noqa: S101 - the gateway is ours
        if inverters:
            for device in self._get(UNITS).values():
                if isinstance(device, dict) and device.get("devName") == "pcu":
                    channel = device["channels"][0]
                    row = (channel["lastReading"]["endDate"], device["sn"], channel["watts"]["now"],
                           channel["lifetime"]["joulesProduced"])  # fmt: skip
                    units.append(row)
        self._db.execute("INSERT INTO polls VALUES (?, 0.1, 'complete')", (text,))
        self._db.executemany("INSERT INTO readings VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", readings)
        self._db.executemany("INSERT INTO samples VALUES (?,?,?,?,?)", samples)
        self._db.executemany("INSERT OR IGNORE INTO units VALUES (?,?,?,?)", units)
        self._db.commit()


class Ours:
    """What the collector does with a gateway."""

    def __init__(self, gateway: Gateway, directory: Path) -> None:
        from logger.collector.wiring import pollers  # noqa: PLC0415 - of the version that is measured
        from logger.settings import GatewaySettings, Settings  # noqa: PLC0415
        from logger.store.database import opened  # noqa: PLC0415
        from logger.store.lock import CollectorDatabase  # noqa: PLC0415
        from logger.store.schema import upgrade  # noqa: PLC0415

        self.at = START
        roof = GatewaySettings(
            name="roof", host=gateway.url, token=gateway.token, time_zone="UTC", peak_power_kwp=5.6, mdns=False
        )
        url = f"sqlite:///{directory}/site.db"
        settings = Settings(database_url=url, state_dir=directory, gateways=(roof,))
        with opened(url) as engine:
            upgrade(engine)
        # As the daemon: what waits lies where a killed process leaves it.
        database = CollectorDatabase(url)
        self.poller: Any = pollers(settings, database, {}, clock=lambda: self.at)[0]
        self.asking_s = self.rolling_s = 0.0
        self._time_rollups()

    def _time_rollups(self) -> None:
        from logger.collector import keeper  # noqa: PLC0415 - of the version that is measured

        def timed(roll_up: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **options: Any) -> Any:
                began = time.process_time()
                found = roll_up(*args, **options)
                self.rolling_s += time.process_time() - began
                return found

            return run

        for name in {"bring_up_to_date", "roll_up"} & vars(keeper).keys():
            setattr(keeper, name, timed(getattr(keeper, name)))

    def poll(self, at: datetime, *, inverters: bool) -> None:
        """Poll once, store it, roll up."""
        self.at, began = at, time.process_time()
        poll = self.poller.poll(at, inverters=inverters)
        self.asking_s += time.process_time() - began
        if not self.poller.keeper.store() or poll.outcome != "complete":
            raise SystemExit(f"a poll went wrong: {poll.error or self.poller.keeper.error}")


def measure(kind: str, minutes: int, profile: Callable[[], Any] = contextlib.nullcontext) -> dict[str, float]:
    """Return the CPU milliseconds per poll of both, and the resident MB at the end."""
    logging.disable(logging.ERROR)
    taken: dict[str, list[float]] = defaultdict(list)
    is_new = kind == "new"
    with tempfile.TemporaryDirectory(prefix="envoylog-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        gateway = Gateway(kind)
        stack.callback(gateway.stop)
        ours, floor = Ours(gateway, directory), Floor(gateway, directory / "floor.db")
        for number in range(SETTLING + minutes):
            at = START + number * POLL_EVERY
            if number == SETTLING:
                ours.asking_s = ours.rolling_s = 0.0
            gateway.set_clock(at)
            due = number % 5 == 0

            def floor_poll(at: datetime = at, *, due: bool = due) -> None:
                floor.poll(at, inverters=due, is_new=is_new)

            def our_poll(at: datetime = at, *, due: bool = due) -> None:
                with profile():
                    ours.poll(at, inverters=due)

            turns = [("floor", floor_poll), ("ours", our_poll)]
            for who, poll in turns if number % 2 else reversed(turns):
                began = time.process_time()
                poll()
                if number >= SETTLING:
                    taken[who].append(1000 * (time.process_time() - began))
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    means = {who: sum(each) / len(each) for who, each in taken.items()}
    parts = {"asking": ours.asking_s, "rolling up": ours.rolling_s}
    means |= {name: 1000 * part_s / minutes for name, part_s in parts.items()}
    return {**means, "ratio": means["ours"] / means["floor"], "resident_mb": resident}


def poll(bench: Bench) -> Iterator[Row]:
    """Measure the polls of a day, on a connection that is new for each and on one that is kept."""
    for kind, bound in BOUNDS.items():
        found = json.loads(bench.python("poll.py", "--connection", kind))
        yield Row(f"poll, {kind} connection", found["ours"], "ms", found["floor"], bound=bound)


@contextlib.contextmanager
def _profiled(into: Any) -> Iterator[None]:
    into.enable()
    yield
    into.disable()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=DAY)
    parser.add_argument("--connection", choices=("new", "kept"), action="append")
    parser.add_argument("--parts", action="store_true", help="say where the time goes (all of it takes longer)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(drops=chosen.serve == "new")
        return
    for kind in chosen.connection or ("new", "kept"):
        if chosen.parts:
            import cProfile  # noqa: PLC0415 - only here
            import pstats  # noqa: PLC0415

            into = cProfile.Profile()
            found = measure(kind, chosen.minutes, lambda into=into: _profiled(into))
            pstats.Stats(into, stream=sys.stderr).sort_stats("cumulative").print_stats(70)
        else:
            found = measure(kind, chosen.minutes)
        print(json.dumps({"connection": kind} | {name: round(value, 3) for name, value in found.items()}), flush=True)


if __name__ == "__main__":
    main()
