"""Raw samples that are old enough go; no total changes by it, which is proved before they do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select

from logger.errors import CheckFailedError
from logger.rollups import build, checkpoints, inverters
from logger.store.models import (
    ConsumptionSampleRow,
    EnergyDailyRow,
    InverterDailyRow,
    InverterSampleRow,
    MeterReadingRow,
    ProductionSampleRow,
    table_of,
)

#: ledger -> the tables that it was made of, and their time
RAW = {
    build.LEDGER: ((ProductionSampleRow, "polled_at"), (ConsumptionSampleRow, "polled_at"),
                   (MeterReadingRow, "polled_at")),
    inverters.LEDGER: ((InverterSampleRow, "reported_at"),),
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
    everything is rebuilt from what is left; polls and events stay.

    Raises:
        CheckFailedError: a total would change; roll back.
    """
    before = _totals(connection, gateway_id)
    limit = now - timedelta(days=keep_days)
    rows: dict[str, int] = {}
    until: dict[str, datetime] = {}
    for ledger, tables in RAW.items():
        at = checkpoints.last_before(connection, gateway_id, ledger, limit)
        if at is None:
            continue
        until[ledger] = at
        for model, time in tables:
            table = table_of(model)
            where = (table.c.gateway_id == gateway_id, table.c[time] <= at)
            count = select(func.count()).select_from(table).where(*where)
            rows[table.name] = connection.execute(count).scalar_one()
            connection.execute(delete(table).where(*where))
    inverters.rebuild(connection, gateway_id, now=now, since=None)
    build.rebuild(connection, gateway_id, now=now, gap_s=gap_s, since=None)
    if _totals(connection, gateway_id) != before:
        raise CheckFailedError(
            "Pruning would change a total, so nothing was deleted; run `envoylog db rebuild` "
            "first, and report this if it happens again."
        )
    return Pruned(rows, until)


def _totals(connection: Connection, gateway_id: int) -> list[Any]:
    """Return every day's rows, of phases and inverters."""
    found: list[Any] = []
    for model, key in ((EnergyDailyRow, "phase"), (InverterDailyRow, "serial")):
        table = table_of(model)
        query = select(table).where(table.c.gateway_id == gateway_id)
        found.append(connection.execute(query.order_by(table.c.day, table.c[key])).all())
    return found
