"""A house of three phases and two panels, four days of March 2026 in Amsterdam, on each engine."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from logger.store.models import GATEWAYS
from tests.conftest import EmptyDatabases
from tests.sample_data import fill, fill_inverters, times, utc

FIRST, LAST = utc(2026, 3, 26, 23), utc(2026, 3, 30, 22)
ZONE = "Europe/Amsterdam"
NEIGHBOUR = "the neighbour's 100%"


def house(engine: Engine, name: str = "roof", gateway_id: int = 1, last: datetime = LAST) -> None:
    """Fill and roll up; on the 30th nothing is measured from 9 to 12."""
    site = Site(Shape(phases=3), FIRST)
    seen = [at for at in times(FIRST, last, 900) if not (at.day == 30 and 7 <= at.hour < 10)]
    fill(engine, site, seen, zone=ZONE, gateway_id=gateway_id)
    fill_inverters(engine, site, seen, {"121": 0.6, "122": 0.4}, gateway_id=gateway_id)
    with engine.begin() as connection:
        connection.execute(sa.update(GATEWAYS).where(GATEWAYS.c.gateway_id == gateway_id).values(name=name))
        rollup.rebuild(connection, gateway_id, now=last, gap_s=900, since=None)


@pytest.fixture(scope="module")
def one_house(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the house alone."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("house") / "house.db"))
    with opened(f"sqlite:///{path}") as engine:
        house(engine)
    return path


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, one_house: Path) -> Iterator[Engine]:
    """The house, and a day of its neighbour's."""
    if request.param == "sqlite":
        path = shutil.copy(one_house, one_house.with_name("two.db"))
        with opened(f"sqlite:///{path}") as engine:
            house(engine, NEIGHBOUR, 2, utc(2026, 3, 27, 23))
            yield engine
        return
    databases: EmptyDatabases = request.getfixturevalue("empty_databases")
    with databases.one() as url, opened(url) as there:
        house(there)
        house(there, NEIGHBOUR, 2, utc(2026, 3, 27, 23))
        yield there
