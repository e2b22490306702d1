"""What flows at one instant, by a poll or by what is stored.

Walk: readings.Poll, v_power_now -> here -> overview, exports.screen
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text

from logger.readings import BatteryKind, Measurement, MeterReading, Phase, Poll, ProductionSample, Source
from logger.store.models import PRODUCTION_SAMPLES
from logger.store.queries import gateway_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What flows at the newest poll; W, None where unknown."""

    measured_at: datetime
    production_w: float | None
    consumption_w: float | None
    grid_w: float | None  #: positive from the grid
    battery_w: float | None  #: positive for discharging
    battery_soc_pct: float | None = None
    grid_state: str | None = None  #: on_grid, off_grid or generator, where a system device says so


def stored_power(connection: Connection, gateway: str) -> Power | None:
    """Return what flows at a gateway's newest stored poll; None before the first."""
    query = "SELECT * FROM v_power_now WHERE gateway = :name ORDER BY measured_at DESC LIMIT 1"
    row = connection.execute(text(query), {"name": gateway}).mappings().one_or_none()
    if row is None:
        return None
    at = row["measured_at"]
    at = at if isinstance(at, datetime) else datetime.fromisoformat(f"{at}+00:00")
    names = ("production_w", "consumption_w", "grid_w", "battery_w", "battery_soc_pct", "grid_state")
    return Power(measured_at=at, **{name: row[name] for name in names})


def power_of(poll: Poll) -> Power:
    """Return what flows at a poll, as v_power_now has it once the poll is stored."""
    production_w = _total_w(poll.production)
    consumption = {sample.measurement: sample for sample in poll.consumption if sample.phase is Phase.TOTAL}
    used, net = (consumption.get(kind) for kind in (Measurement.TOTAL_CONSUMPTION, Measurement.NET_CONSUMPTION))
    storage = [meter for meter in poll.meter_readings if meter.measurement == Measurement.STORAGE]
    grid_w, battery_w = net.power_w if net else None, _total_w(storage)
    consumption_w = used.power_w if used else None
    if storage and used is not None and used.source is Source.CT:
        consumption_w = _sum_known(consumption_w, battery_w)
    elif storage and consumption_w is not None:
        consumption_w = _sum_known(production_w, grid_w, battery_w)
    if not storage:
        by_kind = {sample.kind: sample.power_w for sample in poll.storage}
        acb_w = by_kind.get(BatteryKind.ACB)
        battery_w = (
            acb_w if BatteryKind.ENCHARGE not in by_kind else _sum_known(by_kind[BatteryKind.ENCHARGE], acb_w or 0)
        )
    levels = [sample.soc_pct for sample in poll.storage if sample.soc_pct is not None]
    return Power(
        measured_at=poll.polled_at, production_w=production_w, consumption_w=consumption_w, grid_w=grid_w,
        battery_w=battery_w, battery_soc_pct=levels[0] if levels else None,
    )  # fmt: skip


def _total_w(samples: Iterable[ProductionSample | MeterReading]) -> float | None:
    return next((sample.power_w for sample in samples if sample.phase is Phase.TOTAL), None)


def _sum_known(*powers_w: float | None) -> float | None:
    known = [power_w for power_w in powers_w if power_w is not None]
    return sum(known) if len(known) == len(powers_w) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the production's counter showed at one poll; Wh, None where unknown."""

    at: datetime
    lifetime_wh: float | None
    source: str

    def since(self, before: "Counted") -> float | None:
        """Return what was counted since another poll (Wh); None where that is another counter, or it fell."""
        if self.lifetime_wh is None or before.lifetime_wh is None or self.source != before.source:
            return None
        counted_wh = self.lifetime_wh - before.lifetime_wh
        return counted_wh if counted_wh >= 0 else None


def counted(poll: Poll) -> Counted | None:
    """Return what the production's counter showed at a poll; None where that has no production."""
    for sample in poll.production:
        if sample.phase is Phase.TOTAL:
            return Counted(at=poll.polled_at, lifetime_wh=sample.energy_lifetime_wh, source=sample.source)
    return None


def stored_counter(connection: Connection, gateway: str) -> Counted | None:
    """Return what the production's counter showed at a gateway's newest stored poll; None before the first."""
    row = gateway_named(connection, gateway)
    if row is None:
        return None
    of = PRODUCTION_SAMPLES.c
    query = select(of.polled_at, of.energy_lifetime_wh, of.source).where(
        of.gateway_id == row.gateway_id, of.phase == Phase.TOTAL
    )
    found = connection.execute(query.order_by(of.polled_at.desc()).limit(1)).one_or_none()
    return Counted(at=found.polled_at, lifetime_wh=found.energy_lifetime_wh, source=found.source) if found else None
