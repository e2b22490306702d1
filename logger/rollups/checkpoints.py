"""Where a ledger was left: what it knew at an instant before which nothing changes any more."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from logger.clock import day_start_s, from_epoch_s, local_day, to_epoch_s
from logger.store.models import ROLLUP_CHECKPOINTS

KEEP_EACH_DAY = timedelta(days=40)

_table = ROLLUP_CHECKPOINTS


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``state`` is what the ledger wrote, as JSON knows it."""

    at_s: int
    state: Any


def last(connection: Connection, gateway_id: int, ledger: str) -> Checkpoint | None:
    """Return where to go on; None for the beginning."""
    query = (
        select(_table.c.at, _table.c.state)
        .where(_mine(gateway_id, ledger))
        .order_by(_table.c.at.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Checkpoint(to_epoch_s(row.at), json.loads(row.state))


def last_before(connection: Connection, gateway_id: int, ledger: str, at: Any) -> Any:
    """Return the instant of the last checkpoint at or before an instant, or None."""
    query = select(func.max(_table.c.at)).where(_mine(gateway_id, ledger), _table.c.at <= at)
    return connection.execute(query).scalar_one()


def forget_after(connection: Connection, gateway_id: int, ledger: str, at_s: int) -> None:
    """Delete the checkpoints after an instant, so that all since then is recomputed."""
    late = _table.c.at > from_epoch_s(at_s)
    connection.execute(delete(_table).where(_mine(gateway_id, ledger), late))


def save(
    connection: Connection, gateway_id: int, ledger: str, zone: ZoneInfo, at_s: int, state: Any
) -> None:
    """Save a checkpoint; of those before keep one a day for some weeks, then one a month."""
    mine = _mine(gateway_id, ledger)
    day = local_day(at_s, zone)
    _keep_first(connection, mine, day_start_s(day, zone), at_s + 1)
    old = day - KEEP_EACH_DAY
    month = date(old.year, old.month, 1)
    _keep_first(connection, mine, day_start_s(month, zone), day_start_s(old, zone))
    connection.execute(
        insert(_table),
        {
            "gateway_id": gateway_id,
            "ledger": ledger,
            "at": from_epoch_s(at_s),
            "state": json.dumps(state, separators=(",", ":")),
        },
    )


def _mine(gateway_id: int, ledger: str) -> ColumnElement[bool]:
    return (_table.c.gateway_id == gateway_id) & (_table.c.ledger == ledger)


def _keep_first(
    connection: Connection, mine: ColumnElement[bool], since_s: int, until_s: int
) -> None:
    within = (_table.c.at >= from_epoch_s(since_s)) & (_table.c.at < from_epoch_s(until_s))
    first = connection.execute(select(func.min(_table.c.at)).where(mine, within)).scalar_one()
    if first is not None:
        connection.execute(delete(_table).where(mine, within, _table.c.at > first))
