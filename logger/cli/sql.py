"""``envoylog sql``."""

import json
import sys
from pathlib import Path

import click

from logger.cli.options import load_settings, open_database
from logger.errors import UsageError


@click.group()
def sql() -> None:
    """For analysts: a web face for SQLite, a reading role for PostgreSQL."""


@sql.command("datasette-metadata")
@click.option("-o", "output", type=click.Path(path_type=Path), help="Write this file.")
@click.pass_context
def metadata(ctx: click.Context, output: Path | None) -> None:
    """Describe tables, columns and the cookbook's questions for Datasette."""
    from logger.cookbook import datasette_metadata  # noqa: PLC0415 - only what is called

    engine = open_database(load_settings(ctx), read_only=True)
    name = Path(engine.url.database or "envoylog").stem
    with engine.connect() as connection:
        made = datasette_metadata(connection, name)
    engine.dispose()
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{output} can't be written ({error.strerror}); choose another path."
        ) from error


@sql.command("create-reader")
@click.argument("role")
@click.pass_context
def create_reader(ctx: click.Context, role: str) -> None:
    """Make a PostgreSQL role that reads everything and writes nothing."""
    from logger.store.database import backend  # noqa: PLC0415 - only what is called

    engine = open_database(load_settings(ctx))
    if sys.stdin.isatty():
        password: str = click.prompt(f"Password of {role}", hide_input=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise UsageError("The role needs a password: type one, or pipe it in.")
    backend(engine).create_reader(engine, role, password)
    engine.dispose()
    click.echo(f"{role} can read now")
