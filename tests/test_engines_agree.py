"""The same SQL gives the same rows on SQLite and on PostgreSQL."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from logger import cookbook
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import phase_samples
from tests.conftest import Opening
from tests.sample_data import fill, fill_batteries, fill_inverters, times, utc

SINCE = utc(2026, 3, 27)
NOW = SINCE + timedelta(days=5)


def filled(engine: Engine) -> Engine:
    for number, zone in ((1, "Europe/Amsterdam"), (2, "Australia/Lord_Howe")):
        site = Site(Shape(seed=number, phases=3, battery=number == 1), SINCE - timedelta(days=1))
        seen = [at for at in times(SINCE, NOW, 900) if not (at.day == 29 and 8 <= at.hour < 14)]
        fill(engine, site, seen, zone=zone, gateway_id=number)
        fill_inverters(engine, site, seen, {"a": 0.6, "b": 0.4}, gateway_id=number)
        if site.shape.battery:
            fill_batteries(engine, site, seen, gateway_id=number)
        with engine.begin() as connection:
            rollup.rebuild(connection, number, now=NOW, gap_s=900, since=None)
    return engine


def plain(value: Any) -> Any:
    """Return a cell as both engines mean it."""
    if isinstance(value, datetime):
        aware = value.astimezone(UTC) if value.tzinfo else value
        return aware.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (Decimal, float)):
        return round(float(value), 9)
    return value


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        found = connection.execute(text(query))
        names = tuple(found.keys())
        return [names, *(tuple(map(plain, row)) for row in found)]


@pytest.fixture
def both(opening: Opening, sqlite_url: str, postgresql_url: str) -> tuple[Engine, Engine]:
    return filled(opening(sqlite_url)), filled(opening(postgresql_url))


def test_every_view_and_every_question_has_the_same_rows(both: tuple[Engine, Engine]) -> None:
    lite, server = both
    tables = {view.name for view in phase_samples.VIEWS}  # of a server
    views = [name for name in inspect(lite).get_view_names() if name not in tables]
    assert sorted(views) == sorted(inspect(server).get_view_names())
    for view in [*views, "data_dictionary"]:
        ordered = f"SELECT * FROM {view}"
        if view == "data_dictionary":
            ordered += f" WHERE \"table\" <> '{phase_samples.TABLE.name}'"
        here, there = rows(lite, ordered), rows(server, ordered)
        assert here[0] == there[0], view
        assert sorted(map(str, here)) == sorted(map(str, there)), view
        assert len(here) > 1, view
    for title, query in cookbook.questions().items():
        assert rows(lite, query) == rows(server, query), title
