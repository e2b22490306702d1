"""The long-running collector: wall-clock slots, two threads per gateway, a clean stop.

The schedule library thinks in naive local time, which loses an hour each autumn: the process is put into UTC before the
first job. Slots are fixed (:00, :05 …), so a slow poll never shifts the next one; a slot that comes while the last poll
still runs is skipped and recorded. One thread polls and another stores, so that a database that makes wait costs no
slot.

Walk: here -> collector.poller
"""

import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import FrameType

import schedule

from logger.clock import epoch_now_s, from_epoch_s, machine_zone, running_s, to_epoch_s
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.collector.work import log_once
from logger.errors import CollectorRunningError, LoggerError, StoreAwayError, StoreDamagedError
from logger.readings import CLOCKS_AGREE_S

log = logging.getLogger(__name__)

#: systemd and people wait this long for a clean stop.
STOP_WITHIN_S = 4.0
#: How often it is looked whether the database is back, and whether something waited long enough.
LOOK_EVERY_S = 60.0
#: When in an hour its last quarter has been counted.
HOURLY_AT = "03:30"


class PollThread(threading.Thread):
    """Polls one gateway whenever a slot is handed to it; does all in the order in which it is asked to.

    So it always knows which polls were taken before the clock was set.
    """

    def __init__(self, poller: Poller, storing: "StoreThread", inverters_every_s: int) -> None:
        super().__init__(name=f"poll {poller.name}", daemon=True)
        self.poller = poller
        self.storing = storing
        self.inverters_every_s = inverters_every_s
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._is_busy = threading.Event()
        self._guarded = log_once("poll", poller.name)
        self._is_first = True
        self.taken = 0  #: polls that are over

    def offer(self, slot: datetime) -> None:
        """Hand over a slot; while a poll is running, the slot is skipped and recorded."""
        if self._is_busy.is_set():
            self._work.put(partial(self.poller.skip, slot))
        else:
            self._is_busy.set()
            self._work.put(partial(self._poll, slot))

    def clock_was_set(self, by_s: int, at: datetime) -> None:
        """Let the polls before move, once the one in flight is over."""
        self._work.put(partial(self.poller.clock_was_set, by_s, at))

    def stop(self) -> None:
        """Ask the thread to end after the poll in flight."""
        self._work.put(None)

    def run(self) -> None:
        """Poll slot by slot until stopped: the next slot is the retry."""
        while (work := self._work.get()) is not None:
            self._guarded(work)

    def _poll(self, slot: datetime) -> None:
        due = to_epoch_s(slot) % self.inverters_every_s == 0
        try:
            self.poller.poll(slot, inverters=due or self._is_first)
        finally:
            self._is_first = False
            self.taken += 1
            self._is_busy.clear()
            if self.poller.keeper.is_due(slot):
                self.storing.wake()


class StoreThread(threading.Thread):
    """Stores what one gateway's poller took, and rolls up."""

    def __init__(self, keeper: Keeper, now: Callable[[], datetime], fail: Callable[[LoggerError], None]) -> None:
        super().__init__(name=f"store {keeper.name}", daemon=True)
        self.keeper = keeper
        self._now = now
        self._fail = fail
        self._is_due = threading.Event()
        self._guarded = log_once("storing", keeper.name)
        self._is_stopping = False

    def wake(self) -> None:
        """Let what waits be stored now."""
        self._is_due.set()

    def stop(self) -> None:
        """Ask the thread to store all that waits, and end."""
        self._is_stopping = True
        self._is_due.set()

    def run(self) -> None:
        """Store whenever woken, and look by itself now and then."""
        while not self._is_stopping:
            woken = self._is_due.wait(LOOK_EVERY_S)
            self._is_due.clear()
            if woken or self.keeper.is_due(self._now()):
                self._store(self.keeper.store)
        self._store(self.keeper.store_all)

    def _store(self, store: Callable[[], bool]) -> None:
        """Store without ever raising: what waits goes on waiting."""
        self._guarded(store)
        if isinstance(self.keeper.error, CollectorRunningError):
            self._fail(self.keeper.error)


class Service:
    """Runs the threads on a schedule until it is stopped."""

    def __init__(
        self,
        pollers: Sequence[Poller],
        *,
        poll_every_s: int,
        inverters_every_s: int,
        hourly: Callable[[], None] | None = None,
        epoch_s: Callable[[], float] = epoch_now_s,
        running_s: Callable[[], float] = running_s,
    ) -> None:
        self.poll_every_s = poll_every_s
        self.hourly = hourly
        self.epoch_s = epoch_s
        self.running_s = running_s
        self.storing = [StoreThread(poller.keeper, self._now, self._fail) for poller in pollers]
        pairs = zip(pollers, self.storing, strict=True)
        self.polling = [PollThread(poller, storing, inverters_every_s) for poller, storing in pairs]
        self.failure: LoggerError | None = None
        self.slots_offered = 0
        self.last_slot: datetime | None = None
        self._stored = self._taken = 0
        self._offset_s = epoch_s() - running_s()
        self._scheduler = schedule.Scheduler()
        self._stop = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """End ``run`` soon; fit to be a signal handler."""
        self._stop.set()

    def _fail(self, error: LoggerError) -> None:
        self.failure = error
        self._stop.set()

    def _now(self) -> datetime:
        return from_epoch_s(self.epoch_s())

    def run(self) -> None:
        """Collect until ``stop`` is called, then finish what is in flight.

        Raises:
            CollectorRunningError: another collector took the database meanwhile.
        """
        machine_zone()  # The log goes on in it.
        os.environ["TZ"] = "UTC"
        time.tzset()
        self._plan()
        for thread in (*self.storing, *self.polling):
            thread.start()
        notify("READY=1")
        if self.hourly is not None:
            self.hourly()
        while not self._stop.is_set():
            self._read_clock_s()
            self._scheduler.run_pending()
            self._feed_watchdog()
            idle_s = self._scheduler.idle_seconds
            self._stop.wait(1.0 if idle_s is None else max(0.01, min(idle_s, 1.0)))
        notify("STOPPING=1")
        self._finish()
        if self.failure is not None:
            raise self.failure

    def _plan(self) -> None:
        """Plan every slot anew: jobs wait for the time that the old clock would have shown."""
        self._scheduler.clear()
        for job in slots(self._scheduler, self.poll_every_s):
            job.do(self._slot)
        if self.hourly is not None:
            self._scheduler.every().hour.at(HOURLY_AT).do(self.hourly)

    def _read_clock_s(self) -> float:
        """Return what the clock shows, epoch seconds; see whether it was set.

        Its distance from the time that passed, suspended time included, shows that.
        """
        now_s = self.epoch_s()
        before_s, self._offset_s = self._offset_s, now_s - self.running_s()
        by_s = round(self._offset_s - before_s)
        if abs(by_s) > CLOCKS_AGREE_S:
            log.warning("this machine's clock was set by %+d s", by_s)
            self.last_slot = None
            for thread in self.polling:
                thread.clock_was_set(by_s, from_epoch_s(now_s))
            self._plan()
        return now_s

    def _feed_watchdog(self) -> None:
        """Tell systemd that we live: the database took another poll, or is away and another poll waits for it.

        A restart does not bring a database back, and would lose what waits in memory while the disk is full.
        """
        stored, taken = sum(thread.keeper.stored for thread in self.storing), sum(t.taken for t in self.polling)
        is_away = any(isinstance(thread.keeper.error, (StoreAwayError, StoreDamagedError)) for thread in self.storing)
        if stored > self._stored or (is_away and taken > self._taken):
            self._stored, self._taken = stored, taken
            notify(f"WATCHDOG=1\nSTATUS={stored} polls stored")

    def _slot(self) -> None:
        now_s = self._read_clock_s()
        slot = from_epoch_s(now_s - now_s % self.poll_every_s)
        if slot == self.last_slot:
            return  # A job that ran late shares its slot with the next one.
        self.slots_offered, self.last_slot = self.slots_offered + 1, slot
        for thread in self.polling:
            thread.offer(slot)

    def _finish(self) -> None:
        until = time.monotonic() + STOP_WITHIN_S
        for thread in self.polling:
            thread.stop()
        for thread in self.polling:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("gateway=%s was still being asked and is left", thread.poller.name)
            thread.storing.stop()
        for storing in self.storing:
            storing.join(max(1.0, until - time.monotonic()))
            if storing.is_alive():
                log.warning("gateway=%s what waits is stored at the next start", storing.keeper.name)


def slots(scheduler: schedule.Scheduler, every_s: int) -> list[schedule.Job]:
    """Return one unbound job per wall-clock slot."""
    if 60 % every_s == 0:
        return [scheduler.every().minute.at(f":{s:02d}") for s in range(0, 60, every_s)]
    return [scheduler.every().hour.at(f"{s // 60:02d}:{s % 60:02d}") for s in range(0, 3600, every_s)]


def notify(message: str) -> None:
    """Send a line such as READY=1 to systemd; without systemd nothing happens."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # Where nobody listens, collecting matters more than reporting it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address[0] == "@" else address)
            out.sendall(message.encode())
