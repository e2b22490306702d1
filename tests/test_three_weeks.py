"""Three weeks of a site with everything that goes wrong, a clock change inside."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.collector.assemble import pollers
from logger.collector.poller import Poller
from logger.rollups import build, inverters
from logger.simulator.faults import Fault
from logger.simulator.site import Shape
from logger.store.database import open_engine
from logger.store.maintenance import upgrade
from tests.conftest import Bench, Benches
from tests.filled import utc

ZONE = "Europe/Amsterdam"
START = utc(2026, 3, 15, 23)  # midnight there; the clock changes on the 29th
DAYS = 21
HOUR = 3600.0
#: day of the run, hour, fault, how long, and the event that tells of it
PLAN = [
    (1, 11, "outage", 1.2 * HOUR, "outage"),
    (2, 11, "unauthorized", 1.1 * HOUR, "outage"),
    (3, 11, "server_error", 1.1 * HOUR, "outage"),
    (4, 11, "cut", 1.1 * HOUR, "outage"),
    (5, 11, "html", 1.1 * HOUR, "outage"),
    (6, 11, "inactive", 1.1 * HOUR, "outage"),
    (7, 11, "dip", 0.4 * HOUR, "counter_dip"),
    (8, 11, "spike", 0.4 * HOUR, "counter_dip"),
    (9, 11, "frozen", 1.1 * HOUR, "outage"),
    (10, 2, "reset", 0.0, "counter_reset"),
    (11, 9, "clock_skew", 3 * HOUR, "clock_skew"),
    (12, 9, "lost_inverter", 3 * HOUR, "inverter_removed"),
    (12, 9, "duplicate", 3 * HOUR, "inverter_removed"),
    (13, 9, "null", 2 * HOUR, None),
    (14, 0, "outage", 10 * HOUR, "outage"),
    (16, 10, "copy_net", 3 * HOUR, None),
    (17, 22, "late_today", 8 * HOUR, None),
    (18, 13, "firmware", 0.0, "firmware_change"),
]  # fmt: skip


def collect(one: Bench, engine: Engine) -> Poller:
    poller = pollers(one.settings, engine, one.environ, clock=one.clock)[0]
    end = START + timedelta(days=DAYS)
    reset = START + timedelta(days=10, hours=2)
    number = 0
    while one.clock() <= end:
        poller.poll(one.clock(), inverters=number % 2 == 0)
        number += 1
        # Around the reset polls come each minute: what was counted between two polls is lost.
        near = abs((one.clock() - reset).total_seconds()) < 1800
        one.clock.set(one.clock() + timedelta(minutes=1 if near else 15))
    assert poller.finish()
    return poller


def test_final_days_are_true_no_day_has_a_phantom_and_every_fault_is_told(
    bench: Benches, tmp_path: Any
) -> None:
    one = bench(cts="net", generation="7", time_zone=ZONE, start=START, poll_every_s=900,
                shape=Shape(inverters=3))  # fmt: skip
    for day, hour, kind, lasts_s, _ in PLAN:
        since_s = day * 86_400.0 + hour * HOUR
        argument = "8.3.5528" if kind == "firmware" else ""
        one.simulation.faults.add(Fault(kind, since_s, since_s + lasts_s, argument))
    engine = open_engine(f"sqlite:///{tmp_path}/weeks.db")
    upgrade(engine)
    collect(one, engine)
    check_days(one, engine)
    check_events(engine)
    with engine.begin() as connection:
        inverters.rebuild(connection, 1, now=one.clock(), since=None)
        changes = build.rebuild(connection, 1, now=one.clock(), gap_s=1800, since=None)
    assert changes == []


def check_days(one: Bench, engine: Engine) -> None:
    site, zone = one.simulation.site, time_zone(ZONE)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT * FROM energy_daily WHERE phase = 'total' ORDER BY day")
        ).mappings()
        days = {date.fromisoformat(row["day"]): dict(row) for row in rows}
    final = 0
    for number in range(DAYS):
        day = local_day(to_epoch_s(START), zone) + timedelta(days=number)
        row = days[day]
        bounds = [from_epoch_s(f(day, zone)) for f in (day_start_s, day_end_s)]
        covered = row["covered_s"] / row["period_s"]
        for flow in ("production", "consumption"):
            true = site.energy_between_wh(flow, bounds[0], bounds[1])
            found = row[f"{flow}_wh"]
            assert 0 <= found < 2 * true + 500, (day, flow, found, true)
            if covered >= 0.95 and row["bridged_wh"] < 1:
                assert found == pytest.approx(true, rel=0.001), (day, flow)
        final += covered >= 0.95
    assert final >= 12
    # Nothing is lost but what lay between the two polls around the reset.
    whole = site.energy_between_wh("production", START, START + timedelta(days=DAYS))
    assert sum(row["production_wh"] for row in days.values()) == pytest.approx(whole, rel=1e-4)


def check_events(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT at, kind FROM events")).all()
    told = [(datetime.fromisoformat(f"{at}+00:00"), kind) for at, kind in rows]
    for day, hour, kind, lasts_s, event in PLAN:
        begin = START + timedelta(days=day, hours=hour) - timedelta(minutes=20)
        end = begin + timedelta(seconds=lasts_s) + timedelta(hours=2)
        kinds = {one for at, one in told if begin <= at <= end}
        assert event is None or event in kinds, (day, kind, kinds, told)
