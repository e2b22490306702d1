"""Keeping a database for years: prune, check, backup and restore."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect, text

from logger import exports
from logger.cli import run
from logger.clock import time_zone, utc_now
from logger.errors import CheckFailedError, StoreError
from logger.reports.energy import energy_report
from logger.rollups import rollup
from logger.rollups.prune import prune
from logger.rollups.site import Site as GatewaySite
from logger.rollups.verify import fingerprints
from logger.simulator.site import Shape, Site
from logger.store import schema, transfer
from logger.store.database import opened, translated_errors
from logger.store.lock import collector_lock
from logger.store.queries import problems
from logger.store.size import free_bytes
from tests.conftest import Opening
from tests.sample_data import instant, times
from tests.store.conftest import NOW, SINCE

SAMPLES = [table.name for ledger in rollup.LEDGERS for table in (*ledger.samples, *ledger.others)]


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def report(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        report = energy_report(connection, "daily", now=NOW, since="2026-05-01")
    rows: list[Any] = json.loads(exports.to_json(report))
    return rows


def all_reports(url: str, capsysbinary: pytest.CaptureFixture[bytes]) -> dict[str, bytes]:
    found = {}
    for kind in ("hourly", "daily", "monthly", "inverters", "phases", "quality"):
        days = ["--from", "2026-05-01", "--to", "2026-05-06", "--format", "json"]
        assert run(["--database-url", url, "report", kind, *days]) == 0
        found[kind] = capsysbinary.readouterr().out
    return found


def test_pruning_changes_no_report_and_counting_goes_on_from_there(
    filled: Engine, filled_url: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    reports, samples = all_reports(filled_url, capsysbinary), {name: count(filled, name) for name in SAMPLES}
    asked: list[str] = []
    event.listen(filled, "before_cursor_execute", lambda *of: asked.append(of[2]))
    site = GatewaySite(1, "site1", time_zone("Europe/Amsterdam"), None)
    with filled.begin() as connection:
        before = fingerprints(connection, site)
        pruned = prune(connection, 1, now=NOW, keep_days=2, gap_s=900)
        assert fingerprints(connection, site) == before
    if filled.dialect.name == "postgresql":  # Whoever deletes rows knows how many.
        assert not [query for query in asked if "count(" in query]
    assert all_reports(filled_url, capsysbinary) == reports
    assert {name: samples[name] - count(filled, name) for name in SAMPLES} == pruned
    assert pruned["production_samples"] > samples["production_samples"] * 0.3
    assert count(filled, "inverter_samples") < count(filled, "polls") * 2
    with filled.begin() as connection:
        assert rollup.rebuild(connection, 1, now=NOW, gap_s=900, since=None) == []
    with filled.begin() as connection:
        assert prune(connection, 1, now=NOW, keep_days=2, gap_s=900)["production_samples"] == 0
    assert all_reports(filled_url, capsysbinary) == reports


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE energy_15min SET grid_import_wh = 1 WHERE starts_at = :at", "energy_15min"),
        ("UPDATE energy_hourly SET covered_s = 1 WHERE starts_at = :at", "energy_hourly"),
        ("UPDATE inverter_daily SET peak_power_w = 1 WHERE day = '2026-05-03'", "inverter_daily"),
        (("INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, 'outage', 'x')"), "events"),
    ],
    ids=["energy_15min", "energy_hourly", "inverter_daily", "events"],
)
def test_pruning_refuses_where_its_days_would_not_be_counted_as_they_are(
    filled: Engine, statement: str, named: str
) -> None:
    at = {"at": instant(filled, NOW - timedelta(days=3))}
    with filled.connect() as connection:
        connection.execute(text(statement), at if ":at" in statement else {})
        with pytest.raises(CheckFailedError, match=f"would change {named} of 2026-05-03"):
            prune(connection, 1, now=NOW, keep_days=2, gap_s=900)


@pytest.mark.parametrize("ledger", ["energy", "inverters"])
def test_pruning_refuses_where_the_checkpoint_that_stays_does_not_follow(filled: Engine, ledger: str) -> None:
    first = "(SELECT state FROM rollup_checkpoints WHERE ledger = :ledger ORDER BY at LIMIT 1)"
    with filled.connect() as connection:
        connection.execute(
            text(f"UPDATE rollup_checkpoints SET state = {first} WHERE ledger = :ledger"), {"ledger": ledger}
        )
        with pytest.raises(CheckFailedError, match="Pruning would change"):
            prune(connection, 1, now=NOW, keep_days=1, gap_s=900)


def test_the_room_of_pruned_samples_is_shown_and_given_back_on_request(
    filled: Engine, filled_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'database_url = "{filled_url}"\nkeep_samples_days = 2\n')
    command = ["--config", str(config), "db", "prune", "--yes"]
    assert run(["--config", str(config), "db", "rebuild"]) == 0  # The last day is over by now.
    before, days = count(filled, "production_samples"), report(filled)
    assert run([*command, "--dry-run"]) == 0
    assert "samples would go" in capsys.readouterr().out
    assert count(filled, "production_samples") == before
    assert run([*command, "--vacuum"]) == 0
    assert "samples gone, every total stays" in capsys.readouterr().out
    assert count(filled, "production_samples") == 0  # By now they are all old.
    with filled.connect() as connection:
        assert not free_bytes(connection)
    assert report(filled) == days


def test_a_sound_database_is_ok_and_a_changed_total_is_found(
    filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--database-url", filled_url, "db", "check"]) == 0
    assert capsys.readouterr().out == "ok\n"
    with filled.begin() as connection:
        connection.execute(text("UPDATE energy_daily SET production_wh = production_wh + 1 "
                                "WHERE day = '2026-05-04'"))  # fmt: skip
    assert run(["--database-url", filled_url, "db", "check"]) == 8
    assert "1 days (2026-05-04 to 2026-05-04)" in capsys.readouterr().out


def test_a_backup_is_restored_with_the_same_reports(filled: Engine, filled_url: str, tmp_path: Path) -> None:
    command: Callable[..., int] = lambda *args: run(["--database-url", filled_url, *args])  # noqa: E731 - short
    before = report(filled)
    with collector_lock(filled):
        assert command("db", "backup", "-o", str(tmp_path / "b")) == 0
    (backup,) = (tmp_path / "b").iterdir()
    with opened(f"sqlite:///{backup}", read_only=True) as engine, engine.connect() as connection:
        assert problems(connection) == []
    with filled.begin() as connection:
        connection.execute(text("DELETE FROM energy_daily"))
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (2, 'later')"))
    with collector_lock(filled):
        assert command("db", "restore", str(backup), "--yes") == 3
    assert command("db", "restore", str(backup), "--yes") == 0
    filled.dispose()  # Its connection holds the file that was replaced.
    assert report(filled) == before
    assert count(filled, "gateways") == 1
    assert command("db", "check") == 0


def test_a_backup_while_polls_are_stored_is_of_one_instant(opening: Opening, filled: Engine, tmp_path: Path) -> None:
    site = Site(Shape(phases=2), SINCE - timedelta(days=1))
    done = threading.Event()

    def store() -> None:
        for at in times(NOW + timedelta(minutes=15), NOW + timedelta(days=6), 900):
            if done.is_set():
                return
            with filled.begin() as connection:
                for statement in (
                    "INSERT INTO polls (gateway_id, polled_at) VALUES (1, :at)",
                    (
                        "INSERT INTO production_samples (gateway_id, polled_at, phase, "
                        "energy_lifetime_wh, source) VALUES (1, :at, 'total', :wh, 'ct')"
                    ),
                ):
                    wh = round(5_000_000 + site.counter_wh("production", at.timestamp()), 3)
                    bound = {"at": instant(filled, at)} | ({"wh": wh} if ":wh" in statement else {})
                    connection.execute(text(statement), bound)
                rollup.catch_up(rollup.job_of(connection, 1, at, 900))

    writer = threading.Thread(target=store)
    writer.start()
    backup = transfer.backup(filled, tmp_path, "20260506-070000", keep=1)
    done.set()
    writer.join()
    copied = opening(f"sqlite:///{backup}")
    with copied.connect() as connection:
        counted = text("SELECT (SELECT count(*) FROM polls), count(DISTINCT polled_at) "
                       "FROM production_samples")  # fmt: skip
        polls, sampled = connection.execute(counted).one()
    assert polls == sampled
    assert report(copied)[:-1] == report(filled)[:-1]
    assert run(["--database-url", f"sqlite:///{backup}", "db", "check"]) == 0


def test_only_the_newest_backups_are_kept(filled: Engine, filled_url: str, tmp_path: Path) -> None:
    del filled
    for number in range(4):
        (tmp_path / f"envoylog-2000010{number}-000000.db").write_text("")
    args = ["db", "backup", "-o", str(tmp_path), "--keep", "2"]
    assert run(["--database-url", filled_url, *args]) == 0
    kept = sorted(path.name for path in tmp_path.glob("envoylog-*"))
    assert kept[0] == "envoylog-20000103-000000.db"
    assert kept[1].startswith(f"envoylog-{utc_now():%Y%m%d}")
    assert len(kept) == 2


def test_a_file_that_is_no_backup_is_refused(
    opening: Opening, filled: Engine, filled_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = report(filled)
    (tmp_path / "broken.db").write_bytes(b"not a database" * 1000)
    older = tmp_path / "older.db"
    old = opening(f"sqlite:///{older}")
    with old.begin() as connection:
        schema.migrate(connection, "0002")
    old.dispose()
    for name, remedy in (("broken.db", "not a database"), ("older.db", f"{older} db upgrade")):
        args = ["db", "restore", str(tmp_path / name), "--yes"]
        assert run(["--database-url", filled_url, *args]) == 6
        assert remedy in capsys.readouterr().err
        assert report(filled) == before


def test_a_restore_that_breaks_off_changes_nothing(opening: Opening, postgresql_url: str, sqlite_url: str) -> None:
    server, empty = opening(postgresql_url), Path(sqlite_url.removeprefix("sqlite:///"))
    with server.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, serial) VALUES (1, 'mine')"))

    def cut(_table: str, _seen: int, _of_all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer.restore(server, empty, cut)
    assert count(server, "gateways") == 1
    transfer.restore(server, empty)
    assert count(server, "gateways") == 0
    with server.connect() as connection:
        assert len(inspect(connection).get_foreign_keys("polls")) == 1


def test_a_backup_that_finds_no_room_leaves_nothing_and_names_the_place(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't be written to .*file"):
        transfer.backup(filled, tmp_path / "file", "20260506-070000", keep=1)

    def half(_engine: Engine, path: Path, _step: object) -> None:
        path.write_text("half")
        small = sqlite3.connect(":memory:")
        with contextlib.closing(small), translated_errors():
            small.execute("PRAGMA max_page_count=1")
            small.execute("CREATE TABLE more (than fits)")

    monkeypatch.setattr(transfer, "_write", half)
    with pytest.raises(StoreError, match=r"disk of .*room is full.*no new backup"):
        transfer.backup(filled, tmp_path / "room", "20260506-070000", keep=1)
    assert list((tmp_path / "room").iterdir()) == []


def test_pruning_needs_a_limit(filled: Engine, filled_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    del filled
    assert run(["--database-url", filled_url, "db", "prune", "--yes"]) == 2
    assert "keep_samples_days" in capsys.readouterr().err
