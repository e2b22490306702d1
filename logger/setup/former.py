"""A user's own configuration and figures, with which the service goes on."""

import pwd
from pathlib import Path

from sqlalchemy import make_url

from logger import settings
from logger.settings import Settings, places
from logger.store import database, transfer


def path_of(user: str) -> Path | None:
    """Return the configuration of a user, or None where there is none."""
    try:
        path = Path(pwd.getpwnam(user).pw_dir) / ".config/envoylog" / places.CONFIG_NAME
    except KeyError:
        return None
    return path if path.is_file() else None


def load(path: Path) -> Settings:
    """Return the settings of a user's own configuration, as that user has them.

    SettingsError: it can't be used.
    """
    state = str(path.parents[2] / ".local/state/envoylog")
    is_named = "state_dir" in settings.load(path, {}).origins
    return settings.load(path, {} if is_named else {"ENVOYLOG_STATE_DIR": state})


def server_url(former: Settings) -> str | None:
    """Return the URL of a database that is on a server: the service goes on with it."""
    return None if _file(former.database_url) else former.database_url


def bring(former: Settings, loaded: Settings) -> list[str]:
    """Copy what was logged by now into the service's database, and put the old configuration aside; say what was done.

    Raises:
        StoreError: it can't be copied.
    """
    done = []
    file, into = _file(former.database_url), _file(loaded.database_url)
    if file is not None and file.is_file() and into is not None and file != into:
        with (
            database.opened(former.database_url, read_only=True) as source,
            database.opened(loaded.database_url) as target,
        ):
            rows = sum(transfer.copy(source, target).values())
        done.append(f"{rows} rows of {file} are copied into {into}.")
    if former.config_path is not None:
        aside = former.config_path.rename(former.config_path.with_suffix(".toml.old"))
        done.append(f"The former configuration lies in {aside} now.")
    return done


def _file(url: str) -> Path | None:
    """Return the file of a database, or None where it is on a server."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.host is None and parsed.database else None
