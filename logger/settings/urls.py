"""Database URLs as people write them: relative files, passwords, and the @ that has to be quoted."""

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import unquote

from logger.errors import SettingsError
from logger.settings.places import anchored

_SQLITE_FILE = re.compile(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<file>[^?]+)(?P<rest>.*)", re.DOTALL)
#: user, and password as SQLAlchemy reads it: up to the first @
_USER = re.compile(r"[^:/]*://(?P<user>[^:/@]*(?::[^@]*)?)@(?P<rest>.*)", re.DOTALL)
_PASSWORD = re.compile(r"://[^:/@]*:[^@]+@|password\s*=\s*[^&\s]", re.IGNORECASE)


def check(url: str) -> None:
    """Refuse a URL whose user or password holds an @: what follows would be taken, and shown, as the host.

    Raises:
        SettingsError: it has one; the URL is not shown.
    """
    found = None if url.startswith("sqlite") else _USER.match(url)
    if found is None:
        return
    place, _, query = found["rest"].partition("?")
    if "@" in place or any("@" in piece.partition("=")[0] for piece in query.split("&")):
        raise SettingsError(
            "database_url has an @ too many; in a user or a password write %40 for @ "
            "(and %25 for %, %2F for /, %3A for :)."
        )


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, before the host or in its query."""
    return _PASSWORD.search(url) is not None


def masked(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|[^&\s]*)", r"\1***", re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url))


def file_of(url: str) -> Path | None:
    """Return the file that a URL names; None where it names a server, or no file."""
    found = _SQLITE_FILE.fullmatch(url)
    return Path(unquote(found["file"])) if found and not found["file"].startswith((":memory:", "file:")) else None


def absolute(url: str, base: Path) -> str:
    """Return a URL whose file, if it names one, does not depend on where one stands."""
    if (found := _relative(url)) is None:
        return url
    file = anchored(unquote(found["file"]), base.absolute())
    return f"{found['scheme']}{_quoted(os.path.normpath(file))}{found['rest']}"


def of_file(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{_quoted(str(path))}"


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3F")


def refuse_left_behind(url: str, base: Path) -> None:
    """Refuse to begin anew where a file lies that an older version took: relative to where one stands.

    Raises:
        SettingsError: it lies there, and none where it is looked for now.
    """
    if (found := _relative(url)) is None:
        return
    file = unquote(found["file"])
    now, before = anchored(file, base.absolute()), anchored(file, Path.cwd())
    with contextlib.suppress(OSError):
        if before.is_file() and not now.exists():
            raise SettingsError(
                f"database_url means {now}, beside the configuration; up to version 0.1 it meant {before}, which is "
                f"there: run `mv {before} {now}`, or write its whole path."
            )


def _relative(url: str) -> re.Match[str] | None:
    found = _SQLITE_FILE.fullmatch(url)
    return None if found is None or found["file"].startswith(("/", ":memory:", "file:")) else found
