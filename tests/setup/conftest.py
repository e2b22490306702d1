"""An empty home, and gateways whose clock is this machine's."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from logger.cli import run
from logger.cli import setup as cli_setup
from logger.clock import utc_now
from logger.gateway import discovery
from logger.simulator.site import Shape
from tests.conftest import Bench, Benches

Roofs = Callable[..., Bench]


@dataclass
class Home:
    """An empty home directory, and the command run in it."""

    path: Path
    capsys: pytest.CaptureFixture[str]
    out: str = field(default="")
    err: str = field(default="")

    def setup(self, *args: str | Path) -> int:
        """Run the command as nobody who could answer."""
        code = run(["setup", "--yes", "--timeout-s", "0.1", "--no-service", *map(str, args)])
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.out + self.err
        return code

    @property
    def config(self) -> Path:
        return self.path / ".config/envoylog/config.toml"

    @property
    def state(self) -> Path:
        return self.path / ".local/state/envoylog"

    def files(self) -> dict[str, bytes]:
        """Everything that lies in it."""
        return {str(path): path.read_bytes() for path in self.path.rglob("*") if path.is_file()}

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.path.parent / name
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sqlite_url: str) -> Home:
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    for name in [name for name in os.environ if name.startswith(("XDG_", "ENVOYLOG_")) and "MDNS" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENVOYLOG_DATABASE_URL", sqlite_url)  # It is there already: its tables take a second.
    monkeypatch.setattr(discovery, "discover", lambda *_, **__: [])
    monkeypatch.setattr("logger.gateway.client.Gateway.is_nightly_outage", lambda *_: False)
    monkeypatch.setattr(cli_setup, "_poll_again", lambda _: False)  # That takes seconds; one test has it.
    return Home(path, capsys)


@pytest.fixture
def roofs(bench: Benches, monkeypatch: pytest.MonkeyPatch) -> Roofs:
    """Makes gateways whose clock is this machine's."""

    def make(**model: str) -> Bench:
        roof = bench(shape=Shape(inverters=1), **model)
        roof.clock.speed = 1.0
        roof.clock.set(utc_now())
        for key, value in roof.environ.items():
            monkeypatch.setenv(key, value)
        return roof

    return make


def token_of(home: Home, roof: Bench) -> Path:
    return home.write(f"token-{roof.simulation.model.serial}", f"Bearer {roof.simulation.token()}\n")
