"""``envoylog discover``, ``envoylog token`` and ``envoylog trust``."""

import json
import os
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logger import settings
from logger.cli import pasting
from logger.cli.options import complete_gateway, gateway_named, load_settings
from logger.clock import utc_now
from logger.errors import CertificateChangedError, GatewayError, GatewayUnreachableError, TokenError, UsageError
from logger.exports import screen
from logger.gateway import client, credentials, discovery, http, tls, words

if TYPE_CHECKING:
    from logger.gateway.credentials import Tokens
    from logger.gateway.tls import Pins
    from logger.gateway.token import Token
    from logger.settings import GatewaySettings, Settings


@click.command()
@click.option(
    "--timeout-s", metavar="SECONDS", type=click.FloatRange(0.1, 300), default=5.0, help="How long to wait for answers."
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
def discover(timeout_s: float, as_json: bool) -> None:
    """List the gateways on this network, by mDNS."""
    found = discovery.discover(timeout_s, discovery.interfaces_of(os.environ))
    if as_json:
        click.echo(json.dumps([asdict(gateway) for gateway in found], indent=2))
    if not found:
        raise GatewayUnreachableError(
            f"No gateway announced itself within {timeout_s:g} s; mDNS does not cross routers, so look from its own "
            "network, or write the IP address that your router shows for it as host into the configuration."
        )
    if as_json:
        return
    click.echo(f"{'serial':<14}{'firmware':<12}address")
    for gateway in found:
        click.echo(f"{gateway.serial:<14}{gateway.firmware or '?':<12}{', '.join(gateway.addresses)}")
    which = "it" if len(found) == 1 else "them"
    click.echo(f"\nTo log {which}, run `envoylog setup`, or write into the configuration:", err=True)
    for number, gateway in enumerate(found, start=1):
        click.echo(f'\n[[gateways]]\nname = "roof{"" if len(found) == 1 else number}"', err=True)
        click.echo(f'host = "{discovery.as_host(gateway.addresses[0])}"\nserial = "{gateway.serial}"', err=True)


@click.group()
def token() -> None:
    """Manage the token that firmware 7 and newer asks for.

    The token itself is never shown.
    """


def _tokens(name: str | None) -> "tuple[Settings, GatewaySettings, Tokens]":
    chosen = gateway_named(loaded := load_settings(), name)
    return loaded, chosen, credentials.Tokens(chosen, loaded.state_dir, os.environ, utc_now)


@token.command("show")
@click.argument("name", required=False, shell_complete=complete_gateway)
def show_token(name: str | None) -> None:
    """Show whose the token is and how long it lasts."""
    _, chosen, tokens = _tokens(name)
    if (found := tokens.stored()) is None:
        raise TokenError(
            f"Gateway {chosen.name!r} has no token yet; get one at "
            f"https://entrez.enphaseenergy.com and run: envoylog token set {chosen.name}"
        )
    click.echo(f"gateway {chosen.name}: token of {found.user} for serial {found.serial or 'any'}")
    if found.expires_at is not None:
        local, left = screen.local(found.expires_at, chosen.time_zone), screen.lasting(found.expires_at - utc_now())
        click.echo(f"expires {local:%Y-%m-%d %H:%M}, {left}")


@token.command("set")
@click.argument("name", required=False, shell_complete=complete_gateway)
@click.option("--file", "path", type=click.Path(path_type=Path), help="Read it from this file.")
@click.option("--untried", is_flag=True, help="Keep it although the gateway can't be asked now.")
def set_token(name: str | None, path: Path | None, untried: bool) -> None:
    """Keep a pasted token, if the gateway takes it.

    It is asked for, or read from a pipe. A page that holds it, or lines that it was wrapped into, are fine.
    """
    loaded, chosen, tokens = _tokens(name)
    pasted = credentials.Token.parse(pasting.pasted_token(path))
    pasted.check(chosen.serial or pasted.serial or "", utc_now())
    if not untried:
        _try(loaded, chosen, pasted)
    tokens.keep(pasted)
    click.echo(f"gateway {chosen.name}: {'' if untried else 'it takes the token; '}kept in {tokens.kept_path}")
    for line in words.lifetime(pasted, utc_now(), renews=tokens.has_account):
        click.echo(textwrap.fill(line, 80))
    if chosen.token:
        click.echo(f"note: {settings.variable(chosen.name, 'TOKEN')} is set and goes before it.", err=True)


def _try(loaded: "Settings", chosen: "GatewaySettings", pasted: "Token") -> None:
    """Raise an error unless the gateway takes a token."""
    gateway = client.Gateway(loaded, chosen, os.environ)
    try:
        info = gateway.try_token(pasted)
    except GatewayUnreachableError as error:
        raise GatewayUnreachableError(
            f"{client.unreachable(chosen, error)} The token was not kept, as the gateway could not try it; "
            "--untried keeps it all the same."
        ) from error
    if not info.has_web_tokens:
        raise UsageError(f"Gateway {chosen.name!r} has firmware {info.firmware}, which needs no token; none was kept.")


@token.command()
@click.argument("name", required=False, shell_complete=complete_gateway)
def renew(name: str | None) -> None:
    """Fetch a new token with the Enlighten account."""
    loaded, chosen, tokens = _tokens(name)
    if not tokens.has_account:
        raise TokenError(
            f"Gateway {chosen.name!r} has no Enlighten account; add username and password_file, "
            "or paste a token: envoylog token set"
        )
    gateway = client.Gateway(loaded, chosen, os.environ)
    try:
        serial = gateway.identify().serial
        found = tokens.fetch(serial, is_urgent=True)
        gateway.try_token(found)
    except GatewayUnreachableError as error:
        raise client.unreachable(chosen, error) from error
    tokens.keep(found)
    click.echo(f"gateway {chosen.name}: new token; {words.lifetime(found, utc_now(), renews=True)[0]}")


@click.group()
def trust() -> None:
    """Manage the certificate that a gateway is known by."""


def _pinned(name: str | None) -> "tuple[GatewaySettings, Pins, str]":
    """Return the pin and the fingerprint that the gateway shows now; no request is sent."""
    chosen = gateway_named(loaded := load_settings(), name)
    address = http.Address.parse(chosen.host)
    if address.scheme == "http":
        raise UsageError(f"Gateway {chosen.name!r} is read over plain HTTP: it has no certificate.")
    try:
        shown = tls.fingerprint_at(address.host, address.port or 443)
    except GatewayError as error:
        raise client.unreachable(chosen, error) from error
    return chosen, tls.Pins(loaded.state_dir, chosen.name), shown


@trust.command("show")
@click.argument("name", required=False, shell_complete=complete_gateway)
def show_trust(name: str | None) -> int:
    """Show the pinned certificate, and the gateway's own."""
    chosen, pins, shown = _pinned(name)
    pinned = pins.read()
    click.echo(f"gateway {chosen.name}\npinned  {pinned or 'none yet'}\nshown   {shown}")
    if pinned is None:
        click.echo("the first poll pins it")
    elif pinned != shown:
        click.echo(f"they differ; if you know why, run: envoylog trust accept {chosen.name}")
        return 4
    return 0


@trust.command()
@click.argument("name", required=False, shell_complete=complete_gateway)
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(name: str | None, yes: bool) -> None:
    """Pin the certificate that the gateway shows now."""
    chosen, pins, shown = _pinned(name)
    try:
        pinned = pins.read() or "none yet"
    except CertificateChangedError:
        pinned = "damaged"
    click.echo(f"gateway {chosen.name}\npinned  {pinned}\nshown   {shown}")
    if not yes:
        click.confirm("Trust the certificate that is shown now?", abort=True, err=True)
    pins.write(shown)
    click.echo("accepted")
