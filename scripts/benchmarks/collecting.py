"""What collecting costs: CPU per poll and resident memory, of several checkouts at once.

Each checkout collects from two simulated gateways of its own, in two processes: one over a connection that stays open,
the other through a relay that ends each connection after a second of silence, as gateways do between polls a minute
apart. All run at the same time, so that a busy machine is as busy for each.
"""

import contextlib
import os
import select
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import Checkout
from benchmarks.site import INVERTERS

POLL_EVERY_S = 5
#: What is read first, imported late and compiled once is no part of a poll.
SETTLING_S = 12
IDLE_S = 1.0
CONFIG = """
database_url = "sqlite:///{directory}/envoylog.db"
state_dir = "{directory}/state"
poll_every_s = {every_s}
inverters_every_s = 30
commit_every_s = {every_s}
[[gateways]]
name = "roof"
host = "{url}"
token_file = "{directory}/token"
time_zone = "Europe/Amsterdam"
peak_power_kwp = 5.6
mdns = false
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a collector took."""

    cpu_ms: float  #: per poll
    resident_mb: float  #: at the end


class Relay:
    """Passes bytes on to a port, and ends each connection after a second of silence."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [], IDLE_S)
                for end, other in ((client, server), (server, client)):
                    if end in ready and (data := end.recv(65_536)):
                        other.sendall(data)
                    elif end in ready:
                        return
                if not ready:
                    return

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str], **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block ends."""
    with subprocess.Popen(command, env=env, text=True, **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def collecting(checkout: Checkout, simulator: Checkout, directory: Path, *, kept: bool) -> Iterator[tuple[int, Path]]:
    """Collect from a simulated gateway; yield the collector's process id and its database."""
    directory.mkdir(parents=True)
    simulate = simulator.command(
        "simulate", "--port", "0", "--phases", "3", "--inverters", str(INVERTERS),
        "--token-file", str(directory / "token"),
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(running(simulate, simulator.env, stdout=subprocess.PIPE))
        url = next(iter(gateway.stdout or ())).split()[1]
        if not kept:
            relay = Relay(int(url.rpartition(":")[2]))
            stack.callback(relay.close)
            url = f"https://127.0.0.1:{relay.port}"
        config = directory / "config.toml"
        config.write_text(CONFIG.format(directory=directory, every_s=POLL_EVERY_S, url=url))
        checkout.run("--config", str(config), "db", "upgrade")
        log = stack.enter_context((directory / "log").open("w"))
        collector = stack.enter_context(
            running(checkout.command("--config", str(config), "run"), checkout.env, stderr=log)
        )
        yield collector.pid, directory / "envoylog.db"


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that the threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    used_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    return used_ns / 1e9


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def polls(database: Path) -> int:
    """Return how many polls have been stored, all of them complete."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        total, complete = db.execute("SELECT count(*), sum(outcome = 'complete') FROM polls").fetchone()
    if not total or total != complete:
        raise SystemExit(f"{database}: {complete} of {total} polls are complete; see {database.parent}/log")
    return int(total)


def costs(checkouts: list[Checkout], directory: Path, seconds: float) -> list[dict[str, Cost]]:
    """Let each checkout collect for a time; return what it took, by kind of connection."""
    with contextlib.ExitStack() as stack:
        started = [
            {
                kind: stack.enter_context(
                    collecting(checkout, checkouts[0], directory / f"{number}-{kind}",
                               kept=kind == "kept")
                )
                for kind in ("kept", "new")
            }
            for number, checkout in enumerate(checkouts)
        ]  # fmt: skip
        time.sleep(SETTLING_S)
        before = [{kind: (cpu_s(pid), polls(database)) for kind, (pid, database) in each.items()} for each in started]
        time.sleep(seconds)
        found = []
        for each, earlier in zip(started, before, strict=True):
            found.append({})
            for kind, (pid, database) in each.items():
                used_s, count = earlier[kind]
                taken = polls(database) - count
                if not taken:
                    raise SystemExit(f"{database}: no poll in {seconds:.0f} s")
                found[-1][kind] = Cost(1000 * (cpu_s(pid) - used_s) / taken, resident_mb(pid))
    return found
