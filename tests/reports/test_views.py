"""The views give what the reports' definitions give."""

import re
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, inspect, text

from logger.reports.columns import ENERGY, FLOWS, Column, Ratio
from logger.reports.energy import energy_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import schema
from logger.store.database import open_engine
from tests.conftest import Opening
from tests.sample_data import fill, fill_batteries, times, utc

VIEWS = schema.migrations_path() / "versions" / "views"
COVERED_ONCE = re.escape("CASE WHEN e.covered_s > e.period_s THEN e.period_s ELSE e.covered_s END")
#: weights of a view: how long a row was measured, and how long it has lasted
SECONDS = {
    "hourly": (COVERED_ONCE, r"e\.period_s"),
    "daily": (COVERED_ONCE, r"e\.period_s"),
    # Each day that is missing up to yesterday counts as well.
    "monthly": (r"e\.covered_s", r"\(e\.period_s \+ \(.*\) \* 86400\)"),
    "yearly": (r"e\.covered_s", r"\(e\.period_s \+ \(.*\) \* 86400\)"),
}
#: These are made of days, of which some may lack an input of a ratio.
LONG = ("monthly", "yearly")
#: energy of days that have both inputs -> how it is added up, of gateways that have a name alone and of others
BOTH = {
    "self_consumption_wh": "SUM({0}.production_wh - {0}.grid_export_wh)",
    "known_production_wh": "SUM(CASE WHEN {0}.grid_export_wh IS NOT NULL THEN {0}.production_wh END)",
    "self_supply_wh": "SUM({0}.consumption_wh - {0}.grid_import_wh)",
    "known_consumption_wh": "SUM(CASE WHEN {0}.grid_import_wh IS NOT NULL THEN {0}.consumption_wh END)",
}


def newest(engine: str, name: str) -> str:
    """Return the text of a view as the last migration that touches it makes it."""
    found = [path for path in VIEWS.rglob(f"{name}.sql") if path.parent.name != "downgrade"]
    last = max(path for path in found if engine in path.parts)
    return " ".join(last.read_text(encoding="utf-8").split())


def total_of(kind: str, name: str) -> str:
    """Return SQL (a pattern) for the total of an energy or weight."""
    if name.endswith("_kwh"):
        return rf"e\.{name.removesuffix('_kwh')}_wh"
    if name == "peak_power_kwp":
        return r"e\.peak_power_kwp"
    covered, length = SECONDS[kind]
    return covered if name == "covered_s" else length


def defined(kind: str, column: Column) -> tuple[str, int]:
    """Return the SQL (a pattern) of a column and its decimals, from its definition."""
    ratio = column.total
    if column.name == "self_consumption_kwh":
        return rf"{own(kind, 'self_consumption', 'production', 'grid_export')} / 1000\.0", 6
    if not isinstance(ratio, Ratio):
        return rf"{total_of(kind, column.name)} / 1000\.0", 6
    if ratio.numerator == ("self_consumption_kwh",):
        above, below = own(kind, "self_consumption", "production", "grid_export"), known(kind, "production")
    elif ratio.divisor == "known_consumption_kwh":
        above, below = own(kind, "self_supply", "consumption", "grid_import"), known(kind, "consumption")
    else:
        (name,) = ratio.numerator
        above, below = total_of(kind, name), total_of(kind, ratio.divisor)
    if ratio.is_share:
        quotient = rf"{ratio.factor} \* {above} / {below}"
        return rf"CASE WHEN {below} <= 0 THEN NULL WHEN {above} <= 0 THEN 0\.0 ELSE {quotient} END", 3
    if ratio.factor == 1:  # kWh over kWp
        return rf"{above} / 1000\.0 / NULLIF\({below}, 0\)", 6
    return rf"{ratio.factor} \* {above} / NULLIF\({below}, 0\)", 3


def own(kind: str, name: str, flow: str, other: str) -> str:
    """Return SQL (a pattern) for a difference: of a month or year over the days that have both."""
    return rf"e\.{name}_wh" if kind in LONG else rf"\(e\.{flow}_wh - e\.{other}_wh\)"


def known(kind: str, flow: str) -> str:
    """Return SQL (a pattern) for what is divided by: of a month or year over the days that have both."""
    return rf"e\.known_{flow}_wh" if kind in LONG else rf"e\.{flow}_wh"


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("kind", SECONDS)
def test_each_expression_of_a_view_is_what_the_definition_gives(engine: str, kind: str) -> None:
    view = newest(engine, f"v_energy_{kind}")
    for column in ENERGY:
        if column.total == "max":
            assert f"e.{column.name}, (CAST(" in view
            continue
        expression, decimals = defined(kind, column)
        scale = rf"{10**decimals}\.0"
        rounded = (
            rf"\(CAST\(ROUND\(ROUND\(CAST\(\({expression}\) \* {scale} AS NUMERIC\), 3\), 0\) "
            rf"AS DOUBLE PRECISION\) / {scale}\) AS {column.name}\b"
        )
        assert len(re.findall(rounded, view)) == 1, column.name
    for name, added in BOTH.items() if kind in LONG else ():
        if engine == "postgresql":
            assert all(f"{added.format(of)} AS {name}" in view for of in ("e", "several")), name
            continue
        assert f"CAST({added.format('several')} AS DOUBLE PRECISION) AS {name}" in view, name
        # Once of gateways that have a name alone, once of one that was replaced.
        places = re.findall(rf"json_extract\(s\.value, '\$\[(\d+)\]'\) AS DOUBLE PRECISION\) AS {name}\b", view)
        alone, replaced = re.findall(r"json_array\(json_array\((.*?)\)\) FROM", view)
        for place, values, of in zip(places, (alone, replaced), ("e", "several"), strict=True):
            sums = re.findall(r"NULLIF\(NULLIF\((.*?), 9e999\), -9e999\)", values)
            assert sums[int(place)] == added.format(of), name


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_phases_have_the_flows_of_the_definition(engine: str) -> None:
    view = newest(engine, "v_phase_daily")
    assert re.findall(r"AS (\w+_kwh)", view) == [column.name for column in FLOWS]


def test_no_migration_uses_the_text_of_another() -> None:
    for path in VIEWS.parent.glob("[0-9]*.py"):
        code = path.read_text(encoding="utf-8").split('"""', 2)[2]
        named = set(re.findall(r"\b0\d{3}\b", code)) - {path.name[:4]}
        assert named <= set(re.findall(r'down_revision = "(\d+)"', code)), path.name
        assert "runpy" not in code


def test_a_month_has_the_totals_of_its_days(engine: Engine) -> None:
    since = utc(2026, 2, 28)
    now = since + timedelta(days=33)
    for number in (1, 2):
        site = Site(Shape(seed=number), since - timedelta(days=1))
        seen = [at for at in times(since, now, 3600) if not (at.day == 9 and at.hour > 3 * number)]
        fill(engine, site, seen, zone="Europe/Amsterdam", gateway_id=number)
        with engine.begin() as connection:
            rollup.rebuild(connection, number, now=now, gap_s=3600, since=None)
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET peak_power_kwp = 3 WHERE gateway_id = 2"))
        # Days that lack an input: their ratios are unknown, and they are in none of the month's.
        for flow, day in (("grid_export", 3), ("grid_import", 4), ("production", 5), ("consumption", 6)):
            unknown = text(f"UPDATE energy_daily SET {flow}_wh = NULL WHERE day = :day")
            connection.execute(
                unknown, {"day": str(date(2026, 3, day)) if engine.dialect.name == "sqlite" else date(2026, 3, day)}
            )
        for name in ("site1", "site2", None):
            chosen: dict[str, Any] = {"now": now, "gateway": name}
            chosen |= {"since": "2026-03", "until": "2026-03"}
            days = energy_report(connection, "daily", **chosen)
            months = energy_report(connection, "monthly", **chosen)
            assert len(days.rows) == 31 * len(months.rows)
            assert months.totals == pytest.approx(days.totals, abs=2e-3)
            if name:
                row = dict(zip(months.names, months.rows[0], strict=True))
                shown = {column.name: row[column.name] for column in ENERGY}
                assert shown == pytest.approx(days.totals, abs=2e-3)


ZONE = "Asia/Kathmandu"
SINCE = utc(2026, 6, 1)
NOW = SINCE + timedelta(days=2)


@pytest.fixture
def with_battery(engine: Engine) -> Engine:
    """Two days of a site with a storage CT and a battery of 2 kWh, five hours and three quarters ahead of UTC."""
    site = Site(Shape(battery=True), SINCE - timedelta(days=1))
    seen = [at for at in times(SINCE, NOW, 900) if not (at.day == 1 and 3 <= at.hour < 5)]
    fill(engine, site, seen, zone=ZONE)
    fill_batteries(engine, site, seen, kwh=2)
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None)
    return engine


def rows(engine: Engine, view: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {view}")).mappings()]


def change(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_gaps_events_and_outages_are_in_local_time(with_battery: Engine) -> None:
    (gap,) = rows(with_battery, "v_gaps WHERE missing_s > 3600")
    assert [str(gap[name]) for name in ("starts_at", "ends_at")] == ["2026-06-01 08:30:00", "2026-06-01 10:45:00"]
    events = {row["kind"]: str(row["at"]) for row in rows(with_battery, "v_events")}
    assert events["outage"] == "2026-06-01 08:30:00"
    (outage,) = rows(with_battery, "v_outages")
    assert [str(outage["starts_at"]), str(outage["ends_at"])] == [events["grid_lost"], events["grid_back"]]
    assert outage["minutes"] == 465.0
    quarters = rows(with_battery, "energy_15min WHERE phase = 'total'")
    assert str(outage["starts_at"]) == "2026-06-01 23:00:00"  # 17:15 UTC, until 01:00
    used_wh = sum(quarter["consumption_wh"] for quarter in quarters[69:100])
    assert outage["consumption_kwh"] == pytest.approx(used_wh / 1000, abs=1e-6)
    assert outage["soc_start_pct"] != outage["soc_end_pct"]
    change(with_battery, "DELETE FROM events WHERE kind = 'grid_back'")
    (outage,) = rows(with_battery, "v_outages")
    assert [outage[name] for name in ("ends_at", "minutes", "consumption_kwh", "soc_end_pct")] == [None] * 4


def test_events_have_their_local_time_from_the_quarter_hour_that_they_lie_in(with_battery: Engine) -> None:
    def told() -> list[list[dict[str, Any]]]:
        return [rows(with_battery, view) for view in ("v_events ORDER BY at, kind, subject", "v_outages")]

    before = told()
    assert [row["kind"] for row in rows(with_battery, "events WHERE utc_offset_s IS NULL")] == []
    change(with_battery, "UPDATE events SET utc_offset_s = NULL WHERE kind <> 'grid_back'")  # Somebody else's.
    assert told() == before
    change(with_battery, "UPDATE gateways SET time_zone = 'Europe/Amsterdam'")
    with with_battery.begin() as connection:
        rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None)
    (outage,) = told()[1]
    assert [str(outage[name]) for name in ("starts_at", "ends_at")] == ["2026-06-01 19:15:00", "2026-06-02 03:00:00"]
    assert {row["utc_offset_s"] for row in rows(with_battery, "events")} == {7200}


def test_a_battery_has_its_days(with_battery: Engine) -> None:
    days = {str(row["day"]): row for row in rows(with_battery, "v_battery_daily")}
    energy = {str(row["day"]): row for row in rows(with_battery, "v_energy_daily")}
    assert days.keys() == energy.keys()
    whole = days["2026-06-02"]
    assert whole["charge_kwh"] == energy["2026-06-02"]["battery_charge_kwh"]
    assert whole["discharge_kwh"] == energy["2026-06-02"]["battery_discharge_kwh"]
    assert whole["cycles"] == pytest.approx(whole["discharge_kwh"] / 2, abs=1e-3)
    assert whole["cycles"] > 1
    assert whole["estimated_pct"] == 0
    # What the battery says of its level makes up for what it took and has not yet given.
    assert whole["efficiency_pct"] == pytest.approx(90, abs=1)
    levels = [row["soc_pct"] for row in rows(with_battery, "storage_samples")]
    assert min(levels) <= whole["min_soc_pct"] < whole["max_soc_pct"] <= max(levels)
    # Where it was silent for hours: against the last that it said before.
    change(
        with_battery,
        "DELETE FROM storage_samples WHERE polled_at BETWEEN '2026-06-01 15:00:00' AND '2026-06-01 20:00:00'",
    )
    said = [(str(row["polled_at"])[:19], row["energy_wh"]) for row in rows(with_battery, "storage_samples")]
    before, last = (
        max(each for each in said if each[0] <= f"{day} 18:15:00")[1] for day in ("2026-06-01", "2026-06-02")
    )
    (_, late, _) = rows(with_battery, "v_battery_daily ORDER BY day")
    efficiency = 100 * (late["discharge_kwh"] + (last - before) / 1000) / late["charge_kwh"]
    assert late["efficiency_pct"] == pytest.approx(efficiency, abs=1e-3) != whole["efficiency_pct"]
    change(with_battery, "UPDATE batteries SET capacity_wh = 40000", "DELETE FROM storage_samples")
    (_, whole, _) = rows(with_battery, "v_battery_daily ORDER BY day")
    assert whole["cycles"] == pytest.approx(whole["discharge_kwh"] / 40, abs=1e-3)
    assert whole["efficiency_pct"] is whole["min_soc_pct"] is None


def test_power_now_is_unknown_where_the_storage_is(with_battery: Engine) -> None:
    (now,) = rows(with_battery, "v_power_now")
    last = "polled_at = (SELECT MAX(polled_at) FROM polls)"
    (storage,) = rows(with_battery, f"meter_readings WHERE measurement = 'storage' AND {last}")
    (total,) = rows(with_battery, f"consumption_samples WHERE measurement = 'total-consumption' AND {last}")
    (level,) = rows(with_battery, f"storage_samples WHERE {last}")
    assert now["consumption_w"] == pytest.approx(total["power_w"] + storage["power_w"])
    assert now["battery_w"] == storage["power_w"]
    assert (now["battery_soc_pct"], now["grid_state"]) == (level["soc_pct"], "on_grid")
    change(
        with_battery,
        "INSERT INTO meters (gateway_id, eid, measurement, state) VALUES (1, 3, 'storage', 'enabled')",
        f"DELETE FROM meter_readings WHERE measurement = 'storage' AND {last}",
    )
    (lost,) = rows(with_battery, "v_power_now")
    assert lost["consumption_w"] is lost["battery_w"] is None
    assert lost["production_w"] == now["production_w"]
    # Without a storage CT the gateway's own consumption has the battery in it, as far as it is known.
    change(with_battery, "DELETE FROM meters", f"UPDATE storage_samples SET power_w = -700 WHERE {last}")
    (estimated,) = rows(with_battery, "v_power_now")
    assert (estimated["consumption_w"], estimated["battery_w"]) == (total["power_w"], -700)
    change(with_battery, f"UPDATE storage_samples SET power_w = NULL WHERE {last}")
    assert rows(with_battery, "v_power_now")[0]["battery_w"] is None


#: tables that grow with each poll or report
RAW = ("polls", "production_samples", "consumption_samples", "meter_readings", "inverter_samples", "battery_samples",
       "storage_samples")  # fmt: skip
#: view -> what it must not look through from end to end, besides these
GROWING = {"v_gaps": ("energy_15min",)}


def is_of_gaps(index: str) -> bool:
    return index.startswith("ix_energy_15min_gaps")


def scans(connection: Connection, view: str) -> list[str]:
    """Return which tables are looked through from end to end for a view, without the help of an index of its own."""
    if connection.dialect.name == "sqlite":
        sql = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": view}).scalar_one()
        tables = {alias: table for table, alias in re.findall(r"(?:FROM|JOIN)\s+(\w+)\s+(\w+)", sql)}
        plan = [row[3].split() for row in connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM {view}"))]
        steps = [step for step in plan if step[0] == "SCAN" and not any(map(is_of_gaps, step))]
        return [tables.get(step[1], step[1]) for step in steps]
    connection.execute(text("SET enable_seqscan = off"))
    (plan,) = connection.execute(text(f"EXPLAIN (FORMAT JSON) SELECT * FROM {view}")).scalars()
    found, left = [], [plan[0]["Plan"]]
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        is_own = is_of_gaps(node.get("Index Name", ""))
        if "Relation Name" in node and "Index Cond" not in node and not is_own:
            found.append(node["Relation Name"])
    return found


def test_no_view_reads_more_than_it_shows(engine: Engine) -> None:
    with engine.connect() as connection:
        for view in inspect(engine).get_view_names():
            whole = scans(connection, view)
            long = (*RAW, *GROWING.get(view, ()))
            assert [name for name in whole if name.startswith(long)] == [], view


#: view and key -> what of its rows is asked for, of years of them
SPANS = {
    ("v_energy_15min", "quarter_starts_at"): ">= '2026-03-29' AND quarter_starts_at < '2026-03-30'",
    ("v_energy_15min", "local_quarter"): ">= '2026-03-29' AND local_quarter < '2026-03-30'",
    ("v_energy_hourly", "hour_starts_at"): ">= '2026-03-29' AND hour_starts_at < '2026-03-30'",
    ("v_energy_hourly", "local_hour"): ">= '2026-03-29' AND local_hour < '2026-03-30'",
    ("v_energy_daily", "day"): ">= '2026-03-29'",
    ("v_energy_monthly", "month"): "= '2026-03'",
    ("v_energy_yearly", "year"): ">= 2026",
    ("v_phase_daily", "day"): "= '2026-03-29'",
    ("v_inverter_daily", "day"): ">= '2026-03-29'",
    ("v_panels", "day"): "BETWEEN '2026-03-01' AND '2026-03-29'",
    ("v_battery_daily", "day"): ">= '2026-03-29'",
    ("v_gaps", "starts_at"): ">= '2026-03-29'",
    ("v_events", "at"): ">= '2026-03-29' AND at < '2026-03-30'",
    ("v_outages", "starts_at"): "BETWEEN '2026-03-01' AND '2026-03-29'",
}
SOUGHT = re.compile(r"SEARCH [eipftv] USING [A-Z ]+( ix_\w+)? \((gateway_id=\? AND )?(starts_at|day|<expr>)[=>]")
NEWEST = re.compile(r"SCAN [efiptv] USING [A-Z ]+ ix_\w+_(day|month|year|local|lost|starts_at)$")


def plan_of(connection: Connection, query: str) -> list[str]:
    return [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]


def test_a_span_of_a_view_is_sought_by_an_index(sqlite_url: str, opening: Opening) -> None:
    with opening(sqlite_url).connect() as connection:
        for (view, key), asked in SPANS.items():
            for chosen in ("", "gateway = 'roof' AND "):
                plan = plan_of(connection, f"SELECT * FROM {view} WHERE {chosen}{key} {asked}")
                assert any(map(SOUGHT.match, plan)), (view, key, plan)


def test_the_newest_rows_of_a_view_are_found_without_the_others(sqlite_url: str, opening: Opening) -> None:
    with opening(sqlite_url).connect() as connection:
        for view, key in SPANS:
            plan = plan_of(connection, f"SELECT * FROM {view} ORDER BY {key} DESC LIMIT 7")
            assert any(map(NEWEST.match, plan)), (view, key, plan)


def test_the_newest_rows_of_a_named_gateway_are_found_without_the_others(sqlite_url: str, opening: Opening) -> None:
    named = (
        ("v_energy_15min", "local_quarter", "local"),
        ("v_energy_hourly", "local_hour", "local"),
        ("v_energy_monthly", "month", "month"),
        ("v_energy_yearly", "year", "year"),
    )
    with opening(sqlite_url).connect() as connection:
        for view, key, of in named:
            query = f"SELECT * FROM {view} WHERE gateway = 'roof' ORDER BY {key} DESC LIMIT 7"
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN {query}")).all()
            newest = re.compile(rf"SEARCH [et] USING (COVERING )?INDEX ix_energy_\w+_gateway_{of} \(gateway_id=\?\)$")
            found = {parent for _, parent, _, line in plan if newest.match(line)}
            # Of a gateway alone; and where it was replaced, of each of two: in their order, which nobody sorts.
            assert len(found) == 3, (view, plan)
            assert {parent for _, parent, _, line in plan if "ORDER BY" in line}.isdisjoint(found), (view, plan)


def test_a_server_finds_the_newest_rows_of_a_view_without_sorting(postgresql_url: str, opening: Opening) -> None:
    with opening(postgresql_url).connect() as connection:
        connection.execute(text("SET enable_sort = off"))
        for view, key in SPANS:
            for chosen in ("", "WHERE gateway = 'roof' "):
                query = f"SELECT * FROM {view} {chosen}ORDER BY {key} DESC LIMIT 7"
                plan = connection.execute(text(f"EXPLAIN (COSTS off) {query}")).scalars().all()
                if view not in {"v_events", "v_outages"}:
                    assert [line for line in plan if "Sort Key: " in line and ".name" not in line] == [], (view, key)


def test_a_server_finds_the_newest_events_and_outages_without_the_others(postgresql_url: str, opening: Opening) -> None:
    many = "SELECT 1, TIMESTAMPTZ '2026-01-01 00:00+00' + n * INTERVAL '1 hour'"
    with opening(postgresql_url).connect() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial, name) VALUES (1, 's', 'roof')"))
        for kind in ("outage", "grid_lost"):
            row = f"{many}, '{kind}', 'site', NULL, 0 FROM generate_series(1, 2000) AS n"
            connection.execute(text(f"INSERT INTO events (gateway_id, at, kind, subject, detail, utc_offset_s) {row}"))
        connection.execute(text("ANALYZE events"))
        for view, key, index in (("v_events", "at", "local"), ("v_outages", "starts_at", "lost")):
            for chosen in ("", "WHERE gateway = 'roof' "):
                query = f"SELECT * FROM {view} {chosen}ORDER BY {key} DESC LIMIT 7"
                plan = connection.execute(text(f"EXPLAIN (COSTS off) {query}")).scalars().all()
                # Merged with those whose offset is not known yet.
                assert any(f"Index Scan Backward using ix_events_{index}" in line for line in plan), plan


def test_a_server_looks_for_the_level_of_a_battery_in_the_months_around_an_instant(
    postgresql_url: str, opening: Opening
) -> None:
    looks = ("battery_level(1::smallint, {})", "battery_levels(1::smallint, {} - INTERVAL '1 day', {})")
    locked = """
        SELECT COUNT(DISTINCT relation) FROM pg_locks JOIN pg_inherits ON inhrelid = relation
        WHERE pid = pg_backend_pid() AND inhparent = 'storage_samples'::regclass
    """
    at = "(date_trunc('month', now()) + n * INTERVAL '1 day' + INTERVAL '12 hours')"
    row = f"1, {at}, 'encharge', 50, 5000 FROM generate_series(0, 9) AS n"
    with opening(postgresql_url).begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial, name) VALUES (1, 's', 'roof')"))
        connection.execute(
            text(f"INSERT INTO storage_samples (gateway_id, polled_at, kind, soc_pct, energy_wh) SELECT {row}")
        )
    for look in looks:
        with opening(postgresql_url).connect() as connection:
            # Often enough for a plan for any instant to be made.
            query = f"SELECT {look.replace('{}', at)} FROM generate_series(2, 9) AS n"
            assert None not in connection.execute(text(query)).scalars().all()
            assert connection.execute(text(locked)).scalar_one() == 1, look


def test_a_server_finds_the_last_day_of_a_period_by_the_day_after_each(postgresql_url: str, opening: Opening) -> None:
    days = "SELECT 1, DATE '2024-01-01' + n, 'total' FROM generate_series(0, 999) AS n"
    with opening(postgresql_url).connect() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial, name) VALUES (1, 's', 'roof')"))
        connection.execute(text(f"INSERT INTO energy_daily (gateway_id, day, phase) {days}"))
        connection.execute(text("ANALYZE energy_daily"))
        for view in ("v_energy_monthly WHERE month = '2026-03'", "v_energy_yearly WHERE year = 2026"):
            plan = connection.execute(text(f"EXPLAIN (COSTS off) SELECT * FROM {view}")).scalars().all()
            assert [line for line in plan if "Index Cond" in line and "(day <= (t.day + 1))" in line] != [], plan


def test_a_server_seeks_the_days_of_batteries_by_their_gateways(postgresql_url: str, opening: Opening) -> None:
    with opening(postgresql_url).connect() as connection:
        query = "SELECT * FROM v_battery_daily WHERE day = '2026-03-29'"
        plan = connection.execute(text(f"EXPLAIN (COSTS off) {query}")).scalars().all()
    assert [line for line in plan if re.search(r"Index Cond: .*\(gateway_id = o\w*\.gateway_id\)", line)] != [], plan
    assert [line for line in plan if "= ANY" in line] == [], plan


def test_a_server_looks_for_the_gap_before_each_alone(postgresql_url: str, opening: Opening) -> None:
    with opening(postgresql_url).connect() as connection:
        plan = connection.execute(text("EXPLAIN SELECT * FROM v_gaps ORDER BY starts_at DESC LIMIT 7")).scalars().all()
    assert [line for line in plan if "hashed SubPlan" in line] == []


def test_a_server_plans_a_look_at_an_instant_without_all_months(postgresql_url: str, opening: Opening) -> None:
    with opening(postgresql_url).connect() as connection:
        for view in ("v_power_now", "v_battery_daily"):
            plan = connection.execute(text(f"EXPLAIN SELECT * FROM {view}")).scalars().all()
            assert [line for line in plan if "_samples" in line] == [], view


def test_since_when_a_panel_is_as_it_is_takes_a_seek_for_each_state(sqlite_url: str, opening: Opening) -> None:
    with opening(sqlite_url).connect() as connection:
        for state in ("= 'weak'", "IS NULL"):
            where = f"gateway_id = 1 AND serial = 's' AND state {state} AND day <= '2026-03-29'"
            plan = plan_of(connection, f"SELECT MAX(day) FROM panel_daily WHERE {where}")
            assert "ix_panel_daily_state (gateway_id=? AND serial=? AND state=? AND day<?)" in plan[0]


def test_gateways_of_one_name_are_shown_as_one(with_battery: Engine) -> None:
    """As where a gateway was replaced within a day."""
    site = Site(Shape(seed=2, phases=3, battery=True), SINCE - timedelta(days=1))
    fill(with_battery, site, times(SINCE + timedelta(hours=30), NOW, 900), zone=ZONE, gateway_id=2)
    with with_battery.begin() as connection:
        rollup.rebuild(connection, 2, now=NOW, gap_s=900, since=None)
    views = {
        view: key
        for view, key in SPANS
        if view not in {"v_panels", "v_gaps", "v_inverter_daily", "v_events", "v_outages"}
    }
    apart = {view: rows(with_battery, view) for view in views}
    change(with_battery, "UPDATE gateways SET name = 'roof', peak_power_kwp = 5")
    for view, key in views.items():
        keys = [name for name in (key, "phase") if name in apart[view][0]]
        both = {tuple(row[name] for name in keys): row for row in rows(with_battery, view)}
        assert both.keys() == {tuple(row[name] for name in keys) for row in apart[view]}
        for at, row in both.items():
            own = [each for each in apart[view] if tuple(each[name] for name in keys) == at]
            for name in (name for name in row if name.endswith("_kwh")):
                known = [each[name] for each in own if each[name] is not None]
                assert row[name] == (pytest.approx(sum(known), abs=2e-6) if known else None), (view, at, name)
            assert row.get("gateway") == "roof"
            if "peak_production_w" in row:
                peaks = [each["peak_production_w"] for each in own if each["peak_production_w"] is not None]
                assert row["peak_production_w"] == max(peaks, default=None)
                assert row["coverage_pct"] <= 100


def test_a_name_has_the_sums_of_its_gateways_however_many_share_it(engine: Engine) -> None:
    names = ("a", "b", "a", "b", "c", "c", "c", "d", None, None)
    sums: dict[str, dict[tuple[str | None, str], float]] = {"15min": {}, "hourly": {}, "daily": {}, "monthly": {}}
    statements = []
    for number, name in enumerate(names):
        shown = f"'{name}'" if name else "NULL"
        statements.append(f"INSERT INTO gateways (gateway_id, serial, name) VALUES ({number}, '{number}', {shown})")
        # Later gateways begin a day later, so that some days are of one of them alone.
        for day in range(28 + number % 3, 32 + number % 3):
            at = str(date(2026, 1, 1) + timedelta(days=day))
            shown_at = {"15min": f"{at} 03:00:00", "hourly": f"{at} 03:00:00", "daily": at, "monthly": at[:7]}
            for kind, key in shown_at.items():
                sums[kind][name, key] = sums[kind].get((name, key), 0) + 2**number
                if kind == "monthly":
                    continue
                column, start = ("day", f"'{at}'") if kind == "daily" else ("starts_at, utc_offset_s", f"'{key}+00', 0")
                start = start.replace("+00", "") if engine.dialect.name == "sqlite" else start
                values = f"VALUES ({number}, 'total', {2**number * 1000}, {start})"
                statements.append(f"INSERT INTO energy_{kind} (gateway_id, phase, production_wh, {column}) {values}")
    change(engine, *statements)
    keys = {"15min": "local_quarter", "hourly": "local_hour", "daily": "day", "monthly": "month"}
    for kind, key in keys.items():
        found = {(row["gateway"], str(row[key])): row["production_kwh"] for row in rows(engine, f"v_energy_{kind}")}
        assert found == sums[kind]
    years = {row["gateway"]: row["production_kwh"] for row in rows(engine, "v_energy_yearly")}
    assert years == {name: sum(kwh for (of, _), kwh in sums["daily"].items() if of == name) for name in names}


def test_who_imports_all_that_is_used_is_at_zero(with_battery: Engine) -> None:
    """At night inverters draw a little, which is imported and not used."""
    total = "WHERE phase = 'total'"
    for table in ("energy_15min", "energy_hourly", "energy_daily"):
        change(with_battery, f"UPDATE {table} SET grid_import_wh = consumption_wh + 3 {total}")
    views = ("v_energy_15min", "v_energy_hourly", "v_energy_daily", "v_energy_monthly", "v_energy_yearly")
    for view in views:
        assert {row["self_sufficiency_pct"] for row in rows(with_battery, view)} <= {0, None}, view
    with with_battery.connect() as connection:
        report = energy_report(connection, "daily", now=NOW)
    assert report.totals["self_sufficiency_pct"] == 0
    change(with_battery, "UPDATE energy_daily SET consumption_wh = -1, grid_import_wh = 0")  # Nonsense says nothing.
    for view in views[2:]:
        assert {row["self_sufficiency_pct"] for row in rows(with_battery, view)} == {None}, view


def test_power_now_is_the_newest_whenever_a_gateway_was_last_seen(with_battery: Engine) -> None:
    now = rows(with_battery, "v_power_now")
    for seen_at in ("NULL", "'2026-05-01 00:00:00'", "'2030-01-01 00:00:00'"):
        change(with_battery, f"UPDATE gateways SET last_seen_at = {seen_at}")
        assert rows(with_battery, "v_power_now") == now


def test_what_is_not_finite_is_unknown_in_a_month(sqlite_url: str, opening: Opening) -> None:
    columns = "gateway_id, day, phase, production_wh, consumption_wh"
    row = f"INSERT INTO energy_daily ({columns}) VALUES (1, ?, 'total', ?, 5000)"
    with opening(sqlite_url).connect() as connection:
        connection.exec_driver_sql("INSERT INTO gateways (gateway_id, serial) VALUES (1, 's')")
        for day, produced_wh in (("2026-03-01", float("inf")), ("2026-04-01", 1000.0)):
            connection.exec_driver_sql(row, (day, produced_wh))
        months = connection.exec_driver_sql(
            "SELECT production_kwh, consumption_kwh FROM v_energy_monthly ORDER BY month"
        )
        assert months.all() == [(None, 5.0), (1.0, 5.0)]


def test_power_now_seeks_the_newest_poll(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with engine.connect() as connection:
        plan = [row[3] for row in connection.execute(text("EXPLAIN QUERY PLAN SELECT * FROM v_power_now"))]
    engine.dispose()
    looks = [step.removesuffix(" LEFT-JOIN") for step in plan if "phase_samples" in step]
    seek = "SEARCH phase_samples USING PRIMARY KEY (gateway_id=?{})"
    assert looks == [
        seek.format(" AND polled_at=? AND measurement=?"), seek.format(""), *[seek.format(" AND polled_at=?")] * 3,
    ]  # fmt: skip


def test_hours_that_are_still_to_come_are_in_no_report(with_battery: Engine) -> None:
    now = SINCE + timedelta(hours=30, minutes=10)
    for statement in (
        "DELETE FROM energy_hourly WHERE starts_at > '{}'",
        "DELETE FROM energy_15min WHERE starts_at > '{}'",
    ):
        change(with_battery, statement.format(f"{now:%Y-%m-%d %H:%M}"))
    with with_battery.connect() as connection:
        for kind in ("hourly", "quarter-hourly"):
            report = energy_report(connection, kind, now=now, since="today", until="today")
            last = report.rows[-1]
            assert str(last[2]) == ("2026-06-02 11:00:00" if kind == "hourly" else "2026-06-02 11:45:00")
            assert last[-1] == "provisional"
            assert str(report.rows[0][2]) == "2026-06-02 00:00:00"
