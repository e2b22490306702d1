"""What takes too long for the suite, which has the short versions.

The collector against the simulator, killed at random, cut off from power or through a month of faults; the ledger
against its oracle on thousands of spoilt registers; a month of eight houses against what flowed in them.

Run it with ``scripts/soak``.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click
from sqlalchemy import text

from logger.errors import CheckFailedError
from logger.rollups import rollup
from logger.settings import write_secret
from logger.simulator.houses import HOUSES
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store.database import open_engine

START = datetime(2026, 6, 1, tzinfo=UTC)
ZONE = "Europe/Amsterdam"
#: Kills, power cuts, days of faults, registers, days of each house, of grids, gateways of a lake, minutes, gateways,
#: years, sites.
USUAL = {
    "kills": 200, "power": 40, "month": 30, "ledger": 3000, "houses": 30, "grid": 30, "lake": 200, "notify": 60,
    "fleet": 1000, "panels": 20, "live": 200,
}  # fmt: skip

#: A collector whose clock is what it is given: one instant per line in, one answer per line out.
CHILD = """
import os, sys, threading
from datetime import datetime
from pathlib import Path
from logger import settings
from logger.collector.wiring import pollers
from logger.store.lock import CollectorDatabase
loaded = settings.load(Path(sys.argv[1]), {})
database = CollectorDatabase(loaded.database_url)
now = [datetime.fromisoformat(sys.argv[2])]
pollers = pollers(loaded, database, {}, clock=lambda: now[0])
for poller in pollers:
    poller.gateway.budget_s = 5.0  # Slow answers take real time.
for line in sys.stdin:
    now[0] = datetime.fromisoformat(line.strip())
    for poller in pollers:
        poller.poll(now[0], inverters=now[0].minute % 15 == 0)
        if poller.keeper.is_due(now[0]):
            poller.keeper.store()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    print(now[0].isoformat(), resident, threading.active_count(), flush=True)
for poller in pollers:
    poller.keeper.store_all()
database.close()
"""


class Collector:
    """A collector in a process of its own, driven poll by poll."""

    def __init__(self, config: Path, at: datetime) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHILD, str(config), at.isoformat()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        self._log: list[str] = []
        errors = self.process.stderr
        assert errors is not None
        self._reader = threading.Thread(target=lambda: self._log.extend(errors), daemon=True)
        self._reader.start()

    @property
    def _in(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    def ask(self, at: datetime) -> None:
        """Let a poll be taken at an instant."""
        self._in.write(f"{at.isoformat()}\n")
        self._in.flush()

    def answer(self) -> list[str]:
        """Return what it reported of a slot: when, resident bytes, threads; [] at its end."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return line.split() if line.endswith("\n") else []

    def kill(self) -> None:
        """End it as a power cut would, in the middle of whatever it does."""
        self.process.kill()
        self._leave()

    def stop(self) -> str:
        """End it cleanly, and return what it logged."""
        self._in.close()
        self._leave()
        return "".join(self._log)

    def _leave(self) -> None:
        self.process.wait(60)
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextmanager
def bench(
    directory: Path, database_url: str, sites: Mapping[str, Simulation]
) -> Iterator[tuple[Path, Mapping[str, Simulation]]]:
    """Serve gateways by name, and yield a configuration that collects from them, and them."""
    config = directory / "config.toml"
    written = [f'database_url = "{database_url}"', f'state_dir = "{directory / "state"}"']
    written += ["poll_every_s = 60", "commit_every_s = 300"]
    with contextlib.ExitStack() as stack:
        for name, simulation in sites.items():
            server = stack.enter_context(GatewayServer(simulation))
            write_secret(directory / f"{name}.token", simulation.token(days=400))
            written += ["[[gateways]]", f'name = "{name}"', f'host = "{server.url}"']
            written += [f'token_file = "{name}.token"', f'time_zone = "{ZONE}"', "mdns = false"]
        config.write_text("\n".join(written))
        yield config, sites


def simulated(*, inverters: int = 6, phases: int = 1, battery: bool = False, **model: Any) -> Any:
    """Return a simulated gateway whose clock stands still until it is set."""
    return Simulation(
        shape=Shape(inverters=inverters, phases=phases, battery=battery),
        model=Model(**model),
        clock=SimulatedClock(START, speed=0),
    )


def kills(directory: Path, database_url: str, count: int, seed: int) -> int:
    """Kill the collector ``count`` times; return how many polls it acknowledged, all stored."""
    dice = random.Random(seed)
    acknowledged: list[str] = []
    roof = simulated(cts="net")
    with bench(directory, database_url, {"roof": roof}) as (config, _):
        at = START
        for _ in range(count):
            collector = Collector(config, at)
            killer = None
            for number in range(dice.randrange(1, 12)):
                roof.clock.set(at)
                collector.ask(at)
                at += timedelta(minutes=1)
                if number and dice.random() < 0.3:
                    # Somewhere within this poll: asking, spooling, committing, rolling up.
                    killer = threading.Timer(dice.uniform(0, 0.05), collector.process.kill)
                    killer.start()
                answer = collector.answer()
                if not answer:
                    break
                acknowledged.append(answer[0])
            if killer is not None:
                killer.join()
            collector.kill()
        last = Collector(config, at)
        last.stop()
    check(database_url, set(acknowledged), at)
    return len(acknowledged)


def check(database_url: str, acknowledged: set[str], now: datetime) -> None:
    """See that every acknowledged poll is stored once, and that rollups equal a rebuild."""
    engine = open_engine(database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT polled_at FROM polls")).scalars().all()
        stored = [datetime.fromisoformat(str(row)[:19]).replace(tzinfo=UTC) for row in rows]
        missing = acknowledged - {at.isoformat() for at in stored}
        assert not missing, f"{len(missing)} polls are missing, the first {min(missing)}"
        assert len(stored) == len(set(stored)), "a poll is stored twice"
        changes = rollup.rebuild(connection, 1, now=now, gap_s=900, since=None)
        assert changes == [], f"{len(changes)} days change by a rebuild"
        connection.rollback()
    engine.dispose()


def ledger(count: int, seed: int) -> int:
    """Print the random registers and sites that differ from the oracle; return how many do."""
    from tests.ledger.agreement import register_differences, site_differences  # noqa: PLC0415 - only here

    differing = 0
    for number in range(seed, seed + count):
        for kind, differences in (("register", register_differences), ("site", site_differences)):
            # A site takes some times as long.
            if (kind == "register" or number % 3 == 0) and (names := differences(number)):
                differing += 1
                click.echo(f"{kind} {number}: {', '.join(names)}")
    return differing


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """Add what only a fleet takes."""
    parser.add_argument("--minutes", type=int, default=10, help="fleet: how long each of its two parts takes")
    parser.add_argument("--hanging", type=int, default=0, help="fleet: so many gateways never answer")
    parser.add_argument(
        "--idle-s", type=float, default=0, help="fleet: gateways end connections that idle for this long"
    )
    parser.add_argument(
        "--away-minutes", type=int, default=0, help="fleet: the database is away for so long in the middle"
    )
    parser.add_argument("--ahead-s", type=float, default=0, help="fleet: the second of two collectors' clock is ahead")
    parser.add_argument("--only", choices=["alone", "shared"], help="fleet: only this part")


def soak_in(directory: Path, count: int, chosen: argparse.Namespace) -> None:
    """Run what was asked for that needs a directory, and print what came of it."""
    url = chosen.database_url or f"sqlite:///{directory}/envoylog.db"
    if chosen.what == "notify":
        from tests import telling  # noqa: PLC0415 - only here

        sys.exit(0 if telling.soak(directory, count, chosen.speed) else CheckFailedError.exit_code)
    if chosen.what == "lake":
        from tests.soak_lake import lake  # noqa: PLC0415 - it needs a Dask

        sys.exit(lake(directory, url, count, 14, chosen.seed))
    if chosen.what == "panels":
        from tests.panel_years import soak_new  # noqa: PLC0415 - only here

        wrong = soak_new(url, count, chosen.seed)
        click.echo(f"{count} years of panels with ten faults, {count} without: {wrong} named wrongly")
        sys.exit(CheckFailedError.exit_code if wrong else 0)
    if chosen.what == "kills":
        polls = kills(directory, url, count, chosen.seed)
        click.echo(f"{count} kills, {polls} polls acknowledged, 0 missing, rollups as rebuilt")
    elif chosen.what == "power":
        from tests.power import cuts  # noqa: PLC0415 - it needs the collector here

        polls, lost_for = cuts(directory, count, chosen.seed)
        lost = f"at most {lost_for.seconds} s of them lost with commit_every_s = 300"
        click.echo(f"{count} power cuts, {polls} polls acknowledged, {lost}, rollups as rebuilt")
    else:
        from tests.chaos import month  # noqa: PLC0415 - it needs the collector here

        for name, value in month(directory, url, count, chosen.seed).items():
            click.echo(f"{name:20} {value:.1f}")


def main() -> None:
    """Run what was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=list(USUAL))
    usual = ", ".join(f"{what} {count}" for what, count in USUAL.items())
    parser.add_argument("--count", type=int, help=f"how many, or how many days; usually {usual}")
    parser.add_argument(
        "--house", action="append", choices=list(HOUSES), help="houses: only this one (again: this too)"
    )
    parser.add_argument("--every-s", type=int, default=60, help="houses, fleet: the cadence of polls")
    add_fleet(parser)
    parser.add_argument("--speed", type=float, default=6.0, help="notify: how many times as fast minutes pass")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database-url", default="", help="default: SQLite in a new directory")
    parser.add_argument("--server", default="", help="live: a PostgreSQL server on which each site has a database")
    chosen = parser.parse_args()
    count = chosen.count or USUAL[chosen.what]
    if chosen.what == "ledger":
        differing = ledger(count, chosen.seed)
        click.echo(f"{count} registers and every third a site: {differing} differ from the oracle")
        sys.exit(differing > 0)
    if chosen.what == "live":
        from tests import live  # noqa: PLC0415 - only here

        wrong = live.soak(count, chosen.seed, chosen.server)
        click.echo(f"{count} sites, looked at at random moments: {wrong} with something that does not follow")
        sys.exit(CheckFailedError.exit_code if wrong else 0)
    if chosen.what == "grid":
        from tests import balanced  # noqa: PLC0415 - only here

        balanced.soak(count)
        sys.exit(0)
    if chosen.what == "fleet":
        from tests import fleet  # noqa: PLC0415 - only here

        sys.exit(0 if fleet.soak(count, chosen) else CheckFailedError.exit_code)
    if chosen.what == "houses":
        from tests.houses import soak  # noqa: PLC0415 - only here

        sys.exit(0 if soak(chosen.house or list(HOUSES), count, chosen.every_s) else CheckFailedError.exit_code)
    with tempfile.TemporaryDirectory(prefix="envoylog-soak-") as folder:
        soak_in(Path(folder), count, chosen)


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    main()
