"""``envoylog report``."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from logger import exports
from logger.cli import page
from logger.cli.everywhere import echo_data
from logger.cli.options import complete_day, complete_gateway, load_settings, output_option, reading
from logger.clock import utc_now
from logger.errors import UsageError
from logger.exports import language, terminal
from logger.exports.text import LOCALES
from logger.reports import battery, compare, details, energy, panels, periods, quality, summary
from logger.settings.document import LANGUAGES

FORMATS = ("table", "csv", "json", "xlsx", "parquet", "ods", "md")


@click.group()
def report() -> None:
    """Show or write energy per hour, day, month or year."""


DATES = (
    "D is 2026-03-29, 2026-03, 2026, 7d (the last seven days), today, yesterday, this-month, last-month, this-year or "
    "last-year. --from last-month alone is all of it."
)
KINDS = {
    "quarter-hourly": "Show or write the energy of each quarter hour.",
    "hourly": "Show or write the energy of each hour.",
    "daily": "Show or write the energy of each day.",
    "monthly": "Show or write the energy of each month.",
    "yearly": "Show or write the energy of each year.",
    "inverters": "Show or write each inverter's energy, day by day.",
    "phases": "Show or write the energy of each phase, day by day.",
    "quality": "Show or write what was missing or suspect, day by day.",
    "panels": "Show or write each panel beside its neighbours.",
    "battery": "Show or write what batteries took and gave.",
}
#: reports whose workbook is about the whole site, not that report alone
WORKBOOKS = ("daily", "monthly", "yearly")
ENERGY_KINDS = ("quarter-hourly", "hourly", *WORKBOOKS)


def _report(kind: str, connection: Any, chosen: dict[str, Any], period: "battery.Kind | None" = None) -> Any:
    if kind == "battery":
        return battery.battery_report(connection, period or "daily", now=utc_now(), **chosen)
    if kind == "panels":
        return panels.panel_report(connection, now=utc_now(), **chosen)
    if kind == "quality":
        return quality.quality_report(connection, now=utc_now(), **chosen)
    if kind in {"inverters", "phases"}:
        return details.detail_report(connection, kind, now=utc_now(), **chosen)
    if how := chosen.pop("compare", None):
        return compare.compared_report(connection, kind, how, now=utc_now(), **chosen)  # type: ignore[arg-type]
    return energy.energy_report(connection, kind, now=utc_now(), **chosen)  # type: ignore[arg-type]


def _refuse_terminal(form: str, output: Path | None) -> None:
    """Refuse to write what is no text to a terminal."""
    if form in {"xlsx", "ods", "parquet"} and _is_terminal(output):
        raise UsageError(f"{form} is no text for a terminal; write it to a file: -o energy.{form}")


def _refuse_locale(form: str, locale: str | None) -> None:
    """Refuse a language in what is for programs, and one that we do not speak."""
    if locale and form in {"json", "parquet"}:
        raise UsageError(
            f"--locale is for people, and {form} is for programs, the same everywhere. Leave --locale out, or choose "
            "another --format."
        )
    if locale and form != "csv" and locale not in LANGUAGES:
        spoken = ", ".join(LANGUAGES)
        raise UsageError(f"Headings are in {spoken}; {locale!r} is for the numbers of csv alone: add --format csv.")


def _is_terminal(output: Path | None) -> bool:
    if output is None:
        return sys.stdout.isatty()
    with contextlib.suppress(OSError):
        if output.is_char_device():
            with output.open("wb", buffering=0) as device:
                return device.isatty()
    return False


def _command(kind: str) -> click.Command:
    days = periods.DEFAULT_DAYS.get(kind, 0)
    first = {0: "the first day", 1: "the last day"}.get(days, f"the last {days} days")
    if kind == "battery":
        first += "; monthly: the first day"
    elif kind in WORKBOOKS and days:
        first += "; for a workbook: the first day"

    @click.command(kind, help=f"{KINDS[kind]}\n\n{DATES}")
    @click.option(
        "--from", "since", metavar="D", shell_complete=complete_day, help=f"First day, included.  [default: {first}]"
    )
    @click.option(
        "--to", "until", metavar="D", shell_complete=complete_day, help="Last day, included.  [default: the last day]"
    )
    @click.option(
        "--gateway", metavar="NAME", shell_complete=complete_gateway, help="Only this gateway.  [default: all]"
    )
    @click.option("--format", "form", type=click.Choice(FORMATS), help="Format.  [default: FILE's suffix, or table]")
    @output_option("Write this file; - is the terminal or pipe.")
    @click.option("--locale", type=click.Choice(LOCALES), help="Language of headings and numbers.  [default: en]")
    @click.option("--sheet", is_flag=True, help="Write only this report's sheet into a workbook.")
    def command(
        form: str | None, output: Path | None, locale: str | None, sheet: bool, period: Any = None, **chosen: Any
    ) -> None:
        chosen_form = exports.format_for(form, output)
        _refuse_terminal(chosen_form, output)
        _refuse_locale(chosen_form, locale)
        with reading(load_settings()) as connection, language.speaking(locale if chosen_form != "csv" else None):
            if chosen_form == "xlsx" and kind in WORKBOOKS and not (sheet or chosen.get("compare")):
                chosen.pop("compare")
                book = summary.book(connection, now=utc_now(), **chosen)
                content, rows = exports.to_full_xlsx(book), len(book.daily.rows)
            else:
                found = _report(kind, connection, chosen, period)
                rows = len(found.rows)
                if chosen_form == "table":
                    table = terminal.table(found, terminal.WIDE if output else terminal.width())
                    content = click.unstyle(table).encode()
                else:
                    export = exports.EXPORTERS[chosen_form]
                    content = exports.to_csv(found, locale) if chosen_form == "csv" else export(found)
        if output is None:
            # Text, so that a terminal of few characters or without colour gets what it can show.
            if chosen_form == "table":
                click.echo(table, nl=False)
            else:
                echo_data(content)
            return
        with exports.replacing(output) as out:
            out.write(content)
        click.echo(f"{output}: {rows} rows", err=True)

    if kind in ENERGY_KINDS:
        text = "Add the same of then: of the period before, or of a year before."
        click.option("--compare", type=click.Choice(periods.HOWS), help=text)(command)
    if kind == "battery":
        choice = click.Choice(("daily", "monthly"))
        click.argument("period", type=choice, default="daily", required=False)(command)
    return command


for _kind in KINDS:
    report.add_command(_command(_kind))
report.add_command(page.page)
