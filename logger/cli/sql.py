"""``envoylog sql``."""

import json
import sys
from pathlib import Path

import click
from sqlalchemy import make_url

from logger import cookbook, exports
from logger.cli.options import load_settings, opened, output_option, reading
from logger.errors import UsageError
from logger.exports import grafana
from logger.lake import layout
from logger.store import database
from logger.store.grafana import SOURCES


@click.group()
def sql() -> None:
    """Prepare the database for Datasette, Grafana and other readers."""


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


@sql.command("grafana")
@click.option("--engine", type=click.Choice(tuple(SOURCES)), help="Of the database.  [default: the configured one]")
@click.option(
    "-o", "folder", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Grafana's folder, or another."
)
def dashboards(engine: str | None, folder: Path) -> None:
    """Write dashboards and a data source for Grafana.

    Into /etc/grafana they are where Grafana looks; restart it then. The plugin has to be there; docs analysts says how.
    """
    url = make_url(load_settings(needs_file=False).database_url)
    own = url.get_backend_name()
    written = grafana.write_all(folder, engine or own, url if engine in {None, own} else None)
    click.echo(f"{folder}: {len(written)} files written; restart Grafana to see them", err=True)


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
