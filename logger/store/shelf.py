"""Where polls wait for some minutes at most: a file in memory, which a process that is killed leaves behind.

Nothing of it is written to a disk, so that waiting wears none; a machine that goes down takes it along. Of the service
it lies in the unit's own folder below /run, which systemd keeps from one start to the next, else in /dev/shm. (There
systemd deletes what belongs to a service's user once its unit stops.) Where the memory goes with the process, in a
container whose first process it is, there is no such file.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from logger.settings import file_stem, places

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - in a folder that is nobody else's
RUNTIME = Path("/run/envoylog")


def shelves(state_dir: Path, name: str, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the files in which polls of a gateway may lie, whether they are there or not."""
    parents = (_own(environ) or RUNTIME, SHARED_MEMORY)
    return [_folder(parent, state_dir) / f"{file_stem(name)}.jsonl" for parent in parents]


def _own(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd has made for this service."""
    given = environ.get("RUNTIME_DIRECTORY")
    return Path(given.partition(":")[0]) if given else None


def _folder(parent: Path, state_dir: Path) -> Path:
    """Return the folder of a state directory: several may share the memory."""
    mark = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    return parent / f"envoylog-{mark}"


def _parent(state_dir: Path, environ: Mapping[str, str]) -> Path | None:
    """Return where this process may leave something in memory; None where it would be gone with it."""
    if own := _own(environ):
        return own
    if state_dir == places.SYSTEM_STATE_DIR or os.getpid() == 1 or not SHARED_MEMORY.is_dir():
        return None
    return SHARED_MEMORY


class Shelf:
    """The file of one gateway."""

    def __init__(self, state_dir: Path, name: str, environ: Mapping[str, str] = os.environ) -> None:
        self._state_dir = state_dir
        parent, self._files = _parent(state_dir, environ), shelves(state_dir, name, environ)
        self._path = None if parent is None else _folder(parent, state_dir) / self._files[0].name
        self._is_made = False  #: the folder, which nobody else can put another one for
        self._are_left = True  #: files of an earlier process may be

    def lines(self) -> list[bytes]:
        """Return what an earlier process left."""
        found: list[bytes] = []
        self._are_left = True
        for path in self._ours():
            with contextlib.suppress(OSError):
                found += path.read_bytes().splitlines(keepends=True)
        return found

    def append(self, line: bytes) -> bool:
        """Append a line whole; return whether it lies there now."""
        if self._path is None:
            return False
        try:
            handle = self._open(self._path)
            try:
                end = os.fstat(handle).st_size
                if os.write(handle, line) == len(line):
                    return True
                os.ftruncate(handle, end)  # There was room for a part of it.
            finally:
                os.close(handle)
        except OSError:
            return False
        return False

    def _open(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        if self._is_made:
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, flags, 0o600)
        self._make()
        self._is_made = True
        return os.open(path, flags, 0o600)

    def replace(self, lines: Sequence[bytes] = ()) -> None:
        """Leave just these lines, at once."""
        if self._path and self._is_made and not (lines or self._are_left):
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            return
        self._are_left = False
        for path in self._ours():
            with contextlib.suppress(OSError):
                if lines and path == self._path:
                    new = path.with_suffix(".new")
                    new.write_bytes(b"".join(lines))
                    new.replace(path)
                else:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder, if nothing lies there any more."""
        self._is_made = False
        for path in self._ours():
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    def _ours(self) -> Iterator[Path]:
        """Yield the files whose folder is nobody else's: others may make one, or a link, where all may write."""
        for path in self._files:
            with contextlib.suppress(OSError):
                if _is_ours(path.parent, self._state_dir):
                    yield path

    def _make(self) -> None:
        """Make the folder; OSError: it is somebody else's."""
        folder = self._path.parent if self._path else SHARED_MEMORY
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
            if os.geteuid() == 0:
                owner = self._state_dir.stat()
                os.chown(folder, owner.st_uid, owner.st_gid)
        if not _is_ours(folder, self._state_dir):
            raise PermissionError(f"{folder} is somebody else's")


def _is_ours(folder: Path, state_dir: Path) -> bool:
    """Return whether a folder is its owner's alone, who is this user or the state directory's."""
    found = folder.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    return is_private and found.st_uid in {os.geteuid(), state_dir.stat().st_uid}
