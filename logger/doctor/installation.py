"""What is looked at: the configuration as it was found, or why there is none, and the world around it."""

import contextlib
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from logger import settings as configuration
from logger.clock import Clock, utc_now
from logger.doctor.findings import Finding, Level
from logger.errors import LoggerError, SettingsError
from logger.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation, as this process finds it."""

    environ: Mapping[str, str]
    config_path: Path | None = None
    settings: Settings | None = None  #: None where the configuration can't be used
    error: SettingsError | None = None  #: why
    clock: Clock = utc_now

    @property
    def user(self) -> str:
        """Who we are."""
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return str(os.geteuid())  # A user without a name, as in a container.

    @property
    def hidden(self) -> list[Path]:
        """The folders and files with secrets that are there, and not for us: another user's."""
        if self.settings is None:
            return []
        secrets = [self.settings.state_dir]
        for gateway in self.settings.gateways:
            secrets += filter(None, (gateway.token_file, gateway.password_file))
        secrets += [told.url_file for told in self.settings.told if told.url_file is not None]
        return [path for path in secrets if is_hidden(path)]


def is_hidden(path: Path) -> bool:
    """Return whether a path is there, as far as that shows, and can't be read by this user."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not may(path, os.R_OK)


def nearest(path: Path) -> Path:
    """Return a path, or the nearest folder above it that there is."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            place.lstat()
            return place
    return Path("/")


def may(path: Path, right: int) -> bool:
    """Return whether this process has a right to a path."""
    return os.access(path, right, effective_ids=os.access in os.supports_effective_ids)


def found(
    explicit: str | None, environ: Mapping[str, str], *, database_url: str | None = None, clock: Clock = utc_now
) -> Installation:
    """Return the installation of a command line."""
    path = None
    try:
        path = configuration.find_config(explicit, environ)
        loaded = configuration.load(path, environ, database_url=database_url)
    except SettingsError as error:
        return Installation(environ=environ, config_path=path, error=error, clock=clock)
    return Installation(environ=environ, config_path=path, settings=loaded, clock=clock)


def finding_of(
    check: str, problem: LoggerError, otherwise: str, gateway: str | None = None, level: Level = Level.ERROR
) -> Finding:
    """Return an error as a finding: our errors say what happened, and after it what to do.

    ``otherwise`` is what to do where it does not say.
    """
    return of_sentence(check, str(problem), otherwise, gateway, level)


def of_sentence(check: str, text: str, otherwise: str, gateway: str | None, level: Level) -> Finding:
    """Return a finding of a sentence that has what to do after its semicolon."""
    what, _, remedy = text.partition("; ")
    remedy = remedy.removeprefix("run: ").removeprefix("look at: ").strip().rstrip(".")
    if remedy.startswith("did you mean "):
        remedy = f"write {remedy.removeprefix('did you mean ').rstrip('?')}"
    elif remedy.endswith("?"):
        remedy = ""  # A question is nothing to do.
    return Finding(check, level, what.strip().rstrip(".") + ".", remedy or otherwise, gateway)
