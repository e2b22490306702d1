"""Whether the energy tables follow from the samples, and what is missing of them.

Everything is computed anew and compared with what is stored, to the last digit; nothing is kept.
"""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from logger.clock import QUARTER_S, from_epoch_s, to_epoch_s, utc_text
from logger.rollups import checkpoints, rollup
from logger.rollups.site import Site, site_of
from logger.rollups.verify import Difference, differences, digests
from logger.store.models import ENERGY_15MIN, INVERTER_DAILY, epoch
from logger.store.queries import ends_s

#: A collector rolls up each quarter hour; what is further behind, it should have taken up.
BEHIND_S = 3600
#: So many places are named.
NAMED = 3

_quarters = ENERGY_15MIN.c
_days = INVERTER_DAILY.c


def findings(
    connection: Connection, gateway_id: int, *, now: datetime, gap_s: int
) -> Iterator[str]:
    """Yield a sentence for each thing that is not as it should be; the caller rolls back.

    What a running collector has not yet rolled up is no finding.
    """
    site = site_of(connection, gateway_id)
    yield from _late_checkpoints(connection, site, now)
    quarter_s = _last_s(connection, _quarters.starts_at, gateway_id)
    day_s = _last_s(connection, _days.day, gateway_id)
    rollup.catch_up(connection, gateway_id, now=now, gap_s=gap_s)
    yield from _behind(connection, site, quarter_s, day_s)
    yield from _holes(connection, site)
    stored = digests(connection, site)
    rollup.rebuild(connection, gateway_id, now=now, gap_s=gap_s, since=None)
    for table, found in groupby(
        differences(stored, digests(connection, site)), lambda one: one.table
    ):
        yield _not_following(site.name, table, list(found))


def _not_following(name: str, table: str, found: list[Difference]) -> str:
    places = ", ".join(f"{one.day} {' and '.join(one.columns)}" for one in found[:NAMED])
    more = ", …" if len(found) > NAMED else ""
    return (
        f"{name}: {table}: {len(found)} days ({found[0].day} to {found[-1].day}) do not follow "
        f"from the samples ({places}{more}); run: envoylog db rebuild"
    )


def _late_checkpoints(connection: Connection, site: Site, now: datetime) -> Iterator[str]:
    for ledger in rollup.LEDGERS:
        ends = ledger.ends(connection, site.gateway_id, to_epoch_s(now), None)
        left = checkpoints.last(connection, site.gateway_id, ledger.name)
        if left is not None and ends is not None and left.at_s > ends.last_s:
            yield (
                f"{site.name}: the ledger of {ledger.name} was left at {_utc(left.at_s)}, after "
                f"the last sample ({_utc(ends.last_s)}); run: envoylog db rebuild"
            )


def _behind(
    connection: Connection, site: Site, quarter_s: int | None, day_s: int | None
) -> Iterator[str]:
    ends = ends_s(connection, _quarters.starts_at, site.gateway_id)
    if ends is not None and ends[1] - (quarter_s or ends[0] - QUARTER_S) > BEHIND_S:
        until = "have not begun" if quarter_s is None else f"end at {_utc(quarter_s + QUARTER_S)}"
        yield (
            f"{site.name}: rollups {until}, samples go to {_utc(ends[1] + QUARTER_S)}; "
            "run envoylog db rebuild, or start envoylog run"
        )
    ends = ends_s(connection, _days.day, site.gateway_id)
    if ends is not None and ends[1] - (day_s or ends[0] - 86_400) > 86_400:
        until = "has not begun" if day_s is None else f"ends on {_date(day_s)}"
        yield (
            f"{site.name}: inverter_daily {until}, reports go to {_date(ends[1])}; "
            "run envoylog db rebuild, or start envoylog run"
        )


def _holes(connection: Connection, site: Site) -> Iterator[str]:
    """Tell which quarter hours are missing: each has a row, also when nothing was measured."""
    start = epoch(_quarters.starts_at)
    before = func.lag(start).over(order_by=_quarters.starts_at)
    each = select(start.label("start_s"), before.label("before_s"))
    quarters = each.where(_quarters.gateway_id == site.gateway_id).subquery().c
    query = select(quarters.before_s, quarters.start_s).order_by(quarters.start_s)
    found = connection.execute(query.where(quarters.start_s - quarters.before_s > QUARTER_S)).all()
    if found:
        places = ", ".join(
            f"{_utc(before_s + QUARTER_S)} to {_utc(start_s)}"
            for before_s, start_s in found[:NAMED]
        )
        more = ", …" if len(found) > NAMED else ""
        yield (
            f"{site.name}: energy_15min has no rows from {places}{more}; run: envoylog db rebuild, "
            "or restore a backup where samples were pruned"
        )


def _last_s(connection: Connection, column: ColumnElement[Any], gateway_id: int) -> int | None:
    ends = ends_s(connection, column, gateway_id)
    return None if ends is None else ends[1]


def _utc(at_s: int) -> str:
    return f"{utc_text(at_s)} UTC"


def _date(at_s: int) -> date:
    return from_epoch_s(at_s).date()
