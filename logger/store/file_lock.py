"""Rights that end with the process that holds them: a whole file, or one place of a file that many share."""

import contextlib
import errno
import fcntl
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import ClassVar

from logger.errors import CollectorRunningError, StoreAwayError, StoreError
from logger.settings import places

#: struct flock of Linux: kind, from where on (0: the file's begin), start, length, process; fcntl(2)
FLOCK = "hhqqi4x"


class FileLock:
    """The right to something, as the lock of a file that names the process."""

    def __init__(self, path: Path, taken: str) -> None:
        self._path = path
        self._taken = taken  #: the sentence when another process has it
        self._file: int | None = None

    def hold(self) -> bool:
        """Take the lock, and return whether it was not ours before.

        Raises:
            CollectorRunningError: another process has it.
            StoreError: the file can't be written.
        """
        if self._file is not None:
            return False
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            kind = StoreAwayError if error.errno == errno.ENOSPC else StoreError
            raise kind(
                f"{self._path} can't be written ({error.strerror}); make room or fix its permissions."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise CollectorRunningError(self._taken) from error
        if os.geteuid() in {0, os.fstat(handle).st_uid}:
            places.inherit_owner(self._path)
            os.fchmod(handle, 0o600)  # Who can read it could take it; older versions let everybody.
        os.ftruncate(handle, 0)
        os.write(handle, b"%d\n" % os.getpid())  # Who it is, for those who want to look.
        self._file = handle
        return True

    def release(self) -> None:
        """Let another process have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PlaceLock:
    """The right to what goes by a name, as one place of a file: one open file for a thousand of them."""

    _opened: ClassVar[dict[Path, tuple[int, set[int]]]] = {}  #: by path: the file, and the places that are ours
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, name: str, taken: str) -> None:
        self._path = path
        self._taken = taken  #: the sentence when another process has it
        self._place = zlib.crc32(name.encode()) << 16 | zlib.adler32(name.encode()) & 0xFFFF
        self._is_held = False

    def hold(self) -> None:
        """Take the lock, unless it is ours.

        Raises:
            CollectorRunningError: another process has it, or another object of this one.
            StoreError: the file can't be written.
        """
        with self._guard:
            if self._is_held:
                return
            file, ours = self._opened.get(self._path) or (self._open(), set())
            self._opened[self._path] = file, ours
            try:
                if self._place in ours:
                    raise CollectorRunningError(self._taken)
                try:
                    self._set(file, fcntl.F_WRLCK)
                except OSError as error:
                    raise CollectorRunningError(self._taken) from error
                ours.add(self._place)
                self._is_held = True
            finally:
                self._leave(file, ours)

    def release(self) -> None:
        """Let another one have it."""
        with self._guard:
            if self._is_held:
                file, ours = self._opened[self._path]
                with contextlib.suppress(OSError):
                    self._set(file, fcntl.F_UNLCK)
                ours.discard(self._place)
                self._is_held = False
                self._leave(file, ours)

    def _open(self) -> int:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"{self._path} can't be written ({error.strerror}); make room or fix its permissions."
            ) from error
        if os.fstat(file).st_uid == os.geteuid():
            places.inherit_owner(self._path)
        return file

    def _set(self, file: int, kind: int) -> None:
        """Set or give back the lock of our place; it belongs to the open file, not to whoever has it open."""
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, self._place, 1, 0))

    def _leave(self, file: int, ours: set[int]) -> None:
        """Close the file once nothing of it is ours."""
        if not ours:
            del self._opened[self._path]
            os.close(file)
