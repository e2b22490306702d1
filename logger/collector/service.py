"""The long-running collector: wall-clock slots, threads as they are needed, a clean stop.

Slots are fixed (:00, :05 …), so a slow poll never shifts the next one; a slot that comes while the last poll still runs
is skipped and recorded. Many gateways are asked spread over the seconds between two slots, each always at its own.
Whoever asks waits for the gateway most of the time, so that a thread serves many; another thread stores, so that a
database that makes wait costs no slot.

Walk: here -> collector.poller
"""

import contextlib
import heapq
import logging
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import FrameType

from logger.clock import epoch_now_s, from_epoch_s, running_s
from logger.collector.open_files import PLENTY, Room
from logger.collector.poller import Poller
from logger.collector.work import Lane, Pool
from logger.collector.writer import Writer
from logger.errors import LoggerError
from logger.readings import CLOCKS_AGREE_S

log = logging.getLogger(__name__)

#: systemd and people wait this long for a clean stop.
STOP_WITHIN_S = 4.0
#: How often it is looked whether this machine's clock was set.
LOOK_EVERY_S = 5.0
#: When in an hour its last quarter has been counted, s.
HOURLY_AT_S = 210
#: This many gateways are asked in the same second.
TOGETHER = 10
#: One that has just kept a thread for this long waits for one of a fourth of them: who hangs never holds up the rest.
LONG_S = 10.0


class Turn:
    """One gateway's polls, one after the other in the order in which they were asked for.

    So it always knows which polls were taken before the clock was set.
    """

    def __init__(self, poller: Poller, phase_s: int) -> None:
        self.poller = poller
        self.phase_s = phase_s  #: after the slot
        self.taken = 0  #: polls that are over
        self.took_s = 0.0  #: the last one
        self.lane = Lane("poll", poller.name)
        self._is_busy = False

    def offer(self, slot: datetime, *, inverters: bool, pool: Pool, taken: Callable[[datetime, Poller], None]) -> None:
        """Hand over a slot; while a poll is running, the slot is skipped and recorded."""
        if self._is_busy:
            self.lane.put(partial(self.poller.skip, slot), pool)
        else:
            self._is_busy = True
            self.lane.put(partial(self._poll, slot, taken, inverters=inverters), pool)

    def clock_was_set(self, by_s: int, at: datetime, pool: Pool) -> None:
        """Let the polls before move, once the one in flight is over."""
        self.lane.put(partial(self.poller.clock_was_set, by_s, at), pool)

    def _poll(self, slot: datetime, taken: Callable[[datetime, Poller], None], *, inverters: bool) -> None:
        began_s = time.monotonic()
        try:
            self.poller.poll(slot, inverters=inverters or self.taken == 0)
        finally:
            self.taken, self.took_s = self.taken + 1, time.monotonic() - began_s
            self._is_busy = False
            taken(slot, self.poller)


class Service:
    """Asks gateways on a schedule until it is stopped."""

    def __init__(
        self,
        pollers: Sequence[Poller],
        *,
        poll_every_s: int,
        inverters_every_s: int,
        hourly: Callable[[], None] | None = None,
        epoch_s: Callable[[], float] = epoch_now_s,
        running_s: Callable[[], float] = running_s,
        room: Room = PLENTY,
    ) -> None:
        self.poll_every_s = poll_every_s
        self.inverters_every_s = inverters_every_s
        self.hourly = hourly
        self.epoch_s = epoch_s
        self.running_s = running_s
        self.turns = [Turn(poller, phase_s(poller.name, len(pollers), poll_every_s)) for poller in pollers]
        self.writer = Writer([poller.keeper for poller in pollers], self._now, self._fail)
        self.failure: LoggerError | None = None
        self.slots_offered = 0
        self.last_slot: datetime | None = None
        self._keeps_connections = room.keeps_connections
        self._long = Pool("long poll", max(1, room.threads // 4))
        self._pool = Pool("poll", max(1, room.threads - self._long.most))
        #: (when, and whose turn it is then), the next first; whose turn is -1 when the hourly work is
        self._planned: list[tuple[int, int]] = []
        self._stored = self._taken = 0
        self._offset_s = epoch_s() - running_s()
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
        self._plan()
        self.writer.start()
        notify("READY=1")
        if self.hourly is not None:
            self.hourly()
        while not self._stop.is_set():
            self._offer_due(self._read_clock_s())
            self._feed_watchdog()
            left_s = self._planned[0][0] - self.epoch_s() if self._planned else LOOK_EVERY_S
            self._stop.wait(max(0.01, min(left_s, LOOK_EVERY_S)))
        notify("STOPPING=1")
        self._finish()
        if self.failure is not None:
            raise self.failure

    def _plan(self) -> None:
        """Plan the next slot of each anew: what was planned is of the clock as it was."""
        now_s = self.epoch_s()
        self._planned = [
            (next_s(now_s, self.poll_every_s, turn.phase_s), number) for number, turn in enumerate(self.turns)
        ]
        if self.hourly is not None:
            self._planned.append((next_s(now_s, 3600, HOURLY_AT_S), -1))
        heapq.heapify(self._planned)

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
            for turn in self.turns:
                turn.clock_was_set(by_s, from_epoch_s(now_s), self._pool)
            self._plan()
        return now_s

    def _offer_due(self, now_s: float) -> None:
        """Hand each slot that has come to whose it is."""
        while self._planned and self._planned[0][0] <= now_s:
            number = self._planned[0][1]
            if number >= 0:
                due_s = next_s(now_s, self.poll_every_s, self.turns[number].phase_s)
                self._offer(self.turns[number], due_s - self.poll_every_s)
            else:
                due_s = next_s(now_s, 3600, HOURLY_AT_S)
                if self.hourly is not None:
                    self.hourly()
            heapq.heapreplace(self._planned, (due_s, number))

    def _offer(self, turn: Turn, slot_s: int) -> None:
        slot, with_inverters = from_epoch_s(slot_s), (slot_s - turn.phase_s) % self.inverters_every_s == 0
        if slot != self.last_slot:
            self.slots_offered, self.last_slot = self.slots_offered + 1, slot
        pool = self._long if turn.took_s > LONG_S else self._pool
        turn.offer(slot, inverters=with_inverters, pool=pool, taken=self._poll_taken)

    def _poll_taken(self, slot: datetime, poller: Poller) -> None:
        if not self._keeps_connections:
            poller.hang_up()
        if (keeper := poller.keeper).is_due(slot):
            self.writer.wake(keeper)

    def _feed_watchdog(self) -> None:
        """Tell systemd that we live: the database took another poll, or is away and another poll waits for it.

        A restart does not bring a database back, and would lose what waits in memory while the disk is full.
        """
        stored, taken = self.writer.stored, sum(turn.taken for turn in self.turns)
        if stored > self._stored or (taken > self._taken and self.writer.is_away):
            self._stored, self._taken = stored, taken
            notify(f"WATCHDOG=1\nSTATUS={stored} polls stored")

    def _finish(self) -> None:
        until_s = time.monotonic() + STOP_WITHIN_S
        for pool in (self._pool, self._long):
            pool.drop()
        for turn in self.turns:
            if not turn.lane.finish(until_s):
                log.warning("gateway=%s was still being asked and is left", turn.poller.name)
        left_s = max(1.0, until_s - time.monotonic())
        self.writer.stop(left_s)
        self.writer.join(left_s)
        if self.writer.is_alive():
            log.warning("what waits is stored at the next start")


def next_s(now_s: float, every_s: int, after_s: int) -> int:
    """Return the next instant (epoch seconds) that lies this long after a multiple of ``every_s``."""
    whole_s = int(now_s)
    return whole_s - (whole_s - after_s) % every_s + every_s


def phase_s(name: str, count: int, every_s: int) -> int:
    """Return how long after a slot one of some gateways is asked: few of them at once, many one after the other.

    It is the same after each start, and of each collector of a configuration.
    """
    return zlib.crc32(name.encode()) % min(every_s, -(-count // TOGETHER))


def notify(message: str) -> None:
    """Send a line such as READY=1 to systemd; without systemd nothing happens."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # Where nobody listens, collecting matters more than reporting it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address[0] == "@" else address)
            out.sendall(message.encode())
