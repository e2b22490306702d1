"""``envoylog export``."""

import io
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from logger import clock
from logger.cli.options import load_settings, open_database
from logger.errors import UsageError

WHAT = ("production", "consumption", "meters", "inverters", "polls")


@click.command()
@click.argument("what", type=click.Choice(WHAT))
@click.option("--from", "since", metavar="D", help="First day, included.")
@click.option("--to", "until", metavar="D", help="Last day, included.")
@click.option("--gateway", metavar="NAME", help="Only this gateway.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("csv", "jsonl", "json", "parquet")),
    help="Default: by suffix, else csv.",
)
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="Write this file; a directory for parquet.",
)
@click.pass_context
def export(
    ctx: click.Context,
    what: str,
    since: str | None,
    until: str | None,
    gateway: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Write raw samples as the gateway gave them, years in one go, in a stream."""
    from logger.exports import raw  # noqa: PLC0415 - only what is called
    from logger.reports.periods import span  # noqa: PLC0415 - the same

    suffix = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
    form = form or (suffix.get(output.suffix, "csv") if output else "csv")
    begin, end = span(since, until, clock.utc_now().date())
    engine = open_database(load_settings(ctx), read_only=True)
    with engine.connect() as connection:
        chosen = raw.select_samples(connection, what, gateway=gateway, since=begin, until=end)
        on_terminal = sys.stderr.isatty() and (output is not None or not sys.stdout.isatty())
        bar: Any = (
            click.progressbar(length=chosen.count, label=what, file=sys.stderr)
            if on_terminal
            else nullcontext()
        )
        with bar as shown:
            step: Callable[[int], None] = shown.update if shown else lambda _: None
            batches = raw.stream(connection, chosen, step)
            if form == "parquet":
                if output is None:
                    raise UsageError("Parquet goes into a directory: add -o DIRECTORY.")
                raw.write_parquet(output, chosen.names, batches)
            else:
                write = raw.write_csv if form == "csv" else raw.write_jsonl
                _write(output, lambda out: write(out, chosen.names, batches))
    engine.dispose()
    if output is not None:
        click.echo(f"{output}: {chosen.count} rows", err=True)


def _write(output: Path | None, write: Callable[[Any], None]) -> None:
    """Write to stdout, or to a file that takes its place when it is complete."""
    from logger.exports import replacing  # noqa: PLC0415 - only what is called

    if output is None:
        write(sys.stdout)
        sys.stdout.flush()
        return
    with replacing(output) as file, io.TextIOWrapper(file, "utf-8", newline="") as out:
        write(out)
