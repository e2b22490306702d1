"""Where a ledger was left, and what it decided.

A checkpoint is what it knew at an instant before which nothing changes any more. One a day is kept for as long as the
rollups are: each is where a check can begin, and up to where samples can be pruned. Databases of version 0.1 keep only
one a month of what is older than forty days; there the steps are longer.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Delete, bindparam, delete, func, insert, not_, or_, select

from logger.clock import day_start_s, from_epoch_s, local_day, to_epoch_s
from logger.errors import SchemaOutdatedError
from logger.ledger import doubts
from logger.ledger.battery import PowerState
from logger.ledger.curve import Anchor, Decision
from logger.ledger.inverter import Rhythm
from logger.ledger.limits import Stream
from logger.rollups import balance, clock_check
from logger.rollups.balance import Balance
from logger.rollups.site import Site
from logger.store.models import EVENTS, ROLLUP_CHECKPOINTS
from logger.store.rows import upsert

_columns = ROLLUP_CHECKPOINTS.c
# Each is run some times per quarter hour: to make a statement anew takes as long as to run it.
_mine = (_columns.gateway_id == bindparam("gateway")) & (_columns.ledger == bindparam("of"))
_is_until, _is_after = _columns.at <= bindparam("until"), _columns.at > bindparam("after")
_LAST = select(_columns.at, _columns.state).where(_mine).order_by(_columns.at.desc()).limit(1)
_LAST_AT = select(func.max(_columns.at)).where(_mine, _is_until)
_FIRST_OF_DAY = select(func.min(_columns.at)).where(_mine, _columns.at >= bindparam("midnight"), _is_until)
_FORGET = delete(ROLLUP_CHECKPOINTS).where(_mine, _is_after)
_FORGET_BETWEEN = _FORGET.where(_is_until)
_INSERT = insert(ROLLUP_CHECKPOINTS)
#: Events that a ledger decides; a rebuild decides them anew.
KINDS = (
    "counter_wrap", "counter_reset", "counter_dip", "suspect_increment", "suspect_power", "source_change",
    "stalled_counter", "outage", doubts.KIND, clock_check.KIND, balance.KIND,
)  # fmt: skip
#: Until there gaps are spread evenly, as version 0.1 did: a ledger of its own, which a whole rebuild forgets.
EVENLY = "evenly"
#: Of what a checkpoint's state says and how; without one it is of version 0.1, or of before this was noted. 1 is a list
#: of states, each with all values by their names.
VERSION = 2
#: After all that is counted.
EVER_S = 10**10
#: How the subject of a decision about a single inverter begins.
SUBJECT = "inverter "


class Silent(NamedTuple):
    """An inverter that no longer holds the ledger back."""

    at_s: int  #: of its last report


State = Anchor | PowerState | Balance | Rhythm | Silent
BATTERY = "battery power"
BALANCE = ("balance", "total")
KIND_OF: dict[type[Any], str] = {
    Anchor: "register", Rhythm: "reports", Silent: "silent", PowerState: "batteries", Balance: "balance",
}  # fmt: skip
_KINDS = {name: kind for kind, name in KIND_OF.items()}
#: Instants that are written as seconds from ``at_s``: most are the same for many states.
SINCE = ("last_increase_s", "flat_since_s", "first_s")
#: (stream, phase), of batteries' power (``BATTERY``, kind), of the day so far ``BALANCE``, or serial -> ``State``
States = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a ledger knew at an instant."""

    at_s: int
    states: States


@dataclass(slots=True)
class Rolled:
    """What came of a window of samples, and where to go on."""

    settled_s: int  #: before this nothing can change any more
    states: States = field(default_factory=dict)  #: at ``settled_s``
    rows: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    hours: list[dict[str, Any]] = field(default_factory=list)  #: of inverter_hours
    reopen_s: int | None = None  #: an earlier instant from which to count anew instead
    today: Any = None  #: of inverters: ``today.Today``, where the day that is not over can be gone on with


def last(connection: Connection, gateway_id: int, ledger: str) -> Checkpoint | None:
    """Return where to go on; None for the beginning."""
    row = connection.execute(_LAST, {"gateway": gateway_id, "of": ledger}).one_or_none()
    return None if row is None else Checkpoint(to_epoch_s(row.at), _from_json(row.state))


def last_at_s(connection: Connection, gateway_id: int, ledger: str, at_s: int) -> int | None:
    """Return the instant of the last checkpoint at or before an instant, or None."""
    of = {"gateway": gateway_id, "of": ledger, "until": from_epoch_s(at_s)}
    at = connection.execute(_LAST_AT, of).scalar_one()
    return None if at is None else to_epoch_s(at)


def forget_after(connection: Connection, gateway_id: int, ledger: str, at_s: int) -> None:
    """Delete the checkpoints after an instant, so that all since then is recomputed."""
    connection.execute(_FORGET, {"gateway": gateway_id, "of": ledger, "after": from_epoch_s(at_s)})


def forget_newer(connection: Connection, gateway_id: int) -> None:
    """Delete the checkpoints that only a newer program can read."""
    known = [_columns.state.startswith(f'{{"version":{version},') for version in range(1, VERSION + 1)]
    unknown = _columns.state.startswith('{"version":') & not_(or_(*known))
    connection.execute(delete(ROLLUP_CHECKPOINTS).where(_columns.gateway_id == gateway_id, unknown))


def save(connection: Connection, site: Site, ledger: str, checkpoint: Checkpoint) -> None:
    """Save a checkpoint, in place of those since the first of its day: the first and the last of a day stay."""
    midnight_s = day_start_s(local_day(checkpoint.at_s, site.zone), site.zone)
    at = from_epoch_s(checkpoint.at_s)
    of = {"gateway": site.gateway_id, "of": ledger, "until": at}
    first = connection.execute(_FIRST_OF_DAY, of | {"midnight": from_epoch_s(midnight_s)}).scalar_one()
    if first is not None:
        connection.execute(_FORGET_BETWEEN, of | {"after": first})
    row = {"gateway_id": site.gateway_id, "ledger": ledger, "at": at, "state": _to_json(checkpoint.states)}
    connection.execute(_INSERT, row)


def _to_json(states: States) -> str:
    """Return states as text, with the version of this form: of each kind, each value of all as a list.

    It is written each quarter hour: a value that all have stands alone, and one by default is left out.
    """
    of_kinds: dict[type[Any], list[Any]] = {}
    for key in sorted(states):
        of_kinds.setdefault(type(states[key]), []).append(key)
    found = []
    for kind, keys in of_kinds.items():
        group: dict[str, Any] = {"kind": KIND_OF[kind], "of": keys}
        if isinstance(keys[0], tuple):
            group["of"] = {stream: [phase for name, phase in keys if name == stream] for stream, _ in keys}
        columns = zip(*(_put_on(states[key], -1) for key in keys), strict=True)
        for name, values in zip(kind._fields, columns, strict=True):
            is_one = len(set(map(repr, values))) == 1
            if not is_one or values[0] != kind._field_defaults.get(name, ...):
                group[name] = values[0] if is_one else values
        found.append(group)
    return json.dumps({"version": VERSION, "states": found}, separators=(",", ":"))


def _from_json(text: str) -> States:
    found = json.loads(text)
    version = found.get("version") if isinstance(found, dict) else None
    if not isinstance(version, int):
        return _from_1(found)
    if version > VERSION:
        raise SchemaOutdatedError(
            "The energy tables were last written by a newer envoylog; install that version again, or run: "
            "envoylog db rebuild"
        )
    return _from_1(found["states"]) if version == 1 else dict(_states(found["states"]))


def _states(groups: Any) -> Iterator[tuple[Any, State]]:
    for group in groups:
        kind, keys = _KINDS[group.pop("kind")], group.pop("of")
        if isinstance(keys, dict):
            keys = [(_stream(name), phase) for name, phases in keys.items() for phase in phases]
        columns = [value if isinstance(value, list) else [value] * len(keys) for value in group.values()]
        for key, values in zip(keys, zip(*columns, strict=True), strict=True):
            yield key, _put_on(kind(**dict(zip(group, values, strict=True))), 1)


def _put_on(state: Any, ways: int) -> Any:
    """Return a state whose instants are put on by its own, or back."""
    since = {name: getattr(state, name) + ways * state.at_s for name in SINCE if name in state._fields}
    return state._replace(**since)


def _stream(name: str) -> str:
    return name if name in {BATTERY, BALANCE[0]} else Stream(name)


def _from_1(found: Any) -> States:
    """Read what was written before states came by their kind."""
    if isinstance(found, dict):
        return {serial: _state(state) for serial, state in found.items()}
    states: dict[tuple[str, str], State] = {}
    for state in found:
        if isinstance(state, list):
            states[Stream(state[0]), state[1]] = _anchor_of_0_1(*state[2:])
            continue
        stream, phase = state.pop("stream"), state.pop("phase")
        if stream == BATTERY:
            states[BATTERY, phase] = PowerState(**state)
        elif (stream, phase) == BALANCE:
            states[BALANCE] = Balance(**state)
        else:
            states[Stream(stream), phase] = Anchor(**state)
    return states


def _state(state: Any) -> State:
    if isinstance(state, list):  # of version 0.1
        kind, at_s, *values = state
        if kind == "counter":
            return _anchor_of_0_1(*values)
        return Rhythm(at_s, *values) if kind == "reports" else Silent(at_s)
    return _KINDS[state.pop("kind")](**state)  # type: ignore[no-any-return]


#: What version 0.1 wrote of a register as a list, by its place.
ORDER_0_1 = (
    "source", "at_s", "value_mwh", "last_increase_s", "flat_since_s", "below_high_mwh", "first_s", "max_quarter_mwh",
    "stuck_since_s", "erroneous_until_s", "power_w",
)  # fmt: skip


def _anchor_of_0_1(*values: Any) -> Anchor:
    named = dict(zip(ORDER_0_1, values, strict=False))
    # Since when it was stuck, 0 while it was not.
    named["flat_since_s"] = named.pop("stuck_since_s", 0) or named["flat_since_s"]
    return Anchor(**{"power_w": None} | named)


def replace_events(
    connection: Connection, site: Site, ledger: str, since_s: int, until_s: int | None, decisions: Iterable[Decision]
) -> None:
    """Write what a ledger decided after an instant, in place of what it had decided before."""
    of = {"gateway": site.gateway_id, "after": from_epoch_s(since_s), "until": from_epoch_s(until_s or EVER_S)}
    connection.execute(_old_events(of_inverters=ledger == "inverters"), of)
    details = {decision[:3]: decision.detail for decision in decisions}
    rows = [
        {"gateway_id": site.gateway_id, "at": from_epoch_s(at_s), "kind": kind, "subject": subject, "detail": detail}
        for (at_s, kind, subject), detail in details.items()
    ]
    upsert(connection, EVENTS, rows, ("detail",))


@lru_cache
def _old_events(*, of_inverters: bool) -> Delete:
    is_of_inverter = EVENTS.c.subject.startswith(SUBJECT)
    # A gap that begins where counting goes on is decided by what comes after it (ledger.flows).
    begins = (EVENTS.c.kind == "outage") & EVENTS.c.detail.startswith("nothing measured for ")
    return delete(EVENTS).where(
        EVENTS.c.gateway_id == bindparam("gateway"),
        EVENTS.c.at >= bindparam("after"),
        (EVENTS.c.at > bindparam("after")) | begins,
        EVENTS.c.at <= bindparam("until"),
        EVENTS.c.kind.in_(KINDS),
        is_of_inverter if of_inverters else not_(is_of_inverter),
    )
