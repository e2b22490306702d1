"""The local time of events: views seek events by it.

Walk: rollups.rollup -> here -> store.models.EVENTS
"""

from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from logger.clock import from_epoch_s, utc_offset_s
from logger.rollups.checkpoints import EVER_S
from logger.rollups.site import Site
from logger.store.models import EVENTS, epoch

_mine = EVENTS.c.gateway_id == bindparam("gateway")
#: Plain SQL writes anything: what is no instant of these has no local time.
INSTANTS = EVENTS.c.at.between(from_epoch_s(0), from_epoch_s(EVER_S))
_UNPLACED = select(epoch(EVENTS.c.at)).where(_mine, EVENTS.c.utc_offset_s.is_(None), INSTANTS).distinct()
_PLACE = update(EVENTS).where(_mine, EVENTS.c.at == bindparam("instant")).values(utc_offset_s=bindparam("offset_s"))
_FORGET = update(EVENTS).where(_mine).values(utc_offset_s=None)


def place_events(connection: Connection, site: Site) -> None:
    """Give events their offset from UTC that have none yet."""
    instants: list[Any] = list(connection.execute(_UNPLACED, {"gateway": site.gateway_id}).scalars())
    places = [
        {"gateway": site.gateway_id, "instant": from_epoch_s(at_s), "offset_s": utc_offset_s(at_s, site.zone)}
        for at_s in instants
        if at_s is not None
    ]
    if places:
        connection.execute(_PLACE, places)


def forget_places(connection: Connection, gateway_id: int) -> None:
    """Take the offsets away: the site may be in another time zone now."""
    connection.execute(_FORGET, {"gateway": gateway_id})
