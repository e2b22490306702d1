"""What was bridged lies where the sun was, by the site's own mean day of the fortnight before."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.clock import to_epoch_s
from logger.reports.details import detail_report
from logger.rollups import checkpoints, rollup
from logger.rollups.prune import prune
from logger.rollups.verify import findings
from logger.simulator.site import Shape, Site
from logger.store.database import open_engine
from tests.rollups.test_rollups import daily, fill_more, table
from tests.sample_data import fill, fill_inverters, times, utc

SINCE = utc(2026, 3, 20)  # the clock changes there on the 29th
DAYS = 13
TABLES = ("energy_15min", "energy_hourly", "energy_daily", "events")
#: from and to, hours after the beginning
NIGHT, LONG, EARLY = (8 * 24 + 15, 9 * 24 + 9), (11 * 24 + 7, 12 * 24 + 16), (6, 15)
ENERGIES = ("production_wh", "grid_export_wh")


def sampled(gaps: tuple[tuple[int, int], ...]) -> list[datetime]:
    moments = times(SINCE, SINCE + timedelta(days=DAYS), 600)
    holes = [(SINCE + timedelta(hours=a), SINCE + timedelta(hours=b)) for a, b in gaps]
    return [at for at in moments if not any(a < at < b for a, b in holes)]


def live(engine: Engine, site: Site, moments: list[datetime], seed: int = 1) -> None:
    fill(engine, site, moments[:1], zone="Europe/Amsterdam")
    rng, place = random.Random(seed), 1
    while place < len(moments):
        batch = moments[place : place + rng.choice([20, 70, 300])]
        fill_more(engine, site, batch)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
        place += len(batch)


def tables(engine: Engine) -> list[list[dict[str, Any]]]:
    return [table(engine, name) for name in TABLES]


def in_gap(engine: Engine, gap: tuple[int, int], phase: str = "total") -> list[dict[str, Any]]:
    ends = [f"{SINCE + timedelta(hours=hours):%Y-%m-%d %H:%M}" for hours in gap]
    rows = [row for row in table(engine, "energy_15min") if row["phase"] == phase]
    return [row for row in rows if ends[0] <= str(row["starts_at"])[:16] < ends[1]]


def test_a_gap_lies_where_the_sun_was_live_as_rebuilt_and_pruned(sqlite_url: str) -> None:
    engine, site = open_engine(sqlite_url), Site(Shape(phases=2), SINCE - timedelta(days=1))
    moments = sampled((EARLY, NIGHT, LONG))
    live(engine, site, moments)
    found = tables(engine)
    with engine.begin() as connection:
        assert rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None) == []
    assert tables(engine) == found
    for gap in (NIGHT, LONG):
        for phase in ("total", "L1"):
            rows = in_gap(engine, gap, phase)
            dark = [row for row in rows if not 3 <= int(str(row["starts_at"])[11:13]) < 20]
            assert len(dark) > 20
            for name in ENERGIES:
                assert sum(row[name] for row in dark) < 1
                number = int(phase[1:] or 0) if phase != "total" else 0
                ends_s = [to_epoch_s(SINCE + timedelta(hours=hours)) for hours in gap]
                counted = [site.counter_wh(name.removesuffix("_wh"), at_s, number) for at_s in ends_s]
                if name == "production_wh" or phase != "total":
                    assert sum(row[name] for row in rows) == pytest.approx(counted[1] - counted[0], abs=0.01)
            # A first and a last quarter hour are partly measured.
            assert [row["bridged_wh"] for row in rows] == [row["production_wh"] for row in rows]
            used = {round(row["consumption_wh"], 1) for row in rows}
            assert max(used) - min(used) <= 0.11
    whole = {day: site.energy_between_wh("production", at, at + timedelta(days=1)) for day, at in local_days()}
    for day, row in daily(engine).items():
        if day in whole and day > "2026-03-22":
            assert row["production_wh"] == pytest.approx(whole[day], rel=0.5), day
    with engine.begin() as connection:
        prune(connection, 1, now=moments[-1], keep_days=3, gap_s=900)
    with engine.connect() as connection:
        assert list(findings(connection, 1, now=moments[-1], gap_s=900, whole=True)) == []
    assert tables(engine) == found
    engine.dispose()


def local_days() -> list[tuple[str, datetime]]:
    """Each local day and when it begins; all but the one in which the clock changes."""
    days = [(SINCE + timedelta(days=n)).date() for n in range(1, DAYS)]
    begin = {day: utc(day.year, day.month, day.day) - timedelta(hours=1 if day.day <= 29 and day.month == 3 else 2)
             for day in days}  # fmt: skip
    return [(str(day), at) for day, at in begin.items() if (day.month, day.day) != (3, 29)]


def test_without_days_before_it_a_gap_is_evenly_spread(engine: Engine) -> None:
    site = Site(Shape(), SINCE - timedelta(days=1))
    moments = [at for at in sampled((EARLY,)) if at < SINCE + timedelta(days=3)]
    live(engine, site, moments)
    even = {round(row["production_wh"], 1) for row in in_gap(engine, EARLY)}
    assert max(even) - min(even) <= 0.11


@pytest.mark.parametrize("seed", [2, 3])
def test_random_gaps_are_laid_alike_however_they_are_counted(sqlite_url: str, seed: int) -> None:
    engine, site, rng = open_engine(sqlite_url), Site(Shape(), SINCE - timedelta(days=1)), random.Random(seed)
    gaps = [(begin, begin + rng.choice([1, 9, 30, 60])) for begin in rng.sample(range(40, DAYS * 24), 6)]
    moments = sampled(tuple(gaps))
    live(engine, site, moments, seed)
    with engine.begin() as connection:
        # A meter is silent while others are polled.
        silent = "measurement = 'net-consumption' AND polled_at BETWEEN '2026-03-29' AND '2026-03-30 09'"
        connection.execute(text(f"DELETE FROM meter_readings WHERE {silent}"))
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None)
    found = tables(engine)
    with engine.begin() as connection:
        since = (SINCE + timedelta(days=rng.choice([3, 8, 11]))).date()
        assert rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=since) == []
    assert tables(engine) == found
    engine.dispose()


def test_days_of_an_inverter_beside_a_gap_are_shared_by_the_sun_and_not_measured(sqlite_url: str) -> None:
    engine, site, rng = open_engine(sqlite_url), Site(Shape(), SINCE - timedelta(days=1)), random.Random(1)
    moments = times(SINCE, SINCE + timedelta(days=DAYS), 900)
    hole = [SINCE + timedelta(hours=hours) for hours in NIGHT]
    fill(engine, site, moments[:1], zone="Europe/Amsterdam")
    place = 1
    while place < len(moments):
        batch = moments[place : place + rng.choice([20, 70, 300])]
        place += len(batch)
        fill_more(engine, site, batch)
        by_day = [at for at in batch if 5 <= at.hour < 20]
        fill_inverters(engine, site, by_day, {"a": 0.4})
        fill_inverters(engine, site, [at for at in by_day if not hole[0] < at < hole[1]], {"b": 0.4})
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    found = table(engine, "inverter_daily")
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None)
    assert table(engine, "inverter_daily") == found
    days = {serial: {str(r["day"]): r for r in found if r["serial"] == serial} for serial in "ab"}
    beside = ("2026-03-28", "2026-03-29")
    for day, row in days["a"].items():
        other = days["b"][day]
        if day in beside:
            assert other["covered_s"] == 0 < row["covered_s"]
            assert other["energy_wh"] == pytest.approx(row["energy_wh"], rel=0.3)
        else:
            assert other == row | {"serial": "b"}
    sums = [sum(days[serial][day]["energy_wh"] for day in beside) for serial in "ab"]
    assert sums[0] == pytest.approx(sums[1], abs=0.01)
    with engine.connect() as connection:
        report = detail_report(connection, "inverters", now=moments[-1], since="2026-03-20")
    statuses = {str(row[1]): row[-1] for row in report.rows if row[2] == "b"}
    assert {day for day, status in statuses.items() if status == "partial"} == set(beside)
    engine.dispose()


def test_gaps_of_an_older_version_stay_evenly_spread_until_a_whole_rebuild(sqlite_url: str) -> None:
    engine, site = open_engine(sqlite_url), Site(Shape(), SINCE - timedelta(days=1))
    moments = [at for at in sampled((NIGHT,)) if at < SINCE + timedelta(days=11)]
    live(engine, site, moments)
    with engine.begin() as connection:
        columns = "gateway_id, ledger, at, state"
        connection.execute(
            text(f"INSERT INTO rollup_checkpoints ({columns}) VALUES (1, 'evenly', '2026-03-30 00:00:00', '')")
        )
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None)
    even = {round(row["production_wh"], 1) for row in in_gap(engine, NIGHT)}
    assert max(even) - min(even) <= 0.11
    with engine.connect() as connection:
        assert list(findings(connection, 1, now=moments[-1], gap_s=900, whole=True)) == []
    before = table(engine, "energy_daily")
    with engine.begin() as connection:
        checkpoints.forget_after(connection, 1, checkpoints.EVENLY, -1)
        changes = rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None)
    assert {str(change.day) for change in changes} == {"2026-03-28", "2026-03-29"}
    after = table(engine, "energy_daily")
    assert sum(row["production_wh"] for row in after) == pytest.approx(sum(row["production_wh"] for row in before))
    engine.dispose()
