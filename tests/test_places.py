"""Where things lie, whose they are, and who may read secrets."""

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from logger.cli import run
from logger.errors import SettingsError
from logger.settings import Settings, load, places, read_secret, urls, write_secret
from logger.settings.secret_files import is_there
from tests.another_user import NOBODY, ROOT_ALONE, as_user


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's places, below a directory of the test."""
    monkeypatch.setattr(places, "SYSTEM_CONFIG_DIR", tmp_path / "etc/envoylog")
    monkeypatch.setattr(places, "SYSTEM_STATE_DIR", tmp_path / "var/lib/envoylog")
    (tmp_path / "etc/envoylog").mkdir(parents=True)
    (tmp_path / "etc/envoylog/config.toml").write_text("")
    return tmp_path


def test_the_service_and_every_command_find_the_same_places_whatever_the_environment(system: Path) -> None:
    path = system / "etc/envoylog/config.toml"
    for environ in ({}, {"STATE_DIRECTORY": "/a"}, {"XDG_STATE_HOME": "/b"}, {"HOME": "/nowhere"}):
        loaded = load(path, environ)
        assert loaded.state_dir == system / "var/lib/envoylog"
        assert loaded.database_url == f"sqlite:///{system}/var/lib/envoylog/db/envoylog.db"
    assert places.find_config(None, {"XDG_CONFIG_HOME": str(system / "none")}) == path


def test_a_link_to_the_services_configuration_is_the_services(system: Path) -> None:
    link = system / "mine.toml"
    link.symlink_to(system / "etc/envoylog/config.toml")
    assert load(link, {}).state_dir == system / "var/lib/envoylog"


def test_a_database_that_lay_beside_the_services_secrets_goes_on_there(system: Path) -> None:
    path, state = system / "etc/envoylog/config.toml", system / "var/lib/envoylog"
    (state / "db").mkdir(parents=True)
    (state / "envoylog.db").touch()
    assert load(path, {}).database_url == f"sqlite:///{state}/envoylog.db"
    (state / "db/envoylog.db").touch()
    assert load(path, {}).database_url == f"sqlite:///{state}/db/envoylog.db"


def loaded(tmp_path: Path, text: str, **environ: str) -> Settings:
    folder = tmp_path / "configuration"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml", environ)


def test_what_is_relative_belongs_to_the_configuration_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "database_url = 'sqlite:///data/../e.db?timeout=5'\nstate_dir = 'state'\n[[gateways]]\nname = 'roof'\n"
        "host = 'envoy.local'\ntoken_file = 'a.token'\npassword_file = 'b'\n"
    )
    (tmp_path / "elsewhere").mkdir()
    for place in (tmp_path, tmp_path / "elsewhere"):
        monkeypatch.chdir(place)
        found = loaded(tmp_path, text)
        folder = tmp_path / "configuration"
        assert found.database_url == f"sqlite:///{folder}/e.db?timeout=5"
        assert found.state_dir == folder / "state"
        assert found.gateways[0].token_file == folder / "a.token"
        assert found.gateways[0].password_file == folder / "b"
    monkeypatch.chdir(tmp_path / "configuration")
    assert load(Path("config.toml"), {}).database_url == f"sqlite:///{tmp_path}/configuration/e.db?timeout=5"


def test_who_has_no_home_can_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert places.find_config(None, {}) in {None, places.system_config()}
    found = load(None, {}, database_url="sqlite:////e.db")
    assert found.database_url == "sqlite:////e.db"
    assert found.state_dir.parts[:2] == ("/", "nonexistent")


def test_a_folder_with_marks_of_a_url_in_its_name_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "50%25 off?"
    folder.mkdir()
    found = loaded(folder, "database_url = 'sqlite:///e%20f.db?timeout=5'\nstate_dir = 'state'")
    assert make_url(found.database_url).database == f"{folder}/configuration/e f.db"
    default = load(None, {"ENVOYLOG_STATE_DIR": str(folder)})
    assert make_url(default.database_url).database == f"{folder}/envoylog.db"


def test_a_relative_url_of_the_command_line_is_relative_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}, database_url="sqlite:///e.db").database_url == f"sqlite:///{tmp_path}/e.db"
    assert load(None, {"HOME": "/h"}, database_url="sqlite:////e.db").database_url == "sqlite:////e.db"
    assert load(None, {}, database_url="sqlite://").database_url == "sqlite://"
    home = Path("~").expanduser()
    assert loaded(tmp_path, "database_url = 'sqlite:///~/e.db'").database_url == f"sqlite:///{home}/e.db"


def test_a_database_of_an_older_version_is_not_begun_anew_in_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.db").touch()
    text = "database_url = 'sqlite:///e.db'"
    with pytest.raises(SettingsError, match=f"mv {tmp_path}/e.db {tmp_path}/configuration/e.db"):
        loaded(tmp_path, text)
    (tmp_path / "configuration/e.db").touch()
    assert loaded(tmp_path, text).database_url.endswith("configuration/e.db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://logger:Gr8@S3cret99@127.0.0.1:20199/solar",
        "postgresql://logger:a@S3cret99/x@host/db",
        "postgresql+psycopg://logger:a@b?S3cret99@host/db",
        "postgres://me@S3cret99@host/db",
        "postgresql://logger:@S3cret99@host",
    ],
)
def test_an_unquoted_at_sign_is_refused_by_every_command_and_not_shown(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"database_url = {url!r}\n")
    path.chmod(0o600)
    for words in (["run"], ["db", "upgrade"], ["config", "check"], ["config", "show"], ["report", "daily"]):
        assert run(["--config", str(path), *words]) == 3
    monkeypatch.setenv("ENVOYLOG_DATABASE_URL", url)
    path.write_text("")
    assert run(["--config", str(path), "db", "upgrade"]) == 3
    out, err = capsys.readouterr()
    assert "S3cret99" not in out + err
    assert err.count("write %40 for @") == 6


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a%40b@host/db",
        "postgresql://me:a/b?c@host/db",
        "postgresql:///db?host=/run/x&user=me@x",
        "postgresql://host/db?user=me@azure&password=a@b",
        "sqlite:////home/me@here/a@b.db",
        "postgresql://me@host/db?options=-c%20a=b@c",
    ],
)
def test_an_at_sign_in_its_place_is_none_too_many(url: str) -> None:
    urls.check(url)


def grant(path: Path, *users: int, group: int = 0, other: int = 0) -> None:
    """Let users read a file as systemd lets a service read a credential."""
    entries = [(1, 4, 0xFFFFFFFF), *((2, 4, user) for user in users), (4, group, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF)]
    packed = b"".join(struct.pack("<HHI", *entry) for entry in [*entries, (32, other, 0xFFFFFFFF)])
    path.chmod(0o400)
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError:
        pytest.skip("this file system has no access control lists")


def test_a_secret_may_be_read_by_its_owner_and_this_process_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, "hush")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path) == "hush"
    grant(path, os.geteuid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    assert read_secret(path) == "hush"
    for open_to in ({"group": 4}, {"other": 4}):
        grant(path, os.geteuid(), **open_to)
        with pytest.raises(SettingsError, match="chmod 600"):
            read_secret(path)
    grant(path, os.geteuid(), 4711)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_secret(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
def test_a_secret_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    write_secret(path, "hush")
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_secret(path)


@ROOT_ALONE
def test_a_service_reads_the_credential_that_systemd_gives_to_its_user(public_path: Path) -> None:
    path = public_path / "secret"
    path.write_text("hush")
    grant(path, NOBODY)
    with as_user(NOBODY):
        assert read_secret(path) == "hush"
    grant(path, NOBODY, NOBODY - 1)
    with as_user(NOBODY), pytest.raises(SettingsError, match="chmod 600"):
        read_secret(path)


@ROOT_ALONE
def test_what_root_makes_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    write_secret(state / "tokens/roof.jwt", "hush")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in state.rglob("*")} == {(NOBODY, NOBODY)}
    assert stat.S_IMODE((state / "tokens").stat().st_mode) == 0o700


def test_the_services_folders_let_its_group_come_to_the_database_alone(system: Path) -> None:
    state = system / "var/lib/envoylog"
    umask = os.umask(0o077)
    places.make_folder(state / "db")
    write_secret(state / "tokens/roof.jwt", "hush")
    os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
    assert modes == {"envoylog": 0o710, "db": 0o2770, "tokens": 0o700}


def test_nobody_else_reads_what_lies_in_the_services_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SYSTEM_STATE_DIR", tmp_path / "state")
    places.make_folder(tmp_path / "state/backups")
    places.make_folder(tmp_path / "state/tokens", 0o700)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == {"backups": 0o750, "tokens": 0o700}


def test_the_services_folders_can_be_made_where_the_sandbox_refuses_bits_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(real: Callable[..., None]) -> Callable[..., None]:
        def checked(path: Path, mode: int = 0o777, **more: Any) -> None:
            if mode & ~0o777:
                raise PermissionError(1, "Operation not permitted")
            real(path, mode, **more)

        return checked

    state = tmp_path / "state"
    monkeypatch.setattr(places, "SYSTEM_STATE_DIR", state)
    monkeypatch.setattr(Path, "mkdir", refused(Path.mkdir))
    monkeypatch.setattr(Path, "chmod", refused(Path.chmod))
    for _ in range(2):
        places.make_folder(state / "db")
    assert (state / "db").is_dir()


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        places.make_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        places.make_folder(tmp_path / "file/deeper")


def test_a_folder_that_is_closed_to_this_user_is_named_and_not_taken_for_empty(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(SettingsError, match="check the path"):
        places.find_config(None, {})
    monkeypatch.setattr(places, "user_config", lambda _: system / "etc/envoylog/config.toml")
    with pytest.raises(SettingsError, match="usermod -aG envoylog"):
        places.find_config(None, {})
    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(SettingsError, match="run the command as that user"):
        is_there(Path("/secret"))


def test_reading_what_is_stored_needs_no_secret(tmp_path: Path) -> None:
    text = "[[gateways]]\nname = 'roof'\nhost = 'envoy.local'\nusername = 'me'\npassword_file = '/nowhere/password'\n"
    gateway = loaded(tmp_path, text).gateways[0]
    assert gateway.has_password
    with pytest.raises(SettingsError, match="/nowhere/password"):
        gateway.read_password()
    by_environment = loaded(tmp_path, text, ENVOYLOG_GATEWAYS__ROOF__PASSWORD="hush").gateways[0]
    assert by_environment.read_password() == "hush"
    assert "hush" not in repr(by_environment)
