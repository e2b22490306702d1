"""What was measured of a site before a window: what energy over a gap is spread by."""

from sqlalchemy import select

from logger.clock import from_epoch_s
from logger.ledger.mean_day import History, Measured
from logger.rollups import checkpoints
from logger.rollups.checkpoints import EVENLY, EVER_S
from logger.rollups.read import Window
from logger.store.database import rows
from logger.store.models import ENERGY_15MIN, epoch


def history_of(window: Window, settled_s: int | None = None) -> History:
    """Return what was measured before a window, or what is settled: also what is kept of samples that were pruned."""
    before_s = window.since_s if settled_s is None else settled_s

    def measured(phase: str, since_s: int, until_s: int) -> list[Measured]:
        columns = ENERGY_15MIN.c
        query = select(epoch(columns.starts_at), columns.production_wh, columns.grid_export_wh).where(
            columns.gateway_id == window.site.gateway_id,
            columns.starts_at >= from_epoch_s(since_s),
            columns.starts_at < from_epoch_s(min(until_s, before_s)),
            columns.phase == phase,
            columns.bridged_wh == 0,
            columns.production_wh.is_not(None),
        )
        found = rows(window.connection, query.order_by(columns.starts_at))
        return [Measured(at_s, _mwh(made_wh), _mwh(given_wh)) for at_s, made_wh, given_wh in found]

    def since_s() -> int:
        return checkpoints.last_at_s(window.connection, window.site.gateway_id, EVENLY, EVER_S) or 0

    return History(window.site.zone, measured, since_s)


def _mwh(wh: float | None) -> int | None:
    return None if wh is None else round(wh * 1000)
