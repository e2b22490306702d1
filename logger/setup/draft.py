"""The configuration file as it will be: comments, order and everything that was not asked for stay as they are."""

import contextlib
import difflib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from logger import settings
from logger.errors import SettingsError
from logger.settings import Settings, places, urls

HEAD = "# Written by envoylog setup; `envoylog docs configuration` explains the keys."
#: A configuration may come to hold the password of a database.
MODE = 0o600
#: The service's is read by its group.
SYSTEM_MODE = 0o640


class Draft:
    """A configuration file that is being changed; nothing is written before ``write``."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path, self._environ = path, environ
        self.before = self._read()
        try:
            self._document = tomlkit.parse(self.before or f"{HEAD}\n\n")
        except TOMLKitError as error:
            raise SettingsError(f"The configuration {path} is not valid TOML: {error}.") from error
        #: what is configured by now; of no file, the defaults of its place
        self.loaded = settings.load(path if self.before else None, environ)
        if not self.before and "state_dir" not in self.loaded.origins:
            self.loaded = replace(self.loaded, state_dir=places.state_dir(path, environ))

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return ""
        except PermissionError as error:
            raise places.not_for_us(self.path) from error
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"The configuration {self.path} can't be read ({reason}).") from error

    @property
    def text(self) -> str:
        """The file as it will be."""
        return tomlkit.dumps(self._document)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.text != self.before

    def set(self, name: str, values: Mapping[str, Any]) -> None:
        """Set keys of the gateway of this name, which is added where there is none; None leaves a key as it is.

        Raises:
            SettingsError: the configuration could not be used then; it stays as it was.
        """
        before = self.text
        given = {key: value for key, value in values.items() if value is not None}
        tables: Any = self._document.setdefault("gateways", tomlkit.aot())
        table = next((table for table in tables if table.get("name") == name), None)
        if table is None:
            # Where somebody wrote them as one line, the new one joins them there.
            table = tomlkit.table() if isinstance(tables, AoT) else tomlkit.inline_table()
            table.update({"name": name} | given)
            if isinstance(tables, AoT) and not before.endswith("\n\n"):
                table.trivia.indent = "\n"  # A line between it and what is before.
            tables.append(table)
        else:
            table.update({key: value for key, value in given.items() if table.get(key) != value})
        try:
            self.checked()
        except SettingsError:
            self._document = tomlkit.parse(before)
            raise

    def set_top(self, values: Mapping[str, Any]) -> None:
        """Set keys of the whole configuration; in a file that has tables, before them."""
        for key, value in values.items():
            if key in self._document:
                self._document[key] = value
            else:
                # Behind the first table it would belong to that.
                self._document = tomlkit.parse(_inserted(self.text, tomlkit.dumps({key: value})))

    def set_database(self, url: str) -> None:
        """Set the database's URL, which may hold a password."""
        if self._document.get("database_url") != url:
            self.set_top({"database_url": url})
            self.checked()

    def changes(self) -> list[str]:
        """Return the lines that come (+) and go (-); all lines of a new file."""
        if not self.before:
            return [_masked(line) for line in self.text.splitlines()]
        lines = difflib.unified_diff(self.before.splitlines(), self.text.splitlines(), n=0, lineterm="")
        headings = ("---", "+++", "@@")
        return [_masked(line) for line in lines if not line.startswith(headings) and line.strip("+- ")]

    def checked(self) -> Settings:
        """Return the settings that the file will give.

        Raises:
            SettingsError: it could not be used.
        """
        with tempfile.TemporaryDirectory() as directory:
            trial = Path(directory) / places.CONFIG_NAME
            trial.write_text(self.text, encoding="utf-8")
            trial.chmod(MODE)
            return settings.load(trial, self._environ)

    def write(self) -> Settings:
        """Write the file in one step, and return its settings; an older one keeps its owner and mode.

        Raises:
            SettingsError: it can't be written, or not be used.
        """
        self.checked()
        if self.is_changed:
            path = self.path.resolve()  # A link stays one.
            try:
                self._replace(path)
            except OSError as error:
                as_root = "; run it with sudo" if places.is_system(path) and os.geteuid() else ""
                raise SettingsError(
                    f"The configuration {self.path} can't be written ({error.strerror}){as_root}."
                ) from error
        return settings.load(self.path, self._environ)

    def _replace(self, path: Path) -> None:
        places.make_folder(path.parent, 0o750 if places.is_system(path) else 0o700)
        with self._temporary(path) as temporary:
            try:
                old = path.stat()
            except FileNotFoundError:
                temporary.chmod(SYSTEM_MODE if places.is_system(path) else MODE)
                places.inherit_owner(temporary)
            else:
                temporary.chmod(stat.S_IMODE(old.st_mode))
                if os.geteuid() == 0:
                    os.chown(temporary, old.st_uid, old.st_gid)
            temporary.replace(path)

    @contextlib.contextmanager
    def _temporary(self, path: Path) -> Iterator[Path]:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(self.text)
                out.flush()
                os.fsync(out.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _inserted(text: str, lines: str) -> str:
    """Return a configuration with lines before its first table."""
    found = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    at = found.start() if found else len(text)
    before = text[:at].rstrip("\n")
    return f"{before}\n\n{lines}\n{text[at:]}".lstrip("\n")


def _masked(line: str) -> str:
    """Return a line without the password that a database's URL may hold."""
    key, equals, value = line.partition("=")
    return f"{key}{equals}{urls.masked(value)}" if "database_url" in key else line
