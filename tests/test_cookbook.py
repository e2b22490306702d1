"""The cookbook's SQL answers its questions, on both engines."""

import io
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from logger import cookbook, docs
from logger.cli import run
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import database
from tests.sample_data import fill, fill_inverters, times, utc

SINCE = utc(2026, 5, 20)
NOW = SINCE + timedelta(days=20)
QUERIES = cookbook.questions()


@pytest.fixture
def tables(engine: Engine) -> tuple[Engine, dict[str, pd.DataFrame]]:
    """Twenty days of three phases, a battery and three inverters, the last of which is weak."""
    site = Site(Shape(phases=3, battery=True), SINCE - timedelta(days=1))
    seen = [at for at in times(SINCE, NOW, 900) if not (at.day == 28 and 8 <= at.hour < 14)]
    fill(engine, site, seen, zone="UTC")
    fill_inverters(engine, site, seen, {"a": 0.4, "b": 0.4, "c": 0.2})
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None)
    names = ("hourly", "daily", "monthly")
    with engine.connect() as connection:
        frames = {name: frame_of(connection, name) for name in names}
    frames["hourly"]["hour"] = frames["hourly"]["local_hour"].astype(str).str[11:13]
    return engine, frames


def frame_of(connection: Connection, name: str) -> pd.DataFrame:
    rows = connection.execute(text(f"SELECT * FROM v_energy_{name} ORDER BY 1, 2")).mappings()
    return pd.DataFrame([dict(row) for row in rows])


def one_column(rows: list[Any], index: int) -> list[Any]:
    return [row[index] for row in rows]


def cost(hours: pd.DataFrame) -> float:
    rates = hours["hour"].between("07", "22").map({True: 0.32, False: 0.24})
    return float((hours["grid_import_kwh"] * rates).sum())


Check = Callable[[list[Any], dict[str, pd.DataFrame]], bool]
CHECKS: dict[str, Check] = {
    "The best day": lambda rows, f: rows[0][2] == f["daily"]["production_kwh"].max(),
    "Self-sufficiency by month": lambda rows, f: (
        one_column(rows, 2) == list(f["monthly"].sort_values("month")["self_sufficiency_pct"])
    ),
    "Base load at night": lambda rows, f: (
        rows[0][1]
        == pytest.approx(1000 * f["hourly"][f["hourly"]["hour"].isin(["02", "03", "04"])]["consumption_kwh"].mean())
    ),
    "Panels weaker": lambda rows, f: (
        [(row[1], row[2], round(row[3])) for row in rows] == [("2026-06", "c", 50), ("2026-05", "c", 50)] and len(f) > 0
    ),
    "What the import costs": lambda rows, f: rows[0][1] == pytest.approx(cost(f["hourly"])),
    "Hours of export": lambda rows, f: sum(one_column(rows, 2)) == int((f["hourly"]["grid_export_kwh"] > 1).sum()),
    "Gaps since": lambda rows, f: len(rows) == 1 and rows[0][3] >= 6 * 3600 and len(f) > 0,
    "This month against": lambda rows, f: one_column(rows, 3) == [None, None] and len(rows) == len(f["monthly"]),
    # The simulated loads of the three phases stand as 1.5 to 0.9 to 0.6.
    "Phase imbalance": lambda rows, _: all(2.0 < ratio < 3.0 for ratio in one_column(rows[:-1], 2)),
    "Days that were not": lambda rows, _: "2026-05-28" in map(str, one_column(rows, 1)),
    "The ten hours": lambda rows, f: one_column(rows, 2) == sorted(f["hourly"]["grid_import_kwh"], reverse=True)[:10],
    "The mean day": lambda rows, f: (
        one_column(rows, 2) == pytest.approx(list(f["hourly"].groupby("hour")["production_kwh"].mean()))
    ),
    "Production of the year": lambda rows, f: rows[-1][2] == pytest.approx(f["daily"]["production_kwh"].sum()),
    "Days that needed": lambda rows, f: rows[0][1] == int((f["daily"]["grid_import_kwh"] < 5).sum()),
    "What the battery gives": lambda rows, f: (
        one_column(rows, 2)
        == pytest.approx(list(100 * f["monthly"]["battery_discharge_kwh"] / f["monthly"]["battery_charge_kwh"]))
    ),
    "What the ledger decided": lambda rows, _: (
        [kind for kind in one_column(rows, 2) if kind != "balance_estimated"] == ["weak_panel", "outage"]
    ),
}


def test_every_question_has_a_check_and_there_are_fifteen_and_more() -> None:
    assert len(QUERIES) == len(CHECKS) >= 15


def test_every_query_of_the_cookbook_gives_the_right_answer(tables: tuple[Engine, dict[str, pd.DataFrame]]) -> None:
    engine, frames = tables
    with engine.connect() as connection:
        for start, check in CHECKS.items():
            (query,) = (sql for title, sql in QUERIES.items() if title.startswith(start))
            rows = [tuple(row) for row in connection.execute(text(query))]
            assert check(rows, frames), (start, rows[:5])


def test_the_documentation_names_every_view_and_no_other(engine: Engine) -> None:
    with engine.connect() as connection:
        views = set(inspect(connection).get_view_names()) - set(cookbook.PUBLIC)
    pages = "\n".join(docs.page(topic) for topic in docs.topics())
    assert set(re.findall(r"`(v_\w+)`", docs.page("database"))) == views
    assert set(re.findall(r"\bv_[a-z_0-9]+\b", pages)) <= views


def test_datasette_hears_of_columns_questions_and_pictures(tables: tuple[Engine, dict[str, pd.DataFrame]]) -> None:
    engine, frames = tables
    with engine.connect() as connection:
        metadata = cookbook.datasette_metadata(connection, "envoylog")["databases"]["envoylog"]
        for view in inspect(connection).get_view_names():
            columns = {column["name"] for column in inspect(connection).get_columns(view)}
            assert columns == set(metadata["tables"][view]["columns"]), view
        for name in inspect(connection).get_table_names():
            assert metadata["tables"][name].get("hidden", False) == (name not in cookbook.PUBLIC), name
        assert next(iter(metadata["tables"])) == "v_power_now"
        assert metadata["description_html"].index("v_energy_daily") < metadata["description_html"].index("v_panels")
    assert len(metadata["queries"]) == len(QUERIES)
    assert all("\n" not in query["title"] for query in metadata["queries"].values())
    with engine.connect() as connection:
        found = cookbook.datasette_metadata(connection, "house")["plugins"]["datasette-dashboards"]["energy"]
        assert {name for row in found["layout"] for name in row} == set(found["charts"])
        for chart in found["charts"].values():
            rows = connection.execute(text(chart["query"])).mappings().all()
            fields = {own["field"] for own in chart["display"]["encoding"].values()}
            assert fields == set(rows[0])
            assert len(rows) <= 1000
        days = connection.execute(text(found["charts"]["chart1"]["query"])).all()
    assert sum(row.kwh for row in days) == pytest.approx(frames["daily"]["production_kwh"].sum())


def test_a_reader_reads_and_writes_nothing(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = "reader_" + uuid.uuid4().hex[:8]
    monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:  # as a server may be set up
            connection.execute(text("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC"))
    code = run(["--database-url", database_url, "sql", "create-reader", role])
    if engine.dialect.name == "sqlite":
        assert code == 6
        return
    assert code == 0
    url = make_url(database_url).set(username=role, password="hush")
    reader = database.open_engine(url.render_as_string(hide_password=False))
    with reader.connect() as connection:
        for view in inspect(connection).get_view_names():
            assert connection.execute(text(f"SELECT * FROM {view}")).all() == []
        with pytest.raises(DBAPIError):
            connection.execute(text("DELETE FROM gateways"))
    reader.dispose()
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
