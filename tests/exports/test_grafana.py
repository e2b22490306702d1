"""Dashboards: each query runs on both engines, and shows what the reports say."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from logger.cli import run
from logger.exports.grafana import document
from logger.exports.grafana_dashboards import DASHBOARDS, Panel, queries
from logger.reports.energy import energy_report
from logger.store.grafana import SOURCES
from tests.exports.test_page import NAME, NOW, fill
from tests.sample_data import instant, utc

FIRST, LAST = date(2026, 5, 25), date(2026, 7, 2)
SINCE = utc(2026, 6, 1)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A site with days, panels and events, whose name has quotes, and its newest polls."""
    fill(engine, FIRST, LAST)
    polled = [utc(2026, 7, 2, 9, minute) for minute in range(50, 60)]
    with engine.begin() as connection:
        for at in polled:
            key = {"at": instant(engine, at), "outcome": "failed" if at.minute == 55 else "complete"}
            connection.execute(text("INSERT INTO polls VALUES (1, :at, 0.1, :outcome, NULL)"), key)
            connection.execute(
                text("INSERT INTO production_samples VALUES (1, :at, 'total', 1234.5, 1, 0, 'ct')"),
                {"at": instant(engine, at)},
            )
            for measurement, watts in (("net-consumption", -200.0), ("total-consumption", 1034.5)):
                values = {"at": instant(engine, at), "measurement": measurement, "watts": watts}
                row = "INSERT INTO consumption_samples VALUES (1, :at, :measurement, 'total', :watts, 1, 0, 'ct')"
                connection.execute(text(row), values)
    return engine


def asked(connection: Connection, panel: Panel, gateways: tuple[str, ...] = (NAME,)) -> list[Any]:
    """What a panel's query answers, with what Grafana fills in."""
    sql = SOURCES[connection.dialect.name].query(queries()[panel.query])
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in gateways)
    for variable, value in (
        ("${gateway:sqlstring}", names),
        ("$__from", str(int(SINCE.timestamp() * 1000))),
        ("$__to", str(int(NOW.timestamp() * 1000))),
    ):
        sql = sql.replace(variable, value)
    assert "$" not in sql
    assert "@" not in sql
    return list(connection.exec_driver_sql(sql).mappings())


def test_each_query_runs_and_has_what_its_panel_shows(filled: Engine) -> None:
    with filled.connect() as connection:
        for panel in (panel for board in DASHBOARDS for panel in board.panels):
            rows = asked(connection, panel)
            assert rows or panel.query == "quality: gaps", panel.title
            assert asked(connection, panel, ("nobody",)) == [], panel.title
            if panel.is_series:
                assert set(rows[0]) == {"time", "metric", "value"}
                assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
                # SQLite's plugin wants seconds, PostgreSQL's an instant.
                kind = int if filled.dialect.name == "sqlite" else datetime
                assert {type(row["time"]) for row in rows} == {kind}, panel.title
            elif panel.kind == "stat":
                assert set(rows[0]) == {"gateway", "value"}
                assert rows[0]["gateway"] == NAME
            named = {own["matcher"]["options"] for own in panel.overrides}
            assert named <= set(rows[0] if rows else named), panel.title


def test_the_figures_are_the_reports(filled: Engine) -> None:
    titled = {panel.title: panel for board in DASHBOARDS for panel in board.panels if panel.kind != "stat"}
    stats = {panel.query: panel for board in DASHBOARDS for panel in board.panels if panel.kind == "stat"}
    with filled.connect() as connection:
        report = energy_report(connection, "daily", now=NOW, since="2026-06-01")
        for query, name in (
            ("energy: production", "production_kwh"), ("energy: consumption", "consumption_kwh"),
            ("energy: import", "grid_import_kwh"), ("energy: export", "grid_export_kwh"),
            ("energy: self-sufficiency", "self_sufficiency_pct"), ("quality: bridged", "bridged_kwh"),
        ):  # fmt: skip
            (row,) = asked(connection, stats[query])
            assert row["value"] == pytest.approx(report.totals[name]), query
        days = asked(connection, titled["Where production went, by day"])
        assert [row["day"] for row in days] == [str(day) for day in report.column("day")]
        both = [row["own"] + row["exported"] for row in days]
        assert both == pytest.approx(report.column("production_kwh"))
        shares = asked(connection, titled["Panels by day, in % of their neighbours"])
        at = utc(2026, 6, 20, 12)
        noon = int(at.timestamp()) if filled.dialect.name == "sqlite" else at
        of_day = {row["metric"]: row["value"] for row in shares if row["time"] == noon}
        assert of_day == {"120": pytest.approx(100), "Süd <3>": 0.0, "122": pytest.approx(100)}
        (failed,) = asked(connection, stats["quality: failed"])
        assert failed["value"] == 1
        (age,) = asked(connection, stats["now: age"])
        assert float(age["value"]) == (NOW - utc(2026, 7, 2, 9, 59)).total_seconds()
        (grid,) = asked(connection, stats["now: grid"])
        assert grid["value"] == -200.0


@pytest.mark.parametrize("engine_name", SOURCES)
def test_dashboards_keep_their_names_and_fit_the_screen(engine_name: str) -> None:
    found = [document(board, SOURCES[engine_name]) for board in DASHBOARDS]
    assert [own["uid"] for own in found] == ["envoylog-now", "envoylog-energy", "envoylog-panels", "envoylog-quality"]
    for own in found:
        assert len({panel["id"] for panel in own["panels"]}) == len(own["panels"])
        taken: set[tuple[int, int]] = set()
        for panel in own["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells
            assert panel["datasource"]["uid"] == "envoylog"
            (target,) = panel["targets"]
            assert {"refId", "datasource"} < target.keys()


def test_what_grafana_reads_names_the_database_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    url = "postgresql+psycopg://writer:hush@db.example:6543/house"
    assert run(["--database-url", url, "sql", "grafana", "-o", str(tmp_path / "g")]) == 0
    assert run(["--database-url", url, "sql", "grafana", "--engine", "sqlite", "-o", str(tmp_path / "f")]) == 0
    written = {path.relative_to(tmp_path / "g"): path.read_text() for path in (tmp_path / "g").rglob("*.*")}
    assert len(written) == 6
    assert "hush" not in "".join(written.values())
    assert "writer" not in "".join(written.values())
    (source,) = json.loads(written[Path("provisioning/datasources/envoylog.yaml")])["datasources"]
    assert (source["url"], source["user"], source["jsonData"]["database"]) == ("db.example:6543", "grafana", "house")
    assert source["secureJsonData"] == {"password": "$ENVOYLOG_GRAFANA_PASSWORD"}
    (provider,) = json.loads(written[Path("provisioning/dashboards/envoylog.yaml")])["providers"]
    assert {path.name for path in Path(provider["options"]["path"]).iterdir()} == {
        f"{board.name}.json" for board in DASHBOARDS
    }
    (source,) = json.loads((tmp_path / "f/provisioning/datasources/envoylog.yaml").read_text())["datasources"]
    assert source["jsonData"]["path"] == "/var/lib/envoylog/db/envoylog.db"
    capsys.readouterr()
    (tmp_path / "file").touch()
    assert run(["--database-url", url, "sql", "grafana", "-o", str(tmp_path / "file")]) == 2
    assert "choose another folder" in capsys.readouterr().err
