"""Configuration: flags before environment before file before default.

``load`` depends on a path, an environment and overrides alone. Unknown keys are errors that name the nearest known key.
Secrets come from the environment or from files that only their owner can read, when they are needed and no sooner:
whoever only reads what was stored needs none. They never appear in ``repr``, errors or ``origins``.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from logger.clock import time_zone
from logger.errors import SettingsError
from logger.settings import document, notify, panels, places, urls
from logger.settings.document import GATEWAY_KEYS, TOP_KEYS
from logger.settings.notify import HealthcheckSettings, NotifySettings, Secret
from logger.settings.panels import ArraySettings
from logger.settings.places import find_config
from logger.settings.secret_files import read_secret, write_secret
from logger.settings.urls import has_password

__all__ = [
    "GATEWAY_KEYS", "GRID_METERS", "NO_USER", "TOP_KEYS", "ArraySettings", "GatewaySettings", "HealthcheckSettings",
    "NotifySettings", "Settings", "file_stem", "find_config", "has_password", "load", "normal_gap_s", "places",
    "read_secret", "urls", "write_secret",
]  # fmt: skip

#: How the utility's meter may see several phases, the default first: their sum at each instant, or each for itself.
GRID_METERS = ("balancing", "per_phase")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """One ``[[gateways]]`` table."""

    name: str
    host: str  #: host[:port], or a URL with its scheme
    serial: str | None = None
    time_zone: str | None = None
    peak_power_kwp: float | None = None
    grid_meter: Literal["balancing", "per_phase"] | None = None  #: one of ``GRID_METERS``; None for the default
    token: str | None = field(default=None, repr=False)  #: from the environment
    token_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)  #: from the environment
    password_file: Path | None = None
    tls: Literal["pin", "verify", "off"] = "pin"
    mdns: bool = True  #: look for it by its serial when it fails at ``host``
    livedata: bool = False  #: read what the gateway streams, while somebody lets it
    panel_names: Mapping[str, str] = field(default_factory=dict)  #: by the serials of their inverters
    arrays: tuple[ArraySettings, ...] = ()

    @property
    def has_password(self) -> bool:
        """Whether a password is configured."""
        return self.password is not None or self.password_file is not None

    def read_password(self) -> str | None:
        """Return the configured password, or None where there is none.

        Raises:
            SettingsError: its file can't be read, or others can read it.
        """
        if self.password is None and self.password_file is not None:
            return read_secret(self.password_file)
        return self.password


#: what to write instead of a host with a user
NO_USER = "which is shown with it; write the host alone, and username and password_file beside it"
#: of a gateway's name, which becomes one of a file
LONGEST_NAME = 64


def file_stem(gateway_name: str) -> str:
    """Return a gateway's name as the stem of its files in the state directory."""
    return re.sub(r"[^\w.-]", "_", gateway_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured."""

    database_url: str = field(repr=False)  #: may hold a password
    state_dir: Path
    poll_every_s: int = 60
    inverters_every_s: int = 300
    commit_every_s: int = 60
    collect: Literal["alone", "shared"] = "alone"  #: whether other collectors ask gateways of the same configuration
    keep_samples_days: int = 0
    pages: Path | None = None  #: the folder that pages are written into
    pages_locale: str = "en"  #: their language
    notify: tuple[NotifySettings, ...] = ()
    healthcheck: HealthcheckSettings | None = None
    gateways: tuple[GatewaySettings, ...] = ()
    config_path: Path | None = None
    #: key, or gateways.NAME.key -> where its value came from, for ``envoylog config show``
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> list[Secret]:
        """The URLs of those who are told something."""
        pinged = [] if self.healthcheck is None else [self.healthcheck.secret]
        return [receiver.secret for receiver in self.notify] + pinged


#: A century: longer than any clock here goes back.
LONGEST_DAYS = 36_500


def normal_gap_s(poll_every_s: int) -> int:
    """Return how far samples of a cadence may be apart without a hole in the coverage."""
    return max(900, 2 * poll_every_s)


def load(path: Path | None, environ: Mapping[str, str], *, database_url: str | None = None) -> Settings:
    """Return the settings of a file, an environment and the ``--database-url`` flag.

    Raises:
        SettingsError: names the file, the key and what to write instead.
    """
    values = document.typed(document.read(path), TOP_KEYS, where=str(path))
    origins = dict.fromkeys(values, str(path))
    tables = values.pop("gateways", [])
    pages_table, receivers, pinged = (values.pop(key, None) for key in ("pages", "notify", "healthcheck"))
    for key in (key for key, kind in TOP_KEYS.items() if kind is int):
        if (text := environ.get(name := f"ENVOYLOG_{key.upper()}")) is not None:
            try:
                values[key], origins[key] = int(text), "environment"
            except ValueError as error:
                raise SettingsError(f"{name} must be a whole number, not {text!r}.") from error
    base = path.parent if path else Path.cwd()
    if pages_table is not None:
        values["pages"], values["pages_locale"] = _pages(pages_table, base.absolute())
    values["notify"] = notify.receivers(receivers or (), base.absolute())
    values["healthcheck"] = notify.healthcheck(pinged, base.absolute())
    url = database_url or environ.get("ENVOYLOG_DATABASE_URL")
    if "database_url" in values:
        if not url:
            urls.refuse_left_behind(values["database_url"], base)
        values["database_url"] = urls.absolute(values["database_url"], base)
    if url:
        values["database_url"] = urls.absolute(url, Path.cwd())
        origins["database_url"] = "flag" if database_url else "environment"
    if "state_dir" in values:
        values["state_dir"] = places.anchored(values["state_dir"], base.absolute())
    if state := environ.get("ENVOYLOG_STATE_DIR"):
        values["state_dir"], origins["state_dir"] = places.anchored(state, Path.cwd()), "environment"
    state_dir = values.setdefault("state_dir", places.state_dir(path, environ))
    values.setdefault("database_url", urls.of_file(places.database_file(path, state_dir)))
    urls.check(values["database_url"])
    gateways = tuple(_gateway(table, f"gateway {n}", base, environ) for n, table in enumerate(tables, start=1))
    for table, gateway in zip(tables, gateways, strict=True):
        origins |= {f"gateways.{gateway.name}.{key}": str(path) for key in table}
        given = {"token": gateway.token, "password": gateway.password}
        origins |= {f"gateways.{gateway.name}.{key}": "environment" for key, text in given.items() if text is not None}
    loaded = Settings(gateways=gateways, config_path=path, origins=origins, **values)
    _check(loaded)
    if path and (secret := _secret_of(loaded, str(path))) and path.stat().st_mode & 0o007:
        raise SettingsError(f"{path} holds {secret} but everybody can read it; run: chmod o-rwx {path}")
    return loaded


def _secret_of(loaded: Settings, path: str) -> str | None:
    """Return what a configuration holds that is not for everybody."""
    if loaded.origins.get("database_url") == path and has_password(loaded.database_url):
        return "a password"
    return "the URL of a receiver" if any(secret.url is not None for secret in loaded.told) else None


def _check(loaded: Settings) -> None:
    """Refuse what no single key shows."""
    poll, inverters = loaded.poll_every_s, loaded.inverters_every_s
    if poll < 5 or 3600 % poll:
        raise SettingsError(f"poll_every_s = {poll} must be 5 or more and divide 3600: 5, 10, 15, 20, 30, 60, 300 …")
    if not poll <= inverters <= 86_400 or inverters % poll:
        raise SettingsError(
            f"inverters_every_s = {inverters} must be a multiple of poll_every_s = {poll}, and a day at most: 86400."
        )
    if not 0 <= loaded.commit_every_s <= 900:
        raise SettingsError("commit_every_s must lie between 0 and 900.")
    if loaded.collect not in {"alone", "shared"}:
        raise SettingsError(f"collect must be alone or shared, not {loaded.collect!r}.")
    if not 0 <= loaded.keep_samples_days <= LONGEST_DAYS:
        raise SettingsError(f"keep_samples_days must lie between 0 (keep for ever) and {LONGEST_DAYS}.")
    for name, count in Counter(gateway.name for gateway in loaded.gateways).items():
        if count > 1:
            raise SettingsError(f"Two gateways are called {name!r}; give each a name of its own.")
    _refuse_twice({gateway.name: _address(gateway.host) for gateway in loaded.gateways}, "host")
    _refuse_twice({gateway.name: gateway.serial for gateway in loaded.gateways if gateway.serial}, "serial")
    plain: dict[str, str] = {}
    for gateway in loaded.gateways:
        other = plain.setdefault(_plain(gateway.name), gateway.name)
        if other != gateway.name:
            raise SettingsError(f"The names {other!r} and {gateway.name!r} are one in files and variables; change one.")


def _refuse_twice(values: Mapping[str, str], key: str) -> None:
    """Refuse that two names stand for one gateway: each would count all of its energy."""
    first: dict[str, str] = {}
    for name, value in values.items():
        if value in first:
            raise SettingsError(
                f"Gateways {first[value]!r} and {name!r} have the same {key} ({value}); keep one of them."
            )
        first[value] = name


def _address(host: str) -> str:
    """Return where a host is, however it is written: with a scheme and its port or without."""
    try:
        parts = urlsplit(host.strip() if "://" in host else f"//{host.strip()}")
        port, name = parts.port, (parts.hostname or host).rstrip(".")
    except ValueError:
        return host
    return name if port in {None, 80, 443} else f"{name}:{port}"


def _pages(table: Mapping[str, Any], base: Path) -> tuple[Path, str]:
    found = document.typed(table, document.PAGES_KEYS, where="[pages]")
    if not found.get("directory"):
        raise SettingsError('[pages]: directory is missing; write directory = "/path/to/a/folder".')
    if (locale := found.get("locale", "en")) not in document.LANGUAGES:
        raise SettingsError(f"[pages]: locale must be one of {', '.join(document.LANGUAGES)}, not {locale!r}.")
    return places.anchored(found["directory"], base), locale


def _gateway(table: Any, where: str, base: Path, environ: Mapping[str, str]) -> GatewaySettings:
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: write gateways as [[gateways]] tables.")
    values = document.typed(table, GATEWAY_KEYS, where=where)
    for key in ("name", "host"):
        if not values.get(key):
            raise SettingsError(f"{where}: {key} is missing; every gateway needs one.")
    name = values["name"]
    if "@" in values["host"]:
        raise SettingsError(f"gateway {name!r}: host holds a user or a password, {NO_USER}.")
    time_zone(values.get("time_zone") or "UTC")
    if (tls := values.get("tls", "pin")) not in {"pin", "verify", "off"}:
        raise SettingsError(f"gateway {name!r}: tls must be pin, verify or off, not {tls!r}.")
    if (grid_meter := values.get("grid_meter", GRID_METERS[0])) not in GRID_METERS:
        raise SettingsError(f"gateway {name!r}: grid_meter must be balancing or per_phase, not {grid_meter!r}.")
    if not 0 < values.get("peak_power_kwp", 1) < 100_000:
        raise SettingsError(f"gateway {name!r}: peak_power_kwp must be the kWp of the panels.")
    # Names of files have 255 bytes at most, their endings included.
    if not name.isprintable() or len(name) > LONGEST_NAME or len(name.encode()) > 3 * LONGEST_NAME:
        raise SettingsError(f"{where}: name must be printable and of {LONGEST_NAME} characters at most, not {name!r}.")
    values["panel_names"] = panels.names(values.get("panel_names", {}), f"gateway {name!r}")
    values["arrays"] = panels.arrays(values.get("arrays", ()), f"gateway {name!r}")
    values["token"] = environ.get(variable(name, "TOKEN"))
    values["password"] = environ.get(variable(name, "PASSWORD"))
    for key in ("token_file", "password_file"):
        values[key] = places.anchored(values[key], base) if values.get(key) else None
    return GatewaySettings(**values)


def variable(name: str, secret: str) -> str:
    """Return the variable of the environment that may hold a gateway's TOKEN or PASSWORD."""
    return f"ENVOYLOG_GATEWAYS__{_plain(name)}__{secret}"


def _plain(name: str) -> str:
    """Return a gateway's name as variables of the environment have it."""
    return re.sub(r"\W", "_", name).upper()
