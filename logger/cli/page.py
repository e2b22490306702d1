"""``envoylog report page``."""

from pathlib import Path

import click

from logger import exports
from logger.cli.options import complete_gateway, load_settings, output_option, reading
from logger.clock import utc_now
from logger.errors import SettingsError, UsageError
from logger.exports import page as html
from logger.exports import page_folder
from logger.exports.language import speaking
from logger.reports import page as pages
from logger.settings.document import LANGUAGES


@click.command
@click.option("--month", metavar="M", help="2026-10, this-month or last-month.  [default: this-month]")
@click.option("--year", metavar="Y", help="2026, this-year or last-year.")
@click.option("--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.  [default: all]")
@click.option("--locale", type=click.Choice(LANGUAGES), help="Language.  [default: en]")
@click.option("--all", "every", is_flag=True, help="Write every month and year, and an index, into the folder FILE.")
@output_option("Write this file, such as october.html; - is the terminal or pipe.")
def page(
    month: str | None, year: str | None, gateway: str | None, locale: str | None, every: bool, output: Path | None
) -> None:
    """Write a month or year as a page to look at, one HTML file.

    It needs nothing else: no server, no network. Print it, or send it. With --all a web server can show the folder,
    which is that of [pages] in the configuration unless you name one.
    """
    if every:
        _write_all(output, locale, is_all=not (month or year or gateway))
        return
    if output is not None and output.suffix.lower() not in {"", ".html", ".htm"}:
        raise UsageError(f"{output.name}: a page is HTML; write it to {output.with_suffix('.html').name}.")
    with reading(load_settings()) as connection:
        found = pages.pages(connection, now=utc_now(), month=month, year=year, gateway=gateway)
    with speaking(locale):
        content = html.to_html(found)
    if output is None:
        click.echo(content, nl=False)
        return
    with exports.replacing(output) as out:
        out.write(content)
    click.echo(f"{output}: open it in a browser, or print it", err=True)


def _write_all(output: Path | None, locale: str | None, *, is_all: bool) -> None:
    """Write the folder of pages."""
    if not is_all:
        raise UsageError("--all is about every month, year and gateway; leave out the other options.")
    loaded = load_settings()
    target = output or loaded.pages
    if target is None:
        raise SettingsError("Name the folder with -o, or write [pages] and directory = … into the configuration.")
    with reading(loaded) as connection, speaking(locale or loaded.pages_locale):
        count = page_folder.write_all(connection, target, utc_now())
    click.echo(f"{target / 'index.html'}: {count} page{'' if count == 1 else 's'} written", err=True)
