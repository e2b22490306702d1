"""Five days of a site, made once for each engine and copied for each test that asks for them."""

import shutil
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger.rollups import build, inverters
from logger.simulator.site import Shape, Site
from logger.store.database import open_engine
from tests.conftest import administer, with_database
from tests.filled import fill, instant, times, utc

SINCE = utc(2026, 5, 1)
NOW = SINCE + timedelta(days=5, hours=7)


def fill_up(engine: Engine) -> None:
    """Five days of a site with two inverters, rolled up as they came."""
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    fill(engine, site, times(SINCE, NOW, 900), zone="Europe/Amsterdam")
    reports = [
        {"at": instant(engine, at), "serial": serial,
         "wh": site.counter_wh("made", at.timestamp()) / 2}
        for at in times(SINCE, NOW, 900)
        for serial in ("a", "b")
    ]  # fmt: skip
    insert = (
        "INSERT INTO inverter_samples (gateway_id, reported_at, serial, energy_lifetime_wh) "
        "VALUES (1, :at, :serial, :wh)"
    )
    with engine.begin() as connection:
        connection.execute(text(insert), reports)
    build.bring_up_to_date(engine, 1, now=NOW, gap_s=900)
    inverters.bring_inverters_up_to_date(engine, 1, now=NOW)


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
    name = f"filled_{uuid.uuid4().hex[:8]}"
    administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    engine = open_engine(with_database(postgres_url, name))
    fill_up(engine)
    engine.dispose()
    yield name
    administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def filled_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a filled database of each engine."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("filled_file"), tmp_path / "envoylog.db")
        yield f"sqlite:///{tmp_path / 'envoylog.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex[:12]}"
    template = request.getfixturevalue("filled_name")
    administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield with_database(server, name)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def filled(filled_url: str) -> Iterator[Engine]:
    engine = open_engine(filled_url)
    yield engine
    engine.dispose()
