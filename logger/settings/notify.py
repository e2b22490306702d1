"""Who is to hear of what, and who hears that all is well: ``[[notify]]`` and ``[healthcheck]``.

A URL of a receiver is a secret: it holds passwords or names that are as good as one. It stands in a file of its own
that only its owner can read, or in the configuration, which then must not be readable by everybody.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any

from logger.clock import time_zone
from logger.errors import SettingsError
from logger.settings import document, places
from logger.settings.secret_files import read_secret

NOTIFY_KEYS: dict[str, type] = {
    "name": str,
    "url": str,
    "url_file": str,
    "when": list,
    "quiet_hours": str,
    "time_zone": str,
}
HEALTHCHECK_KEYS: dict[str, type] = {"url": str, "url_file": str, "every_s": int}
#: what may be worth a notification -> what it is, in a title
KINDS = {
    "gateway_silent": "does not answer",
    "token_expires": "its token ends soon",
    "certificate_change": "shows another certificate",
    "disk_full": "a disk is full",
    "dead_panel": "a panel makes nothing",
    "weak_panel": "a panel is weak",
    "suspect": "figures that can't be right",
    "grid_lost": "the grid is lost",
    "monthly_page": "the last month",
}
#: A name is shown, logged and stored.
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A URL that nobody is to see: as it stands in the configuration, or in a file."""

    where: str  #: the table that names it
    url: str | None = field(default=None, repr=False)
    url_file: Path | None = None

    def read(self) -> str:
        """Return the URL.

        Raises:
            SettingsError: its file can't be read, others can read it, or it is empty.
        """
        text = self.url if self.url is not None else read_secret(self.url_file) if self.url_file else ""
        if not text.strip() or len(text.split()) > 1:
            raise SettingsError(f"{self.where}: {self.url_file or 'url'} must hold one URL; write it there.")
        return text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """One ``[[notify]]`` table: a receiver of notifications."""

    name: str
    secret: Secret
    when: tuple[str, ...] = tuple(KINDS)
    quiet_hours: tuple[time, time] | None = None  #: local: from, until
    time_zone: str | None = None  #: of the quiet hours; None for the first gateway's


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcheckSettings:
    """The ``[healthcheck]`` table: whoever notices when pings stop."""

    secret: Secret
    every_s: int = 300


def receivers(tables: Sequence[Any], base: Path) -> tuple[NotifySettings, ...]:
    """Return the receivers of notifications; relative files are relative to ``base``.

    Raises:
        SettingsError: names the table and the key.
    """
    found: list[NotifySettings] = []
    for number, table in enumerate(tables, start=1):
        where = f"[[notify]] {number}"
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: write each receiver as a [[notify]] table.")
        values = document.typed(table, NOTIFY_KEYS, where=where)
        name = values.get("name", str(number))
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise SettingsError(f"{where}: name must be printable, of {LONGEST_NAME} characters at most.")
        if any(name == other.name for other in found):
            raise SettingsError(f"{where}: two receivers are called {name!r}; give each a name of its own.")
        where = f"[[notify]] {name}"
        if values.get("time_zone"):
            time_zone(values["time_zone"])
        found.append(
            NotifySettings(
                name=name,
                secret=_secret(values, where, base),
                when=_when(values["when"], where) if "when" in values else tuple(KINDS),
                quiet_hours=_hours(values["quiet_hours"], where) if values.get("quiet_hours") else None,
                time_zone=values.get("time_zone") or None,
            )
        )
    return tuple(found)


def healthcheck(table: Mapping[str, Any] | None, base: Path) -> HealthcheckSettings | None:
    """Return who is pinged; None where nobody is.

    Raises:
        SettingsError: names the key.
    """
    if table is None:
        return None
    values = document.typed(table, HEALTHCHECK_KEYS, where="[healthcheck]")
    every_s = values.get("every_s", 300)
    if not 5 <= every_s <= 86_400:
        raise SettingsError("[healthcheck]: every_s must lie between 5 and 86400.")
    return HealthcheckSettings(secret=_secret(values, "[healthcheck]", base), every_s=every_s)


def _secret(values: Mapping[str, Any], where: str, base: Path) -> Secret:
    if bool(values.get("url")) == bool(values.get("url_file")):
        raise SettingsError(f"{where}: write either url, or url_file with the name of a file that holds it.")
    if values.get("url_file"):
        return Secret(where=where, url_file=places.anchored(values["url_file"], base))
    return Secret(where=where, url=values["url"])


def _when(kinds: Sequence[Any], where: str) -> tuple[str, ...]:
    for kind in kinds:
        if not isinstance(kind, str) or kind not in KINDS:
            near = document.nearest(str(kind), KINDS)
            raise SettingsError(f"{where}: when names {kind!r}; did you mean {near!r}? It takes: {', '.join(KINDS)}.")
    if not kinds:
        raise SettingsError(f"{where}: when is empty; leave it out for all kinds, or name some.")
    return tuple(dict.fromkeys(kinds))


def _hours(text: str, where: str) -> tuple[time, time]:
    try:
        since, until = (time.fromisoformat(piece.strip().zfill(5)) for piece in re.split("[-\N{EN DASH}]", text))
    except ValueError as error:
        raise SettingsError(f'{where}: quiet_hours is written like "22:00-07:00", not {text!r}.') from error
    if since.tzinfo or until.tzinfo:
        raise SettingsError(f"{where}: quiet_hours is of time_zone; leave out the offset, and write time_zone.")
    if since == until:
        raise SettingsError(f"{where}: quiet_hours begins and ends at the same time; leave it out, or correct it.")
    return since, until
