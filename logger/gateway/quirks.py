"""Repairs of documents, one per firmware bug."""

from itertools import takewhile
from typing import Any

from logger.gateway.parse import number

Firmware = tuple[int, ...]

#: From here on total-consumption may be but a copy of net-consumption.
COPIES_NET_FROM: Firmware = (8, 3, 5433)
STALLS_V1_FROM: Firmware = (8, 2, 4264)


def firmware_of(software: str) -> Firmware:
    """Return ``D8.2.4286`` as (8, 2, 4286): one leading letter goes, parts compare as numbers."""
    bare = software.strip()
    bare = bare[1:] if bare[:1].isalpha() else bare
    parts = ("".join(filter(str.isdecimal, part)) for part in bare.split("."))
    return tuple(map(int, takewhile(bool, parts))) or (0,)


def is_old(software: str) -> bool:
    """Return whether firmware 3 answers, which has HTML where it lacks a document."""
    return firmware_of(software) < (4,)


def is_copy(total: dict[str, Any], net: dict[str, Any]) -> bool:
    """Return whether two items have the same power and the same energy."""
    pairs = [(number(total.get(key)), number(net.get(key))) for key in ("wNow", "whLifetime")]
    return all(of_total is not None and of_total == of_net for of_total, of_net in pairs)


def lost_storage_channel(total: dict[str, Any], channels: list[dict[str, Any]]) -> int | None:
    """Return which of two storage channels went to zero and took half of the total along.

    Firmware 8.3.6086, split phase: one channel is all zero, the total equals the other.
    """
    if len(channels) != 2:
        return None
    keys = ("actEnergyDlvd", "actEnergyRcvd")
    *counts, whole = [tuple(number(item.get(key)) for key in keys) for item in (*channels, total)]
    for lost, other in ((0, 1), (1, 0)):
        if counts[lost] == (0, 0) and counts[other] == whole and any(whole):
            return lost
    return None
