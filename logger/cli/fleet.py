"""``envoylog fleet``."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logger import exports
from logger.cli.options import complete_day, load_settings, output_option, reading
from logger.clock import local_day, time_zone, to_epoch_s, utc_now
from logger.errors import NoDataError
from logger.exports import fleet_lines, terminal
from logger.gateway import credentials
from logger.reports import fleet as fleets
from logger.reports import periods

if TYPE_CHECKING:
    from datetime import date, datetime

    from logger.reports import Report
    from logger.settings import Settings

#: the formats of other reports, but for the table, which is one of its own
FORMATS = ("table", "csv", "json", "xlsx", "parquet", "ods", "md")
#: of the report unless others are asked for; and of the status, today included
DAYS, STATUS_DAYS = 31, 8


@click.group()
def fleet() -> None:
    """Watch many gateways: who is silent, weak or incomplete."""


@fleet.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
def status(as_json: bool) -> None:
    """Show how each gateway stands, the worst first.

    It is silent if nothing was measured lately, and weak if in the last week it made less than 80 % of what its
    neighbours made by kWp: the gateways of the same time zone.
    """
    loaded, now = load_settings(), utc_now()
    last = _today(loaded, now)
    report = _report(loaded, last - timedelta(days=STATUS_DAYS - 1), last, now, is_configured=True)
    if as_json:
        click.echo(exports.to_json(report), nl=False)
        return
    click.echo("\n".join(fleet_lines.lines(report, "the last 7 days and today", terminal.width())))


@fleet.command("report")
@click.option("--from", "since", metavar="D", shell_complete=complete_day, help="First day.  [default: 31 days]")
@click.option("--to", "until", metavar="D", shell_complete=complete_day, help="Last day.  [default: today]")
@click.option("--json", "as_json", is_flag=True, help="As --format json.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format.  [default: FILE's suffix, or table]")
@output_option("Write this file; - is the terminal or pipe.")
def report(since: str | None, until: str | None, as_json: bool, form: str | None, output: Path | None) -> None:
    """Compare gateways over some days, the worst first."""
    loaded, now = load_settings(), utc_now()
    today = _today(loaded, now)
    first, last = periods.span(since, until, today)
    last = last or today
    first = first or last - timedelta(days=DAYS - 1)
    found = _report(loaded, first, last, now, is_configured=False)
    chosen = "json" if as_json else exports.format_for(form, output)
    if chosen == "table":
        width = terminal.WIDE if output else terminal.width()
        shown = "\n".join(fleet_lines.lines(found, f"{first} to {last}", width)) + "\n"
        content = click.unstyle(shown).encode()
    else:
        shown, content = "", exports.EXPORTERS[chosen](found)
    if output is None:
        click.echo(shown or content, nl=False)
        return
    with exports.replacing(output) as out:
        out.write(content)
    click.echo(f"{output}: {len(found.rows)} rows", err=True)


def _today(loaded: "Settings", now: "datetime") -> "date":
    """Return today where most gateways are, as far as it is configured."""
    zones = [gateway.time_zone for gateway in loaded.gateways if gateway.time_zone]
    return local_day(to_epoch_s(now), time_zone(max(zones, key=zones.count, default="UTC")))


def _report(loaded: "Settings", first: "date", last: "date", now: "datetime", *, is_configured: bool) -> "Report":
    """Return the report of the configured gateways, and unless only these are wanted of all that have energy."""
    with reading(loaded) as connection:
        found = fleets.facts(connection, first, last)
    names = [gateway.name for gateway in loaded.gateways]
    if not is_configured:
        names += [facts.gateway for facts in found if facts.days]
    if not names:
        raise NoDataError("No gateway is configured, and none has energy in this range; see: envoylog setup")
    left = credentials.tokens_left(loaded, os.environ, utc_now)
    tokens = {
        gateway.name: fleets.Token((token.expires_at - now).days, token.is_short(now)) if token else None
        for gateway, token in zip(loaded.gateways, left, strict=True)
    }
    normal_age_s = 2 * loaded.poll_every_s + 120 + loaded.commit_every_s
    return fleets.fleet_report(
        found, first, last, now=now, normal_age_s=normal_age_s, tokens=tokens, names=list(dict.fromkeys(names))
    )
