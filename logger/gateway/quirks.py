"""Repairs of documents, one per firmware bug."""

from typing import Any

from logger.gateway.parse import number

Firmware = tuple[int, ...]

COPIES_NET_FROM: Firmware = (8, 3, 5433)
STALLS_V1_FROM: Firmware = (8, 2, 4264)


def firmware_of(software: str) -> Firmware:
    """Return ``D8.2.4286`` as (8, 2, 4286): one leading letter goes, parts compare as numbers."""
    bare = software.strip()
    bare = bare[1:] if bare[:1].isalpha() else bare
    parts = []
    for part in bare.split("."):
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts) or (0,)


def is_old(software: str) -> bool:
    """Return whether firmware 3 answers, which has HTML where it lacks a document."""
    return firmware_of(software) < (4,)


def copies_net(total: dict[str, Any], net: dict[str, Any], firmware: Firmware) -> bool:
    """Return whether total-consumption is but a copy of net-consumption (8.3.5433 on)."""
    return firmware >= COPIES_NET_FROM and is_copy(total, net)


def is_copy(total: dict[str, Any], net: dict[str, Any]) -> bool:
    """Return whether two items have the same power and the same energy."""
    return all(
        number(total.get(key)) is not None and number(total.get(key)) == number(net.get(key))
        for key in ("wNow", "whLifetime")
    )


def lost_storage_channel(total: dict[str, Any], channels: list[dict[str, Any]]) -> int | None:
    """Return which of two storage channels went to zero and took half of the total along.

    Firmware 8.3.6086, split phase: one channel is all zero, the total equals the other.
    """
    if len(channels) != 2:
        return None
    keys = ("actEnergyDlvd", "actEnergyRcvd")
    counts = [tuple(number(channel.get(key)) for key in keys) for channel in channels]
    whole = tuple(number(total.get(key)) for key in keys)
    for lost, other in ((0, 1), (1, 0)):
        if counts[lost] == (0, 0) and counts[other] == whole and any(whole):
            return lost
    return None
