"""The service on a machine: its account, folders, modes and unit; how it is, in words; and away again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from logger.cli import run
from logger.errors import ServiceError, SettingsError, UsageError
from logger.service import install, unit
from logger.service.install import Installer, check_executable
from logger.service.machine import Answer, Machine
from logger.service.state import look
from tests.another_user import NOBODY
from tests.service.folder import RUNNING, Folder

PROGRAM = "/opt/envoylog/1/bin/envoylog"
CONFIG = '[[gateways]]\nname = "roof"\nhost = "envoy.local"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Folder:
    return Folder.at(tmp_path)


def installer(machine: Folder, program: str = PROGRAM, **options: object) -> Installer:
    path = machine.path(program)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    return Installer(machine, program, lambda _: None, **options)  # type: ignore[arg-type]


def configure(machine: Folder, more: str = "") -> None:
    folder = machine.path("/etc/envoylog")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(CONFIG + more)


def test_folders_belong_to_whom_the_documentation_says(machine: Folder) -> None:
    configure(machine)
    installer(machine).install()
    found = {path: (machine.mode(path), machine.owners[path]) for path, _, _ in install.FOLDERS}
    assert found == {
        "/etc/envoylog": (0o750, "root:envoylog"),
        "/var/lib/envoylog": (0o710, "envoylog:envoylog"),
        "/var/lib/envoylog/db": (0o2770, "envoylog:envoylog"),
    }
    assert machine.mode("/etc/envoylog/config.toml") == 0o640
    assert machine.path("/usr/local/bin/envoylog").readlink() == Path(PROGRAM)


def test_installing_twice_does_nothing_more(machine: Folder) -> None:
    configure(machine)
    installer(machine).install()
    machine.answers["systemctl show"] = lambda: Answer(0, RUNNING, "")
    machine.done.clear()
    said: list[str] = []
    again = installer(machine)
    again.say = said.append
    again.install()
    assert said == []
    words = ("useradd", "groupadd", "runuser", "systemctl start", "systemctl restart", "systemctl enable")
    assert not [line for line in machine.done if line.startswith(words)]


def test_a_dry_run_says_all_and_does_nothing(machine: Folder) -> None:
    said: list[str] = []
    dry = installer(machine, dry_run=True, reader="pi")
    dry.say = said.append
    before = sorted(machine.root.rglob("*"))
    dry.install()
    assert sorted(machine.root.rglob("*")) == before
    assert any("unit" in line for line in said)
    assert any("pi" in line for line in said)
    assert not [line for line in machine.done if not line.startswith("systemctl --version")]


def test_without_a_configuration_it_is_prepared_and_not_started(machine: Folder) -> None:
    installer(machine).install()
    assert "systemctl start envoylog.service" not in machine.done
    machine.answers["systemctl show"] = lambda: Answer(0, RUNNING.replace("=active", "=inactive"), "")
    found = look(machine)
    assert (found.running, found.to_type) == (False, "envoylog setup --service")


def test_what_root_made_in_the_state_is_handed_to_the_service(machine: Folder) -> None:
    configure(machine, 'token_file = "roof.token"\n')
    for name in ("etc/envoylog/roof.token", "var/lib/envoylog/spool/roof.jsonl", "var/lib/envoylog/db/envoylog.db"):
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).write_text("")
    installer(machine).install()
    for name in ("/etc/envoylog/roof.token", "/var/lib/envoylog/spool/roof.jsonl", "/var/lib/envoylog/db/envoylog.db"):
        assert machine.owners[name] == "envoylog:envoylog"
    assert machine.mode("/etc/envoylog/roof.token") == 0o600
    assert machine.mode("/var/lib/envoylog/db/envoylog.db") == 0o640


def test_the_state_of_a_dynamic_user_comes_back(machine: Folder) -> None:
    private = machine.path("/var/lib/private/envoylog")
    private.mkdir(parents=True)
    (private / "envoylog.db").write_text("years")
    machine.path("/var/lib/envoylog").symlink_to("private/envoylog")
    installer(machine).install()
    assert not machine.path("/var/lib/envoylog").is_symlink()
    found = [path for path in machine.path("/var/lib/envoylog").rglob("envoylog.db") if path.is_file()]
    assert [path.read_text() for path in found] == ["years"]
    assert machine.done.index("systemctl stop envoylog.service") < machine.done.index("systemctl daemon-reload")


def test_removing_leaves_configuration_and_data(machine: Folder) -> None:
    configure(machine)
    installer(machine, extras={"/usr/local/share/man/man1/envoylog.1": "x"}).install()
    machine.path("/var/lib/envoylog/db/envoylog.db").write_text("years")
    installer(machine, extras={"/usr/local/share/man/man1/envoylog.1": "x"}).remove()
    gone = ("/etc/systemd/system/envoylog.service", "/usr/local/bin/envoylog", "/usr/local/share/man/man1/envoylog.1")
    assert [path for path in gone if machine.path(path).is_symlink() or machine.path(path).exists()] == []
    assert machine.path("/var/lib/envoylog/db/envoylog.db").read_text() == "years"
    assert machine.path("/etc/envoylog/config.toml").exists()
    assert look(machine).installed is False


def test_secrets_of_systemd_are_named_in_the_unit(machine: Folder) -> None:
    told = '[[notify]]\nurl_file = "/run/credentials/envoylog.service/mail"\n'
    told += '[healthcheck]\nurl_file = "/run/credentials/envoylog.service/ping"\n'
    configure(machine, f'password_file = "/run/credentials/envoylog.service/password"\n{told}')
    with pytest.raises(ServiceError, match="/etc/envoylog/credentials/password is missing"):
        unit.text(machine, PROGRAM)
    machine.path("/etc/envoylog/credentials").mkdir()
    machine.path("/etc/envoylog/credentials/password").write_text("x")
    for name in ("mail", "ping"):
        machine.path(f"/etc/envoylog/credentials/{name}").write_text("x")
    for name in ("password", "mail", "ping"):
        assert f"LoadCredential={name}:/etc/envoylog/credentials/{name}\n" in unit.text(machine, PROGRAM)


@pytest.mark.parametrize(("version", "grows"), [("systemd 252 (252.39)", False), ("systemd 257 (257.8)", True)])
def test_pauses_grow_where_systemd_can(machine: Folder, version: str, grows: bool) -> None:
    machine.answers["--version"] = lambda: Answer(0, version, "")
    text = unit.text(machine, PROGRAM)
    assert ("\nRestartMaxDelaySec=5min\n" in text) == grows
    assert "Restart=always" in text
    assert "StartLimitIntervalSec=0" in text
    assert f"ExecStart={PROGRAM} run" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "envoylog.service"
    path.write_text(unit.text(Machine(), "/bin/true"))
    verified = subprocess.run(["systemd-analyze", "verify", path], check=False, capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=24", "--no-pager", path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.parametrize(
    ("shown", "words", "to_type"),
    [
        (RUNNING, "running for", None),
        (RUNNING.replace("=active", "=inactive"), "stopped", "systemctl start envoylog"),
        (RUNNING.replace("enabled", "disabled"), "not start at boot", "systemctl enable envoylog"),
        (RUNNING.replace("=active", "=activating").replace("running", "auto-restart"), "failing", "journalctl"),
    ],
)
def test_the_state_is_told_in_words_with_the_command_to_type(
    machine: Folder, shown: str, words: str, to_type: str | None
) -> None:
    configure(machine)
    installer(machine).install()
    machine.answers["systemctl show"] = lambda: Answer(0, shown, "")
    found = look(machine)
    assert words in found.in_words
    assert (to_type is None and found.to_type is None) or (to_type or "?") in (found.to_type or "")


def test_a_program_that_is_gone_is_told(machine: Folder) -> None:
    installer(machine).install()
    machine.path(PROGRAM).unlink()
    assert "is gone" in look(machine).in_words


def test_a_program_in_a_home_folder_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"does not see.*scripts/install"):
        check_executable("/home/pi/envoylog/.venv/bin/envoylog")


def test_a_user_is_told_to_use_sudo(machine: Folder) -> None:
    someone = installer(machine)
    object.__setattr__(machine, "is_root", False)
    with pytest.raises(UsageError, match=f"sudo {PROGRAM} service install"):
        someone.install()


def test_status_ends_with_8_where_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    if look().running:
        pytest.skip("envoylog is installed here")
    assert run(["service", "status"]) == 8
    assert "service" in capsys.readouterr().out


SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("name", ["install", "release", "packaging/venv", "packaging/postinst", "packaging/preinst"])
def test_the_shell_understands_each_script(name: str) -> None:
    assert subprocess.run(["sh", "-n", SCRIPTS / name], check=False).returncode == 0


def test_the_script_asks_for_root_before_anything_else(public_path: Path) -> None:
    script = public_path / "scripts/install"
    script.parent.mkdir(mode=0o755)
    shutil.copy(SCRIPTS / "install", script)
    someone = NOBODY if os.geteuid() == 0 else os.geteuid()
    done = subprocess.run([script, "parquet"], check=False, capture_output=True, text=True, user=someone)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"sudo {script} parquet" in done.stderr


def test_the_program_of_a_package_is_found_without_a_link(machine: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(machine)
    installer(machine).install()
    monkeypatch.setattr(shutil, "which", lambda _, **__: "/usr/lib/envoylog/bin/envoylog")
    machine.answers["db current"] = lambda: Answer(0, "database empty, program 0006", "")
    machine.answers["systemctl show"] = lambda: Answer(0, RUNNING, "")
    machine.answers["health"] = lambda: Answer(3, "UNKNOWN never measured", "")
    installer(machine, "/usr/lib/envoylog/bin/envoylog").install()
    assert not [line for line in machine.done if "db backup" in line]  # There is nothing yet.
    assert not machine.path("/usr/local/bin/envoylog").is_symlink()


def test_a_database_elsewhere_may_be_written(machine: Folder) -> None:
    configure(machine)
    config = machine.path("/etc/envoylog/config.toml")
    config.write_text('database_url = "sqlite:////data/energy.db"\n' + CONFIG)
    assert "ReadWritePaths=/data\n" in unit.text(machine, PROGRAM)
    config.write_text('database_url = "sqlite:////var/lib/envoylog/db/other.db"\n' + CONFIG)
    assert "ReadWritePaths" not in unit.text(machine, PROGRAM)
    config.write_text('database_url = "postgresql://envoylog@db/energy"\n' + CONFIG)
    assert "ReadWritePaths" not in unit.text(machine, PROGRAM)
    config.write_text('[pages]\ndirectory = "/srv/energy"\n' + CONFIG)
    assert "ReadWritePaths=/srv/energy\n" in unit.text(machine, PROGRAM)
    config.write_text('database_url = "sqlite:////home/pi/energy.db"\n' + CONFIG)
    with pytest.raises(SettingsError, match="/home/pi, which it does not see"):
        unit.text(machine, PROGRAM)


def test_what_the_service_said_last_is_why_it_did_not_start(machine: Folder) -> None:
    configure(machine)
    machine.answers["systemctl start"] = lambda: Answer(1, "", "Job for envoylog.service failed.")
    machine.answers["journalctl"] = lambda: Answer(0, "envoylog: Two gateways are called 'roof'.\n", "")
    with pytest.raises(ServiceError, match="does not start: Two gateways are called 'roof'"):
        installer(machine).install()


def test_a_machine_without_systemd_is_prepared_all_the_same(tmp_path: Path) -> None:
    machine = Folder.at(tmp_path, systemd=False)
    object.__setattr__(machine, "has_systemd", False)
    configure(machine)
    installer(machine).install()
    assert machine.path("/etc/systemd/system/envoylog.service").is_file()
    assert look(machine).running is None
    installer(machine).remove()
    assert not [line for line in machine.done if line.startswith("systemctl") and "version" not in line]
