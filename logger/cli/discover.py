"""``envoylog discover``."""

import json
import os
from dataclasses import asdict

import click

from logger.errors import GatewayUnreachableError
from logger.gateway import discovery
from logger.gateway.discovery import Found


@click.command()
@click.option(
    "--timeout-s",
    type=click.FloatRange(0.1, 300),
    default=5.0,
    show_default=True,
    help="How long to wait for answers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
def discover(timeout_s: float, as_json: bool) -> None:
    """List the gateways on this network, by mDNS."""
    found = discovery.discover(timeout_s, discovery.interfaces_of(os.environ))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif found:
        click.echo(f"{'serial':<14}{'firmware':<12}address")
    if not found:
        raise GatewayUnreachableError(
            f"No gateway announced itself within {timeout_s:g} s; mDNS does not cross routers, so "
            "look from its own network, or write the IP address that your router shows for it as "
            "host into the configuration."
        )
    if as_json:
        return
    for one in found:
        click.echo(f"{one.serial:<14}{one.firmware or '?':<12}{', '.join(one.addresses)}")
    click.echo(f"\nTo log {'it' if len(found) == 1 else 'them'}, write into the configuration:",
               err=True)  # fmt: skip
    for number, one in enumerate(found, start=1):
        click.echo(_table(one, "roof" if len(found) == 1 else f"roof{number}"), err=True)


def _table(found: Found, name: str) -> str:
    """Return the table of a gateway in the configuration."""
    return (
        f'\n[[gateways]]\nname = "{name}"\nhost = "{found.addresses[0]}"\nserial = "{found.serial}"'
    )
