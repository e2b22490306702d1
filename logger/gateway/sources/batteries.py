"""/ivp/ensemble/power, secctrl and inventory: what IQ Batteries report.

Power is W, positive for discharging (``real_power_mw`` / 1000: steps of about 1 W); energy is a level, Wh, never a
counter. Batteries are matched by serial. What is text, null or missing costs its column alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from logger.errors import MalformedDocumentError
from logger.gateway.parse import instant_s, items, number, power, table, text
from logger.readings import Battery, BatteryKind, BatterySample, Source, StorageSample

Record = Mapping[str, Any]

#: A battery or AC Batteries that have not reported for longer are silent.
SILENT_AFTER_S = 1800
#: What a battery of unknown rated power can give.
MOST_RATED_W = 5000.0
#: A battery gives and takes at most this share of its rated power.
MOST_OF_RATED = 1.1
#: A report of /ivp/livedata/status that is older shows that nothing streams.
LIVE_S = 60


class Listed(NamedTuple):
    """What the inventory says of an IQ Battery, read once for all polls until the next."""

    soc_pct: float | None = None
    temperature_c: float | None = None
    cell_temperature_c: float | None = None
    state: str | None = None
    reported_s: int | None = None  #: when it reported, by the gateway's clock
    communicates: bool = True
    wrong: tuple[str, ...] = ()  #: which values can't be


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What slow pages said lately, which other pages are read with."""

    devices: Mapping[str, Listed] = field(default_factory=dict)  #: serial -> the inventory
    listed_at_s: int = 0  #: our time of that inventory
    rated_w: Mapping[str, float] = field(default_factory=dict)
    states: Mapping[str, str | None] = field(default_factory=dict)  #: of the site, before this poll
    ahead_s: int = 0  #: how far the gateway's clock runs ahead of ours


@dataclass(slots=True)
class Found:
    """What batteries report in one poll."""

    samples: list[BatterySample] = field(default_factory=list)
    #: serial -> why its power is not known, or None where it is; nothing where the page of powers did not come
    heard: dict[str, str | None] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)  #: subject -> which values


def devices(inventory: Any, kind: str) -> list[dict[str, Any]]:
    """Return the devices of a type (ENCHARGE, ENPOWER, COLLAR) that an inventory lists."""
    groups = (group for group in items(inventory) if group.get("type") == kind)
    return [device for group in groups for device in items(group.get("devices"))]


def encharges(inventory: Any) -> dict[str, Record]:
    """Return the IQ Batteries of /ivp/ensemble/inventory by serial."""
    listed = ((text(device.get("serial_num")), device) for device in devices(inventory, "ENCHARGE"))
    return {serial: device for serial, device in listed if serial is not None}


def rated_powers(status: Any) -> dict[str, float]:
    """Return the rated power (W) of each battery of /ivp/ensemble/status by serial."""
    known = table(table(table(status).get("inventory")).get("serial_nums"))
    rated = {serial: number(table(device).get("encharge_rated_power")) for serial, device in known.items()}
    return {serial: rated_w for serial, rated_w in rated.items() if rated_w and rated_w > 0}


def powers(page: Any) -> dict[str, Record]:
    """Return the entries of /ivp/ensemble/power by serial; its key really ends with a colon.

    Raises:
        MalformedDocumentError: it lists nothing.
    """
    listed = table(page).get("devices:", table(page).get("devices"))
    if not isinstance(listed, list):
        raise MalformedDocumentError("the page lists no batteries.")
    found = ((text(item.get("serial_num")), item) for item in items(listed))
    return {serial: item for serial, item in found if serial is not None}


def serials(page: Any) -> set[str]:
    """Return which batteries /ivp/ensemble/power lists; none where it did not come."""
    try:
        return set(powers(page))
    except MalformedDocumentError:
        return set()


def encharge(reported: Mapping[str, Record] | None, remembered: Remembered, at_s: int) -> Found:
    """Return what each IQ Battery reports; ``reported`` are the entries of the power page, None where it did not come.

    The power of a battery that is missing, does not communicate or has not reported for half an hour is unknown.
    """
    found = Found()
    for serial in dict.fromkeys([*remembered.devices, *(reported or ())]):
        listed = remembered.devices.get(serial, Listed())
        entry = None if reported is None else reported.get(serial)
        power_w, soc_pct, wrong = _power_and_soc(entry, listed, remembered.rated_w.get(serial, MOST_RATED_W))
        if reported is not None:
            why = found.heard[serial] = _silence(entry, listed, remembered)
            power_w = power_w if why is None else None
        if wrong or listed.wrong:
            found.unusable[serial] = ", ".join([*wrong, *listed.wrong])
        found.samples.append(
            BatterySample(
                serial=serial,
                power_w=power_w,
                soc_pct=soc_pct,
                temperature_c=listed.temperature_c,
                cell_temperature_c=listed.cell_temperature_c,
                state=listed.state,
                reading_age_s=None if listed.reported_s is None else at_s - listed.reported_s,
                source=Source.ENSEMBLE,
            )
        )
    return found


def listed_of(device: Record) -> Listed:
    """Return what the inventory says of an IQ Battery that changes with its reports."""
    temperatures = {key: number(device.get(key)) for key in ("temperature", "maxCellTemp")}
    return Listed(
        soc_pct=percent(device.get("percentFull")),
        temperature_c=temperatures["temperature"],
        cell_temperature_c=temperatures["maxCellTemp"],
        state=text(device.get("admin_state_str")),
        reported_s=instant_s(device.get("last_rpt_date")),
        communicates=device.get("communicating") is not False,
        wrong=tuple(key for key, value in temperatures.items() if value is None and key in device),
    )


def _power_and_soc(
    entry: Record | None, listed: Listed, rated_w: float
) -> tuple[float | None, float | None, list[str]]:
    """Return a battery's power (W), its state of charge (%), and which values can't be."""
    if entry is None:
        return None, listed.soc_pct, []
    wrong: list[str] = []
    milliwatts, given = number(entry.get("real_power_mw")), number(entry.get("soc"))
    power_w = None if milliwatts is None else milliwatts / 1000
    if power_w is None or abs(power_w) > MOST_OF_RATED * rated_w:
        power_w = None
        wrong.append("real_power_mw")
    # What the inventory says is up to minutes older.
    soc_pct = listed.soc_pct if given is None else percent(given)
    if "soc" in entry and (given is None or soc_pct is None):
        wrong.append("soc")
    return power_w, soc_pct, wrong


def _silence(entry: Record | None, listed: Listed, remembered: Remembered) -> str | None:
    """Return why a battery's power is not known, though the page of powers came; None where it is."""
    if entry is None:
        return "it is missing from the list of powers"
    if not listed.communicates:
        return "it does not communicate"
    if listed.reported_s is not None:
        age_s = remembered.listed_at_s + remembered.ahead_s - listed.reported_s
        if age_s > SILENT_AFTER_S:
            return f"its last report was {age_s // 60} min old"
    return None


def encharge_storage(samples: Iterable[BatterySample], secctrl: Any) -> StorageSample | None:
    """Return what the IQ Batteries report together: /ivp/ensemble/secctrl, and the sum of their powers.

    The sum is unknown unless each of them is. A commissioned capacity of 0 means that there is none (R7).
    """
    page = table(secctrl)
    is_empty = number(page.get("Enc_commissioned_capacity")) == 0
    each_w = [sample.power_w for sample in samples]
    if is_empty and not each_w:
        return None
    known_w = [power_w for power_w in each_w if power_w is not None]
    page = {} if is_empty else page
    return StorageSample(
        kind=BatteryKind.ENCHARGE,
        power_w=round(sum(known_w), 3) if known_w and len(known_w) == len(each_w) else None,
        soc_pct=percent(page.get("ENC_agg_soc")),
        energy_wh=level(page.get("ENC_agg_avail_energy")),
        capacity_wh=level(page.get("Enc_max_available_capacity")),
        health_pct=percent(page.get("ENC_agg_soh")),
        reserve_pct=percent(page.get("configured_backup_soc")),
        source=Source.ENSEMBLE,
    )


def listed_batteries(inventory: Any, rated_w: Mapping[str, float]) -> list[Battery]:
    """Return the IQ Batteries of /ivp/ensemble/inventory."""
    return [
        Battery(
            serial=serial,
            kind=BatteryKind.ENCHARGE,
            part_number=text(device.get("part_num")),
            firmware=text(device.get("img_pnum_running")),
            capacity_wh=level(device.get("encharge_capacity")),
            rated_power_w=rated_w.get(serial),
        )
        for serial, device in encharges(inventory).items()
    ]


def live_power_w(livedata: Any, at_s: int, ahead_s: int) -> float | None:
    """Return the power of all batteries together of /ivp/livedata/status; None unless it streams just now (R17)."""
    page = table(livedata)
    meters = table(page.get("meters"))
    streams = table(page.get("connection")).get("sc_stream") == "enabled"
    updated_s = instant_s(meters.get("last_update"))
    if not streams or updated_s is None or at_s + ahead_s - updated_s > LIVE_S:
        return None
    milliwatts = number(table(meters.get("storage")).get("agg_p_mw"))
    return None if milliwatts is None else power(milliwatts / 1000)


def percent(value: Any) -> float | None:
    """Return a share of 0 to 100; None where it can't be one."""
    found = number(value)
    return found if found is not None and 0 <= found <= 100 else None


def level(value: Any) -> float | None:
    """Return an energy or capacity; None where it can't be one."""
    found = number(value)
    return found if found is not None and found >= 0 else None
