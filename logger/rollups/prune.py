"""Raw samples that are old enough go; no total changes by it, which is proved before they do."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from logger.clock import from_epoch_s, to_epoch_s
from logger.errors import CheckFailedError
from logger.rollups import checkpoints, rollup
from logger.rollups.site import site_of
from logger.rollups.verify import differences, digests
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    INVERTER_SAMPLES,
    METER_READINGS,
    PRODUCTION_SAMPLES,
)

#: ledger -> the tables that it was made of, and their time
RAW = {
    rollup.ENERGY.name: ((PRODUCTION_SAMPLES, "polled_at"), (CONSUMPTION_SAMPLES, "polled_at"),
                   (METER_READINGS, "polled_at")),
    rollup.INVERTERS.name: ((INVERTER_SAMPLES, "reported_at"),),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: rows per table, up to when."""

    rows: dict[str, int]
    until: dict[str, datetime]  #: by ledger


def prune(
    connection: Connection, gateway_id: int, *, now: datetime, keep_days: int, gap_s: int
) -> Pruned:
    """Delete a gateway's raw samples older than ``keep_days``; the caller commits.

    They go up to where a ledger left off (a checkpoint), so that it can go on from there. Then
    everything is rebuilt from what is left, and has to be what it was, in every table and column;
    polls and events stay.

    Raises:
        CheckFailedError: something would change; roll back.
    """
    site = site_of(connection, gateway_id)
    # The last minutes, which a running collector has not yet rolled up, are no change.
    rollup.catch_up(connection, gateway_id, now=now, gap_s=gap_s)
    before = digests(connection, site)
    limit_s = to_epoch_s(now - timedelta(days=keep_days))
    rows: dict[str, int] = {}
    until: dict[str, datetime] = {}
    for ledger, tables in RAW.items():
        at_s = checkpoints.last_at_s(connection, gateway_id, ledger, limit_s)
        if at_s is None:
            continue
        until[ledger] = at = from_epoch_s(at_s)
        for table, time in tables:
            where = (table.c.gateway_id == gateway_id, table.c[time] <= at)
            count = select(func.count()).select_from(table).where(*where)
            rows[table.name] = connection.execute(count).scalar_one()
            connection.execute(delete(table).where(*where))
    rollup.rebuild(connection, gateway_id, now=now, gap_s=gap_s, since=None, sums_too=False)
    if changed := differences(before, digests(connection, site)):
        first = changed[0]
        raise CheckFailedError(
            f"Pruning would change {first.table} of {first.day} ({', '.join(first.columns)}), so "
            "nothing was deleted; run `envoylog db rebuild` first, and report this if it happens "
            "again."
        )
    return Pruned(rows, until)
