"""Files in an owner's hands: the same numbers in every format, totals that are what they claim."""

import io
import json
import re
import subprocess
import sys
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import openpyxl
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from logger import exports
from logger.cli import run
from logger.cli.report import FORMATS
from logger.errors import UsageError
from logger.exports import terminal
from logger.exports.text import _text_cell
from logger.reports import Report
from logger.reports.energy import energy_report
from logger.reports.quality import quality_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Moulds
from tests.sample_data import fill, times, utc

SINCE = utc(2026, 5, 25)
NOW = SINCE + timedelta(days=12)


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    """Twelve days over the end of a month; one of them has a hole."""
    return moulds.filled(engine, fill_twelve_days)


def fill_twelve_days(engine: Engine) -> None:
    site = Site(Shape(), SINCE - timedelta(days=1))
    seen = [at for at in times(SINCE, NOW, 900) if not (at.day == 28 and 8 <= at.hour < 14)]
    fill(engine, site, seen, zone="UTC")
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET name = '=roof'"))
        rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None)


def daily(engine: Engine) -> Report:
    with engine.connect() as connection:
        return energy_report(connection, "daily", now=NOW, since="2026-05-25")


def workbook(engine: Engine, url: str, path: Path) -> Any:
    del engine
    assert run(["--database-url", url, "report", "daily", "-o", str(path)]) == 0
    return openpyxl.load_workbook(path), openpyxl.load_workbook(path, data_only=True)


def test_a_workbook_has_a_sheet_for_every_question(filled: Engine, database_url: str, tmp_path: Path) -> None:
    book, _ = workbook(filled, database_url, tmp_path / "x.xlsx")
    assert book.sheetnames == ["Summary", "Daily", "Monthly", "Yearly", "Calendar", "Quality", "Charts", "About"]
    assert len(book["Summary"]._charts) == 2
    assert book["Daily"].freeze_panes == "B2"
    assert book["Daily"].auto_filter.ref is not None


def test_a_workbook_has_the_same_figures_as_json(filled: Engine, database_url: str, tmp_path: Path) -> None:
    _, values = workbook(filled, database_url, tmp_path / "x.xlsx")
    report = daily(filled)
    records, sheet = json.loads(exports.to_json(report)), values["Daily"]
    heads = [cell.value for cell in sheet[1]]
    headings = {report.heading(name): name for name in report.names}
    assert heads[0] == "Day"
    assert {"Grid export (kWh)", "Self-sufficiency (%)", "Coverage (%)", "Status"} <= set(heads)
    for record, row in zip(records, sheet.iter_rows(min_row=2, max_row=1 + len(records)), strict=True):
        assert row[0].value.date() == date.fromisoformat(record["day"])
        for heading, cell in list(zip(heads, row, strict=False))[1:]:
            if heading is not None:
                expected = record[headings[heading]]
                # A workbook keeps 16 digits.
                assert cell.value == (pytest.approx(expected, rel=1e-15) if isinstance(expected, float) else expected)
        assert row[1].number_format == "#,##0.00"


def test_every_total_is_a_live_formula_whose_value_is_right(filled: Engine, database_url: str, tmp_path: Path) -> None:
    book, values = workbook(filled, database_url, tmp_path / "x.xlsx")
    report = daily(filled)
    last = 2 + len(report.rows)
    head = [cell.value for cell in book["Daily"][1]]
    for x, title in enumerate(head, start=1):
        formula, value = (workbook["Daily"].cell(last, x).value for workbook in (book, values))
        if title in {"Production (kWh)", "Grid export (kWh)"}:
            assert formula.startswith("=SUBTOTAL(109,")
            column = {"Production (kWh)": "production_kwh", "Grid export (kWh)": "grid_export_kwh"}
            assert value == pytest.approx(sum(report.column(column[title])))
        if title == "Self-sufficiency (%)":
            consumption, grid_import = (sum(report.column("consumption_kwh")), sum(report.column("grid_import_kwh")))
            assert formula.count("SUBTOTAL(109,") == 4
            assert value == pytest.approx(100 * (consumption - grid_import) / consumption)


def test_the_same_input_gives_the_same_bytes(filled: Engine, database_url: str, tmp_path: Path) -> None:
    workbook(filled, database_url, tmp_path / "a.xlsx")
    workbook(filled, database_url, tmp_path / "b.xlsx")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_names_that_look_like_formulas_are_disarmed(filled: Engine, database_url: str, tmp_path: Path) -> None:
    book, _ = workbook(filled, database_url, tmp_path / "x.xlsx")
    assert book["Summary"]["A1"].value.startswith("'=roof")
    assert book["Summary"]["A1"].data_type == "s"
    assert exports.to_csv(daily(filled)).splitlines()[1].startswith(b"'=roof,")


def test_csv_for_a_european_spreadsheet_has_commas_and_a_mark(filled: Engine) -> None:
    report = daily(filled)
    content = exports.to_csv(report, "de")
    assert content.startswith(b"\xef\xbb\xbf")
    read = pd.read_csv(io.BytesIO(content), sep=";", decimal=",", encoding="utf-8-sig")
    assert list(read["production_kwh"]) == report.column("production_kwh")


def test_parquet_and_ods_hold_the_same_numbers(filled: Engine) -> None:
    report = daily(filled)
    parquet = pd.read_parquet(io.BytesIO(exports.to_parquet(report)))
    assert list(parquet["production_kwh"]) == report.column("production_kwh")
    sheet = pd.read_excel(io.BytesIO(exports.to_ods(report)), engine="odf")
    production = list(sheet["Production (kWh)"])
    assert production[:-1] == pytest.approx(report.column("production_kwh"))
    assert production[-1] == pytest.approx(sum(report.column("production_kwh")))
    assert sheet["Day"].iloc[-1] == "Total"


def test_an_ods_has_real_dates_and_totals_that_are_live(filled: Engine) -> None:
    report = daily(filled)
    exports.to_ods(report)  # Which namespaces it declares, odfpy learns from the first of a process.
    content = exports.to_ods(report)
    assert content == exports.to_ods(report)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("content.xml").decode()
    assert re.findall(r'office:date-value="([^"]+)"', sheet) == [str(day) for day in report.column("day")]
    last = 1 + len(report.rows)
    assert f'table:formula="of:=SUBTOTAL(109;[.B2:.B{last}])"' in sheet
    ratio = f"100*(SUBTOTAL(109;[.C2:.C{last}])-SUBTOTAL(109;[.D2:.D{last}]))/(SUBTOTAL(109;[.C2:.C{last}]))"
    assert ratio in sheet
    assert 'number:decimal-places="2"' in sheet
    assert 'number:grouping="true"' in sheet


def test_a_missing_extra_names_what_to_install(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"envoylog\[parquet\]"):
        exports.to_parquet(daily(filled))


def test_a_path_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "no" / "x.csv", tmp_path / "taken"):
        with pytest.raises(UsageError, match="choose"), exports.replacing(path) as out:
            out.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_table_fits_its_terminal_and_breaks_no_word(filled: Engine) -> None:
    report = daily(filled)
    for width in (60, 80, 100, 200):
        shown = click.unstyle(terminal.table(report, width))
        assert max(map(len, shown.splitlines())) <= width
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown
        assert ("\nNo room for" in shown) == (width < 140)
        whole = {word for column in report.columns.values() for word in re.findall(r"\w+-?", column.title)}
        above = shown.partition("\N{BOX DRAWINGS LIGHT HORIZONTAL}")[0].partition("\n\n")[2]
        assert set(re.findall(r"[A-Z][\w-]+", above)) <= whole | {"Day", "Status", "Wh", "Wp"}
    assert "import export" in click.unstyle(terminal.table(report, 80))


def test_long_names_of_several_gateways_are_shortened_and_stand_in_full_above(filled: Engine) -> None:
    report = daily(filled)
    names = "the garden house behind the old barn, south", "roof"
    rows = [(name, *row[1:]) for name in names for row in report.rows]
    weights = {name: [*values, *values] for name, values in report.weights.items()}
    shown = click.unstyle(
        terminal.table(Report(report.kind, report.labels, report.numbers, report.remarks, rows, weights), 80)
    )
    assert max(map(len, shown.splitlines())) <= 80
    assert ", ".join(names) in " ".join(shown.splitlines()[:2])
    assert "\nthe garden \N{HORIZONTAL ELLIPSIS} 2026-05-25" in shown
    assert "Production Consumption" in shown


def test_a_table_of_days_names_the_best_and_the_poorest_that_are_final(filled: Engine) -> None:
    report = daily(filled)
    final = [row[1:3] for row in report.rows if row[-1] == "final"]
    best, poorest = (how(final, key=lambda row: row[1]) for how in (max, min))
    said = f"Best day {best[0]}: {best[1]:.2f} kWh. Poorest day {poorest[0]}: {poorest[1]:.2f} kWh."
    assert said in click.unstyle(terminal.table(report, 80)).splitlines()


def test_what_has_no_room_is_named_as_it_is_headed_elsewhere(filled: Engine) -> None:
    report = daily(filled)
    shown = click.unstyle(terminal.table(report, 80))
    named = shown.partition("No room for: ")[2].partition(". A wider")[0].replace("\n", " ").split(", ")
    headings = {column.heading for column in report.columns.values()} | {c.title for c in report.columns.values()}
    assert "Self-consumption (kWh)" in named
    assert set(named) <= headings


def test_the_notes_of_a_day_stand_below_the_table_and_nothing_of_them_is_cut(filled: Engine) -> None:
    with filled.connect() as connection:
        report = quality_report(connection, now=NOW, since="2026-05-28", until="2026-05-28")
    shown = click.unstyle(terminal.table(report, 80))
    assert max(map(len, shown.splitlines())) <= 80
    (notes,) = report.column("notes")
    assert "nothing measured 07:45 to 14:00" in notes
    assert f"2026-05-28  {notes}" in " ".join(shown.split("\n"))
    assert "None of: Failed polls, Resets, Wraps" in shown


def test_an_hour_is_named_in_local_time_alone_unless_it_comes_twice(filled: Engine) -> None:
    with filled.connect() as connection:
        report = energy_report(connection, "hourly", now=NOW, since="2026-05-27", until="2026-05-27")
    shown = click.unstyle(terminal.table(report, 200))
    assert "UTC" not in shown
    assert shown.splitlines()[-1].startswith("Total  ")
    at = report.labels.index("local_hour")
    rows = [(*row[:at], report.rows[0][at], *row[at + 1 :]) for row in report.rows[:2]]
    weights = {name: values[:2] for name, values in report.weights.items()}
    twice = Report(report.kind, report.labels, report.numbers, report.remarks, rows, weights)
    assert "(UTC)" in terminal.table(twice, 200)


def test_quarter_hours_add_up_to_hours_and_are_named_in_local_time(filled: Engine) -> None:
    with filled.connect() as connection:
        quarters, hours = (
            energy_report(connection, kind, now=NOW, since="2026-05-27", until="2026-05-27")
            for kind in ("quarter-hourly", "hourly")
        )
    assert len(quarters.rows) == 4 * len(hours.rows) == 96
    assert quarters.labels[1:] == ["quarter_starts_at", "local_quarter"]
    assert quarters.column("quarter_starts_at")[::4] == hours.column("hour_starts_at")
    assert quarters.column("local_quarter")[::4] == hours.column("local_hour")
    for name in ("production_kwh", "consumption_kwh", "grid_import_kwh", "coverage_pct"):
        assert quarters.totals[name] == pytest.approx(hours.totals[name])
    assert "UTC" not in terminal.table(quarters, 200)


def test_only_the_status_of_a_row_has_colour_and_a_file_has_none(filled: Engine) -> None:
    report = daily(filled)
    assert click.style("partial", fg="yellow") in terminal.table(report, 80)
    assert b"\x1b" not in exports.to_table(report)


def test_a_report_for_the_terminal_or_as_text_loads_nothing_of_spreadsheets(filled: Engine, database_url: str) -> None:
    del filled
    code = (
        "import sys\n"
        "from logger.cli import run\n"
        f"given = ['--database-url', {database_url!r}, 'report', 'daily', '--from', '2026']\n"
        "codes = [run([*given, '--format', one]) for one in ('table', 'csv', 'json', 'md')]\n"
        "large = {'pandas', 'numpy', 'xlsxwriter'}\n"
        "sys.exit(any(codes) or not large.isdisjoint(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr


def test_every_format_that_can_be_asked_for_can_be_made() -> None:
    assert set(FORMATS) == set(exports.EXPORTERS)


def test_nothing_is_less_than_nothing_in_a_table() -> None:
    assert _text_cell(-0.0004, 2) == "0.00"
    assert _text_cell(-0.4, 2) == "-0.40"
