"""Frames have the views' figures, columns and instants, on both engines."""

import doctest
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text

import logger
from logger.errors import LoggerError, SettingsError
from logger.frames import Database, database
from logger.reports.panels import panel_report
from tests.frames.conftest import FIRST, LAST, NEIGHBOUR, ZONE

ROOT = Path(logger.__file__).parent.parent
VIEWS: dict[str, Callable[[Database], pd.DataFrame]] = {
    "v_energy_15min": lambda db: db.energy("15min"),
    "v_energy_hourly": lambda db: db.energy("hourly"),
    "v_energy_daily": lambda db: db.energy(),
    "v_energy_monthly": lambda db: db.energy("monthly"),
    "v_energy_yearly": lambda db: db.energy("yearly"),
    "v_phase_daily": lambda db: db.phases(),
    "v_inverter_daily": lambda db: db.inverters(),
    "v_panels": lambda db: db.panels(),
    "v_battery_daily": lambda db: db.battery(),
    "v_events": lambda db: db.events(),
    "v_gaps": lambda db: db.gaps(),
}


@pytest.fixture
def db(filled: Engine) -> Iterator[Database]:
    with logger.connect(filled.url.render_as_string(hide_password=False)) as opened:
        yield opened


def zone_of(frame: pd.DataFrame) -> str:
    assert isinstance(frame.index, pd.DatetimeIndex)
    return str(frame.index.tz)


def test_frames_have_the_columns_and_figures_of_the_views(db: Database, filled: Engine) -> None:
    with filled.connect() as connection:
        for view, frame_of in VIEWS.items():
            frame = frame_of(db)
            result = connection.execute(text(f"SELECT * FROM {view}"))
            names = list(result.keys())
            assert {*frame.columns, frame.index.name} == set(names), view
            rows = [tuple(row) for row in result]
            assert len(frame) == len(rows)
            for name in frame.columns[frame.dtypes == "float64"]:
                theirs = np.array([row[names.index(name)] for row in rows], dtype=float)
                assert np.array_equal(np.sort(frame[name]), np.sort(theirs), equal_nan=True), (view, name)


def test_an_index_holds_aware_instants_of_the_gateways_zone_or_of_the_one_asked_for(db: Database) -> None:
    assert {zone_of(frame_of(db)) for frame_of in VIEWS.values()} == {ZONE}
    hours = db.energy("hourly", "2026-03-29")
    days = db.energy("daily", ("2026-03-28", "2026-03-29"))
    assert len(hours) == 23
    assert [at.isoformat() for at in days.index] == ["2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00"]
    in_utc = db.energy("hourly", "2026-03-29", tz="UTC")
    assert zone_of(in_utc) == "UTC"
    assert list(in_utc.index) == list(hours.index)
    assert db.samples("polls", tz="Asia/Kathmandu").index.max() == LAST
    found = db.sql("SELECT polled_at, outcome FROM polls ORDER BY polled_at", index="polled_at")
    assert (found.index[0], zone_of(found)) == (FIRST, ZONE)
    sums = db.energy("15min", gateway="roof")["production_kwh"].resample("D").sum(min_count=1)
    assert sums.round(6).to_list() == db.energy(gateway="roof")["production_kwh"].round(6).to_list()


def test_what_is_unknown_is_nan_and_what_is_large_is_streamed(db: Database) -> None:
    assert db.energy()["battery_charge_kwh"].isna().all()
    whole = db.samples("meters", "2026-03-28", gateway="roof")
    parts = list(db.stream("meters", "2026-03-28", gateway="roof", rows=100))
    assert {len(part) for part in parts[:-1]} == {100}
    assert len(whole) == sum(map(len, parts)) == 96 * 8
    assert whole["frequency_hz"].isna().all()
    assert set(whole["phase"].cat.categories) == {"total", "L1", "L2", "L3"}
    nothing = db.samples("storage", "2025")
    assert (len(nothing), str(nothing["power_w"].dtype), zone_of(nothing)) == (0, "float64", ZONE)


def test_several_gateways_stand_in_one_frame(db: Database) -> None:
    assert list(db.gateways.index) == ["roof", NEIGHBOUR]
    assert db.energy().groupby("gateway").size().to_dict() == {"roof": 4, NEIGHBOUR: 1}
    assert set(db.samples("polls", "2026-03-27", gateway=NEIGHBOUR)["gateway"]) == {NEIGHBOUR}


def test_the_report_of_panels_has_the_rows_of_their_view(db: Database, filled: Engine) -> None:
    with filled.connect() as connection:
        report = panel_report(connection, now=LAST, since="2026-03-28")
    assert len(report.rows) == len(db.panels(("2026-03-28", "2026-03-30"))) > 0


ASK: dict[str, Callable[[Any], object]] = {
    "15min, hourly, daily, monthly, yearly": lambda db: db.energy("weekly"),
    "production, consumption": lambda db: db.samples("volts"),
    "2026-03": lambda db: db.energy("daily", "march"),
    "swap": lambda db: db.energy("daily", ("2026-04", "2026-03")),
    "known: roof": lambda db: db.phases(gateway="shed"),
    "IANA": lambda db: db.gaps(tz="Mars"),
    "nothing": lambda db: db.sql("SELECT nothing FROM polls"),
    "only reads; it is for SELECT": lambda db: db.sql("DELETE FROM polls"),
}


def test_a_gap_and_an_event_are_at_the_instant_at_which_they_were(db: Database) -> None:
    quarters = db.energy("15min")
    partial = quarters.index[quarters["coverage_pct"] < 100]
    assert len(partial)
    assert db.gaps().index[0] == partial[0]
    stored = db.sql("SELECT at FROM events ORDER BY at")["at"]
    assert sorted(db.events().index) == list(stored)
    # As these views have them: the site's clocks, on either engine.
    local = db.sql("SELECT starts_at FROM v_gaps ORDER BY starts_at")["starts_at"]
    assert local[0] == partial[0].tz_localize(None)


def test_what_can_not_be_asked_is_refused_in_a_sentence(db: Database) -> None:
    for hint, ask in ASK.items():
        with pytest.raises(LoggerError, match=hint):
            ask(db)
    assert len(db.samples("polls"))


def test_without_a_database_a_sentence_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("ENVOYLOG_CONFIG", raising=False)
    with pytest.raises(SettingsError, match="name a database"):
        logger.connect()
    with pytest.raises(LoggerError, match="There is no database"):
        logger.connect(tmp_path / "house.db")


def test_examples_and_notebooks_show_what_there_is(
    one_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(one_house, tmp_path)
    monkeypatch.chdir(tmp_path)
    with logger.connect("house.db") as db:
        examples = doctest.testmod(database, globs={"db": db}, optionflags=doctest.NORMALIZE_WHITESPACE)
    page = doctest.testfile(
        str(ROOT / ".github/docs/analysts.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert (examples.failed, page.failed) == (0, 0), capsys.readouterr().out
    assert examples.attempted > 15
    assert page.attempted > 5
    monkeypatch.setenv("ENVOYLOG_DATABASE_URL", "sqlite:///house.db")
    shown = []
    for name in ("year", "battery_size"):
        runpy.run_path(str(ROOT / f"scripts/notebooks/{name}.py"))
        shown.append(capsys.readouterr().out)
    assert "largest difference to v_energy_monthly: 0.0 kWh" in shown[0]
    assert "saved_pct" in shown[1]
