"""A recording shows what a gateway measures, and nothing of whose it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from logger.cli import run
from logger.clock import to_epoch_s, utc_now
from logger.doctor import bundle, visit
from logger.doctor.findings import Finding, Level
from logger.doctor.redaction import HIDDEN, Redaction
from logger.gateway import equipment, profile
from logger.settings import GatewaySettings, write_secret
from logger.simulator import recorded
from logger.simulator.houses import plain
from logger.simulator.recorded import Recorded, RecordedAnswer, RecordedGateway
from logger.simulator.server import GatewayServer
from logger.simulator.site import SimulatedClock
from logger.store.database import opened
from tests.conftest import Benches, daytime_zone
from tests.gateway import recordings

RECORDINGS = sorted(recordings.DIRECTORY.glob("*.json"))
#: what a poll stores; serial numbers differ, and instants of our own
TABLES = (
    "meters", "inverters", "production_samples", "consumption_samples", "meter_readings", "inverter_samples",
    "batteries", "battery_samples", "storage_samples", "site_states",
)  # fmt: skip
OURS = {"polled_at", "at", "first_seen_at", "last_seen_at", "reading_age_s"}


def redacted(answers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the answers as they are recorded, and which serial number stands for which."""
    redaction = Redaction()
    texts = {path: as_text(answer["body"]) for path, answer in answers.items()}
    redaction.learn([{"serial": profile.parse_info(texts[profile.INFO]).serial}])
    redaction.learn(map(Redaction.parsed, texts.values()))
    found = {
        path: {
            "status": answer["status"],
            "body": redaction.body(texts[path], is_for_people=path == profile.PRODUCTION),
        }
        for path, answer in answers.items()
    }
    return found, redaction._serials


def as_text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_reads_like_its_gateway_under_other_serial_numbers(path: Path) -> None:
    original = json.loads(path.read_text())
    found, serials = redacted(original["answers"])
    written = json.dumps(found)
    assert not [serial for serial in serials if len(serial) > 5 and serial in written]
    before = json.dumps(recordings.plain(*recordings.polled(original["answers"], original["at_s"])))
    for serial, instead in ((serial, serials[serial]) for serial in serials if len(serial) > 5):
        before = re.sub(rf"(?<![0-9]){serial}(?![0-9])", instead, before)
    after = json.dumps(recordings.plain(*recordings.polled(found, original["at_s"])))
    # Names of what is connected to a contact are the owner's own words.
    assert re.sub('"contact (NC|NO)[0-9] name": "[^"]*"', "", after) == re.sub(
        '"contact (NC|NO)[0-9] name": "[^"]*"', "", before
    )


PRIVATE = {
    "owner": "Jane Doe",
    "load_name": "Jane's pool",
    "state": "Jane's house, 12 Main Street",
    "ssid": "DoeWifi",
    "ip": "192.168.17.23",
    "gateway_ip": "10.11.12.13",
    "ipv6": "fe80::1c2d:3e4f",
    "mac": "AA:BB:CC:DD:EE:01",
    "email": "jane@example.org",
    "token": "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiIxIn0.c2lnbmF0dXJl",
    "password": "hunter22",
    "latitude": 52.1234567,
    "longitude": 4.7654321,
    "phone": "612345678",
    "der_id": 482326107450,
    "some_text": "202512345678",
    "AA:BB:CC:DD:EE:02": "eth0",
    "492320000140": {"sn": "492320000141", "serial_num": 492320000142, "device_id": "old-serial-7"},
    "nested": [{"deeper": [{"street": "12 Main Street", "site_id": 1234567}]}],
}


def leaks(value: Any) -> list[str]:
    """Return each text and number in a document that must not come out of it, keys too."""
    if isinstance(value, dict):
        keys = [key for key in value if re.search("[0-9]{6}|:", key)]
        return [*keys, *(leak for item in value.values() for leak in leaks(item))]
    if isinstance(value, list):
        return [leak for item in value for leak in leaks(item)]
    return [str(value)]


def test_names_addresses_and_secrets_of_any_page_are_hidden() -> None:
    redaction = Redaction()
    redaction.learn([PRIVATE])
    written = json.dumps(redaction.document(PRIVATE))
    assert [leak for leak in leaks(PRIVATE) if leak in written and leak != "eth0"] == []


def test_what_is_measured_stays() -> None:
    measured = {
        "joulesProduced": 482_326_107_450, "timestamp": 1_781_524_800, "wNow": -3.8, "last_rpt_date": "1781524800",
        "percentFull": "39", "statusFlags": ["production-imbalance"], "measurementType": "net-consumption",
        "software_build_epoch": 1_700_000_000, "eid": 704_643_328, "temperature": "unknown", "communicating": True,
    }  # fmt: skip
    assert Redaction().document(measured) == measured


@pytest.mark.parametrize(
    "text",
    ["", "null", "0", '"x"', "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, '{"a": 1', "<", "<envoy_info>", "\ud800",
     '<envoy_info><!ENTITY a "b"></envoy_info>', '{"serialNumber": {"a": []}, "sn": null, "": NaN, "x": 1e999}'],
)  # fmt: skip
def test_whatever_a_page_answers_can_be_recorded(text: str) -> None:
    redaction = Redaction()
    redaction.learn([Redaction.parsed(text)])
    written = json.dumps(redaction.body(text, is_for_people=True))
    assert json.loads(written) == redaction.body(text, is_for_people=True)


@pytest.mark.parametrize(
    ("zone", "stays"), [("Europe/Brussels", True), ("US/Eastern", True), ("Japan", True), ("Janeville", False)]
)
def test_a_time_zone_stays_and_no_other_word_in_its_place(zone: str, stays: bool) -> None:
    assert Redaction().document({"timezone": zone}) == {"timezone": zone if stays else HIDDEN}


def test_one_serial_number_is_the_same_on_every_page() -> None:
    redaction = Redaction()
    pages = [{"serial_num": "492320000140"}, {"492320000140": {"x": 1}}, [{"sn": "492320000140"}]]
    redaction.learn(pages)
    power, status, (device,) = (redaction.document(page) for page in pages)
    (key,) = status
    assert power["serial_num"] == key == device["sn"] != "492320000140"


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("The token belongs to gateway 122334455667, but 202512345678 answers", "gateway (serial), but (serial)"),
        ("/home/jane/.config/envoylog/config.toml can't be read", "(path) can't be read"),
        ("/production.json?details=1: status 503: not ready.", "/production.json?details=1: status 503: not ready."),
        ("Enlighten refused the user 'jane@example.org'", "the user '(address)'"),
        ("connection to postgresql://jane:pw@db.lan/energy failed at 12:34:56", "to (address) failed at 12:34:56"),
        ("roof at 10.1.2.3 or fe80::1%eth0", "at (address) or (address)"),
    ],
)
def test_sentences_lose_names_addresses_and_paths(sentence: str, left: str) -> None:
    found = Redaction({"roof": "gateway-1"}).sentence(sentence)
    assert left in found
    assert "roof" not in found


# --------------------------------------------------------------------------------- served


def stored(url: str, token: str | None, directory: Path) -> dict[str, Any]:
    """Return what one poll stores, serial numbers by their order."""
    directory.mkdir()
    config = directory / "config.toml"
    lines = [f'database_url = "sqlite:///{directory}/e.db"', f'state_dir = "{directory}/state"', "[[gateways]]"]
    lines += ['name = "roof"', f'host = "{url}"', f'time_zone = "{daytime_zone()}"']
    if token is not None:
        write_secret(directory / "token", token)
        lines.append('token_file = "token"')
    config.write_text("\n".join(lines))
    run(["--config", str(config), "poll"])
    found: dict[str, Any] = {}
    serials: set[str] = set()
    with opened(f"sqlite:///{directory}/e.db", read_only=True) as engine, engine.connect() as connection:
        for table in TABLES:
            rows = [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))]
            serials |= {row["serial"] for row in rows if "serial" in row}
            # What an owner calls the load of a contact is his own.
            rows = [row for row in rows if not str(row.get("subject")).endswith(" name")]
            found[table] = [{key: value for key, value in row.items() if key not in OURS} for row in rows]
        found["polls"] = [tuple(row) for row in connection.execute(text("SELECT outcome, error FROM polls"))]
    written = json.dumps(found, default=str)
    for number, serial in enumerate(sorted(serials)):
        written = written.replace(f'"{serial}"', f'"S{number}"')
    return {key: sorted(map(repr, rows)) for key, rows in json.loads(written).items()}


def served(answers: Mapping[str, Any]) -> Recorded:
    """A gateway with these answers."""
    info = profile.parse_info(answers[profile.INFO]["body"])
    gateway = RecordedGateway(
        name="original",
        serial=info.serial,
        firmware=info.firmware,
        recorded_at_s=to_epoch_s(utc_now()),
        answers={path: RecordedAnswer(answer["status"], answer["body"]) for path, answer in answers.items()},
    )
    return Recorded(model=recorded.model_of(gateway), clock=SimulatedClock(utc_now()), gateway=gateway)


@pytest.mark.parametrize("kind", ["3.17-legacy", "8.2-iq-batteries-with-ct", "8.3-html-for-readings"])
def test_a_poll_of_a_served_recording_stores_what_a_poll_of_its_gateway_stores(kind: str, tmp_path: Path) -> None:
    original = json.loads((recordings.DIRECTORY / f"{kind}.json").read_text())
    simulation = served(original["answers"])
    with GatewayServer(simulation) as server:
        before = stored(server.url, simulation.token(), tmp_path / "before")
        assert run(["--config", str(tmp_path / "before/config.toml"), "doctor", "--bundle", str(tmp_path / "b")]) >= 0
    read = recorded.read(tmp_path / "b")
    replayed = Recorded(
        model=recorded.model_of(read.gateways[0]), clock=SimulatedClock(utc_now()), gateway=read.gateways[0]
    )
    assert replayed.model.serial != simulation.model.serial
    with GatewayServer(replayed) as server:
        assert stored(server.url, replayed.token(), tmp_path / "after") == before


def test_a_bundle_names_nobody(bench: Benches, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roof = bench(cts="net")
    roof.clock.speed = 1.0
    roof.clock.set(utc_now())
    token = roof.simulation.token()
    write_secret(roof.directory / "roof.token", token)
    config = roof.directory / "config.toml"
    config.write_text(
        f'database_url = "{roof.settings.database_url}"\nstate_dir = "{roof.settings.state_dir}"\n'
        f'[[gateways]]\nname = "Doe family"\nhost = "{roof.server.url}"\ntoken_file = "roof.token"\n'
        'username = "jane@example.org"\n[gateways.panel_names]\n122000000003 = "Jane\'s attic"\n'
    )
    run(["--config", str(config), "poll"])
    run(["--config", str(config), "doctor", "--bundle", str(tmp_path / "b.json")])
    written = (tmp_path / "b.json").read_text()
    assert "look through it" in capsys.readouterr().err
    serials = [row["serialNumber"] for row in roof.simulation.page(roof.clock(), profile.V1_INVERTERS)]
    private = [
        *serials,
        "122334455667",
        "Doe",
        "jane",
        "Jane",
        "attic",
        "127.0.0.1",
        str(roof.directory),
        token,
        token.split(".")[2],
    ]
    assert [text for text in private if text in written] == []
    bundled = json.loads(written)
    assert bundled["gateways"][0]["name"] == "gateway-1"
    assert {finding["level"] for finding in bundled["findings"]} <= {"ok", "warning", "error"}


def test_instants_of_a_recording_can_be_moved_to_now() -> None:
    body = {"readingTime": 1_781_524_800, "nested": [{"last_rpt_date": "1781524700"}], "joulesProduced": 1_781_524_800}
    found = recorded.moved(body | {"timestamp": 0}, 3600)
    assert found == {
        "readingTime": 1_781_528_400, "nested": [{"last_rpt_date": "1781528300"}], "joulesProduced": 1_781_524_800,
        "timestamp": 0,
    }  # fmt: skip
    assert recorded.moved("<envoy_info><time>100</time></envoy_info>", 5) == "<envoy_info><time>105</time></envoy_info>"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("not json", [], "is no recording"),
        ("[]", [], "is no recording"),
        ('{"envoylog_bundle": 2, "gateways": []}', [], "another version"),
        ('{"envoylog_bundle": 1, "gateways": []}', [], "holds no gateway"),
        ('{"envoylog_bundle": 1, "gateways": []}', ["--inverters", "3"], "--inverters can't change a recording"),
    ],
)
def test_what_can_not_be_served_is_refused_in_a_sentence(
    content: str, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(content)
    assert run(["simulate", "--from", str(path), *options]) == 2
    assert words in capsys.readouterr().err


def test_looking_leaves_nothing_behind_and_logs_in_nowhere(bench: Benches) -> None:
    roof = bench(cts="net")
    account = {"username": "me@example.org", "password": "correct horse", "token_file": None}
    seen = visit.pay(roof.settings, roof.gateway(**account).settings, roof.environ, clock=roof.clock)
    assert seen.poll is None
    assert "envoylog token renew roof" in str(seen.error)
    assert "cloud" not in {request.credentials for request in roof.simulation.requests}
    assert not roof.settings.state_dir.exists()


def test_the_equipment_pages_are_in_a_recording_of_batteries(bench: Benches) -> None:
    house = plain(1, "net", "iq")
    roof = bench(shape=house.shape, **house.model)
    seen = visit.pay(roof.settings, roof.settings.gateways[0], roof.environ, clock=roof.clock, with_more_pages=True)
    assert {profile.HOME, profile.V1_INVERTERS, equipment.INVENTORY, equipment.POWER} <= seen.answers.keys()
    (gateway,) = bundle.bundle(roof.settings, [], [seen])["gateways"]
    assert gateway["answers"][profile.HOME]["body"]["timezone"] == roof.simulation.model.time_zone
    assert HIDDEN not in json.dumps(gateway["answers"][equipment.POWER])


def test_addresses_that_are_none_are_hidden_too(bench: Benches) -> None:
    settings = replace(
        bench().settings,
        database_url="postgresql://me:hunter2@[::1/x",
        gateways=(GatewaySettings(name="x", host="[::1"),),
    )
    found = Finding("database", Level.ERROR, "can't open postgresql://me:hunter2@[::1/x for [::1", "look at it")
    assert not re.search("hunter2|::1", json.dumps(bundle.bundle(settings, [found], [])))
