"""Is the configuration right: its file, every value, the files and addresses that it names, the accounts."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from logger.doctor import receivers, storage
from logger.doctor.findings import Finding, Level, error, ok, warning
from logger.doctor.installation import Installation, finding_of, may, nearest
from logger.errors import LoggerError, SettingsError, StoreError, TokenExpiredError
from logger.gateway.credentials import Tokens
from logger.gateway.http import Address
from logger.settings import TOP_KEYS, GatewaySettings, Settings, places, urls
from logger.store import database, schema

CHECK = "configuration"
#: Variables of the environment that mean something beside the keys of the file.
VARIABLES = {"CONFIG", "ENLIGHTEN_URL", "ENTREZ_URL", "MDNS_INTERFACES", "BIN"}


def examine(here: Installation) -> Iterator[Finding]:
    """Yield what there is to say of the configuration."""
    yield from _unknown_variables(here)
    if here.error is not None:
        yield finding_of(CHECK, here.error, "correct the configuration, then run: envoylog config check")
        return
    loaded = here.settings
    if loaded is None or (here.config_path is None and not loaded.gateways):
        text = f"There is no configuration: neither {places.user_config(here.environ)} nor {places.system_config()}."
        yield error(CHECK, text, "envoylog setup")
        return
    yield from _files(here, loaded)
    if not loaded.gateways:
        yield error(CHECK, f"No gateway is configured in {here.config_path}.", "envoylog setup")
    if hidden := here.hidden:
        text = f"{here.user} may not read {' and '.join(map(str, hidden))}, so tokens and accounts are not looked at."
        yield warning("secrets", text, "sudo envoylog doctor")
    for gateway in loaded.gateways:
        yield from of_gateway(here, loaded, gateway, with_secrets=not hidden)
    yield from _state_dir(here, loaded)
    if loaded.pages is not None:
        yield from _pages(here, loaded.pages)
    yield from receivers.examine(here, loaded)


def _files(here: Installation, loaded: Settings) -> Iterator[Finding]:
    names = ", ".join(gateway.name for gateway in loaded.gateways)
    count = len(loaded.gateways)
    words = f"{count} gateway{'' if count == 1 else 's'}{f' ({names})' if names else ''}"
    yield ok(CHECK, f"{here.config_path or 'no file'}: {words}.")
    own, of_service = places.user_config(here.environ), places.system_config()
    if here.config_path == own and os.path.lexists(of_service):
        text = f"There are two configurations: this one is {own}, the service reads {of_service}."
        yield warning(CHECK, text, f"remove {own}, or name one with --config")
    by_origin: dict[str, list[str]] = {}
    for key in TOP_KEYS:
        if key != "gateways":
            by_origin.setdefault(loaded.origins.get(key, "default"), []).append(key)
    named = {str(here.config_path): "the file", "default": "defaults"}
    parts = [f"from {named.get(origin, f'the {origin}')}: {', '.join(keys)}" for origin, keys in by_origin.items()]
    text = "; ".join(sorted(parts))
    yield ok("values", f"{text[:1].upper()}{text[1:]}.")


def _unknown_variables(here: Installation) -> Iterator[Finding]:
    known = {f"ENVOYLOG_{name}" for name in VARIABLES | {key.upper() for key in TOP_KEYS}}
    names = {re.sub(r"\W", "_", gateway.name).upper() for gateway in here.settings.gateways} if here.settings else set()
    known |= {f"ENVOYLOG_GATEWAYS__{name}__{secret}" for name in names for secret in ("TOKEN", "PASSWORD")}
    for name in sorted(here.environ):
        is_ours = name.startswith("ENVOYLOG_") and not name.startswith("ENVOYLOG_TEST_")
        if is_ours and name not in known and (here.settings or "__" not in name):
            yield warning(CHECK, f"The variable {name} means nothing to envoylog.", "correct its name, or unset it")


def of_gateway(
    here: Installation, loaded: Settings, gateway: GatewaySettings, *, with_secrets: bool
) -> Iterator[Finding]:
    """Yield what is wrong with a gateway's table, without asking anybody."""
    name = gateway.name
    try:
        address = Address.parse(gateway.host)
    except SettingsError as problem:
        yield finding_of(CHECK, problem, "correct host", name)
        return
    if gateway.tls == "off":
        text = "tls is off: whoever answers at its address gets the token."
        yield warning("certificate", text, 'write tls = "pin"', name)
    if address.scheme == "http" and (gateway.token_file or gateway.token):
        text = "It has a token, which is never sent over plain HTTP."
        yield error(CHECK, text, f'write host = "https://{address.host}"', name)
    if with_secrets:
        yield from _secrets(here, loaded, gateway)


def _secrets(here: Installation, loaded: Settings, gateway: GatewaySettings) -> Iterator[Finding]:
    """Yield what is wrong with a gateway's token and account."""
    name = gateway.name
    try:
        tokens = Tokens(gateway, loaded.state_dir, here.environ, here.clock)
        stored = tokens.stored()
        if stored is not None:
            if stored.serial and gateway.serial not in {None, stored.serial}:
                text = f"The token is of gateway {stored.serial}, and serial is {gateway.serial}."
                yield error("token", text, f"correct serial, or run: envoylog token set {name}", name)
            with contextlib.suppress(*([TokenExpiredError] if tokens.has_account else [])):
                stored.check(stored.serial or "", here.clock())
    except LoggerError as problem:
        if "must be an https" in str(problem):
            yield finding_of(CHECK, problem, "correct this variable, or unset it", name)
        else:
            yield finding_of("token", problem, f"envoylog token set {name}", name)
    try:
        gateway.read_password()
    except SettingsError as problem:
        yield finding_of("account", problem, "check password_file", name)
    if gateway.username and not gateway.has_password:
        text = f"The account {gateway.username!r} has no password."
        yield error("account", text, "add password_file, or remove username", name)
    if gateway.has_password and not gateway.username:
        yield error("account", "There is a password, but no username.", "add username, or remove password_file", name)


def _state_dir(here: Installation, loaded: Settings) -> Iterator[Finding]:
    path = loaded.state_dir
    there = nearest(path)
    if not there.is_dir():
        yield error(CHECK, f"state_dir {path} can't be made: {there} is a file.", "choose another state_dir")
    elif may(there, os.W_OK | os.X_OK):
        yield ok("state_dir", f"{path}{'' if there == path else ', not made yet'}: {here.user} may write there.")
    else:
        who = _owner(there)
        text = f"{path}: only {who} may write there, so only {who} can poll and collect; {here.user} can read reports."
        yield ok("state_dir", text)


def _pages(here: Installation, path: Path) -> Iterator[Finding]:
    there = nearest(path)
    if not there.is_dir():
        yield error("pages", f"[pages] directory {path} can't be made: {there} is a file.", "choose another directory")
    elif may(there, os.W_OK | os.X_OK):
        yield ok("pages", f"{path}: {here.user} may write pages there.")
    else:
        yield ok("pages", f"{path}: only {_owner(there)} may write pages there.")


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return "its owner"


def problems(here: Installation) -> list[Finding]:
    """Return what is not fine, for ``envoylog config check``: the gateways are not asked, the database is opened."""
    found = [finding for finding in examine(here) if finding.level is not Level.OK]
    return found + (list(_database(here, here.settings)) if here.settings is not None else [])


def _database(here: Installation, loaded: Settings) -> Iterator[Finding]:
    """Yield why the database could not be used."""
    try:
        storage.refuse_folder(file := database.file_of(loaded.database_url))
        if file is not None and not os.path.lexists(file):
            there = nearest(file.parent)
            if not there.is_dir() or not may(there, os.W_OK | os.X_OK):
                text = f"{here.user} can't make the database {file}: {there} is not a folder to write into."
                yield error(CHECK, text, "choose another database_url, or another user")
            return
        with database.opened(loaded.database_url, read_only=True) as engine:
            schema.known(engine)
    except StoreError as problem:
        found = finding_of(CHECK, problem, "correct database_url")
        yield error(CHECK, f"{urls.masked(loaded.database_url)}: {found.finding}", str(found.to_do))
