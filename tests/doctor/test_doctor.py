"""Installations that are broken on purpose: the doctor names what is wrong with each, and what to do."""

import contextlib
import http.server
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from logger.cli import run
from logger.clock import to_epoch_s, utc_now
from logger.doctor import examination, installation, machine, measurements
from logger.doctor.findings import Finding, Level
from logger.readings import Poll
from logger.service.machine import Answer, Machine
from logger.service.state import look
from logger.settings import Settings, places, write_secret
from logger.simulator import access
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import SimulatedClock
from logger.store import transfer
from logger.store.database import opened
from logger.store.spool import Spool
from tests.another_user import NOBODY, ROOT_ALONE, as_user
from tests.cli.test_bad_input import config_of
from tests.conftest import Bench, daytime_zone
from tests.service.folder import Folder

#: What depends on the machine that runs the tests.
OF_THE_MACHINE = {"PATH", "clock", "disk", "service"}


class Patient:
    """A good installation with a gateway that was polled just now, for a test to break."""

    def __init__(self, roof: Bench) -> None:
        self.roof = roof
        self.config = config_of(roof)
        self.token = roof.directory / "roof.token"
        self.state = roof.settings.state_dir
        self.database = Path(roof.settings.database_url.removeprefix("sqlite:///"))
        self.environ: dict[str, str] = {"HOME": str(roof.directory), "XDG_CONFIG_HOME": str(roof.directory / "own")}
        self.later = timedelta(0)

    def write_token(self, token: str) -> None:
        write_secret(self.token, token)

    def poll(self) -> None:
        assert run(["--config", str(self.config), "poll"]) == 0

    def configure(self, **more: str) -> None:
        self.config = config_of(self.roof, **more)

    def execute(self, statement: str, **values: Any) -> None:
        with self.roof.engine().begin() as connection:
            connection.execute(text(statement), values)

    def examined(self) -> list[Finding]:
        here = installation.found(str(self.config), self.environ, clock=lambda: utc_now() + self.later)
        return examination.examine(here, system=Machine(root=self.roof.directory / "machine"))[0]

    def wrong(self, level: Level = Level.ERROR) -> dict[str, Finding]:
        """What is not fine, by check; not what the machine of the tests is like."""
        found = [finding for finding in self.examined() if finding.level is level]
        return {finding.check: finding for finding in found if finding.check not in OF_THE_MACHINE}


@dataclass
class Clinic:
    """A gateway, and what one poll of it left: an installation that each test gets a copy of."""

    simulation: Simulation
    server: GatewayServer
    directory: Path


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    simulation = Simulation(model=Model(cts="net"), clock=SimulatedClock(utc_now(), speed=1.0))
    with GatewayServer(simulation) as server:
        clinic = Clinic(simulation, server, tmp_path_factory.mktemp("clinic"))
        Patient(bench_of(clinic, clinic.directory)).poll()
        yield clinic


def bench_of(clinic: Clinic, directory: Path) -> Bench:
    write_secret(directory / "roof.token", clinic.simulation.token())
    loaded = Settings(database_url=f"sqlite:///{directory / 'envoylog.db'}", state_dir=directory / "state")
    return Bench(clinic.simulation, clinic.server, loaded, directory, contextlib.ExitStack())


@pytest.fixture
def polled(clinic: Clinic, tmp_path: Path) -> Iterator[Patient]:
    directory = tmp_path / "installation"
    shutil.copytree(clinic.directory, directory)
    with (roof := bench_of(clinic, directory)).stack:
        yield Patient(roof)
    clinic.simulation.faults.clear()


@pytest.fixture
def patient(polled: Patient) -> Patient:
    """Another that nobody has polled yet."""
    polled.database.unlink()
    shutil.rmtree(polled.state)
    return polled


def test_nothing_is_wrong_with_a_good_installation(polled: Patient) -> None:
    found = polled.examined()
    assert [finding for finding in found if finding.level is not Level.OK and finding.check not in OF_THE_MACHINE] == []
    asked = {"configuration", "values", "state_dir", "program", "extras", "database", "soundness", "schema", "backups",
             "room", "gateway", "certificate", "token", "poll", "last poll", "CTs", "stalled", "inverters"}  # fmt: skip
    assert asked <= {finding.check for finding in found}
    assert all(finding.to_do for finding in found if finding.level is not Level.OK)
    assert not any(finding.to_do for finding in found if finding.level is Level.OK)


# --------------------------------------------------------------------------- configuration


def test_no_configuration_at_all_is_answered_by_setup(tmp_path: Path) -> None:
    here = installation.found(None, {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)})
    if here.config_path is not None:
        pytest.skip("this machine has a configuration in /etc")
    (finding,) = [found for found in examination.examine(here)[0] if found.level is Level.ERROR]
    assert "no configuration" in finding.finding
    assert finding.to_do == "envoylog setup"


def test_a_configuration_without_a_gateway_is_answered_by_setup(patient: Patient) -> None:
    patient.config.write_text(f'database_url = "sqlite:///{patient.database}"\nstate_dir = "{patient.state}"\n')
    assert patient.wrong()["configuration"].to_do == "envoylog setup"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"pollls": "1"}, "pollls"), ({"poll_every_s": "7"}, "poll_every_s"), ({"host": '"http://["'}, "host"),
     ({"time_zone": '"Europe/Nowhere"'}, "Europe/Nowhere")],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_to_write(patient: Patient, change: dict[str, str], named: str) -> None:
    patient.configure(**change)
    finding = patient.wrong()["configuration"]
    assert named in finding.finding
    assert finding.to_do
    assert not finding.to_do.endswith("?")


def test_a_secret_that_others_can_read_is_named_with_the_command(polled: Patient) -> None:
    polled.token.chmod(0o644)
    finding = polled.wrong()["token"]
    assert str(polled.token) in finding.finding
    assert finding.to_do == f"chmod 600 {polled.token}"


def test_a_missing_password_file_and_a_password_without_a_name_are_named(polled: Patient) -> None:
    polled.configure(username='"me@example.org"', password_file='"nowhere.txt"')
    assert "nowhere.txt" in polled.wrong()["account"].finding
    write_secret(polled.roof.directory / "here.txt", "correct horse")
    polled.configure(password_file='"here.txt"')
    assert polled.wrong()["account"].to_do == "add username, or remove password_file"


def test_a_second_configuration_is_a_warning(polled: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", tmp_path)
    (tmp_path / "config.toml").write_text("")
    own = places.user_config(polled.environ)
    own.parent.mkdir(parents=True)
    shutil.copy(polled.config, own)
    shutil.copy(polled.token, own.parent)
    here = installation.found(None, polled.environ)
    found = examination.examine(here)[0]
    assert any("two configurations" in finding.finding for finding in found if finding.level is Level.WARNING)


def test_a_variable_that_means_nothing_is_a_warning(polled: Patient) -> None:
    polled.environ["ENVOYLOG_POL_EVERY_S"] = "10"
    assert "ENVOYLOG_POL_EVERY_S" in polled.wrong(Level.WARNING)["configuration"].finding


def test_a_state_directory_that_can_not_be_made_is_named(patient: Patient) -> None:
    patient.state.parent.mkdir(exist_ok=True)
    patient.state.write_text("a file")
    assert str(patient.state) in patient.wrong()["configuration"].finding


# -------------------------------------------------------------------------------- database


def test_a_folder_of_pages_that_can_not_be_made_is_named(patient: Patient) -> None:
    (patient.roof.directory / "file").touch()
    text = patient.config.read_text()
    for directory, is_wrong in (("pages", False), ("file", True), ("file/pages", True)):
        place = patient.roof.directory / directory
        patient.config.write_text(f'{text}\n[pages]\ndirectory = "{place}"\n')
        assert ("pages" in patient.wrong()) == is_wrong


def test_a_database_that_is_not_there_yet_is_named(patient: Patient) -> None:
    finding = patient.wrong()["database"]
    assert str(patient.database) in finding.finding
    assert "envoylog run" in str(finding.to_do)


def test_an_older_schema_is_answered_by_the_upgrade(polled: Patient) -> None:
    polled.execute("UPDATE alembic_version SET version_num = '0005'")
    assert polled.wrong()["schema"].to_do == "envoylog db upgrade"


def test_a_damaged_database_is_named_with_the_way_back(polled: Patient) -> None:
    with polled.database.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(os.urandom(4096 * 8))
    wrong = polled.wrong()
    finding = wrong.get("soundness") or wrong["database"]
    assert "damaged" in finding.finding
    assert "envoylog db restore" in str(finding.to_do)


def test_a_folder_in_the_place_of_the_database_is_named(patient: Patient) -> None:
    patient.database.mkdir()
    assert "is a folder" in patient.wrong()["database"].finding


def test_a_file_that_is_no_database_is_named(polled: Patient) -> None:
    polled.database.write_bytes(b"hello" * 2000)
    assert "not a database" in polled.wrong()["database"].finding


def test_a_server_that_is_down_is_named_without_its_password(polled: Patient) -> None:
    polled.environ["ENVOYLOG_DATABASE_URL"] = "postgresql://me:hunter22@127.0.0.1:9/energy"
    finding = polled.wrong()["database"]
    assert "127.0.0.1:9" in finding.finding
    assert "hunter22" not in f"{polled.examined()}"


@ROOT_ALONE
def test_a_database_of_another_user_is_named(polled: Patient, public_path: Path) -> None:
    database, config = public_path / "energy.db", public_path / "config.toml"
    shutil.copy(polled.database, database)
    database.chmod(0o600)
    config.write_text(f'database_url = "sqlite:///{database}"\nstate_dir = "{public_path}/state"\n')
    with as_user(NOBODY):
        here = installation.found(str(config), {})
        found = {finding.check: finding for finding in examination.examine(here)[0] if finding.level is Level.ERROR}
    assert str(database) in found["database"].finding
    assert found["database"].to_do


@ROOT_ALONE
def test_who_may_only_read_is_told_who_may_look_at_secrets_and_nothing_is_an_error(
    polled: Patient, public_path: Path
) -> None:
    shutil.copytree(polled.roof.directory, public_path / "all")
    home = public_path / "all"
    config, state = home / "config.toml", home / "state"
    config.write_text(polled.config.read_text().replace(str(polled.roof.directory), str(home)))
    for path in (home, config, home / "envoylog.db"):
        path.chmod(path.stat().st_mode | 0o055)
    state.chmod(0o700)
    polled.roof.simulation.requests.clear()
    with as_user(NOBODY):
        here = installation.found(str(config), {})
        found = examination.examine(here)[0]
    assert [finding for finding in found if finding.level is Level.ERROR] == []
    (secrets,) = [finding for finding in found if finding.check == "secrets"]
    assert secrets.to_do == "sudo envoylog doctor"
    assert {"gateway", "database", "last poll"} <= {finding.check for finding in found}
    assert {request.credentials for request in polled.roof.simulation.requests} == {"none"}


def test_an_old_backup_is_a_warning_and_so_is_none_after_a_week(polled: Patient) -> None:
    polled.execute("UPDATE polls SET polled_at = '2026-01-01 00:00:00'")
    polled.execute("INSERT INTO polls VALUES (1, '2026-02-01 00:00:00', 1, 'complete', NULL)")
    assert polled.wrong(Level.WARNING)["backups"].to_do == "envoylog db backup"
    old = polled.state / "backups" / "envoylog-20260101-000000.db"
    old.parent.mkdir()
    old.write_text("")
    os.utime(old, (0, to_epoch_s(utc_now() - timedelta(days=40))))
    assert "40 days old" in polled.wrong(Level.WARNING)["backups"].finding
    os.utime(old)
    assert "backups" not in polled.wrong(Level.WARNING)


@pytest.mark.parametrize(
    ("change", "level", "named"),
    [
        ({"f_bavail": 100}, Level.ERROR, "full"),
        ({"f_bavail": 20_000}, Level.WARNING, "82 MB left"),
        ({"f_flag": os.ST_RDONLY}, Level.ERROR, "can only be read"),
        ({"f_favail": 0}, Level.ERROR, "no more files"),
        ({}, Level.OK, "GB free"),
    ],
)
def test_a_disk_that_takes_nothing_more_is_named(
    change: dict[str, int], level: Level, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = {"f_bavail": 10**7, "f_frsize": 4096, "f_flag": 0, "f_files": 1000, "f_favail": 100} | change
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**disk))
    monkeypatch.setattr(machine, "filesystem", lambda _: "ext4")
    (finding,) = machine.room("database", tmp_path)
    assert finding.level is level
    assert named in finding.finding


@ROOT_ALONE
def test_files_that_keep_the_collector_out_are_named_with_the_command(polled: Patient) -> None:
    for path in (polled.state, *polled.state.rglob("*"), polled.token, polled.database, polled.roof.directory):
        os.chown(path, NOBODY, NOBODY)
    assert "owners" not in polled.wrong()
    pin = polled.state / "certificates" / "roof.sha256"
    os.chown(pin, 0, 0)
    finding = polled.wrong()["owners"]
    assert str(pin) in finding.finding
    assert finding.to_do == f"sudo chown -R nobody: {polled.state}"
    os.chown(pin, NOBODY, NOBODY)
    Path(f"{polled.database}-wal").write_bytes(b"")
    finding = polled.wrong()["owners"]
    assert "-wal" in finding.finding
    assert finding.to_do == f"sudo chown nobody: {polled.database}*"
    Path(f"{polled.database}-wal").unlink()
    os.chown(polled.token, 0, 0)
    assert polled.wrong()["owners"].to_do == f"sudo chown nobody {polled.token}"


def test_a_changed_time_zone_or_grid_meter_is_an_error_as_nothing_is_stored(polled: Patient) -> None:
    polled.execute("UPDATE gateways SET time_zone = 'Asia/Tokyo'")
    assert "envoylog db rebuild" in str(polled.wrong()["configuration"].to_do)
    polled.execute("UPDATE gateways SET time_zone = :zone", zone=daytime_zone())
    assert "configuration" not in polled.wrong()
    polled.configure(grid_meter='"per_phase"')
    assert "balancing" in polled.wrong()["configuration"].finding


def test_totals_that_do_not_follow_the_polls_are_a_warning(polled: Patient) -> None:
    polled.execute("DELETE FROM energy_15min")
    polled.execute(
        "INSERT INTO production_samples VALUES (1, :at, 'total', 1, 1, NULL, 'ct')",
        at=f"{utc_now() - timedelta(hours=5):%Y-%m-%d %H:%M:%S}",
    )
    assert polled.wrong(Level.WARNING)["totals"].to_do == "envoylog db rebuild"


def test_polls_that_were_set_aside_are_named(polled: Patient) -> None:
    refused = polled.state / "spool" / "roof.refused"
    refused.parent.mkdir(exist_ok=True)
    refused.write_text("{}")
    assert str(refused) in polled.wrong(Level.WARNING)["spool"].finding


@pytest.mark.parametrize("kind", ["tmpfs", "nfs4", "cifs"])
def test_a_database_in_memory_or_on_a_share_is_a_warning(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "filesystem", lambda _: kind)
    assert next(machine.room("database", tmp_path)).level is Level.WARNING


# -------------------------------------------------------------------------------- gateways


def test_a_host_where_nothing_answers_is_named(polled: Patient) -> None:
    polled.configure(host='"https://127.0.0.1:9"')
    finding = polled.wrong()["gateway"]
    assert "127.0.0.1:9" in finding.finding
    assert finding.gateway == "roof"


class _Router(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><head><title>FRITZ!Box</title></head></html>"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def router() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Router)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_router_at_the_address_of_the_gateway_is_named(patient: Patient, router: str) -> None:
    patient.configure(host=f'"{router}"')
    assert "router" in patient.wrong()["gateway"].finding


def test_another_gateway_is_named_with_both_serial_numbers(polled: Patient) -> None:
    polled.configure(serial='"999999999999"')
    wrong = polled.wrong()
    assert any("122334455667" in finding.finding for finding in wrong.values())
    assert any("999999999999" in finding.finding for finding in wrong.values())


def test_another_certificate_is_named_and_no_secret_is_sent(polled: Patient) -> None:
    pin = polled.state / "certificates" / "roof.sha256"
    pin.write_text("0" * 64)
    polled.roof.simulation.requests.clear()
    finding = polled.wrong()["certificate"]
    assert "envoylog trust accept roof" in str(finding.to_do)
    assert {request.credentials for request in polled.roof.simulation.requests} == {"none"}


def test_a_damaged_pin_is_named_where_it_lies(polled: Patient) -> None:
    pin = polled.state / "certificates" / "roof.sha256"
    pin.write_text("")
    finding = polled.wrong()["certificate"]
    assert str(pin) in finding.finding
    assert "envoylog trust accept roof" in str(finding.to_do)


def test_a_missing_token_is_named(polled: Patient) -> None:
    polled.token.unlink()
    assert "can't be read" in polled.wrong()["token"].finding


@pytest.mark.parametrize(("days", "named"), [(-1, "expired"), (-400, "expired")])
def test_an_expired_token_is_said_once(polled: Patient, days: int, named: str) -> None:
    polled.write_token(polled.roof.simulation.token(days=days))
    found = [finding for finding in polled.examined() if finding.check == "token"]
    assert [named in finding.finding for finding in found] == [True]
    assert "envoylog token set" in str(found[0].to_do)


def test_a_token_of_another_gateway_is_named(polled: Patient) -> None:
    polled.write_token(polled.roof.simulation.entrez.token("111111111111", polled.roof.clock()))
    assert "111111111111" in polled.wrong()["token"].finding


def test_a_token_that_the_gateway_refuses_is_named(polled: Patient) -> None:
    polled.write_token(access.Entrez().token("122334455667", polled.roof.clock()))
    assert "refuses the token" in polled.wrong()["token"].finding


@pytest.mark.parametrize(
    ("days", "user", "has_account", "level"),
    [
        (365, "owner", False, Level.OK),
        (20, "owner", False, Level.WARNING),
        (0.5, "installer", False, Level.OK),
        (0.5, "installer", True, Level.OK),
        (0.02, "installer", False, Level.WARNING),
    ],
)
def test_a_token_is_judged_by_its_own_life_and_by_who_renews_it(
    polled: Patient, days: float, user: str, has_account: bool, level: Level
) -> None:
    polled.write_token(polled.roof.simulation.token(days=days, user=user))
    if has_account:
        write_secret(polled.roof.directory / "password", "correct horse")
        polled.configure(username='"me@example.org"', password_file='"password"')
        polled.environ |= {key: url for key, url in polled.roof.environ.items() if key.endswith("_URL")}
    (finding,) = [finding for finding in polled.examined() if finding.check == "token"]
    assert finding.level is level
    assert "cloud" not in {request.credentials for request in polled.roof.simulation.requests}


def test_clocks_that_differ_are_named_by_whose_is_kept_right(polled: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    polled.roof.simulation.fault("clock_skew", argument="10000")
    for ours, words in ((True, "samples carry our time"), (False, "nothing shows that this machine's is right")):
        monkeypatch.setattr("logger.doctor.gateways.is_synchronised", lambda ours=ours: ours)
        (finding,) = [finding for finding in polled.examined() if finding.check == "clock" and finding.gateway]
        assert "2 hours apart" in finding.finding
        assert words in finding.finding


def test_a_page_that_fails_is_named(polled: Patient) -> None:
    polled.roof.simulation.fault("cut")
    found = [finding for finding in polled.examined() if finding.check == "poll"]
    assert any("not whole JSON" in finding.finding for finding in found)


# ---------------------------------------------------------------------------- measurements


def test_a_collector_that_does_not_run_is_named_with_what_starts_it(polled: Patient) -> None:
    polled.later = timedelta(hours=3)
    finding = polled.wrong()["last poll"]
    assert "3 h" in finding.finding
    assert finding.to_do == "envoylog run"


def test_polls_that_wait_for_the_database_are_named(polled: Patient) -> None:
    waiting = Spool(polled.state, "roof")
    waiting.claim()
    waiting.append(Poll(gateway_serial="122334455667", polled_at=utc_now() - timedelta(hours=2), took_s=1.0))
    assert "wait for the database" in polled.wrong()["spool"].finding


def test_a_ct_that_can_not_be_right_is_named_with_what_to_look_at(polled: Patient) -> None:
    detail = "counted 3 Wh in all, net 90 kWh; look whether its clamp is there and plugged in"
    polled.execute(
        "INSERT INTO events (gateway_id, at, kind, subject, detail) "
        "VALUES (1, :at, 'clamp_missing', 'production', :detail)",
        at=f"{utc_now() - timedelta(hours=5):%Y-%m-%d %H:%M:%S}", detail=detail,
    )  # fmt: skip
    finding = polled.wrong(Level.WARNING)["CTs"]
    assert "counted 3 Wh" in finding.finding
    assert finding.to_do == "look whether its clamp is there and plugged in"


def test_a_silent_inverter_is_named_until_it_is_gone_for_good(polled: Patient) -> None:
    at = f"{utc_now() - timedelta(days=9):%Y-%m-%d %H:%M:%S}"
    polled.execute("UPDATE inverters SET last_seen_at = :at WHERE serial = (SELECT min(serial) FROM inverters)", at=at)
    finding = polled.wrong(Level.WARNING)["inverters"]
    assert "1 of 12 are silent" in finding.finding
    long_ago = f"{utc_now() - timedelta(days=99):%Y-%m-%d %H:%M:%S}"
    polled.execute("UPDATE inverters SET last_seen_at = :at WHERE last_seen_at = :before", at=long_ago, before=at)
    # One that was filled in by plain SQL may have reported nobody knows when.
    polled.execute("UPDATE inverters SET last_seen_at = NULL WHERE last_seen_at = :at", at=long_ago)
    assert "inverters" not in polled.wrong(Level.WARNING)


def test_a_weak_panel_is_named_as_people_call_it_with_the_report_of_panels(polled: Patient) -> None:
    polled.execute(
        "INSERT INTO panel_daily (gateway_id, day, serial, state) VALUES (1, :day, '122000000003', 'weak')",
        day=f"{utc_now() - timedelta(days=1):%Y-%m-%d}",
    )
    finding = polled.wrong(Level.WARNING)["inverters"]
    assert "122000000003 weak" in finding.finding
    assert finding.to_do == "envoylog panels"
    polled.execute("INSERT INTO panels (gateway_id, serial, name) VALUES (1, '122000000003', 'east 3')")
    assert "east 3 weak" in polled.wrong(Level.WARNING)["inverters"].finding


@pytest.mark.parametrize(("step_wh", "power_w", "is_stuck"), [(0, 900, True), (0, 0, False), (1, 900, False)])
def test_a_counter_that_stands_still_beside_power_is_named(
    polled: Patient, step_wh: int, power_w: int, is_stuck: bool
) -> None:
    polled.execute("DELETE FROM production_samples")
    for minute in range(0, 150, 5):
        polled.execute(
            "INSERT INTO production_samples VALUES (1, :at, 'total', :power_w, :wh, NULL, 'ct')",
            at=f"{utc_now() - timedelta(minutes=150 - minute):%Y-%m-%d %H:%M:%S}", power_w=power_w,
            wh=5000 + minute * step_wh,
        )  # fmt: skip
    assert ("stalled" in polled.wrong(Level.WARNING)) is is_stuck


@pytest.mark.parametrize(
    ("gateway", "database_url", "named", "code"),
    [
        ({}, "sqlite:///{}/new.db", "ok, 1 gateway", 0),
        ({"token_file": '"nowhere.token"'}, "sqlite:///{}/new.db", "nowhere.token", 3),
        ({"username": '"me"'}, "sqlite:///{}/new.db", "add password_file, or remove username", 3),
        ({"host": '"two words"'}, "sqlite:///{}/new.db", "is not an address", 3),
        ({"host": '"https://envoy.local/installer"'}, "sqlite:///{}/new.db", "is not an address", 3),
        ({}, "mysql://me@server/energy", "envoylog keeps SQLite and PostgreSQL", 3),
        ({}, "energy", "is not a database URL", 3),
        ({}, "sqlite:///{}", "is a folder", 3),
        ({}, "postgresql://me:hunter22@127.0.0.1:9/energy", "can't", 3),
        ({"tls": '"off"'}, "sqlite:///{}/new.db", "tls is off", 0),
    ],
)
def test_config_check_looks_at_everything_that_is_named(
    gateway: dict[str, str], database_url: str, named: str, code: int, polled: Patient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    polled.configure(**gateway)
    url = database_url.format(polled.roof.directory)
    lines = polled.config.read_text().splitlines()
    polled.config.write_text("\n".join([f'database_url = "{url}"', *lines[1:]]))
    polled.config.chmod(0o600)
    assert run(["--config", str(polled.config), "config", "check"]) == code
    out, err = capsys.readouterr()
    assert named in re.sub(r"\s+", " ", out + err)
    assert "hunter22" not in out + err


def test_config_check_without_a_configuration_is_answered_by_setup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    assert run(["config", "check"]) == 3
    assert "envoylog setup" in capsys.readouterr().err


# ------------------------------------------------------------------------------ the command


def test_a_service_whose_program_is_gone_is_named(polled: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", polled.config.parent)
    monkeypatch.setattr(places, "SYSTEM_STATE_DIR", polled.state)
    unit = polled.roof.directory / "machine/etc/systemd/system/envoylog.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nUser=envoylog\nExecStart=/opt/gone/bin/envoylog run\n")
    finding = next(found for found in polled.examined() if found.check == "service")
    assert finding.level is Level.ERROR
    assert "/opt/gone/bin/envoylog is gone" in finding.finding
    assert "envoylog service install" in str(finding.to_do)


@pytest.mark.parametrize(
    ("source", "age_s", "is_stale"), [("ct", 9000, True), ("ct", 20, False), ("inverters", 30_000, False)]
)
def test_a_meter_that_shows_an_old_reading_is_stale_and_inverters_at_night_are_not(
    polled: Patient, source: str, age_s: int, is_stale: bool
) -> None:
    polled.execute("UPDATE production_samples SET reading_age_s = :age_s, source = :source", age_s=age_s, source=source)
    assert ("stalled" in polled.wrong(Level.WARNING)) is is_stale


def test_variables_that_only_the_service_sees_are_a_warning(
    polled: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", polled.config.parent)
    system = Folder.at(tmp_path / "machine")
    shown = "ActiveState=active\nUnitFileState=enabled\nEnvironment=TZ=UTC ENVOYLOG_POLL_EVERY_S=10"
    system.answers["systemctl show"] = lambda: Answer(0, shown, "")
    system.path("/etc/systemd/system").mkdir(parents=True)
    system.path("/etc/systemd/system/envoylog.service").write_text("[Service]\n")
    here = installation.found(str(polled.config), polled.environ)
    finding = machine.service(here, look(system), system)
    assert finding.level is Level.WARNING
    assert "ENVOYLOG_POLL_EVERY_S" in finding.finding


def test_on_postgresql_it_looks_at_the_same(polled: Patient, postgresql_url: str) -> None:
    polled.environ["ENVOYLOG_DATABASE_URL"] = postgresql_url
    with opened(f"sqlite:///{polled.database}", read_only=True) as source, opened(postgresql_url) as target:
        transfer.copy(source, target)
    found = [finding for finding in polled.examined() if finding.check not in OF_THE_MACHINE]
    assert [finding for finding in found if finding.level is not Level.OK] == []
    assert {"database", "soundness", "schema", "last poll", "CTs", "inverters"} <= {finding.check for finding in found}


def test_it_prints_80_columns_and_ends_with_8_where_something_is_wrong(
    polled: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--config", str(polled.config), "doctor"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if len(line) > 80 and "/" not in line] == []
    polled.write_token(polled.roof.simulation.token(days=-1))
    assert run(["--config", str(polled.config), "doctor", "--json"]) == 8
    records = json.loads(capsys.readouterr().out)
    assert all(record.keys() == {"check", "level", "finding", "to_do", "gateway"} for record in records)
    assert any(record["check"] == "token" and record["level"] == "error" for record in records)


def test_a_bug_in_one_check_keeps_no_other_from_looking(polled: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(measurements, "examine", broken)
    found = polled.examined()
    assert found[-1].to_do == "please report this"
    assert {"gateway", "token", "poll"} <= {finding.check for finding in found}
