"""The long-running collector: wall-clock slots, two threads per gateway, a clean stop.

The schedule library thinks in naive local time, which loses an hour each autumn: the process is
put into UTC before the first job. Slots are fixed (:00, :05 …), so a slow poll never shifts the
next one; a slot that comes while the last poll still runs is skipped and recorded. One thread
polls and another stores, so that a database that makes wait costs no slot.
"""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import FrameType

import schedule

from logger.clock import Clock, from_epoch_s, running_s, to_epoch_s, utc_now
from logger.collector.notify import notify
from logger.collector.poller import Poller
from logger.errors import CollectorRunningError, LoggerError

log = logging.getLogger(__name__)

#: systemd and people wait this long for a clean stop.
STOP_WITHIN_S = 4.0
#: Whether the database is back, and whether something waited long enough, is looked at so often.
LOOK_EVERY_S = 60.0
#: A clock that is off by more than this against the time that passed was set.
CLOCK_STEP_S = 30


class Guard:
    """Lets nothing unexpected end a thread; tells of it once, and again after it went well."""

    def __init__(self, what: str, poller: Poller) -> None:
        self._what = what
        self._name = poller.name
        self._told = ""

    def __call__(self, work: Callable[[], object]) -> None:
        """Do a piece of work without ever raising."""
        try:
            work()
        except Exception as error:  # a bug in one piece must not end years of logging
            if repr(error) != self._told:
                log.exception("%s failed unexpectedly gateway=%s", self._what, self._name)
            self._told = repr(error)
        else:
            self._told = ""


class Worker(threading.Thread):
    """Polls one gateway whenever a slot is handed to it."""

    def __init__(self, poller: Poller, keeper: "Keeper", inverters_every_s: int) -> None:
        super().__init__(name=f"poll {poller.name}", daemon=True)
        self.poller = poller
        self.keeper = keeper
        self.inverters_every_s = inverters_every_s
        self._slots: queue.Queue[datetime | None] = queue.Queue()
        self._busy = threading.Event()
        self._guarded = Guard("poll", poller)
        self._first = True

    def offer(self, slot: datetime) -> None:
        """Hand over a slot; while a poll is running, the slot is skipped and recorded."""
        if self.poller.stopped_by is not None:
            return
        if self._busy.is_set():
            self.poller.skipped(slot)
        else:
            self._busy.set()
            self._slots.put(slot)

    def stop(self) -> None:
        """Ask the thread to end after the poll in flight."""
        self._slots.put(None)

    def run(self) -> None:
        """Poll slot by slot until stopped."""
        while (slot := self._slots.get()) is not None:
            due = to_epoch_s(slot) % self.inverters_every_s == 0
            self.take(slot, inverters=due or self._first)
            self._first = False
            self._busy.clear()

    def take(self, slot: datetime, *, inverters: bool) -> None:
        """Poll without ever raising: the next slot is the retry."""
        self._guarded(lambda: self.poller.take(slot, inverters=inverters))
        if self.poller.is_due(slot):
            self.keeper.wake()
        if self.poller.stopped_by is not None:
            name, reason = self.poller.name, self.poller.stopped_by
            log.error("gateway=%s is not polled any more: %s", name, reason)


class Keeper(threading.Thread):
    """Stores what one gateway's poller took, and rolls up."""

    def __init__(self, poller: Poller, clock: Clock, fail: Callable[[LoggerError], None]) -> None:
        super().__init__(name=f"keep {poller.name}", daemon=True)
        self.poller = poller
        self.clock = clock
        self._fail = fail
        self._due = threading.Event()
        self._guarded = Guard("storing", poller)
        self._is_stopping = False

    def wake(self) -> None:
        """Let what waits be stored now."""
        self._due.set()

    def stop(self) -> None:
        """Ask the thread to store all that waits, and end."""
        self._is_stopping = True
        self._due.set()

    def run(self) -> None:
        """Store whenever woken, and look by itself now and then."""
        while not self._is_stopping:
            woken = self._due.wait(LOOK_EVERY_S)
            self._due.clear()
            if woken or self.poller.is_due(self.clock()):
                self._store(self.poller.flush)
        self._store(self.poller.finish)

    def _store(self, store: Callable[[], bool]) -> None:
        """Store without ever raising: what waits goes on waiting."""
        self._guarded(store)
        if isinstance(self.poller.store_error, CollectorRunningError):
            self._fail(self.poller.store_error)


class Service:
    """Runs workers on a schedule until told to stop."""

    def __init__(
        self,
        pollers: Sequence[Poller],
        *,
        poll_every_s: int,
        inverters_every_s: int,
        clock: Clock = utc_now,
        running_s: Callable[[], float] = running_s,
    ) -> None:
        self.poll_every_s = poll_every_s
        self.clock = clock
        self.running_s = running_s
        self.keepers = [Keeper(poller, clock, self._fail) for poller in pollers]
        self.workers = [Worker(one.poller, one, inverters_every_s) for one in self.keepers]
        self.failure: LoggerError | None = None
        self.slots_offered = 0
        self._stored = 0
        self.last_slot: datetime | None = None
        self._stop = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """End ``run`` soon; fit to be a signal handler."""
        self._stop.set()

    def _fail(self, error: LoggerError) -> None:
        self.failure = error
        self._stop.set()

    def run(self) -> None:
        """Collect until ``stop`` is called, then finish what is in flight.

        Raises:
            CollectorRunningError: another collector took the database meanwhile.
        """
        os.environ["TZ"] = "UTC"
        time.tzset()
        scheduler = schedule.Scheduler()
        self._plan(scheduler)
        for thread in (*self.keepers, *self.workers):
            thread.start()
        notify("READY=1")
        started_s = self._clock_offset_s()
        while not self._stop.is_set():
            offset_s = self._clock_offset_s()
            if abs(offset_s - started_s) > CLOCK_STEP_S:
                self._clock_was_set(round(offset_s - started_s))
                self._plan(scheduler)
            started_s = offset_s
            scheduler.run_pending()
            self._feed_watchdog()
            idle_s = scheduler.idle_seconds
            self._stop.wait(1.0 if idle_s is None else max(0.01, min(idle_s, 1.0)))
        notify("STOPPING=1")
        self._finish()
        if self.failure is not None:
            raise self.failure

    def _plan(self, scheduler: schedule.Scheduler) -> None:
        """Plan every slot anew: jobs wait for the time that the old clock would have shown."""
        scheduler.clear()
        for job in slots(scheduler, self.poll_every_s):
            job.do(self._slot)

    def _clock_offset_s(self) -> float:
        """Return how far the clock is from the time that passed, suspended time included."""
        return self.clock().timestamp() - self.running_s()

    def _clock_was_set(self, by_s: int) -> None:
        log.warning("this machine's clock was set by %+d s", by_s)
        self.last_slot = None
        for worker in self.workers:
            worker.poller.clock_was_set(by_s, self.clock())

    def _feed_watchdog(self) -> None:
        """Tell systemd that we live, but only when the database took another poll."""
        stored = sum(worker.poller.stored for worker in self.workers)
        if stored > self._stored:
            self._stored = stored
            notify(f"WATCHDOG=1\nSTATUS={stored} polls stored")

    def _slot(self) -> None:
        now_s = to_epoch_s(self.clock())
        slot = from_epoch_s(now_s - now_s % self.poll_every_s)
        if slot == self.last_slot:
            return  # A job that ran late shares its slot with the next one.
        self.slots_offered, self.last_slot = self.slots_offered + 1, slot
        for worker in self.workers:
            worker.offer(slot)

    def _finish(self) -> None:
        until = time.monotonic() + STOP_WITHIN_S
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                log.warning("gateway=%s was still being asked and is left", worker.poller.name)
            worker.keeper.stop()
        for keeper in self.keepers:
            keeper.join(max(1.0, until - time.monotonic()))
            if keeper.is_alive():
                log.warning("gateway=%s what waits is stored at the next start", keeper.poller.name)


def slots(scheduler: schedule.Scheduler, every_s: int) -> list[schedule.Job]:
    """Return one unbound job per wall-clock slot."""
    if 60 % every_s == 0:
        return [scheduler.every().minute.at(f":{s:02d}") for s in range(0, 60, every_s)]
    return [
        scheduler.every().hour.at(f"{s // 60:02d}:{s % 60:02d}") for s in range(0, 3600, every_s)
    ]


def catch_signals(service: Service) -> None:
    """Let SIGTERM and SIGINT end the service cleanly."""
    signal.signal(signal.SIGTERM, service.stop)
    signal.signal(signal.SIGINT, service.stop)
