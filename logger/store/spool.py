"""Where polls wait for the database: a file per gateway that survives whatever stops the process.

Each poll is one line: a checksum and JSON. A poll is appended when it was taken, and taken out when the database has
committed it; storing it twice is storing it once. A last line that was cut by a crash is left out. The file is bounded:
beyond ``LARGEST_BYTES`` every second of the oldest half of the polls is dropped, and logged. A file beside it reserves
room on the disk, which is given up bit by bit when the disk is full: hours of polls still go into the file then. While
it can't be written, polls wait in memory and go into the file later. A file that somebody removes is made anew.

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
from pathlib import Path

from logger.errors import SettingsError
from logger.readings import Poll
from logger.settings import file_stem, places
from logger.store.lines import decode, encode
from logger.store.lock import FileLock

log = logging.getLogger(__name__)

LARGEST_BYTES = 256 * 1024 * 1024
LARGEST_IN_MEMORY_BYTES = 32 * 1024 * 1024
#: Hours of a poll a minute.
RESERVED_BYTES = 1024 * 1024
#: A file grows by blocks of this size.
BLOCK_BYTES = 4096
#: of errors
FULL = (errno.ENOSPC, errno.EDQUOT)

OTHER_PROCESS = (
    "Another envoylog is collecting from this gateway with the same state_dir; stop it first (systemctl stop envoylog)."
)


def spool_path(state_dir: Path, name: str) -> Path:
    """Return where the polls of a gateway wait."""
    return state_dir / "spool" / f"{file_stem(name)}.jsonl"


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

    def set_aside(self, poll: Poll) -> None:
        """Forget a poll that the database refuses; its error is logged."""

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        first = next(iter(self._polls), None)
        return first.polled_at if first else None


class Spool:
    """The file of one gateway; only one process may own it.

    Raises:
        SettingsError: the state directory can't be written.
    """

    def __init__(self, state_dir: Path, name: str, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = spool_path(state_dir, name)
        self.largest_bytes = largest_bytes
        self._reserve_path = self.path.with_suffix(".reserve")
        try:
            self._make()
        except OSError as error:
            raise SettingsError(
                f"Polls can't wait in {self.path.parent} ({error.strerror}); make the directory "
                "writable or set state_dir."
            ) from error
        self._lock = threading.Lock()
        right = FileLock(self.path.with_suffix(".lock"), OTHER_PROCESS)
        #: let only this process use the file, or raise CollectorRunningError; and let another one have it
        self.claim, self.close = right.hold, right.release
        #: (number, line) of what could not be written yet
        self._memory: deque[tuple[int, bytes]] = deque()
        self._number = 0
        #: what ``waiting`` gave last: bytes of the file, and the number of the last in memory
        self._given: tuple[int, int] | None = None
        self._is_failing = False
        self._cut_torn_line()
        self._oldest = self._first_at()
        self._reserve()

    def append(self, poll: Poll) -> None:
        """Append a poll; while the file can't be written it waits in memory."""
        with self._lock:
            self._number += 1
            self._memory.append((self._number, encode(poll)))
            self._oldest = self._oldest or poll.polled_at
            try:
                while self._memory:
                    self._write_somehow(self._memory[0][1])
                    self._memory.popleft()
            except OSError as error:
                if not self._is_failing:
                    log.error("spool %s: polls wait in memory: %s", self.path, error.strerror)  # noqa: TRY400 - the sentence is enough
                self._is_failing = True
                self._bound_memory()
            else:
                if self._is_failing:
                    log.info("spool %s can be written again", self.path)
                self._is_failing = False

    def waiting(self) -> Iterator[Poll]:
        """Return what waits now, oldest first; a line that was damaged is left out and logged."""
        with self._lock:
            self._given = (self._size_bytes, self._number)
            return self._polls(self._given[0], [line for _, line in self._memory])

    def _polls(self, end: int, held: list[bytes]) -> Iterator[Poll]:
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as source:
            number = 0
            while source.tell() < end and (line := source.readline()):
                number += 1
                if (poll := decode(line)) is not None:
                    yield poll
                else:
                    log.warning("spool %s: line %d is damaged and left out", self.path, number)
        yield from filter(None, map(decode, held))

    def clear(self) -> None:
        """Take out what ``waiting`` gave last: it is stored."""
        with self._lock:
            if self._given is None:
                return  # Thinned meanwhile: storing what is left again is storing it once.
            end, last = self._given
            self._given = None
            if self._size_bytes <= end:
                with contextlib.suppress(FileNotFoundError):
                    os.truncate(self.path, 0)
            else:
                # What was appended since stays; on a full disk all does, and is stored again, which is once.
                with contextlib.suppress(OSError), self.path.open("rb") as source:
                    source.seek(end)
                    self._replace(source)
            while self._memory and self._memory[0][0] <= last:
                self._memory.popleft()
            self._oldest = self._first_at()
            self._reserve()

    @property
    def is_failing(self) -> bool:
        """Whether polls wait in memory because the file can't be written."""
        return self._is_failing

    @property
    def _size_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _reserve(self) -> None:
        """Reserve room for when the disk is full, where there is room now."""
        with contextlib.suppress(OSError), self._reserve_path.open("ab") as file:
            if file.tell() < RESERVED_BYTES and self.largest_bytes >= RESERVED_BYTES:
                os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)

    def _write_somehow(self, line: bytes) -> None:
        """Append a line, where there is a way to: into the room that was reserved, or a file made anew."""
        try:
            self._write(line)
        except FileNotFoundError:
            log.error("spool %s was removed; it is made anew", self.path)  # noqa: TRY400 - the sentence is enough
            self._given = None  # Nothing of what comes now was given to be stored.
            self._make()
            self._write(line)
        except OSError as error:
            while error.errno in FULL and self._give_up_a_block():
                try:
                    return self._write(line)
                except OSError as again:
                    error = again
            raise error from None

    def _give_up_a_block(self) -> bool:
        """Give up some of the reserved room, no more than a line needs: a database on this disk would fill it."""
        with contextlib.suppress(OSError):
            if left := self._reserve_path.stat().st_size:
                if left == RESERVED_BYTES:
                    log.error("spool %s: the disk is full; polls go into the room that was reserved", self.path)
                os.truncate(self._reserve_path, max(0, left - BLOCK_BYTES))
                return True
        return False

    def _make(self) -> None:
        places.make_folder(self.path.parent, 0o700)
        self.path.touch(0o600)
        places.inherit_owner(self.path)

    def _first_at(self) -> datetime | None:
        polls = self._polls(self._size_bytes, [line for _, line in self._memory])
        return next((poll.polled_at for poll in polls), None)

    def set_aside(self, poll: Poll) -> None:
        """Append a poll that the database refuses to a file beside the spool."""
        path = self.path.with_suffix(".refused")
        try:
            with path.open("ab") as out:
                out.write(encode(poll))
        except OSError as error:
            log.error("spool %s: a refused poll was lost: %s", path, error.strerror)  # noqa: TRY400 - the sentence is enough

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        return self._oldest

    def _write(self, line: bytes) -> None:
        """Append a line whole, or leave the file as it was."""
        end = self.path.stat().st_size
        if end + len(line) > self.largest_bytes:
            self._thin()
            end = self.path.stat().st_size
        try:
            with self.path.open("ab", buffering=0) as out:
                if out.write(line) != len(line):  # The disk was full after a part of it.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                if end:
                    # What waits for long has to outlive a power cut; a poll that is stored at once need not be written
                    # to the disk twice.
                    os.fdatasync(out.fileno())
        except OSError:
            os.truncate(self.path, end)
            raise

    def _cut_torn_line(self) -> None:
        """Remove what a crash left of a last line, so that the next one starts a line."""
        with self.path.open("rb+") as file:
            end = start = file.seek(0, os.SEEK_END)
            found = -1
            while start and found < 0:
                start = file.seek(max(0, start - 65_536))
                found = file.read(65_536).rfind(b"\n")
            if start + found + 1 < end:
                file.truncate(start + found + 1)

    def _thin(self) -> None:
        """Drop every second poll of the oldest half: counters bridge what is gone."""
        with self.path.open("rb") as source:
            half = sum(1 for _ in source) // 2
        log.error("spool %s is full: %d of the oldest %d polls dropped", self.path, half // 2, half)
        self._given = None
        with self.path.open("rb") as source:
            self._replace(line for n, line in enumerate(source) if n >= half or n % 2 == 0)

    def _bound_memory(self) -> None:
        if sum(len(line) for _, line in self._memory) > LARGEST_IN_MEMORY_BYTES:
            kept = list(self._memory)
            half = len(kept) // 2
            log.error("spool %s: %d polls dropped from memory", self.path, half // 2)
            self._memory = deque([*kept[:half:2], *kept[half:]])

    def _replace(self, lines: Iterable[bytes]) -> None:
        temporary = self.path.with_suffix(".new")
        try:
            with temporary.open("wb") as out:
                out.writelines(lines)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        temporary.replace(self.path)


Queue = Spool | MemoryQueue
