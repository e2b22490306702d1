"""``envoylog config``."""

import click

from logger import settings
from logger.cli.options import load_settings
from logger.settings import urls


@click.group()
def config() -> None:
    """Check the configuration, and show where values come from."""


@config.command()
def check() -> None:
    """Read the configuration and check whether it can be used."""
    loaded = load_settings()
    click.echo(f"{loaded.config_path or 'no file'}: ok, {len(loaded.gateways)} gateway(s)")


@config.command()
def show() -> None:
    """Show every value and where it comes from; secrets are masked."""
    loaded = load_settings(needs_file=False)
    click.echo(f"# file: {loaded.config_path or 'none'}")
    for key in settings.TOP_KEYS:
        if key != "gateways":
            value = urls.masked(loaded.database_url) if key == "database_url" else getattr(loaded, key)
            click.echo(f"{key} = {value}  # {loaded.origins.get(key, 'default')}")
    for gateway in loaded.gateways:
        click.echo(f"\n[[gateways]]\nname = {gateway.name}\nhost = {gateway.host}")
        for key in ("serial", "time_zone", "peak_power_kwp", "token_file", "username", "tls"):
            if (value := getattr(gateway, key)) is not None:
                click.echo(f"{key} = {value}")
        by = "" if gateway.grid_meter else "  # default"
        click.echo(f"grid_meter = {gateway.grid_meter or settings.GRID_METERS[0]}{by}")
        click.echo(f"mdns = {str(gateway.mdns).lower()}")
        click.echo(f"livedata = {str(gateway.livedata).lower()}")
        for key, is_set in (("token", gateway.token is not None), ("password", gateway.has_password)):
            if is_set:
                click.echo(f"{key} = (set, hidden)")
