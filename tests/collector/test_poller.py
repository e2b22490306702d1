"""Polls are kept, in order, through a database that comes and goes."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select, text

from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.errors import CertificateChangedError, GatewayReplacedError
from logger.readings import Poll
from logger.rollups import rollup
from logger.store.models import EVENTS, METADATA, POLLS, PRODUCTION_SAMPLES
from logger.store.schema import upgrade
from logger.store.writer import reserve_rollups
from tests.conftest import Bench, Benches, Opening, collect

MINUTE = timedelta(minutes=1)


def poller_of(roof: Bench, engine: Engine) -> Poller:
    return pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]


def run(roof: Bench, poller: Poller, minutes: int, step: timedelta = MINUTE) -> None:
    for _ in range(minutes):
        collect(poller, roof.clock())
        roof.clock.set(roof.clock() + step)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_each_poll_is_stored_once_and_whole(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = bench(database_url=database_url, cts="net")
    poller = poller_of(roof, engine)
    poll = collect(poller, roof.clock(), inverters=True)
    with engine.begin() as connection:
        from logger.store.writer import save  # noqa: PLC0415 - the second time, by hand

        save(connection, 1, poll)
    assert count(engine, "polls") == 1
    assert count(engine, "production_samples") == 1
    assert count(engine, "consumption_samples") == 2
    assert count(engine, "meter_readings") == 2
    assert count(engine, "inverter_samples") == 12
    assert count(engine, "meters") == 2
    assert count(engine, "gateways") == 1


def test_what_is_stored_is_what_the_gateway_reported(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = bench(database_url=database_url, cts="net")
    poll = collect(poller_of(roof, engine), roof.clock(), inverters=True)
    with engine.connect() as connection:
        row = connection.execute(select(PRODUCTION_SAMPLES)).one()
    (sample,) = poll.production
    assert row.polled_at == poll.polled_at
    assert (row.power_w, row.energy_lifetime_wh, row.source) == (sample.power_w, sample.energy_lifetime_wh, "ct")


def test_polls_wait_while_the_database_is_away_and_follow_in_order(
    opening: Opening, bench: Benches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(cts="net")
    path = tmp_path / "moving.db"
    engine = opening(f"sqlite:///{path}")
    upgrade(engine)
    poller = poller_of(roof, engine)
    run(roof, poller, 3)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE polls RENAME TO away")
        connection.commit()
    caplog.set_level(logging.INFO)
    run(roof, poller, 20)
    with engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO polls")
        connection.commit()
    run(roof, poller, 1)
    with engine.connect() as connection:
        times = connection.execute(select(POLLS.c.polled_at)).scalars().all()
    assert len(times) == 24
    assert list(times) == sorted(times)
    lines = [record.getMessage() for record in caplog.records if "database" in record.getMessage()]
    assert len(lines) == 2


def test_an_outage_of_hours_makes_two_log_lines(
    opening: Opening, bench: Benches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(cts="net")
    engine = opening(f"sqlite:///{tmp_path}/x.db")
    upgrade(engine)
    poller = poller_of(roof, engine)
    run(roof, poller, 2)
    caplog.clear()
    caplog.set_level(logging.INFO)
    roof.simulation.fault("outage")
    run(roof, poller, 30)
    roof.simulation.faults.clear()
    run(roof, poller, 2)
    assert len(caplog.records) == 2, [record.getMessage() for record in caplog.records]
    with engine.connect() as connection:
        rows = connection.execute(select(POLLS.c.outcome, func.count()).group_by(POLLS.c.outcome))
        assert {row[0]: row[1] for row in rows} == {"complete": 4, "failed": 30}


def test_a_firmware_change_and_a_meter_switched_off_are_events(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof = bench(database_url=database_url, cts="net", generation="7")
    poller = poller_of(roof, engine)
    collect(poller, roof.clock())
    roof.simulation.fault("firmware", argument="8.2.4286")
    roof.simulation.fault("meter_off")
    roof.clock.set(roof.clock() + timedelta(hours=2))
    collect(poller, roof.clock())
    with engine.connect() as connection:
        kinds = connection.execute(select(EVENTS.c.kind, EVENTS.c.detail))
        found = {kind: detail for kind, detail in kinds if kind != "outage"}
    assert found == {"firmware_change": "7.6.175 to 8.2.4286", "meter_disabled": "was enabled"}


def test_another_gateway_is_only_asked_who_it_is_until_the_right_one_is_back(
    opening: Opening, bench: Benches, tmp_path: Path
) -> None:
    roof = bench(cts="net")
    engine = opening(f"sqlite:///{tmp_path}/x.db")
    upgrade(engine)
    run(roof, poller_of(roof, engine), 1)
    roof.simulation.fault("new_serial")
    again = poller_of(roof, engine)  # A restart knows the serial from the database.
    before = len(roof.simulation.requests)
    run(roof, again, 2)
    assert isinstance(again.last_error, GatewayReplacedError)
    assert {request.path for request in roof.simulation.requests[before:]} == {"/info"}
    roof.simulation.faults.clear()
    run(roof, again, 1)
    with engine.connect() as connection:
        outcomes = connection.execute(select(POLLS.c.outcome).order_by(POLLS.c.polled_at)).scalars().all()
    assert outcomes == ["complete", "failed", "failed", "complete"]


def test_a_gateway_whose_row_is_deleted_is_made_known_anew(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = bench(database_url=database_url, cts="net")
    poller = poller_of(roof, engine)
    run(roof, poller, 1)
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())
    run(roof, poller, 3)
    assert count(engine, "polls") == 3


def test_a_bug_costs_the_poll_that_has_it_and_is_logged_once(
    opening: Opening, bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(cts="net")
    engine = opening(f"sqlite:///{tmp_path}/x.db")
    upgrade(engine)
    poller = poller_of(roof, engine)
    answer, has_bug = poller.gateway.poll, iter([False, True, True, False])

    def poll(**options: Any) -> Poll:
        if next(has_bug):
            raise KeyError("realm")
        return answer(**options)

    monkeypatch.setattr(poller.gateway, "poll", poll)
    run(roof, poller, 4)
    with engine.connect() as connection:
        found = connection.execute(select(POLLS.c.outcome, POLLS.c.error).order_by(POLLS.c.polled_at)).all()
    assert [outcome for outcome, _ in found] == ["complete", "failed", "failed", "complete"]
    assert found[1].error == "gateway: this program can't read what the gateway answers (KeyError)."
    assert [record.message for record in caplog.records if record.exc_info] == [
        "polling failed unexpectedly gateway=roof"
    ]


def test_a_certificate_that_changes_again_is_an_event_again(
    opening: Opening, bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(cts="net")
    engine = opening(f"sqlite:///{tmp_path}/x.db")
    upgrade(engine)
    poller = poller_of(roof, engine)
    answer = poller.gateway.poll
    is_changed = iter([False, True, True, False, True])

    def poll(**options: Any) -> Poll:
        if next(is_changed):
            raise CertificateChangedError("another certificate")
        return answer(**options)

    monkeypatch.setattr(poller.gateway, "poll", poll)
    run(roof, poller, 5)
    with engine.connect() as connection:
        kinds = select(func.count()).where(EVENTS.c.kind == "certificate_change")
        assert connection.execute(kinds).scalar_one() == 2


def test_rollups_follow_each_quarter_hour(opening: Opening, bench: Benches, tmp_path: Path) -> None:
    roof = bench(cts="net", start=datetime(2026, 6, 15, 10, tzinfo=UTC))
    engine = opening(f"sqlite:///{tmp_path}/x.db")
    upgrade(engine)
    run(roof, poller_of(roof, engine), 46)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT starts_at, production_wh, covered_s FROM energy_15min ORDER BY starts_at")
        ).all()
    since = datetime(2026, 6, 15, 10, tzinfo=UTC)
    true = roof.simulation.site.energy_between_wh("production", since, since + timedelta(minutes=15))
    assert [row.starts_at for row in rows][:3] == ["2026-06-15 10:00:00", "2026-06-15 10:15:00", "2026-06-15 10:30:00"]
    assert rows[0].production_wh == pytest.approx(true, abs=0.01)
    assert [row.covered_s for row in rows][:3] == [900, 900, 900]


def test_polls_are_stored_with_what_follows_from_them_and_alone_where_that_fails(
    bench: Benches, engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = bench(database_url=database_url, cts="net")
    poller = poller_of(roof, engine)
    commits: list[Any] = []
    event.listen(engine, "commit", commits.append)
    run(roof, poller, 30)
    assert len(commits) == 30

    def fail(connection: Connection, *args: Any, **options: Any) -> bool:
        rollup.roll_up(connection, *args, **options)
        raise KeyError("a bug that shows once all is written")

    monkeypatch.setattr("logger.collector.keeper.roll_up", fail)
    run(roof, poller, 16)
    assert count(engine, "polls") == 46
    assert len(commits) == 30 + 16 + 2
    with engine.connect() as connection:
        changes = rollup.rebuild(connection, 1, now=roof.clock() - MINUTE, gap_s=900, since=None)
    assert changes == []


def test_polls_are_stored_while_another_program_has_the_rollups_and_these_follow(
    bench: Benches, postgresql_url: str, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    """A rebuild takes minutes; who drops months of samples needs them too, which no roll-up may have read by then."""
    caplog.set_level("INFO")
    roof, engine = bench(database_url=postgresql_url, cts="net"), opening(postgresql_url)
    poller = poller_of(roof, engine)
    run(roof, poller, 2)
    with opening(postgresql_url).begin() as connection:
        reserve_rollups(connection)
        roof.clock.set(roof.clock() + 15 * MINUTE)
        run(roof, poller, 2)
        assert count(engine, "polls") == 4
        assert poller.keeper.error is None
        rolled_up = count(engine, "energy_15min")
        connection.execute(text("LOCK TABLE production_samples"))  # as to drop months of it
    run(roof, poller, 2)
    assert count(engine, "polls") == 6
    assert count(engine, "energy_15min") > rolled_up
    assert [record.getMessage() for record in caplog.records if "totals" in record.getMessage()] == [
        "totals wait for a command that has them (rebuild, check, prune); polls are stored",
        "totals follow again gateway=roof",
    ]
    assert "database" not in caplog.text
