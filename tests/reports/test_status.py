"""How sure a period is: by what was covered, and by what was counted."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.errors import NoDataError
from logger.reports.energy import energy_report
from logger.reports.quality import quality_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.conftest import Moulds
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 5, 30)
NOW = SINCE + timedelta(days=5)
RESET = utc(2026, 5, 31, 11, 7)


def five_days(engine: Engine) -> None:
    """Five days at two minutes; the meter's counters start anew once."""
    site = Site(Shape(), SINCE - timedelta(days=1))
    fill(engine, site, times(SINCE, NOW, 120), zone="UTC")
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET peak_power_kwp = 5"))
        for table, column in (("production_samples", "energy_lifetime_wh"), ("meter_readings", "delivered_wh")):
            connection.execute(
                text(f"UPDATE {table} SET {column} = {column} - 5000000 WHERE polled_at > :at"),
                {"at": instant(engine, RESET)},
            )
        rollup.rebuild(connection, 1, now=NOW, gap_s=240, since=None)


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    return moulds.filled(engine, five_days)


def states(engine: Engine, kind: Any, key: str, since: str) -> dict[Any, str]:
    with engine.connect() as connection:
        result = energy_report(connection, kind, now=NOW, since=since)
    return dict(zip(result.column(key), result.column("status"), strict=True))


def test_a_day_and_an_hour_with_a_reset_are_partial(filled: Engine) -> None:
    days = states(filled, "daily", "day", "2026-05-30")
    assert [day.day for day, status in days.items() if status == "partial"] == [31]
    hours = states(filled, "hourly", "local_hour", "2026-05-31")
    assert [at.hour for at, status in hours.items() if status == "partial" and at.day == 31] == [11]
    with filled.connect() as connection:
        quality = quality_report(connection, now=NOW, since="2026-05-30")
    assert quality.column("status")[:3] == ["final", "partial", "final"]


def test_a_wrap_that_is_put_back_leaves_its_day_final(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(text("UPDATE events SET kind = 'counter_wrap'"))
    assert set(states(filled, "daily", "day", "2026-05-30").values()) == {"final"}


def test_a_month_of_which_only_the_first_or_the_last_days_are_known_is_partial(filled: Engine) -> None:
    with filled.connect() as connection:
        result = energy_report(connection, "monthly", now=utc(2026, 7, 1), since="2026-05")
        year = energy_report(connection, "yearly", now=utc(2027, 1, 1))
    assert result.column("month") == ["2026-05", "2026-06"]
    assert result.column("status") == ["partial", "partial"]
    assert result.column("coverage_pct") == [
        pytest.approx(100 * 2 / 31, abs=0.01),
        pytest.approx(100 * 3 / 29, abs=0.4),
    ]
    assert year.column("coverage_pct")[0] < 3


def test_a_range_that_begins_after_the_last_day_has_no_period(filled: Engine) -> None:
    with filled.connect() as connection, pytest.raises(NoDataError, match="2026-05-30 to"):
        energy_report(connection, "monthly", now=NOW, since="2026-06-20")
