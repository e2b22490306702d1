"""The long-running collector: wall-clock slots, one worker per gateway, a clean stop.

The schedule library thinks in naive local time, which loses an hour each autumn: the process is
put into UTC before the first job. Slots are fixed (:00, :05 …), so a slow poll never shifts the
next one; a slot that comes while the last poll still runs is skipped and recorded.
"""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from types import FrameType

import schedule

from logger.clock import Clock, from_epoch_s, to_epoch_s, utc_now
from logger.collector.notify import notify
from logger.collector.poller import Poller

log = logging.getLogger(__name__)

#: systemd and people wait this long for a clean stop.
STOP_WITHIN_S = 4.0


class Worker(threading.Thread):
    """Polls one gateway whenever a slot is handed to it."""

    def __init__(self, poller: Poller, inverters_every_s: int) -> None:
        super().__init__(name=f"poll {poller.name}", daemon=True)
        self.poller = poller
        self.inverters_every_s = inverters_every_s
        self._slots: queue.Queue[datetime | None] = queue.Queue()
        self._busy = threading.Event()
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
            self.guarded(slot, inverters=due or self._first)
            self._first = False
            self._busy.clear()

    def guarded(self, slot: datetime, *, inverters: bool) -> None:
        """Poll without ever raising: the next slot is the retry."""
        try:
            self.poller.poll(slot, inverters=inverters)
        except Exception:  # the one place: a bug in one poll must not end years of logging
            log.exception("poll failed unexpectedly gateway=%s", self.poller.name)
        if self.poller.stopped_by is not None:
            log.error("gateway=%s is not polled any more: %s", self.name, self.poller.stopped_by)


class Service:
    """Runs workers on a schedule until told to stop."""

    def __init__(
        self,
        pollers: Sequence[Poller],
        *,
        poll_every_s: int,
        inverters_every_s: int,
        clock: Clock = utc_now,
    ) -> None:
        self.poll_every_s = poll_every_s
        self.clock = clock
        self.workers = [Worker(poller, inverters_every_s) for poller in pollers]
        self.slots_offered = 0
        self._stored = 0
        self.last_slot: datetime | None = None
        self._stop = threading.Event()

    def stop(self, *_: int | FrameType | None) -> None:
        """End ``run`` soon; fit to be a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Collect until ``stop`` is called, then finish what is in flight."""
        os.environ["TZ"] = "UTC"
        time.tzset()
        scheduler = schedule.Scheduler()
        for job in slots(scheduler, self.poll_every_s):
            job.do(self._slot)
        for worker in self.workers:
            worker.start()
        notify("READY=1")
        while not self._stop.is_set():
            scheduler.run_pending()
            self._feed_watchdog()
            idle_s = scheduler.idle_seconds
            self._stop.wait(1.0 if idle_s is None else max(0.01, min(idle_s, 1.0)))
        notify("STOPPING=1")
        self._finish()

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
            worker.poller.finish()


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
