"""``envoylog status`` and ``envoylog health``."""

import json
import os
from dataclasses import asdict

import click

from logger.cli.options import load_settings, open_database
from logger.clock import utc_now
from logger.errors import LoggerError, StoreAwayError, StoreError
from logger.settings import Settings
from logger.standing import Health, Standing


def _token_days(loaded: Settings) -> list[int | None]:
    """Return the days that each gateway's token has left; None where there is none."""
    from logger.gateway.credentials import (  # noqa: PLC0415 - only what is called
        Enlighten,
        Tokens,
    )

    days: list[int | None] = []
    for one in loaded.gateways:
        try:
            token = Tokens(one, loaded.state_dir, Enlighten(os.environ), utc_now).stored()
        except LoggerError:
            token = None
        ends = token.expires_at if token else None
        days.append((ends - utc_now()).days if ends else None)
    return days


def _standings(loaded: Settings) -> tuple[list[Standing], float]:
    from logger.standing import size_mb, standings  # noqa: PLC0415 - only what is called

    engine = open_database(loaded, read_only=True)
    now, days = utc_now(), _token_days(loaded)
    with engine.connect() as connection:
        found = standings(connection, loaded, now, days)
        size = size_mb(connection)
    engine.dispose()
    return found, size


def _up_to_now(loaded: Settings) -> list[Standing] | None:
    """Return the same with today's energy to the minute; None where it can't be computed now."""
    from logger.standing import bring_today_up, standings  # noqa: PLC0415 - only what is called
    from logger.store.database import translated_errors, wait_at_most  # noqa: PLC0415 - the same

    now = utc_now()
    try:
        engine = open_database(loaded)
        with translated_errors(), engine.connect() as connection:
            wait_at_most(connection, 2)
            bring_today_up(connection, loaded, now)
            found = standings(connection, loaded, now, _token_days(loaded))
            connection.rollback()
    except StoreError:
        return None  # Somebody writes just now, or we may only read.
    engine.dispose()
    return found


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show on one screen how things stand."""
    loaded = load_settings(ctx)
    found, size = _standings(loaded)
    found = _up_to_now(loaded) or found
    if as_json:
        record = {"database_mb": size, "gateways": [asdict(one) for one in found]}
        click.echo(json.dumps(record, indent=2, default=str, ensure_ascii=False))
        return
    for one in found:
        when = "never" if one.last_good_age_s is None else f"{one.last_good_age_s} s ago"
        click.echo(f"{one.gateway}  serial {one.serial or '?'}, firmware {one.firmware or '?'}")
        click.echo(f"  last measured  {when}, last poll {one.last_outcome or 'none'}")
        if one.last_error:
            click.echo(f"  last problem   {one.last_error}")
        click.echo(f"  today          {_kwh(one.today_production_kwh)} made, "
                   f"{_kwh(one.today_consumption_kwh)} used")  # fmt: skip
        if one.token_days_left is not None:
            click.echo(f"  token          {one.token_days_left} days left")
        if one.spool_bytes:
            since_s = one.waiting_since_s or 0
            click.echo(f"  spool          {one.spool_bytes} bytes wait for the database, "
                       f"the oldest for {since_s} s")  # fmt: skip
    click.echo(f"database {size:.1f} MB")


def _kwh(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} kWh"


@click.command()
@click.pass_context
def health(ctx: click.Context) -> int:
    """For monitors: one line, and exit 0 ok, 1 warning, 2 critical, 3 unknown."""
    from logger.standing import health as judged  # noqa: PLC0415 - the command's own name

    try:
        loaded = load_settings(ctx)
        found, _ = _standings(loaded)
        said = judged(found, loaded)
    except StoreAwayError as error:
        said = Health(level=2, line=f"CRITICAL {error}")
    except LoggerError as error:
        said = Health(level=3, line=f"UNKNOWN {error}")
    click.echo(said.line)
    return said.level
