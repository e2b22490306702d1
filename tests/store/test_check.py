"""`db check` finds whatever does not follow from the samples, names it, and a rebuild heals it."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Date, Engine, String, func, text, update
from sqlalchemy.types import Float, Integer

from logger.cli import run
from logger.clock import time_zone
from logger.rollups import rollup
from logger.rollups.prune import prune
from logger.rollups.site import Site as GatewaySite
from logger.rollups.verify import TABLES, differences, fingerprints
from logger.simulator.site import Shape, Site
from logger.store.models import UtcDateTime
from tests.sample_data import fill, instant, times
from tests.store.conftest import NOW, SINCE

SITE = GatewaySite(1, "site1", time_zone("Europe/Amsterdam"), None)


def check(url: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    code = run(["--database-url", url, "db", "check", *options])
    return code, capsys.readouterr().out.splitlines()


def change(engine: Engine, *statements: str, **bound: Any) -> None:
    with engine.begin() as connection:
        for statement in statements:
            values = {key: value for key, value in bound.items() if f":{key}" in statement}
            connection.execute(text(statement), values)


def test_a_change_in_any_column_of_any_table_is_found_by_day_and_column(filled: Engine) -> None:
    events = "INSERT INTO events (gateway_id, at, kind, subject, detail) VALUES (1, :at, :k, '', '')"
    for number in range(5):
        change(filled, events, at=instant(filled, SINCE + timedelta(days=number, hours=5)),
               k="outage")  # fmt: skip
    expected = set()
    with filled.connect() as connection:
        before = fingerprints(connection, SITE)
        assert fingerprints(connection, SITE) == before
        for table in TABLES:
            columns = [column for column in table.c if not column.primary_key]
            for number, column in enumerate(columns):
                day = date(2026, 5, 1) + timedelta(days=number % 5)
                values: dict[type, Any] = {
                    UtcDateTime: NOW, Float: func.coalesce(column, 0) + 0.001,
                    Integer: func.coalesce(column, 0) + 1, String: "other",
                }  # fmt: skip
                value = next(new for kind, new in values.items() if isinstance(column.type, kind))
                if column.name == "utc_offset_s":
                    # Moves a quarter hour after midnight to the day before; an event has none yet.
                    value = func.coalesce(column, 0) - 900
                where = table.c.gateway_id == 1
                if "day" in table.c:
                    where &= table.c.day == day
                else:
                    time = table.c["starts_at" if "starts_at" in table.c else "at"]
                    at = SINCE + timedelta(days=number % 5, hours=5)
                    where &= time == at
                connection.execute(update(table).where(where).values({column: value}))
                expected.add((table.name, day, column.name))
        found = differences(before, fingerprints(connection, SITE))
        connection.rollback()
    assert {(difference.table, difference.day, name) for difference in found for name in difference.columns} == expected
    assert not any(isinstance(c.type, (Boolean, Date)) for t in TABLES for c in t.c
                   if not c.primary_key)  # fmt: skip


def test_what_does_not_follow_is_named_and_a_rebuild_heals_it(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at, hole = SINCE + timedelta(days=2, hours=8), SINCE + timedelta(days=4, hours=8)
    change(
        filled,
        "UPDATE energy_hourly SET grid_import_wh = grid_import_wh + 0.001 WHERE phase = 'L2' AND starts_at = :at",
        "UPDATE inverter_daily SET peak_power_w = 1 WHERE serial = 'b' AND day = '2026-05-04'",
        "DELETE FROM inverter_daily WHERE day = '2026-05-05'",
        "INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, 'counter_wrap', 'x')",
        "DELETE FROM energy_15min WHERE starts_at = :hole",
        at=instant(filled, at),
        hole=instant(filled, hole),
    )
    code, lines = check(filled_url, capsys)
    assert code == 8
    assert lines == [
        ("site1: energy_15min has no rows from 2026-05-05 08:00:00 UTC to 2026-05-05 08:15:00 UTC; "
        "run: envoylog db rebuild, or restore a backup where samples were pruned"),
        *(
            f"site1: {table}: {days} do not follow from the samples ({places}); "
            "run: envoylog db rebuild"
            for table, days, places in (
                ("energy_15min", "1 days (2026-05-05 to 2026-05-05)", "2026-05-05 rows"),
                ("energy_hourly", "1 days (2026-05-03 to 2026-05-03)", "2026-05-03 grid_import_wh"),
                ("inverter_daily", "2 days (2026-05-04 to 2026-05-05)",
                 "2026-05-04 peak_power_w, 2026-05-05 rows"),
                ("events", "1 days (2026-05-03 to 2026-05-03)", "2026-05-03 rows"),
            )
        ),
    ]  # fmt: skip
    assert run(["--database-url", filled_url, "db", "rebuild"]) == 0
    capsys.readouterr()
    assert check(filled_url, capsys) == (0, ["ok"])


def test_a_check_looks_at_the_last_month_and_at_everything_on_request(
    engine: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    until = SINCE + timedelta(days=40)
    fill(engine, Site(Shape(), SINCE), times(SINCE, until, 3600), zone="UTC")
    rollup.bring_up_to_date(engine, 1, now=until, gap_s=7200)
    assert check(database_url, capsys) == (0, ["ok"])
    change(
        engine,
        "UPDATE energy_15min SET covered_s = 1 WHERE starts_at = :early OR starts_at = :late",
        early=instant(engine, SINCE + timedelta(days=2)),
        late=instant(engine, until - timedelta(days=20)),
    )
    code, (found,) = check(database_url, capsys)
    assert (code, "1 days (2026-05-21 to 2026-05-21)" in found) == (8, True)
    code, (found,) = check(database_url, capsys, "--all")
    assert (code, "2 days (2026-05-03 to 2026-05-21)" in found) == (8, True)


def test_hours_and_days_of_pruned_samples_still_follow_from_their_quarter_hours(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled.begin() as connection:
        prune(connection, 1, now=NOW, keep_days=2, gap_s=900)
    assert check(filled_url, capsys) == (0, ["ok"])
    change(filled, "UPDATE energy_daily SET production_wh = 1 WHERE day = '2026-05-03'")
    code, lines = check(filled_url, capsys)
    assert code == 8
    assert "2026-05-03 production_wh" in lines[0]
    assert run(["--database-url", filled_url, "db", "rebuild"]) == 0
    capsys.readouterr()
    assert check(filled_url, capsys) == (0, ["ok"])


def test_quarter_hours_of_pruned_samples_move_to_the_days_of_a_new_time_zone(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with filled.begin() as connection:
        prune(connection, 1, now=NOW, keep_days=2, gap_s=900)
    change(filled, "UPDATE gateways SET time_zone = 'Asia/Kathmandu'")
    code, lines = check(filled_url, capsys)
    assert code == 8
    assert "2026-05-01 rows" in lines[0]
    assert run(["--database-url", filled_url, "db", "rebuild"]) == 0
    capsys.readouterr()
    assert check(filled_url, capsys) == (0, ["ok"])


def test_rollups_that_lie_behind_are_found_but_not_the_last_hour(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = (
        "INSERT INTO production_samples (gateway_id, polled_at, phase, energy_lifetime_wh, source) "
        "SELECT gateway_id, :at, phase, energy_lifetime_wh + 10, source FROM production_samples "
        "WHERE polled_at = :since"
    )
    ends = instant(filled, NOW)
    for minutes in (15, 30, 45, 60):
        change(filled, copied, at=instant(filled, NOW + timedelta(minutes=minutes)), since=ends)
    assert check(filled_url, capsys) == (0, ["ok"])
    change(filled, copied, at=instant(filled, NOW + timedelta(minutes=75)), since=ends)
    assert check(filled_url, capsys) == (8, [
        ("site1: rollups end at 2026-05-06 07:00:00 UTC, samples go to 2026-05-06 08:15:00 UTC; "
        "run envoylog db rebuild, or start envoylog run")
    ])  # fmt: skip


def test_a_checkpoint_after_the_last_sample_and_rows_of_no_gateway_are_found(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(
        filled,
        "INSERT INTO rollup_checkpoints (gateway_id, ledger, at, state) VALUES (1, 'energy', :at, '[]')",
        at=instant(filled, NOW + timedelta(days=1)),
    )
    if filled.dialect.name == "sqlite":
        driver = filled.raw_connection()
        driver.cursor().execute("PRAGMA foreign_keys=OFF")
        driver.cursor().execute("INSERT INTO polls VALUES (7, '2026-05-01 00:00:00', 1, '', '')")
        driver.cursor().execute("PRAGMA foreign_keys=ON")
        driver.close()
    else:
        change(
            filled,
            "ALTER TABLE polls DROP CONSTRAINT fk_polls_gateway_id",
            "INSERT INTO polls (gateway_id, polled_at) VALUES (7, '2026-05-01 00:00:00Z')",
        )
    code, lines = check(filled_url, capsys)
    assert (code, lines[:2]) == (8, [
        "polls has rows of gateway 7, which there is not",
        ("site1: the ledger of energy was left at 2026-05-07 07:00:00 UTC, after the last sample "
        "(2026-05-06 07:00:00 UTC); run: envoylog db rebuild"),
    ])  # fmt: skip


def test_a_damaged_file_is_a_check_that_failed(
    filled_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(filled_file.read_bytes())
    middle = len(content) // 8192
    content[middle * 4096 : (middle + 12) * 4096] = bytes(12 * 4096)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(content)
    code, lines = check(f"sqlite:///{damaged}", capsys)
    assert code == 8
    assert any("damaged" in line for line in lines), lines


def test_a_gateway_that_was_filled_in_without_a_name_goes_by_its_serial(
    engine: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "gateway_id, polled_at, phase, energy_lifetime_wh"
    sample = f"INSERT INTO production_samples ({columns}) VALUES (1, :at, 'total', :wh)"
    samples = [{"at": instant(engine, SINCE + timedelta(minutes=number)), "wh": 5.0 * number} for number in range(60)]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (1, '122334455667')"))
        connection.execute(text(sample), samples)
    assert run(["--database-url", database_url, "db", "rebuild"]) == 0
    assert run(["--database-url", database_url, "report", "daily", "--from", str(SINCE.date())]) == 0
    assert "122334455667: energy by day" in capsys.readouterr().out
