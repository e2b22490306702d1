"""Where a poll lies in time: what is there already, and polls that move when their clock is known to have been wrong.

Two polls may claim one instant when our clock shows a time twice: the later one lies in the next free second, for none
is worth less than the other. Reports of inverters carry the gateway's own time and stay.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, bindparam, delete, select, update

from logger.readings import CLOCKS_AGREE_S, Outcome, Poll
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
from logger.store.writer import save, took_s

log = logging.getLogger(__name__)

#: what is stored of a poll, and the column of its instant
_SAMPLES = (PRODUCTION_SAMPLES, CONSUMPTION_SAMPLES, METER_READINGS, BATTERY_SAMPLES, STORAGE_SAMPLES)
_OF_POLLS = dict.fromkeys((POLLS, *_SAMPLES), "polled_at") | {EVENTS: "at", SITE_STATES: "at"}
_OF_POLLS |= {GATEWAYS: "first_seen_at"}
#: So far is looked for a second in which no poll lies; clocks that are set move polls by more.
BESIDE_S = CLOCKS_AGREE_S
#: what makes two polls of one instant the same: in which table, and by which of a reading's values
_CONTENT = (
    (PRODUCTION_SAMPLES, "production", ("phase", "power_w", "energy_lifetime_wh")),
    (METER_READINGS, "meter_readings", ("measurement", "phase", "power_w", "delivered_wh", "received_wh")),
)


class Taken(NamedTuple):
    """A poll by the time that our clock showed, and where it lies; None while it is not stored."""

    at: datetime
    place: datetime | None


def store(connection: Connection, gateway_id: int, poll: Poll, *, is_shared: bool = False) -> datetime:
    """Store a poll where no other one lies, and return where; one that is stored stays as it is.

    Of collectors that share a gateway two may have taken it in one slot: there one poll is enough, one that failed only
    where there is no better one.
    """
    if is_shared:
        if not save(connection, gateway_id, poll) and poll.outcome is not Outcome.FAILED:
            of = POLLS.c
            lies_here = (of.gateway_id == gateway_id) & (of.polled_at == poll.polled_at)
            if connection.execute(delete(POLLS).where(lies_here, of.outcome == Outcome.FAILED)).rowcount:
                save(connection, gateway_id, poll)
        return poll.polled_at
    for by_s in range(BESIDE_S):
        here = restamped(poll, by_s) if by_s else poll
        if save(connection, gateway_id, here) or _stored(connection, gateway_id, here.polled_at) == _content(poll):
            return here.polled_at
    log.error("a poll of %s is lost: too many lie there", poll.polled_at)
    return poll.polled_at


def _content(poll: Poll) -> Any:
    """Return what makes a poll the same as another of its instant."""
    found = [frozenset(map(attrgetter(*names), getattr(poll, readings))) for _, readings, names in _CONTENT]
    return (took_s(poll), poll.outcome, poll.error), *found


def _stored(connection: Connection, gateway_id: int, at: datetime) -> Any:
    """Return the content of the poll that lies at an instant, or None."""
    columns = POLLS.c
    query = select(columns.took_s, columns.outcome, columns.error)
    row = connection.execute(query.where(columns.gateway_id == gateway_id, columns.polled_at == at)).one_or_none()
    if row is None:
        return None
    found = []
    for table, _, names in _CONTENT:
        mine = (table.c.gateway_id == gateway_id) & (table.c.polled_at == at)
        found.append(frozenset(map(tuple, connection.execute(select(*(table.c[name] for name in names)).where(mine)))))
    return tuple(row), *found


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


def move_polls(connection: Connection, gateway_id: int, polls: Sequence[Taken], by_s: int) -> list[Taken]:
    """Move what was stored of some polls of a gateway by a time, and return where they lie then; the caller commits.

    A poll that would meet another one lies beside it. One that meets itself was moved before: it goes.
    """
    by = timedelta(seconds=by_s)
    moving = {poll.place for poll in polls if poll.place is not None}
    if not moving:
        return [Taken(poll.at + by, None) for poll in polls]
    wanted = [poll.at + by for poll in polls]
    within = min(wanted), max(wanted) + timedelta(seconds=BESIDE_S)
    mine = POLLS.c.gateway_id == gateway_id
    there = set(connection.execute(select(POLLS.c.polled_at).where(mine, POLLS.c.polled_at.between(*within))).scalars())
    others, used = there - moving, moving | set(wanted)
    places: dict[datetime, datetime | None] = {}
    # Away from those that move next, so that none of them meets another.
    for poll in sorted(polls, key=lambda poll: poll.at, reverse=by_s > 0):
        if poll.place is None:
            continue
        place = places[poll.place] = poll.at + by
        if place in others:
            beside = [place + timedelta(seconds=seconds) for seconds in range(BESIDE_S)]
            content = _stored(connection, gateway_id, poll.place)
            if any(at in others and _stored(connection, gateway_id, at) == content for at in beside):
                places[poll.place] = None
            else:
                places[poll.place] = next((at for at in beside if at not in others and at not in used), None)
        used.update(filter(None, [places[poll.place]]))
    _move(connection, gateway_id, places)
    return [Taken(poll.at + by, poll.place and places[poll.place]) for poll in polls]


def _move(connection: Connection, gateway_id: int, places: Mapping[datetime, datetime | None]) -> None:
    """Move all rows of some polls, in this order; those without a new place are deleted."""
    steps = [
        {"old": old, "new": new, "by_s": int((new - old).total_seconds())}
        for old, new in places.items()
        if new is not None
    ]
    gone = [{"old": old} for old, new in places.items() if new is None]
    for table, name in _OF_POLLS.items():
        time, mine = table.c[name], table.c.gateway_id == gateway_id
        here = [mine, time == bindparam("old")]
        if dropped := [*gone, *_met(connection, time, mine, steps)] if table is not GATEWAYS else []:
            connection.execute(delete(table).where(*here), dropped)
        values: dict[str, Any] = {name: bindparam("new")}
        if "reading_age_s" in table.c:
            values["reading_age_s"] = table.c.reading_age_s + bindparam("by_s")
        if table is EVENTS:
            values["utc_offset_s"] = None
        if steps:
            connection.execute(update(table).where(*here).values(values), steps)


def _met(
    connection: Connection, time: Column[Any], mine: ColumnElement[bool], steps: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the steps at whose end something lies already, without a poll: events and states do."""
    if time.table not in (EVENTS, SITE_STATES) or not steps:
        return []
    targets = {step["new"] for step in steps}
    query = select(time).where(mine, time.between(min(targets), max(targets))).distinct()
    others = set(connection.execute(query).scalars()) - {step["old"] for step in steps}
    return [{"old": step["old"]} for step in steps if step["new"] in others]
