"""What the configuration gives, and the errors of one that can't be used."""

from pathlib import Path

import pytest

from logger.cli import run
from logger.errors import SettingsError
from logger.gateway.http import Address
from logger.settings import Settings, load

GATEWAY = "[[gateways]]\nname = 'roof'\nhost = 'envoy.local'\n"
BARN = "\n[[gateways]]\nname = 'barn'\nhost = 'envoy.local'\n"


def loaded(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(path, environ)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("poll_every_s = 60.0", "poll_every_s must be a whole number, not 60.0."),
        ("poll_every_s = true", "poll_every_s must be a whole number, not True."),
        ("database_url = 5", "database_url must be text in quotes, not 5."),
        ("gateways = 5", "write gateways as tables, each below a line [[gateways]]."),
        ("[gateways]\nname = 'roof'", "write [[gateways]] with two brackets, a table for each."),
        (
            GATEWAY + "peak_power_kwp = '5'",
            "gateway 1: peak_power_kwp must be a number, not '5'; leave out the quotes.",
        ),
        (GATEWAY + "mdns = 1", "gateway 1: mdns must be true or false, not 1."),
        (GATEWAY + "tls = 'no'", "gateway 'roof': tls must be pin, verify or off, not 'no'."),
        (GATEWAY + "grid_meter = 'net'", "gateway 'roof': grid_meter must be balancing or per_phase, not 'net'."),
        ("pol_every_s = 60", "unknown key 'pol_every_s'; did you mean 'poll_every_s'?"),
        (GATEWAY + GATEWAY, "Two gateways are called 'roof'; give each a name of its own."),
        (GATEWAY + BARN, "Gateways 'roof' and 'barn' have the same host (envoy.local); keep one of them."),
        (GATEWAY + BARN.replace("envoy", "HTTPS://Envoy"), "have the same host (envoy.local)"),
        (GATEWAY + BARN.replace("envoy.local", "envoy.local.:443"), "have the same host (envoy.local)"),
        (
            GATEWAY + "serial = '1'" + BARN.replace("envoy", "other") + "serial = '1'",
            "Gateways 'roof' and 'barn' have the same serial (1); keep one of them.",
        ),
        (GATEWAY + "poll_every_s = 60", "gateway 1: poll_every_s is not of a gateway; move it above the first line"),
        ("host = 'envoy.local'", "host is of a gateway; move it below a line [[gateways]]."),
        ("poll_every_s = 7", "poll_every_s = 7 must be 5 or more and divide 3600"),
        ("inverters_every_s = 600000000000000000000", "must be a multiple of poll_every_s = 60, and a day at most"),
        ("keep_samples_days = 1000000000000", "keep_samples_days must lie between 0 (keep for ever) and 36500."),
        (GATEWAY + "time_zone = 'right/Europe/Berlin'", "'right/Europe/Berlin' is not a known time zone"),
        (GATEWAY + 'username = "a\\nb"', "gateway 1: username must be printable; it holds a line break or"),
        (
            'state_dir = "/a\\u0000b"',
            "state_dir must be printable; it holds a line break or another character that nobody sees.",
        ),
        (
            GATEWAY + 'panel_names = {"1" = "\\u001b[2J"}',
            "write panel_names as '1' = \"name\", in characters that show.",
        ),
        (GATEWAY + "[[notify]]\nurl = 'json://x'\nwhen = [['a']]", "[[notify]] 1: when names ['a']; did you mean"),
        (GATEWAY + "[[notify]]\nurl = 'json://x'\nquiet_hours = '22:00Z-07:00'", "leave out the offset, and write"),
        ("x = " + "[" * 5000 + "]" * 5000, "tables without end in each other; remove it."),
        ("poll_every_s = " + "9" * 5000, "holds a number of thousands of digits"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GATEWAY + "serial = 12 34", 'line 4: text stands in quotes: serial = "12 34"'),
        ("[[gateways]]\nname = roof # ours", 'line 2: text stands in quotes: name = "roof"'),
        ("\n\nname = \u201croof\u201d", "line 3: write straight quotes"),
        ("name = 'roof", "line 1: the quotes of name are not closed."),
        ("name: 'roof'", 'line 1: write key = "value", with an equals sign.'),
        ("poll_every_s =\n", "line 1: poll_every_s has no value; give it one, or delete the line."),
        ("mdns = True", "line 1: mdns must be true or false, in small letters."),
        ("peak_power_kwp = 5,6", "line 1: peak_power_kwp is 5.6 with a decimal point."),
        (GATEWAY + "name = 'barn'", "line 4: name stands here a second time; a further gateway begins with a line"),
        ("[[gateways]", "line 1: "),
    ],
)
def test_a_file_that_is_no_toml_is_answered_with_its_line_and_what_to_write(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert f"config.toml, {sentence}" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["database_url = postgresql://me:hush@db/x", "token_file = hush", "password_file = hush", "password = hush",
     "host = https://me:hush@envoy", "database_url = 'postgresql://me:hush@db", "hush", "hush: hush"],
)  # fmt: skip
def test_no_sentence_about_a_file_shows_what_may_be_secret(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, line)
    assert "hush" not in str(caught.value)


def test_a_file_from_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GATEWAY.replace("\n", "\r\n").encode())
    assert load(path, {}).gateways[0].name == "roof"
    for encoding in ("latin-1", "utf-16"):
        path.write_bytes(("# S\u00fcd\n" + GATEWAY).encode(encoding))
        with pytest.raises(SettingsError, match="line 1: this is not UTF-8; save the file as UTF-8"):
            load(path, {})


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--config", str(tmp_path), "poll"]) == 3
    assert f"{tmp_path} is a folder; name the file in it, such as {tmp_path}/config.toml" in capsys.readouterr().err


def test_gateways_at_other_ports_and_addresses_are_others(tmp_path: Path) -> None:
    ports = BARN.replace("envoy.local", "envoy.local:8443") + BARN.replace("barn", "shed").replace("envoy", "127.0.0")
    assert (
        len(loaded(tmp_path, GATEWAY + ports + BARN.replace("barn", "odd").replace("local", "local:x")).gateways) == 4
    )


def test_a_whole_number_of_kwp_is_a_number(tmp_path: Path) -> None:
    settings = load(None, {})
    assert settings.gateways == ()
    found = loaded(tmp_path, GATEWAY + "peak_power_kwp = 5")
    assert repr(found).count("peak_power_kwp=5.0") == 1


def test_state_lies_where_the_environment_puts_it(tmp_path: Path) -> None:
    state = load(None, {"XDG_STATE_HOME": str(tmp_path)}).state_dir
    assert state == tmp_path / "envoylog"
    assert load(None, {"ENVOYLOG_STATE_DIR": "/a"}).state_dir == Path("/a")
    own = load(None, {})
    assert own.state_dir == Path("~/.local/state/envoylog").expanduser()
    assert own.database_url == f"sqlite:///{own.state_dir}/envoylog.db"


def test_a_grid_meter_is_balancing_unless_another_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, line in (
        ("", "grid_meter = balancing  # default"),
        ("grid_meter = 'per_phase'", "grid_meter = per_phase  # file"),
    ):
        loaded(tmp_path, GATEWAY + text)
        assert run(["--config", str(tmp_path / "config.toml"), "config", "show"]) == 0
        assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("names", [("a b", "a_b"), ("Roof", "roof"), ("roof.1", "roof-1")])
def test_names_that_are_one_in_files_and_variables_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / "config.toml"
    hosts = (f'[[gateways]]\nname = "{name}"\nhost = "192.168.1.{n}"\n' for n, name in enumerate(names))
    path.write_text("".join(hosts))
    with pytest.raises(SettingsError, match="change one"):
        load(path, {})


@pytest.mark.parametrize("name", ["a\\u001b[31mb", "a\\u202eb", "x" * 65, "\\U0001d49c" * 60])
def test_a_name_that_no_terminal_should_get_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[[gateways]]\nname = "{name}"\nhost = "192.168.1.2"\n')
    with pytest.raises(SettingsError, match="printable"):
        load(path, {})


@pytest.mark.parametrize("host", ["http://me:hunter2@192.168.1.2", "me:hunter2@192.168.1.2/x"])
def test_a_host_with_a_password_is_refused_and_not_shown(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="username and password_file") as caught:
        loaded(tmp_path, GATEWAY.replace("envoy.local", host))
    with pytest.raises(SettingsError, match="username and password_file") as asked:
        Address.parse(host)
    assert "hunter2" not in f"{caught.value}{asked.value}"


def test_a_sentence_about_a_file_holds_nothing_that_a_terminal_obeys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GATEWAY + '[[gateways.arrays]]\nname = "x\\u001b[2J\\u202e"\ninverters = ["1"]\n')
    assert run(["--config", str(path), "config", "check"]) == 3
    assert capsys.readouterr().err.strip().isprintable()


@pytest.mark.parametrize("url", ["postgresql://me:sec%40ret@db/x", "postgresql://db/x?user=me&password=secret"])
def test_a_configuration_with_a_password_is_not_for_everybody(tmp_path: Path, url: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'database_url = "{url}"\n')
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod o-rwx"):
        load(path, {})
    path.chmod(0o640)
    assert load(path, {}).database_url == url
