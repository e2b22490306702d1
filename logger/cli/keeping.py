"""``envoylog db size|backup|restore|copy``."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logger import clock
from logger.cli.options import load_settings, open_database

if TYPE_CHECKING:
    from logger.store.transfer import Step


WRITTEN = {
    "collector": "MB written a day, by the running collector",
    "server": "MB written a day, as the log of the server's databases",
    "estimate": "MB written a day, estimated from the number of commits",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
@click.pass_context
def size(ctx: click.Context, as_json: bool) -> None:
    """Show how large the database is, for what, what a year adds, and what a day writes."""
    from logger.store.database import translated_errors  # noqa: PLC0415
    from logger.store.size import size as measured  # noqa: PLC0415
    from logger.store.size import wear  # noqa: PLC0415

    loaded = load_settings(ctx)
    engine = open_database(loaded, read_only=True)
    with translated_errors(), engine.connect() as connection:
        found, written = measured(connection), wear(connection, loaded)
    if as_json:
        click.echo(json.dumps(asdict(found) | asdict(written), indent=2))
        return
    click.echo(f"{found.database_mb:.1f} MB, {found.days_logged:.1f} days logged")
    for amount_mb, what in (
        (found.raw_mb, "raw samples"),
        (found.rollups_mb, "rollups"),
        (found.rest_mb, "the rest"),
        (found.free_mb, "free for new rows"),
    ):
        if amount_mb is not None:
            click.echo(f"{amount_mb:10.1f} MB {what}")
    if found.growth_gb_per_year is not None:
        click.echo(f"about {found.growth_gb_per_year:.2f} GB a year at this pace")
    about = "about " if written.written_source == "estimate" else ""
    click.echo(f"{about}{written.written_mb_per_day:.1f} {WRITTEN[written.written_source]}")


@contextlib.contextmanager
def _progress() -> Iterator["Step | None"]:
    """Show on a terminal how far a copy is."""
    if not sys.stderr.isatty():
        yield None
        return
    with contextlib.ExitStack() as stack:
        bars: list[Any] = []

        def step(table: str, rows: int, of_all: int) -> None:
            if not bars:
                bar: Any = click.progressbar(length=of_all, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].label = f"{table:<20}"
            bars[0].update(rows)

        yield step


@click.command()
@click.option("-o", "directory", type=click.Path(path_type=Path), help="Where backups go.")
@click.option("--keep", type=click.IntRange(1), default=7, show_default=True, help="The newest.")
@click.pass_context
def backup(ctx: click.Context, directory: Path | None, keep: int) -> None:
    """Copy the database into a SQLite file while it is in use; verified, the newest are kept."""
    from logger.store import transfer  # noqa: PLC0415

    loaded = load_settings(ctx)
    engine = open_database(loaded)
    stamp = clock.utc_now().strftime("%Y%m%d-%H%M%S")
    with _progress() as step:
        made = transfer.backup(engine, directory or loaded.state_dir / "backups", stamp, keep, step)
    click.echo(f"{made}: {made.stat().st_size / 1e6:.1f} MB, verified")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def restore(ctx: click.Context, source: Path, yes: bool) -> None:
    """Put a backup in the place of the database."""
    from logger.store.database import open_engine  # noqa: PLC0415
    from logger.store.transfer import restore as go  # noqa: PLC0415

    engine = open_engine(load_settings(ctx).database_url)
    if not yes:
        click.confirm(f"Replace {engine.url.database} by {source}?", abort=True, err=True)
    with _progress() as step:
        go(engine, source, step)
    click.echo("restored")


@click.command()
@click.argument("target_url")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def copy(ctx: click.Context, target_url: str, yes: bool) -> None:
    """Copy everything into another, empty database, of either engine, while this is in use."""
    from logger.store.database import open_engine  # noqa: PLC0415
    from logger.store.transfer import copy as go  # noqa: PLC0415

    source = open_database(load_settings(ctx), read_only=True)
    target = open_engine(target_url)
    if not yes:
        click.confirm(f"Copy {source.url!r} into {target.url!r}?", abort=True, err=True)
    began_s = clock.running_s()
    with _progress() as step:
        counts = go(source, target, step)
    took_s = clock.running_s() - began_s
    for table, rows in counts.items():
        click.echo(f"{table:<20} {rows:>12}")
    total = sum(counts.values())
    click.echo(
        f"{total} rows in {took_s:.1f} s ({total / max(took_s, 0.001):.0f} a second), verified"
    )
    source.dispose()
    target.dispose()
