"""Five days of a site, made once for each engine and copied for each test that asks for them."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import open_engine
from tests.conftest import new_database, with_database
from tests.sample_data import fill, fill_inverters, times, utc

SINCE = utc(2026, 5, 1)
NOW = SINCE + timedelta(days=5, hours=7)


def fill_up(engine: Engine) -> None:
    """Five days of a site with two inverters, rolled up as they came."""
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    fill(engine, site, times(SINCE, NOW, 900), zone="Europe/Amsterdam")
    fill_inverters(engine, site, times(SINCE, NOW, 900), {"a": 0.5, "b": 0.5})
    rollup.bring_up_to_date(engine, 1, now=NOW, gap_s=900)


@pytest.fixture(scope="session")
def filled_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "filled.db"
    shutil.copy(sqlite_template, path)
    engine = open_engine(f"sqlite:///{path}")
    fill_up(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def filled_name(postgres_url: str, postgres_template: str) -> Iterator[str]:
    with new_database(postgres_url, template=postgres_template) as name:
        engine = open_engine(with_database(postgres_url, name))
        fill_up(engine)
        engine.dispose()
        yield name


@pytest.fixture(params=["sqlite", "postgres"])
def filled_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a filled database of each engine."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("filled_file"), tmp_path / "envoylog.db")
        yield f"sqlite:///{tmp_path / 'envoylog.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    with new_database(server, template=request.getfixturevalue("filled_name")) as name:
        yield with_database(server, name)


@pytest.fixture
def filled(filled_url: str) -> Iterator[Engine]:
    engine = open_engine(filled_url)
    yield engine
    engine.dispose()
