"""Another user of this machine, for as long as a test needs one: only root can become one."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import pytest

NOBODY = 65534
ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@contextlib.contextmanager
def as_user(user: int, *, group: int | None = None, groups: Sequence[int] = ()) -> Iterator[None]:
    """Be another user, in some groups, with the umask of a service."""
    own_groups, umask = os.getgroups(), os.umask(0o027)
    os.setgroups(groups)
    os.setegid(user if group is None else group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(own_groups)
        os.umask(umask)
