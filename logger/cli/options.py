"""What several commands share: settings and the database of a command line."""

import os
from typing import Any

import click
from sqlalchemy import Engine

from logger import settings
from logger.errors import SettingsError, UsageError
from logger.settings import GatewaySettings, Settings


def load_settings(ctx: click.Context) -> Settings:
    """Return the settings of this command line."""
    chosen: dict[str, Any] = ctx.find_root().obj
    path = settings.find_config(chosen["config"], os.environ)
    return settings.load(path, os.environ, database_url=chosen["database_url"])


def gateways_of(loaded: Settings) -> tuple[GatewaySettings, ...]:
    """Return the configured gateways.

    Raises:
        SettingsError: there are none.
    """
    if not loaded.gateways:
        where = loaded.config_path or "~/.config/envoylog/config.toml"
        raise SettingsError(f"No gateway is configured: add a [[gateways]] table to {where}.")
    return loaded.gateways


def gateway_named(loaded: Settings, name: str | None) -> GatewaySettings:
    """Return one configured gateway; the only one when no name is given."""
    gateways = gateways_of(loaded)
    if name is None and len(gateways) == 1:
        return gateways[0]
    known = ", ".join(one.name for one in gateways)
    for one in gateways:
        if one.name == name:
            return one
    if name is None:
        raise UsageError(f"There are several gateways; name one of: {known}.")
    raise UsageError(f"No gateway is called {name!r}; configured: {known}.")


def open_database(loaded: Settings, *, read_only: bool = False) -> Engine:
    """Return the database with the schema of this version.

    Raises:
        StoreError: it can't be opened, or needs `envoylog db upgrade`.
    """
    from logger.store.database import open_engine  # noqa: PLC0415 - only where a database is
    from logger.store.schema import require_current  # noqa: PLC0415

    engine = open_engine(loaded.database_url, read_only=read_only)
    require_current(engine)
    return engine


def prepared_database(loaded: Settings) -> Engine:
    """Return the database for writing; an empty one gets its tables.

    Raises:
        StoreError: it can't be opened, or needs `envoylog db upgrade`.
    """
    from logger.store.database import open_engine  # noqa: PLC0415 - only where a database is
    from logger.store.schema import prepare  # noqa: PLC0415 - the same

    engine = open_engine(loaded.database_url)
    prepare(engine)
    return engine
