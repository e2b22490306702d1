"""Two weeks of three sites with everything that goes wrong, a clock change inside."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.rollups import rollup
from logger.settings import normal_gap_s
from logger.simulator.faults import KINDS, OF_BATTERIES, Fault
from logger.simulator.site import INVERTERS_OVER_CT, Shape
from logger.store.schema import upgrade
from tests.conftest import Bench, Benches
from tests.sample_data import utc

ZONE = "Europe/Amsterdam"
START = utc(2026, 3, 21, 23)  # midnight there; the clock changes on the 29th
DAYS = 13
HOUR_S = 3600.0


class Planned(NamedTuple):
    """A fault, when it begins and how long it lasts, and the event that reports it."""

    day: int
    hour: float
    fault: str
    lasts_h: float
    event: str


@dataclass(frozen=True)
class Case:
    """A site and its faults; ``flows`` are checked, production as ``times_made`` the CT's."""

    model: dict[str, Any]
    shape: Shape
    plan: tuple[Planned, ...]
    flows: tuple[str, ...] = ("production", "consumption")
    times_made: float = 1.0
    final_days: int = 12


METERED = Case(
    {"cts": "net", "generation": "7"},
    Shape(inverters=3),
    (
        Planned(1, 9, "outage", 1.2, "outage"),
        Planned(1, 14, "unauthorized", 1.1, "outage"),
        Planned(2, 9, "server_error", 1.1, "outage"),
        Planned(2, 14, "cut", 1.1, "outage"),
        Planned(3, 9, "html", 1.1, "outage"),
        Planned(3, 14, "inactive", 1.1, "inactive_meter"),
        Planned(4, 9, "dip", 0.4, "counter_dip"),
        Planned(4, 14, "spike", 0.4, "counter_dip"),
        Planned(5, 2, "reset", 0, "counter_reset"),
        Planned(5, 11, "frozen", 1.1, "frozen_readings"),
        Planned(6, 9, "clock_skew", 3, "clock_skew"),
        Planned(7, 9, "lost_inverter", 3, "inverter_removed"),
        Planned(7, 14, "duplicate", 2, "duplicate_inverters"),
        Planned(8, 9, "null", 2, "unusable_values"),
        Planned(9, 0, "outage", 10, "outage"),
        Planned(9, 15, "slow=0.7", 0.3, "slow_answers"),
        Planned(10, 9, "drip", 0.6, "outage"),
        Planned(10, 12, "copy_net", 3, "copied_total"),
        Planned(10, 22, "late_today", 8, "today_not_reset"),
        Planned(11, 9, "firmware=8.3.5528", 0, "firmware_change"),
        Planned(11, 11, "meter_off", 3, "meter_disabled"),
        Planned(12, 23, "new_serial", 0, "gateway_replaced"),
    ),
    final_days=4,
)
STANDARD = Case(
    {"cts": "none", "generation": "7"},
    Shape(inverters=3),
    (
        Planned(3, 11.1, "wrap", 0, "counter_wrap"),
        Planned(5, 9, "outage", 2, "outage"),
        Planned(8, 11, "duplicate", 2, "duplicate_inverters"),
    ),
    flows=("production",),
    times_made=INVERTERS_OVER_CT,
    final_days=9,
)
BATTERY = Case(
    {"cts": "storage", "generation": "8", "phase_mode": "split"},
    Shape(inverters=2, phases=2, battery=True),
    (
        Planned(2, 11, "lost_channel", 2, "lost_channel"),
        Planned(5, 9, "outage", 2, "outage"),
        Planned(7, 11, "frozen", 1.1, "frozen_readings"),
    ),
    final_days=8,
)


def test_the_sites_together_have_every_fault() -> None:
    """Those of batteries happen to the houses of the soak; one refused page and a weak panel in tests of their own."""
    planned = {planned.fault.split("=")[0] for case in (METERED, STANDARD, BATTERY) for planned in case.plan}
    assert planned == set(KINDS) - OF_BATTERIES - {"refused", "weak_inverter"}


def collect(roof: Bench, engine: Engine, case: Case, step: timedelta) -> Poller:
    poller = pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]
    end = START + timedelta(days=DAYS)
    usual_s = poller.gateway.budget_s
    hurried = [
        (begin, begin + timedelta(hours=planned.lasts_h))
        for planned in case.plan
        if planned.fault.startswith(("slow", "drip"))
        for begin in [START + timedelta(days=planned.day, hours=planned.hour)]
    ]
    broken = [
        START + timedelta(days=planned.day, hours=planned.hour) for planned in case.plan if planned.fault == "reset"
    ]
    number = 0
    while roof.clock() <= end:
        now = roof.clock()
        # Slow answers take real time: let these polls have little of it.
        slow = any(begin <= now < until for begin, until in hurried)
        poller.gateway.budget_s = 2.0 if slow else usual_s
        poller.poll(now, inverters=number % 2 == 0)
        if number % 8 == 0:  # As with a long commit_every_s.
            assert poller.keeper.store()
        number += 1
        # Around a reset polls come each minute: what was counted between two polls is lost.
        near = any(abs((now - at).total_seconds()) < 1800 for at in broken)
        roof.clock.set(now + (timedelta(minutes=1) if near else step))
    assert poller.keeper.store_all()
    return poller


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "step"),
    [
        pytest.param(METERED, timedelta(minutes=15), id="metered"),
        pytest.param(STANDARD, timedelta(minutes=30), id="standard"),
        pytest.param(BATTERY, timedelta(minutes=30), id="battery"),
    ],
)
def test_final_days_are_true_without_phantoms_and_every_fault_is_an_event(
    bench: Benches, tmp_path: Any, case: Case, step: timedelta
) -> None:
    every_s = int(step.total_seconds())
    roof = bench(**case.model, time_zone=ZONE, start=START, poll_every_s=every_s, shape=case.shape)
    for planned in case.plan:
        kind, _, argument = planned.fault.partition("=")
        since_s = planned.day * 86_400.0 + planned.hour * HOUR_S
        until_s = since_s + planned.lasts_h * HOUR_S
        roof.simulation.faults.append(Fault(kind, since_s, until_s, argument))
    engine = roof.engine(f"sqlite:///{tmp_path}/site.db")
    upgrade(engine)
    collect(roof, engine, case, step)
    check_days(roof, engine, case)
    check_events(engine, case)
    gap_s = normal_gap_s(roof.settings.poll_every_s)
    with engine.begin() as connection:
        changes = rollup.rebuild(connection, 1, now=roof.clock(), gap_s=gap_s, since=None)
    assert changes == []


def check_days(roof: Bench, engine: Engine, case: Case) -> None:
    site, zone = roof.simulation.site, time_zone(ZONE)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM energy_daily WHERE phase = 'total' ORDER BY day")).mappings()
        days = {date.fromisoformat(row["day"]): dict(row) for row in rows}
    times = {"production": case.times_made, "consumption": 1.0}
    final = 0
    for number in range(DAYS - 1):
        day = local_day(to_epoch_s(START), zone) + timedelta(days=number)
        row = days[day]
        bounds = [from_epoch_s(f(day, zone)) for f in (day_start_s, day_end_s)]
        is_final = row["covered_s"] / row["period_s"] >= 0.95
        for flow in case.flows:
            true = site.energy_between_wh(flow, bounds[0], bounds[1]) * times[flow]
            found = row[f"{flow}_wh"]
            assert 0 <= found < 2 * true + 500, (day, flow, found, true)
            if is_final:
                assert found == pytest.approx(true, rel=0.001), (day, flow)
        final += is_final
    assert final >= case.final_days
    # Nothing is lost but what lay between the two polls around a reset.
    until = START + timedelta(days=DAYS - 1)
    whole = site.energy_between_wh("production", START, until) * case.times_made
    production_wh = sum(row["production_wh"] for day, row in sorted(days.items())[: DAYS - 1])
    assert production_wh == pytest.approx(whole, rel=1e-3)


def check_events(engine: Engine, case: Case) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT at, kind FROM events")).all()
    events = [(datetime.fromisoformat(f"{at}+00:00"), kind) for at, kind in rows]
    for planned in case.plan:
        begin = START + timedelta(days=planned.day, hours=planned.hour)
        end = begin + timedelta(hours=planned.lasts_h + 2)
        kinds = {kind for at, kind in events if begin - timedelta(minutes=31) <= at <= end}
        assert planned.event in kinds, (planned, kinds, events)
