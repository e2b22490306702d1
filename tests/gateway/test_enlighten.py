"""Enlighten is asked seldom, by however many processes; what it answers instead of a token is told."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from logger.errors import AuthenticationError
from logger.gateway.client import Gateway
from logger.readings import Outcome
from logger.settings import write_secret
from logger.simulator.access import ACCOUNT, Entrez
from tests.conftest import Bench, Benches

MINUTE = timedelta(minutes=1)
OWNER = {"username": ACCOUNT[0], "password": ACCOUNT[1]}
WRONG = OWNER | {"password": "wrong"}


def process(roof: Bench, **account: Any) -> Gateway:
    """A gateway as a new process makes it: it knows what is in files."""
    return roof.gateway(**{"token_file": None} | account)


def answering(monkeypatch: pytest.MonkeyPatch, path: str, status: int, body: str) -> None:
    real: Callable[..., tuple[int, str]] = Entrez.answer

    def answer(self: Entrez, asked: str, *args: Any) -> tuple[int, str]:
        return (status, body) if asked.startswith(path) else real(self, asked, *args)

    monkeypatch.setattr(Entrez, "answer", answer)


def logins(roof: Bench) -> int:
    return len(roof.asked("/login/login.json"))


NO_TOKENS = {
    "words": "Error in generating Token",
    "a page": "<html><body>Sign in</body></html>",
    "nothing": "",
    "json": '{"message": "try later"}',
    "nested json": "[" * 20_000,
    "a page without end": "eyJ. " * 200_000,
    "a cut token": "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiIxMjIzMzQ0NTU2NjcifQ.AAAA",
}


@pytest.mark.parametrize("kind", ["charset", "nested"])
def test_a_login_may_be_answered_with_anything(bench: Benches, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roof = bench()
    answering(monkeypatch, "/login/login.json", 200, "[" * 20_000 if kind == "nested" else "\xff")
    account = roof.gateway(**OWNER).endpoints.tokens.account
    with pytest.raises(AuthenticationError, match="answers the login with something else than JSON"):
        account.token("122334455667")


@pytest.mark.parametrize("kind", NO_TOKENS)
def test_a_renewal_that_gives_no_token_is_told_and_the_old_one_goes_on(
    bench: Benches, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", roof.simulation.token(days=10))
    answering(monkeypatch, "/tokens", 200, NO_TOKENS[kind])
    gateway = roof.gateway(**OWNER)
    for _ in range(3):
        assert roof.poll(gateway).outcome is Outcome.COMPLETE
    told = [record.message for record in caplog.records if "token not renewed" in record.message]
    assert len(told) == 1
    assert "Enlighten" in told[0]
    assert "eyJhbG" not in told[0]
    assert ("'Error in generating Token'" in told[0]) == (kind == "words")
    assert logins(roof) == 1


def test_a_new_token_is_kept_only_when_the_gateway_took_it(
    bench: Benches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", roof.simulation.token(days=10))
    answering(monkeypatch, "/tokens", 200, Entrez().token(roof.simulation.model.serial, roof.clock()))
    gateway = roof.gateway(**OWNER)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    assert not (roof.settings.state_dir / "tokens" / "roof.jwt").exists()
    assert "refuses the token that Enlighten gave" in caplog.text
    monkeypatch.undo()
    roof.clock.set(roof.clock() + 31 * MINUTE)
    assert roof.poll(process(roof, **OWNER)).outcome is Outcome.COMPLETE
    assert (roof.settings.state_dir / "tokens" / "roof.jwt").exists()


@pytest.mark.parametrize("answer", ["refused", "no token"])
def test_processes_without_number_ask_once_and_then_ever_less(
    bench: Benches, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench()
    if answer == "no token":
        answering(monkeypatch, "/tokens", 200, "Error in generating Token")
    user = WRONG if answer == "refused" else OWNER
    tries = []
    for minute in range(0, 240, 5):
        before = logins(roof)
        with pytest.raises(AuthenticationError):
            roof.poll(process(roof, **user))
        tries += [minute] * (logins(roof) - before)
        roof.clock.set(roof.clock() + 5 * MINUTE)
    assert tries == [0, 15, 45, 105, 225]


def test_gateways_of_one_account_wait_together(bench: Benches) -> None:
    roof = bench()
    for name in ("roof", "barn", "shed"):
        with pytest.raises(AuthenticationError, match="refused the user"):
            roof.poll(process(roof, name=name, **WRONG))
    assert logins(roof) == 1


def test_two_gateways_get_their_first_tokens_at_once(bench: Benches) -> None:
    roof, barn = bench(), bench(serial="122334455999")
    barn.settings = roof.settings
    url = roof.server.cloud_url
    cloud = {"ENVOYLOG_ENLIGHTEN_URL": url, "ENVOYLOG_ENTREZ_URL": url}
    barn.simulation.entrez = roof.simulation.entrez
    for each, name in ((roof, "roof"), (barn, "barn")):
        settings = process(each, name=name, host=each.server.url, **OWNER).settings
        assert each.poll(Gateway(roof.settings, settings, cloud, clock=roof.clock)).outcome is Outcome.COMPLETE
    assert logins(roof) == 2


def test_a_person_asks_again_at_once_but_never_with_what_was_refused(bench: Benches) -> None:
    roof = bench()
    serial = roof.simulation.model.serial
    for _ in range(4):
        with pytest.raises(AuthenticationError, match="refused the user"):
            process(roof, **WRONG).endpoints.tokens.fetch(serial, is_urgent=True)
    assert logins(roof) == 1
    assert process(roof, **OWNER).endpoints.tokens.fetch(serial, is_urgent=True).serial == serial


def test_a_person_may_ask_again_when_the_account_was_not_the_reason(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench()
    answering(monkeypatch, "/tokens", 503, "busy")
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="status 503"):
            process(roof, **OWNER).endpoints.tokens.fetch(roof.simulation.model.serial, is_urgent=True)
    assert logins(roof) == 2


def test_a_token_that_gets_lost_is_not_fetched_again_each_minute(bench: Benches) -> None:
    roof = bench()
    serial = roof.simulation.model.serial
    process(roof, **OWNER).endpoints.tokens.fetch(serial)
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="just now"):
            process(roof, **OWNER).endpoints.tokens.fetch(serial)
    assert logins(roof) == 1


def test_what_is_kept_of_an_account_holds_neither_name_nor_password(bench: Benches) -> None:
    roof = bench()
    with pytest.raises(AuthenticationError):
        roof.poll(process(roof, **WRONG))
    (path,) = (roof.settings.state_dir / "tokens").glob("account-*")
    kept = json.loads(path.read_text())
    assert WRONG["password"] not in kept["proof"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["", "{", '{"asked_at_s": "x"}', '{"asked_at_s": 99999999999, "pause_s": 900}'])
def test_a_damaged_memory_of_an_account_holds_nobody_up(bench: Benches, damage: str) -> None:
    roof = bench()
    gateway = process(roof, **OWNER)
    write_secret(gateway.endpoints.tokens.account.path, damage)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_tokens_that_the_gateway_refuses_are_asked_for_ever_less(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench()
    monkeypatch.setattr(roof.simulation, "entrez", Entrez())
    monkeypatch.setattr(roof.simulation.entrez, "accepts", lambda *_: False)
    tries = []
    for minute in range(0, 120, 5):
        before = logins(roof)
        with pytest.raises(AuthenticationError, match="refuses the token"):
            roof.poll(process(roof, **OWNER))
        tries += [minute] * (logins(roof) - before)
        roof.clock.set(roof.clock() + 5 * MINUTE)
    assert tries == [0, 30, 90]
    monkeypatch.undo()
    roof.clock.set(roof.clock() + timedelta(days=1))
    assert roof.poll(process(roof, **OWNER)).outcome is Outcome.COMPLETE
    (roof.settings.state_dir / "tokens" / "roof.jwt").unlink()
    roof.clock.set(roof.clock() + 16 * MINUTE)
    assert roof.poll(process(roof, **OWNER)).outcome is Outcome.COMPLETE


def test_a_token_that_can_not_be_kept_serves_until_the_process_ends(
    bench: Benches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench()
    gateway = process(roof, **OWNER)
    (roof.settings.state_dir / "tokens" / "roof.jwt").mkdir(parents=True)
    monkeypatch.setattr("logger.gateway.credentials.is_there", lambda _: False)
    for _ in range(3):
        assert roof.poll(gateway).outcome is Outcome.COMPLETE
        gateway.endpoints.token_auth.end_session()
    assert "can't be kept" in caplog.text
    assert logins(roof) == 1


def test_where_the_pause_can_not_be_kept_the_old_token_goes_on_and_nobody_logs_in(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", roof.simulation.token(days=10))
    gateway = roof.gateway(**OWNER)
    gateway.endpoints.tokens.account.path.mkdir(parents=True)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    assert "so it is not asked" in caplog.text
    assert logins(roof) == 0


def test_tokens_that_last_for_less_than_a_month_are_renewed_once_a_day(
    bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench()
    real = Entrez.token
    monkeypatch.setattr(Entrez, "token", lambda *args, **_: real(*args, days=20))
    days = []
    for hour in range(0, 24 * 3, 2):
        before = logins(roof)
        assert roof.poll(process(roof, **OWNER)).outcome is Outcome.COMPLETE
        days += [hour / 24] * (logins(roof) - before)
        roof.clock.set(roof.clock() + timedelta(hours=2))
    assert days == [0, 1, 2]
