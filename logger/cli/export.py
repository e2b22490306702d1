"""``envoylog export``."""

import io
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import click

from logger import clock, exports
from logger.cli.options import complete_day, complete_gateway, load_settings, output_option, reading
from logger.errors import UsageError
from logger.exports import raw
from logger.reports import periods
from logger.store import queries
from logger.store.models import METADATA

#: suffix -> format
SUFFIXES = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FORMATS = ("csv", "jsonl", "json", "parquet")


@click.command()
@click.argument(
    "what", metavar="WHAT", type=click.Choice(("production", "consumption", "meters", "inverters", "polls", "all"))
)
@click.option(
    "--from", "since", metavar="D", shell_complete=complete_day, help="First day, included.  [default: the first day]"
)
@click.option(
    "--to", "until", metavar="D", shell_complete=complete_day, help="Last day, included.  [default: the last day]"
)
@click.option("--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.  [default: all]")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format.  [default: FILE's suffix, or csv]")
@click.option("--since-last", is_flag=True, help="Only what is new since the lake was last written (parquet).")
@output_option("Write this file; - is the terminal or pipe; a directory for parquet.")
def export(
    what: str,
    since: str | None,
    until: str | None,
    gateway: str | None,
    form: str | None,
    since_last: bool,
    output: Path | None,
) -> None:
    """Write raw samples in a stream, as the gateway gave them.

    WHAT is production, consumption, meters, inverters or polls; or, as parquet, all: a lake by gateway and month.
    D is 2026-03-29, 2026-03, 2026, 7d, today, yesterday, this-month, last-month, this-year or last-year. Years can be
    written in one go: memory does not grow with them.
    """
    form = form or (SUFFIXES.get(output.suffix, "csv") if output else "csv")
    begin, end = periods.span(since, until, clock.utc_now().date())
    if form == "parquet":
        if output is None:
            raise UsageError("Parquet goes into a directory: add -o DIRECTORY.")
        if since_last and (since or until):
            raise UsageError("--since-last says itself where to begin: leave out --from and --to.")
        _into_lake(output, what, gateway, begin, end, since_last=since_last)
        return
    if what == "all" or since_last:
        raise UsageError(f"{'all' if what == 'all' else '--since-last'} is for a lake: add --format parquet.")
    with reading(load_settings()) as connection:
        # How far it is shows on a terminal, unless the rows go there: only then they are counted before.
        shown = sys.stderr.isatty() and (output is not None or not sys.stdout.isatty())
        chosen = raw.select_samples(connection, what, gateway=gateway, since=begin, until=end, is_counted=shown)
        written = 0
        with click.progressbar(length=chosen.count, label=what, file=sys.stderr, hidden=not shown) as bar:

            def step(rows: int) -> None:
                nonlocal written
                written += rows
                bar.update(rows)

            if form == "csv":
                _write(output, lambda out: raw.write_csv(out, connection, chosen, step))
            else:
                _write(output, lambda out: raw.write_jsonl(out, chosen.names, raw.stream(connection, chosen, step)))
    if output is not None:
        click.echo(f"{output}: {written} rows", err=True)


def _into_lake(
    lake: Path, what: str, gateway: str | None, since: date | None, until: date | None, *, since_last: bool
) -> None:
    """Write Parquet files by gateway and month."""
    # It needs what nobody else needs who exports.
    from logger.lake import layout, write  # noqa: PLC0415

    span = write.Span(gateway, since, until, since_last)
    tables = layout.TABLES if what == "all" else [METADATA.tables[raw.TABLES[what]]]
    with reading(loaded := load_settings()) as connection:
        count = len(tables) * len(queries.gateways(connection))
        with click.progressbar(length=count, label="lake", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
            done = write.export(connection, lake, tables, span, loaded, bar.update)
    click.echo(f"{lake}: {done.rows} rows in {done.files} files", err=True)


def _write(output: Path | None, write: Callable[[Any], None]) -> None:
    """Write to stdout, or to a file that takes its place when it is complete."""
    if output is None:
        write(sys.stdout)
        sys.stdout.flush()
        return
    with exports.replacing(output) as file:
        out = io.TextIOWrapper(file, "utf-8", newline="")
        write(out)
        out.detach()  # It flushes; the file is not ours to close.
