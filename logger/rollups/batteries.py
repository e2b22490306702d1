"""What batteries reported in a window of time, and when the house was not on the utility's grid."""

from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from logger.clock import from_epoch_s
from logger.ledger.battery import Batteries, PowerState, Sample
from logger.ledger.doubts import Island
from logger.ledger.limits import ABSURD_W
from logger.rollups.read import Window
from logger.store.database import batches
from logger.store.models import BATTERIES, SITE_STATES, STORAGE_SAMPLES, epoch

#: What a battery can give whose rated power is not known, W.
RATED_W = {"encharge": 5_000.0, "acb": 270.0}
#: States of the grid's relay and mode in which the house is cut off.
CUT_OFF = {"grid_relay": {"open", "off_grid"}, "grid_mode": {"off_grid"}}
GENERATOR = {"grid_mode": {"generator"}, "generator": {"running"}}
SUBJECTS = sorted(CUT_OFF.keys() | GENERATOR.keys())


class Equipment(NamedTuple):
    """What a site has besides registers."""

    batteries: Batteries
    islands: list[Island]


def read_equipment(window: Window) -> Equipment:
    """Return what was sampled after ``after_s`` up to ``until_s``.

    To be read after the registers: samples of polls whose time is wrong are left out.
    """
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    misplaced_s = window.clock.misplaced_s
    query = window.query(STORAGE_SAMPLES, "kind power_w energy_wh capacity_wh")
    for batch in batches(window.connection, query):
        for at_s, kind, power_w, *levels_wh in window.within(batch):
            if at_s not in misplaced_s:
                possible_w = power_w if power_w is None or abs(power_w) <= ABSURD_W else None
                samples[kind].append(Sample(at_s, possible_w, *levels_wh))
    states = {kind: state for (_, kind), state in window.states.items() if isinstance(state, PowerState)}
    rated_w = _rated_w(window.connection, window.site.gateway_id) if samples or states else {}
    return Equipment(Batteries(samples, states, rated_w), list(_islands(window)))


def _rated_w(connection: Connection, gateway_id: int) -> dict[str, list[tuple[int, float]]]:
    """Return by kind since when batteries could give how much together, W."""
    columns = BATTERIES.c
    query = select(epoch(columns.first_seen_at), columns.kind, columns.rated_power_w)
    found: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    rows = connection.execute(query.where(columns.gateway_id == gateway_id).order_by(columns.first_seen_at))
    for since_s, kind, rated_w in rows:
        before_w = found[kind][-1][1] if found[kind] else 0.0
        found[kind].append((since_s or 0, before_w + (rated_w or RATED_W.get(kind, RATED_W["encharge"]))))
    return found


def _islands(window: Window) -> Iterator[Island]:
    """Yield when the house was off the utility's grid, or a generator ran; one of before ``since_s`` may begin late."""
    columns = SITE_STATES.c
    query = select(epoch(columns.at), columns.subject, columns.state)
    query = query.where(columns.gateway_id == window.site.gateway_id)
    if window.connection.execute(query.limit(1)).first() is None:
        return
    first, last = from_epoch_s(window.since_s), from_epoch_s(window.until_s)
    rows: list[Any] = []
    for subject in SUBJECTS:
        earlier = query.where(columns.subject == subject, columns.at <= first)
        rows += window.connection.execute(earlier.order_by(columns.at.desc()).limit(1))
    within = query.where(columns.subject.in_(SUBJECTS), columns.at > first, columns.at <= last)
    rows += window.connection.execute(within)
    states: dict[str, str | None] = {}
    before: bool | None
    start_s, before = 0, None  # whether a generator ran, None on the grid
    for at_s, subject, state in sorted(rows, key=itemgetter(0)):
        states[subject] = state
        is_run = any(states.get(name) in words for name, words in GENERATOR.items())
        is_off = any(states.get(name) in words for name, words in CUT_OFF.items())
        now = is_run if is_run or is_off else None
        if now != before:
            if before is not None and start_s < at_s:
                yield Island(start_s, at_s, before)
            start_s, before = at_s, now
    if before is not None:
        yield Island(start_s, None, before)
