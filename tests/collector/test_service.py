"""Slots on the clock, threads as they are needed, one that writes, a clean stop."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from logger.clock import epoch_now_s
from logger.collector import service as services
from logger.collector import writer as writers
from logger.collector.process import ASKED, OTHERS, Room, make_room
from logger.collector.service import Service
from logger.collector.slots import next_s, phase_s
from logger.collector.work import Lane, Pool, log_once
from logger.collector.writer import Writer
from logger.errors import LoggerError, SettingsError, StoreAwayError
from logger.store.spool import MemoryQueue
from tests.conftest import Benches, Opening


@pytest.mark.parametrize(("every_s", "slots"), [(5, 720), (60, 60), (300, 12), (3600, 1), (90, 40)])
def test_the_slots_of_an_hour_lie_on_the_clock(every_s: int, slots: int) -> None:
    found, at_s = [], 3600 - 0.001
    while (at_s := next_s(at_s, every_s, 0)) < 7200:
        found.append(at_s)
    assert found == list(range(3600, 7200, every_s))
    assert len(found) == slots


def test_few_gateways_are_asked_at_once_and_many_spread_over_the_seconds_between_two_slots() -> None:
    names = [f"roof {number}" for number in range(1000)]
    assert {phase_s(name, 10, 60) for name in names} == {0}
    phases = [phase_s(name, len(names), 60) for name in names]
    assert set(phases) == set(range(60))
    assert max(phases.count(second) for second in range(60)) <= 2 * 1000 // 60
    assert {phase_s(name, 1000, 5) for name in names} == set(range(5))


class FakePoller:
    """A poller and its keeper that take a given time; remembers its slots."""

    error: LoggerError | None = None

    def __init__(self, name: str, took_s: float = 0.0, store_s: float = 0.0) -> None:
        self.name = name
        self.queue = MemoryQueue()
        self.took_s = took_s
        self.store_s = store_s
        self.clock_set_by_s: list[int] = []
        self.polled: list[datetime] = []
        self.missed: list[datetime] = []
        self.finished = False
        self.stored = 0
        self.keeper = self

    def poll(self, at: datetime, *, inverters: bool) -> None:
        del inverters
        self.polled.append(at)
        time.sleep(self.took_s)

    def is_due(self, at: datetime) -> bool:
        return at in self.polled

    def clock_was_set(self, by_s: int, at: datetime) -> None:
        del at
        self.clock_set_by_s.append(by_s)

    def store(self) -> bool:
        time.sleep(self.store_s)
        self.stored = len(self.polled)
        return True

    def skip(self, at: datetime) -> None:
        self.missed.append(at)

    def store_all(self) -> bool:
        self.finished = True
        return True


def test_a_slow_gateway_delays_no_other_and_its_missed_slots_are_recorded() -> None:
    slow, quick = FakePoller("slow", 1.4), FakePoller("quick")
    service = Service([slow, quick], poll_every_s=1, inverters_every_s=60)  # type: ignore[list-item]
    timer = threading.Timer(4, service.stop)
    timer.start()
    service.run()
    assert len(quick.polled) >= 3
    assert quick.missed == []
    assert slow.missed
    assert {at.microsecond for at in quick.polled + slow.missed} == {0}
    assert slow.finished


def test_one_that_hangs_each_time_takes_no_thread_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LONG_S", 0.5)
    hanging = [FakePoller(f"hanging {number}", 1.3) for number in range(3)]
    quick = [FakePoller(f"quick {number}", 0.01) for number in range(7)]
    room = Room(4, keeps_connections=True)
    service = Service([*hanging, *quick], poll_every_s=1, inverters_every_s=60, room=room)  # type: ignore[list-item]
    threading.Timer(4.5, service.stop).start()
    service.run()
    for poller in quick:  # Until it is known who hangs, they are in the way.
        assert len(poller.missed) <= 2
        assert len(poller.polled) >= 2
    assert service._pool.threads <= 3
    assert service._long.threads <= 1


def test_a_thread_serves_many_gateways_and_none_is_asked_twice_at_once() -> None:
    pool, running, most = Pool("poll", 100), set[int](), 0
    everything = threading.Semaphore(0)

    def work(number: int) -> None:
        nonlocal most
        running.add(number)
        most = max(most, len(running))
        running.remove(number)
        everything.release()

    for number in range(300):
        pool.do(lambda number=number: work(number))  # type: ignore[misc]
        everything.acquire()
    assert most == 1
    assert pool.threads <= 3


@pytest.mark.parametrize(("soft", "hard", "room"), [
    (1024, 4096, Room(256, keeps_connections=True)),
    (1024, 1024, Room((1024 - OTHERS) // ASKED, keeps_connections=False)),
])  # fmt: skip
def test_the_limit_of_open_files_is_raised_and_respected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, soft: int, hard: int, room: Room
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr("resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _, new: limits.append(new))
    assert make_room(1000) == room
    assert limits[-1] == (min(hard, OTHERS + ASKED * 256 + 1000), hard)
    assert [record.levelname for record in caplog.records] == ([] if room.keeps_connections else ["WARNING"])
    assert make_room(3) == Room(3, keeps_connections=True)
    limits.append((64, 64))
    with pytest.raises(SettingsError, match="raise the limit to"):
        make_room(1000)


class Away(FakePoller):
    """One whose polls the database does not take until it is back."""

    is_back = threading.Event()
    tried: list[str]

    def store(self) -> bool:
        self.tried.append(self.name)
        self.error = None if self.is_back.is_set() else StoreAwayError("away")
        return self.is_back.is_set()

    def close(self) -> None:
        """Nothing waits."""


def test_a_database_that_is_away_is_tried_with_two_gateways_now_and_then_and_takes_all_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writers, "TRY_EVERY_S", 0.2)
    keepers, Away.tried = [Away(f"roof {number}") for number in range(50)], []
    Away.is_back.clear()
    writer = Writer(keepers, lambda: datetime.now(UTC), lambda _error: None)  # type: ignore[arg-type]  # noqa: TID251
    for keeper in keepers:
        writer.wake(keeper)  # type: ignore[arg-type]
    writer.start()
    time.sleep(0.5)
    assert writer.is_away
    assert set(Away.tried) == {"roof 0", "roof 1"}
    assert 2 <= len(Away.tried) <= 8
    Away.is_back.set()
    time.sleep(0.4)
    assert not writer.is_away
    assert Away.tried[-50:] == [keeper.name for keeper in keepers]
    writer.stop(1)
    writer.join(2)
    assert all(keeper.finished for keeper in keepers)


def test_gateways_that_were_left_while_the_database_was_away_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "TRY_EVERY_S", 0.05)
    keepers, Away.tried, left = [Away(f"roof {number}") for number in range(3)], [], list[str]()
    Away.is_back.clear()
    writer = Writer(keepers, lambda: datetime.now(UTC), lambda _error: None)  # type: ignore[arg-type]  # noqa: TID251
    for keeper in keepers[:2]:
        writer.leave(keeper, partial(left.append, keeper.name))  # type: ignore[arg-type]
    writer.start()
    time.sleep(0.1)
    assert sorted(left) == ["roof 0", "roof 1"]
    Away.is_back.set()
    writer.wake(keepers[2])  # type: ignore[arg-type]
    time.sleep(0.2)
    assert Away.tried[-1] == "roof 2"
    writer.stop(1)
    writer.join(2)


def test_a_database_that_makes_wait_delays_no_slot() -> None:
    poller = FakePoller("quick", store_s=1.4)
    service = Service([poller], poll_every_s=1, inverters_every_s=60)  # type: ignore[list-item]
    timer = threading.Timer(4, service.stop)
    timer.start()
    service.run()
    assert len(poller.polled) >= 3
    assert poller.missed == []
    assert poller.finished


class SetClock:
    """A clock that runs with real time until it is set."""

    def __init__(self) -> None:
        self.by = timedelta(0)

    def __call__(self) -> float:
        return epoch_now_s() + self.by.total_seconds()


@pytest.mark.parametrize("hours", [-3, 24 * 400])
def test_a_clock_that_is_set_costs_no_slot_and_is_reported(hours: int) -> None:
    clock, poller = SetClock(), FakePoller("quick")
    service = Service([poller], poll_every_s=1, inverters_every_s=60, epoch_s=clock)  # type: ignore[list-item]
    for after_s, action in ((2.5, lambda: setattr(clock, "by", timedelta(hours=hours))),
                            (6, service.stop)):  # fmt: skip
        threading.Timer(after_s, action).start()
    service.run()
    assert [by_s == 3600 * hours for by_s in poller.clock_set_by_s] == [True]
    assert len(poller.polled) >= 3
    moved = [at for at in poller.polled if abs(clock() - at.timestamp()) < 60]
    assert len(moved) >= 2


@pytest.mark.slow
def test_sigterm_finishes_the_poll_in_flight_commits_and_leaves(opening: Opening, bench: Benches) -> None:
    roof = bench(cts="net")
    roof.clock.set(datetime.now(UTC))  # noqa: TID251 - a real process has a real clock
    roof.clock.speed = 1.0
    config = roof.directory / "config.toml"
    config.write_text(
        f'database_url = "{roof.settings.database_url}"\nstate_dir = "{roof.directory}/state"\n'
        f"poll_every_s = 5\ninverters_every_s = 60\ncommit_every_s = 600\n"
        f'[[gateways]]\nname = "roof"\nhost = "{roof.server.url}"\ntoken_file = "roof.token"\n'
    )
    one_token = roof.simulation.token()
    (roof.directory / "roof.token").write_text(one_token)
    process = subprocess.Popen(
        [sys.executable, "-m", "logger", "--config", str(config), "run"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    deadline = time.monotonic() + 40
    while not roof.asked("/production.json?details=1") and time.monotonic() < deadline:
        time.sleep(0.05)
    roof.simulation.fault("slow", argument="1.5")
    before = len(roof.asked("/ivp/meters/readings"))
    while len(roof.asked("/ivp/meters/readings")) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert process.returncode == 0, log
    assert "Traceback" not in log
    engine = opening(roof.settings.database_url)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT count(*) FROM production_samples")).scalar_one()
    # The poll in flight is there too, although commits were to come only every ten minutes.
    assert stored >= 2


def test_systemd_hears_of_the_start_of_stored_polls_and_of_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        service = Service([FakePoller("quick")], poll_every_s=1, inverters_every_s=60)  # type: ignore[list-item]
        timer = threading.Timer(2.5, service.stop)
        timer.start()
        service.run()
        received = []
        with contextlib.suppress(TimeoutError):
            while True:
                received.append(systemd.recv(200).decode())
    assert received[0] == "READY=1"
    assert received[1].startswith("WATCHDOG=1\nSTATUS=1 polls")
    assert received[-1] == "STOPPING=1"


def test_a_bug_ends_no_thread_and_is_logged_once_until_the_work_goes_well(caplog: pytest.LogCaptureFixture) -> None:
    do, outcomes = log_once("poll", "roof"), iter([1 / 7, ZeroDivisionError, ZeroDivisionError, 1])

    def work() -> None:
        outcome = next(outcomes)
        if outcome is ZeroDivisionError:
            raise ZeroDivisionError

    for _ in range(4):
        do(work)
    outcomes = iter([ZeroDivisionError, KeyError])
    do(work)
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["poll failed unexpectedly gateway=roof"] * 2


def test_work_for_which_no_thread_could_be_made_is_done_once_one_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, lane, done = Pool("poll", 1), Lane("poll", "roof"), threading.Event()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        lane.put(done.set, pool)
        pool.try_again()
    assert not done.is_set()
    pool.try_again()
    assert done.wait(1)
