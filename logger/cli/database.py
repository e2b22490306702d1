"""``envoylog db``."""

from datetime import date

import click

from logger import clock
from logger.cli.keeping import backup, copy, restore, size
from logger.cli.options import load_settings, open_database
from logger.errors import CheckFailedError, NoDataError, UsageError


@click.group()
def db() -> None:
    """The database: its schema, its size, and its totals computed anew."""


for command in (size, backup, restore, copy):
    db.add_command(command)


@db.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Create the tables, or bring them to this version's schema."""
    from logger.store import schema  # noqa: PLC0415
    from logger.store.database import open_engine  # noqa: PLC0415

    engine = open_engine(load_settings(ctx).database_url)
    before = schema.current(engine)
    schema.upgrade(engine)
    after = schema.current(engine)
    words = "is up to date" if before == after else f"upgraded from {before or 'nothing'}"
    click.echo(f"schema {after} {words}")


@db.command()
@click.pass_context
def current(ctx: click.Context) -> None:
    """Show the database's schema version and the one this program needs."""
    from logger.store import schema  # noqa: PLC0415
    from logger.store.database import open_engine  # noqa: PLC0415

    engine = open_engine(load_settings(ctx).database_url)
    click.echo(f"database {schema.current(engine) or 'empty'}, program {schema.head()}")


@db.command()
@click.option("--from", "since", metavar="D", help="First local day to compute anew.")
@click.option("--to", "until", metavar="D", help="Show changes up to this day only.")
@click.option("--gateway", metavar="NAME", help="Only this gateway.")
@click.option("--dry-run", is_flag=True, help="Only print the days whose totals would change.")
@click.pass_context
def rebuild(
    ctx: click.Context, since: str | None, until: str | None, gateway: str | None, dry_run: bool
) -> None:
    """Compute the energy tables anew from the raw samples.

    Days whose samples were pruned keep their totals. Counters run on from day to day, so
    everything after --from is computed; --to only shortens what is printed.
    """
    from logger.rollups import rollup, site  # noqa: PLC0415
    from logger.store.database import translated_errors  # noqa: PLC0415
    from logger.store.queries import gateways  # noqa: PLC0415
    from logger.store.writer import reserve_rollups  # noqa: PLC0415

    loaded = load_settings(ctx)
    engine = open_database(loaded)
    first, last = _day(since, first=True), _day(until, first=False)
    now = clock.utc_now()
    with translated_errors(), engine.connect() as connection:
        reserve_rollups(connection)
        known = gateways(connection)
        chosen = [one for one in known if gateway in {None, one.name}]
        if not chosen and gateway:
            names = ", ".join(one.name for one in known) or "none yet"
            raise UsageError(f"There is no gateway {gateway!r} in the database; known: {names}.")
        if not chosen:
            raise NoDataError("The database holds no gateway yet; start `envoylog run` first.")
        changes = []
        for one in chosen:
            moved = site.adopt(connection, one.gateway_id, loaded.gateways)
            start = None if moved else first
            gap_s = site.gap_s(connection, one.gateway_id, loaded)
            changes += rollup.rebuild(connection, one.gateway_id, now=now, gap_s=gap_s, since=start)
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    shown = [change for change in changes if last is None or change.day <= last]
    for change in shown:
        made, used = change.production_kwh, change.consumption_kwh
        click.echo(
            f"{change.gateway} {change.day} production {_kwh(made[0])} -> {_kwh(made[1])} kWh, "
            f"consumption {_kwh(used[0])} -> {_kwh(used[1])} kWh"
        )
    verb = "would change" if dry_run else "changed"
    click.echo(f"{len(shown)} days {verb}", err=True)


def _day(text: str | None, *, first: bool) -> date | None:
    from logger.reports.periods import parse  # noqa: PLC0415

    if text is None:
        return None
    days = parse(text, clock.utc_now().date())
    return days.first if first else days.last


def _kwh(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


@db.command()
@click.pass_context
def check(ctx: click.Context) -> int:
    """Check the database: sound, complete, and all that follows from the samples.

    Everything is computed anew and compared with what is stored; nothing is changed. Meanwhile
    nothing else is written: new polls wait in the spool.
    """
    from logger.rollups import site  # noqa: PLC0415
    from logger.rollups.check import findings  # noqa: PLC0415
    from logger.store.database import translated_errors  # noqa: PLC0415
    from logger.store.queries import gateways, problems  # noqa: PLC0415
    from logger.store.writer import reserve_rollups  # noqa: PLC0415

    loaded = load_settings(ctx)
    readers, engine = open_database(loaded, read_only=True), open_database(loaded)
    now = clock.utc_now()
    with translated_errors(), readers.connect() as connection:
        found = problems(connection)
    with translated_errors(), engine.connect() as connection:
        reserve_rollups(connection)
        for one in gateways(connection):
            gap_s = site.gap_s(connection, one.gateway_id, loaded)
            found += findings(connection, one.gateway_id, now=now, gap_s=gap_s)
        connection.rollback()
    for said in found or ["ok"]:
        click.echo(said)
    return CheckFailedError.exit_code if found else 0


@db.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--vacuum", is_flag=True, help="Then give the room back to the disk.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, dry_run: bool, vacuum: bool, yes: bool) -> None:
    """Delete raw samples older than keep_samples_days; no total changes by it."""
    from logger.rollups import site  # noqa: PLC0415
    from logger.rollups.prune import prune as go  # noqa: PLC0415
    from logger.store.database import backend, translated_errors  # noqa: PLC0415
    from logger.store.queries import gateways  # noqa: PLC0415
    from logger.store.size import free_bytes  # noqa: PLC0415
    from logger.store.writer import reserve_rollups  # noqa: PLC0415

    loaded = load_settings(ctx)
    if not loaded.keep_samples_days:
        raise UsageError("keep_samples_days is 0: samples are kept for ever. Set it first.")
    engine = open_database(loaded)
    if not (dry_run or yes):
        click.confirm(
            f"Delete raw samples older than {loaded.keep_samples_days} days?", abort=True, err=True
        )
    pruned: dict[str, int] = {}
    with translated_errors(), engine.connect() as connection:
        reserve_rollups(connection)
        for one in gateways(connection):
            gone = go(
                connection,
                one.gateway_id,
                now=clock.utc_now(),
                keep_days=loaded.keep_samples_days,
                gap_s=site.gap_s(connection, one.gateway_id, loaded),
            )
            pruned[one.name] = sum(gone.rows.values())
        free_mb = (free_bytes(connection) or 0) / 1e6
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    verb = "would go" if dry_run else "gone"
    for name, count in pruned.items():
        click.echo(f"{name}: {count} samples {verb}, every total stays as it was")
    if dry_run:
        return
    if vacuum:
        with translated_errors():
            backend(engine).vacuum(engine)
    elif free_mb >= 1:
        click.echo(
            f"{free_mb:.1f} MB of the file are free for new samples; "
            "`envoylog db prune --vacuum` gives them back to the disk.",
            err=True,
        )
