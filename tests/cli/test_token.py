"""A token is kept only when the gateway took it; whatever surrounded it is gone then."""

from pathlib import Path

import pytest

from logger.clock import utc_now
from logger.simulator.access import ACCOUNT, Entrez
from tests.cli.test_bad_input import answered, config_of
from tests.conftest import Bench, Benches

Ready = tuple[Bench, Path]


@pytest.fixture
def without_token(bench: Benches) -> Ready:
    """A gateway that is configured and has no token."""
    roof = bench()
    roof.clock.speed = 1.0
    roof.clock.set(utc_now())
    path = config_of(roof)
    path.write_text(path.read_text().replace('token_file = "roof.token"\n', ""))
    return roof, path


def kept(roof: Bench) -> Path:
    return roof.settings.state_dir / "tokens" / "roof.jwt"


def pasted(roof: Bench, text: str) -> Path:
    path = roof.directory / "pasted"
    path.write_text(text)
    return path


def test_what_was_pasted_around_a_token_is_not_kept(without_token: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    roof, path = without_token
    token = roof.simulation.token()
    page = pasted(roof, f'{{"generation_time": 1, "token": "{token}", "expires_at": 2}}\n')
    code, out, _ = answered(capsys, "--config", path, "token", "set", "--file", page)
    assert code == 0
    assert "it takes the token" in out
    assert kept(roof).read_text() == f"{token}\n"
    assert answered(capsys, "--config", path, "poll")[0] == 0


def test_a_file_in_another_encoding_is_read(without_token: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    roof, path = without_token
    page = pasted(roof, "")
    page.write_bytes(roof.simulation.token().encode("utf-16"))
    assert answered(capsys, "--config", path, "token", "set", "--file", page)[0] == 0


@pytest.mark.parametrize("kind", ["revoked", "foreign", "expired", "cut", "words"])
def test_what_the_gateway_would_refuse_is_not_kept(
    without_token: Ready, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    roof, path = without_token
    serial, now = roof.simulation.model.serial, roof.clock()
    text = {
        "revoked": Entrez().token(serial, now),
        "foreign": roof.simulation.entrez.token("999999999999", now),
        "expired": roof.simulation.token(days=-1),
        "cut": roof.simulation.token()[:-9],
        "words": "Error in generating Token",
    }[kind]
    good = roof.simulation.token()
    answered(capsys, "--config", path, "token", "set", "--file", pasted(roof, good))
    code, out, err = answered(capsys, "--config", path, "token", "set", "--file", pasted(roof, text))
    assert code == 4
    assert "envoylog token set" in err
    assert text not in out + err
    assert kept(roof).read_text().strip() == good


def test_an_absent_gateway_can_try_none(without_token: Ready, capsys: pytest.CaptureFixture[str]) -> None:
    roof, path = without_token
    page = pasted(roof, roof.simulation.token())
    roof.server.stop()
    code, _, err = answered(capsys, "--config", path, "token", "set", "--file", page)
    assert code == 5
    assert "--untried" in err
    assert not kept(roof).exists()
    assert answered(capsys, "--config", path, "token", "set", "--untried", "--file", page)[0] == 0
    assert kept(roof).exists()


def test_old_firmware_needs_no_token(bench: Benches, capsys: pytest.CaptureFixture[str]) -> None:
    roof = bench(generation="5", cts="none")
    page = pasted(roof, Entrez().token(roof.simulation.model.serial, utc_now()))
    code, _, err = answered(capsys, "--config", config_of(roof), "token", "set", "--file", page)
    assert code == 2
    assert "needs no token" in err
    assert not kept(roof).exists()


def test_a_token_file_that_holds_none_does_not_hide_the_one_that_is_kept(
    without_token: Ready, capsys: pytest.CaptureFixture[str]
) -> None:
    roof, _ = without_token
    path = config_of(roof)
    (roof.directory / "roof.token").write_text("Error in generating Token")
    assert answered(capsys, "--config", path, "poll")[0] == 4
    page = pasted(roof, roof.simulation.token())
    assert answered(capsys, "--config", path, "token", "set", "--file", page)[0] == 0
    assert answered(capsys, "--config", path, "poll")[0] == 0


def test_a_renewed_token_is_tried_before_it_is_kept(
    without_token: Ready, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    roof, _ = without_token
    for key, value in roof.environ.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("ENVOYLOG_GATEWAYS__ROOF__PASSWORD", ACCOUNT[1])
    path = config_of(roof, username=f'"{ACCOUNT[0]}"')
    code, out, _ = answered(capsys, "--config", path, "token", "renew")
    assert code == 0
    assert "it is renewed by itself" in out
    good = kept(roof).read_text()
    monkeypatch.setattr(roof.simulation, "entrez", Entrez())
    monkeypatch.setattr(Entrez, "accepts", lambda *_: False)
    assert answered(capsys, "--config", path, "token", "renew")[0] == 4
    assert kept(roof).read_text() == good
