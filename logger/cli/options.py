"""What several commands share: the settings and the database of a command line."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logger import settings
from logger.cli.everywhere import say
from logger.errors import LoggerError, SettingsError, StoreDamagedError, UsageError
from logger.reports import periods
from logger.store import database, schema, transfer, writer

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from logger.settings import GatewaySettings, Settings


def load_settings(*, needs_file: bool = True) -> "Settings":
    """Return the settings of this command line.

    Raises:
        SettingsError: they can't be used; or there is no file, and nothing says where the database is.
    """
    chosen: dict[str, Any] = click.get_current_context().find_root().obj
    path = settings.find_config(chosen.get("config"), os.environ)
    url = chosen.get("database_url")
    if url and settings.has_password(url):
        say("warning: other users see the password on the command line; set ENVOYLOG_DATABASE_URL.")
    loaded = settings.load(path, os.environ, database_url=url)
    if needs_file and path is None and {"database_url", "state_dir"}.isdisjoint(loaded.origins):
        raise SettingsError("There is no configuration yet; run: envoylog setup")
    return loaded


def complete_gateway(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Return the configured gateways whose name begins with what was typed; none where the configuration is wrong."""
    with suppress(LoggerError):
        chosen: dict[str, Any] = context.find_root().obj or {}
        loaded = settings.load(settings.find_config(chosen.get("config"), os.environ), os.environ)
        return [gateway.name for gateway in loaded.gateways if gateway.name.startswith(typed)]
    return []


def complete_day(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Return the words for days that begin with what was typed."""
    return [word for word in periods.WORDS if word.startswith(typed)]


def output_option(text: str) -> "Callable[[Any], Any]":
    """Return the option that names the file to write; its ``-`` means as much as none."""

    def chosen(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
        return None if path == Path("-") else path

    return click.option("-o", "output", metavar="FILE", type=click.Path(path_type=Path), callback=chosen, help=text)


def gateways_of(loaded: "Settings") -> "tuple[GatewaySettings, ...]":
    """Return the configured gateways.

    Raises:
        SettingsError: no gateway is configured.
    """
    if not loaded.gateways:
        where = f" in {loaded.config_path}" if loaded.config_path else ""
        raise SettingsError(f"No gateway is configured{where} yet; run: envoylog setup")
    return loaded.gateways


def gateway_named(loaded: "Settings", name: str | None) -> "GatewaySettings":
    """Return one configured gateway; the only one when no name is given."""
    gateways = gateways_of(loaded)
    chosen = [gateway for gateway in gateways if name in {None, gateway.name}]
    if len(chosen) == 1:
        return chosen[0]
    known = ", ".join(gateway.name for gateway in gateways)
    if name is None:
        raise UsageError(f"There are several gateways; name one of: {known}.")
    raise UsageError(f"No gateway is called {name!r}; configured: {known}.")


@contextmanager
def opened(loaded: "Settings", *, read_only: bool = False, prepare: bool = False) -> "Iterator[Engine]":
    """Open the database, whose schema has to be this version's; ``prepare`` an empty one.

    Raises:
        StoreError: it can't be opened, or needs `envoylog db upgrade`.
    """
    with database.opened(loaded.database_url, read_only=read_only) as engine:
        try:
            (schema.prepare if prepare else schema.require_current)(engine)
            yield engine
        except StoreDamagedError as error:
            raise StoreDamagedError(transfer.what_to_restore(engine, loaded.state_dir / "backups")) from error


@contextmanager
def reading(loaded: "Settings") -> "Iterator[Connection]":
    """Open the database for reading alone.

    Raises:
        StoreError: it can't be read, or needs `envoylog db upgrade`.
    """
    with opened(loaded, read_only=True) as engine, database.translated_errors(), engine.connect() as connection:
        yield connection


@contextmanager
def rolling_up(loaded: "Settings", *, keep: bool) -> "Iterator[Connection]":
    """Open the database for a change of its rollups that nobody else makes meanwhile.

    What was changed is kept, or only looked at.

    Raises:
        StoreError: it can't be written, or needs `envoylog db upgrade`.
    """
    with opened(loaded) as engine, database.translated_errors(), engine.connect() as connection:
        writer.reserve_rollups(connection)
        yield connection
        if keep:
            connection.commit()
