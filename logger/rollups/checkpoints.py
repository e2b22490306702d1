"""Where a ledger was left: what it knew at an instant before which nothing changes any more.

One a day is kept for as long as the rollups are: each is where a check can begin, and up to where
samples can be pruned. Databases of earlier versions keep only one a month of what is older than
forty days; there the steps are longer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from logger.clock import day_start_s, from_epoch_s, local_day, to_epoch_s
from logger.energy.inverters import Rhythm
from logger.energy.series import CounterState
from logger.rollups.site import Site
from logger.store.models import ROLLUP_CHECKPOINTS

_columns = ROLLUP_CHECKPOINTS.c


class Silent(NamedTuple):
    """An inverter that no longer holds the ledger back."""

    at_s: int  #: of its last report


State = CounterState | Rhythm | Silent
#: (stream, phase), or serial -> ``State``
States = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a ledger knew at an instant."""

    at_s: int
    states: States


def last(connection: Connection, gateway_id: int, ledger: str) -> Checkpoint | None:
    """Return where to go on; None for the beginning."""
    query = select(_columns.at, _columns.state).where(_of(gateway_id, ledger))
    row = connection.execute(query.order_by(_columns.at.desc()).limit(1)).one_or_none()
    return None if row is None else Checkpoint(to_epoch_s(row.at), _from_json(row.state))


def last_at_s(connection: Connection, gateway_id: int, ledger: str, at_s: int) -> int | None:
    """Return the instant of the last checkpoint at or before an instant, or None."""
    mine = _of(gateway_id, ledger) & (_columns.at <= from_epoch_s(at_s))
    at = connection.execute(select(func.max(_columns.at)).where(mine)).scalar_one()
    return None if at is None else to_epoch_s(at)


def forget_after(connection: Connection, gateway_id: int, ledger: str, at_s: int) -> None:
    """Delete the checkpoints after an instant, so that all since then is recomputed."""
    late = _columns.at > from_epoch_s(at_s)
    connection.execute(delete(ROLLUP_CHECKPOINTS).where(_of(gateway_id, ledger), late))


def save(connection: Connection, site: Site, ledger: str, checkpoint: Checkpoint) -> None:
    """Save a checkpoint; of those of its day before, keep only the first."""
    mine = _of(site.gateway_id, ledger)
    midnight_s = day_start_s(local_day(checkpoint.at_s, site.zone), site.zone)
    at = from_epoch_s(checkpoint.at_s)
    today = (_columns.at >= from_epoch_s(midnight_s)) & (_columns.at <= at)
    first = connection.execute(select(func.min(_columns.at)).where(mine, today)).scalar_one()
    if first is not None:
        connection.execute(delete(ROLLUP_CHECKPOINTS).where(mine, today, _columns.at > first))
    row = {"gateway_id": site.gateway_id, "ledger": ledger, "at": at}
    row["state"] = _to_json(checkpoint.states)
    connection.execute(insert(ROLLUP_CHECKPOINTS), row)


def _of(gateway_id: int, ledger: str) -> ColumnElement[bool]:
    return (_columns.gateway_id == gateway_id) & (_columns.ledger == ledger)


def _to_json(states: States) -> str:
    """Return states as text: a list for streams, by serial for inverters."""
    if all(isinstance(key, tuple) for key in states):
        plain: Any = [[*key, *states[key]] for key in sorted(states)]
    else:
        plain = {serial: _plain(state) for serial, state in states.items()}
    return json.dumps(plain, separators=(",", ":"))


def _plain(state: State) -> list[Any]:
    if isinstance(state, CounterState):
        return ["counter", state.at_s, *state]
    return ["reports" if isinstance(state, Rhythm) else "silent", *state]


def _from_json(text: str) -> States:
    found = json.loads(text)
    if isinstance(found, list):
        return {(name, phase): CounterState(*values) for name, phase, *values in found}
    return {serial: _state(*values) for serial, values in found.items()}


def _state(kind: str, at_s: int, *values: Any) -> State:
    if kind == "counter":
        return CounterState(*values)
    return Rhythm(at_s, *values) if kind == "reports" else Silent(at_s)
