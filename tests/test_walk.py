"""From the simulated gateway to the file in the owner's hands: the numbers are the site's own."""

import csv
import io
import json
from datetime import timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import Engine

from logger import docs, exports
from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.collector.wiring import pollers
from logger.reports.energy import VIEWS, energy_report
from logger.reports.periods import Kind
from logger.simulator.site import Shape
from logger.store.schema import upgrade
from logger.store.spool import Spool
from tests.conftest import Bench, Benches, Opening
from tests.sample_data import utc
from tests.tracing import following

ZONE = "Europe/Amsterdam"
WALK = docs.page("development").partition("## The way of one sample")[2].partition("\n## ")[0]


def walk(roof: Bench, engine: Engine, days: int, every_s: int = 900) -> None:
    poller = pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]
    for number in range(days * 86_400 // every_s + 1):
        poller.poll(roof.clock(), inverters=True)
        if number % 4 == 0:
            assert poller.keeper.store()
        roof.clock.set(roof.clock() + timedelta(seconds=every_s))
    assert poller.keeper.store_all()


def records(engine: Engine, roof: Bench, kind: Any = "daily") -> list[dict[str, Any]]:
    with engine.connect() as connection:
        report = energy_report(connection, kind, now=roof.clock())
    rows: list[dict[str, Any]] = json.loads(exports.EXPORTERS["json"](report))
    return rows


def true_kwh(roof: Bench, flow: str, day: str) -> float:
    tz = time_zone(ZONE)
    from datetime import date  # noqa: PLC0415 - only here

    start, end = (from_epoch_s(f(date.fromisoformat(day), tz)) for f in (day_start_s, day_end_s))
    start = max(start, roof.simulation.start)
    return roof.simulation.site.energy_between_wh(flow, start, end) / 1000


@pytest.mark.parametrize("cts", ["net", "total", "storage"])
def test_days_are_what_the_site_made_and_used(bench: Benches, engine: Engine, database_url: str, cts: str) -> None:
    # Midnight in Amsterdam, of the day with 23 hours.
    roof = bench(database_url=database_url, cts=cts, time_zone=ZONE, start=utc(2026, 3, 28, 23),
                shape=Shape(phases=2, battery=cts == "storage"), poll_every_s=900)  # fmt: skip
    walk(roof, engine, days=1)
    flows = ["production", "consumption", "grid_import", "grid_export"]
    flows += ["battery_charge", "battery_discharge"] if cts == "storage" else []
    # Of four readings an hour, what two phases give each other is not known to a percent.
    status = "final" if cts == "total" else "partial"
    whole = [row for row in records(engine, roof) if row["coverage_pct"] == 100]
    assert [(row["day"], row["status"]) for row in whole] == [("2026-03-29", status)]
    for row in whole:
        for flow in flows:
            true = true_kwh(roof, flow, row["day"])
            # Import and export of a total-consumption CT are integrals of power, those of a net CT are balanced: of
            # four readings an hour.
            rough = {"total": 0.25}.get(cts, 0.02) if flow.startswith("grid") else 0.001
            assert row[f"{flow}_kwh"] == pytest.approx(true, rel=rough, abs=0.002), flow


@pytest.mark.parametrize(("generation", "firmware"), [("7", ""), ("8", "8.3.5528"), ("5", "")])
def test_sites_without_cts_count_through_wraps_and_zeros(
    bench: Benches, opening: Opening, generation: str, firmware: str
) -> None:
    roof = bench(cts="none", generation=generation, firmware=firmware, time_zone=ZONE,
                start=utc(2026, 6, 14, 22), poll_every_s=900)  # fmt: skip
    roof.simulation.fault("wrap", since_s=12 * 3600)
    if generation == "5":
        roof.settings = roof.settings.__class__(
            database_url=roof.settings.database_url, state_dir=roof.settings.state_dir,
            poll_every_s=900, gateways=(roof.gateway(token_file=None).settings,),
        )  # fmt: skip
    engine = opening(roof.settings.database_url)
    upgrade(engine)
    walk(roof, engine, days=1)
    row = records(engine, roof)[0]
    # What inverters report is a percent off the CT and up to a report late.
    true = true_kwh(roof, "production", "2026-06-15") * 1.008
    assert row["production_kwh"] == pytest.approx(true, rel=0.003)
    assert row["consumption_kwh"] is None


def test_csv_json_and_the_views_have_the_same_figures(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = bench(database_url=database_url, cts="net", time_zone=ZONE, start=utc(2026, 6, 1, 22),
                poll_every_s=900)  # fmt: skip
    walk(roof, engine, days=1)
    for kind in get_args(Kind):
        with engine.connect() as connection:
            report = energy_report(connection, kind, now=roof.clock())
            name = VIEWS.get(kind, f"v_energy_{kind}")
            view = connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 2").mappings().all()
        rows = list(csv.DictReader(io.StringIO(exports.EXPORTERS["csv"](report).decode())))
        records = json.loads(exports.EXPORTERS["json"](report))
        assert len(rows) == len(records)
        for record, line in zip(records, view, strict=True):
            assert record["production_kwh"] == line["production_kwh"]
            assert record["self_sufficiency_pct"] == line["self_sufficiency_pct"]
        for record, cells in zip(records, rows, strict=True):
            text = cells["production_kwh"]
            assert (float(text) if text else None) == record["production_kwh"]


def test_a_month_with_a_hole_shows_the_missing_days(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = bench(database_url=database_url, cts="net", time_zone=ZONE, start=utc(2026, 6, 1, 22),
                poll_every_s=900)  # fmt: skip
    walk(roof, engine, days=1)
    roof.clock.set(roof.clock() + timedelta(days=3))
    walk(roof, engine, days=1)
    rows = records(engine, roof)
    assert [row["day"] for row in rows] == [f"2026-06-0{n}" for n in range(2, 8)]
    states = {row["day"]: row["status"] for row in rows}
    assert states["2026-06-02"] == "final"
    assert states["2026-06-04"] == "partial"
    assert states["2026-06-07"] == "provisional"
    bridged = [row["bridged_kwh"] for row in rows if row["day"] == "2026-06-04"]
    assert bridged[0] > 0


def test_the_walk_names_each_file_that_gives_a_sample_a_new_form(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    start, end = utc(2026, 6, 15, 10), utc(2026, 6, 15, 10, 15)
    roof = bench(database_url=database_url, cts="production", time_zone=ZONE, start=start,
                 poll_every_s=900)  # fmt: skip
    poller = pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]
    poller.keeper.queue = Spool(roof.directory, "roof")
    poller.poll(start, inverters=False)
    assert poller.keeper.store_all()
    roof.clock.set(end)
    numbers = roof.simulation.numbers(end)
    register_wh = numbers.registers_wh("production")[0]
    energy_wh = register_wh - roof.simulation.numbers(start).registers_wh("production")[0]
    units = {
        "register Wh": register_wh,
        "register mWh": 1000 * register_wh,
        "Wh": energy_wh,
        "mWh": 1000 * energy_wh,
        "kWh": energy_wh / 1000,
    }
    # /production.json repeats what /ivp/meters/readings has.
    with following(engine, units, skip={"whLifetime", "whLastSevenDays"}) as trace:
        poller.poll(end, inverters=False)
        assert poller.keeper.store_all()
        with engine.connect() as connection:
            report = energy_report(connection, "daily", now=end)
        text = exports.EXPORTERS["csv"](report).decode()
    assert f"{energy_wh / 1000:.6f}" in text
    named = [row.split("`")[1] for row in WALK.splitlines() if row.startswith("| ") and "`" in row]
    assert named == trace.files, str(trace)
    assert len(named) == len(set(named)) <= 14
