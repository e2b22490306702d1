"""AC Batteries: the storage item of production.json, and /inventory.json, which is slow and knows no power."""

from typing import Any

from logger.gateway.parse import instant_s, integer, items, number, power, table, text
from logger.gateway.sources.batteries import SILENT_AFTER_S, devices, level, percent
from logger.readings import Battery, BatteryKind, BatterySample, Source, StorageSample

ACB_CAPACITY_WH = 1240.0
#: /inventory.json, admin_state of units that are gone
REMOVED = {0, 3}


def acb_item(production_page: Any) -> dict[str, Any]:
    """Return the storage item of the AC Batteries of production.json, or {}."""
    found = items(table(production_page).get("storage"))
    return next((item for item in found if item.get("type") == "acb"), {})


def acb_storage(production_page: Any, at_s: int, ahead_s: int) -> tuple[StorageSample | None, str | None]:
    """Return what the AC Batteries report together, and why their power is unknown where it is too old (R16).

    None where the page counts none.
    """
    item = acb_item(production_page)
    count = integer(item.get("activeCount"))
    if item and not count:
        return None, None
    power_w, read_s, state = power(item.get("wNow")), instant_s(item.get("readingTime")), text(item.get("state"))
    if power_w is not None and state in {"charging", "discharging"}:
        power_w = abs(power_w) if state == "discharging" else -abs(power_w)
    silent = None
    if read_s is not None and at_s + ahead_s - read_s > SILENT_AFTER_S:
        power_w, silent = None, f"the last report was {(at_s + ahead_s - read_s) // 60} min old"
    sample = StorageSample(
        kind=BatteryKind.ACB,
        power_w=power_w,
        soc_pct=percent(item.get("percentFull")),
        energy_wh=level(item.get("whNow")),
        capacity_wh=ACB_CAPACITY_WH * count if count else None,
        reading_age_s=None if read_s is None else at_s - read_s,
        source=Source.ACB,
    )
    return sample, silent


def each_acb(inventory: Any, at_s: int) -> list[BatterySample]:
    """Return each AC Battery of /inventory.json: slow, and without its power."""
    found = []
    for device in _acbs(inventory):
        last_s = instant_s(device.get("last_rpt_date"))
        found.append(
            BatterySample(
                serial=str(text(device.get("serial_num"))),
                soc_pct=percent(device.get("percentFull")),
                cell_temperature_c=number(device.get("maxCellTemp")),
                state="sleeping" if device.get("sleep_enabled") is True else text(device.get("charge_status")),
                reading_age_s=None if last_s is None else at_s - last_s,
                source=Source.INVENTORY,
            )
        )
    return found


def _acbs(inventory: Any) -> list[dict[str, Any]]:
    listed = {text(device.get("serial_num")): device for device in devices(inventory, "ACB")}
    return [
        device
        for serial, device in listed.items()
        if serial is not None and integer(device.get("admin_state")) not in REMOVED
    ]


def listed_acbs(inventory: Any) -> list[Battery]:
    """Return the AC Batteries of /inventory.json."""
    return [
        Battery(
            serial=str(text(device.get("serial_num"))),
            kind=BatteryKind.ACB,
            part_number=text(device.get("part_num")),
            firmware=text(device.get("img_pnum_running")),
            capacity_wh=ACB_CAPACITY_WH,
        )
        for device in _acbs(inventory)
    ]
