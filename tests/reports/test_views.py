"""The views give what the reports' definitions give."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.reports.columns import ENERGY, FLOWS, Column, Ratio
from logger.reports.energy import energy_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import schema
from tests.sample_data import fill, times, utc

VIEWS = schema.migrations_path() / "versions" / "views"
COVERED_ONCE = "CASE WHEN SUM(e.covered_s) > MAX(e.period_s) THEN MAX(e.period_s) ELSE SUM(e.covered_s) END"
#: weights of a view: how long a row was measured, and how long it has lasted
SECONDS = {
    "hourly": (re.escape(COVERED_ONCE), r"MAX\(e\.period_s\)"),
    "daily": (re.escape(COVERED_ONCE), r"MAX\(e\.period_s\)"),
    # Each day that is missing up to yesterday counts as well.
    "monthly": (r"SUM\(e\.covered_s\)", r"\(SUM\(e\.period_s\) \+ \(.*\) \* 86400\)"),
    "yearly": (r"SUM\(e\.covered_s\)", r"\(SUM\(e\.period_s\) \+ \(.*\) \* 86400\)"),
}


def newest(engine: str, name: str) -> str:
    """Return the text of a view as the last migration that touches it makes it."""
    found = [path for path in VIEWS.rglob(f"{name}.sql") if path.parent.name != "downgrade"]
    last = max(path for path in found if engine in path.parts)
    return " ".join(last.read_text(encoding="utf-8").split())


def total_of(kind: str, name: str) -> str:
    """Return SQL (a pattern) for the total of an energy or weight."""
    if name.endswith("_kwh"):
        return rf"SUM\(e\.{name.removesuffix('_kwh')}_wh\)"
    if name == "peak_power_kwp":
        return r"MAX\([ge]\.peak_power_kwp\)"
    covered, length = SECONDS[kind]
    return covered if name == "covered_s" else length


def defined(kind: str, column: Column) -> tuple[str, int]:
    """Return the SQL (a pattern) of a column and its decimals, from its definition."""
    ratio = column.total
    if column.name == "self_consumption_kwh":
        difference = next(own.total for own in ENERGY if own.name == "self_consumption_pct")
        assert isinstance(difference, Ratio)
        return rf"\({minus(kind, difference)}\) / 1000\.0", 6
    if not isinstance(ratio, Ratio):
        return rf"{total_of(kind, column.name)} / 1000\.0", 6
    above, below = minus(kind, ratio), rf"NULLIF\({total_of(kind, ratio.divisor)}, 0\)"
    if len(ratio.numerator) > 1:
        above = rf"\({above}\)"
    if ratio.factor == 1:  # kWh over kWp
        return rf"{above} / 1000\.0 / {below}", 6
    return rf"{ratio.factor} \* {above} / {below}", 3


def minus(kind: str, ratio: Ratio) -> str:
    return " - ".join(total_of(kind, name) for name in ratio.numerator)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("kind", SECONDS)
def test_each_expression_of_a_view_is_what_the_definition_gives(engine: str, kind: str) -> None:
    view = newest(engine, f"v_energy_{kind}")
    for column in ENERGY:
        if column.total == "max":
            assert f"MAX(e.{column.name}) AS {column.name}" in view
            continue
        expression, decimals = defined(kind, column)
        scale = rf"{10**decimals}\.0"
        rounded = (
            rf"\(CAST\(ROUND\(ROUND\(CAST\(\({expression}\) \* {scale} AS NUMERIC\), 3\), 0\) "
            rf"AS DOUBLE PRECISION\) / {scale}\) AS {column.name}\b"
        )
        assert len(re.findall(rounded, view)) == 1, column.name


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
