"""From one version of the service to another, and back where the new one is not well."""

import json
from pathlib import Path

import pytest

from logger.cli import run
from logger.errors import CheckFailedError, ServiceError
from logger.service.install import Installer
from logger.service.machine import Answer
from logger.store import schema
from tests.service.folder import RUNNING, Folder

OLD, NEW = "/opt/envoylog/1/bin/envoylog", "/opt/envoylog/2/bin/envoylog"
UNIT = "/etc/systemd/system/envoylog.service"
BACKUP = "/var/lib/envoylog/backups/b.db"


@pytest.fixture
def machine(tmp_path: Path) -> Folder:
    """A machine on which the old version runs well, with schema 5; the new one needs 6, and takes it."""
    folder = Folder.at(tmp_path)
    folder.path("/etc/envoylog").mkdir()
    folder.path("/etc/envoylog/config.toml").write_text("poll_every_s = 60\n")
    install(folder, OLD)
    there = ["0005"]

    def migrated(to: str) -> Answer:
        there[0] = to
        return Answer(0, f"schema {to}\n", "")

    folder.answers.update(
        {
            "systemctl show": lambda: Answer(0, RUNNING, ""),
            "health": lambda: Answer(0, "OK roof: measured 3 s ago\n", ""),
            f"{OLD} --config /etc/envoylog/config.toml db backup": lambda: Answer(
                0, f"{BACKUP}: 1.2 MB, verified\n", ""
            ),
            f"{NEW} --config /etc/envoylog/config.toml db current": lambda: Answer(
                0, f"database {there[0]}, program 0007\n", ""
            ),
            "db upgrade --to 0005": lambda: migrated("0005"),
            "db upgrade": lambda: migrated("0007"),
            "status --json": lambda: Answer(0, json.dumps({"gateways": [{"last_good_age_s": age_s(folder)}]}), ""),
        }
    )
    folder.done.clear()
    return folder


def install(machine: Folder, program: str, **options: object) -> list[str]:
    path = machine.path(program)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    said: list[str] = []
    Installer(machine, program, said.append, **options).install()  # type: ignore[arg-type]
    return said


def age_s(machine: Folder) -> float:
    """The newest poll is 30 s old at the start; the new version takes one after 18 s."""
    return machine.passed_s() - 18 if machine.passed_s() >= 18 else machine.passed_s() + 30


def order(machine: Folder, *parts: str) -> list[str]:
    """The parts of commands in the order in which those were done, the first time each."""
    found = {part: next((n for n, line in enumerate(machine.done) if line.endswith(part)), None) for part in parts}
    assert None not in found.values(), (found, machine.done)
    return sorted(parts, key=lambda part: found[part] or 0)


def started(machine: Folder) -> str:
    """The program that the unit starts and the one behind the command."""
    unit = machine.path(UNIT).read_text()
    assert f"ExecStart={machine.path('/usr/local/bin/envoylog').readlink()} run" in unit
    return str(machine.path("/usr/local/bin/envoylog").readlink())


def test_the_database_is_backed_up_by_the_old_version_before_anything_stops(machine: Folder) -> None:
    install(machine, NEW)
    parts = ("db backup", "stop envoylog.service", "db upgrade", "daemon-reload", "restart envoylog.service")
    assert order(machine, *parts) == list(parts)
    assert started(machine) == NEW


def test_a_new_version_has_to_poll_before_it_is_called_well(machine: Folder) -> None:
    said = install(machine, NEW)
    assert machine.passed_s() >= 15  # The poll of the old version, 30 s old at the start, is not enough.
    assert any("is well: OK" in line for line in said)


def test_a_version_that_does_not_start_is_taken_back_with_its_schema(machine: Folder) -> None:
    tries = iter(["failed"])
    machine.answers["systemctl restart"] = lambda: (
        Answer(1, "", "Job for envoylog.service failed.") if next(tries, None) else Answer(0, "", "")
    )
    with pytest.raises(CheckFailedError, match=r"Job for envoylog.service failed.*The old one runs again"):
        install(machine, NEW)
    assert started(machine) == OLD
    assert order(machine, "db upgrade", "db upgrade --to 0005")
    assert not [line for line in machine.done if "restore" in line]


def test_a_version_that_never_polls_is_taken_back_after_two_minutes(machine: Folder) -> None:
    machine.answers["status --json"] = lambda: Answer(0, '{"gateways": [{"last_good_age_s": 1000}]}', "")
    with pytest.raises(CheckFailedError, match="it has not polled yet"):
        install(machine, NEW)
    assert 115 <= machine.passed_s() <= 125
    assert started(machine) == OLD


def test_a_version_that_ends_again_and_again_is_taken_back_at_once(machine: Folder) -> None:
    machine.answers["systemctl show"] = lambda: Answer(
        0, RUNNING.replace("NRestarts=0", "NRestarts=4") if started(machine) == NEW else RUNNING, ""
    )
    with pytest.raises(CheckFailedError):
        install(machine, NEW)
    assert machine.passed_s() < 10
    assert started(machine) == OLD


def test_a_schema_that_does_not_go_back_is_restored_from_the_backup(machine: Folder) -> None:
    machine.answers["status --json"] = lambda: Answer(0, "{}", "")
    machine.answers["db upgrade --to 0005"] = lambda: Answer(6, "", "envoylog: no way back")
    with pytest.raises(CheckFailedError, match=f"since the backup {BACKUP}"):
        install(machine, NEW)
    assert [line for line in machine.done if OLD in line and line.endswith(f"db restore {BACKUP} --yes")]


def test_who_interrupts_an_upgrade_has_the_old_version(machine: Folder) -> None:
    def interrupted() -> Answer:
        raise KeyboardInterrupt

    machine.answers["status --json"] = interrupted
    with pytest.raises(CheckFailedError, match="it was interrupted"):
        install(machine, NEW)
    assert started(machine) == OLD
    assert machine.done[-1] != "systemctl stop envoylog.service"


def test_without_room_for_a_backup_nothing_is_touched(machine: Folder) -> None:
    machine.answers[f"{OLD} --config /etc/envoylog/config.toml db backup"] = lambda: Answer(
        6, "", "envoylog: the disk is full; free 1.2 MB.\n"
    )
    with pytest.raises(ServiceError, match=r"db backup.*the disk is full; free 1.2 MB"):
        install(machine, NEW)
    assert started(machine) == OLD
    assert not [line for line in machine.done if "systemctl stop" in line]
    install(machine, NEW, backup=False)
    assert started(machine) == NEW


def test_what_was_broken_before_does_not_stop_an_upgrade(machine: Folder) -> None:
    machine.answers["health"] = lambda: Answer(2, "CRITICAL roof: nothing measured for 900 min\n", "")
    said = install(machine, NEW)
    assert any("as before: CRITICAL" in line for line in said)
    assert started(machine) == NEW


def test_a_version_put_over_the_old_one_says_where_the_backup_is(machine: Folder) -> None:
    machine.path(UNIT).write_text(machine.path(UNIT).read_text().replace(OLD, NEW).replace("(0.1", "(0.0"))
    machine.answers[f"{NEW} --config /etc/envoylog/config.toml db backup"] = lambda: Answer(0, f"{BACKUP}: 1 MB\n", "")
    machine.answers["status --json"] = lambda: Answer(0, "{}", "")
    with pytest.raises(CheckFailedError, match=f"the backup is {BACKUP}"):
        install(machine, NEW)


def test_a_database_among_the_secrets_moves_to_the_groups_folder_and_back(machine: Folder) -> None:
    inactive = RUNNING.replace("=active", "=inactive")
    machine.path("/var/lib/envoylog/envoylog.db").write_text("years")
    machine.answers["systemctl show"] = lambda: Answer(0, inactive, "")
    with pytest.raises(CheckFailedError):
        install(machine, NEW)
    assert machine.path("/var/lib/envoylog/envoylog.db").read_text() == "years"
    machine.answers["systemctl show"] = lambda: Answer(0, inactive if started(machine) == OLD else RUNNING, "")
    machine.passed[0] = 0
    install(machine, NEW)
    assert machine.path("/var/lib/envoylog/db/envoylog.db").read_text() == "years"


def test_a_schema_goes_back_and_forth(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--database-url", sqlite_url, "db", "upgrade", "--to", "0005"]) == 0
    assert run(["--database-url", sqlite_url, "db", "current"]) == 0
    assert f"database 0005, program {schema.head()}" in capsys.readouterr().out
    assert run(["--database-url", sqlite_url, "db", "upgrade", "--to", "0099"]) == 6
    assert "There is no schema 0099" in capsys.readouterr().err
    assert run(["--database-url", sqlite_url, "db", "upgrade"]) == 0
