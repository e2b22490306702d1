"""Where things lie: the configuration, the state (tokens, pins, spool) and the database.

They follow from the configuration alone. One in ``/etc/envoylog`` is the service's, and every command that reads it
finds the service's state and database, whoever runs it and wherever. Any other is a user's own.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from logger.errors import SettingsError

#: of the service
SYSTEM_CONFIG_DIR = Path("/etc/envoylog")
SYSTEM_STATE_DIR = Path("/var/lib/envoylog")
CONFIG_NAME = "config.toml"
DATABASE_NAME = "envoylog.db"
#: Members of the service's group come through it to the database; each of its other folders is for the service alone.
STATE_MODE = 0o710
#: Members of the service's group read what lies in its database's folder, and new files there are the group's.
SHARED_FOLDER_MODE = 0o2770
#: errors of a disk that is full
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def user_config(environ: Mapping[str, str]) -> Path:
    """Return where a user's own configuration lies, or would lie."""
    return _expanded(environ.get("XDG_CONFIG_HOME", "").strip() or "~/.config") / "envoylog" / CONFIG_NAME


def system_config() -> Path:
    """Return where the service's configuration lies, or would lie."""
    return SYSTEM_CONFIG_DIR / CONFIG_NAME


def find_config(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration file to read, or None when there is none.

    Raises:
        SettingsError: a file was named and does not exist, or it is not for this user.
    """
    if named := explicit or environ.get("ENVOYLOG_CONFIG"):
        path = _expanded(named)
        if not is_file(path):
            by = "" if explicit else "ENVOYLOG_CONFIG names it; "
            if path.is_dir():
                raise SettingsError(f"{path} is a folder; {by}name the file in it, such as {path / CONFIG_NAME}.")
            raise SettingsError(f"There is no configuration file {path}; {by}check the path.")
        return path
    return next((path for path in (user_config(environ), system_config()) if is_file(path)), None)


def is_file(path: Path) -> bool:
    """Return whether a configuration is there.

    Raises:
        SettingsError: its folder is not for this user.
    """
    try:
        return path.is_file()
    except PermissionError as error:
        raise not_for_us(path) from error


def not_for_us(path: Path) -> SettingsError:
    """Return what to do about a configuration that this user can't read."""
    if is_system(path):
        return SettingsError(
            f"The configuration {path} is for members of the group envoylog; join it with "
            "`sudo usermod -aG envoylog $USER`, then log in again."
        )
    return SettingsError(f"The configuration {path} can't be read; it belongs to another user, so check the path.")


def is_system(config: Path | None) -> bool:
    """Return whether a configuration is the service's."""
    return config is not None and SYSTEM_CONFIG_DIR in {Path(os.path.abspath(config)).parent, config.resolve().parent}  # noqa: PTH100 - links stay


def state_dir(config: Path | None, environ: Mapping[str, str]) -> Path:
    """Return where the state lies unless the configuration or the environment puts it elsewhere."""
    if is_system(config):
        return SYSTEM_STATE_DIR
    found = _expanded(environ.get("XDG_STATE_HOME", "").strip() or "~/.local/state") / "envoylog"
    # Who has no home, in a container for example, may still read: nothing is looked for where one stands.
    return Path("/nonexistent") / found if found.parts[0] == "~" else found


def database_file(config: Path | None, state: Path) -> Path:
    """Return the database's file where no database_url is configured."""
    older = state / DATABASE_NAME
    if not is_system(config):
        return older
    shared = state / "db" / DATABASE_NAME
    with contextlib.suppress(OSError):
        # Up to version 0.1 the service's database lay among its secrets: it goes on there.
        if older.exists() and not shared.exists():
            return older
    return shared


def anchored(text: str, base: Path) -> Path:
    """Return a path of a configuration, which is relative to its folder."""
    return base / _expanded(text)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above that are missing; the service's get the modes that they have to have.

    OSError: it can't be made.
    """
    service = {SYSTEM_STATE_DIR: STATE_MODE, SYSTEM_STATE_DIR / "db": SHARED_FOLDER_MODE}
    if path.is_relative_to(SYSTEM_STATE_DIR):
        mode = service.get(path, mode & 0o750)  # Of what else lies there, the group may read what it is given.
    try:
        path.mkdir(mode & 0o777)  # The unit's sandbox refuses any other bit, also where the folder is there.
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    except FileNotFoundError:
        make_folder(path.parent, mode)
        path.mkdir(mode & 0o777)
    if path.is_relative_to(SYSTEM_STATE_DIR):
        # Whatever the umask; in the sandbox the service's group is the folder's by itself.
        with contextlib.suppress(PermissionError):
            path.chmod(mode)
    inherit_owner(path)


def inherit_owner(path: Path) -> None:
    """Give what root has made to whom the folder belongs to: a command by sudo must not lock the service out."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        with contextlib.suppress(PermissionError):  # Of a stick that knows no owners.
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)


def take_after(path: Path, other: os.stat_result) -> None:
    """Give a file the mode of another one, and its owner where this user may."""
    with contextlib.suppress(PermissionError):
        os.chown(path, other.st_uid, other.st_gid)
    path.chmod(stat.S_IMODE(other.st_mode))  # After the owner, whose change takes some of it away.


def _expanded(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - a user without a home is no error yet
