"""Five days of a site, made once for each engine and copied for each test that asks for them."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from tests.conftest import Moulds
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
    with opened(f"sqlite:///{path}") as engine:
        fill_up(engine)
    return path


@pytest.fixture
def filled(engine: Engine, moulds: Moulds) -> Engine:
    """A filled database of each engine."""
    return moulds.filled(engine, fill_up)


@pytest.fixture
def filled_url(filled: Engine) -> str:
    return filled.url.render_as_string(hide_password=False)
