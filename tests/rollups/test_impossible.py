"""What a site cannot do is an event of its day, live as rebuilt; what it can is none."""

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from logger.clock import QUARTER_S, from_epoch_s
from logger.readings import Outcome
from logger.reports.energy import energy_report
from logger.reports.quality import quality_report
from logger.rollups import rollup, verify
from logger.rollups.impossible import Day, Quarter, Unit, findings
from logger.settings import Settings
from logger.simulator.site import Shape, Site
from logger.status import GatewayStatus, health
from logger.store.database import open_engine
from tests.rollups.test_rollups import fill_more
from tests.sample_data import STATEMENTS, fill, fill_inverters, instant, times, utc

SINCE = utc(2026, 6, 1)
NOW = SINCE + timedelta(days=3)
HOURS = 96
#: (production, load, battery: + discharge) of a quarter hour -> what is counted of it
Counted = Callable[[float, float], dict[str, float | None]]


def sun_wh(quarter: int, peak_wh: float = 750.0) -> float:
    return max(0.0, peak_wh * math.sin((quarter / 4 - 6) / 12 * math.pi))


def a_day(counted: Counted, load_wh: float = 125.0, units: tuple[Unit, ...] = (), quarters: int = HOURS) -> Day:
    empty: dict[str, float | None] = dict.fromkeys(Quarter._fields) | {"covered_s": QUARTER_S}
    rows = [
        Quarter(**empty | {"starts_s": number * QUARTER_S} | counted(sun_wh(number), load_wh))  # type: ignore[arg-type]
        for number in range(quarters)
    ]
    return Day(rows, (), units, HOURS * QUARTER_S, has_stalls=False)


def grid(produced: float, net: float) -> dict[str, float | None]:
    return {
        "production_wh": produced,
        "grid_import_wh": max(0.0, net),
        "grid_export_wh": max(0.0, -net),
        "consumption_wh": max(0.0, produced + net),
    }


def kinds(day: Day) -> list[tuple[str, str]]:
    return [(found.kind, found.subject) for found in findings(day)]


flows = st.floats(0, 20_000)


@given(st.lists(st.tuples(flows, flows, st.floats(-5_000, 5_000)), min_size=1, max_size=96), st.floats(0.98, 1.02))
def test_a_day_that_balances_is_possible_whatever_its_sizes(given_wh: list[Any], off: float) -> None:
    def counted(number: int) -> Quarter:
        produced, load, battery = given_wh[number]
        # Neither the battery nor the sun is sold on: the house takes at least what its CTs may be off.
        load = max(load, 0.05 * produced + abs(battery))
        row = grid(produced, off * (load - produced - battery)) | {"consumption_wh": load}
        row |= {"battery_discharge_wh": max(0.0, battery), "battery_charge_wh": max(0.0, -battery)}
        return Quarter(starts_s=number * QUARTER_S, battery_estimated_wh=0.0, covered_s=QUARTER_S, **row)

    quarters = [counted(number) for number in range(len(given_wh))]
    assert [kind for kind, _ in kinds(Day(quarters, (), (), HOURS * QUARTER_S, has_stalls=False))] == []


@given(st.floats(0.5, 5), st.floats(0, 400))
def test_a_source_that_this_gateway_does_not_measure_is_seen(share: float, load_wh: float) -> None:
    day = a_day(lambda made, load: grid(made, load - made - share * made), load_wh)
    excess_wh = sum(max(0.0, share * sun_wh(n) - load_wh) for n in range(HOURS))
    expected = [("unseen_source", "day's export")] if excess_wh > 1_000 else []
    assert kinds(day)[: len(expected)] == expected


def test_a_grid_clamp_that_is_the_wrong_way_round_is_told_from_another_source() -> None:
    assert kinds(a_day(lambda made, load: grid(made, made - load))) == [("clamp_reversed", "day's export")]


def test_a_storage_clamp_that_is_the_wrong_way_round_makes_less_than_nothing() -> None:
    def counted(made: float, load: float) -> dict[str, float | None]:
        return grid(made, 0) | {
            "battery_charge_wh": max(0.0, load - made),
            "battery_discharge_wh": max(0.0, made - load),
        }

    assert kinds(a_day(counted)) == [("ct_disagrees", "day's consumption")]


def test_a_self_consumption_below_nothing_is_reported_once_the_day_is_over() -> None:
    def counted(made: float, load: float) -> dict[str, float | None]:
        given_wh = 400.0 if made == 0 else 0.0
        return grid(made / 10, load - made / 10 - given_wh) | {"battery_discharge_wh": given_wh}

    assert kinds(a_day(counted)) == [("ct_disagrees", "day's self-consumption")]
    assert kinds(a_day(counted, quarters=30)) == []


def test_a_house_takes_something_in_a_day() -> None:
    idle = a_day(lambda made, _: grid(made, 0.0))
    assert kinds(idle) == [("clamp_missing", "day's grid")]
    assert kinds(a_day(lambda made, _: grid(made, -made))) == [("clamp_missing", "day's consumption")]
    assert kinds(a_day(lambda made, _: grid(made, 0.0), quarters=80)) == []
    assert kinds(a_day(lambda made, _: grid(made, 0.0) | {"battery_charge_wh": 0.0})) == []
    assert kinds(idle._replace(quarters=[q._replace(consumption_wh=None) for q in idle.quarters])) == []


@pytest.mark.parametrize(
    ("counted", "reported_wh", "expected"),
    [
        (0.0, 18_000.0, ("clamp_missing", "day's production")),
        (0.5, 18_000.0, ("ct_disagrees", "day's production")),
        (1.46, 18_000.0, ("ct_disagrees", "day's production")),
        (1.46, 0.0, ("ct_disagrees", "day's production")),
        (1.02, 18_000.0, None),
        (0.98, 18_000.0, None),
        (0.0, 0.0, None),
    ],
)
def test_production_is_compared_with_the_inverters(
    counted: float, reported_wh: float, expected: tuple[str, str] | None
) -> None:
    true_wh = sum(sun_wh(n) for n in range(HOURS))
    units = tuple(Unit(share * reported_wh / 18_000 * true_wh, 12 * 3600) for share in (0.4, 0.6))
    day = a_day(lambda made, load: grid(counted * made, load - counted * made), units=units)
    assert kinds(day) == ([expected] if expected else [])
    # Not before all of them had time to report, and not by those that are silent for half of the day.
    assert kinds(day._replace(quarters=day.quarters[:80])) == []
    if counted:
        silent = tuple(unit._replace(covered_s=3 * 3600) for unit in units)
        assert kinds(day._replace(units=silent)) == []
    # Where the morning after was not measured, what they made by then begins at dusk.
    unmeasured = [quarter._replace(covered_s=0) for quarter in day.quarters[:48]]
    assert kinds(day._replace(around=unmeasured)) == []


def test_what_was_not_wholly_measured_is_not_judged() -> None:
    day = a_day(lambda made, load: grid(made, load - 3 * made))
    for change in ({"covered_s": 899}, {"grid_export_wh": None}, {"production_wh": None}):
        assert kinds(day._replace(quarters=[quarter._replace(**change) for quarter in day.quarters])) == []


def test_a_counter_that_stands_still_and_catches_up_makes_no_day_impossible() -> None:
    day = a_day(lambda made, load: grid(made, load - made))
    flat_wh = sum(quarter.production_wh or 0 for quarter in day.quarters[44:56])
    late = [
        quarter._replace(production_wh=flat_wh if number == 55 else 0.0) if 44 <= number < 56 else quarter
        for number, quarter in enumerate(day.quarters)
    ]
    assert kinds(day._replace(quarters=late, has_stalls=True)) == []


# -- in the database
def unseen(engine: Engine, days: int = 3, *, load_only: bool = False) -> None:
    """A second inverter, as large as the first, behind the grid CT; or a load CT that sits at the grid."""
    shown = "total-consumption" if load_only else "net-consumption"
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in STATEMENTS}
    rows["gateways"] = [{"gateway_id": 1, "name": "roof", "serial": "1", "time_zone": "UTC", "phases": 1, "peak": 5.0}]
    made_wh, taken_wh, given_wh = 5e6, 1e6, 1e6
    for number, at in enumerate(times(SINCE, SINCE + timedelta(days=days), 900)):
        made_w = 4 * sun_wh(number % HOURS)
        net_w = 500.0 - made_w if load_only else 500.0 - 2 * made_w
        made_wh, taken_wh, given_wh = made_wh + made_w / 4, taken_wh + max(0, net_w) / 4, given_wh + max(0, -net_w) / 4
        key = {"gateway_id": 1, "at": instant(engine, at), "phase": "total"}
        rows["polls"].append(key)
        rows["production_samples"].append({**key, "power_w": made_w, "energy_wh": made_wh, "source": "ct"})
        for measurement, power_w, out, back in (("production", made_w, made_wh, 0), (shown, net_w, taken_wh, given_wh)):
            reading = {"measurement": measurement, "power_w": power_w, "delivered_wh": out, "received_wh": back}
            rows["meter_readings"].append({**key, **reading})
        sample = {"measurement": "net-consumption", "power_w": net_w - made_w, "energy_wh": None, "source": "derived"}
        rows["consumption_samples"].append({**key, **sample})
    with engine.begin() as connection:
        for name, statement in STATEMENTS.items():
            connection.execute(text(statement), rows[name])


def days_events(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM events WHERE subject LIKE 'day''s %' ORDER BY at, kind"))
        return [tuple(row) for row in found]


def rebuild(engine: Engine) -> None:
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None)


@pytest.mark.parametrize("load_only", [False, True])
def test_a_day_that_cannot_be_is_suspect_in_every_report(engine: Engine, load_only: bool) -> None:
    unseen(engine, load_only=load_only)
    rebuild(engine)
    with engine.connect() as connection:
        chosen: dict[str, Any] = {"now": NOW + timedelta(days=40), "since": "2026-06-01", "until": "2026-06-02"}
        for kind, count in (("daily", 2), ("hourly", 48), ("monthly", 1), ("yearly", 1)):
            report = energy_report(connection, kind, **chosen)  # type: ignore[arg-type]
            running = "provisional" if kind == "yearly" else "suspect"
            assert report.column("status") == [running] * count
            assert None not in report.column("production_kwh")
        quality = quality_report(connection, **chosen)
        assert quality.column("status") == ["suspect"] * 2
        assert all("unseen_source" in notes and "look for" in notes for notes in quality.column("notes"))
        today = energy_report(connection, "daily", now=SINCE + timedelta(hours=60), since="2026-06-03")
        assert today.column("status") == ["provisional"]


def test_suspect_days_are_the_same_live_as_rebuilt_and_follow_from_the_samples(engine: Engine) -> None:
    site = Site(Shape(), SINCE - timedelta(days=1))
    moments = times(SINCE, NOW, 900)
    fill(engine, site, moments[:1], zone="UTC")
    for first, after in ((1, 50), (50, 140), (140, 150), (150, 289)):
        fill_more(engine, site, moments[first:after])
        fill_inverters(engine, site, moments[first:after:2], {"a": 0.9, "b": 0.9})
        rollup.bring_up_to_date(engine, 1, now=moments[after - 1], gap_s=900)
    live = days_events(engine)
    assert [event[2:4] for event in live] == [("ct_disagrees", "day's production")] * 3
    with engine.connect() as connection:
        assert list(verify.findings(connection, 1, now=NOW, gap_s=900, whole=True)) == []
    rebuild(engine)
    assert days_events(engine) == live
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM events WHERE subject LIKE 'day''s %'"))
    with engine.connect() as connection:
        (finding,) = verify.findings(connection, 1, now=NOW, gap_s=900, whole=True)
    assert "events: 1 days (2026-06-01" in finding  # The last days were judged again by what came in.
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM inverter_samples WHERE serial = 'b'"))
    rebuild(engine)
    assert days_events(engine) == []


def test_days_of_a_database_from_before_are_judged_at_the_next_rollup(engine: Engine) -> None:
    unseen(engine)
    rebuild(engine)
    judged = days_events(engine)
    assert len(judged) == 3
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM events"))
        connection.execute(
            text("INSERT INTO rollup_checkpoints (gateway_id, ledger, at, state) VALUES (1, 'unjudged', :at, '{}')"),
            {"at": instant(engine, from_epoch_s(0))},
        )
    with engine.connect() as connection:
        assert list(verify.findings(connection, 1, now=NOW, gap_s=900, whole=True)) == []
    rollup.bring_up_to_date(engine, 1, now=NOW, gap_s=900)
    assert days_events(engine) == judged


@pytest.mark.parametrize("shape", [Shape(), Shape(phases=3), Shape(phases=2, battery=True)])
def test_a_clean_site_has_no_suspect_day(sqlite_url: str, shape: Shape) -> None:
    since = utc(2026, 3, 20)
    site = Site(shape, since - timedelta(days=1))
    moments = times(since, since + timedelta(days=4), 900)
    engine = open_engine(sqlite_url)
    fill(engine, site, moments, zone="Europe/Amsterdam")
    fill_inverters(engine, site, moments, {"a": 0.3, "b": 0.72})
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=900, since=None)
    assert days_events(engine) == []
    engine.dispose()


def test_a_monitor_is_warned_of_a_suspect_day() -> None:
    gateway = GatewayStatus(
        gateway="roof", serial="1", firmware="8", last_poll_at=NOW, last_outcome=Outcome.COMPLETE, last_error=None,
        last_good_age_s=3, today_production_kwh=1.0, today_consumption_kwh=1.0, battery_soc_pct=None, grid_state=None,
        token_days_left=None, token_left_s=None, token_renews=False, token_is_short=False,
        suspect="unseen_source: look there", spool_bytes=0, waiting_since_s=None,
    )  # fmt: skip
    found = health([gateway], Settings(database_url="", state_dir=Path()))
    assert (found.level, found.line) == (1, "WARNING roof: unseen_source: look there")
