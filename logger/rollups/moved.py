"""Samples that lie elsewhere since a clock was set, or are judged anew: what was counted of them is forgotten.

Walk: collector.keeper -> here -> checkpoints
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, or_, select

from logger.clock import from_epoch_s, quarter_start_s, to_epoch_s
from logger.rollups import checkpoints
from logger.rollups.clock_check import CLEARLY, KIND, WRONG_S
from logger.rollups.rollup import ENERGY
from logger.rollups.site import site_of
from logger.rollups.write import replace_rows
from logger.store.models import ENERGY_15MIN, ENERGY_DAILY, ENERGY_HOURLY, EVENTS
from logger.store.queries import battery_known_at


def samples_moved(connection: Connection, gateway_id: int, *, first: datetime, last: datetime, by_s: int) -> None:
    """Forget what was counted of samples that lay between two instants, and lie later now.

    They are counted where they lie when the tables are brought up to date the next time.
    """
    first_s, last_s = to_epoch_s(first), to_epoch_s(last)
    that_day = from_epoch_s(first_s - first_s % 86_400)
    mine = (EVENTS.c.gateway_id == gateway_id) & (EVENTS.c.kind == KIND)
    gone: ColumnElement[bool] = EVENTS.c.at.between(that_day, last)
    if by_s > 0:  # What lay ahead of the clock as it was, no reading told more of.
        ahead = EVENTS.c.at.between(last, last + timedelta(seconds=by_s))
        gone = gone | ahead & EVENTS.c.detail.contains(CLEARLY)
    connection.execute(delete(EVENTS).where(mine, gone))
    newest = checkpoints.last(connection, gateway_id, ENERGY.name)
    was_counted = (
        newest is None
        or newest.at_s <= last_s
        or _reopened(connection, gateway_id, first_s + by_s, last_s + by_s, by_s)
    )
    since_s = min(first_s, first_s + by_s) if was_counted else first_s + by_s
    known_at = battery_known_at(connection, gateway_id, from_epoch_s(since_s))
    since_s = to_epoch_s(known_at) if known_at else since_s
    checkpoints.forget_after(connection, gateway_id, ENERGY.name, since_s - 1)
    if checkpoints.last(connection, gateway_id, ENERGY.name) is None:
        # Counting begins with the first sample, which may come after what was counted of these.
        site = site_of(connection, gateway_id)
        for table in (ENERGY_15MIN, ENERGY_HOURLY, ENERGY_DAILY):
            replace_rows(connection, table, site, quarter_start_s(since_s), None, [])


def _reopened(connection: Connection, gateway_id: int, since_s: int, until_s: int, by_s: int) -> bool:
    """Return whether samples that were moved had been counted although others came after them.

    Those whose clock was clearly wrong had not been (store.writer).
    """
    for table in ENERGY.samples:
        age_before = table.c.reading_age_s - by_s
        query = select(table.c.polled_at).where(
            table.c.gateway_id == gateway_id,
            table.c.polled_at.between(from_epoch_s(since_s), from_epoch_s(until_s)),
            or_(age_before.is_(None), age_before.between(-WRONG_S, WRONG_S)),
        )
        if connection.execute(query.limit(1)).first() is not None:
            return True
    return False
