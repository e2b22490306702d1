"""Everything of one database goes into another, of either engine, as it was at one instant."""

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store import schema, transfer
from logger.store.database import backend, opened
from logger.store.lock import collector_lock
from logger.store.queries import problems
from tests.conftest import Opening, administer, with_database
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 3, 28, 20)
NOW = SINCE + timedelta(hours=15)


def with_everything(engine: Engine) -> Engine:
    """Fill a night in which the clock changes, with something in every table."""
    site = Site(Shape(battery=True), SINCE - timedelta(days=1))
    seen = [at for at in times(SINCE, NOW, 900) if not 8 <= at.hour < 9]
    fill(engine, site, seen, zone="Europe/Amsterdam")
    now = {"at": instant(engine, SINCE)}
    flag = "1" if engine.dialect.name == "sqlite" else "true"
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO meters (gateway_id, eid, measurement) VALUES (1, 704643328, 'production')",
            "INSERT INTO inverters (gateway_id, serial, first_seen_at) VALUES (1, 'Ä''\t\\n', :at)",
            "INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, 'outage', 'x')",
            (
                "INSERT INTO inverter_samples (gateway_id, reported_at, serial, power_w, "
                "interval_s) VALUES (1, :at, 'a', 0.1, 900)"
            ),
            "INSERT INTO batteries (gateway_id, serial, kind, capacity_wh) VALUES (1, 'b', 'encharge', 3500)",
            "INSERT INTO battery_samples (gateway_id, polled_at, serial, power_w) VALUES (1, :at, 'b', -1324)",
            "INSERT INTO storage_samples (gateway_id, polled_at, kind, power_w) VALUES (1, :at, 'encharge', -1324)",
            "INSERT INTO site_states (gateway_id, at, subject, state) VALUES (1, :at, 'grid_mode', 'on_grid')",
            "INSERT INTO panels (gateway_id, serial, name) VALUES (1, 'a', 'south 1')",
            "INSERT INTO panel_daily (gateway_id, day, serial, state) VALUES (1, '2026-01-01', 'a', 'fine')",
            "INSERT INTO inverter_hours (gateway_id, day, serial, reports) VALUES (1, '2026-01-01', 'a', 9)",
            (
                "INSERT INTO notifications (gateway_id, day, receiver, kind, subject, sent_at) "
                "VALUES (1, '2026-01-01', 'mail', 'token_expires', 'token', :at)"
            ),
            "INSERT INTO collectors (collector, gateways, expires_at) VALUES ('x', 'y', :at)",
            "INSERT INTO gateway_leases (gateway, collector) VALUES ('roof', 'x')",
            f"UPDATE gateways SET is_metered = {flag}, first_seen_at = :at",
        ):
            bound = now if ":at" in statement else {}
            connection.execute(text(statement), bound)
    rollup.bring_up_to_date(engine, 1, now=NOW, gap_s=900)
    return engine


@pytest.fixture
def filled(engine: Engine) -> Engine:
    return with_everything(engine)


@pytest.fixture
def source_url(sqlite_url: str) -> str:
    """For laws that do not depend on where the rows come from."""
    with opened(sqlite_url) as engine:
        with_everything(engine)
    return sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'target' / 'envoylog.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"target_{uuid.uuid4().hex[:12]}"
    administer(server, f"CREATE DATABASE {name}")
    yield with_database(server, name)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def rows(engine: Engine) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    with backend(engine).snapshot(engine) as connection:
        for table in transfer.TABLES:
            plain = [backend(engine).plain(column) for column in table.c]
            batches = transfer._batches(connection, table, plain)
            found[table.name] = [tuple(row) for batch in batches for row in batch]
    return found


def rows_of(url: str) -> dict[str, list[object]]:
    with opened(url, read_only=True) as engine:
        return rows(engine)


def test_a_copy_holds_the_same_in_every_table(
    opening: Opening, filled: Engine, database_url: str, target_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_of(database_url)
    assert [name for name, found in before.items() if not found] == []
    assert run(["--database-url", database_url, "db", "copy", target_url, "--yes"]) == 0
    out = capsys.readouterr().out
    assert f"production_samples{len(before['production_samples']):>15}" in out
    assert "verified" in out
    target = opening(target_url)
    assert rows_of(target_url) == before
    with target.begin() as connection:
        assert problems(connection) == []
        assert rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None) == []
    assert rows_of(target_url) == before
    del filled


def test_a_copy_is_of_the_instant_at_which_it_began(
    opening: Opening, filled: Engine, database_url: str, tmp_path: Path
) -> None:
    target_url = f"sqlite:///{tmp_path / 'target.db'}"
    source, target = opening(database_url, read_only=True), opening(target_url)
    before = rows(source)
    written: list[str] = []

    def write(table: str, seen: int, of_all: int) -> None:
        assert 0 <= seen <= of_all
        if table in written:
            return
        written.append(table)
        with filled.begin() as connection:
            connection.execute(
                text("INSERT INTO polls (gateway_id, polled_at) VALUES (1, :at)"),
                {"at": instant(filled, NOW + timedelta(minutes=len(written)))},
            )
            connection.execute(text("UPDATE energy_daily SET covered_s = covered_s + 1"))

    copied = transfer.copy(source, target, write)
    assert sorted(written) == sorted(copied)
    assert rows_of(target_url) == before
    assert len(rows_of(database_url)["polls"]) == len(before["polls"]) + len(written)


def test_a_target_that_holds_data_is_refused_and_left_as_it_is(
    opening: Opening, source_url: str, target_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = opening(target_url)
    schema.upgrade(target)
    with target.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial, name) VALUES (9, '9', 'mine')"))
    assert run(["--database-url", source_url, "db", "copy", target_url, "--yes"]) == 6
    assert "holds data already (gateways)" in capsys.readouterr().err
    assert [len(found) for found in rows_of(target_url).values() if found] == [1]
    assert run(["--database-url", source_url, "db", "copy", source_url, "--yes"]) == 6


def test_a_copy_that_breaks_off_leaves_nothing_and_can_be_made_again(
    opening: Opening, source_url: str, target_url: str
) -> None:
    source, target = opening(source_url, read_only=True), opening(target_url)

    class PowerCutError(Exception):
        pass

    def cut(table: str, _seen: int, _of_all: int) -> None:
        if table == "production_samples":
            raise PowerCutError

    with pytest.raises(PowerCutError):
        transfer.copy(source, target, cut)
    assert schema.current(target) is None
    transfer.copy(source, target)
    assert rows_of(target_url) == rows(source)


def test_rows_of_a_gateway_that_somebody_deleted_are_refused_with_the_remedy(
    source_url: str, target_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(source_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("DELETE FROM gateways")
        connection.commit()
    for command in (["copy", target_url, "--yes"], ["backup", "-o", str(tmp_path / "backups")]):
        assert run(["--database-url", source_url, "db", *command]) == 6
        (line,) = capsys.readouterr().err.splitlines()
        assert "has rows of gateway 1, which is not in gateways any more, so nothing was copied; put it there" in line
    assert list((tmp_path / "backups").iterdir()) == []
    if target_url.startswith("sqlite"):
        assert [path.stat().st_size for path in tmp_path.glob("target/*")] == [0]
    else:
        with opened(target_url) as target:
            assert schema.known(target) is None


def test_a_copy_that_is_refused_in_between_ends_in_one_sentence(
    source_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target_url = f"sqlite:///{tmp_path / 'target.db'}"
    with opened(target_url) as target:
        schema.upgrade(target)
        with target.begin() as connection:
            refusal = "CREATE TRIGGER refuse BEFORE INSERT ON polls BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            connection.exec_driver_sql(refusal)
    assert run(["--database-url", source_url, "db", "copy", target_url, "--yes"]) == 6
    assert capsys.readouterr().err == "envoylog: The database refused: not this one.\n"
    assert not any(rows_of(target_url).values())


def test_a_target_that_is_being_collected_into_exits_3(opening: Opening, source_url: str, target_url: str) -> None:
    target = opening(target_url)
    with collector_lock(target):
        assert run(["--database-url", source_url, "db", "copy", target_url, "--yes"]) == 3


def test_rows_that_do_not_all_arrive_are_not_kept(
    opening: Opening, source_url: str, target_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # A trigger or a rule of the target's owner that drops rows.
    target = opening(target_url)
    schema.upgrade(target)
    with target.begin() as connection:
        for statement in (
            ["CREATE TRIGGER sieve AFTER INSERT ON polls BEGIN DELETE FROM polls; END"]
            if target.dialect.name == "sqlite"
            else [
                ("CREATE FUNCTION sieve() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql"),
                "CREATE TRIGGER sieve BEFORE INSERT ON polls FOR EACH ROW EXECUTE FUNCTION sieve()",
            ]
        ):
            connection.exec_driver_sql(statement)
    assert run(["--database-url", source_url, "db", "copy", target_url, "--yes"]) == 6
    assert "rows of polls arrived" in capsys.readouterr().err
    assert not any(rows_of(target_url).values())
