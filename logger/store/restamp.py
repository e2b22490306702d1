"""Polls move in time when it is known that the clock which stamped them was wrong.

Reports of inverters carry the gateway's own time and stay.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from logger.readings import Poll
from logger.store.database import insert_or_ignore
from logger.store.models import (
    CONSUMPTION_SAMPLES,
    EVENTS,
    GATEWAYS,
    METER_READINGS,
    POLLS,
    PRODUCTION_SAMPLES,
)

_POLLED = (POLLS, PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS)


def is_stored(connection: Connection, gateway_id: int, at: datetime) -> bool:
    """Return whether a gateway has a poll of an instant."""
    query = select(POLLS.c.polled_at).where(
        POLLS.c.gateway_id == gateway_id, POLLS.c.polled_at == at
    )
    return connection.execute(query).first() is not None


def restamped(poll: Poll, by_s: int) -> Poll:
    """Return a poll as it would be had our clock been right."""

    def older(samples: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            sample
            if sample.reading_age_s is None
            else replace(sample, reading_age_s=sample.reading_age_s + by_s)
            for sample in samples
        )

    by = timedelta(seconds=by_s)
    return replace(
        poll,
        polled_at=poll.polled_at + by,
        production=older(poll.production),
        consumption=older(poll.consumption),
        meter_readings=older(poll.meter_readings),
        events=tuple(replace(event, at=event.at + by) for event in poll.events),
    )


def move_polls(
    connection: Connection, gateway_id: int, instants: Sequence[datetime], by_s: int
) -> None:
    """Move what was stored of some polls of a gateway; the caller commits.

    A poll that would meet another one is dropped: the other stays as it is.
    """
    if not instants:
        return
    by = timedelta(seconds=by_s)
    # Away from those that move next, so that none of them meets another.
    steps = [{"old": at, "new": at + by} for at in sorted(instants, reverse=by_s > 0)]
    moving = set(instants)
    within = (min(moving) + by, max(moving) + by)
    for table in _POLLED:
        time = table.c.polled_at
        mine = table.c.gateway_id == gateway_id
        found = connection.execute(select(time).where(mine, time.between(*within)).distinct())
        others = set(found.scalars()) - moving
        met = [step for step in steps if step["new"] in others]
        here = [mine, time == bindparam("old")]
        if met:
            connection.execute(delete(table).where(*here), [{"old": one["old"]} for one in met])
        values: dict[str, Any] = {"polled_at": bindparam("new")}
        if "reading_age_s" in table.c:
            values["reading_age_s"] = table.c.reading_age_s + by_s
        if rest := [step for step in steps if step["new"] not in others]:
            connection.execute(update(table).where(*here).values(values), rest)
    _move_events(connection, gateway_id, moving, by)
    first = GATEWAYS.c.first_seen_at
    connection.execute(
        update(GATEWAYS)
        .where(GATEWAYS.c.gateway_id == gateway_id, first == bindparam("old"))
        .values(first_seen_at=bindparam("new")),
        steps[:: -1 if by_s > 0 else 1][:1],
    )


def _move_events(
    connection: Connection, gateway_id: int, instants: set[datetime], by: timedelta
) -> None:
    """Move the events of some polls: few, so that they are read and written anew."""
    mine = EVENTS.c.gateway_id == gateway_id
    query = select(EVENTS).where(mine, EVENTS.c.at.between(min(instants), max(instants)))
    rows = [row for row in connection.execute(query).mappings() if row["at"] in instants]
    if rows:
        here = delete(EVENTS).where(mine, EVENTS.c.at == bindparam("old"))
        connection.execute(here, [{"old": at} for at in {row["at"] for row in rows}])
        moved = [{**row, "at": row["at"] + by} for row in rows]
        insert_or_ignore(connection, EVENTS, moved)
