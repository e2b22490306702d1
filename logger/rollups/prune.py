"""Raw samples that are old enough go; no total changes by it, which is proved before they do."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, delete

from logger.clock import from_epoch_s, local_day, to_epoch_s, utc_text
from logger.errors import CheckFailedError
from logger.rollups import checkpoints, rollup
from logger.rollups.rollup import CHUNK_S, Job, Ledger, job_of
from logger.rollups.site import Ends, time_of
from logger.rollups.verify import Difference, Fingerprints, counted_anew, differences, fingerprints

REMEDY = "so nothing was deleted; run `envoylog db rebuild` first, and report this if it happens again."


def prune(connection: Connection, gateway_id: int, *, now: datetime, keep_days: int, gap_s: int) -> dict[str, int]:
    """Delete a gateway's raw samples older than ``keep_days``; return how many of each table.

    They go up to where a ledger left off (a checkpoint), so that it can go on from there. What they were counted to is
    proved to follow from them, and what comes after to follow as well without them; polls and events stay. The caller
    commits.

    Raises:
        CheckFailedError: something would change; roll back.
    """
    job = job_of(connection, gateway_id, now, gap_s)
    # The last minutes, which a running collector has not yet rolled up, are no change.
    rollup.catch_up(job)
    limit_s = to_epoch_s(now - timedelta(days=keep_days))
    rows = {table.name: 0 for ledger in rollup.LEDGERS for table in (*ledger.samples, *ledger.others)}
    for ledger in rollup.LEDGERS:
        ends = job.ends(ledger)
        until_s = checkpoints.last_at_s(connection, gateway_id, ledger.name, limit_s)
        if until_s is not None and ends is not None and ends.first_s <= until_s:
            rows |= _prune(job, ledger, ends, until_s)
    return rows


def _prune(job: Job, ledger: Ledger, ends: Ends, until_s: int) -> dict[str, int]:
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
    # Where power is integrated from sample to sample, the one at the checkpoint has to stay.
    for last_s in (until_s, until_s - 1):
        trial = connection.begin_nested()
        gone: dict[str, int] = {}
        for table in (*ledger.samples, *ledger.others):
            old = (table.c.gateway_id == site.gateway_id) & (time_of(table) <= from_epoch_s(last_s))
            gone[table.name] = connection.execute(delete(table).where(old)).rowcount
        recounted, left_anew = counted_anew(job, ledger, until_s, stop_s)
        changed = _changed(later, recounted, settled)
        if left_anew == left and not changed:
            trial.commit()
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
