"""What the ledgers decided, as events; each time they count, theirs are written anew."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, not_

from logger.clock import from_epoch_s
from logger.energy.streams import Decision
from logger.rollups import placing
from logger.store.database import upsert
from logger.store.models import EVENTS

#: Events that a ledger decides; a rebuild decides them anew.
KINDS = (
    "counter_wrap",
    "counter_reset",
    "counter_dip",
    "suspect_increment",
    "suspect_power",
    "source_change",
    "stalled_counter",
    "outage",
    placing.KIND,
)
#: How the subject of a decision about a single inverter begins.
SUBJECT = "inverter "


def replace(
    connection: Connection,
    gateway_id: int,
    since_s: int,
    decisions: Iterable[Decision],
    *,
    of_inverters: bool = False,
) -> None:
    """Write what one ledger decided after an instant, in place of what it had decided before."""
    table = EVENTS
    mine = table.c.subject.startswith(SUBJECT)
    connection.execute(
        delete(table).where(
            table.c.gateway_id == gateway_id,
            table.c.at > from_epoch_s(since_s),
            table.c.kind.in_(KINDS),
            mine if of_inverters else not_(mine),
        )
    )
    unique = {(decision.at_s, decision.kind, decision.subject): decision for decision in decisions}
    rows = [
        {
            "gateway_id": gateway_id,
            "at": from_epoch_s(decision.at_s),
            "kind": decision.kind,
            "subject": decision.subject,
            "detail": decision.detail,
        }
        for decision in unique.values()
    ]
    upsert(connection, table, rows, ("detail",))
