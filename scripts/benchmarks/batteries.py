"""What five IQ Batteries cost: CPU per poll, asked and stored, against the same site without any.

Both sites are polled in turns by one process; the clocks of collector and gateway are put on by a minute for each poll,
so that slow pages are asked for and quarter hours rolled up as often as they are.
"""

import logging
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.settings import GatewaySettings, Settings
from logger.simulator.house import Batteries
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store.database import open_engine
from logger.store.schema import upgrade

START = datetime(2026, 6, 15, 9, tzinfo=UTC)
POLL_EVERY = timedelta(seconds=60)
COUNT = 5
#: polls of a quarter hour
BLOCK = 15
SETTLING = 2 * BLOCK


def serve(count: int) -> None:
    """Serve a gateway with some batteries, in a process of its own; each line of stdin is the time it is then."""
    clock = SimulatedClock(START, speed=0)
    batteries = Batteries(count=count) if count else None
    simulation = Simulation(shape=Shape(batteries=batteries), model=Model(cts="net"), clock=clock)
    server = GatewayServer(simulation)
    print(server.url, simulation.token(days=300), flush=True)
    for line in sys.stdin:
        clock.set(datetime.fromtimestamp(int(line), UTC))
        print(flush=True)


class House:
    """A gateway, and what collects from it."""

    def __init__(self, directory: Path, count: int) -> None:
        command = [sys.executable, "-c", f"from benchmarks.batteries import serve; serve({count})"]
        environ = {"PYTHONPATH": ":".join(sys.path)}
        self.gateway = subprocess.Popen(command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        url, token = (self.gateway.stdout.readline() if self.gateway.stdout else "").split()
        self.at, self.polls = START, 0
        directory.mkdir()
        roof = GatewaySettings(name="roof", host=url, token=token, time_zone="UTC", mdns=False)
        database_url = f"sqlite:///{directory}/site.db"
        settings = Settings(database_url=database_url, state_dir=directory, gateways=(roof,))
        engine = open_engine(database_url)
        upgrade(engine)
        self.poller: Poller = pollers(settings, engine, {}, clock=lambda: self.at)[0]

    def poll_s(self) -> float:
        """Return the CPU seconds of one poll, asked and stored."""
        self.at, self.polls = self.at + POLL_EVERY, self.polls + 1
        if self.gateway.stdin and self.gateway.stdout:
            self.gateway.stdin.write(f"{int(self.at.timestamp())}\n")
            self.gateway.stdin.flush()
            self.gateway.stdout.readline()
        began = time.process_time()
        poll = self.poller.poll(self.at, inverters=self.polls % 5 == 0)
        if not self.poller.keeper.store() or poll.outcome != "complete":
            raise SystemExit(f"a poll went wrong: {poll.error or self.poller.keeper.error}")
        return time.process_time() - began


def compare_batteries(blocks: int = 60) -> None:
    """Measure and print, by quarter hours of polls."""
    logging.disable(logging.ERROR)
    taken_ms: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory(prefix="envoylog-bench-") as name:
        houses = [House(Path(name) / str(count), count) for count in (0, COUNT)]
        for house in houses:
            for _ in range(SETTLING):
                house.poll_s()
        for _ in range(blocks):
            for house, taken in zip(houses, taken_ms, strict=True):
                taken.append(1000 * sum(house.poll_s() for _ in range(BLOCK)) / BLOCK)
        for house in houses:
            house.gateway.terminate()
    print(f"CPU per poll, {blocks} quarter hours of polls each minute       least   median     mean")
    rows = [(min(of), statistics.median(of), statistics.mean(of)) for of in taken_ms]
    for label, row in zip(("no batteries", f"{COUNT} IQ Batteries"), rows, strict=True):
        print(f"{label:48}" + "".join(f"{value:6.2f} ms" for value in row))
    print(f"{'more':48}" + "".join(f"{100 * (more / less - 1):+7.1f} %" for less, more in zip(*rows, strict=True)))
