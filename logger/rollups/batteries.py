"""What batteries reported in a window of time, and when the house was not on the utility's grid."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, or_, select

from logger.clock import from_epoch_s
from logger.ledger.battery import Batteries, PowerState, Sample
from logger.ledger.doubts import Island
from logger.ledger.limits import ABSURD_W
from logger.rollups.read import Window
from logger.store.models import BATTERIES, SITE_STATES, STORAGE_SAMPLES, epoch

#: What a battery can give whose rated power is not known, W.
RATED_W = {"encharge": 5_000.0, "acb": 270.0}
#: States of the grid's relay and mode in which the house is cut off.
CUT_OFF = {"grid_relay": {"open", "off_grid"}, "grid_mode": {"off_grid"}}
GENERATOR = {"grid_mode": {"generator"}, "generator": {"running"}}
SUBJECTS = sorted(CUT_OFF.keys() | GENERATOR.keys())

# Of each window: not to be made anew for each.
_first_s = func.coalesce(epoch(BATTERIES.c.first_seen_at), 0)
_RATED = (
    select(_first_s, BATTERIES.c.kind, BATTERIES.c.rated_power_w)
    .where(BATTERIES.c.gateway_id == bindparam("gateway"))
    .order_by(_first_s)
)
_of_site = SITE_STATES.c.gateway_id == bindparam("gateway"), SITE_STATES.c.subject.in_(SUBJECTS)
_begun = (
    select(SITE_STATES.c.subject, func.max(SITE_STATES.c.at).label("at"))
    .where(*_of_site, SITE_STATES.c.at <= bindparam("first"))
    .group_by(SITE_STATES.c.subject)
    .subquery()
)
#: what each subject is when a window begins, and what changes in it
_STATES = (
    select(epoch(SITE_STATES.c.at), SITE_STATES.c.subject, SITE_STATES.c.state)
    .outerjoin(_begun, _begun.c.subject == SITE_STATES.c.subject)
    .where(
        *_of_site, SITE_STATES.c.at <= bindparam("last"), or_(_begun.c.at.is_(None), SITE_STATES.c.at >= _begun.c.at)
    )
    .order_by(SITE_STATES.c.at, SITE_STATES.c.subject)
)


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
    for batch in window.read(STORAGE_SAMPLES, "kind power_w energy_wh capacity_wh"):
        for at_s, kind, power_w, *levels_wh in window.within(batch):
            if at_s not in misplaced_s:
                possible_w = power_w if power_w is None or abs(power_w) <= ABSURD_W else None
                samples[kind].append(Sample(at_s, possible_w, *levels_wh))
    states = {kind: state for (_, kind), state in window.states.items() if isinstance(state, PowerState)}
    rated_w = _rated_w(window.connection, window.site.gateway_id) if samples or states else {}
    return Equipment(Batteries(samples, states, rated_w), list(_islands(window)))


def _rated_w(connection: Connection, gateway_id: int) -> dict[str, list[tuple[int, float]]]:
    """Return by kind since when batteries could give how much together, W."""
    found: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for since_s, kind, rated_w in connection.execute(_RATED, {"gateway": gateway_id}):
        before_w = found[kind][-1][1] if found[kind] else 0.0
        found[kind].append((since_s, before_w + (rated_w or RATED_W.get(kind, RATED_W["encharge"]))))
    return found


def _islands(window: Window) -> Iterator[Island]:
    """Yield when the house was off the utility's grid, or a generator ran; one of before ``since_s`` may begin late."""
    of = {
        "gateway": window.site.gateway_id,
        "first": from_epoch_s(window.since_s),
        "last": from_epoch_s(window.until_s),
    }
    states: dict[str, str | None] = {}
    before: bool | None
    start_s, before = 0, None  # whether a generator ran, None on the grid
    for at_s, subject, state in window.connection.execute(_STATES, of):
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
