"""What the house uses and what the grid gives -> ConsumptionSample, by the pinned source.

Net is positive for import. Where only one of total and net is measured, the other is their
difference with production, of the same poll, and its source is ``derived``.
"""

from collections.abc import Iterable
from typing import Any

from logger.gateway.kind import consumption_item, is_active
from logger.gateway.parse import number, power
from logger.gateway.quirks import Firmware, copies_net
from logger.gateway.sources.production import age_s, phase_parts
from logger.readings import (
    ConsumptionSample,
    Measurement,
    MeterReading,
    Phase,
    ProductionSample,
    Source,
)


def from_net_ct(
    readings: list[MeterReading], production: Iterable[ProductionSample]
) -> list[ConsumptionSample]:
    """Return net as measured, and total = production + net where production is known.

    Energies are balances of counters: net = delivered - received; total adds production's.
    """
    made = {one.phase: one for one in production}
    night = {
        one.phase: one.received_wh for one in readings if one.measurement == Measurement.PRODUCTION
    }
    samples: list[ConsumptionSample] = []
    for net in (one for one in readings if one.measurement == Measurement.NET_CONSUMPTION):
        balance_wh = _plus(net.delivered_wh, net.received_wh, sign=-1)
        samples.append(
            _sample(Measurement.NET_CONSUMPTION, net.phase, net.power_w, balance_wh, net, Source.CT)
        )
        if (own := made.get(net.phase)) is None:
            continue
        made_wh = own.energy_lifetime_wh
        if own.source is Source.CT:
            made_wh = _plus(made_wh, night.get(net.phase), sign=-1)
        samples.append(
            _sample(
                Measurement.TOTAL_CONSUMPTION,
                net.phase,
                _plus(own.power_w, net.power_w),
                _plus(made_wh, balance_wh),
                net,
                Source.DERIVED,
            )
        )
    return samples


def from_total_ct(
    readings: list[MeterReading], production: Iterable[ProductionSample]
) -> list[ConsumptionSample]:
    """Return total as measured (delivered counts the house), and the power of net = total - made.

    Net has no counter here: a difference of two rising counters hides what went both ways.
    """
    made = {one.phase: one for one in production}
    samples: list[ConsumptionSample] = []
    for total in (one for one in readings if one.measurement == Measurement.TOTAL_CONSUMPTION):
        samples.append(
            _sample(
                Measurement.TOTAL_CONSUMPTION,
                total.phase,
                total.power_w,
                total.delivered_wh,
                total,
                Source.CT,
            )
        )
        if (own := made.get(total.phase)) is not None:
            net_w = _plus(total.power_w, own.power_w, sign=-1)
            samples.append(
                _sample(
                    Measurement.NET_CONSUMPTION, total.phase, net_w, None, total, Source.DERIVED
                )
            )
    return samples


def from_eim(
    page: Any, production: Iterable[ProductionSample], firmware: Firmware, phases: int, now_s: int
) -> list[ConsumptionSample]:
    """Return the consumption items of production.json, repaired where total copies net.

    The lifetime of the net item means different things on different firmware: only its power
    is kept.
    """
    made = {one.phase: one for one in production}
    total_item = consumption_item(page, Measurement.TOTAL_CONSUMPTION)
    net_item = consumption_item(page, Measurement.NET_CONSUMPTION)
    samples: list[ConsumptionSample] = []
    nets = dict(phase_parts(net_item, phases)) if is_active(net_item) else {}
    for phase, net in nets.items():
        samples.append(
            _eim(Measurement.NET_CONSUMPTION, phase, power(net.get("wNow")), None, net_item, now_s)
        )
    if not is_active(total_item):
        return samples
    for phase, total in phase_parts(total_item, phases):
        power_w, energy_wh = power(total.get("wNow")), number(total.get("whLifetime"))
        if phase in nets and copies_net(total, nets[phase], firmware):
            own = made.get(phase)
            power_w = _plus(power_w, own.power_w if own else None)
            energy_wh = _plus(energy_wh, own.energy_lifetime_wh if own else None)
        samples.append(
            _eim(Measurement.TOTAL_CONSUMPTION, phase, power_w, energy_wh, total_item, now_s)
        )
    return samples


def _eim(
    measurement: Measurement,
    phase: Phase,
    power_w: float | None,
    energy_wh: float | None,
    item: dict[str, Any],
    now_s: int,
) -> ConsumptionSample:
    return ConsumptionSample(
        measurement=measurement,
        phase=phase,
        power_w=power_w,
        energy_lifetime_wh=energy_wh,
        reading_age_s=age_s(item, now_s),
        source=Source.EIM,
    )


def _sample(
    measurement: Measurement,
    phase: Phase,
    power_w: float | None,
    energy_wh: float | None,
    reading: MeterReading,
    source: Source,
) -> ConsumptionSample:
    return ConsumptionSample(
        measurement=measurement,
        phase=phase,
        power_w=power_w,
        energy_lifetime_wh=energy_wh,
        reading_age_s=reading.reading_age_s,
        source=source,
    )


def _plus(a: float | None, b: float | None, sign: int = 1) -> float | None:
    """Return a + b (or a - b) to the milliunit that gateways give; unknown stays unknown."""
    return None if a is None or b is None else round(a + sign * b, 3)
