"""Polls of a clock that ran ahead, found after nobody saw it set right: only the ages of their readings tell.

The collector was restarted, with its machine, while the clock was corrected. The first poll on which the gateway's
clock agrees with ours then comes before polls that are stored, and these say by how much they came too early.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select, union_all

from logger.readings import CLOCKS_AGREE_S, Poll
from logger.store.models import METER_READINGS, POLLS, PRODUCTION_SAMPLES
from logger.store.restamp import Taken

#: This many polls are looked at: two weeks of one a minute.
MOST_POLLS = 20_000
#: Readings of one clock differ by less in their age: some are made each few minutes.
ALIKE_S = 300


class Run(NamedTuple):
    """Polls one after the other that were stamped by a clock that ran ahead."""

    ahead_s: int
    polls: list[Taken]

    @property
    def detail(self) -> str:
        """What is noted of it."""
        moved = f"{len(self.polls)} {'poll' if len(self.polls) == 1 else 'polls'} moved"
        return f"this machine's clock had run {self.ahead_s} s ahead of the gateway's, and was right again; {moved}"


class _Stored(NamedTuple):
    at: datetime
    age_s: int | None  #: of its youngest reading


def runs_ahead(connection: Connection, gateway_id: int, poll: Poll) -> list[Run]:
    """Return the polls that lie after one on which both clocks agree, and those before them of the same clock."""
    columns = POLLS.c
    mine = columns.gateway_id == gateway_id
    if connection.execute(select(columns.polled_at).where(mine, columns.polled_at >= poll.polled_at).limit(1)).first():
        ages_s = [sample.reading_age_s for samples in (poll.production, poll.meter_readings) for sample in samples]
        usual_s = min((age_s for age_s in ages_s if age_s is not None), default=None)
        if usual_s is not None:
            return list(_runs(_newest(connection, gateway_id), poll.polled_at, usual_s))
    return []


def _newest(connection: Connection, gateway_id: int) -> Iterator[_Stored]:
    """Yield the polls of a gateway, the newest first."""
    columns = POLLS.c
    query = select(columns.polled_at).where(columns.gateway_id == gateway_id).order_by(columns.polled_at.desc())
    times = list(connection.execute(query.limit(MOST_POLLS)).scalars())
    parts = [
        select(table.c.polled_at, table.c.reading_age_s).where(
            table.c.gateway_id == gateway_id, table.c.polled_at >= times[-1]
        )
        for table in (PRODUCTION_SAMPLES, METER_READINGS)
    ]
    aged = union_all(*parts).subquery().c
    youngest = select(aged.polled_at, func.min(aged.reading_age_s)).group_by(aged.polled_at)
    ages_s = {row[0]: row[1] for row in connection.execute(youngest)}
    return (_Stored(at, ages_s.get(at)) for at in times)


def _runs(newest: Iterator[_Stored], now: datetime, usual_s: int) -> Iterator[Run]:
    """Yield the runs back to the last poll on which both clocks agreed, the newest run first."""
    found: list[list[_Stored]] = []
    silent: list[_Stored] = []  # without a reading that tells its age: they belong to what is on both sides of them
    agreed_at: datetime | None = None
    for stored in newest:
        if stored.age_s is None:
            silent.append(stored)
        elif stored.age_s <= CLOCKS_AGREE_S:
            agreed_at = stored.at
            break
        else:
            if not found or abs(stored.age_s - (found[-1][-1].age_s or 0)) > ALIKE_S:
                found.append([])
            found[-1] += [*(_Stored(before.at, stored.age_s) for before in silent), stored]
            silent = []
    if agreed_at is not None and agreed_at >= now:
        return  # Both clocks were ahead: nothing shows which of these times is right.
    for run in found:
        ahead_s = min(stored.age_s or 0 for stored in run) - usual_s
        first, last = (at - timedelta(seconds=ahead_s) for at in (run[-1].at, run[0].at))
        slack = timedelta(seconds=CLOCKS_AGREE_S)
        if ahead_s > CLOCKS_AGREE_S and last <= now + slack and (agreed_at is None or first >= agreed_at - slack):
            yield Run(ahead_s, [Taken(stored.at, stored.at) for stored in reversed(run)])
