"""The file of the state directory in which polls of one gateway wait, one line each.

A last line that was cut by a crash is left out. The file is bounded: beyond ``LARGEST_BYTES`` every second of the
oldest half of the polls is dropped, and logged. A file beside it reserves room on the disk for all gateways, which is
given up bit by bit when the disk is full: hours of polls still go into the file then. A file that somebody removes is
made anew.
"""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from logger.errors import SettingsError
from logger.readings import Poll
from logger.settings import places
from logger.store.lines import LONGEST_LINE_BYTES, decode

log = logging.getLogger(__name__)

LARGEST_BYTES = 256 * 1024 * 1024
#: Hours of a poll a minute.
RESERVED_BYTES = 1024 * 1024
#: A file grows by blocks of this size.
BLOCK_BYTES = 4096
#: of errors
FULL = (errno.ENOSPC, errno.EDQUOT)


class PollFile:
    """Lines of polls on a disk.

    Raises:
        SettingsError: the state directory can't be written.
    """

    def __init__(self, path: Path, largest_bytes: int) -> None:
        self.path = path
        self.largest_bytes = largest_bytes
        self.state = 0  #: another one once lines lie elsewhere in the file than before
        self._reserve_path = path.with_name("reserve")
        try:
            self._make()
        except OSError as error:
            raise self._unusable(error) from error
        self.reserve()

    def _unusable(self, error: OSError) -> SettingsError:
        return SettingsError(
            f"Polls can't wait in {self.path.parent} ({error.strerror}); make the directory writable or set state_dir."
        )

    @property
    def size_bytes(self) -> int:
        """How long the file is; 0 where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def _make(self) -> None:
        places.make_folder(self.path.parent, 0o700)
        if self.path.exists() and not self.path.is_file():
            log.error("spool %s is no file; it is moved to %s", self.path, self.path.with_suffix(".odd"))
            self.path.rename(self.path.with_suffix(".odd"))
        self.path.touch(0o600)
        places.inherit_owner(self.path)

    def cut_torn_line(self) -> None:
        """Remove what a crash left of a last line, so that the next one starts a line.

        SettingsError: the file can't be read.
        """
        try:
            self._cut_torn_line()
        except OSError as error:
            raise self._unusable(error) from error

    def _cut_torn_line(self) -> None:
        with self.path.open("rb+") as file:
            end = start = file.seek(0, os.SEEK_END)
            found = -1
            while start and found < 0:
                start = file.seek(max(0, start - 65_536))
                found = file.read(65_536).rfind(b"\n")
            if start + found + 1 < end:
                file.truncate(start + found + 1)

    def append(self, line: bytes) -> None:
        """Append a line, where there is a way to: into the room that was reserved, or a file made anew."""
        try:
            self._write(line)
        except FileNotFoundError:
            log.error("spool %s was removed; it is made anew", self.path)  # noqa: TRY400 - the sentence is enough
            self.state += 1
            self._make()
            self._write(line)
        except OSError as error:
            while error.errno in FULL and self._give_up_a_block():
                try:
                    return self._write(line)
                except OSError as again:
                    error = again
            raise error from None

    def polls(self, end: int) -> Iterator[Poll]:
        """Yield the polls of the first ``end`` bytes; a line that was damaged is left out and logged."""
        if not end:
            return
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as source:
            number = 0
            while source.tell() < end and (line := source.readline(LONGEST_LINE_BYTES)):
                number += 1
                if (poll := decode(line)) is not None:
                    yield poll
                else:
                    log.warning("spool %s: line %d is damaged and left out", self.path, number)

    def flush(self) -> None:
        """See to it that all of it outlives a power cut."""
        with self.path.open("rb") as file:
            os.fdatasync(file.fileno())

    def take_out(self, end: int) -> None:
        """Remove the first ``end`` bytes; on a full disk all may stay."""
        if self.size_bytes <= end:
            with contextlib.suppress(FileNotFoundError):
                os.truncate(self.path, 0)
        else:
            with contextlib.suppress(OSError), self.path.open("rb") as source:
                source.seek(end)
                self._replace(source)
        self.reserve()

    def _write(self, line: bytes) -> None:
        """Append a line whole, or leave the file as it was."""
        found = self.path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        end = found.st_size
        if end + len(line) > self.largest_bytes:
            self._thin()
            end = self.path.stat().st_size
        try:
            with self.path.open("ab", buffering=0) as out:
                if out.write(line) != len(line):  # The disk was full after a part of it.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        except OSError:
            os.truncate(self.path, end)
            raise

    def _give_up_a_block(self) -> bool:
        """Give up some of the reserved room, no more than a line needs: a database on this disk would fill it."""
        with contextlib.suppress(OSError):
            if left := self._reserve_path.stat().st_size:
                if left == RESERVED_BYTES:
                    log.error("spool %s: the disk is full; polls go into the room that was reserved", self.path)
                os.truncate(self._reserve_path, max(0, left - BLOCK_BYTES))
                return True
        return False

    def _thin(self) -> None:
        """Drop every second poll of the oldest half: counters bridge what is gone."""
        with self.path.open("rb") as source:
            half = sum(1 for _ in source) // 2
        log.error("spool %s is full: %d of the oldest %d polls dropped", self.path, half // 2, half)
        self.state += 1
        with self.path.open("rb") as source:
            self._replace(line for n, line in enumerate(source) if n >= half or n % 2 == 0)

    def reserve(self) -> None:
        """Reserve room for when the disk is full, where there is room now."""
        with contextlib.suppress(OSError), os.fdopen(self._open_reserve(), "ab") as file:
            if file.tell() < RESERVED_BYTES and self.largest_bytes >= RESERVED_BYTES:
                os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)

    def _open_reserve(self) -> int:
        return os.open(self._reserve_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)

    def _replace(self, lines: Iterable[bytes]) -> None:
        temporary = self.path.with_suffix(".new")
        try:
            with temporary.open("wb") as out:
                out.writelines(lines)
                out.flush()
                os.fdatasync(out.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        temporary.replace(self.path)
