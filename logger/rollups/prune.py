"""Raw samples that are old enough go; no total changes by it, which is proved before they do."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from logger.clock import from_epoch_s, local_day, to_epoch_s, utc_text
from logger.errors import CheckFailedError
from logger.rollups import checkpoints, rollup
from logger.rollups.rollup import CHUNK_S, Job, Ledger, job_of
from logger.rollups.site import Ends, time_of
from logger.rollups.site import gap_s as longest_step_s
from logger.rollups.verify import Difference, Fingerprints, counted_anew, differences, fingerprints
from logger.settings import Settings
from logger.store import partitions, phase_samples, queries

REMEDY = "so nothing was deleted; run `envoylog db rebuild` first, and report this if it happens again."


class Months:
    """What goes of all gateways with the months of a partitioned database, once each was proved."""

    def __init__(self, connection: Connection, now: datetime, keep_days: int) -> None:
        self.connection = connection
        #: Samples of months before this one go.
        self.first = partitions.month_of(now - timedelta(days=keep_days))
        #: table -> gateway -> up to when
        self.lasts: dict[Table, dict[int, datetime]] = defaultdict(dict)

    def drop(self) -> None:
        """Drop the months; of each gateway what it has to go on from stays. The caller commits."""
        for table, lasts in self.lasts.items():
            partitions.drop_before(self.connection, table, self.first, lasts)


def months_of(connection: Connection, now: datetime, keep_days: int) -> Months | None:
    """Return what to drop months with; None where the tables have none."""
    is_parted = partitions.partitions(connection, partitions.TABLES[0])
    return Months(connection, now, keep_days) if is_parted else None


def prune_all(connection: Connection, settings: Settings, now: datetime) -> dict[str, int]:
    """Delete all samples older than ``keep_samples_days``; return how many of each gateway. The caller commits.

    Raises:
        CheckFailedError: something would change; roll back.
    """
    pruned: dict[str, int] = {}
    keep_days = settings.keep_samples_days
    months = months_of(connection, now, keep_days)
    for row in queries.gateways(connection):
        step_s = longest_step_s(connection, row.gateway_id, settings)
        gone = prune(connection, row.gateway_id, now=now, keep_days=keep_days, gap_s=step_s, months=months)
        pruned[row.name] = sum(gone.values())
    if months is not None:
        months.drop()
    return pruned


def prune(
    connection: Connection, gateway_id: int, *, now: datetime, keep_days: int, gap_s: int, months: Months | None = None
) -> dict[str, int]:
    """Delete a gateway's raw samples older than ``keep_days``; return how many of each table.

    They go up to where a ledger left off (a checkpoint), so that it can go on from there. What they were counted to is
    proved to follow from them, and what comes after to follow as well without them; polls and events stay. The caller
    commits. Where there are ``months``, they are only proved, and go with their months.

    Raises:
        CheckFailedError: something would change; roll back.
    """
    job = job_of(connection, gateway_id, now, gap_s)
    # The last minutes, which a running collector has not yet rolled up, are no change.
    rollup.catch_up(job)
    limit_s = to_epoch_s(months.first if months else now - timedelta(days=keep_days))
    rows = {table.name: 0 for ledger in rollup.LEDGERS for table in (*ledger.samples, *ledger.others)}
    for ledger in rollup.LEDGERS:
        ends = job.ends(ledger)
        until_s = checkpoints.last_at_s(connection, gateway_id, ledger.name, limit_s)
        if until_s is not None and ends is not None and ends.first_s <= until_s:
            rows |= _prune(job, ledger, ends, until_s, months)
    return rows


def _prune(job: Job, ledger: Ledger, ends: Ends, until_s: int, months: Months | None) -> dict[str, int]:
    """Delete the samples of a ledger up to a checkpoint; return how many rows of each table."""
    connection, site, *_ = job
    before_s = checkpoints.last_at_s(connection, site.gateway_id, ledger.name, ends.first_s)
    since_s = ends.first_s - 1 if before_s is None else before_s
    last_pruned = local_day(until_s, site.zone)
    ahead_s = CHUNK_S
    while True:
        stop_s = None if until_s + ahead_s >= ends.last_s else until_s + ahead_s
        recounted, left = counted_anew(job, ledger, since_s, stop_s)
        stored = fingerprints(connection, site, since_s, stop_s)
        settled = local_day(left.at_s if left else until_s, site.zone) if stop_s else date.max
        changed = _changed(stored, recounted, settled)
        if stop_s is None or (settled > last_pruned and not changed):
            break
        # What stood still for long was spread over that time when it went on: look further.
        ahead_s *= 4
    _require_none(changed)
    later = {key: value for key, value in stored.items() if key[1] >= last_pruned}

    def old(table: Table, last_s: int) -> ColumnElement[bool]:
        return (table.c.gateway_id == site.gateway_id) & (time_of(table) <= from_epoch_s(last_s))

    # Where power is integrated from sample to sample, the one at the checkpoint has to stay.
    for last_s in (until_s, until_s - 1):
        trial = connection.begin_nested()
        tables = (*ledger.samples, *ledger.others)
        deleted = phase_samples.tables_of(connection, tables) if months is None else ()
        counted = {table: select(func.count()).select_from(table).where(old(table, last_s)) for table in tables}
        gone = {table.name: connection.scalar(counted[table]) or 0 for table in tables if table not in deleted}
        for table in deleted:
            rows = connection.execute(delete(table).where(old(table, last_s))).rowcount
            gone |= {table.name: rows} if table in tables else {}
        if months is not None:
            partitions.hide(connection, tables, site.gateway_id, from_epoch_s(last_s))
        recounted, left_anew = counted_anew(job, ledger, until_s, stop_s)
        changed = _changed(later, recounted, settled)
        if left_anew == left and not changed:
            if months is None:
                trial.commit()
            else:
                trial.rollback()
                for table in tables:
                    months.lasts[table][site.gateway_id] = from_epoch_s(last_s)
            return gone
        trial.rollback()
    _require_none(changed)
    raise CheckFailedError(
        f"Pruning would change what the ledger of {ledger.name} knows at {utc_text(until_s)} UTC, {REMEDY}"
    )


def _changed(stored: Fingerprints, recounted: Fingerprints, until: date) -> list[Difference]:
    return [place for place in differences(stored, recounted) if place.day < until]


def _require_none(changed: Sequence[Difference]) -> None:
    if changed:
        first = changed[0]
        raise CheckFailedError(
            f"Pruning would change {first.table} of {first.day} ({', '.join(first.columns)}), {REMEDY}"
        )
