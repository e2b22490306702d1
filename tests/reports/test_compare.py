"""Energy beside that of the period before, and of a year before."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import openpyxl
import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.exports import terminal
from logger.reports import Report
from logger.reports.columns import ENERGY
from logger.reports.compare import CHANGED, compared_report, together, year_before
from logger.reports.energy import energy_report
from logger.reports.periods import How, Kind
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Moulds
from tests.sample_data import fill, times, utc

STARTS = utc(2025, 5, 25), utc(2026, 5, 25)
NOW = utc(2026, 6, 5, 10)


def two_sites(engine: Engine) -> None:
    """Some days around the end of May, of two years, each by a gateway of its own; the newest day still runs."""
    for number, seen in enumerate((times(STARTS[0], utc(2025, 6, 8), 1800), times(STARTS[1], NOW, 1800)), start=1):
        fill(engine, Site(Shape(), seen[0] - timedelta(days=1)), seen, zone="UTC", gateway_id=number)
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET name = 'roof'"))
        for number in (1, 2):
            rollup.rebuild(connection, number, now=NOW, gap_s=3600, since=None)


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    return moulds.filled(engine, two_sites)


def compared(engine: Engine, kind: Kind, how: How, since: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        report = compared_report(connection, kind, how, now=NOW, since=since)
    return [dict(zip(report.names, row, strict=True)) for row in report.rows]


def plain(engine: Engine, kind: Kind, since: str, until: str | None = None) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        report = energy_report(connection, kind, now=NOW, since=since, until=until)
    return [dict(zip(report.names, row, strict=True)) for row in report.rows]


def test_a_day_stands_beside_the_day_before_and_the_same_day_of_the_year_before(filled: Engine) -> None:
    names = [column.name for column in ENERGY]
    for how, shift in (("previous", timedelta(days=1)), ("year-before", timedelta(days=365))):
        rows = {row["day"]: row for row in compared(filled, "daily", how, "2026-05-27")}  # type: ignore[arg-type]
        for day, row in list(rows.items())[:-1]:
            (then,) = plain(filled, "daily", str(day - shift), str(day - shift))
            assert {name: row[f"{name}_then"] for name in names} == {name: then[name] for name in names}
            assert row["compared_with"] == str(day - shift)
            change = 100 * (row["production_kwh"] / then["production_kwh"] - 1)
            assert row["production_change_pct"] == pytest.approx(change)


def test_the_running_period_is_compared_with_the_same_days_up_to_the_same_time(filled: Engine) -> None:
    days = plain(filled, "daily", "2025-06-01", "2025-06-04")
    hours = plain(filled, "hourly", "2025-06-05", "2025-06-05")[:10]
    for kind, since in (("monthly", "2026-06"), ("daily", "2026-06-05")):
        row = compared(filled, kind, "year-before", since)[-1]  # type: ignore[arg-type]
        same = [*(days if kind == "monthly" else []), *hours]
        for name in CHANGED[:4]:
            assert row[f"{name}_then"] == pytest.approx(sum(own[name] for own in same))
        assert row["compared_with"] == f"2025-06{'-05' if kind == 'daily' else ''} until 06-05 10:00"
        assert row["coverage_pct_then"] == pytest.approx(100)


def test_a_change_is_unknown_where_the_site_was_not_there_all_that_time(filled: Engine) -> None:
    may = compared(filled, "monthly", "year-before", "2026-05")[0]
    (then,) = plain(filled, "monthly", "2025-05", "2025-05")
    assert may["production_kwh_then"] == then["production_kwh"]
    assert may["production_change_pct"] is None
    nothing = compared(filled, "monthly", "previous", "2026-05")[0]
    assert nothing["production_kwh_then"] is None
    assert nothing["coverage_pct_then"] is None


def test_a_comparison_changes_no_figure_and_its_total_is_of_what_is_known_in_both(filled: Engine) -> None:
    rows, own = compared(filled, "daily", "previous", "2026-05-25"), plain(filled, "daily", "2026-05-25")
    assert [{name: row[name] for name in own[0]} for row in rows] == own
    with filled.connect() as connection:
        report = compared_report(connection, "daily", "previous", now=NOW, since="2026-05-25")
    both = [row for row in rows if row["production_change_pct"] is not None]
    now, then = (sum(row[name] for row in both) for name in ("production_kwh", "production_kwh_then"))
    assert report.totals["production_change_pct"] == pytest.approx(100 * (now / then - 1))
    for most in (80, 120):
        assert max(map(len, click.unstyle(terminal.table(report, most)).splitlines())) <= most


def test_29_february_has_no_such_day_in_the_year_before() -> None:
    assert year_before(date(2028, 2, 29)) is None
    assert year_before(date(2028, 3, 1)) == date(2027, 3, 1)


def test_a_comparison_goes_into_json_and_a_workbook_of_one_sheet(
    filled: Engine, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del filled
    asked = ["--database-url", database_url, "report", "daily", "--from", "2026-05-26", "--compare", "previous"]
    assert run([*asked, "--format", "json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert run([*asked, "-o", str(tmp_path / "x.xlsx")]) == 0
    book = openpyxl.load_workbook(tmp_path / "x.xlsx", data_only=True)
    assert book.sheetnames == ["Daily"]
    heads = [cell.value for cell in book["Daily"][1]]
    at = heads.index("Production then (kWh)") + 1
    cells = [book["Daily"].cell(2 + row, at).value for row in range(len(records))]
    assert cells == [pytest.approx(record["production_kwh_then"], rel=1e-15) for record in records]


def test_gateways_together_are_the_sums_of_each(filled: Engine) -> None:
    with filled.connect() as connection:
        one = energy_report(connection, "daily", now=NOW, since="2026-05-25")
    two = [("barn", *row[1:]) for row in one.rows]
    weights = {name: [*values, *values] for name, values in one.weights.items()}
    both = together(Report("daily", one.labels, one.numbers, one.remarks, [*one.rows, *two], weights))
    assert both.column("day") == one.column("day")
    assert both.column("gateway")[0] == "roof + barn"
    assert both.column("production_kwh") == pytest.approx([2 * kwh for kwh in one.column("production_kwh")])
    assert both.column("self_sufficiency_pct") == pytest.approx(one.column("self_sufficiency_pct"), rel=1e-4)
    assert set(both.column("peak_production_w")) == {None}
    assert both.column("status") == one.column("status")
