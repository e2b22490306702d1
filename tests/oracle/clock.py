"""Quarter hours and the text of instants."""

from datetime import UTC, datetime
from functools import lru_cache

QUARTER_S = 900


@lru_cache
def utc_text(epoch_s: int) -> str:
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d %H:%M:%S}"


def quarter_start_s(epoch_s: int) -> int:
    return epoch_s - epoch_s % QUARTER_S
