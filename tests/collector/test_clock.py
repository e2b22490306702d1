"""Our clock is set: the polls before move to when they were taken, and are counted there."""

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.clock import epoch_now_s
from logger.collector.poller import Poller
from logger.collector.service import Service
from logger.collector.wiring import pollers
from logger.rollups import rollup
from logger.store.lock import CollectorDatabase
from logger.store.spool import Spool
from tests.conftest import Bench, Benches

START = datetime(2026, 6, 1, 6, tzinfo=UTC)
STEP = timedelta(minutes=5)
NONE = timedelta(0)
#: A page of its own is all that this gateway's production comes from, and it carries no time.
AGELESS: dict[str, Any] = {"cts": "none", "generation": "7"}


class Collector:
    """The collector's classes with a clock that is wrong by ``by``."""

    def __init__(self, roof: Bench, engine: Engine) -> None:
        self.roof = roof
        self.engine = engine
        self.by = NONE
        self.poller: Poller
        self.start()

    def start(self) -> None:
        roof = self.roof
        (self.poller,) = pollers(roof.settings, self.engine, roof.environ, clock=self.now)

    def now(self) -> datetime:
        return self.roof.clock() + self.by

    def poll(self, times: int, *, store: bool = True) -> None:
        for _ in range(times):
            self.poller.poll(self.now(), inverters=False)
            if store:
                assert self.poller.keeper.store()
            self.roof.clock.set(self.roof.clock() + STEP)

    def set_clock(self, by: timedelta = NONE) -> None:
        """Set our clock, to be wrong by this much."""
        step, self.by = by - self.by, by
        self.poller.clock_was_set(int(step.total_seconds()), self.now())

    def stop(self) -> None:
        assert self.poller.keeper.store_all()


def days_and_events(engine: Engine) -> tuple[list[Any], list[Any]]:
    with engine.connect() as connection:
        days = connection.execute(
            text("SELECT day, production_wh, covered_s FROM energy_daily WHERE phase = 'total' "
                 "ORDER BY day")
        ).all()  # fmt: skip
        events = connection.execute(text("SELECT kind, detail FROM events ORDER BY at, kind")).all()
    return [(str(day), *rest) for day, *rest in days], [tuple(event) for event in events]


def times_of(engine: Engine, table: str = "polls") -> list[datetime]:
    query = text(f"SELECT DISTINCT polled_at FROM {table} ORDER BY polled_at")
    with engine.connect() as connection:
        found = connection.execute(query).scalars().all()
    return [datetime.fromisoformat(str(at)[:19]).replace(tzinfo=UTC) for at in found]


def check(roof: Bench, engine: Engine) -> tuple[list[Any], list[Any]]:
    """See that all was counted once, and that a rebuild counts the same."""
    live = days_and_events(engine)
    with engine.connect() as connection:
        lifetimes = connection.execute(
            text("SELECT energy_lifetime_wh FROM production_samples ORDER BY polled_at")
        ).scalars()
        counted = list(lifetimes)
    assert counted == sorted(counted)
    total_wh = sum(wh for _, wh, _ in live[0] if wh)
    assert total_wh == pytest.approx(counted[-1] - counted[0], abs=0.01)
    true_wh = roof.simulation.site.energy_between_wh("production", START, roof.clock() - STEP)
    assert total_wh == pytest.approx(true_wh, rel=0.05, abs=100)
    with engine.begin() as connection:
        assert rollup.rebuild(connection, 1, now=roof.clock(), gap_s=900, since=None) == []
    assert days_and_events(engine) == live
    return live


def kinds(events: list[Any]) -> set[str]:
    return {kind for kind, _ in events} - {"clock_skew", "today_not_reset"}


def detail(events: list[Any]) -> str:
    return str(next(detail for kind, detail in events if kind == "clock_set"))


def made(bench: Benches, engine: Engine, url: str, **model: Any) -> tuple[Bench, Collector]:
    roof = bench(start=START, born=START - timedelta(days=1), database_url=url,
                **(model or {"cts": "net"}))  # fmt: skip
    return roof, Collector(roof, engine)


@pytest.mark.parametrize("by", [timedelta(days=-3 * 365), timedelta(days=300)])
@pytest.mark.parametrize("model", [{"cts": "net"}, AGELESS], ids=["readings with time", "without"])
def test_the_first_polls_ever_move_from_another_year(
    bench: Benches, engine: Engine, database_url: str, by: timedelta, model: dict[str, Any]
) -> None:
    roof, collector = made(bench, engine, database_url, **model)
    taken = [roof.clock() + n * STEP for n in range(16)]
    collector.by = by
    collector.start()
    collector.poll(8)
    collector.set_clock()
    collector.poll(8)
    collector.stop()
    days, events = check(roof, engine)
    assert {day for day, *_ in days} == {"2026-06-01"}
    assert days[0][2] == 15 * 300
    assert kinds(events) == {"clock_set"}
    assert detail(events).endswith("; 8 polls moved")
    for table in ("polls", "production_samples"):
        assert times_of(engine, table) == taken
    with engine.connect() as connection:
        ages = connection.execute(text("SELECT max(abs(reading_age_s)) FROM production_samples"))
        assert (ages.scalar_one() or 0) <= 2
        first = connection.execute(text("SELECT first_seen_at FROM gateways")).scalar_one()
    assert str(first)[:19] == "2026-06-01 06:00:00"


@pytest.mark.parametrize(("off_h", "wrong_polls"), [(5, 3), (20, 10)])
@pytest.mark.parametrize("model", [{"cts": "net"}, AGELESS], ids=["readings with time", "without"])
def test_polls_of_a_machine_that_booted_with_its_old_clock_are_moved(
    bench: Benches, engine: Engine, database_url: str, off_h: int, wrong_polls: int,
    model: dict[str, Any],
) -> None:  # fmt: skip
    roof, collector = made(bench, engine, database_url, **model)
    collector.poll(9)
    off = timedelta(hours=off_h, minutes=2)
    roof.clock.set(roof.clock() + off)
    back_at = roof.clock()
    collector.by = -off
    collector.start()
    collector.poll(wrong_polls)
    collector.set_clock()
    collector.poll(8)
    collector.stop()
    _, events = check(roof, engine)
    assert kinds(events) == {"clock_set", "outage"}
    assert detail(events).endswith(f"; {wrong_polls} polls moved")
    after = [at for at in times_of(engine) if at >= back_at]
    assert after == [back_at + n * STEP for n in range(wrong_polls + 8)]


@pytest.mark.parametrize("model", [{"cts": "net"}, AGELESS], ids=["readings with time", "without"])
def test_a_clock_that_shows_the_same_hour_twice_costs_neither_hour(
    bench: Benches, engine: Engine, database_url: str, model: dict[str, Any]
) -> None:
    roof, collector = made(bench, engine, database_url, **model)
    collector.poll(12)
    # It stopped without a word, and a file has the time an hour before that.
    off = timedelta(hours=3)
    roof.clock.set(roof.clock() + off - STEP)
    back_at = roof.clock()
    collector.by = -off - timedelta(hours=1)
    collector.start()
    collector.poll(6)
    assert len(times_of(engine)) == 18
    collector.set_clock()
    collector.poll(8)
    collector.stop()
    check(roof, engine)
    for table in ("polls", "production_samples"):
        found = times_of(engine, table)
        assert found[:12] == [START + n * STEP for n in range(12)]
        assert found[12:] == [back_at + n * STEP for n in range(14)]


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=2)])
@pytest.mark.parametrize("model", [{"cts": "net"}, AGELESS], ids=["readings with time", "without"])
def test_a_clock_that_ran_ahead_and_is_set_back_counts_nothing_twice(
    bench: Benches, engine: Engine, database_url: str, ahead: timedelta, model: dict[str, Any]
) -> None:
    roof, collector = made(bench, engine, database_url, **model)
    taken = [START + n * STEP for n in range(12 + 10 + 12)]
    collector.poll(12)
    collector.by = ahead
    collector.start()
    collector.poll(10)
    collector.set_clock()
    collector.poll(12)
    collector.stop()
    days, events = check(roof, engine)
    assert kinds(events) == {"clock_set"}
    assert times_of(engine) == times_of(engine, "production_samples") == taken
    assert sum(covered_s for *_, covered_s in days) == (len(taken) - 1) * 300


def test_a_clock_that_ran_ahead_and_was_set_while_nobody_looked_counts_as_if_it_had_been_right(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof, collector = made(bench, engine, database_url)
    wrong_polls = 18
    collector.poll(12)
    collector.by = timedelta(hours=1)
    collector.start()
    collector.poll(wrong_polls)
    collector.by = NONE
    collector.start()
    collector.poll(8)
    collector.stop()
    days, events = check(roof, engine)
    assert kinds(events) == {"clock_set"}
    assert detail(events).endswith(f"; {wrong_polls} polls moved")
    taken = [START + n * STEP for n in range(12 + wrong_polls + 8)]
    found = times_of(engine)
    assert times_of(engine, "production_samples") == times_of(engine, "meter_readings") == found
    assert len(found) == len(taken)
    assert all(abs(at - when) <= timedelta(seconds=2) for at, when in zip(found, taken, strict=True))
    assert sum(covered_s for *_, covered_s in days) == pytest.approx((len(taken) - 1) * 300, abs=4)


def test_a_clock_that_is_set_wrong_and_back_moves_only_the_polls_between(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof, collector = made(bench, engine, database_url)
    collector.poll(20)
    collector.set_clock(timedelta(hours=1))
    collector.poll(5)
    collector.set_clock()
    collector.poll(20)
    collector.stop()
    _, events = check(roof, engine)
    assert times_of(engine) == [START + n * STEP for n in range(45)]
    moved = [detail.rpartition("; ")[2] for kind, detail in events if kind == "clock_set"]
    assert sorted(moved) == ["0 polls moved", "5 polls moved"]


def test_a_clock_that_was_set_twice_moves_the_first_polls_twice(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof, collector = made(bench, engine, database_url, **AGELESS)
    collector.by = timedelta(days=-300)
    collector.start()
    collector.poll(5)
    collector.set_clock(timedelta(minutes=-20))
    collector.poll(5, store=False)
    collector.set_clock()
    collector.poll(20, store=False)
    collector.stop()
    check(roof, engine)
    assert times_of(engine) == [START + n * STEP for n in range(30)]


def test_what_waits_in_the_spool_of_a_killed_collector_moves_and_only_once(bench: Benches, database_url: str) -> None:
    roof = bench(start=START, born=START - timedelta(days=1), database_url=database_url, **AGELESS)
    by = timedelta(days=-300)

    def collector() -> tuple[Poller, CollectorDatabase]:
        database = CollectorDatabase(database_url)
        clock = lambda: roof.clock() + by  # noqa: E731
        (poller,) = pollers(roof.settings, database, roof.environ, clock=clock)
        return poller, database

    def poll(poller: Poller, times: int) -> None:
        for _ in range(times):
            poller.poll(roof.clock() + by, inverters=False)
            roof.clock.set(roof.clock() + STEP)

    poller, database = collector()
    poll(poller, 5)
    by = NONE
    poller.clock_was_set(300 * 86_400, roof.clock())
    poll(poller, 3)
    assert isinstance(poller.keeper.queue, Spool)
    spool = poller.keeper.queue
    left = spool.path.read_bytes()
    for _ in range(2):  # The second time as if it was killed before it forgot what it stored.
        spool.path.write_bytes(left)
        database.close()
        spool.close()
        poller, database = collector()
        assert isinstance(poller.keeper.queue, Spool)
        spool = poller.keeper.queue
        assert poller.keeper.store_all()
        assert times_of(database.engine) == [START + n * STEP for n in range(8)]
        assert times_of(database.engine, "production_samples") == times_of(database.engine)
    database.close()


def test_the_running_service_moves_polls_and_knows_by_how_much(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof = bench(cts="net", database_url=database_url)
    by = [-7200.0]
    roof.clock.set(datetime.fromtimestamp(epoch_now_s(), UTC))
    roof.clock.speed = 1.0
    (roof.directory / "roof.token").write_text(roof.simulation.token())
    found = pollers(roof.settings, engine, roof.environ)
    service = Service(found, poll_every_s=1, inverters_every_s=60, epoch_s=lambda: epoch_now_s() + by[0])
    began_s = epoch_now_s()

    def stored(polls: int) -> None:
        while found[0].keeper.stored < polls and epoch_now_s() < began_s + 60:
            time.sleep(0.05)

    def set_clock_and_stop() -> None:
        stored(2)
        by[0] = 0.0
        stored(found[0].keeper.stored + 3)
        service.stop()

    threading.Thread(target=set_clock_and_stop, daemon=True).start()
    service.run()
    times = [at.timestamp() for at in times_of(engine)]
    assert len(times) >= 5
    assert times[0] >= began_s - 2
    assert times[-1] <= epoch_now_s()
    by_s = re.search(r"set by \+(\d+) s", detail(days_and_events(engine)[1]))
    assert by_s is not None
    assert abs(int(by_s[1]) - 7200) <= 1


@pytest.mark.parametrize("by_s", [-25, 25])
def test_a_small_step_is_no_event(
    bench: Benches, engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, by_s: int
) -> None:
    roof = bench(cts="net", database_url=database_url)
    by = [0.0]
    service = Service(
        pollers(roof.settings, engine, roof.environ, clock=roof.clock),
        poll_every_s=1,
        inverters_every_s=60,
        epoch_s=lambda: roof.clock().timestamp() + by[0],
        running_s=lambda: roof.clock().timestamp(),
    )
    moved: list[int] = []
    monkeypatch.setattr(service.turns["roof"], "clock_was_set", lambda by_s, *_: moved.append(by_s))
    service._read_clock_s()
    by[0] = by_s
    service._read_clock_s()
    assert moved == []
    by[0] = by_s + 31 * (by_s // abs(by_s))
    service._read_clock_s()
    assert moved == [31 * (by_s // abs(by_s))]
