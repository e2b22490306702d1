"""What it costs to start: the command, and the collector until it collects."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.checkout import metered
from benchmarks.site import copied
from benchmarks.table import Row, in_turns

CONFIG = """
database_url = "sqlite:///{directory}/start.db"
state_dir = "{directory}/start-state"
[[gateways]]
name = "roof"
host = "https://127.0.0.1:9"
time_zone = "UTC"
mdns = false
"""
#: What a collector of this kind can't do without.
LIBRARIES = "import sqlalchemy.dialects.sqlite, requests, cryptography.x509, msgspec, tomllib"


def start(bench: Bench) -> Iterator[Row]:
    """Measure the help of the command, and the collector until it is ready."""
    env = bench.checkout.env
    command = bench.checkout.command("--help")
    ours, floor = in_turns(
        lambda: metered(*command, env=env)[0], lambda: metered(sys.executable, "-c", "import click", env=env)[0], 8
    )
    yield Row("envoylog --help", 1000 * ours, "ms", 1000 * floor, bound=3)
    ours, floor = in_turns(lambda: _ready_s(bench), lambda: metered(sys.executable, "-c", LIBRARIES, env=env)[0])
    yield Row("start of the collector", 1000 * ours, "ms", 1000 * floor, bound=2)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that the threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _ready_s(bench: Bench) -> float:
    """Return the CPU seconds of a collector until it says that it is ready."""
    copied(bench.empty, bench.directory / "start.db")
    config, address = bench.directory / "start.toml", str(bench.directory / "ready")
    config.write_text(CONFIG.format(directory=bench.directory))
    with contextlib.suppress(FileNotFoundError):
        Path(address).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(address)
        ready.settimeout(60)
        env = bench.checkout.env | {"NOTIFY_SOCKET": address}
        command = bench.checkout.command("--config", str(config), "run")
        with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as collector:
            try:
                ready.recv(100)
                return cpu_s(collector.pid)
            finally:
                collector.send_signal(signal.SIGKILL)
