"""Raw samples as the gateway gave them, in a stream."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from logger.cli import run
from logger.exports import raw
from logger.simulator.site import Shape, Site
from tests.sample_data import fill, times, utc

SINCE = utc(2026, 5, 30)


@pytest.fixture
def filled(engine: Engine) -> Site:
    site = Site(Shape(), SINCE - timedelta(days=1))
    fill(engine, site, times(SINCE, SINCE + timedelta(days=3), 900), zone="Asia/Kathmandu")
    return site


def exported(url: str, path: Path, *args: str) -> int:
    return run(["--database-url", url, "export", *args, "-o", str(path)])


def test_csv_has_every_row_of_the_local_days_as_it_was_stored(filled: Site, database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    day = ("--from", "2026-05-31", "--to", "2026-05-31")
    assert exported(database_url, path, "production", *day) == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 96
    assert rows[0]["polled_at"] == "2026-05-30 18:15:00"
    true = filled.counter_wh("production", utc(2026, 5, 30, 18, 15).timestamp()) + 5_000_000
    assert float(rows[0]["energy_lifetime_wh"]) == pytest.approx(true, abs=0.001)
    assert (rows[0]["gateway"], rows[0]["reading_age_s"]) == ("site1", "")


def test_json_lines_and_parquet_hold_the_same(filled: Site, database_url: str, tmp_path: Path) -> None:
    del filled
    assert exported(database_url, tmp_path / "x.jsonl", "meters") == 0
    assert exported(database_url, tmp_path / "pq", "meters", "--format", "parquet") == 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {path.parent.name for path in (tmp_path / "pq").rglob("*.parquet")} == {
        "month=2026-05", "month=2026-06"
    }  # fmt: skip
    files = sorted((tmp_path / "pq").rglob("*.parquet"))
    files = sorted((tmp_path / "pq").rglob("*.parquet"))
    table = pd.concat(pd.read_parquet(path) for path in files)
    assert len(table) == len(lines) == 2 * 289
    assert sum(table["delivered_wh"]) == pytest.approx(sum(line["delivered_wh"] for line in lines))
    assert lines[0]["voltage_v"] is None


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [(["inverters"], 7, "no inverters samples"), (["polls", "--gateway", "x"], 2, "site1"),
     (["polls", "--from", "2001", "--to", "2001"], 7, "2026-05-30")],
)  # fmt: skip
def test_a_range_without_samples_names_what_there_is(
    filled: Site, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    args: list[str], code: int, words: str,
) -> None:  # fmt: skip
    del filled
    assert exported(database_url, tmp_path / "x.csv", *args) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.glob("x*")) == []


def test_no_csv_of_raw_samples_holds_a_formula() -> None:
    out = io.StringIO()
    raw.write_lines(
        out, ["gateway", "polled_at", "error", "took_s"], [[("roof", "t", "=1+1", -3.0), ("-x", "t", None, 1)]]
    )
    assert out.getvalue().splitlines() == ["roof,t,'=1+1,-3.0", "'-x,t,,1"]


def test_a_server_writes_csv_as_a_file_gives_it(
    engine: Engine, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        ("2026-05-31", 1, None),
        ("2026-06-01", 0.1, "=1+1"),
        ("2026-06-02", -2.0, ""),
        ("2026-06-03", 1e15, 'a,"'),
    ]
    more = [("2026-06-04", 123456789012.125, "ä\n"), ("2026-06-05", 1e16, "-x"), ("2026-06-06", 5e-7, "x")]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, name, serial) VALUES (1, '+50%', 's')"))
        statement = text("INSERT INTO polls (gateway_id, polled_at, took_s, error) VALUES (1, :at, :took_s, :error)")
        offset = "" if engine.dialect.name == "sqlite" else "+00"
        rows = [
            {"at": f"{day} 00:00:00{offset}", "took_s": took_s, "error": error} for day, took_s, error in given + more
        ]
        connection.execute(statement, rows)
    assert exported(database_url, tmp_path / "x.csv", "polls") == 0
    assert "x.csv: 7 rows" in capsys.readouterr().err
    lines = list(csv.reader(io.StringIO((tmp_path / "x.csv").read_text(), newline="")))
    assert [(line[0], line[2], line[4]) for line in lines[1:]] == [
        ("'+50%", took_s, error)
        for took_s, error in [
            ("1.0", ""), ("0.1", "'=1+1"), ("-2.0", ""), ("1000000000000000.0", 'a,"'), ("123456789012.125", "ä\n"),
            ("1e+16", "'-x"), ("5e-07", "x"),
        ]
    ]  # fmt: skip
