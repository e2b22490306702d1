"""envoylog setup finds, tries and writes; what is wrong is one sentence, and leaves nothing behind."""

import os
import sys
from pathlib import Path

import pexpect
import pytest

from logger.cli import run
from logger.cli.asking import Terminal
from logger.clock import utc_now
from logger.gateway import discovery
from logger.settings import load
from logger.setup import dialogue, draft, former, person
from logger.simulator.access import ACCOUNT, Entrez
from logger.store.database import opened
from tests.conftest import Bench
from tests.setup.conftest import Home, Roofs, token_of


def announced(monkeypatch: pytest.MonkeyPatch, *roofs: Bench) -> None:
    found = [
        discovery.Found(
            serial=roof.simulation.model.serial, firmware=None, addresses=(roof.server.url.partition("//")[2],), port=80
        )
        for roof in roofs
    ]
    monkeypatch.setattr(discovery, "discover", lambda *_, **__: found)


# ----------------------------------------------------------------------------- from nothing


def test_one_command_leads_to_a_stored_poll(home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch) -> None:
    roof = roofs()
    announced(monkeypatch, roof)
    monkeypatch.delenv("ENVOYLOG_DATABASE_URL")
    assert home.setup("--token-file", token_of(home, roof)) == 0
    assert (home.state / "envoylog.db").exists()
    assert "122334455667" in home.out
    assert "counted by the CT" in home.out
    assert home.config.stat().st_mode & 0o777 == 0o600
    (gateway,) = load(home.config, {}).gateways
    assert (gateway.name, gateway.serial) == ("roof", "122334455667")
    kept = home.state / "tokens" / "roof.jwt"
    assert kept.read_text().startswith("eyJ")
    assert kept.read_text().strip() not in home.out + home.err + home.config.read_text()
    assert (home.state / "certificates" / "roof.sha256").exists()


def test_old_firmware_is_set_up_without_any_answer(home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch) -> None:
    announced(monkeypatch, roofs(generation="5", cts="none"))
    assert home.setup() == 0
    assert "asks for no token" in home.out
    assert "this gateway has no CTs" in home.out


def test_two_gateways_get_a_name_and_the_fitting_token_each(
    home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof, barn = roofs(), roofs(serial="122334455999")
    announced(monkeypatch, roof, barn)
    tokens = [word for each in (barn, roof) for word in ("--token-file", token_of(home, each))]
    assert home.setup(*tokens, "--name", "house", "--name", "barn") == 0
    found = {gateway.name: gateway.serial for gateway in load(home.config, {}).gateways}
    assert found == {"house": "122334455667", "barn": "122334455999"}


@pytest.mark.parametrize("keep", [True, False])
def test_the_password_of_an_account_is_kept_only_when_asked(
    home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    roof = roofs()
    announced(monkeypatch, roof)
    secret = home.write("password", ACCOUNT[1])
    flags = ["--keep-password"] * keep
    assert home.setup("--username", ACCOUNT[0], "--password-file", secret, *flags) == 0
    (gateway,) = load(home.config, {}).gateways
    assert gateway.password_file == (secret if keep else None)
    assert not any(ACCOUNT[1].encode() in content for content in home.files().values())
    assert ACCOUNT[1] not in home.out + home.err


def test_nothing_is_written_by_a_dry_run(home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch) -> None:
    roof = roofs()
    announced(monkeypatch, roof)
    secret = home.write("password", ACCOUNT[1])
    ways: list[list[str | Path]] = [["--token-file", token_of(home, roof)]]
    ways.append(["--username", ACCOUNT[0], "--password-file", secret])
    for way in ways:
        assert home.setup("--dry-run", *way) == 0
        assert 'serial = "122334455667"' in home.out
        assert home.files() == {}


# ----------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("kind", ["revoked", "foreign", "expired", "cut", "words"])
def test_a_token_of_no_use_is_refused_and_nothing_is_left(home: Home, roofs: Roofs, kind: str) -> None:
    roof = roofs()
    serial, now = roof.simulation.model.serial, roof.clock()
    text = {
        "revoked": Entrez().token(serial, now),
        "foreign": roof.simulation.entrez.token("999999999999", now),
        "expired": roof.simulation.token(days=-1),
        "cut": roof.simulation.token()[:-9],
        "words": "Error in generating Token",
    }[kind]
    assert home.setup("--host", roof.server.url, "--token-file", home.write("token", text)) == 4
    assert home.err.startswith("envoylog: ")
    assert home.files() == {}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "add --host HOST"),
        (["--host", "127.0.0.1:9"], 5, "Nothing answers at 127.0.0.1:9"),
        (["--host", "a b"], 3, "not an address"),
        (["--username", "x", "--password-file", "/nowhere"], 3, "/nowhere"),
        (["--password-file", "/nowhere"], 3, "/nowhere"),
        (["--token-file", "/nowhere"], 2, "/nowhere"),
    ],
)
def test_what_can_not_be_used_is_one_sentence(home: Home, args: list[str], code: int, words: str) -> None:
    assert home.setup(*args) == code
    assert words in home.err
    assert home.files() == {}


def test_questions_that_nobody_answers_name_their_flag(home: Home, roofs: Roofs) -> None:
    roof = roofs()
    assert home.setup("--host", roof.server.url) == 2
    assert "add --token-file FILE or --username EMAIL" in home.err
    assert home.setup("--host", roof.server.url, "--username", ACCOUNT[0]) == 2
    assert "add --password-file FILE" in home.err


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [(ACCOUNT[0], "wrong", "refused the user"), ("mfa@example.org", "x", "second factor")],
)
def test_an_account_that_gives_none_is_an_error_with_the_other_way(
    home: Home, roofs: Roofs, user: str, password: str, words: str
) -> None:
    roof = roofs()
    secret = home.write("password", password)
    args = ("--host", roof.server.url, "--username", user, "--password-file", secret)
    for _ in range(3):
        assert home.setup(*args) == 4
        assert words in home.err
        assert "https://entrez.enphaseenergy.com" in home.err
    assert len(roof.asked("/login/login.json")) == 1
    assert not home.config.exists()


def test_secrets_of_the_environment_serve_without_being_kept(
    home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = roofs()
    token = roof.simulation.token()
    monkeypatch.setenv("ENVOYLOG_GATEWAYS__ROOF__TOKEN", token)
    assert home.setup("--host", roof.server.url) == 0
    assert not (home.state / "tokens" / "roof.jwt").exists()
    monkeypatch.setenv("ENVOYLOG_GATEWAYS__ROOF__PASSWORD", ACCOUNT[1])
    assert home.setup("--username", ACCOUNT[0]) == 0
    assert not any(ACCOUNT[1].encode() in content for content in home.files().values())


def test_another_certificate_than_the_expected_one_gets_nothing(home: Home, roofs: Roofs) -> None:
    roof = roofs()
    token = token_of(home, roof)
    args = ("--host", roof.server.url, "--token-file", token)
    assert home.setup(*args, "--fingerprint", "00:11") == 4
    assert "another certificate" in home.err
    assert home.files() == {}
    assert {request.credentials for request in roof.simulation.requests} == {"none"}
    assert home.setup(*args) == 0
    roof.server.renew_certificate()
    sent = len(roof.asked("/auth/check_jwt"))
    assert home.setup(*args) == 4
    assert "envoylog trust accept roof" in home.err
    assert len(roof.asked("/auth/check_jwt")) == sent


# ----------------------------------------------------------------------------- again

MINE = """# my own words
poll_every_s = 30   # as I like it

[[gateways]]
host = "{url}" # in the garage
name = 'south'
peak_power_kwp = 4.2

[gateways.panel_names]
121938119871 = "over the door"   # the first

[[gateways.arrays]]
name = "roof"
inverters = ["121938119871"]
tilt_deg = 35.0
"""


@pytest.fixture
def configured(home: Home, roofs: Roofs) -> tuple[Home, Bench]:
    """A home with a configuration of somebody's own, and its token."""
    roof = roofs()
    home.config.parent.mkdir(parents=True)
    home.config.write_text(MINE.format(url=roof.server.url))
    home.config.chmod(0o640)
    page = token_of(home, roof)
    assert run(["token", "set", "--file", str(page)]) == 0
    return home, roof


def test_again_it_changes_only_what_is_asked(configured: tuple[Home, Bench]) -> None:
    home, roof = configured
    assert home.setup() == 0
    before = home.config.read_text()
    assert before.replace('serial = "122334455667"\n', "") == MINE.format(url=roof.server.url)
    assert home.setup() == 0
    assert "Nothing changes" in home.out
    assert home.config.read_text() == before
    assert home.setup("--peak-power-kwp", "5.6", "--time-zone", "Europe/Amsterdam") == 0
    assert home.config.stat().st_mode & 0o777 == 0o640
    (gateway,) = load(home.config, {}).gateways
    assert (gateway.name, gateway.peak_power_kwp, gateway.time_zone) == ("south", 5.6, "Europe/Amsterdam")
    assert "# my own words\npoll_every_s = 30   # as I like it\n" in home.config.read_text()


def test_again_it_adds_a_gateway(configured: tuple[Home, Bench], roofs: Roofs, monkeypatch: pytest.MonkeyPatch) -> None:
    home, roof = configured
    barn = roofs(serial="122334455999")
    announced(monkeypatch, roof, barn)
    assert home.setup("--token-file", token_of(home, roof), "--token-file", token_of(home, barn)) == 0
    assert [gateway.name for gateway in load(home.config, {}).gateways] == ["south", "roof"]
    assert '\n\n[[gateways]]\nname = "roof"\n' in home.config.read_text()


def test_again_a_new_token_takes_the_place_of_the_old_one(configured: tuple[Home, Bench]) -> None:
    home, roof = configured
    kept = home.state / "tokens" / "south.jwt"
    before = kept.read_text()
    assert home.setup("--token-file", token_of(home, roof)) == 0
    assert kept.read_text() != before


def test_a_gateway_that_moved_is_written_where_it_is(
    configured: tuple[Home, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, roof = configured
    assert home.setup() == 0
    home.config.write_text(home.config.read_text().replace(roof.server.url, "127.0.0.1:9"))
    announced(monkeypatch, roof)
    assert home.setup() == 0
    assert "not at 127.0.0.1:9 any more" in home.out
    (gateway,) = load(home.config, {}).gateways
    assert gateway.host == roof.server.url.partition("//")[2]


def test_a_gateway_that_is_away_keeps_its_configuration(configured: tuple[Home, Bench]) -> None:
    home, roof = configured
    before = home.config.read_text()
    roof.server.stop()
    home.setup()
    assert "It stays configured as it is" in home.out
    assert home.config.read_text() == before


@pytest.mark.parametrize("text", ["poll_every_s = ", "pol_every_s = 60\n", "\xff"])
def test_a_configuration_that_is_wrong_is_left_alone(home: Home, text: str) -> None:
    home.config.parent.mkdir(parents=True)
    home.config.write_text(text, encoding="latin-1")
    assert home.setup("--host", "127.0.0.1:9") == 3
    assert home.config.read_text(encoding="latin-1") == text


def test_a_link_stays_a_link(configured: tuple[Home, Bench]) -> None:
    home, _ = configured
    real = home.config.rename(home.path / "dotfiles.toml")
    home.config.symlink_to(real)
    assert home.setup() == 0
    assert home.config.is_symlink()
    assert 'serial = "122334455667"' in real.read_text()


def test_a_configuration_elsewhere_is_named_in_what_to_type(home: Home, roofs: Roofs) -> None:
    roof = roofs()
    path = home.path / "deep" / "mine.toml"
    assert home.setup("--host", roof.server.url, "--token-file", token_of(home, roof), "--config", path) == 0
    assert f"status --config {path}" in " ".join(home.out.split())
    assert path.exists()
    assert home.setup("--service", "--config", path) == 2


def test_flags_of_one_gateway_need_its_name_where_there_are_two(configured: tuple[Home, Bench], roofs: Roofs) -> None:
    home, _ = configured
    barn = roofs(serial="122334455999", generation="5", cts="none")
    assert home.setup("--host", barn.server.url, "--name", "barn") == 0
    assert home.setup("--peak-power-kwp", "3") == 2
    assert "name it with --name" in home.err
    assert home.setup("--peak-power-kwp", "3", "--name", "barn") == 0
    assert [gateway.peak_power_kwp for gateway in load(home.config, {}).gateways] == [4.2, 3.0]
    assert home.setup("--peak-power-kwp", "3", "--name", "bran") == 2


def test_a_database_of_the_command_line_is_written_and_its_password_not_shown(home: Home, roofs: Roofs) -> None:
    roof = roofs(generation="5", cts="none")
    url = "postgresql://me:s3cret@localhost/solar"
    code = run(["setup", "--yes", "--dry-run", "--no-service", "--host", roof.server.url, "--database-url", url])
    assert code == 0
    shown = home.capsys.readouterr().out
    assert 'database_url = "postgresql://me:***@localhost/solar"' in shown
    assert "s3cret" not in shown


def test_in_the_nightly_restart_inverters_are_left_for_later(
    home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = roofs(generation="5", cts="none")
    monkeypatch.setattr("logger.gateway.client.Gateway.is_nightly_outage", lambda *_: True)
    assert home.setup("--host", roof.server.url, "--dry-run") == 0
    assert "asked again after 23:06" in home.out


def test_without_a_terminal_nobody_is_asked_and_nothing_is_guessed(home: Home) -> None:
    assert run(["setup"]) == 2
    assert "add --yes" in home.capsys.readouterr().err


def test_a_local_user_of_old_firmware_keeps_its_password(home: Home, roofs: Roofs) -> None:
    roof = roofs(generation="5", cts="none")
    secret = home.write("password", "secret")
    assert home.setup("--host", roof.server.url, "--username", "me", "--password-file", secret) == 0
    (gateway,) = load(home.config, {}).gateways
    assert (gateway.username, gateway.read_password()) == ("me", "secret")
    secret.write_text("wrong")
    assert home.setup("--host", roof.server.url, "--username", "me", "--password-file", secret) == 4
    assert "refuses the user 'me'" in home.err


def test_the_service_goes_on_with_what_a_user_has(
    configured: tuple[Home, Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, roof = configured
    mine = load(
        home.config,
        {"ENVOYLOG_STATE_DIR": str(home.state), "ENVOYLOG_DATABASE_URL": os.environ["ENVOYLOG_DATABASE_URL"]},
    )
    assert home.setup() == 0
    monkeypatch.delenv("ENVOYLOG_DATABASE_URL")
    plan = draft.Draft(tmp_path / "etc" / "config.toml", {"ENVOYLOG_STATE_DIR": str(tmp_path / "var")})
    talk = dialogue.Dialogue(plan, person.Wishes(names=("south",)), Terminal(is_there=False), roof.environ, utc_now)
    talk.take_over(mine, former.server_url(mine))
    talk.run()
    plan.write()
    loaded = talk.keep()
    assert loaded.poll_every_s == 30
    (gateway,) = loaded.gateways
    assert (gateway.name, gateway.peak_power_kwp) == ("south", 4.2)
    assert (gateway.panel_names, gateway.arrays) == (mine.gateways[0].panel_names, mine.gateways[0].arrays)
    token, pin = Path("tokens/south.jwt"), Path("certificates/south.sha256")
    for name in (token, pin):
        assert (tmp_path / "var" / name).read_text() == (home.state / name).read_text()
    copied, aside = former.bring(mine, loaded)
    assert "are copied into" in copied
    assert not home.config.exists()
    assert "config.toml.old" in aside
    with opened(loaded.database_url) as engine, engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM polls").scalar_one() == 1


# ----------------------------------------------------------------------------- at a terminal


def talk(home: Home, roof: Bench, *answers: tuple[str, str]) -> str:
    """Answer the questions in a terminal of 80 columns; return all that it showed."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("ENVOYLOG", "XDG"))}
    environ |= roof.environ | {"HOME": str(home.path), "TERM": "xterm"}
    command = [Path(sys.executable).parent / "envoylog", "setup", "--timeout-s", "0.1", "--no-service"]
    child = pexpect.spawn(
        str(command[0]), [*map(str, command[1:])], env=environ, timeout=30, encoding="utf-8", dimensions=(50, 80)
    )
    shown = ""
    for question, answer in answers:
        child.expect(question)
        shown += child.before + child.after
        child.send(answer)
    child.expect(pexpect.EOF)
    child.close()
    return f"{shown}{child.before}\nexit {child.exitstatus}".replace("\r\n", "\n")


@pytest.mark.slow
def test_a_person_is_asked_again_until_it_is_right(home: Home, roofs: Roofs) -> None:
    roof = roofs()
    token = roof.simulation.token()
    page = '{"token": "' + "\r".join(token[start : start + 70] for start in range(0, len(token), 70)) + '",\r "x": 5}\r'
    host, way, paste = "Address of the gateway: ", "How do you get it.*: ", "press Enter: "
    shown = talk(
        home,
        roof,
        (host, "127.0.0.1:9\r"),
        (host, "a b\r"),
        (host, f"{roof.server.url}\r"),
        ("call it.*: ", "x" * 70 + "\r"),
        ("call it.*: ", "\r"),
        ("Trust it.*: ", "\r"),
        (way, "3\r"),
        (way, "1\r"),
        (paste, "Error in generating Token\r"),
        (way, "1\r"),
        (paste, f"{token[:-5]}\r"),
        (way, "2\r"),
        ("E-mail.*: ", f"{ACCOUNT[0]}\r"),
        ("password.*: ", "wrong\r"),
        (way, "1\r"),
        (paste, page),
        ("Write it.*: ", "\r"),
    )
    assert shown.endswith("exit 0")
    for words in (
        "Nothing answers",
        "not an address",
        "at most",
        "holds none",
        "5 characters are missing",
        "refused the",
    ):
        assert words in shown
    assert token[:40] not in shown
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert all("call it" in line or str(home.path) in line or line.startswith("envoylog:") for line in wide)
    assert home.config.exists()


def test_a_certificate_that_is_not_trusted_ends_it(home: Home, roofs: Roofs, monkeypatch: pytest.MonkeyPatch) -> None:
    roof = roofs()
    monkeypatch.setattr(Terminal, "confirm", lambda _, question, **__: question != "Trust it?")
    assert home.setup("--host", roof.server.url, "--token-file", token_of(home, roof)) == 8
    assert home.files() == {}
    assert {request.credentials for request in roof.simulation.requests} == {"none"}


def test_what_is_not_written_leaves_nothing(home: Home, roofs: Roofs) -> None:
    roof = roofs(generation="5", cts="none")
    host = "Address of the gateway: "
    shown = talk(home, roof, (host, f"{roof.server.url}\r"), ("call it.*: ", "\r"), ("Write it.*: ", "\x03"))
    assert "stopped" in shown
    assert home.files() == {}
