"""``envoylog status`` and ``envoylog health``."""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from logger import status as standing
from logger.cli.everywhere import echo_json
from logger.cli.options import load_settings, reading
from logger.clock import utc_now
from logger.errors import LoggerError, StoreAwayError, StoreError
from logger.exports import screen
from logger.gateway import credentials
from logger.readings import Outcome
from logger.reports import overview, power
from logger.service import state
from logger.settings import places
from logger.store import database, lines, size, spool

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from logger.reports.overview import Overview
    from logger.settings import GatewaySettings, Settings
    from logger.status import GatewayStatus


class _Seen(NamedTuple):
    """What is known of one gateway."""

    standing: "GatewayStatus"
    site: "Overview"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
def status(as_json: bool) -> None:
    """Show on one screen how things stand."""
    loaded, now = load_settings(), utc_now()
    try:
        with reading(loaded) as connection:
            size_mb = round(size.database_bytes(connection) / 1e6, 1)
    except StoreAwayError as error:
        raise StoreAwayError(standing.and_what_waits(error, loaded, now)) from error
    seen = _up_to_now(loaded, now) or _as_stored(loaded, now)
    if as_json:
        gateways = [asdict(gateway.standing) | asdict(gateway.site) for gateway in seen]
        echo_json({"database_mb": size_mb, "gateways": gateways})
        return
    for gateway in seen:
        click.echo("\n".join(_lines(gateway, loaded, now)))
        click.echo()
    click.echo(screen.labelled("database", f"{size_mb:.1f} MB"))


@click.command()
def health() -> int:
    """Check for a monitor: one line, and an exit code.

    0 is ok, 1 a warning, 2 critical and 3 unknown, as Nagios and its kin expect.
    """
    try:
        loaded = load_settings()
    except LoggerError as error:
        judged = standing.Health(level=3, line=f"UNKNOWN {error}")
    else:
        tokens = credentials.tokens_left(loaded, os.environ, utc_now)
        judged = standing.health_now(lambda: reading(loaded), loaded, utc_now(), tokens, lambda: _to_do(loaded))
    click.echo(judged.line)
    return judged.level


def _to_do(loaded: "Settings") -> str:
    """Return what to do where nothing is collected: of the service by its state."""
    if not places.is_system(loaded.config_path):
        return standing.START
    service = state.look()
    patience_s = loaded.poll_every_s + loaded.commit_every_s
    if service.running and not service.failing and (service.running_for_s or 0) <= patience_s:
        return f"the service has just started, and stores its first poll within {patience_s} s"
    return f"the service is {service.in_words}; type: {service.to_type or 'journalctl -u envoylog -n 20'}"


def _all(connection: "Connection", loaded: "Settings", now: datetime) -> list[_Seen]:
    found = standing.statuses(connection, loaded, now, credentials.tokens_left(loaded, os.environ, utc_now))
    sites = [_site(connection, gateway, loaded, now) for gateway in loaded.gateways]
    return [_Seen(*pair) for pair in zip(found, sites, strict=True)]


def _site(connection: "Connection", gateway: "GatewaySettings", loaded: "Settings", now: datetime) -> "Overview":
    """Return how a site does; what flows by a poll that waits for the database, where that is newer."""
    site = overview.overview(connection, gateway.name, gateway.time_zone, now)
    waiting = lines.ends(spool.waiting_files(loaded.state_dir, gateway.name))
    measured = [poll for poll in waiting[1] if poll.outcome is not Outcome.FAILED] if waiting else []
    if not measured or (site.now is not None and site.now.measured_at >= measured[-1].polled_at):
        return site
    state = site.now.grid_state if site.now else None
    return replace(site, now=replace(power.power_of(measured[-1]), grid_state=state))


def _as_stored(loaded: "Settings", now: datetime) -> list[_Seen]:
    with reading(loaded) as connection:
        return _all(connection, loaded, now)


def _up_to_now(loaded: "Settings", now: datetime) -> list[_Seen] | None:
    """Return the same with today's energy to the minute; None where it can't be computed now."""
    try:
        with (
            database.opened(loaded.database_url) as engine,
            database.translated_errors(),
            engine.connect() as connection,
        ):
            database.wait_at_most(connection, 2)
            standing.bring_today_up(connection, loaded, now)  # Never committed.
            return _all(connection, loaded, now)
    except StoreError:
        return None  # Somebody writes just now, or we may only read.


def _lines(seen: _Seen, loaded: "Settings", now: datetime) -> Iterator[str]:
    gateway, site = seen
    local = screen.local(now, site.time_zone)
    when = f"{local:%A} {local.day} {local:%B %Y, %H:%M}"
    name = click.style(gateway.gateway, bold=True)
    yield f"{name}{when:>{max(1, screen.WIDTH - len(gateway.gateway))}}"
    known = f"firmware {gateway.firmware or 'unknown'}, serial {gateway.serial}"
    yield screen.labelled("gateway", known if gateway.serial else "not seen yet")
    level, reason = standing.judge(gateway, loaded, lambda: _to_do(loaded))
    if level:
        yield from screen.wrapped("attention", reason, fg="red" if level > 1 else "yellow", bold=True)
    if gateway.suspect is not None and gateway.suspect != reason:
        yield from screen.wrapped("suspect", gateway.suspect, fg="yellow")
    if gateway.grid_meter_note:
        yield from screen.wrapped("grid meter", gateway.grid_meter_note)
    yield from _now(seen, loaded, now)
    yield from screen.energy_lines(site, now)
    if site.this_year is None and gateway.last_poll_at is not None:
        yield screen.labelled("energy", "appears with the second poll: it is what is counted between two")
    if site.this_year is not None:
        yield ""
    yield from screen.care_lines(site)
    if gateway.token_left_s is not None:
        renews = ", renews itself" if gateway.token_renews else ""
        yield screen.labelled("token", screen.lasting(timedelta(seconds=gateway.token_left_s)) + renews)
    if gateway.spool_bytes:
        waits = f"{gateway.spool_bytes / 1000:.0f} kB of polls wait for the database"
        since = screen.ago(gateway.waiting_since_s or 0)
        yield screen.labelled("spool", f"{waits}, the oldest came {since}")


def _now(seen: _Seen, loaded: "Settings", now: datetime) -> Iterator[str]:
    """Yield what flows, and when that was measured."""
    gateway, site = seen
    if site.now is not None:
        age_s = (now - site.now.measured_at).total_seconds()
        is_fresh = age_s <= standing.normal_age_s(gateway, loaded)
        words, at = screen.flowing(site.now), screen.at_local(site.now.measured_at, site.time_zone, now)
        words = f"{words} ({screen.ago(age_s)})" if is_fresh else f"at {at}, {screen.ago(age_s)}: {words}"
        yield from screen.wrapped("now" if is_fresh else "last seen", words)
        if (battery := screen.battery(site.now)) is not None:
            yield screen.labelled("battery", battery)
        if site.now.grid_state is not None:
            yield screen.labelled("grid", screen.GRID_STATES.get(site.now.grid_state, site.now.grid_state))
    if gateway.last_poll_at is not None and gateway.last_outcome != "complete":
        at = screen.at_local(gateway.last_poll_at, site.time_zone, now)
        yield screen.labelled("last poll", f"at {at}, {gateway.last_outcome}")
