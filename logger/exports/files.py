"""Files that take their place when they are complete, or what else a path leads to: devices, pipes, links."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from logger.errors import UsageError

#: below these a name stands for something that this process has open
_OPEN_FILES = ("/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open what is written to a path; a file takes its place when it is complete, or not at all.

    A link is followed. A file that was there keeps its owner and its mode. What is no file, such as a device or a pipe,
    is written into.

    Raises:
        UsageError: the path can't be written.
    """
    try:
        with _opened(path) as out:
            yield out
    except BrokenPipeError:
        raise  # Whoever reads the pipe has had enough.
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a directory; choose the name of a file in it.") from error
    except FileNotFoundError as error:
        raise UsageError(f"There is no directory {path.parent}; make it, or choose another path.") from error
    except OSError as error:
        raise UsageError(f"{path} can't be written ({error.strerror}); choose another path.") from error


def _opened(path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return _new(Path(os.path.realpath(path)))
    if stat.S_ISREG(found.st_mode) and not str(path.absolute()).startswith(_OPEN_FILES):
        target = Path(os.path.realpath(path))
        if not os.access(target, os.W_OK, effective_ids=True):
            raise PermissionError(13, os.strerror(13))
        is_ours_alone = found.st_nlink == 1 and os.access(target.parent, os.W_OK, effective_ids=True)
        may_give = os.geteuid() in {0, found.st_uid}
        return _new(target, found) if is_ours_alone and may_give else _into(target)
    if stat.S_ISREG(found.st_mode) and (stream := _our_own(found)) is not None:
        return contextlib.nullcontext(stream)  # Opening it anew would begin at its start.
    return path.open("wb")


@contextmanager
def _new(target: Path, old: os.stat_result | None = None) -> Iterator[IO[bytes]]:
    """Write a file beside the target, and rename it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if old else 0o666)
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            if old is not None:
                with contextlib.suppress(PermissionError):  # A group that this user is no member of.
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fchmod(handle, stat.S_IMODE(old.st_mode))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _into(target: Path) -> Iterator[IO[bytes]]:
    """Write, once all of it is there, into a file that has other names, another owner, or a folder of somebody else."""
    with tempfile.TemporaryFile() as whole:
        yield whole
        whole.seek(0)
        with target.open("r+b") as out:
            shutil.copyfileobj(whole, out)
            out.truncate()


def _our_own(found: os.stat_result) -> IO[bytes] | None:
    """Return the stream of ours that goes into a file already, or None."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if os.path.samestat(found, os.fstat(stream.fileno())):
                stream.flush()
                return stream.buffer
    return None
