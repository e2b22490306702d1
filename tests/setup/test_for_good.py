"""envoylog setup --service writes the service's configuration, polls, and then lets the service begin."""

from pathlib import Path
from typing import Any

import pytest

from logger.cli import run
from logger.cli import service as cli_service
from logger.cli import setup as cli_setup
from logger.service import install as installation
from logger.settings import load, places
from tests.conftest import Bench
from tests.setup.conftest import Home, Roofs, token_of


class Installer:
    """Notes what lies there when the service would begin."""

    def __init__(self, system: Path) -> None:
        self.system, self.found = system, list[str]()

    def install(self) -> None:
        self.found += sorted(str(path.relative_to(self.system)) for path in self.system.rglob("*") if path.is_file())


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home) -> tuple[Path, list[str]]:
    """A machine's own folders, where this process may write as root may; and what was there at the install."""
    root = tmp_path / "system"
    for folder in ("etc", "var/db"):
        (root / folder).mkdir(parents=True)
    monkeypatch.delenv("ENVOYLOG_DATABASE_URL")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", root / "etc")
    monkeypatch.setattr(places, "SYSTEM_STATE_DIR", root / "var")
    assert home.files() == {}
    installer = Installer(root)
    monkeypatch.setattr(cli_service, "installer", lambda **_: installer)
    monkeypatch.setattr(installation, "check_executable", lambda *_: None)
    monkeypatch.setattr(cli_setup, "is_root", lambda: True)
    return root, installer.found


def setup(roof: Bench, *args: Any) -> int:
    return run(["setup", "--yes", "--host", roof.server.url, *map(str, args)])


def test_the_service_begins_when_everything_is_there(home: Home, roofs: Roofs, system: tuple[Path, list[str]]) -> None:
    root, found = system
    roof = roofs()
    assert setup(roof, "--token-file", token_of(home, roof), "--service") == 0
    for name in ("etc/config.toml", "var/certificates/roof.sha256", "var/db/envoylog.db", "var/tokens/roof.jwt"):
        assert name in found
    assert (root / "etc/config.toml").stat().st_mode & 0o777 == 0o640
    assert load(root / "etc/config.toml", {}).state_dir == root / "var"
    assert home.files() == {}


def test_a_dry_run_of_the_service_writes_nothing(home: Home, roofs: Roofs, system: tuple[Path, list[str]]) -> None:
    root, found = system
    roof = roofs()
    assert setup(roof, "--token-file", token_of(home, roof), "--service", "--dry-run") == 0
    assert found == []
    assert not (root / "etc/config.toml").exists()


def test_only_root_sets_the_service_up(
    home: Home, roofs: Roofs, system: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = system
    roof = roofs(generation="5", cts="none")
    monkeypatch.setattr(cli_setup, "is_root", lambda: False)
    assert setup(roof, "--service") == 2
    assert "run: sudo" in home.capsys.readouterr().err
    (root / "etc/config.toml").write_text("")
    assert setup(roof) == 2
    assert "is the service's" in home.capsys.readouterr().err
    assert setup(roof, "--no-service", "--dry-run") == 0
    assert list((root / "var/db").iterdir()) == []
