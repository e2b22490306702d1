"""/ivp/meters and /ivp/meters/readings: CT slots, their readings, and what follows from them.

Slots and readings are joined on ``eid``: firmware 8.3 lists readings of CTs that are not fitted. Each meter has three
channels everywhere; those beyond its phaseCount hold noise or another meter's data. The total is the gateway's own,
never a sum of channels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from logger.gateway.parse import counter, integer, items, number, power, reading_age_s, table, text
from logger.gateway.quirks import lost_storage_channel
from logger.readings import LINES, ConsumptionSample, Measurement, Meter, MeterReading, Phase, ProductionSample, Source

NET, TOTAL, PRODUCTION = Measurement.NET_CONSUMPTION, Measurement.TOTAL_CONSUMPTION, Measurement.PRODUCTION


def slots(document: Any) -> tuple[Meter, ...]:
    """Return the CT slots of /ivp/meters by eid; a broken slot is left out."""
    found: dict[int, Meter] = {}
    for item in items(document):
        eid, measurement = integer(item.get("eid")), text(item.get("measurementType"))
        if eid is None or measurement is None:
            continue
        flags = item.get("statusFlags")
        found[eid] = Meter(
            measurement=measurement,
            eid=eid,
            state=text(item.get("state")) or "disabled",
            metering_status=text(item.get("meteringStatus")),
            status_flags=",".join(filter(None, map(text, flags[:20]))) if isinstance(flags, list) else None,
            phase_mode=text(item.get("phaseMode")),
            phase_count=integer(item.get("phaseCount")),
        )
    return tuple(found.values())


def is_enabled(meter: Meter) -> bool:
    """Return whether a CT's numbers are real: only its state shows it."""
    return meter.state == "enabled"


def parse(
    document: Any, meters: Mapping[int, Meter], now_s: int, frozen: frozenset[int] = frozenset()
) -> list[MeterReading]:
    """Return the readings of the enabled meters, each in total and per phase in use.

    ``meters`` are the enabled slots by eid; ``frozen`` names those whose time stands still. A timestamp of 0 means that
    the meter was never read: no reading. One that no clock shows (milliseconds) is a reading of unknown age.
    """
    found: list[MeterReading] = []
    seen: set[str] = set()
    for item in items(document):
        eid = integer(item.get("eid"))
        meter = meters.get(eid) if eid is not None else None
        # A slot listed twice, or two slots of one kind: the first is the main one.
        if meter is None or not number(item.get("timestamp")) or eid in frozen or meter.measurement in seen:
            continue
        seen.add(meter.measurement)
        age_s = reading_age_s(item.get("timestamp"), now_s)
        found += [_reading(part, meter, phase, age_s) for phase, part in _parts(item, meter)]
    return found


def _parts(item: dict[str, Any], meter: Meter) -> list[tuple[Phase, dict[str, Any]]]:
    """Return a meter's total and its channels in use, without a channel that was lost.

    With one phase in use its channel is the total: on the seven-slot stack the gateway's own total also holds the
    noise of unused channels, elsewhere both are the same.
    """
    count = meter.phase_count or 1
    listed = item.get("channels")
    channels = [table(channel) for channel in listed[:count]] if isinstance(listed, list) else []
    if count == 1:
        is_own = meter.phase_count == 1 and channels and "actEnergyDlvd" in channels[0]
        return [(Phase.TOTAL, channels[0] if is_own else item)]
    lost = None
    if meter.measurement == Measurement.STORAGE and meter.phase_mode == "split":
        lost = lost_storage_channel(item, channels)
    parts = [(Phase.TOTAL, item)] if lost is None else []
    lines = enumerate(zip(LINES, channels, strict=False))
    return parts + [(phase, channel) for index, (phase, channel) in lines if index != lost and channel]


def _reading(item: dict[str, Any], meter: Meter, phase: Phase, age_s: int | None) -> MeterReading:
    return MeterReading(
        measurement=meter.measurement,
        phase=phase,
        power_w=power(item.get("activePower")),
        delivered_wh=counter(item.get("actEnergyDlvd")),
        received_wh=counter(item.get("actEnergyRcvd")),
        voltage_v=number(item.get("voltage")),
        current_a=number(item.get("current")),
        power_factor=number(item.get("pwrFactor")),
        apparent_power_va=power(item.get("apparentPower")),
        reactive_power_var=power(item.get("reactivePower")),
        frequency_hz=number(item.get("freq")),
        reading_age_s=age_s,
    )


def production(readings: Iterable[MeterReading]) -> list[ProductionSample]:
    """Return the production CT's activePower and actEnergyDlvd, in total and per phase."""
    return [
        ProductionSample(ct.phase, ct.power_w, ct.delivered_wh, ct.reading_age_s, Source.CT)
        for ct in readings
        if ct.measurement == PRODUCTION
    ]


def consumption_by_net(
    readings: Sequence[MeterReading], production: Iterable[ProductionSample], *, has_storage_ct: bool = False
) -> list[ConsumptionSample]:
    """Return net as its CT measures it (positive for import), and total = production + net + storage.

    The total has the poll's own production and is ``derived``; it is unknown where a storage CT was lost in this poll
    (rule C6). Energies are balances of counters: net = delivered - received; the total adds production's, less what the
    inverters drew, and leaves the battery out.
    """
    produced = {sample.phase: sample for sample in production}
    by_phase, storage = _by_phase(readings, PRODUCTION), _by_phase(readings, Measurement.STORAGE)
    samples: list[ConsumptionSample] = []
    for phase, net in _by_phase(readings, NET).items():
        net_wh, age_s = plus(net.delivered_wh, net.received_wh, sign=-1), net.reading_age_s
        samples.append(ConsumptionSample(NET, phase, net.power_w, net_wh, age_s, Source.CT))
        if (own := produced.get(phase)) is None:
            continue
        produced_wh = own.energy_lifetime_wh
        if own.source is Source.CT:
            ct = by_phase.get(phase)
            produced_wh = plus(produced_wh, ct.received_wh if ct else None, sign=-1)
        total_w, total_wh = plus(own.power_w, net.power_w), plus(produced_wh, net_wh)
        if has_storage_ct:
            total_w = plus(total_w, storage[phase].power_w if phase in storage else None)
        samples.append(ConsumptionSample(TOTAL, phase, total_w, total_wh, age_s, Source.DERIVED))
    return samples


def consumption_by_total(
    readings: Iterable[MeterReading], production: Iterable[ProductionSample]
) -> list[ConsumptionSample]:
    """Return total as its CT measures it, and the power of net = total - production.

    A total-consumption CT counts the house as delivered. Net has no counter here: a difference of two rising counters
    hides what went both ways.
    """
    produced = {sample.phase: sample for sample in production}
    samples: list[ConsumptionSample] = []
    for phase, total in _by_phase(readings, TOTAL).items():
        total_w, wh, age_s = total.power_w, total.delivered_wh, total.reading_age_s
        samples.append(ConsumptionSample(TOTAL, phase, total_w, wh, age_s, Source.CT))
        if (own := produced.get(phase)) is not None:
            net_w = plus(total_w, own.power_w, sign=-1)
            samples.append(ConsumptionSample(NET, phase, net_w, None, age_s, Source.DERIVED))
    return samples


def with_battery(sample: ConsumptionSample, battery_w: float | None) -> ConsumptionSample:
    """Return what the house uses, of a site whose batteries no CT counts (rule C7).

    The total is production + net + what the batteries give, and unknown where that is; so are the phases, over which
    nobody knows how it spreads. What a total-consumption CT measures stays as it is, and so does each counter.
    """
    if sample.measurement is not TOTAL or sample.source is Source.CT:
        return sample
    return replace(sample, power_w=plus(sample.power_w, battery_w) if sample.phase is Phase.TOTAL else None)


def unknown_balance(sample: ConsumptionSample) -> ConsumptionSample:
    """Return what the house uses while production and net are of two grids: a balance of both is nobody's (R14)."""
    is_balance = sample.measurement is TOTAL and sample.source is not Source.CT
    return replace(sample, power_w=None) if is_balance else sample


def _by_phase(readings: Iterable[MeterReading], measurement: str) -> dict[Phase, MeterReading]:
    return {reading.phase: reading for reading in readings if reading.measurement == measurement}


def plus(a: float | None, b: float | None, sign: int = 1) -> float | None:
    """Return a + b (or a - b) to the milliunit that gateways give; unknown stays unknown."""
    return None if a is None or b is None else round(a + sign * b, 3)
