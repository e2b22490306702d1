"""``envoylog sql``."""

import json
import sys
from pathlib import Path

import click

from logger import cookbook, exports
from logger.cli.options import load_settings, opened, output_option, reading
from logger.errors import UsageError
from logger.lake import layout
from logger.store import database


@click.group()
def sql() -> None:
    """Prepare the database for Datasette and other readers."""


@sql.command("datasette-metadata")
@output_option("Write this file; - is the terminal or pipe.")
def metadata(output: Path | None) -> None:
    """Describe tables, columns and questions for Datasette."""
    with reading(load_settings()) as connection:
        name = Path(connection.engine.url.database or "envoylog").stem
        text = json.dumps(cookbook.datasette_metadata(connection, name), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    with exports.replacing(output) as out:
        out.write(text.encode())


@sql.command("duckdb")
@click.option(
    "--lake", required=True, metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="What `envoylog export all --format parquet` wrote.",
)  # fmt: skip
@output_option("Write this file; - is the terminal or pipe.")
def duckdb(lake: Path, output: Path | None) -> None:
    """Give DuckDB the tables of a lake."""
    text = layout.duckdb_views(lake.resolve())
    if output is None:
        click.echo(text, nl=False)
        return
    with exports.replacing(output) as out:
        out.write(text.encode())


@sql.command("create-reader")
@click.argument("role")
def create_reader(role: str) -> None:
    """Make a PostgreSQL role that can only read."""
    with opened(load_settings()) as engine:
        database.backend(engine).create_reader(engine, role, _password(role))
    click.echo(f"{role} can read now")


def _password(role: str) -> str:
    if sys.stdin.isatty():
        password: str = click.prompt(f"Password of {role}", hide_input=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise UsageError("The role needs a password: type one, or pipe it in.")
    return password
