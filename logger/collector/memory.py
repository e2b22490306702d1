"""How this process takes memory from the system."""

import contextlib
import ctypes

#: mallopt's parameter of that name in glibc's malloc.h
M_ARENA_MAX = -8


def share_one_heap() -> None:
    """Let all threads take memory from one heap, before there are any.

    Else glibc gives threads heaps of their own, up to eight per core, and what is free in one serves no other: over two
    days of odd answers the process grew by 14 MB, with one heap by 8. Python runs one thread at a time, so that none
    waits for the heap. Where the C library is another one, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
