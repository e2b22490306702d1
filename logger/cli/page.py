"""``envoylog report page``."""

from pathlib import Path

import click

from logger import exports
from logger.cli.options import complete_gateway, load_settings, output_option, reading
from logger.clock import utc_now
from logger.errors import UsageError
from logger.exports import page as html
from logger.reports import page as pages


@click.command
@click.option("--month", metavar="M", help="2026-10, this-month or last-month.  [default: this-month]")
@click.option("--year", metavar="Y", help="2026, this-year or last-year.")
@click.option("--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.  [default: all]")
@output_option("Write this file, such as october.html; - is the terminal or pipe.")
def page(month: str | None, year: str | None, gateway: str | None, output: Path | None) -> None:
    """Write a month or year as a page to look at, one HTML file.

    It needs nothing else: no server, no network. Print it, or send it.
    """
    if output is not None and output.suffix.lower() not in {"", ".html", ".htm"}:
        raise UsageError(f"{output.name}: a page is HTML; write it to {output.with_suffix('.html').name}.")
    with reading(load_settings()) as connection:
        found = pages.pages(connection, now=utc_now(), month=month, year=year, gateway=gateway)
    content = html.to_html(found)
    if output is None:
        click.echo(content, nl=False)
        return
    with exports.replacing(output) as out:
        out.write(content)
    click.echo(f"{output}: open it in a browser, or print it", err=True)
