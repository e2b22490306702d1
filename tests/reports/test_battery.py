"""What batteries took and gave: as the view has it, a month as its days, and nothing where there are none."""

import io
import json
from datetime import date, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from sqlalchemy import Engine, event, text

from logger import exports
from logger.cli import run
from logger.errors import NoDataError
from logger.reports.battery import battery_report
from logger.reports.columns import BATTERY
from logger.reports.energy import energy_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Opening
from tests.sample_data import fill, fill_batteries, instant, times, utc

SINCE = utc(2026, 5, 30)
NOW = SINCE + timedelta(days=5)
EMPTY = date(2026, 6, 1)


def fill_sites(engine: Engine) -> Engine:
    """Five days in two months, on one of which nothing was measured, of a site with a battery and of one without."""
    seen = [at for at in times(SINCE, NOW, 1800) if at.date() != EMPTY]
    for number, has_battery in ((1, True), (2, False)):
        site = Site(Shape(battery=has_battery, seed=number), SINCE - timedelta(days=1))
        fill(engine, site, seen, zone="UTC", gateway_id=number)
        if has_battery:
            fill_batteries(engine, site, seen, kwh=2)
        with engine.begin() as connection:
            rollup.rebuild(connection, number, now=NOW, gap_s=3600, since=None)
    return engine


@pytest.fixture
def filled(opening: Opening, sqlite_url: str) -> Engine:
    return fill_sites(opening(sqlite_url))


def records(engine: Engine, *kind: Any, **chosen: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        report = battery_report(connection, *kind, now=NOW, **chosen)
    return [dict(zip(report.names, row, strict=True)) for row in report.rows]


def test_the_level_of_each_day_is_looked_for_no_further_back_than_the_day_before(filled: Engine) -> None:
    asked: list[str] = []
    event.listen(filled, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert len(records(filled)) == 5
    looks = [query for query in asked if query.startswith("SELECT storage_samples.energy_wh")]
    assert len([query for query in looks if "polled_at > " not in query]) == 1  # of the first day
    assert len(looks) <= 1 + 5


def test_each_day_is_as_the_view_has_it(engine: Engine) -> None:
    with fill_sites(engine).connect() as connection:
        view = {str(row["day"]): row for row in connection.execute(text("SELECT * FROM v_battery_daily")).mappings()}
        energy = energy_report(connection, "daily", now=NOW, gateway="site1")
    days = records(engine)
    assert [day["status"] for day in days] == energy.column("status")
    for day in days:
        row = view[str(day["day"])]
        assert {name: day[name] for name in row} == dict(row) | {"day": day["day"]}
    assert sum(day["outages"] for day in days) == 1
    assert sum(day["outage_minutes"] for day in days) > 400


@pytest.mark.parametrize(("zone", "offset_s", "lost"), [
    ("Europe/Madrid", 7200, "2026-06-01 21:30:00"), ("America/New_York", -14400, "2026-06-01 04:10:00"),
])  # fmt: skip
def test_an_outage_next_to_midnight_is_of_its_local_day(engine: Engine, zone: str, offset_s: int, lost: str) -> None:
    lost_at = datetime.fromisoformat(f"{lost}+00:00")
    before = {"at": instant(engine, lost_at - timedelta(hours=1)), "offset_s": offset_s}
    noon = before | {"at": instant(engine, utc(2026, 6, 1, 16))}
    day = "INSERT INTO energy_daily (gateway_id, day, phase, battery_charge_wh, covered_s, period_s)"
    of = "(gateway_id, starts_at, phase"
    event = "INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, :kind, 'grid')"
    filled: list[tuple[str, dict[str, Any]]] = [
        ("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', '1', :of)", {"of": zone}),
        (f"{day} VALUES (1, '2026-06-01', 'total', 7, 86400, 86400)", {}),
        (f"INSERT INTO energy_hourly {of}, utc_offset_s, period_s) VALUES (1, :at, 'total', :offset_s, 3600)", noon),
        (f"INSERT INTO energy_15min {of}, utc_offset_s, covered_s) VALUES (1, :at, 'total', :offset_s, 900)", before),
        (event, {"kind": "grid_lost", "at": instant(engine, lost_at)}),
        (event, {"kind": "grid_back", "at": instant(engine, lost_at + timedelta(hours=8))}),
    ]
    with engine.begin() as connection:
        for statement, values in filled:
            connection.execute(text(statement), values)
    (found,) = records(engine, since="2026-06-01", until="2026-06-01")
    assert (found["outages"], found["outage_minutes"]) == (1, 480)
    with engine.begin() as connection:  # How long one lasts that is not over is not known.
        connection.execute(text("DELETE FROM events WHERE kind = 'grid_back'"))
    (found,) = records(engine, since="2026-06-01", until="2026-06-01")
    assert (found["outages"], found["outage_minutes"]) == (1, None)


def test_a_month_is_the_total_of_its_days(filled: Engine) -> None:
    names = [column.name for column in BATTERY]
    with filled.connect() as connection:
        for month in records(filled, "monthly"):
            report = battery_report(connection, now=NOW, since=month["month"], until=month["month"])
            assert {name: month[name] for name in names} == pytest.approx(report.totals)
        months, days = (battery_report(connection, kind, now=NOW) for kind in ("monthly", "daily"))
    assert months.column("month") == ["2026-05", "2026-06"]
    assert months.totals == pytest.approx(days.totals)
    assert 80 < (months.totals["efficiency_pct"] or 0) < 100


def test_an_efficiency_below_one_cycle_is_not_known(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(text("UPDATE batteries SET capacity_wh = 9000"))
    days, months = records(filled), records(filled, "monthly")
    assert all(day["cycles"] < 1 and day["efficiency_pct"] is None for day in days)
    assert [month["efficiency_pct"] is None for month in months] == [month["cycles"] < 1 for month in months]
    with filled.begin() as connection:
        connection.execute(text("DELETE FROM batteries"))
    assert {day["cycles"] for day in records(filled)} == {None}


def test_a_site_without_a_battery_has_no_such_report(filled: Engine) -> None:
    assert {day["gateway"] for day in records(filled)} == {"site1"}
    with pytest.raises(NoDataError, match="no battery"):
        records(filled, gateway="site2")


def test_every_format_has_the_same_totals(filled: Engine) -> None:
    with filled.connect() as connection:
        report = battery_report(connection, now=NOW)
    for name, export in exports.EXPORTERS.items():
        assert export(report), name
    book = openpyxl.load_workbook(io.BytesIO(exports.to_xlsx(report)), data_only=True)
    assert book.sheetnames == ["Battery"]
    last = [cell.value for cell in book["Battery"][len(report.rows) + 2]]
    assert last[1 : 1 + len(BATTERY)] == pytest.approx(list(report.totals.values()))
    formulas = openpyxl.load_workbook(io.BytesIO(exports.to_xlsx(report)))["Battery"][len(report.rows) + 2]
    texts = dict(zip(report.names[1:], (cell.value for cell in formulas), strict=False))
    assert texts["min_soc_pct"].startswith("=SUBTOTAL(105,")
    assert texts["efficiency_pct"].startswith("=IF(SUBTOTAL(109,C2:C")
    table = exports.to_table(report).decode()
    assert table.startswith("site1: batteries by day")


@pytest.mark.usefixtures("filled")
def test_a_workbook_has_a_sheet_of_batteries_where_there_are_any(
    sqlite_url: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    database = ["--database-url", sqlite_url]
    assert run([*database, "report", "battery", "monthly", "--from", "2026-05", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["month"] == "2026-05"
    for gateway, has_sheet in (("site1", True), ("site2", False)):
        path = tmp_path / f"{gateway}.xlsx"
        assert run([*database, "report", "daily", "--gateway", gateway, "-o", str(path)]) == 0
        assert ("Battery" in openpyxl.load_workbook(path).sheetnames) is has_sheet
    assert run([*database, "report", "battery", "weekly"]) == 2
