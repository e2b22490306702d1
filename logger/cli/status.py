"""``envoylog status`` and ``envoylog health``."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from logger import status as overview
from logger.cli.options import load_settings, reading
from logger.clock import utc_now
from logger.errors import LoggerError, StoreAwayError, StoreError
from logger.gateway import credentials
from logger.store import database, size

if TYPE_CHECKING:
    from logger.settings import Settings
    from logger.status import GatewayStatus


GRID_STATES = {"on_grid": "connected", "off_grid": "lost: the house runs without it", "generator": "generator runs"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
def status(as_json: bool) -> None:
    """Show on one screen how things stand."""
    with reading(loaded := load_settings()) as connection:
        found = overview.statuses(connection, loaded, utc_now(), _token_days(loaded))
        size_mb = round(size.database_bytes(connection) / 1e6, 1)
    found = _up_to_now(loaded) or found
    if as_json:
        record = {"database_mb": size_mb, "gateways": [asdict(gateway) for gateway in found]}
        click.echo(json.dumps(record, indent=2, default=str, ensure_ascii=False))
        return
    for gateway in found:
        click.echo("\n".join(_lines(gateway)))
    click.echo(f"database {size_mb:.1f} MB")


@click.command()
def health() -> int:
    """Check for a monitor: one line, and an exit code.

    0 is ok, 1 a warning, 2 critical and 3 unknown, as Nagios and its kin expect.
    """
    try:
        with reading(loaded := load_settings()) as connection:
            found = overview.statuses(connection, loaded, utc_now(), _token_days(loaded))
        judged = overview.health(found, loaded)
    except StoreAwayError as error:
        judged = overview.Health(level=2, line=f"CRITICAL {error}")
    except LoggerError as error:
        judged = overview.Health(level=3, line=f"UNKNOWN {error}")
    click.echo(judged.line)
    return judged.level


def _token_days(loaded: "Settings") -> list[int | None]:
    """Return the days that each gateway's token has left; None where there is none."""
    days: list[int | None] = []
    for gateway in loaded.gateways:
        token = None
        with contextlib.suppress(LoggerError):
            token = credentials.Tokens(gateway, loaded.state_dir, os.environ, utc_now).stored()
        days.append((token.expires_at - utc_now()).days if token and token.expires_at else None)
    return days


def _up_to_now(loaded: "Settings") -> "list[GatewayStatus] | None":
    """Return the same with today's energy to the minute; None where it can't be computed now."""
    now = utc_now()
    try:
        with (
            database.opened(loaded.database_url) as engine,
            database.translated_errors(),
            engine.connect() as connection,
        ):
            database.wait_at_most(connection, 2)
            overview.bring_today_up(connection, loaded, now)  # Never committed.
            return overview.statuses(connection, loaded, now, _token_days(loaded))
    except StoreError:
        return None  # Somebody writes just now, or we may only read.


def _lines(gateway: "GatewayStatus") -> Iterator[str]:
    when = "never" if gateway.last_good_age_s is None else f"{gateway.last_good_age_s} s ago"
    production, consumption = gateway.today_production_kwh, gateway.today_consumption_kwh
    yield f"{gateway.gateway}  serial {gateway.serial or '?'}, firmware {gateway.firmware or '?'}"
    yield f"  last measured  {when}, last poll {gateway.last_outcome or 'none'}"
    if gateway.last_error:
        yield f"  last problem   {gateway.last_error}"
    yield f"  today          {_kwh(production)} made, {_kwh(consumption)} used"
    if gateway.battery_soc_pct is not None:
        yield f"  battery        {gateway.battery_soc_pct:.0f} % charged"
    if gateway.grid_state is not None:
        yield f"  grid           {GRID_STATES.get(gateway.grid_state, gateway.grid_state)}"
    if gateway.suspect is not None:
        yield f"  suspect        {gateway.suspect}"
    if gateway.grid_meter_note:
        yield f"  grid meter     {gateway.grid_meter_note}"
    if gateway.token_days_left is not None:
        yield f"  token          {gateway.token_days_left} days left"
    if gateway.spool_bytes:
        waits_s = gateway.waiting_since_s or 0
        yield f"  spool          {gateway.spool_bytes} bytes wait for the database, the oldest for {waits_s} s"


def _kwh(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} kWh"
