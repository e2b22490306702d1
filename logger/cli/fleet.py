"""``envoylog fleet``."""

import os
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from logger import exports
from logger.cli.everywhere import say
from logger.cli.options import complete_day, load_settings, output_option, reading
from logger.clock import local_day, time_zone, to_epoch_s, utc_now
from logger.errors import NoDataError, UsageError
from logger.exports import fleet_lines, terminal
from logger.gateway import credentials
from logger.lake import cluster
from logger.reports import fleet as fleets
from logger.reports import periods

if TYPE_CHECKING:
    from datetime import date, datetime

    from logger.errors import LoggerError
    from logger.reports import Report
    from logger.reports.fleet import GatewayFacts
    from logger.settings import Settings

    Known = tuple[list[GatewayFacts], list[LoggerError]]

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
    first = last - timedelta(days=STATUS_DAYS - 1)
    facts, _ = _facts(loaded, first, last)
    report = _report(loaded, facts, first, last, now, is_configured=True)
    if as_json:
        click.echo(exports.to_json(report), nl=False)
        return
    click.echo("\n".join(fleet_lines.lines(report, "the last 7 days and today", terminal.width())))


@fleet.command("report")
@click.option("--from", "since", metavar="D", shell_complete=complete_day, help="First day.  [default: 31 days]")
@click.option("--to", "until", metavar="D", shell_complete=complete_day, help="Last day.  [default: today]")
@click.option("--json", "as_json", is_flag=True, help="As --format json.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format.  [default: FILE's suffix, or table]")
@click.option(
    "--lake", metavar="DIR", type=click.Path(path_type=Path),
    help="Count the samples of a lake, which `envoylog export all` wrote, instead of the database.",
)  # fmt: skip
@click.option("--scheduler", metavar="URL", help="Let a Dask cluster count them, such as tcp://host:8786.")
@output_option("Write this file; - is the terminal or pipe.")
def report(
    since: str | None,
    until: str | None,
    as_json: bool,
    form: str | None,
    lake: Path | None,
    scheduler: str | None,
    output: Path | None,
) -> int:
    """Compare gateways over some days, the worst first."""
    if scheduler is not None and lake is None:
        raise UsageError("A cluster counts what lies in a lake: add --lake DIR.")
    loaded, now = load_settings(needs_file=lake is None), utc_now()
    today = _today(loaded, now)
    first, last = periods.span(since, until, today)
    last = last or today
    first = first or last - timedelta(days=DAYS - 1)
    facts, errors = _facts(loaded, first, last) if lake is None else _facts_of(lake, scheduler, first, last, now)
    if (since or until) and not errors and not any(own.days for own in facts):
        raise NoDataError(f"No gateway has energy from {first} to {last}; choose other days with --from and --to.")
    found = _report(loaded, facts, first, last, now, is_configured=False)
    chosen = "json" if as_json else exports.format_for(form, output)
    if chosen == "table":
        width = terminal.WIDE if output else terminal.width()
        shown = "\n".join(fleet_lines.lines(found, f"{first} to {last}", width)) + "\n"
        content = click.unstyle(shown).encode()
    else:
        shown, content = "", exports.EXPORTERS[chosen](found)
    if output is None:
        click.echo(shown or content, nl=False)
    else:
        with exports.replacing(output) as out:
            out.write(content)
        click.echo(f"{output}: {len(found.rows)} rows", err=True)
    for error in errors:
        say(str(error))
    return errors[0].exit_code if errors else 0


def _today(loaded: "Settings", now: "datetime") -> "date":
    """Return today where most gateways are, as far as it is configured."""
    zones = [gateway.time_zone for gateway in loaded.gateways if gateway.time_zone]
    return local_day(to_epoch_s(now), time_zone(max(zones, key=zones.count, default="UTC")))


def _facts(loaded: "Settings", first: "date", last: "date") -> "Known":
    """Return what the database knows of each gateway."""
    with reading(loaded) as connection:
        return fleets.facts(connection, first, last), []


def _facts_of(lake: Path, scheduler: str | None, first: "date", last: "date", now: "datetime") -> "Known":
    """Return what the samples of a lake add up to, and why some do not."""
    with click.progressbar(length=1, label="lake", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def step(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        question = partial(fleets.facts, first=first, last=last)
        found, errors = cluster.answers(lake, question, now, scheduler=scheduler, step=step)
    facts = [facts for of_site in found for facts in of_site]
    if errors and not facts:
        raise errors[0]
    names = Counter(own.gateway for own in facts)  # Several databases may have the same.
    return [
        own if names[own.gateway] == 1 else replace(own, gateway=f"{own.gateway} {own.serial}") for own in facts
    ], errors


def _report(
    loaded: "Settings",
    found: "list[GatewayFacts]",
    first: "date",
    last: "date",
    now: "datetime",
    *,
    is_configured: bool,
) -> "Report":
    """Return the report of the configured gateways, and unless only these are wanted of all that have energy."""
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
