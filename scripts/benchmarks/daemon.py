"""What the collector takes as it runs: CPU of a minute, memory, and CPU of a poll among many gateways.

usage: python daemon.py serve COUNT FOLDER       simulated gateways, which end connections that are silent for a while
       python daemon.py floor FOLDER URL         the least that polls a gateway each minute
       python daemon.py floors FOLDER URL ...    polls each once; prints the CPU milliseconds of a poll, and MB

Time can't be made to pass faster here: the collector runs as systemd runs it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bench import HERE, Bench
from benchmarks.poll import INVERTERS, Floor
from benchmarks.site import copied
from benchmarks.starting import cpu_s
from benchmarks.table import Row

from logger.clock import epoch_now_s, utc_now

MINUTES = 2
INVERTERS_MINUTES = 5
#: What is asked for once, imported late and compiled at first is no part of a minute.
SETTLED_S = 15
#: Of a fleet, so that a machine with two cores simulates it beside what is measured.
GATEWAYS = 40
FLEET_EVERY_S = 10
FLEET_S = 30
#: A thousand gateways each minute are 30 % of a core, and 250 MB, of which a server's driver and the pool take 75.
MOST_MS, MOST_MB = 18, 60
MOST_FLEET_MB = 75 + 0.175 * GATEWAYS
SILENT_S = 3
SCRIPT = sys.executable, str(HERE / "daemon.py")
CONFIG = """
database_url = "{url}"
state_dir = "{directory}/state"
poll_every_s = {every_s}
inverters_every_s = {inverters_s}
commit_every_s = {every_s}
"""
GATEWAY = """
[[gateways]]
name = "{name}"
host = "{host}"
token_file = "{directory}/token-{name}"
time_zone = "Europe/Amsterdam"
peak_power_kwp = 5.6
mdns = false
"""


def service(bench: Bench) -> Iterator[Row]:
    """Measure the collector of one gateway beside a process that asks and stores the same."""
    directory = Path(tempfile.mkdtemp(prefix="service-", dir=bench.directory))
    database = copied(bench.empty, directory / "service.db")
    with _gateways(bench, directory, 1) as hosts, contextlib.ExitStack() as stack:
        config = _config(directory, f"sqlite:///{database}", hosts, 60, 60 * INVERTERS_MINUTES)
        ours = stack.enter_context(_running(bench, bench.checkout.command("--config", str(config), "run"))).pid
        floor = stack.enter_context(_running(bench, [*SCRIPT, "floor", str(directory), hosts[0]])).pid
        # A first poll, which comes with the next minute, takes ten times as long as others.
        time.sleep(60 - epoch_now_s() % 60 + SETTLED_S)
        time.sleep((90 - epoch_now_s()) % 60)  # Between two polls.
        # What a quarter hour takes has a row of its own, and what inverters take is in that of a poll: the first time
        # that they are asked for takes ten times as long as a minute.
        while (epoch_now_s() // 60 + MINUTES) % INVERTERS_MINUTES < MINUTES:
            time.sleep(60)
        before = [cpu_s(pid) for pid in (ours, floor)]
        time.sleep(60 * MINUTES)
        taken = [1000 * (cpu_s(pid) - used) / MINUTES for pid, used in zip((ours, floor), before, strict=True)]
        memory = resident_mb(ours), resident_mb(floor)
    yield Row("collector, a minute", taken[0], "ms", taken[1], bound=3)
    yield Row("collector, memory", memory[0], "MB", memory[1], most=MOST_MB)


def fleet(bench: Bench) -> Iterator[Row]:
    """Measure a poll among many gateways, into PostgreSQL."""
    directory = Path(tempfile.mkdtemp(prefix="fleet-", dir=bench.directory))
    with bench.postgresql() as url, _gateways(bench, directory, GATEWAYS) as hosts:
        config = _config(directory, url, hosts, FLEET_EVERY_S, 3 * FLEET_EVERY_S)
        bench.checkout.run("--config", str(config), "db", "upgrade")
        with _running(bench, bench.checkout.command("--config", str(config), "run")) as process:
            collector = process.pid
            time.sleep(SETTLED_S)
            before = cpu_s(collector), _polls(url)
            time.sleep(FLEET_S)
            ours = (cpu_s(collector) - before[0]) / (_polls(url) - before[1])
            ours_mb = resident_mb(collector)
        floor_ms, floor_mb = map(float, bench.python("daemon.py", "floors", str(directory), *hosts).split())
    yield Row(f"a poll of {GATEWAYS} gateways, PostgreSQL", 1000 * ours, "ms", floor_ms, most=MOST_MS)
    yield Row(f"collector of {GATEWAYS} gateways, memory", ours_mb, "MB", floor_mb,
              most=MOST_FLEET_MB)  # fmt: skip


class Known(NamedTuple):
    """A gateway that is served elsewhere."""

    url: str
    token: str


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def _running(bench: Bench, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block ends."""
    env = bench.checkout.env | {"PYTHONPATH": f"{bench.checkout.path}:{HERE.parent}"}
    with subprocess.Popen(command, env=env, text=True, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _polls(url: str) -> int:
    """Return how many polls are stored, all of them complete."""
    import psycopg  # noqa: PLC0415 - only where a server is

    with psycopg.connect(url) as db:
        found = db.execute("SELECT count(*), count(*) FILTER (WHERE outcome <> 'complete') FROM polls").fetchone()
    if not found or not found[0] or found[1]:
        raise SystemExit(f"of many gateways' polls {found} are stored, and not complete")
    return int(found[0])


@contextlib.contextmanager
def _gateways(bench: Bench, directory: Path, count: int) -> Iterator[list[str]]:
    """Serve gateways; yield their URLs."""
    with _running(bench, [*SCRIPT, "serve", str(count), str(directory)], stdout=subprocess.PIPE) as process:
        yield process.stdout.readline().split() if process.stdout else []


def _config(directory: Path, url: str, hosts: list[str], every_s: int, inverters_s: int) -> Path:
    path = directory / "config.toml"
    gateways = (GATEWAY.format(name=n, host=host, directory=directory) for n, host in enumerate(hosts))
    head = CONFIG.format(url=url, directory=directory, every_s=every_s, inverters_s=inverters_s)
    path.write_text(head + "".join(gateways))
    path.chmod(0o600)  # The server's URL may hold a password.
    return path


def _serve(count: int, directory: Path) -> None:
    from logger.settings import write_secret  # noqa: PLC0415 - of the version that is measured
    from logger.simulator import server  # noqa: PLC0415 - the same
    from logger.simulator.numbers import Model  # noqa: PLC0415 - the same
    from logger.simulator.site import Shape  # noqa: PLC0415 - the same

    vars(server)["_GatewayHandler"].timeout = SILENT_S
    urls = []
    for number in range(count):
        shape = Shape(phases=3, inverters=INVERTERS, seed=number)
        simulation = server.Simulation(shape=shape, model=Model(cts="net", serial=f"{122300000000 + number}"))
        urls.append(server.GatewayServer(simulation).url)
        write_secret(directory / f"token-{number}", simulation.token(days=300))
    print(*urls, flush=True)
    signal.pause()


def _floor(directory: Path, url: str) -> None:
    floor = Floor(Known(url, (directory / "token-0").read_text().strip()), directory / "floor.db")
    while True:
        time.sleep(60 - epoch_now_s() % 60)
        now = utc_now()
        floor.poll(now, inverters=now.minute % 5 == 0, is_new=True)


def _floors(directory: Path, urls: list[str]) -> None:
    taken = []
    for number, url in enumerate(urls):
        floor = Floor(Known(url, (directory / f"token-{number}").read_text().strip()), directory / f"{number}.db")
        began = time.process_time()
        floor.poll(utc_now(), inverters=number % 3 == 0, is_new=True)
        taken.append(time.process_time() - began)
    print(1000 * sum(taken) / len(taken), resident_mb(os.getpid()))


if __name__ == "__main__":
    what, first, *rest = sys.argv[1:]
    if what == "serve":
        _serve(int(first), Path(rest[0]))
    elif what == "floor":
        _floor(Path(first), rest[0])
    else:
        _floors(Path(first), rest)
