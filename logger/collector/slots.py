"""When gateways are asked: slots that lie on the clock, and each gateway's own second after them."""

import zlib

#: This many gateways are asked in the same second.
TOGETHER = 10


def next_s(now_s: float, every_s: int, after_s: int) -> int:
    """Return the next instant (epoch seconds) that lies this long after a multiple of ``every_s``."""
    whole_s = int(now_s)
    return whole_s - (whole_s - after_s) % every_s + every_s


def phase_s(name: str, count: int, every_s: int) -> int:
    """Return how long after a slot one of some gateways is asked: few of them at once, many one after the other.

    It is the same after each start, and of each collector of a configuration.
    """
    return zlib.crc32(name.encode()) % min(every_s, -(-count // TOGETHER))
