"""How a site does: totals as the reports have them, compared with the same days, and panels that are not fine."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, text

from logger.clock import utc_now
from logger.reports.energy import energy_report
from logger.reports.overview import Overview, overview
from logger.reports.power import power_of, stored_power
from logger.store.models import PANEL_DAILY, PANELS
from logger.store.writer import remember_gateway, save
from tests.conftest import Benches
from tests.sample_data import instant, utc

NOW = utc(2026, 3, 10, 12)
TODAY = NOW.date()
ENERGY = (
    "INSERT INTO {} (gateway_id, {}, phase, {} production_wh, consumption_wh, grid_import_wh, grid_export_wh, "
    "covered_s, bridged_wh) VALUES (1, :at, 'total', {} :made, :used, :used / 2, :made / 4, :covered, 0)"
)
DAILY = ENERGY.format("energy_daily", "day", "period_s,", "86400,")
QUARTER = ENERGY.format("energy_15min", "starts_at", "utc_offset_s,", "0,")


def days_back(first: int, last: int = 0) -> list[date]:
    return [TODAY - timedelta(days=back) for back in range(first, last - 1, -1)]


@pytest.fixture
def connection(engine: Engine) -> Any:
    """A site of 430 days, each of which made as many kWh as its day of the month."""
    with engine.connect() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', '1', 'UTC')")
        )
        rows: list[dict[str, Any]] = [
            {"at": day, "made": 1000.0 * day.day, "used": 8000.0, "covered": 43_200 if day == TODAY else 86_400}
            for day in days_back(430)
        ]
        rows = [row | {"at": str(row["at"])} for row in rows] if engine.dialect.name == "sqlite" else rows
        connection.execute(text(DAILY), rows)
        connection.execute(
            text(QUARTER),
            [
                {"at": instant(engine, NOW - timedelta(seconds=900 * back)), "made": 100.0 * back, "used": 50.0,
                 "covered": 900}
                for back in (1, 2, 3)
            ],
        )  # fmt: skip
        yield connection


def seen(connection: Connection, now: datetime = NOW) -> Overview:
    return overview(connection, "roof", None, now)


def test_periods_have_the_totals_of_the_reports(connection: Connection) -> None:
    found = seen(connection)
    periods = ((found.today, "today"), (found.yesterday, "yesterday"), (found.this_month, "2026-03"),
               (found.this_year, "2026"))  # fmt: skip
    for energy, since in periods:
        until = since if since == "yesterday" else "today"
        report = energy_report(connection, "daily", now=NOW, since=since, until=until)
        assert energy is not None
        assert energy.until == (TODAY if since != "yesterday" else TODAY - timedelta(days=1))
        for name in ("production_kwh", "consumption_kwh", "grid_import_kwh", "self_sufficiency_pct", "coverage_pct"):
            assert getattr(energy, name) == pytest.approx(report.totals[name], abs=0.001)


def test_a_month_and_a_year_are_compared_with_the_same_days_that_are_over(connection: Connection) -> None:
    connection.execute(text("UPDATE energy_daily SET production_wh = 2 * production_wh WHERE day >= '2026-03-01'"))
    month = seen(connection).this_month
    assert month is not None
    against = month.year_before
    assert against is not None
    # 1 to 9 March made 45 kWh a year before; today still runs.
    assert (against.year, against.production_kwh, against.before_kwh) == (2025, 90.0, 45.0)
    assert (against.change_pct, against.days, against.of_days) == (100.0, 9, 9)


def test_only_days_that_both_years_know_are_compared(connection: Connection) -> None:
    connection.execute(text("DELETE FROM energy_daily WHERE day BETWEEN '2025-03-01' AND '2025-03-04'"))
    connection.execute(text("UPDATE energy_daily SET production_wh = NULL WHERE day = '2026-03-06'"))
    month = seen(connection).this_month
    assert month is not None
    against = month.year_before
    assert against is not None
    assert (against.production_kwh, against.days, against.of_days) == (5 + 7 + 8 + 9, 4, 9)
    connection.execute(text("DELETE FROM energy_daily WHERE day < '2026-01-01'"))
    month = seen(connection).this_month
    assert month is not None
    assert month.year_before is None


def test_the_best_day_is_not_a_suspect_one(connection: Connection) -> None:
    best = seen(connection).best_day
    assert best is not None
    assert best.day == 31
    at = {"at": instant(connection.engine, datetime.combine(best, datetime.min.time(), NOW.tzinfo))}
    event = "INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, 'unseen_source', 'production')"
    connection.execute(text(event), at)
    assert seen(connection).best_day not in {best, None}
    connection.execute(text("UPDATE energy_daily SET production_wh = 12"))
    assert (seen(connection).best_day, seen(connection).best_day_kwh) == (None, None)


def test_the_curve_of_today_has_the_mean_power_of_each_half_hour(connection: Connection) -> None:
    curve = seen(connection).production_curve_w
    assert len(curve) == 48
    # The last three quarters before noon made 300, 200 and 100 Wh.
    assert curve[22:25] == (1200.0, 600.0, None)
    assert curve[:22] == (None,) * 22


def judged(connection: Connection, serial: str, states: Sequence[str | None], **row: object) -> None:
    """Fill in how a panel did on the last days, yesterday last."""
    for day, state in zip(days_back(len(states), 1), states, strict=True):
        values = {"gateway_id": 1, "day": day, "serial": serial, "state": state, "energy_wh": 900.0}
        connection.execute(insert(PANEL_DAILY).values(**values | {"peers_median_wh": 1000.0} | row))


def test_panels_that_are_not_fine_are_named_with_what_that_cost(connection: Connection) -> None:
    connection.execute(insert(PANELS).values(gateway_id=1, serial="c", name="over the door"))
    judged(connection, "a", ("fine",) * 5)
    judged(connection, "b", ("fine", "fine", "removed", "removed", "removed"))
    judged(connection, "c", ("fine", "fine", "weak", "weak", "weak"), relative_pct=90.0, array="east")
    found = seen(connection)
    assert found.panels == 2
    weak, removed = found.panels_not_fine
    assert (weak.serial, weak.name, weak.array, weak.state) == ("c", "over the door", "east", "weak")
    assert weak.since == removed.since == TODAY - timedelta(days=3)
    assert (weak.energy_kwh, weak.peers_median_kwh, weak.lost_kwh, weak.relative_pct) == (4.5, 5.0, 0.3, 90.0)
    assert (removed.state, removed.lost_kwh) == ("removed", None)
    assert weak.advice


def test_what_was_decided_long_ago_and_panels_without_neighbours_are_not_named(connection: Connection) -> None:
    judged(connection, "a", (None, None))
    assert (seen(connection).panels, seen(connection).panels_not_fine) == (1, [])
    judged(connection, "b", ("dead", "dead"))
    assert len(seen(connection).panels_not_fine) == 1
    assert seen(connection, NOW + timedelta(days=40)).panels_not_fine == []


def test_a_site_without_energy_has_none(engine: Engine) -> None:
    with engine.connect() as connection:
        found = seen(connection)
    assert (found.now, found.today, found.best_day, found.panels_not_fine) == (None, None, None, ())


@pytest.mark.parametrize(
    "model", [{"cts": "net"}, {"cts": "total"}, {"cts": "storage"}, {"cts": "none"}, {"generation": "5", "cts": "net"}]
)
def test_the_power_of_a_poll_is_that_of_the_view(bench: Benches, engine: Engine, model: dict[str, Any]) -> None:
    roof = bench(**model)
    poll = roof.poll(roof.gateway())
    assert poll.info is not None
    with engine.begin() as connection:
        settings = roof.settings.gateways[0]
        gateway_id = remember_gateway(connection, poll.info, settings, utc_now())
        save(connection, gateway_id, poll)
        stored = stored_power(connection, "roof")
    assert stored is not None
    own = power_of(poll)
    assert own.measured_at == stored.measured_at
    for name in ("production_w", "consumption_w", "grid_w", "battery_w", "battery_soc_pct"):
        assert getattr(own, name) == pytest.approx(getattr(stored, name)), name


def test_the_curve_of_a_first_day_shows_the_power_of_the_time_that_was_measured(engine: Engine) -> None:
    site = "INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', '1', 'UTC')"
    quarters = [
        {"at": instant(engine, NOW - timedelta(seconds=900 * back)), "made": 0.0, "used": 240 * seconds / 3600,
         "covered": seconds}
        for back, seconds in ((3, 300), (2, 900), (1, 5))
    ]  # fmt: skip
    with engine.connect() as connection:
        connection.execute(text(site))
        connection.execute(text(DAILY), {"at": TODAY if engine.dialect.name != "sqlite" else str(TODAY), "made": 0.0,
                                         "used": 85.0, "covered": 1205})  # fmt: skip
        connection.execute(text(QUARTER), quarters)
        found = seen(connection)
    known = [round(power_w) for power_w in found.consumption_curve_w if power_w is not None]
    assert known == [240, 240]
