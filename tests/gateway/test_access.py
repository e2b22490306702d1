"""Who we are to a gateway: tokens, sessions, digest users, certificates, the cloud."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from logger.errors import (
    AuthenticationError,
    CertificateChangedError,
    GatewayReplacedError,
    GatewayUnreachableError,
    SettingsError,
    TokenError,
    TokenExpiredError,
)
from logger.gateway.auth import installer_password
from logger.gateway.http import Address
from logger.gateway.token import Token
from logger.readings import Outcome
from logger.settings import write_secret
from logger.simulator.access import ACCOUNT
from tests.conftest import Benches


def test_a_token_buys_a_session_and_the_session_asks_for_the_rest(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    for _ in range(3):
        assert roof.poll(gateway).outcome is Outcome.COMPLETE
    assert roof.asked("/auth/check_jwt") == ["bearer"]
    assert set(roof.asked("/ivp/meters/readings")) == {"cookie"}


def test_one_connection_serves_poll_after_poll(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    roof.poll(gateway)
    after_first = roof.simulation.handshakes
    for _ in range(5):
        roof.poll(gateway)
    assert roof.simulation.handshakes == after_first


def test_a_session_that_ended_is_opened_again_within_the_poll(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.sessions.clear()
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_an_idle_session_is_renewed_before_it_is_used(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.clock.set(roof.clock() + timedelta(minutes=20))
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    assert 401 not in {request.status for request in roof.simulation.requests}


def test_an_expired_token_is_never_sent(bench: Benches) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", roof.simulation.token(days=-1))
    with pytest.raises(TokenExpiredError, match="expired"):
        roof.poll(roof.gateway())
    assert {request.credentials for request in roof.simulation.requests} == {"none"}


def test_a_token_of_another_gateway_is_never_sent(bench: Benches) -> None:
    roof = bench()
    foreign = roof.simulation.entrez.token("999999999999", roof.clock())
    write_secret(roof.directory / "roof.token", foreign)
    with pytest.raises(TokenError, match="999999999999"):
        roof.poll(roof.gateway())
    assert {request.credentials for request in roof.simulation.requests} == {"none"}


def test_text_that_is_no_token_is_not_repeated_in_the_error(bench: Benches) -> None:
    roof = bench()
    write_secret(roof.directory / "roof.token", "SECRETSECRET")
    with pytest.raises(TokenError) as caught:
        roof.poll(roof.gateway())
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("claims", ['{"aud": ["1"]}', '{"exp": [1]}', '{"exp": {}}', "[]", '"1"'])
def test_a_token_with_odd_claims_is_one_sentence(claims: str) -> None:
    payload = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    with pytest.raises(TokenError, match="can't be read"):
        Token.parse(f"e30.{payload}.c2ln")


def test_without_a_token_the_user_hears_where_to_get_one(bench: Benches) -> None:
    roof = bench()
    with pytest.raises(TokenError, match="entrez"):
        roof.poll(roof.gateway(token_file=None))


def test_a_secret_that_others_can_read_is_refused(bench: Benches) -> None:
    roof = bench()
    (roof.directory / "roof.token").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        roof.poll(roof.gateway())


def test_while_a_token_is_refused_only_info_is_asked_until_a_new_one_comes(bench: Benches) -> None:
    roof = bench()
    path = roof.directory / "roof.token"
    good = path.read_text()
    write_secret(path, good.strip()[:-6] + "AAAAAA")
    gateway = roof.gateway()
    for _ in range(3):
        with pytest.raises(TokenError, match="refuses the token"):
            roof.poll(gateway)
    assert roof.asked("/auth/check_jwt") == ["bearer"]
    assert roof.asked("/ivp/meters/readings") == []
    write_secret(path, good)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE


def test_an_account_fetches_a_token_keeps_it_and_renews_it_in_time(bench: Benches) -> None:
    roof = bench()
    account = {"token_file": None, "username": ACCOUNT[0], "password": ACCOUNT[1]}
    gateway = roof.gateway(**account)
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    kept = roof.settings.state_dir / "tokens" / "roof.jwt"
    assert kept.stat().st_mode & 0o777 == 0o600
    first = kept.read_text()
    roof.clock.set(roof.clock() + timedelta(days=300))
    roof.poll(gateway)
    assert kept.read_text() == first
    roof.clock.set(roof.clock() + timedelta(days=36))
    roof.poll(gateway)
    assert kept.read_text() != first
    assert len(roof.asked("/tokens")) == 2


def test_a_cloud_that_is_down_does_not_stop_a_token_that_still_serves(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway(username=ACCOUNT[0], password="wrong")
    roof.clock.set(roof.clock() + timedelta(days=340))
    assert roof.poll(gateway).outcome is Outcome.COMPLETE
    roof.poll(gateway)
    assert len(roof.asked("/login/login.json")) == 1


@pytest.mark.parametrize(
    ("username", "password", "words"),
    [(ACCOUNT[0], "wrong", "refused the user"), ("mfa@example.org", "x", "second factor")],
)
def test_an_account_that_gives_no_token_is_an_error_with_the_remedy(
    bench: Benches, username: str, password: str, words: str
) -> None:
    roof = bench()
    with pytest.raises(AuthenticationError, match=words) as caught:
        roof.poll(roof.gateway(token_file=None, username=username, password=password))
    assert "token set" in str(caught.value)
    assert password == "x" or password not in str(caught.value)


def test_a_refused_account_is_not_tried_again_by_each_new_process(bench: Benches) -> None:
    roof = bench()
    wrong = {"token_file": None, "username": ACCOUNT[0], "password": "wrong"}
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="refused the user"):
            roof.poll(roof.gateway(**wrong))
    assert len(roof.asked("/login/login.json")) == 1
    right = roof.gateway(**wrong | {"password": ACCOUNT[1]})
    with pytest.raises(AuthenticationError, match="envoylog token renew roof"):
        roof.poll(right)
    tokens = right.endpoints.tokens
    tokens.keep(tokens.fetch(roof.simulation.model.serial, is_urgent=True))
    assert roof.poll(roof.gateway(**wrong)).outcome is Outcome.COMPLETE
    roof.clock.set(roof.clock() + timedelta(minutes=16))
    (roof.settings.state_dir / "tokens" / "roof.jwt").unlink()
    assert roof.poll(roof.gateway(**wrong | {"password": ACCOUNT[1]})).outcome is Outcome.COMPLETE


def test_another_certificate_is_refused_before_anything_is_sent(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.server.renew_certificate()
    gateway.endpoints.http.forget_connection()
    sent = len(roof.simulation.requests)
    with pytest.raises(CertificateChangedError, match="envoylog trust accept roof"):
        roof.poll(gateway)
    assert len(roof.simulation.requests) == sent


def test_a_certificate_that_was_seen_once_never_falls_back_to_plain_http(bench: Benches) -> None:
    roof = bench()
    roof.poll(roof.gateway())
    host = roof.server.url.removeprefix("https://")
    roof.server.stop()
    gateway = roof.gateway(host=host)
    with pytest.raises(GatewayUnreachableError):
        roof.poll(gateway)
    assert gateway.endpoints.http.scheme == "https"


def test_a_token_is_never_sent_over_plain_http(bench: Benches) -> None:
    roof = bench(generation="5", cts="none")
    roof.simulation.fault("firmware", argument="7.6.175")
    gateway = roof.gateway()
    with pytest.raises((TokenError, GatewayUnreachableError), match="https"):
        roof.poll(gateway)
    assert {request.credentials for request in roof.simulation.requests} == {"none"}


def test_the_scheme_is_found_by_asking(bench: Benches) -> None:
    for generation, scheme in (("8", "https"), ("5", "http")):
        roof = bench(generation=generation, cts="none")
        gateway = roof.gateway(host=roof.server.url.partition("://")[2])
        roof.poll(gateway)
        assert gateway.endpoints.http.scheme == scheme


def test_old_firmware_is_asked_as_a_digest_user_only_where_it_wants_one(bench: Benches) -> None:
    roof = bench(generation="5", cts="none")
    poll = roof.poll(roof.gateway(token_file=None))
    assert poll.outcome is Outcome.COMPLETE
    assert len(poll.inverters) == 12
    assert "digest" not in roof.asked("/api/v1/production")
    assert "digest" in roof.asked("/api/v1/production/inverters")


def test_a_wrong_local_password_costs_the_inverters_alone_and_is_reported(bench: Benches) -> None:
    roof = bench(generation="5", cts="none")
    gateway = roof.gateway(token_file=None, username="me", password="wrong")
    poll = roof.poll(gateway)
    assert poll.outcome is Outcome.PARTIAL
    assert poll.production
    assert "refuses the user 'me'" in str(poll.error)
    right = roof.poll(roof.gateway(token_file=None, username="me", password="secret"))
    assert right.outcome is Outcome.COMPLETE


def test_another_serial_number_stops_the_gateway_and_asks(bench: Benches) -> None:
    roof = bench()
    gateway = roof.gateway()
    roof.poll(gateway)
    roof.simulation.fault("new_serial")
    roof.clock.set(roof.clock() + timedelta(hours=2))
    with pytest.raises(GatewayReplacedError, match='serial = "122334455668"'):
        roof.poll(gateway)


@pytest.mark.parametrize(("serial", "length"), [("121938119871", 8), ("000000000000", 8)])
def test_the_installer_password_has_eight_characters_and_no_digit_0_or_1(serial: str, length: int) -> None:
    password = installer_password(serial)
    assert len(password) == length
    assert not set(password) & {"0", "1"}


@pytest.mark.parametrize("host", ["", "ftp://x", "http://", "a/b/c", "host:port"])
def test_a_host_that_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="host"):
        Address.parse(host)


def test_secrets_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    write_secret(tmp_path / "deep" / "secret", "x")
    assert (tmp_path / "deep" / "secret").stat().st_mode & 0o777 == 0o600
