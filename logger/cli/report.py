"""``envoylog report``."""

import sys
from pathlib import Path
from typing import Any, get_args

import click

from logger.cli.options import load_settings, open_database
from logger.clock import utc_now
from logger.exports.text import LOCALES
from logger.reports.periods import Kind

FORMATS = ("table", "csv", "json", "xlsx", "parquet", "ods", "md")


@click.group()
def report() -> None:
    """Energy per hour, day, month or year, with what is known of its quality."""


DATES = "D: 2026-03-29, 2026-03, 2026, today, yesterday, last-month."
KINDS = {
    **{kind: f"Energy, {kind}." for kind in get_args(Kind)},
    "inverters": "Energy of each inverter, per day.",
    "phases": "Energy of each phase, per day.",
    "quality": "Gaps, resets and suspects per day; counters against inverters.",
}


def _made(kind: str, connection: Any, chosen: dict[str, Any]) -> Any:
    """Return a report."""
    if kind == "quality":
        from logger.reports.quality import quality_report  # noqa: PLC0415

        return quality_report(connection, now=utc_now(), **chosen)
    if kind in {"inverters", "phases"}:
        from logger.reports.details import detail_report  # noqa: PLC0415

        return detail_report(connection, kind, now=utc_now(), **chosen)
    from logger.reports.energy import energy_report  # noqa: PLC0415

    return energy_report(connection, kind, now=utc_now(), **chosen)  # type: ignore[arg-type]


def _workbook(kind: str, made: Any, connection: Any, chosen: dict[str, Any]) -> bytes:
    """Return the workbook of a report's range."""
    from logger.exports.workbook import full, single  # noqa: PLC0415 - only spreadsheets
    from logger.reports.details import inverter_ranking  # noqa: PLC0415 - the same
    from logger.reports.energy import sites_of  # noqa: PLC0415 - the same

    if kind == "hourly":
        return single(made)
    if chosen["since"] is None:
        # A workbook without a range is about everything there is.
        first = min(site.first for site in sites_of(connection, chosen["gateway"]))
        chosen = {**chosen, "since": str(first)}
    reports = {
        one: _made(one, connection, chosen) for one in ("daily", "monthly", "yearly", "quality")
    }
    return full(reports, inverter_ranking(connection, now=utc_now(), **chosen))


def _command(kind: str) -> click.Command:
    @click.command(kind, help=f"{KINDS[kind]} {DATES}")
    @click.option("--from", "since", metavar="D", help="First day, included.")
    @click.option("--to", "until", metavar="D", help="Last day, included.")
    @click.option("--gateway", metavar="NAME", help="Only this gateway.")
    @click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by suffix.")
    @click.option("-o", "output", type=click.Path(path_type=Path), help="Write this file.")
    @click.option("--locale", type=click.Choice(LOCALES), help="csv for a spreadsheet there.")
    @click.option("--sheet", is_flag=True, help="xlsx: this report's sheet alone.")
    @click.pass_context
    def command(
        ctx: click.Context,
        /,
        form: str | None,
        output: Path | None,
        locale: str | None,
        sheet: bool,
        **chosen: Any,
    ) -> None:
        from logger import exports  # noqa: PLC0415 - only reports need it

        chosen_form = exports.format_for(form, output)
        engine = open_database(load_settings(ctx), read_only=True)
        with engine.connect() as connection:
            made = _made(kind, connection, chosen)
            if chosen_form == "xlsx" and kind in get_args(Kind) and not sheet:
                content = _workbook(kind, made, connection, chosen)
            elif chosen_form == "csv":
                content = exports.to_csv(made, locale)
            else:
                content = exports.EXPORTERS[chosen_form](made)
        engine.dispose()
        if output is not None:
            exports.write_file(output, content)
            click.echo(f"{output}: {len(made.rows)} rows", err=True)
        else:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()

    return command


for _kind in KINDS:
    report.add_command(_command(_kind))
