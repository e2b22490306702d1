"""``envoylog db``."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logger import clock
from logger.cli.everywhere import say
from logger.cli.options import complete_day, complete_gateway, load_settings, opened, reading, rolling_up
from logger.errors import CheckFailedError, NoDataError, SettingsError, StoreDamagedError, UsageError
from logger.reports import periods
from logger.rollups import checkpoints, rollup, site, verify
from logger.rollups import prune as pruning
from logger.settings import has_password
from logger.store import database, queries, schema, transfer
from logger.store import size as sizes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from logger.rollups.changes import DayChange
    from logger.store.transfer import Step

SIZES = {"raw_mb": "raw samples", "rollups_mb": "rollups", "rest_mb": "the rest", "free_mb": "free for new rows"}
WRITTEN = {
    "collector": "MB written a day, by the running collector",
    "server": "MB written a day, as the log of the server's databases",
    "estimate": "MB written a day, estimated from the number of commits",
}


@click.group()
def db() -> None:
    """Check, back up, move, prune or rebuild the database."""


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
def size(as_json: bool) -> None:
    """Show what takes how much room, and how fast it grows."""
    with reading(loaded := load_settings()) as connection:
        record = asdict(sizes.size(connection, loaded))
    click.echo(json.dumps(record, indent=2) if as_json else "\n".join(_size_lines(record)))


def _size_lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['database_mb']:.1f} MB, {found['days_logged']:.1f} days logged"
    for key, what in SIZES.items():
        if found[key] is not None:
            yield f"{found[key]:10.1f} MB {what}"
    if found["growth_gb_per_year"] is not None:
        yield f"about {found['growth_gb_per_year']:.2f} GB a year at this pace"
    about = "about " if found["written_source"] == "estimate" else ""
    yield f"{about}{found['written_mb_per_day']:.1f} {WRITTEN[found['written_source']]}"


@db.command()
@click.option(
    "-o",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where backups go.  [default: backups, in the state directory]",
)
@click.option("--keep", type=click.IntRange(1), default=7, help="Keep this many of the newest backups.")
def backup(directory: Path | None, keep: int) -> None:
    """Copy the database into a SQLite file while it is in use.

    The file is read back and verified before older backups go.
    """
    loaded = load_settings()
    stamp = clock.utc_now().strftime("%Y%m%d-%H%M%S")
    with opened(loaded, read_only=True) as engine, _progress() as step:
        path = transfer.backup(engine, directory or loaded.state_dir / "backups", stamp, keep, step)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, verified")


@db.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(source: Path, yes: bool) -> None:
    """Put a backup in the place of the database."""
    if not source.is_file():
        newest = max(source.glob("envoylog-*.db"), default=None)
        words = "is a folder; name the backup in it" if source.is_dir() else "is no file; name a backup"
        raise UsageError(f"{source} {words}{f': the newest is {newest}' if newest else ''}.")
    with database.opened(load_settings().database_url) as engine:
        if not yes:
            click.confirm(f"Replace {engine.url.database} by {source}?", abort=True, err=True)
        with _progress() as step:
            transfer.restore(engine, source, step)
    click.echo("restored")


@db.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def publish(path: Path) -> None:
    """Write a copy for others to read, on a network share for example.

    It is one SQLite file of one instant, which takes its place when it is complete. Whoever reads the copy before it
    goes on with what it held.
    """
    with opened(load_settings(), read_only=True) as engine, _progress() as step:
        transfer.publish(engine, path, step)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@db.command()
@click.argument("target_url", metavar="URL")
@click.option("--yes", is_flag=True, help="Do not ask.")
def copy(target_url: str, yes: bool) -> None:
    """Copy everything into another, empty database.

    TARGET_URL is of either engine: postgresql://user@host/name or sqlite:////path/to/file.db. This database may be
    in use meanwhile.
    """
    try:
        database.file_of(target_url)
    except SettingsError as error:
        raise UsageError(str(error).replace("database_url", "URL")) from error
    if has_password(target_url):
        say("warning: other users see the password on the command line; keep it in ~/.pgpass instead.")
    with opened(load_settings(), read_only=True) as source, database.opened(target_url) as target:
        if not yes:
            click.confirm(f"Copy {source.url!r} into {target.url!r}?", abort=True, err=True)
        began_s = clock.running_s()
        with _progress() as step:
            counts = transfer.copy(source, target, step)
        took_s = clock.running_s() - began_s
    for table, rows in counts.items():
        click.echo(f"{table:<20} {rows:>12}")
    total = sum(counts.values())
    click.echo(f"{total} rows in {took_s:.1f} s ({total / max(took_s, 0.001):.0f} a second), verified")


@contextlib.contextmanager
def _progress() -> "Iterator[Step]":
    """Show on a terminal how far a copy is."""
    bar: Any = click.progressbar(length=1, file=sys.stderr, hidden=not sys.stderr.isatty())
    with contextlib.ExitStack() as shown:  # from the first row on: what fails before has no bar

        def step(table: str, rows: int, of_all: int) -> None:
            if not bar.entered:
                shown.enter_context(bar)
            bar.label, bar.length = f"{table:<20}", of_all
            bar.update(rows)

        yield step


@db.command()
@click.option("--to", "revision", hidden=True, help="Back to an older schema, before a return to an older version.")
def upgrade(revision: str | None) -> None:
    """Create the tables, or bring them to this version."""
    with database.opened(load_settings().database_url) as engine:
        before = schema.current(engine)
        if revision is not None:
            schema.downgrade(engine, revision)
            click.echo(f"schema {revision}, back from {before}")
            return
        schema.upgrade(engine)
    words = "is up to date" if before == schema.head() else f"upgraded from {before or 'nothing'}"
    click.echo(f"schema {schema.head()} {words}")


@db.command()
def current() -> None:
    """Show which version the tables have, and which is needed."""
    with database.opened(load_settings().database_url, read_only=True) as engine:
        version = schema.current(engine)
    click.echo(f"database {version or 'empty'}, program {schema.head()}")


@db.command()
@click.option(
    "--from",
    "since",
    metavar="D",
    shell_complete=complete_day,
    help="First local day to compute anew.  [default: the first]",
)
@click.option(
    "--to",
    "until",
    metavar="D",
    shell_complete=complete_day,
    help="Show changes up to this day only.  [default: the last]",
)
@click.option("--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only print the days whose totals would change.")
def rebuild(since: str | None, until: str | None, gateway: str | None, dry_run: bool) -> None:
    """Compute the energy tables anew from the samples.

    Days whose samples were pruned keep their totals. Counters run on from day to day, so
    everything after --from is computed; --to only shortens what is printed.
    """
    loaded, now = load_settings(), clock.utc_now()
    first, last = (text and periods.parse(text, now.date()) for text in (since, until))
    periods.span(since, until, now.date())  # It refuses an end before the beginning.
    changes: list[DayChange] = []
    with rolling_up(loaded, keep=not dry_run) as connection:
        for row in _chosen(connection, gateway):
            moved = site.adopt(connection, row.gateway_id, loaded.gateways)
            start = first.first if first and not moved else None
            if start is None:
                checkpoints.forget_after(connection, row.gateway_id, checkpoints.EVENLY, -1)
            gap_s = site.gap_s(connection, row.gateway_id, loaded)
            changes += rollup.rebuild(connection, row.gateway_id, now=now, gap_s=gap_s, since=start)
    shown = [change for change in changes if not last or change.day <= last.last]
    for change in shown:
        flows = {"production": change.production_kwh, "consumption": change.consumption_kwh}
        flows |= {"import": change.grid_import_kwh, "export": change.grid_export_kwh}
        # Import and export of another grid meter change while the others stay.
        words = [f"{name} {_change(kwh)}" for name, kwh in flows.items() if name[0] in "pc" or kwh[0] != kwh[1]]
        click.echo(f"{change.gateway} {change.day} {', '.join(words)}")
    click.echo(f"{len(shown)} days {'would change' if dry_run else 'changed'}", err=True)


def _chosen(connection: "Connection", name: str | None) -> list[Any]:
    """Return the rows of all gateways, or of one."""
    known = queries.gateways(connection)
    chosen = [row for row in known if name in {None, row.name}]
    if not chosen and name:
        names = ", ".join(row.name for row in known) or "none yet"
        raise UsageError(f"There is no gateway {name!r} in the database; known: {names}.")
    if not chosen:
        raise NoDataError("The database holds no gateway yet; start `envoylog run` first.")
    return chosen


def _change(kwh: tuple[float | None, ...]) -> str:
    before, after = ("unknown" if value is None else f"{value:.3f}" for value in kwh)
    return f"{before} -> {after} kWh"


@db.command()
@click.option("--all", "whole", is_flag=True, help="Everything, not only the last month.")
def check(whole: bool) -> int:
    """Check that the database is sound and its totals follow.

    The last month is computed anew and compared with what is stored; nothing is changed.
    Meanwhile no totals are written, and into a SQLite file nothing: new polls wait in the spool.
    """
    loaded, now = load_settings(), clock.utc_now()
    found: list[str] = []
    try:
        with reading(loaded) as connection:
            found += queries.problems(connection)
            if any(line.startswith(queries.DAMAGED) for line in found):
                found.append(transfer.what_to_restore(connection.engine, loaded.state_dir / "backups"))
        with rolling_up(loaded, keep=False) as connection:
            for row in queries.gateways(connection):
                gap_s = site.gap_s(connection, row.gateway_id, loaded)
                found += verify.findings(connection, row.gateway_id, now=now, gap_s=gap_s, whole=whole)
    except StoreDamagedError as error:
        found.append(str(error))
    click.echo("\n".join(found or ["ok"]))
    return CheckFailedError.exit_code if found else 0


@db.command()
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--vacuum", is_flag=True, help="Then give the room back to the disk.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(dry_run: bool, vacuum: bool, yes: bool) -> None:
    """Delete samples older than keep_samples_days.

    No total changes by it: that is proved first.
    """
    loaded, now, pruned, free_mb = load_settings(), clock.utc_now(), {}, 0.0
    if keep_days := loaded.keep_samples_days:
        with opened(loaded):
            if not (dry_run or yes):
                click.confirm(f"Delete raw samples older than {keep_days} days?", abort=True, err=True)
        with rolling_up(loaded, keep=not dry_run) as connection:
            pruned = pruning.prune_all(connection, loaded, now)
            free_mb = (sizes.free_bytes(connection) or 0) / 1e6
    elif dry_run or not vacuum:
        raise UsageError("keep_samples_days is 0: samples are kept for ever. Set it first.")
    for name, count in pruned.items():
        click.echo(f"{name}: {count} samples {'would go' if dry_run else 'gone'}, every total stays as it was")
    if vacuum and not dry_run:
        with opened(loaded) as engine, database.translated_errors():
            database.backend(engine).vacuum(engine)
    elif free_mb >= 1 and not dry_run:
        click.echo(
            f"{free_mb:.1f} MB of the file are free for new samples; "
            "`envoylog db prune --vacuum` gives them back to the disk.",
            err=True,
        )
