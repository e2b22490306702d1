"""``envoylog config``."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from logger import settings
from logger.cli import doctor, everywhere
from logger.cli.options import load_settings
from logger.doctor import configuration, installation
from logger.errors import SettingsError
from logger.settings import urls

if TYPE_CHECKING:
    from logger.settings import GatewaySettings, Settings
    from logger.settings.notify import Secret


@click.group()
def config() -> None:
    """Check the configuration, and show where values come from."""


@config.command()
def check() -> int:
    """Check the configuration, and all that it names but the gateways.

    Every value, the files of tokens and passwords, hosts, accounts, the state directory and the database. It ends with
    3 where something keeps it from being used.
    """
    loaded = load_settings()
    here = installation.Installation(environ=os.environ, config_path=loaded.config_path, settings=loaded)
    found = configuration.problems(here)
    click.echo("".join(f"{line}\n" for line in doctor.lines(found)), nl=False, color=everywhere.wants_colour())
    if any(finding.level == "error" for finding in found):
        return SettingsError.exit_code
    count = len(loaded.gateways)
    click.echo(f"{here.config_path}: ok, {count} gateway{'' if count == 1 else 's'}")
    return 0


@config.command()
def show() -> None:
    """Show every value and where it comes from; secrets are masked."""
    loaded = load_settings(needs_file=False)
    click.echo(f"# file: {loaded.config_path or 'none'}")
    for key in settings.TOP_KEYS:
        if key not in {"gateways", "pages", "notify", "healthcheck"}:
            value = urls.masked(loaded.database_url) if key == "database_url" else getattr(loaded, key)
            click.echo(f"{key} = {value}  # {_origin(loaded, key)}")
    if loaded.pages is not None:
        click.echo(f"\n[pages]\ndirectory = {loaded.pages}\nlocale = {loaded.pages_locale}")
    _show_receivers(loaded)
    for gateway in loaded.gateways:
        click.echo("\n[[gateways]]")
        for key, value in _shown(gateway):
            click.echo(f"{key} = {value}  # {_origin(loaded, f'gateways.{gateway.name}.{key}')}")


def _origin(loaded: "Settings", key: str) -> str:
    """Return where a value comes from: of the file that is named above, in one word."""
    origin = loaded.origins.get(key, "default")
    return "file" if origin == str(loaded.config_path) else origin


def _shown(gateway: "GatewaySettings") -> Iterator[tuple[str, object]]:
    """Yield the keys of a gateway that have a value, secrets masked."""
    for key in settings.GATEWAY_KEYS:
        value = getattr(gateway, key)
        if key == "grid_meter":
            yield key, value or settings.GRID_METERS[0]
        elif key == "panel_names":
            yield from [(key, f"of {len(value)} panel{'' if len(value) == 1 else 's'}")] if value else ()
        elif key == "arrays":
            yield from [(key, ", ".join(array.name for array in value))] if value else ()
        elif value is not None:
            yield key, str(value).lower() if isinstance(value, bool) else value
    for key, text in (("token", gateway.token), ("password", gateway.password)):
        if text is not None:
            yield key, "(set, hidden)"


def _show_receivers(loaded: "Settings") -> None:
    for receiver in loaded.notify:
        click.echo(f"\n[[notify]]\nname = {receiver.name}\n{_of_secret(receiver.secret)}")
        click.echo(f"when = {', '.join(receiver.when)}")
        if receiver.quiet_hours is not None:
            click.echo("quiet_hours = {:%H:%M}-{:%H:%M}".format(*receiver.quiet_hours))
        if receiver.time_zone is not None:
            click.echo(f"time_zone = {receiver.time_zone}")
    if loaded.healthcheck is not None:
        click.echo(f"\n[healthcheck]\n{_of_secret(loaded.healthcheck.secret)}\nevery_s = {loaded.healthcheck.every_s}")


def _of_secret(secret: "Secret") -> str:
    return "url = (set, hidden)" if secret.url_file is None else f"url_file = {secret.url_file}"
