"""Whether the rollups follow from the samples, and what is missing of them.

From a checkpoint on everything is counted anew and compared with what is stored, to the last digit; nothing of it is
kept. What is compared are fingerprints, day by day and column by column, one number each: ten years of quarter hours
take some megabytes.
"""

import itertools
import marshal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from logger.clock import QUARTER_S, day_start_s, from_epoch_s, local_day, utc_offset_s, utc_text
from logger.rollups import checkpoints, rollup
from logger.rollups.checkpoints import KINDS, Checkpoint
from logger.rollups.judge import is_of_a_day
from logger.rollups.local_time import INSTANTS
from logger.rollups.panels import is_of_a_panel
from logger.rollups.rollup import Job, Ledger, job_of
from logger.rollups.site import Site
from logger.rollups.write import recompute_kept
from logger.store.database import rows
from logger.store.models import (
    ENERGY_15MIN,
    ENERGY_DAILY,
    ENERGY_HOURLY,
    EVENTS,
    INVERTER_DAILY,
    INVERTER_HOURS,
    PANEL_DAILY,
    UtcDateTime,
    epoch,
)
from logger.store.queries import ends_s

TABLES = [ENERGY_15MIN, ENERGY_HOURLY, ENERGY_DAILY, INVERTER_DAILY, INVERTER_HOURS, PANEL_DAILY, EVENTS]
#: Which rows there are comes first, then the columns.
ROWS = "rows"
FIRST_DAY = date(1970, 1, 1).toordinal()
#: A check looks at this much, unless it is asked to look at everything.
MONTH = timedelta(days=31)
#: A collector rolls up each quarter hour; what is further behind, it should have taken up.
BEHIND_S = 3600
#: Of all places that are found, this many are named.
NAMED = 3

#: (table, local day) -> the fingerprints of its rows' keys and of each column
Fingerprints = dict[tuple[str, date], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A day on which a table's rows or some of its columns are not the same."""

    table: str
    day: date
    columns: tuple[str, ...]


def fingerprints(
    connection: Connection, site: Site, since_s: int | None = None, until_s: int | None = None
) -> Fingerprints:
    """Return the fingerprints of all that is rolled up of a gateway, and of its ledgers' events.

    From the local day of one instant to that of another, both included, or of all days.
    """
    found: Fingerprints = {}
    for table in TABLES:
        keys = len(table.primary_key.columns) - 1
        for day, part in _by_day(connection, site, table, since_s, until_s):
            columns = list(zip(*part, strict=True))
            # Version 2 writes equal values alike, whether they are one object or two.
            plain = [marshal.dumps(tuple(values), 2) for values in (columns[:keys], *columns[keys:])]
            # Where the clock is put back over midnight, a day comes in two parts.
            before = found.get((table.name, day), (0,) * len(plain))
            found[table.name, day] = tuple(map(hash, zip(before, plain, strict=True)))
    return found


def differences(before: Fingerprints, after: Fingerprints) -> list[Difference]:
    """Return what is not the same, by table and day."""
    found = []
    for table in TABLES:
        names = [ROWS, *(column.name for column in table.c if not column.primary_key)]
        for key in sorted(key for key in before.keys() | after.keys() if key[0] == table.name):
            both = zip(names, before.get(key, ()), after.get(key, ()), strict=False)
            differing = tuple(name for name, old, new in both if old != new)
            if key not in before or key not in after or ROWS in differing:
                differing = (ROWS,)
            if differing:
                found.append(Difference(table.name, key[1], differing))
    return found


def _by_day(
    connection: Connection, site: Site, table: Table, since_s: int | None, until_s: int | None
) -> Iterator[tuple[date, Iterable[Sequence[Any]]]]:
    """Yield the rows of each local day: the rest of their key, then the other columns."""
    time, *key = [column for column in table.primary_key.columns if column.name != "gateway_id"]
    columns = [time, *key, *(column for column in table.c if not column.primary_key)]
    plain = (epoch(own) if own is time or isinstance(own.type, UtcDateTime) else own for own in columns)
    query = select(*plain).where(table.c.gateway_id == site.gateway_id).order_by(time, *key)
    if table is EVENTS:
        query = query.where(table.c.kind.in_(KINDS) | is_of_a_day() | is_of_a_panel(), INSTANTS)
    for at_s, more in ((since_s, 0), (until_s, 1)):
        if at_s is not None:
            edge: Any = local_day(at_s, site.zone) + timedelta(days=more)
            if time.name != "day":
                edge = from_epoch_s(day_start_s(edge, site.zone))
            query = query.where(time < edge if more else time >= edge)
    is_kept = "utc_offset_s" in table.c and table is not EVENTS
    offset = columns.index(table.c.utc_offset_s) if is_kept else None

    def number(row: Sequence[Any]) -> int:
        if offset is not None:
            return int(row[0] + (row[offset] or 0)) // 86_400
        return int(row[0] + (utc_offset_s(row[0], site.zone) if table is EVENTS else 0)) // 86_400

    found = rows(connection, query)
    if table is EVENTS:  # An offset that is not known yet is as good as the right one.
        known = (row for row in found if row[0] is not None)
        found = ((*row[:-1], row[-1] not in {None, utc_offset_s(row[0], site.zone)}) for row in known)
    for day, part in itertools.groupby(found, number):
        yield date.fromordinal(FIRST_DAY + day), part


def counted_anew(
    job: Job, ledger: Ledger, checkpoint_s: int, stop_s: int | None
) -> tuple[Fingerprints, Checkpoint | None]:
    """Return what follows from a checkpoint and the samples after it, and where it is left then.

    Up to ``stop_s``, or to the end; the fingerprints are of the days from the checkpoint to there.
    """
    trial = job.connection.begin_nested()
    checkpoints.forget_after(job.connection, job.site.gateway_id, ledger.name, checkpoint_s)
    rollup.catch_up(job, [ledger], stop_s)
    found = fingerprints(job.connection, job.site, checkpoint_s, stop_s)
    left = checkpoints.last(job.connection, job.site.gateway_id, ledger.name)
    trial.rollback()
    return found, left


def findings(connection: Connection, gateway_id: int, *, now: datetime, gap_s: int, whole: bool) -> Iterator[str]:
    """Yield a sentence for each thing that is not as it should be; the caller rolls back.

    Of the last month that was rolled up, or of the ``whole`` time. What a running collector has not yet rolled up is no
    finding.
    """
    job = job_of(connection, gateway_id, now, gap_s)
    site = job.site
    yield from _late_checkpoints(job)
    quarter_s = _last_s(connection, ENERGY_15MIN.c.starts_at, gateway_id)
    day_s = _last_s(connection, INVERTER_DAILY.c.day, gateway_id)
    rollup.catch_up(job)
    yield from _behind(connection, site, quarter_s, day_s)
    yield from _holes(connection, site)
    newest_s = _last_s(connection, ENERGY_15MIN.c.starts_at, gateway_id)
    since = None if whole or newest_s is None else local_day(newest_s, site.zone) - MONTH
    since_s = None if since is None else day_start_s(since, site.zone)
    stored = fingerprints(connection, site, since_s)
    if since_s is not None:
        # The hours and days of quarter hours whose samples were pruned.
        ends = job.ends(rollup.ENERGY)
        recompute_kept(connection, site, ends and ends.first_s, job.now_s, since_s)
    rollup.rebuild(connection, gateway_id, now=now, gap_s=gap_s, since=since)
    found = differences(stored, fingerprints(connection, site, since_s))
    for table, of_table in itertools.groupby(found, lambda difference: difference.table):
        days = list(of_table)
        places = _named([f"{place.day} {' and '.join(place.columns)}" for place in days])
        yield (
            f"{site.name}: {table}: {len(days)} days ({days[0].day} to {days[-1].day}) do not follow "
            f"from the samples ({places}); run: envoylog db rebuild"
        )


def _named(places: Sequence[str]) -> str:
    return ", ".join(places[:NAMED]) + (", …" if len(places) > NAMED else "")


def _late_checkpoints(job: Job) -> Iterator[str]:
    for ledger in rollup.LEDGERS:
        ends = job.ends(ledger)
        left = checkpoints.last(job.connection, job.site.gateway_id, ledger.name)
        if left is not None and ends is not None and left.at_s > ends.last_s:
            yield (
                f"{job.site.name}: the ledger of {ledger.name} was left at {_utc(left.at_s)}, "
                f"after the last sample ({_utc(ends.last_s)}); run: envoylog db rebuild"
            )


def _behind(connection: Connection, site: Site, quarter_s: int | None, day_s: int | None) -> Iterator[str]:
    found = []
    ends = ends_s(connection, ENERGY_15MIN.c.starts_at, site.gateway_id)
    if ends is not None and ends[1] - (quarter_s or ends[0] - QUARTER_S) > BEHIND_S:
        until = "have not begun" if quarter_s is None else f"end at {_utc(quarter_s + QUARTER_S)}"
        found.append(f"rollups {until}, samples go to {_utc(ends[1] + QUARTER_S)}")
    ends = ends_s(connection, INVERTER_DAILY.c.day, site.gateway_id)
    if ends is not None and ends[1] - (day_s or ends[0] - 86_400) > 86_400:
        until = "has not begun" if day_s is None else f"ends on {from_epoch_s(day_s).date()}"
        found.append(f"inverter_daily {until}, reports go to {from_epoch_s(ends[1]).date()}")
    for words in found:
        yield f"{site.name}: {words}; run envoylog db rebuild, or start envoylog run"


def _holes(connection: Connection, site: Site) -> Iterator[str]:
    """Tell which quarter hours are missing: each has a row, also when nothing was measured."""
    start = epoch(ENERGY_15MIN.c.starts_at)
    before = func.lag(start).over(order_by=ENERGY_15MIN.c.starts_at)
    each = select(start.label("start_s"), before.label("before_s"))
    quarters = each.where(ENERGY_15MIN.c.gateway_id == site.gateway_id).subquery().c
    query = select(quarters.before_s, quarters.start_s).order_by(quarters.start_s)
    found = connection.execute(query.where(quarters.start_s - quarters.before_s > QUARTER_S)).all()
    if found:
        places = _named([f"{_utc(before_s + QUARTER_S)} to {_utc(start_s)}" for before_s, start_s in found])
        yield (
            f"{site.name}: energy_15min has no rows from {places}; run: envoylog db rebuild, "
            "or restore a backup where samples were pruned"
        )


def _last_s(connection: Connection, column: ColumnElement[Any], gateway_id: int) -> int | None:
    ends = ends_s(connection, column, gateway_id)
    return None if ends is None else ends[1]


def _utc(at_s: int) -> str:
    return f"{utc_text(at_s)} UTC"
