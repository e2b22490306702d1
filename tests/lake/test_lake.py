"""A lake holds what the database held, month by month, and gives it back to the last digit."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Connection, Engine, select, text

from logger.cli import run
from logger.errors import LoggerError
from logger.lake import cluster, layout
from logger.lake.read import sites_in
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from logger.store.database import opened
from logger.store.models import ENERGY_DAILY, GATEWAYS
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 5, 31)
UNTIL = SINCE + timedelta(days=2)
STEP_S = 3600
ZONES = {1: "Asia/Kathmandu", 2: "Europe/Amsterdam"}
Export = Callable[..., int]


def filled(engine: Engine) -> Engine:
    for number, zone in ZONES.items():
        site = Site(Shape(phases=1), SINCE - timedelta(days=number))
        fill(engine, site, times(SINCE, UNTIL, STEP_S), zone=zone, gateway_id=number)
    return engine


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Engine]:
    with opened(sqlite_url) as engine:
        yield filled(engine)


@pytest.fixture
def export(database: Engine, tmp_path: Path) -> Export:
    return exporting(str(database.url), tmp_path / "lake")


def exporting(url: str, lake: Path) -> Export:
    def exported(*args: str, what: str = "all") -> int:
        return run(["--database-url", url, "export", what, "--format", "parquet", "-o", str(lake), *args])

    return exported


def answers(lake: Path, question: cluster.Question[Any]) -> tuple[list[Any], list[LoggerError]]:
    return cluster.answers(lake, question, UNTIL, scheduler=None, step=lambda _done, _of: None)


def contents(lake: Path) -> dict[str, Any]:
    return {str(path.relative_to(lake)): parquet.ParquetFile(path).read() for path in lake.rglob("*.parquet")}


def changed(engine: Engine, statement: str, at: datetime | None = None) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), {"at": instant(engine, at)} if at else {})


def energy(connection: Connection) -> list[tuple[Any, ...]]:
    columns = [column for column in ENERGY_DAILY.c if column.name != "gateway_id"]
    query = select(GATEWAYS.c.serial, *columns).join(GATEWAYS, ENERGY_DAILY.c.gateway_id == GATEWAYS.c.gateway_id)
    return [tuple(row) for row in connection.execute(query.order_by(GATEWAYS.c.serial, *ENERGY_DAILY.primary_key))]


def test_a_lake_gives_back_every_total_to_the_last_digit(engine: Engine, database_url: str, tmp_path: Path) -> None:
    filled(engine)
    for number in ZONES:
        rollup.bring_up_to_date(engine, number, now=UNTIL, gap_s=STEP_S)
    assert exporting(database_url, tmp_path)() == 0
    found, errors = answers(tmp_path, energy)
    with engine.connect() as connection:
        assert sorted(row for rows in found for row in rows) == sorted(energy(connection))
    assert errors == []


def test_the_report_of_a_fleet_is_the_same_from_its_lake(
    export: Export, database: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ZONES:
        rollup.bring_up_to_date(database, number, now=UNTIL, gap_s=STEP_S)
    assert export() == 0
    report = ["fleet", "report", "--from", "2026-05-31", "--to", "2026-06-02", "--json"]

    def reported(*args: str, code: int = 0) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert run([*args]) == code
        found = json.loads(capsys.readouterr().out)
        return [{**row, "silent_s": None, "note": None} for row in found]  # They count up to now.

    whole = reported("--database-url", str(database.url), *report)
    assert [row["gateway"] for row in whole] == ["site1", "site2"]
    assert reported(*report, "--lake", str(tmp_path / "lake")) == whole
    broken = next(layout.places(tmp_path / "lake", "polls")).path
    broken.write_bytes(b"PAR1")
    assert reported(*report, "--lake", str(tmp_path / "lake"), code=6) == whole[1:]
    assert run([*report, "--scheduler", "tcp://x"]) == 2
    assert "add --lake DIR" in capsys.readouterr().err
    assert run(["--database-url", str(database.url), *report[:3], "2020", "--to", "2020"]) == 7
    assert "No gateway has energy from 2020-01-01" in capsys.readouterr().err


def test_a_file_says_units_zone_and_gateway(export: Export, tmp_path: Path) -> None:
    assert export("--gateway", "site1", what="production") == 0
    paths = sorted((tmp_path / "lake").rglob("*.parquet"))
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        f"lake/production_samples/gateway=site1/month=2026-0{month}/serial1.parquet" for month in (5, 6)
    ]
    schema = parquet.read_schema(paths[0])
    assert str(schema.field("polled_at").type) == "timestamp[us, tz=UTC]"
    assert schema.field("energy_lifetime_wh").metadata[b"unit"] == b"Wh"
    known = layout.known_of(paths[0])
    assert (known["gateway"]["time_zone"], known["gateway"]["serial"]) == ("Asia/Kathmandu", "serial1")


def test_what_is_exported_again_changes_nothing(export: Export, tmp_path: Path) -> None:
    assert export() == 0
    before = contents(tmp_path / "lake")
    for args in ([], ["--from", "2026-06-01", "--to", "2026-06-01"], ["--since-last", "--gateway", "site2"]):
        assert export(*args) == 0
        assert contents(tmp_path / "lake") == before
    assert list((tmp_path / "lake").rglob(".*")) == []


def test_samples_that_were_pruned_stay_in_the_lake(export: Export, database: Engine, tmp_path: Path) -> None:
    assert export() == 0
    before = contents(tmp_path / "lake")
    for table in ("production_samples", "consumption_samples", "meter_readings"):
        changed(database, f"DELETE FROM {table} WHERE polled_at < :at", utc(2026, 6, 1, 12))
    assert export() == 0
    assert contents(tmp_path / "lake") == before


def test_what_came_since_the_last_time_is_added(export: Export, database: Engine, tmp_path: Path) -> None:
    insert = "INSERT INTO polls (gateway_id, polled_at, took_s) VALUES (1, :at, 1.0)"
    changed(database, insert, utc(2026, 4, 1))
    assert export() == 0
    changed(database, insert, utc(2026, 7, 1))
    changed(database, insert, utc(2026, 4, 2))  # Longer ago than anything may come late.
    assert export("--since-last") == 0
    counts = {place.month: len(layout.read(place.path)) for place in layout.places(tmp_path / "lake", "polls")}
    assert (counts["2026-04"], counts["2026-07"]) == (1, 1)
    assert export() == 0
    months = [place for place in layout.places(tmp_path / "lake", "polls") if place.month == "2026-04"]
    assert [len(layout.read(place.path)) for place in months] == [2]


def test_a_gateway_that_is_renamed_is_there_once(export: Export, database: Engine, tmp_path: Path) -> None:
    assert export() == 0
    changed(database, "UPDATE gateways SET name = '../../=barn' WHERE gateway_id = 1")
    assert export() == 0
    assert {path.name for path in (tmp_path / "lake" / "polls").iterdir()} == {
        "gateway=..%2F..%2F%3Dbarn", "gateway=site2"
    }  # fmt: skip
    assert len(sites_in(tmp_path / "lake")) == 2


def test_a_half_written_partition_is_named_and_written_again(export: Export, tmp_path: Path) -> None:
    assert export() == 0
    before = contents(tmp_path / "lake")
    (path,) = (
        place.path
        for place in layout.places(tmp_path / "lake", "meter_readings")
        if "2/month=2026-05" in str(place.path)
    )
    path.write_bytes(path.read_bytes()[:5000])
    found, errors = answers(tmp_path / "lake", energy)
    assert len(found) == 1
    assert [str(error).partition(";")[0] for error in errors] == [f"{path} is no whole Parquet file"]
    assert "--from 2026-05 --to 2026-05" in str(errors[0])
    assert export("--from", "2026-05", "--to", "2026-05") == 0
    assert contents(tmp_path / "lake") == before


@pytest.mark.parametrize("months", [("06",), ("05",), ("05", "06")])
def test_what_is_not_whole_is_written_again_with_what_is_new(
    export: Export, tmp_path: Path, months: tuple[str, ...]
) -> None:
    """As each night, also of the month that is not over: that is where a copy is interrupted."""
    assert export("--gateway", "site2", what="polls") == 0
    before = contents(tmp_path / "lake")
    for month in months:
        (path,) = tmp_path.rglob(f"month=2026-{month}/serial2.parquet")
        path.write_bytes(path.read_bytes()[:500])
    assert export("--since-last", "--gateway", "site2", what="polls") == 0
    assert contents(tmp_path / "lake") == before


def test_instants_without_a_zone_are_refused_and_other_zones_are_understood(export: Export, tmp_path: Path) -> None:
    assert export() == 0
    (place,) = (one for one in layout.places(tmp_path / "lake", "polls") if "1/month=2026-06" in str(one.path))
    found = layout.read(place.path)

    def rewritten(kind: Any) -> None:
        column = found["polled_at"].cast(kind)
        parquet.write_table(found.set_column(found.column_names.index("polled_at"), "polled_at", column), place.path)

    rewritten(pa.timestamp("ms", tz="Asia/Tokyo"))
    assert answers(tmp_path / "lake", polls) == ([2 * 24 + 1] * 2, [])
    rewritten(pa.timestamp("s"))
    _, (error,) = answers(tmp_path / "lake", polls)
    assert "polled_at has no time zone" in str(error)


def polls(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM polls WHERE polled_at >= '2026-05-31'")).scalar_one())


@pytest.mark.parametrize(
    ("args", "words"),
    [(["all"], "add --format parquet"), (["polls", "--since-last"], "add --format parquet"),
     (["all", "--format", "parquet"], "add -o DIRECTORY"),
     (["all", "--format", "parquet", "-o", "x", "--since-last", "--from", "2026"], "leave out --from")],
)  # fmt: skip
def test_what_no_lake_can_be_is_refused(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", *args]) == 2
    assert words in capsys.readouterr().err


def test_the_metadata_of_a_lake_are_those_of_its_tables() -> None:
    assert json.loads(layout.schema_of(layout.BY_MONTH[0], {}, {}).metadata[layout.KEY])["table"] == "polls"


def test_duckdb_reads_the_same_lake(export: Export, tmp_path: Path) -> None:
    assert export() == 0
    assert run(["sql", "duckdb", "--lake", str(tmp_path / "lake"), "-o", str(tmp_path / "lake.sql")]) == 0
    connection = duckdb.connect()
    connection.execute((tmp_path / "lake.sql").read_text())
    query = """
        SELECT gateway, month, count(*), min(polled_at)::VARCHAR FROM production_samples JOIN gateways g
        USING (gateway, gateway_serial) WHERE g.serial = 'serial1' GROUP BY 1, 2 ORDER BY 2
    """
    assert connection.execute(query).fetchall() == [
        ("site1", "2026-05", 24, "2026-05-31 00:00:00+00"), ("site1", "2026-06", 25, "2026-06-01 00:00:00+00")
    ]  # fmt: skip
