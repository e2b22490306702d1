"""``envoylog report``."""

from pathlib import Path
from typing import Any, get_args

import click

from logger import exports
from logger.cli.options import load_settings, reading
from logger.clock import utc_now
from logger.exports.text import LOCALES
from logger.reports import battery, details, energy, quality
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
    "battery": "Charge, discharge, cycles, efficiency and outages of batteries, per day or month.",
}


def _report(kind: str, connection: Any, chosen: dict[str, Any], period: battery.Kind | None = None) -> Any:
    if kind == "battery":
        return battery.battery_report(connection, period or "daily", now=utc_now(), **chosen)
    if kind == "quality":
        return quality.quality_report(connection, now=utc_now(), **chosen)
    if kind in {"inverters", "phases"}:
        return details.detail_report(connection, kind, now=utc_now(), **chosen)
    return energy.energy_report(connection, kind, now=utc_now(), **chosen)  # type: ignore[arg-type]


def _workbook(connection: Any, chosen: dict[str, Any]) -> bytes:
    if chosen["since"] is None:
        # A workbook without a range is about everything there is.
        first = min(site.first for site in energy.sites_of(connection, chosen["gateway"]))
        chosen = {**chosen, "since": str(first)}
    reports = {name: _report(name, connection, chosen) for name in ("daily", "monthly", "yearly", "quality")}
    if battery.has_batteries(connection, chosen["gateway"]):
        reports["battery"] = _report("battery", connection, chosen)
    ranking = details.inverter_ranking(connection, now=utc_now(), **chosen)
    return exports.to_full_xlsx(reports, ranking)


def _command(kind: str) -> click.Command:
    @click.command(kind, help=f"{KINDS[kind]} {DATES}")
    @click.option("--from", "since", metavar="D", help="First day, included.")
    @click.option("--to", "until", metavar="D", help="Last day, included.")
    @click.option("--gateway", metavar="NAME", help="Only this gateway.")
    @click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by suffix.")
    @click.option("-o", "output", type=click.Path(path_type=Path), help="Write this file.")
    @click.option("--locale", type=click.Choice(LOCALES), help="csv for a spreadsheet there.")
    @click.option("--sheet", is_flag=True, help="xlsx: this report's sheet alone.")
    def command(
        form: str | None, output: Path | None, locale: str | None, sheet: bool, period: Any = None, **chosen: Any
    ) -> None:
        chosen_form = exports.format_for(form, output)
        with reading(load_settings()) as connection:
            found = _report(kind, connection, chosen, period)
            if chosen_form == "xlsx" and kind in {"daily", "monthly", "yearly"} and not sheet:
                content = _workbook(connection, chosen)
            elif chosen_form == "csv":
                content = exports.to_csv(found, locale)
            else:
                content = exports.EXPORTERS[chosen_form](found)
        if output is None:
            click.echo(content, nl=False)
            return
        with exports.replacing(output) as out:
            out.write(content)
        click.echo(f"{output}: {len(found.rows)} rows", err=True)

    if kind == "battery":
        periods = click.Choice(get_args(battery.Kind))
        click.argument("period", type=periods, default="daily", required=False)(command)
    return command


for _kind in KINDS:
    report.add_command(_command(_kind))
