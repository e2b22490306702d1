"""The long-running collector: wall-clock slots, threads as they are needed, a clean stop.

Slots are fixed (:00, :05 …), so a slow poll never shifts the next one; a slot that comes while the last poll still runs
is skipped and recorded. Many gateways are asked spread over the seconds between two slots, each always at its own.
Whoever asks waits for the gateway most of the time, so that a thread serves many; another thread stores, so that a
database that makes wait costs no slot.

Walk: here -> collector.poller
"""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import FrameType

from logger.clock import epoch_now_s, from_epoch_s, running_s
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.collector.process import PLENTY, Room
from logger.collector.sharing import Sharing
from logger.collector.slots import next_s, phase_s
from logger.collector.systemd import notify
from logger.collector.work import Lane, Now, Pool
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

    @property
    def is_over(self) -> bool:
        """Whether no poll runs, or is about to."""
        return not self._is_busy and self.lane.is_empty

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
            try:
                taken(slot, self.poller)
            finally:
                self._is_busy = False


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
        sharing: Sharing | None = None,
    ) -> None:
        self.poll_every_s = poll_every_s
        self.inverters_every_s = inverters_every_s
        self.hourly = hourly
        self.epoch_s = epoch_s
        self.running_s = running_s
        self.sharing = sharing
        self._count = len(pollers) if sharing is None else sharing.count
        self.turns = {poller.name: self._turn(poller) for poller in pollers}
        self.writer = Writer([poller.keeper for poller in pollers], self._now, self._fail)
        #: of the gateways that are asked, whenever they are looked through
        self.pollers = Now(lambda: [turn.poller for turn in list(self.turns.values())])
        self.keepers = Now(lambda: list(self.writer.keepers.values()))
        self.failure: LoggerError | None = None
        self.slots_offered = 0
        self.last_slot: datetime | None = None
        self._keeps_connections = room.keeps_connections
        self._long = Pool("long poll", max(1, room.threads // 4))
        self._pool = Pool("poll", max(1, room.threads - self._long.most))
        #: (when, and whose turn it is then), the next first; nobody's when the hourly work is
        self._planned: list[tuple[int, str]] = []
        #: that other threads asked for
        self._news: deque[Callable[[], object]] = deque()
        self._leaving: list[Turn] = []
        self._known = set(self.turns)
        self._alive: tuple[int, int, int] = (0, 0, 0)  #: polls that were stored and taken, and renewals of leases
        self._taken = 0
        self._offset_s = epoch_s() - running_s()
        self._is_stopping = False
        self._changed = threading.Event()

    def _turn(self, poller: Poller) -> Turn:
        return Turn(poller, phase_s(poller.name, self._count, self.poll_every_s))

    def take(self, poller: Poller) -> None:
        """Ask one more gateway, from its next slot on; any thread may say so."""
        self._known.add(poller.name)
        self._news.append(partial(self._take, poller))
        self._changed.set()

    def leave(self, name: str) -> None:
        """Ask a gateway no longer, and forget it when its polls are stored; any thread may say so."""
        self._news.append(partial(self._leave, name))
        self._changed.set()

    def store_left(self, keepers: Sequence[Keeper]) -> None:
        """Store what waits of gateways that others may ask now."""
        for keeper in keepers:
            self._known.add(keeper.name)
            self.writer.add(keeper)
            self.writer.leave(keeper, partial(self._known.discard, keeper.name))

    def has(self, name: str) -> bool:
        """Return whether a gateway is asked, or polls of it wait."""
        return name in self._known

    def stop(self, *_: int | FrameType | None) -> None:
        """End ``run`` soon; fit to be a signal handler."""
        self._is_stopping = True
        self._changed.set()

    def _fail(self, error: LoggerError) -> None:
        self.failure = error
        self.stop()

    def _now(self) -> datetime:
        return from_epoch_s(self.epoch_s())

    def run(self) -> None:
        """Collect until ``stop`` is called, then finish what is in flight.

        Raises:
            CollectorRunningError: another collector took the database meanwhile.
        """
        self._plan(self.epoch_s())
        self.writer.start()
        if self.sharing is not None:
            self.sharing.start(self)
        notify("READY=1")
        if self.hourly is not None:
            self.hourly()
        while not self._is_stopping:
            now_s = self._read_clock_s()
            self._offer_due(now_s)
            self._hear(now_s)
            for pool in (self._pool, self._long):
                pool.try_again()
            self._feed_watchdog()
            left_s = self._planned[0][0] - self.epoch_s() if self._planned else LOOK_EVERY_S
            self._changed.wait(max(0.01, min(left_s, LOOK_EVERY_S)))
            self._changed.clear()
        notify("STOPPING=1")
        self._finish()
        if self.failure is not None:
            raise self.failure

    def _plan(self, now_s: float) -> None:
        """Plan the next slot of each anew."""
        self._planned = [(next_s(now_s, self.poll_every_s, turn.phase_s), name) for name, turn in self.turns.items()]
        if self.hourly is not None:
            self._planned.append((next_s(now_s, 3600, HOURLY_AT_S), ""))
        heapq.heapify(self._planned)

    def _hear(self, now_s: float) -> None:
        """Take and leave gateways as others have asked for."""
        if self._news:
            while self._news:
                self._news.popleft()()
            self._plan(now_s)
        for turn in [turn for turn in self._leaving if turn.is_over]:
            self._leaving.remove(turn)
            self.writer.leave(turn.poller.keeper, partial(self._known.discard, turn.poller.name))

    def _take(self, poller: Poller) -> None:
        self.turns[poller.name] = self._turn(poller)
        self.writer.add(poller.keeper)

    def _leave(self, name: str) -> None:
        if (turn := self.turns.pop(name, None)) is not None:
            self._leaving.append(turn)

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
            for turn in self.turns.values():
                turn.clock_was_set(by_s, from_epoch_s(now_s), self._pool)
            self._plan(now_s)  # What was planned is of the clock as it was.
        return now_s

    def _offer_due(self, now_s: float) -> None:
        """Hand each slot that has come to whose it is."""
        while self._planned and self._planned[0][0] <= now_s:
            name = self._planned[0][1]
            if name:
                turn = self.turns[name]
                due_s = next_s(now_s, self.poll_every_s, turn.phase_s)
                self._offer(turn, due_s - self.poll_every_s)
            else:
                due_s = next_s(now_s, 3600, HOURLY_AT_S)
                if self.hourly is not None:
                    self.hourly()
            heapq.heapreplace(self._planned, (due_s, name))

    def _offer(self, turn: Turn, slot_s: int) -> None:
        slot, with_inverters = from_epoch_s(slot_s), (slot_s - turn.phase_s) % self.inverters_every_s == 0
        if slot != self.last_slot:
            self.slots_offered, self.last_slot = self.slots_offered + 1, slot
        pool = self._long if turn.took_s > LONG_S else self._pool
        turn.offer(slot, inverters=with_inverters, pool=pool, taken=self._poll_taken)

    def _poll_taken(self, slot: datetime, poller: Poller) -> None:
        self._taken += 1
        if not self._keeps_connections:
            poller.hang_up()
        if (keeper := poller.keeper).is_due(slot):
            self.writer.wake(keeper)

    def _feed_watchdog(self) -> None:
        """Tell systemd that we live: the database took another poll, or is away and another poll waits for it.

        A restart does not bring a database back, and would lose what waits in memory while the disk is full.
        """
        stored, taken, renewed = self._alive
        now = self.writer.stored, self._taken, self.sharing.renewals if self.sharing is not None else 0
        has_none = not self.turns and now[2] > renewed  # All are leased by others.
        if now[0] > stored or has_none or (now[1] > taken and self.writer.is_away):
            self._alive = now
            notify(f"WATCHDOG=1\nSTATUS={now[0]} polls stored")

    def _finish(self) -> None:
        until_s = time.monotonic() + STOP_WITHIN_S
        if self.sharing is not None:
            self.sharing.stop()
        for pool in (self._pool, self._long):
            pool.drop()
        for turn in (*self.turns.values(), *self._leaving):
            if not turn.lane.finish(until_s):
                log.warning("gateway=%s was still being asked and is left", turn.poller.name)
        left_s = max(1.0, until_s - time.monotonic())
        self.writer.stop(left_s)
        self.writer.join(left_s)
        if self.writer.is_alive():
            log.warning("what waits is stored at the next start")
            self.writer.keep()  # The machine may go down next.
        if self.sharing is not None:
            self.sharing.release()
