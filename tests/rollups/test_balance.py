"""A day whose import and export are not known to a percent is no final one; its figures stay."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from logger.clock import QUARTER_S, day_start_s, local_day, to_epoch_s
from logger.ledger.flows import Interval, Settlement
from logger.ledger.grid import Guess
from logger.reports.energy import energy_report
from logger.reports.quality import quality_report
from logger.rollups import rollup, verify
from logger.rollups.balance import Balance, settle_days
from logger.rollups.site import Site as Zone
from logger.simulator.house import Shape
from logger.simulator.loads import Appliance
from logger.simulator.site import Site
from tests.sample_data import fill, times, utc

ZONE = ZoneInfo("Europe/Amsterdam")
BEGIN_S = day_start_s(local_day(to_epoch_s(utc(2026, 6, 1, 12)), ZONE), ZONE)
HERE = Zone(1, "roof", ZONE, None)
#: each quarter hour of a day: 96 and 9.6 kWh of it
IMPORT_MWH, EXPORT_MWH = 1_000_000, 100_000
DAY_MWH = 96 * EXPORT_MWH


def counted(quarters: range, guesses: list[Guess] | None, settled_s: int) -> Settlement:
    rows = [
        Interval(BEGIN_S + number * QUARTER_S, "total", 0, 0, IMPORT_MWH, EXPORT_MWH, None, None, QUARTER_S, 0)
        for number in quarters
    ]
    phase = [row._replace(phase="L1", grid_export_mwh=99) for row in rows]
    return Settlement([*phase, *rows], [], settled_s, {}, None, lambda _stream, _at_s: 0.0, {}, guesses)


def of_a_day(*guesses: tuple[int, bool], quarters: int = 96) -> list[str]:
    found = [Guess(BEGIN_S + 60 * number, mwh, one_sided) for number, (mwh, one_sided) in enumerate(guesses)]
    end_s = BEGIN_S + quarters * QUARTER_S
    decisions, _ = settle_days(counted(range(quarters), found, end_s), None, HERE, BEGIN_S)
    assert all(decision.at_s == BEGIN_S + 86_399 for decision in decisions)
    return [decision.detail for decision in decisions]


def test_a_day_is_known_up_to_a_percent_of_the_smaller_flow() -> None:
    one_pct_mwh = DAY_MWH // 100
    assert of_a_day((one_pct_mwh, True)) == []
    (detail,) = of_a_day((one_pct_mwh + 1, True))
    assert detail.startswith("import 96.00 kWh and export 9.60 kWh may be off by 0.10 kWh: ")


def test_estimates_that_are_off_now_to_one_side_and_now_to_the_other_add_up_by_squares() -> None:
    each_mwh = DAY_MWH // 1_000
    assert of_a_day(*[(each_mwh, False)] * 100) == []
    assert len(of_a_day(*[(each_mwh, False)] * 101)) == 1
    assert len(of_a_day(*[(each_mwh, False)] * 100, (10, True))) == 1


def test_a_day_that_lasts_is_not_judged_before_it_may_be_final() -> None:
    doubt = (DAY_MWH, True)
    assert of_a_day(doubt, quarters=91) == []
    assert len(of_a_day(doubt, quarters=92)) == 1


def test_less_than_a_watt_hour_is_nothing() -> None:
    little = [Guess(BEGIN_S, 1_000, is_one_sided=True)]
    for mwh, decided in ((1_000, 0), (1_001, 1)):
        settled = counted(range(96), [little[0]._replace(ways_mwh=mwh)], BEGIN_S + 86_400)
        rows = [row._replace(grid_export_mwh=0) for row in settled.intervals]
        settled.intervals[:] = rows
        assert len(settle_days(settled, None, HERE, BEGIN_S)[0]) == decided


@pytest.mark.parametrize("cut", [1, 40, 95, 96, 129])
def test_a_day_is_the_same_wherever_counting_went_on(cut: int) -> None:
    guesses = [Guess(BEGIN_S + 600 * number, 40_000, is_one_sided=number % 5 == 0) for number in range(200)]
    whole = settle_days(counted(range(130), guesses, BEGIN_S + 130 * QUARTER_S), None, HERE, BEGIN_S)
    settled_s = BEGIN_S + cut * QUARTER_S
    first, state = settle_days(counted(range(cut), guesses, settled_s), None, HERE, BEGIN_S)
    rest, end = settle_days(counted(range(cut, 130), guesses, BEGIN_S + 130 * QUARTER_S), state, HERE, settled_s)
    assert len(whole[0]) == 1
    assert {of[:3]: of for of in first + rest} == {of[:3]: of for of in whole[0]}
    assert end == whole[1]
    nothing_new, _ = settle_days(counted(range(0), [], settled_s), state, HERE, settled_s)
    assert nothing_new == [of for of in first if of.at_s >= settled_s]


def test_what_no_meter_balances_is_not_judged() -> None:
    assert settle_days(counted(range(96), None, BEGIN_S), None, HERE, BEGIN_S) == ([], None)
    before = Balance(BEGIN_S, one_sided_mwh=DAY_MWH)
    assert settle_days(counted(range(0), None, BEGIN_S), before, HERE, BEGIN_S) == ([], before)


SINCE = utc(2026, 2, 1)
NOW = SINCE + timedelta(days=1, hours=8)


@pytest.fixture
def winter(engine: Engine) -> Engine:
    """A day of a house with a hob and a heater on two phases, its panels on the third, and hardly an export."""
    shape = Shape(
        phases=3, panels=(0, 0, 1), peak_power_w=6_000.0,
        appliances=(Appliance("hob", 2_000, 1), Appliance("heater", 2_000, 2)),
    )  # fmt: skip
    fill(engine, Site(shape, SINCE - timedelta(days=1)), times(SINCE, NOW, 60), zone="UTC")
    rollup.bring_up_to_date(engine, 1, now=NOW, gap_s=900)
    return engine


def statuses(engine: Engine, kind: Any) -> list[str]:
    with engine.connect() as connection:
        report = energy_report(connection, kind, now=NOW, since="2026-02-01", until="2026-02-01")
    return [row[-1] for row in report.rows]


def test_a_day_of_which_export_is_not_known_is_partial_and_its_hours_are_not(winter: Engine) -> None:
    assert statuses(winter, "daily") == ["partial"]
    assert statuses(winter, "hourly") == ["final"] * 24
    with winter.connect() as connection:
        (*_, status, note), *_ = quality_report(connection, now=NOW, since="2026-02-01", until="2026-02-01").rows
        assert list(verify.findings(connection, 1, now=NOW, gap_s=900, whole=True)) == []
        connection.rollback()
    assert status == "partial"
    assert "import 16.92 kWh and export 4.71 kWh may be off by 0.06 kWh" in note
