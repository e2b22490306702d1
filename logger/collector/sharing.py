"""Several collectors for the gateways of one configuration: each asks those that it has leased.

A thread renews the leases, takes gateways that are free, and leaves some where others have too few. While the database
is away nothing changes hands: each goes on with what it has, for it can't be told whether the others are still there;
what two of them asked in the same slot is stored once.

Walk: store.leases -> here -> collector.service
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from logger.clock import epoch_now_s, from_epoch_s, running_s
from logger.collector.poller import Poller
from logger.collector.slots import next_s, phase_s
from logger.collector.work import log_once
from logger.errors import LoggerError, StoreError
from logger.settings import GatewaySettings, Settings
from logger.store.leases import Leases, Renewed

log = logging.getLogger(__name__)

#: A lease lasts as long as the time between two slots, and is renewed this often in it: one that is gone is noticed
#: before the second slot is missed.
RENEWALS = 4
#: Others that start at the same moment are waited for, s.
FIRST_S = 3.0
#: This share of the gateways is left to others at a time: each of them is asked by nobody for a moment.
LEFT_AT_ONCE = 8
#: The database's clock is gone by where it differs by more from this machine's, s.
AGREE_S = 2.0


class Asking(Protocol):
    """Who asks the gateways."""

    def take(self, poller: Poller) -> None:
        """Ask one more."""

    def leave(self, name: str) -> None:
        """Ask one no longer."""

    def has(self, name: str) -> bool:
        """Return whether one is asked, or polls of it wait to be stored."""


class Sharing:
    """Keeps this collector's leases, and has the service ask what it leased."""

    def __init__(self, settings: Settings, ready: Callable[[], object], leases: Leases,
                 build: Callable[[Sequence[GatewaySettings]], Iterable[Poller]]) -> None:  # fmt: skip
        self._gateways: Mapping[str, GatewaySettings] = {gateway.name: gateway for gateway in settings.gateways}
        self._every_s = settings.poll_every_s
        self._ready = ready
        self._leases = leases
        self._build = build
        self._leaving: set[str] = set()
        self._asked: set[str] = set()
        self._offset_s = epoch_now_s() - running_s()  #: of the clock that is gone by
        self._ahead_s = 0.0  #: the database's clock, of this machine's, where that is wrong
        self._is_away = self._has_more = False
        self._database: object = None  #: which, as ``ready`` calls it
        self._takes_from_s = 0.0  #: of the monotonic clock: when others are known to be there, or not
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.renewals = 0  #: that went well

    @property
    def count(self) -> int:
        """How many gateways are configured."""
        return len(self._gateways)

    def epoch_s(self) -> float:
        """Return the present instant by the database's clock, epoch seconds.

        This machine's clock may be set at any time: a machine without a battery for it starts with a wrong one.
        """
        return running_s() + self._offset_s

    def clock(self) -> datetime:
        """Return the present instant by the database's clock."""
        return from_epoch_s(self.epoch_s())

    def start(self, asking: Asking) -> None:
        """Begin."""
        guarded = log_once("sharing", "all")

        def run() -> None:
            # Those that start together share at once.
            guarded(lambda: self.renew(asking, takes=False))
            self._stop.wait(min(FIRST_S, self._every_s / RENEWALS))
            while not self._stop.is_set():
                self._has_more = False
                guarded(lambda: self.renew(asking))
                self._stop.wait(0 if self._has_more else self._every_s / RENEWALS)

        self._thread = threading.Thread(target=run, name="sharing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more gateways."""
        self._stop.set()

    def release(self) -> None:
        """Let others take all gateways at once."""
        if self._thread is not None:
            self._thread.join(1.0)
        try:
            self._leases.release()
        except StoreError as error:
            log.warning("others take over when the leases have expired: %s", error)

    def renew(self, asking: Asking, *, takes: bool = True) -> None:
        """Renew the leases once, and have the service follow; without ``takes`` take nothing yet."""
        left = {name for name in self._leaving if not asking.has(name)}
        # Where the server was away, the others are yet to say that they are there.
        takes = takes and not self._is_away and time.monotonic() >= self._takes_from_s
        try:
            if (which := self._ready()) != self._database:
                self._leases.forget()
                self._database = which
            renewed = self._leases.renew(left, takes=takes)
        except LoggerError as error:
            self._is_lost(error)
            return
        if self._is_away:
            log.info("gateways are shared again")
            self._takes_from_s = time.monotonic() + self._every_s / 2
        self._is_away, self.renewals = False, self.renewals + 1
        self._go_by(renewed)
        self._leaving -= left
        self._leaving &= renewed.held
        for name in self._asked - renewed.held:
            asking.leave(name)
        lost, before = self._asked - renewed.held, len(self._asked)
        self._asked &= renewed.held
        # What this process still stores from when it last had a gateway goes first.
        gained = [name for name in sorted(renewed.held - self._asked - self._leaving) if not asking.has(name)]
        until_s = time.monotonic() + self._every_s / RENEWALS
        try:
            for poller in self._build([self._gateways[name] for name in gained]) if gained else ():
                asking.take(poller)
                self._asked.add(poller.name)
                if time.monotonic() > until_s:
                    self._has_more = True  # What else was gained waits until the leases have been renewed.
                    break
        except StoreError as error:  # It is taken the next time.
            self._is_lost(error)
        for name in self._to_leave(renewed.too_many - len(self._leaving)):
            asking.leave(name)
            self._asked.remove(name)
            self._leaving.add(name)
        if lost or len(self._asked) != before:
            log.info(
                "asking %d of %d gateways collector=%s", len(self._asked), len(self._gateways), self._leases.collector
            )

    def _is_lost(self, error: LoggerError) -> None:
        if not self._is_away:
            log.error("gateways stay as they are: %s", error)
        self._is_away = True

    def _to_leave(self, too_many: int) -> Collection[str]:
        """Return which gateways to leave to others: those whose next slot is far enough for it to be theirs."""
        if too_many <= 0:
            return ()
        now_s, count = self.epoch_s(), len(self._gateways)
        left_s = {
            name: next_s(now_s, self._every_s, phase_s(name, count, self._every_s)) - now_s for name in self._asked
        }
        far = [
            name for name in sorted(left_s, key=left_s.__getitem__, reverse=True) if left_s[name] > self._every_s / 2
        ]
        return far[: min(too_many, -(-count // LEFT_AT_ONCE))]

    def _go_by(self, renewed: Renewed) -> None:
        """Go by the database's clock: all collectors have to mean the same slots."""
        if renewed.within_s > AGREE_S:
            return
        before_s, self._ahead_s = self._ahead_s, renewed.ahead_s if abs(renewed.ahead_s) > AGREE_S else 0.0
        shown_s = epoch_now_s() + self._ahead_s
        if not self._ahead_s or abs(shown_s - self.epoch_s()) > AGREE_S:
            self._offset_s = shown_s - running_s()
        if self._ahead_s and abs(self._ahead_s - before_s) > AGREE_S:
            log.warning(
                "this machine's clock is %.0f s %s the database server's, which is gone by; set it: "
                "timedatectl set-ntp true", abs(self._ahead_s), "behind" if self._ahead_s > 0 else "ahead of",
            )  # fmt: skip
