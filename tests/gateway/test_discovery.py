"""Gateways on this network, by mDNS; announced to this machine alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from logger.cli import run
from logger.errors import SettingsError
from logger.gateway import discovery
from logger.gateway.discovery import Found
from logger.gateway.http import Address
from logger.settings import load

Announce = Callable[..., None]
HERE = ["127.0.0.1"]
NOBODY = "_nobody._tcp.local."


def test_a_gateway_announces_serial_firmware_and_addresses_the_best_first(announce: Announce) -> None:
    announce("900000000001", "fe80::1", "fd00::1", "127.0.0.2", firmware="8.2.4345")
    found = {gateway.serial: gateway for gateway in discovery.discover(3, HERE, until="900000000001")}
    assert found["900000000001"] == Found(
        serial="900000000001", firmware="8.2.4345", addresses=("127.0.0.2", "fd00::1", "fe80::1"), port=80
    )


def test_what_is_announced_without_a_serial_number_is_no_gateway(
    announce: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SERVICE", "_odd._tcp.local.")
    announce("", "127.0.0.2", name="printer")
    announce("\x1b[31m900", "127.0.0.2", name="joker")
    announce("900000000005", "127.0.0.2", name="no\x07name")
    announce("900000000002", "127.0.0.2", firmware="\x07")
    found = discovery.discover(0.7, HERE)
    assert [(gateway.serial, gateway.firmware) for gateway in found] == [("900000000002", None)]


def test_the_command_lists_them_with_what_to_write(
    announce: Announce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SERVICE", "_two._tcp.local.")
    announce("900000000003", "127.0.0.2", firmware="7.6.175")
    announce("900000000004", "127.0.0.3")
    assert run(["discover", "--timeout-s", "0.7"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "serial        firmware    address",
        "900000000003  7.6.175     127.0.0.2",
        "900000000004  8.3.5289    127.0.0.3",
    ]
    assert 'name = "roof1"\nhost = "127.0.0.2"\nserial = "900000000003"' in err


def test_as_json_it_gives_a_record_for_each(
    announce: Announce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SERVICE", "_json._tcp.local.")
    announce("900000000003", "127.0.0.2", firmware="7.6.175")
    assert run(["discover", "--timeout-s", "0.7", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record == {"serial": "900000000003", "firmware": "7.6.175", "addresses": ["127.0.0.2"], "port": 80}


def test_what_the_command_shows_can_be_written_as_it_stands(
    announce: Announce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discovery, "SERVICE", "_one._tcp.local.")
    announce("900000000005", "127.0.0.2")
    assert run(["discover", "--timeout-s", "0.7"]) == 0
    config = tmp_path / "config.toml"
    config.write_text(capsys.readouterr().err.partition("configuration:\n")[2])
    (gateway,) = load(config, {}).gateways
    assert (gateway.host, gateway.serial) == ("127.0.0.2", "900000000005")


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_when_none_answers_it_names_what_else_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setattr(discovery, "SERVICE", NOBODY)
    assert run(["discover", "--timeout-s", "0.2", *args]) == 5
    out, err = capsys.readouterr()
    assert out.strip() == ("[]" if args else "")
    assert "No gateway announced itself within 0.2 s" in err


def test_a_machine_that_cannot_listen_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVOYLOG_MDNS_INTERFACES", "127.0.0.9")
    assert run(["discover", "--timeout-s", "0.2"]) == 5
    assert "can't listen" in capsys.readouterr().err


def test_interfaces_are_addresses() -> None:
    named = {"ENVOYLOG_MDNS_INTERFACES": "127.0.0.1, 192.168.1.2"}
    assert discovery.interfaces_of(named) == ["127.0.0.1", "192.168.1.2"]
    assert discovery.interfaces_of({}) is None
    with pytest.raises(SettingsError, match="eth0"):
        discovery.interfaces_of({"ENVOYLOG_MDNS_INTERFACES": "eth0"})


def test_an_ipv6_address_with_a_zone_makes_a_url() -> None:
    address = Address(None, "fe80::1%eth0", None)
    assert address.url("https") == "https://[fe80::1%25eth0]"


@pytest.mark.parametrize("address", ["192.168.1.2", "fd00::1", "fe80::1%eth0"])
def test_an_announced_address_can_be_written_as_host(address: str) -> None:
    assert Address.parse(discovery.as_host(address)).host == address
