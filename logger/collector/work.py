"""Who does the work: threads that are made when they are needed, and that no piece of work ends."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from logger.errors import guarded

log = logging.getLogger(__name__)

Work = Callable[[], object]
Item = TypeVar("Item")
#: A thread for which nothing is left to do ends after this time.
IDLE_S = 300.0


def log_once(what: str, name: str) -> Callable[[Work], None]:
    """Return what does a piece of work without ever raising.

    A bug is logged once, and again after the work went well.
    """
    logged = ""

    def report(error: Exception) -> str:
        if repr(error) != logged:
            log.error("%s failed unexpectedly gateway=%s", what, name, exc_info=error)
        return repr(error)

    def do(work: Work) -> None:
        nonlocal logged
        logged = guarded(lambda: (work(), "")[1], report)

    return do


class Now(Iterable[Item]):
    """What there is at the moment at which it is looked through."""

    def __init__(self, items: Callable[[], Iterable[Item]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        """Begin with the first."""
        return iter(self._items())


class Pool:
    """Threads for work that waits for somebody else: as many as are needed at once, up to a number.

    Its work must not raise.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.threads = 0
        self._idle = 0  #: threads that wait for work
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()

    def do(self, work: Work) -> None:
        """Have a piece of work done as soon as a thread is free."""
        with self._changed:
            self._waiting.append(work)
            if self._idle < len(self._waiting) and self.threads < self.most:
                self._add_thread()
            self._changed.notify()

    def try_again(self) -> None:
        """Make a thread where work waits and none could be made for it."""
        with self._changed:
            if self._waiting and not self.threads:
                self._add_thread()

    def _add_thread(self) -> None:
        # A system that gives no more threads has those that there are do it; without any it is tried again.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._run, name=self.name, daemon=True).start()
            self.threads += 1

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Work | None:
        with self._changed:
            self._idle += 1
            is_left = self._changed.wait_for(lambda: self._waiting, IDLE_S)
            self._idle -= 1
            if is_left:
                return self._waiting.popleft()
            self.threads -= 1
            return None

    def drop(self) -> None:
        """Forget what has not been begun."""
        with self._changed:
            self._waiting.clear()


class Lane:
    """Work that is done piece by piece, in the order in which it came, by whichever thread is free."""

    def __init__(self, what: str, name: str) -> None:
        self._guarded = log_once(what, name)
        self._work: deque[Work] = deque()
        self._lock = threading.Lock()
        self._is_handed_over = False  # to a thread, which goes on until nothing is left
        self._is_working = False

    def put(self, work: Work, pool: Pool) -> None:
        """Have a piece of work done after what came before."""
        with self._lock:
            self._work.append(work)
            if self._is_handed_over:
                return
            self._is_handed_over = True
        pool.do(self._run)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be begun."""
        return not self._work

    def finish(self, until_s: float) -> bool:
        """Begin nothing more; return whether what was begun is over at a time of the monotonic clock."""
        with self._lock:
            self._work.clear()
        while self._is_working and time.monotonic() < until_s:
            time.sleep(0.01)
        return not self._is_working

    def _run(self) -> None:
        while True:
            with self._lock:
                self._is_working = self._is_handed_over = bool(self._work)
                if not self._work:
                    return
                work = self._work.popleft()
            self._guarded(work)
