"""/ivp/pdm/device_data and /api/v1/production/inverters: what each microinverter reported.

Detail comes from device_data, which cuts its list at a limit that counts every device; the plain list has every unit.
``active`` decides there, devType here: 11 is a battery, not a panel. Samples are keyed by the time of their report: a
unit that has not reported anew gives no new one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from logger.clock import from_epoch_s
from logger.gateway.parse import counter, instant_s, integer, items, number, power, table, text
from logger.readings import InverterSample, Phase, ProductionSample, Source

MICROINVERTER = 1
EARLIEST_S = 1_262_304_000  # 2010: before that nothing could report
#: From this many units on the plain list is asked too, for the limit may cut the detailed one.
MANY = 40
#: A report that is older has nothing of the present power.
FRESH_S = 1800


def needs_plain_list(device_data: Any) -> bool:
    """Return whether device_data can't stand alone: cut, empty, or without active units."""
    page = table(device_data)
    count, limit = integer(page.get("deviceCount")), integer(page.get("deviceDataLimit"))
    cut = count is not None and limit is not None and count >= limit
    units = sum(1 for device in page.values() if _is_active_unit(device))
    return cut or units == 0 or units > MANY


def parse(device_data: Any, plain_list: Any, now_s: int) -> list[InverterSample]:
    """Return each unit's newest report; detail where there is any. A broken unit is left out."""
    batteries = {
        text(item.get("serialNumber"))
        for item in items(plain_list)
        if integer(item.get("devType")) not in {None, MICROINVERTER}
    }
    found: dict[str, InverterSample] = {}
    for sample in (*_plain(plain_list, now_s), *_detailed(device_data, now_s)):
        known = found.get(sample.serial)
        # At the same report time the detailed one, which comes later, wins.
        if sample.serial not in batteries and (known is None or sample.reported_at >= known.reported_at):
            found[sample.serial] = sample
    return list(found.values())


def production(reports: Sequence[InverterSample], now_s: int) -> list[ProductionSample]:
    """Return the sum of what the microinverters last reported, where nothing else is known.

    Power counts reports younger than half an hour; energy needs every unit's counter.
    """
    if not reports:
        return []
    fresh = (unit for unit in reports if now_s - unit.reported_at.timestamp() < FRESH_S)
    fresh_w = [unit.power_w for unit in fresh if unit.power_w is not None]
    known_wh = [unit.energy_lifetime_wh for unit in reports if unit.energy_lifetime_wh is not None]
    power_w = sum(fresh_w) if fresh_w else None
    energy_wh = sum(known_wh) if len(known_wh) == len(reports) else None
    return [ProductionSample(Phase.TOTAL, power_w, energy_wh, None, Source.DERIVED)]


def _plain(document: Any, now_s: int) -> Iterable[InverterSample]:
    for item in items(document):
        serial, reported_at = text(item.get("serialNumber")), _time(item, "lastReportDate", now_s)
        kind = integer(item.get("devType"))
        if serial is not None and reported_at is not None and kind in {None, MICROINVERTER}:
            yield InverterSample(
                reported_at=reported_at,
                serial=serial,
                device_type=kind,
                power_w=power(item.get("lastReportWatts")),
                max_power_w=power(item.get("maxReportWatts")),
            )


def _is_active_unit(device: Any) -> bool:
    return isinstance(device, dict) and device.get("devName") == "pcu" and device.get("active") is True


def _detailed(document: Any, now_s: int) -> Iterable[InverterSample]:
    for device in filter(_is_active_unit, table(document).values()):
        channel = next(iter(items(device.get("channels"))), {})
        watts, lifetime = table(channel.get("watts")), table(channel.get("lifetime"))
        last = table(channel.get("lastReading"))
        serial, reported_at = text(device.get("sn")), _time(last, "endDate", now_s)
        if serial is None or reported_at is None:
            continue
        duration_s = integer(last.get("duration"))
        yield InverterSample(
            reported_at=reported_at,
            serial=serial,
            device_type=MICROINVERTER,
            power_w=power(watts.get("now")),
            max_power_w=power(watts.get("max")),
            energy_lifetime_wh=_scaled(counter(lifetime.get("joulesProduced")), 3600, 3),
            energy_interval_wh=_scaled(counter(last.get("joulesProduced")), 3600, 6),
            interval_s=duration_s if duration_s and duration_s > 0 else None,
            dc_voltage_v=_scaled(number(last.get("dcVoltageINmV"))),
            dc_current_a=_scaled(number(last.get("dcCurrentINmA"))),
            ac_voltage_v=_scaled(number(last.get("acVoltageINmV"))),
            # The gateway itself mixes In and IN.
            ac_current_a=_scaled(number(last.get("acCurrentInmA", last.get("acCurrentINmA")))),
            frequency_hz=_scaled(number(last.get("acFrequencyINmHz"))),
            temperature_c=number(last.get("channelTemp")),
        )


def _scaled(value: float | None, divisor: int = 1000, digits: int = 3) -> float | None:
    return None if value is None else round(value / divisor, digits)


def _time(report: dict[str, Any], key: str, now_s: int) -> datetime | None:
    """Return when a report came; None where that can't be."""
    epoch_s = instant_s(report.get(key)) or 0
    return from_epoch_s(epoch_s) if EARLIEST_S <= epoch_s <= now_s + 86_400 else None
