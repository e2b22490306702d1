"""Reports below the total, and the report about the reports."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger import exports
from logger.errors import NoDataError
from logger.reports import Report
from logger.reports.details import detail_report
from logger.reports.energy import energy_report
from logger.reports.quality import quality_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Moulds
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 6, 1)
NOW = SINCE + timedelta(days=4, hours=6)


def four_days(engine: Engine) -> None:
    """Four days of a site with three phases and two inverters; the third day has a hole."""
    site = Site(Shape(phases=3), SINCE - timedelta(days=1))
    moments = times(SINCE, NOW, 600)
    seen = [at for at in moments if not (at.day == 3 and 9 <= at.hour < 15)]
    fill(engine, site, seen, zone="UTC")
    reports = [
        {"gateway_id": 1, "reported_at": instant(engine, at), "serial": serial, "power_w": 100.0,
         "energy_lifetime_wh": site.counter_wh("production", at.timestamp()) * share}
        for at in seen
        for serial, share in (("a", 0.6), ("b", 0.41))
    ]  # fmt: skip
    names = ", ".join(reports[0])
    values = ", ".join(f":{name}" for name in reports[0])
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO inverter_samples ({names}) VALUES ({values})"), reports)
        rollup.rebuild(connection, 1, now=NOW, gap_s=1200, since=None)


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    return moulds.filled(engine, four_days)


def asked(kind: str) -> Callable[..., Report]:
    """Return how to ask for a report of a kind."""
    if kind == "quality":
        return quality_report
    return lambda connection, **chosen: detail_report(connection, kind, **chosen)


ASKS = [asked(kind) for kind in ("phases", "inverters", "quality")]


def records(result: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(exports.EXPORTERS["json"](result))
    return rows


def test_each_phase_has_a_row_per_day(filled: Engine) -> None:
    with filled.connect() as connection:
        rows = records(detail_report(connection, "phases", now=NOW))
    assert [(row["day"], row["phase"]) for row in rows][:4] == [
        ("2026-06-01", "L1"), ("2026-06-01", "L2"), ("2026-06-01", "L3"), ("2026-06-02", "L1")
    ]  # fmt: skip
    assert rows[-1]["status"] == "provisional"
    assert [row["status"] for row in rows[3:9]] == ["final"] * 3 + ["partial"] * 3
    assert sum(row["production_kwh"] for row in rows[:3]) > 1


def test_a_day_of_an_inverter_that_was_silent_for_most_of_it_is_partial(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(
            text("DELETE FROM inverter_samples WHERE serial = 'b' AND reported_at BETWEEN :a AND :b"),
            {"a": instant(filled, utc(2026, 6, 2, 2)), "b": instant(filled, utc(2026, 6, 2, 22))},
        )
        rollup.rebuild(connection, 1, now=NOW, gap_s=1200, since=None)
        rows = records(detail_report(connection, "inverters", now=NOW))
    states = {(row["day"][-2:], row["serial"]): row["status"] for row in rows}
    assert states["02", "a"] == states["01", "b"] == "final"
    assert states["02", "b"] == "partial"


def test_each_inverter_has_a_row_per_day(filled: Engine) -> None:
    with filled.connect() as connection:
        result = detail_report(connection, "inverters", now=NOW, since="2026-06-02", until="2026-06-02")
    a, b = records(result)
    assert (a["serial"], b["serial"]) == ("a", "b")
    assert a["energy_kwh"] / b["energy_kwh"] == pytest.approx(0.6 / 0.41, rel=1e-3)


def test_an_inverter_that_fell_silent_before_the_range_has_rows_without_numbers(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(
            text("DELETE FROM inverter_samples WHERE serial = 'b' AND reported_at >= :since"),
            {"since": instant(filled, utc(2026, 6, 2))},
        )
        rollup.rebuild(connection, 1, now=NOW, gap_s=1200, since=None)
        rows = records(detail_report(connection, "inverters", now=NOW, since="2026-06-04", until="2026-06-04"))
    assert [(row["serial"], row["energy_kwh"] is None, row["status"]) for row in rows] == [
        ("a", False, "final"), ("b", True, "partial")
    ]  # fmt: skip


def test_quality_shows_the_hole_and_compares_with_the_inverters(filled: Engine) -> None:
    with filled.connect() as connection:
        rows = records(quality_report(connection, now=NOW))
    by_day = {row["day"]: row for row in rows}
    whole, hole = by_day["2026-06-02"], by_day["2026-06-03"]
    assert (whole["gaps"], whole["missing_s"], whole["status"]) == (0, 0, "final")
    assert whole["inverters_difference_pct"] == pytest.approx(1.0, abs=0.05)
    assert (hole["gaps"], hole["status"]) == (1, "partial")
    assert 6 * 3600 <= hole["missing_s"] <= 6 * 3600 + 1200
    assert hole["notes"].startswith("nothing measured ")
    assert whole["polls"] == 144
    assert whole["polls_failed"] == 0


def test_details_of_a_range_without_data_name_what_there_is(filled: Engine) -> None:
    with filled.connect() as connection:
        for ask in ASKS:
            with pytest.raises(NoDataError, match="2026-06-01 to 2026-06-05"):
                ask(connection, now=NOW, since="2020", until="2020")


def test_details_go_into_every_format(filled: Engine) -> None:
    with filled.connect() as connection:
        for ask in ASKS:
            report = ask(connection, now=NOW)
            assert all(export(report) for export in exports.EXPORTERS.values())


def test_a_gateway_that_was_replaced_goes_on_in_the_next_one(engine: Engine) -> None:
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    moments = times(SINCE, NOW, 600)
    swap = SINCE + timedelta(days=2, hours=12)
    parts = [[at for at in moments if at <= swap], [at for at in moments if at >= swap]]
    for number, seen in enumerate(parts, start=1):
        fill(engine, site, seen, zone="UTC", gateway_id=number)
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET name = 'roof', grid_meter = 'per_phase'"))
        for number in (1, 2):
            rollup.rebuild(connection, number, now=NOW, gap_s=1200, since=None)
        result = energy_report(connection, "daily", now=NOW)
        months = energy_report(connection, "monthly", now=NOW)
        view = connection.execute(text("SELECT production_kwh, coverage_pct FROM v_energy_daily ORDER BY day")).all()
    assert result.column("production_kwh") == [row.production_kwh for row in view]
    assert result.column("coverage_pct") == [row.coverage_pct for row in view] == [100.0] * 5
    # What was counted between the last poll of one and the first of the other is not known.
    swapped = ["partial" if day == swap.date() else "final" for day in result.column("day")]
    assert result.column("status")[:-1] == swapped[:-1]
    true = site.energy_between_wh("production", SINCE, NOW) / 1000
    assert sum(result.column("production_kwh")) == pytest.approx(true, abs=1e-5)
    assert months.column("production_kwh") == [pytest.approx(true, abs=1e-5)]
    covered, missing = NOW - SINCE, timedelta(days=25)
    share = 100 * covered / (covered + missing)
    assert months.column("coverage_pct") == [pytest.approx(share, abs=0.01)]
