"""What was counted, as rows: each time it is counted, those of its time are written anew."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, not_

from logger.clock import from_epoch_s, local_day, utc_offset_s
from logger.ledger.curve import Decision
from logger.ledger.flows import Interval
from logger.rollups import clock_check
from logger.rollups.checkpoints import States
from logger.rollups.pivot import Peaks
from logger.rollups.site import Site
from logger.store.database import insert_all, upsert
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
    clock_check.KIND,
)
#: How the subject of a decision about a single inverter begins.
SUBJECT = "inverter "


@dataclass(slots=True)
class Rolled:
    """What came of a window of samples, and where to go on."""

    settled_s: int  #: before this nothing can change any more
    states: States = field(default_factory=dict)  #: at ``settled_s``
    rows: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    reopen_s: int | None = None  #: an earlier instant from which to count anew instead


def quarter_rows(
    site: Site, intervals: Iterable[Interval], production: Peaks, consumption: Peaks
) -> list[dict[str, Any]]:
    """Return the rows of energy_15min."""
    offsets: dict[int, int] = {}
    rows = []
    for interval in intervals:
        start = interval.starts_s
        offset = offsets.get(start)
        if offset is None:
            offset = offsets[start] = utc_offset_s(start, site.zone)
        row: dict[str, Any] = {
            "gateway_id": site.gateway_id,
            "starts_at": from_epoch_s(start),
            "phase": interval.phase,
            "utc_offset_s": offset,
            "production_wh": _wh(interval.production_mwh),
            "consumption_wh": _wh(interval.consumption_mwh),
            "grid_import_wh": _wh(interval.grid_import_mwh),
            "grid_export_wh": _wh(interval.grid_export_mwh),
            "battery_charge_wh": _wh(interval.battery_charge_mwh),
            "battery_discharge_wh": _wh(interval.battery_discharge_mwh),
            "covered_s": interval.covered_s,
            "bridged_wh": interval.bridged_mwh / 1000,
        }
        is_total = interval.phase == "total"
        for name, peaks in (("production", production), ("consumption", consumption)):
            peak = peaks.of.get(start) if is_total else None
            row[f"peak_{name}_w"] = peak[0] if peak else None
            row[f"peak_{name}_at"] = from_epoch_s(peak[1]) if peak else None
        rows.append(row)
    return rows


def _wh(energy_mwh: int | None) -> float | None:
    return None if energy_mwh is None else energy_mwh / 1000


def replace_rows(
    connection: Connection,
    table: Table,
    site: Site,
    since_s: int,
    until_s: int | None,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Replace a gateway's rows from an instant on, up to before another or all that come later.

    Of a table of days, the whole days of these instants.
    """
    if "day" in table.c:
        old = [table.c.day >= local_day(since_s, site.zone)]
        if until_s is not None:
            old.append(table.c.day <= local_day(until_s - 1, site.zone))
    else:
        old = [table.c.starts_at >= from_epoch_s(since_s)]
        if until_s is not None:
            old.append(table.c.starts_at < from_epoch_s(until_s))
    connection.execute(delete(table).where(table.c.gateway_id == site.gateway_id, *old))
    insert_all(connection, table, rows)


def replace_events(
    connection: Connection,
    site: Site,
    since_s: int,
    until_s: int | None,
    decisions: Iterable[Decision],
    *,
    of_inverters: bool,
) -> None:
    """Write what one ledger decided after an instant, in place of what it had decided before."""
    of_inverter = EVENTS.c.subject.startswith(SUBJECT)
    old = [
        EVENTS.c.gateway_id == site.gateway_id,
        EVENTS.c.at > from_epoch_s(since_s),
        EVENTS.c.kind.in_(KINDS),
        of_inverter if of_inverters else not_(of_inverter),
    ]
    if until_s is not None:
        old.append(EVENTS.c.at <= from_epoch_s(until_s))
    connection.execute(delete(EVENTS).where(*old))
    unique = {(decision.at_s, decision.kind, decision.subject): decision for decision in decisions}
    rows = [
        {
            "gateway_id": site.gateway_id,
            "at": from_epoch_s(decision.at_s),
            "kind": decision.kind,
            "subject": decision.subject,
            "detail": decision.detail,
        }
        for decision in unique.values()
    ]
    upsert(connection, EVENTS, rows, ("detail",))
