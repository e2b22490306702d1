"""/ivp/meters/readings -> MeterReading, of enabled CTs only.

Each meter has three channels everywhere; those beyond its phaseCount hold noise or another
meter's data. The total is the gateway's own, never a sum of channels.
"""

from dataclasses import dataclass
from typing import Any

from logger.gateway.parse import counter, integer, items, number, power
from logger.gateway.quirks import lost_storage_channel
from logger.readings import LINES, Measurement, Meter, MeterReading, Phase


@dataclass(frozen=True, slots=True)
class Channel:
    """One CT in total or on one phase, with the gateway's reading time."""

    reading: MeterReading
    eid: int
    timestamp_s: int


def parse(
    document: Any, meters: dict[int, Meter], now_s: int, frozen: frozenset[int] = frozenset()
) -> list[Channel]:
    """Return the readings of the enabled meters.

    ``meters`` are the enabled slots by eid; ``frozen`` names those whose time stands still. A
    timestamp of 0 means that the meter was never read: no reading.
    """
    found: list[Channel] = []
    seen: set[str] = set()
    for item in items(document):
        eid = integer(item.get("eid"))
        meter = meters.get(eid) if eid is not None else None
        timestamp_s = integer(item.get("timestamp"))
        if meter is None or eid is None or not timestamp_s or eid in frozen:
            continue
        if meter.measurement in seen:
            continue  # A slot listed twice, or two slots of one kind: the first is the main one.
        seen.add(meter.measurement)
        count = meter.phase_count or 1
        channels = items(item.get("channels"))[:count] if count > 1 else []
        lost = None
        if meter.measurement == Measurement.STORAGE and meter.phase_mode == "split":
            lost = lost_storage_channel(item, channels)
        parts = [(Phase.TOTAL, item)] if lost is None else []
        parts += [
            (phase, channel)
            for index, (phase, channel) in enumerate(zip(LINES, channels, strict=False))
            if index != lost and channel
        ]
        found += [
            Channel(_reading(part, meter, phase, now_s - timestamp_s), eid, timestamp_s)
            for phase, part in parts
        ]
    return found


def _reading(item: dict[str, Any], meter: Meter, phase: Phase, age_s: int) -> MeterReading:
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


def times(document: Any) -> list[tuple[int, int]]:
    """Return each slot's eid and its own reading time in epoch seconds."""
    pairs = [(integer(one.get("eid")), integer(one.get("timestamp"))) for one in items(document)]
    return [(eid, time_s) for eid, time_s in pairs if eid is not None and time_s]
