"""Polls move in time when it is known that the clock which stamped them was wrong.

Reports of inverters carry the gateway's own time and stay.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from logger.readings import Poll
from logger.store.models import (
    BATTERY_SAMPLES,
    CONSUMPTION_SAMPLES,
    EVENTS,
    GATEWAYS,
    METER_READINGS,
    POLLS,
    PRODUCTION_SAMPLES,
    SITE_STATES,
    STORAGE_SAMPLES,
)

#: what is stored of a poll, and the column of its instant
_SAMPLES = (PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS, BATTERY_SAMPLES, STORAGE_SAMPLES)
_OF_POLLS = dict.fromkeys((POLLS, *_SAMPLES), "polled_at") | {EVENTS: "at", SITE_STATES: "at"}
_OF_POLLS |= {GATEWAYS: "first_seen_at"}


def is_stored(connection: Connection, gateway_id: int, at: datetime) -> bool:
    """Return whether a gateway has a poll of an instant."""
    query = select(POLLS.c.polled_at).where(POLLS.c.gateway_id == gateway_id, POLLS.c.polled_at == at)
    return connection.execute(query).first() is not None


def restamped(poll: Poll, by_s: int) -> Poll:
    """Return a poll as it would be had our clock been right."""

    def older(samples: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            sample if sample.reading_age_s is None else replace(sample, reading_age_s=sample.reading_age_s + by_s)
            for sample in samples
        )

    by = timedelta(seconds=by_s)
    return replace(
        poll,
        polled_at=poll.polled_at + by,
        production=older(poll.production),
        consumption=older(poll.consumption),
        meter_readings=older(poll.meter_readings),
        batteries=older(poll.batteries),
        storage=older(poll.storage),
        site_states=tuple(replace(state, at=state.at + by) for state in poll.site_states),
        events=tuple(replace(event, at=event.at + by) for event in poll.events),
    )


def move_polls(connection: Connection, gateway_id: int, instants: Sequence[datetime], by_s: int) -> None:
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
    for table, name in _OF_POLLS.items():
        time, mine = table.c[name], table.c.gateway_id == gateway_id
        found = connection.execute(select(time).where(mine, time.between(*within)).distinct())
        others = set(found.scalars()) - moving
        here = [mine, time == bindparam("old")]
        if met := [{"old": step["old"]} for step in steps if step["new"] in others]:
            connection.execute(delete(table).where(*here), met)
        values: dict[str, Any] = {name: bindparam("new")}
        if "reading_age_s" in table.c:
            values["reading_age_s"] = table.c.reading_age_s + by_s
        if rest := [step for step in steps if step["new"] not in others]:
            connection.execute(update(table).where(*here).values(values), rest)
