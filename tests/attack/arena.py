"""Where an attack takes place: a gateway that answers well beside a bad one, a collector, and a database."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import text

from logger.clock import to_epoch_s
from logger.settings import write_secret
from logger.simulator.access import Entrez
from logger.simulator.server import GatewayServer, Simulation
from logger.store.database import opened
from tests.attack.collector import CHECKOUT, Collector
from tests.attack.documents import Recorded
from tests.attack.hostile import Hostile, Reply
from tests.soak import START, simulated

MINUTE = timedelta(minutes=1)
GOOD, BAD = "good", "bad"
BAD_SERIAL = "122334455668"
#: of the collector, whatever is done to it
MOST_MB = 120.0


@dataclass
class Arena:
    """One attack's place; ``stored`` looks at what came of it."""

    directory: Path
    database_url: str = ""
    checkout: Path = CHECKOUT
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        self.database_url = self.database_url or f"sqlite:///{self.directory}/envoylog.db"
        self.state_dir = self.directory / "state"
        self.at = START + timedelta(hours=12)
        self.asked: list[datetime] = []
        self.secrets: list[str] = []
        self.lines: list[str] = []
        self.simulations: list[Simulation] = []
        self.ahead = timedelta(0)  #: of the collector's clock
        self.peak_kb = self.most_threads = 0
        self.slowest_s = 0.0
        self.logs = ""
        self._collector: Collector | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.simulate(GOOD)
        return self

    def __exit__(self, *_: object) -> None:
        if self._collector is not None:
            self._collector.kill()
        self._stack.close()

    # -- gateways
    def simulate(self, name: str, **model: Any) -> GatewayServer:
        """Serve a gateway that answers well, and collect from it."""
        simulation = simulated(**{"cts": "net", **model})
        simulation.clock.set(self.at)
        server = self._stack.enter_context(GatewayServer(simulation))
        self.simulations.append(simulation)
        self.collect_from(name, server.url, simulation.token(days=4000))
        return server

    def attack_with(self, replies: Any, **options: Any) -> Hostile:
        """Serve what the bad gateway replies, and collect from it."""
        server = self._stack.enter_context(Hostile(replies, serial=BAD_SERIAL, **options))
        self.collect_from(BAD, server.url, self.bad_token)
        return server

    @property
    def bad_token(self) -> str:
        """A token for the gateway that replies."""
        return Entrez().token(BAD_SERIAL, self.at, days=4000)

    def recorded(self, name: str, share: float = 0.0) -> Any:
        """Return replies of a recorded gateway, of which a share is mutated; its times are of now."""
        recording = Recorded(name, BAD_SERIAL, self.dice, share)
        return lambda path: Reply(*recording.answer(path, to_epoch_s(self.at)))

    def collect_from(self, name: str, url: str, token: str, *more: str) -> None:
        """Add a gateway to the configuration."""
        self.secrets.append(token)
        write_secret(self.directory / f"{name}.token", token)
        self.lines += ["[[gateways]]", f'name = "{name}"', f'host = "{url}"', f'token_file = "{name}.token"']
        self.lines += ['time_zone = "UTC"', "mdns = false", *more]

    # -- the collector
    @property
    def config(self) -> Path:
        """The configuration file, as it is to be now."""
        path = self.directory / "config.toml"
        head = [f'database_url = "{self.database_url}"', f'state_dir = "{self.state_dir}"', "poll_every_s = 60"]
        path.write_text("\n".join([*head, *self.lines]) + "\n")
        path.chmod(0o600)
        return path

    @property
    def collector(self) -> Collector:
        """The collector, started where none runs."""
        if self._collector is None:
            self._collector = Collector(
                self.config, self.at + self.ahead, checkout=self.checkout, patience_s=self.patience_s
            )
        return self._collector

    def poll(self, slots: int = 1) -> None:
        """Let some slots pass, a minute each."""
        for _ in range(slots):
            for simulation in self.simulations:
                simulation.clock.set(self.at)
            started = time.monotonic()
            self.collector.slot(self.at + self.ahead)
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.asked.append(self.at)
            self.at += MINUTE

    def stop(self, seconds: float = 120) -> None:
        """Stop the collector; all that waits is stored."""
        collector, self._collector = self.collector, None
        self.peak_kb = max(self.peak_kb, collector.peak_kb)
        self.most_threads = max(self.most_threads, collector.most_threads)
        try:
            code = collector.stop(seconds)
        finally:
            self.logs += collector.log
        assert code == 0, f"the collector ended with {code}: {collector.log[-2000:]}"

    def kill(self) -> None:
        """End the collector as a power cut would."""
        collector, self._collector = self.collector, None
        self.peak_kb = max(self.peak_kb, collector.peak_kb)
        collector.kill()
        self.logs += collector.log

    def run(
        self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of envoylog."""
        return subprocess.run(
            [sys.executable, "-m", "logger", "--config", str(self.config), *arguments],
            capture_output=True, text=True, check=False, timeout=120, input=stdin, cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout), **(environ or {})},
        )  # fmt: skip

    def begin(self, *arguments: str, environ: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command of envoylog that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "logger", "--config", str(self.config), *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout), **environ},
        )  # fmt: skip

    # -- what came of it
    def query(self, statement: str) -> Sequence[Any]:
        """Return the rows of a query."""
        with opened(self.database_url) as engine, engine.connect() as connection:
            return connection.execute(text(statement)).all()

    def times_of(self, name: str) -> list[datetime]:
        """Return when the polls of a gateway lie, whatever came of them."""
        mine = f"FROM polls JOIN gateways USING (gateway_id) WHERE name = '{name}'"
        rows = self.query(f"SELECT polled_at {mine} ORDER BY polled_at")
        return [datetime.fromisoformat(str(at)[:19]).replace(tzinfo=UTC) for (at,) in rows]

    def check(self, *names: str, slack_s: int = 0) -> str:
        """See that gateways were stored at every slot, once, and that nothing else is wrong; return it in words."""
        for name in names or (GOOD,):
            found, asked = self.times_of(name), self.asked
            near = {second + timedelta(seconds=by) for second in found for by in range(-slack_s, slack_s + 1)}
            lost = [at for at in asked if at not in near]
            assert not lost, f"{len(lost)} of {len(asked)} polls of {name} are lost, the first {lost[0]}"
            assert len(found) <= len(asked), f"{len(found) - len(asked)} polls of {name} are stored twice"
        if not names:
            outcomes = self.query("SELECT DISTINCT outcome FROM polls JOIN gateways USING (gateway_id)"
                                  f" WHERE name = '{GOOD}'")  # fmt: skip
            assert outcomes == [("complete",)], f"polls of {GOOD} are {outcomes}"
        waiting = [path.name for path in (self.state_dir / "spool").glob("*.jsonl") if path.stat().st_size]
        assert not waiting, f"polls wait in {waiting}"
        self.check_quiet()
        return f"{len(self.asked)} slots, 0 lost, 0 doubled"

    def check_quiet(self) -> None:
        """See that nothing unexpected and no secret is in the log, and memory stayed small."""
        assert "Traceback" not in self.logs, self.logs[self.logs.index("Traceback") :][:1500]
        assert not any(secret in self.logs for secret in self.secrets), "a secret is in the log"
        assert self.peak_kb / 1000 < MOST_MB, f"the collector took {self.peak_kb / 1000:.0f} MB"

    @contextlib.contextmanager
    def small_disk(self, size_kb: int) -> Iterator[Path]:
        """Mount a small disk; RuntimeError where that may not be."""
        path = self.directory / "small"
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(path)]
        if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
            raise RuntimeError("mounting a small disk needs root")
        try:
            yield path
        finally:
            subprocess.run(["umount", "-l", str(path)], check=True)
