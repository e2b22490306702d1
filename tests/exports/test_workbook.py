"""The workbook of a range: what its summary says, and that it fits on paper."""

import io
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import Engine, text

from logger import exports
from logger.cli import run
from logger.exports.workbook import PAGE_COLUMNS
from logger.reports.energy import energy_report
from logger.reports.summary import Book, book
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Moulds, Opening
from tests.sample_data import fill, fill_inverters, times, utc

STARTS = utc(2025, 5, 25), utc(2026, 5, 20)
NOW = utc(2026, 6, 3, 10)
A4 = 9
SHARES = {"a": 0.34, "b": 0.33, "=c": 0.33}


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    """A site with some days of two years, each by a gateway of its own, and another with those of the newer.

    A panel of the first reports no more in the newest week.
    """
    return moulds.filled(engine, fill_two_sites)


def fill_two_sites(engine: Engine) -> None:
    old, new = times(STARTS[0], utc(2025, 6, 8), 3600), times(STARTS[1], NOW, 3600)
    new = [at for at in new if at.date() != date(2026, 5, 30)]
    for number, (name, seen, watts) in enumerate(
        (("roof", old, 5600), ("roof", new, 5600), ("barn: [2]", new, 3000)), start=1
    ):
        site = Site(Shape(peak_power_w=watts), seen[0] - timedelta(days=1))
        fill(engine, site, seen, zone="UTC", gateway_id=number)
        if number == 2:
            fill_inverters(engine, site, [at for at in seen if at < utc(2026, 5, 27)], SHARES, gateway_id=2)
            late = {"a": 0.34, "b": 0.33}
            fill_inverters(engine, site, [at for at in seen if at >= utc(2026, 5, 27)], late, gateway_id=2)
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE gateways SET name = '{name}' WHERE gateway_id = {number}"))
            rollup.rebuild(connection, number, now=NOW, gap_s=3600, since=None)


def test_a_site_that_began_on_28_february_of_a_leap_year_is_compared(opening: Opening, sqlite_url: str) -> None:
    engine = opening(sqlite_url)
    day = "INSERT INTO energy_daily (gateway_id, day, phase, production_wh, covered_s, period_s) "
    days = [date(2024, 2, 28) + timedelta(days=number) for number in range(400)]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, name, serial) VALUES (1, 'roof', '1')"))
        connection.execute(
            text(f"{day}VALUES (1, :day, 'total', 1000, 86400, 86400)"), [{"day": str(own)} for own in days]
        )
    with engine.connect() as connection:
        found = book(connection, now=utc(2025, 3, 20), since="2025", until="2025-03-10")
    assert found.now is not None
    assert found.then is not None
    assert (found.now.since, found.then.since) == (date(2025, 3, 1), date(2024, 3, 1))
    assert found.now.numbers["production_kwh"] == found.then.numbers["production_kwh"] == 10


def written(url: str, path: Path, *more: str) -> Any:
    assert run(["--database-url", url, "report", "daily", "-o", str(path), *more]) == 0
    return openpyxl.load_workbook(path, data_only=True)


def gathered(engine: Engine, **chosen: Any) -> Book:
    with engine.connect() as connection:
        return book(connection, now=NOW, **chosen)


def test_several_gateways_have_a_sheet_each_and_a_total(filled: Engine, database_url: str, tmp_path: Path) -> None:
    sheets = written(database_url, tmp_path / "x.xlsx", "--from", "2026-05-20")
    assert sheets.sheetnames == [
        "Summary", "Daily", "roof", "barn_ _2_", "Monthly", "Yearly", "Calendar", "Panels", "Quality", "Charts", "About"
    ]  # fmt: skip
    with filled.connect() as connection:
        each = energy_report(connection, "daily", now=NOW, since="2026-05-20")
    days = (len(each.rows) // 2) + 2
    total, *own = (
        [sheets[name].cell(y, 2).value for y in range(2, days + 1)] for name in ("Daily", "roof", "barn_ _2_")
    )
    assert total == pytest.approx([sum(pair) for pair in zip(*own, strict=True)])
    assert own[0][:-1] == pytest.approx(each.column("production_kwh")[: days - 2])


def test_the_summary_says_how_the_year_compares_and_what_needs_care(filled: Engine) -> None:
    found = gathered(filled, gateway="roof")
    sheet = openpyxl.load_workbook(io.BytesIO(exports.to_full_xlsx(found)), data_only=True)["Summary"]
    texts = {row[0].value: [cell.value for cell in row[1:]] for row in sheet.iter_rows(max_col=5) if row[0].value}
    assert texts["Energy"] == ["All days", "26 May to 2 Jun 2026", "26 May to 2 Jun 2025", "Change"]
    with filled.connect() as connection:
        now, then = (
            energy_report(connection, "daily", now=NOW, since=f"{year}-05-26", until=f"{year}-06-02", gateway="roof")
            for year in (2026, 2025)
        )
    for heading, name in (("Production (kWh)", "production_kwh"), ("Grid import (kWh)", "grid_import_kwh")):
        newer, older = now.totals[name], then.totals[name]
        assert newer is not None
        assert older is not None
        assert texts[heading] == pytest.approx([found.daily.totals[name], newer, older, 100 * (newer / older - 1)])
    final = [row for row in found.daily.rows if row[-1] == "final"]
    for label, how in (("Best day", max), ("Poorest day", min)):
        row = how(final, key=lambda own: own[2])
        assert texts[label][0] == f"{row[2]:,.2f} kWh on {row[1]:%A}, {row[1].day} {row[1]:%b %Y}"
    assert "30 May 2026" in texts["Days that are partial"][0]
    assert texts["Panels (1 of 3 not fine)"][0].startswith("'=c: silent since")


def test_panels_by_month_are_what_inverters_made(filled: Engine) -> None:
    found = gathered(filled, gateway="roof")
    with filled.connect() as connection:
        rows = connection.execute(text("SELECT serial, day, energy_kwh FROM v_inverter_daily")).all()
    for own in found.panel_months:
        months = [kwh for serial, day, kwh in rows if serial == own.serial and str(day)[:7] == own.month and kwh]
        assert own.energy_kwh == (pytest.approx(sum(months), abs=1e-6) if months else None)
    assert {own.serial for own in found.panel_months} == set(SHARES)


def test_no_page_has_more_columns_than_can_be_read(filled: Engine, database_url: str, tmp_path: Path) -> None:
    del filled
    sheets = written(database_url, tmp_path / "x.xlsx")
    for name in set(sheets.sheetnames) - {"Summary", "Calendar", "Charts", "About"}:
        sheet = sheets[name]
        assert int(sheet.page_setup.paperSize) == A4
        shown = [x for x in range(1, sheet.max_column + 1) if not _is_hidden(sheet, x)]
        starts = [0, *(mark.id for mark in sheet.col_breaks.brk), len(shown)]
        assert sheet.print_title_cols.startswith("$A:")
        assert max(after - before for before, after in pairwise(starts)) <= PAGE_COLUMNS


def test_the_quality_of_a_long_range_is_what_there_is_to_look_at(filled: Engine) -> None:
    short, long = gathered(filled, since="2026-05-28", gateway="roof").quality, gathered(filled, gateway="roof").quality
    assert short is not None
    assert "final" in short.column("status")
    assert long is not None
    rows = list(zip(long.column("status"), long.column("notes"), strict=True))
    assert all(notes or status not in {"final", "provisional"} for status, notes in rows)
    assert date(2026, 5, 30) in long.column("day")


def test_a_month_is_charted_by_day_and_longer_ranges_by_month(filled: Engine) -> None:
    assert gathered(filled, since="2026-05", until="2026-06").charted.kind == "daily"
    assert gathered(filled).charted.kind == "monthly"


def test_a_site_without_meters_of_its_grid_has_a_workbook_too(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    site = Site(Shape(), STARTS[1] - timedelta(days=1))
    fill(engine, site, times(utc(2026, 6, 1), NOW, 3600), zone="UTC", meters=False)
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=NOW, gap_s=3600, since=None)
    sheets = written(database_url, tmp_path / "x.xlsx")
    heads = [cell.value for cell in sheets["Daily"][1] if cell.value]
    assert "Grid import (kWh)" not in heads
    assert len(sheets["Summary"]._charts) == 1


def _is_hidden(sheet: Any, x: int) -> bool:
    return any(width.hidden and width.min <= x <= width.max for width in sheet.column_dimensions.values())
