"""What this process takes of the system: memory, and open files, of which the connection to each gateway is one."""

import contextlib
import ctypes
import logging
import resource
from typing import NamedTuple

from logger.errors import SettingsError

log = logging.getLogger(__name__)

#: mallopt's parameter of that name in glibc's malloc.h
M_ARENA_MAX = -8
#: of the database, the log, and libraries while they are loaded
OTHERS = 96
#: of a gateway that is being asked: its connection, an address that is tried, files of its state
ASKED = 4
#: Threads that ask gateways at the same time, at most.
MOST_THREADS = 256


class Room(NamedTuple):
    """What there is room for."""

    threads: int = MOST_THREADS  #: that ask gateways at the same time
    keeps_connections: bool = True  #: from one poll to the next


PLENTY = Room()


def share_one_heap() -> None:
    """Let all threads take memory from one heap, before there are any.

    Else glibc gives threads heaps of their own, up to eight per core, and what is free in one serves no other: over two
    days of odd answers the process grew by 14 MB, with one heap by 8. Python runs one thread at a time, so that none
    waits for the heap. Where the C library is another one, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def make_room(gateways: int) -> Room:
    """Raise the limit of open files as far as is needed and allowed, and return what there is room for.

    Raises:
        SettingsError: there is room for no gateway.
    """
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = min(gateways, MOST_THREADS)
    wanted = OTHERS + ASKED * threads + gateways
    if resource.RLIM_INFINITY != limit < wanted:
        highest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            limit = highest
        except (OSError, ValueError):  # A sandbox may forbid it.
            log.debug("the limit of open files can't be raised")
    else:
        limit = wanted
    if limit >= wanted:
        return Room(threads, keeps_connections=True)
    threads = min(threads, (limit - OTHERS) // ASKED)
    raised = f"raise the limit to {wanted} (LimitNOFILE= of the service, or ulimit -n)"
    if threads < 1:
        raise SettingsError(f"This process may have no more than {limit} files open, which is too few; {raised}.")
    log.warning(
        "this process may have %d files open: %d gateways are asked at the same time, and no connection is kept from a "
        "poll to the next; to do better, %s", limit, threads, raised,
    )  # fmt: skip
    return Room(threads, keeps_connections=False)
