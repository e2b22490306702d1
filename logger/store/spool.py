"""Where polls wait for the database: what stops the process takes none of them.

Each poll is one line: a checksum and JSON. A poll that was taken is written at once, into a file in memory (``shelf``),
and is taken out when the database has committed it; storing it twice is storing it once. So a database that takes polls
costs no disk any writing but its own. What has waited for ``keep_after_s`` goes into a file of the state directory and
is flushed: a power cut takes no more than that. At a clean stop all of it goes there.

While that file can't be written, polls wait in memory and go into the file later.

One thread appends while another takes out: ``waiting`` gives what waited when it was called, and ``clear`` forgets just
that.
"""

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from logger.readings import Poll
from logger.settings import file_stem
from logger.store.affected import Affected
from logger.store.file_lock import PlaceLock
from logger.store.lines import decode, encode, oldest
from logger.store.poll_file import LARGEST_BYTES, PollFile
from logger.store.shelf import Shelf, shelves

log = logging.getLogger(__name__)

#: of one gateway's polls, and of those of all gateways of a process, while no file can be written
LARGEST_IN_MEMORY_BYTES, ALL_IN_MEMORY_BYTES = 32 * 1024 * 1024, 128 * 1024 * 1024
#: of polls that the database refuses: months of one a minute
LARGEST_REFUSED_BYTES = 64 * 1024 * 1024
#: This many polls lie in memory at most, while the file can be written.
MOST_HELD = 200

OTHER_PROCESS = (
    "Another envoylog is collecting from this gateway with the same state_dir; stop it first (systemctl stop envoylog)."
)


def spool_path(state_dir: Path, name: str) -> Path:
    """Return where the polls of a gateway wait."""
    return state_dir / "spool" / f"{file_stem(name)}.jsonl"


def waiting_files(state_dir: Path, name: str) -> list[Path]:
    """Return the files in which polls of a gateway may wait, the oldest first."""
    return [spool_path(state_dir, name), *shelves(state_dir, name)]


class Waiting(NamedTuple):
    """What waits of some gateways."""

    size_bytes: int
    since: datetime | None  #: when the oldest poll was taken; None where none waits

    @classmethod
    def of(cls, state_dir: Path, names: Iterable[str]) -> "Waiting":
        """Look, also while a collector writes; what is hidden from this user counts as nothing."""
        size_bytes, times = 0, []
        for files in (waiting_files(state_dir, name) for name in names):
            for path in files:
                with contextlib.suppress(OSError):
                    size_bytes += path.stat().st_size
            if (poll := oldest(files)) is not None:
                times.append(poll.polled_at)
        return cls(size_bytes, min(times, default=None))


class MemoryQueue:
    """For one poll by hand, beside a collector that may own the file.

    Appending and deleting from a list's front are atomic, so that two threads may.
    """

    def __init__(self) -> None:
        self._polls: list[Poll] = []
        self._given = 0

    def append(self, poll: Poll) -> None:
        """Let a poll wait."""
        self._polls.append(poll)

    def waiting(self) -> Iterator[Poll]:
        """Return what waits now, oldest first."""
        self._given = len(self._polls)
        return iter(self._polls[: self._given])

    def clear(self) -> None:
        """Forget what ``waiting`` gave last: it is stored."""
        del self._polls[: self._given]
        self._given = 0

    def keep(self) -> None:
        """Do nothing: what waits here ends with the process."""

    def close(self) -> None:
        """Do nothing: it is nobody else's."""

    def set_aside(self, poll: Poll) -> None:
        """Forget a poll that the database refuses; its error is logged."""

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        first = next(iter(self._polls), None)
        return first.polled_at if first else None


class _Held(NamedTuple):
    """A poll that is not in the file of the state directory."""

    number: int
    polled_at: datetime
    line: bytes


class _Given(NamedTuple):
    """What ``waiting`` gave last."""

    state: int  #: of the file
    end: int  #: bytes of it
    last: int  #: the number of the last that was held


class Spool:
    """What waits of one gateway, one ``of`` so many; only one process may own it.

    ``failing`` are the gateways of a process whose files can't be written.

    Raises:
        SettingsError: the state directory can't be written.
    """

    def __init__(self, state_dir: Path, name: str, largest_bytes: int = LARGEST_BYTES, *,
                 keep_after_s: float = 0, of: int = 1, failing: Affected | None = None) -> None:  # fmt: skip
        self._name, self._failing = name, failing or Affected()
        self.path = spool_path(state_dir, name)
        self.keep_after_s = keep_after_s
        self._file = PollFile(self.path, largest_bytes)
        self._largest_in_memory_bytes = min(LARGEST_IN_MEMORY_BYTES, ALL_IN_MEMORY_BYTES // of)
        self._lock = threading.Lock()
        self._right = PlaceLock(self.path.with_name("lock"), self.path.name, OTHER_PROCESS)
        self._shelf = Shelf(state_dir, name)
        self._held: deque[_Held] = deque()
        self._number = 0
        self._given = _Given(0, 0, 0)
        self._is_loaded = False
        #: when the oldest poll was taken that a power cut would cost
        self._unsafe_since: datetime | None = None
        self._oldest: datetime | None = None

    def claim(self) -> None:
        """Let only this process use what waits.

        Raises:
            CollectorRunningError: another one does.
            StoreError: the lock's file can't be written.
        """
        self._right.hold()
        with self._lock:
            self._load()

    def _load(self) -> None:
        """Take over what an earlier process left."""
        if self._is_loaded:
            return
        self._is_loaded = True
        self._file.cut_torn_line()
        for line in self._shelf.lines():
            if (poll := decode(line)) is not None:
                self._hold(poll.polled_at, line)
        self._unsafe_since = self._held[0].polled_at if self._held else None
        self._oldest = self._first_at()
        for older in (".lock", ".reserve"):  # Up to version 0.1 each gateway had its own.
            self.path.with_suffix(older).unlink(missing_ok=True)

    def append(self, poll: Poll) -> None:
        """Append a poll; while no file can be written it waits in memory."""
        line = encode(poll)
        with self._lock:
            self._load()
            self._hold(poll.polled_at, line)
            self._oldest = self._oldest or poll.polled_at
            self._unsafe_since = self._unsafe_since or poll.polled_at
            waited_s = abs((poll.polled_at - self._unsafe_since).total_seconds())
            is_there = self._shelf.append(line)
            if waited_s >= self.keep_after_s or len(self._held) > MOST_HELD:
                self._keep(flush=True)
            elif not is_there:
                self._keep(flush=False)

    def keep(self) -> None:
        """See to it that what waits outlives a power cut, and leave nothing in memory."""
        with self._lock:
            if self._unsafe_since is not None:
                self._keep(flush=True)
            self._shelf.close()

    def close(self) -> None:
        """Keep what waits, and let another process have it."""
        self.keep()
        with self._lock:
            self._held.clear()
            self._is_loaded = False
            self._failing.remove(self._name)
        self._right.release()

    def _hold(self, polled_at: datetime, line: bytes) -> None:
        self._number += 1
        self._held.append(_Held(self._number, polled_at, line))

    def _keep(self, *, flush: bool) -> None:
        """Write what is held into the file."""
        try:
            while self._held:
                self._file.append(self._held[0].line)
                self._held.popleft()
            if flush:
                self._file.flush()
                self._unsafe_since = None
        except OSError as error:
            if self._failing.add(self._name):
                log.error("polls wait in memory: %s can't be written: %s", self.path.parent, error.strerror)  # noqa: TRY400 - the sentence is enough
            self._bound_memory()
        else:
            if self._failing.remove(self._name):
                log.info("%s can be written again", self.path.parent)
            self._shelf.replace()

    def waiting(self) -> Iterator[Poll]:
        """Return what waits now, oldest first; a line that was damaged is left out and logged."""
        with self._lock:
            self._load()
            self._given = _Given(self._file.state, self._file.size_bytes, self._number)
            held = [held.line for held in self._held]
            return chain(self._file.polls(self._given.end), filter(None, map(decode, held)))

    def clear(self) -> None:
        """Take out what ``waiting`` gave last: it is stored."""
        with self._lock:
            state, end, last = self._given
            self._given = _Given(state, 0, last)
            if end and state == self._file.state:  # Else storing what is left again is storing it once.
                self._file.take_out(end)
            while self._held and self._held[0].number <= last:
                self._held.popleft()
            self._shelf.replace([held.line for held in self._held])
            if not self._file.size_bytes:
                self._unsafe_since = self._held[0].polled_at if self._held else None
            self._oldest = self._first_at()

    def _first_at(self) -> datetime | None:
        first = next(self._file.polls(self._file.size_bytes), None)
        if first is not None:
            return first.polled_at
        return self._held[0].polled_at if self._held else None

    def set_aside(self, poll: Poll) -> None:
        """Append a poll that the database refuses to a file beside the spool."""
        path = self.path.with_suffix(".refused")
        try:
            with path.open("ab") as out:
                if out.tell() > LARGEST_REFUSED_BYTES:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))  # noqa: TRY301
                out.write(encode(poll))
        except OSError as error:
            log.error("spool %s: a refused poll was lost: %s", path, error.strerror)  # noqa: TRY400 - the sentence is enough

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        with self._lock:
            self._load()
            return self._oldest

    def _bound_memory(self) -> None:
        if sum(len(held.line) for held in self._held) > self._largest_in_memory_bytes:
            kept = list(self._held)
            half = len(kept) // 2
            if self._failing.worsens():
                log.error("more polls wait than memory has room for: of the older half every other one is dropped")
            self._held = deque([*kept[:half:2], *kept[half:]])
            self._shelf.replace([held.line for held in self._held])


Queue = Spool | MemoryQueue
