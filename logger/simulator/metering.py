"""The documents of a simulated gateway's CTs: which there are, and what they read.

Two stacks: the classic one lists the CTs that can be there, and its totals are of the channels in use. The one with
seven slots lists all of them, its totals hold what unused channels pick up, and its powers are smoothed.
"""

import random
from typing import Any

from logger.simulator.numbers import METERS, Numbers

Record = dict[str, Any]
#: slots that no simulated house uses, and their numbers
UNUSED = {"backfeed": 704644352, "load": 704644608, "evse": 704644864, "pv3p": 704645120}
#: What an unused channel of the seven-slot stack picks up, as if it went out.
NOISE_W = 3.0
SMOOTHED_S = 5


def meters(now: Numbers) -> list[Record]:
    """Return /ivp/meters: every slot, also the disabled ones."""
    if now.model.cts == "none":
        return []
    count = now.site.shape.phases
    consumption = "total-consumption" if now.model.cts == "total" else "net-consumption"
    slots = {slot: METERS[slot].eid for slot in ("production", consumption)}
    if now.model.cts == "storage" or now.has_seven_slots:
        slots["storage"] = METERS["storage"].eid
    if now.has_seven_slots:
        slots |= UNUSED
    return [
        {
            "eid": eid,
            "state": "enabled" if slot in now.enabled else "disabled",
            "measurementType": slot,
            "phaseMode": now.model.phase_mode or {1: "three", 2: "split", 3: "three"}[count],
            "phaseCount": count,
            "meteringStatus": "normal" if slot in now.enabled else "not-metering",
            "statusFlags": [],
        }
        for slot, eid in slots.items()
    ]


def meter_readings(now: Numbers) -> list[Record]:
    """Return /ivp/meters/readings: three channels each, unused ones hold noise."""
    listed = [_meter(slot["measurementType"], slot["eid"], now) for slot in meters(now)]
    if now.release >= (8, 3):
        listed.append(_item(1023410688, 0, 0.0, 0.0, 0.0, 0) | {"channels": [{}, {}, {}]})
    return listed


def _meter(meter: str, eid: int, now: Numbers) -> Record:
    time_s, count = now.clock_s(), now.site.shape.phases
    if meter not in now.enabled:
        # A disabled CT goes on reporting plausible things.
        off = _item(eid, 0 if meter == "pv3p" else time_s, -14.6, 3_180_000.0, -19.677, 1)
        return off | {"channels": [_item(eid + n, time_s, 0, 1.5, 0, 1) for n in (1, 2, 3)]}
    item = _reading(meter, eid, now, 0, legs=count)
    phases = range(1, count + 1) if count > 1 else (0,)
    channels = [_reading(meter, eid + phase, now, phase, legs=1) for phase in phases]
    noise = random.Random(eid)  # noqa: S311 - noise
    while len(channels) < 3:
        watts, delivered = noise.uniform(-1, 1), noise.uniform(0, 87_000)
        channels.append(_item(eid + 9, time_s, watts, delivered, 3.2, 0))
    if now.has_seven_slots:
        item |= _sums(channels[: 3 if count == 1 else count], now)
    if meter == "production" and now.fault("inactive"):
        item |= {"actEnergyDlvd": 12.5, "activePower": 0.3, "instantaneousDemand": 0.3}
    if meter == "storage" and count == 2 and (lost := now.fault("lost_channel")) and now.by_chance(lost.number(1)):
        item = channels[1] | {"eid": eid}
        channels[0] = _item(eid + 1, time_s, 0.0, 0.0, 0.0, 1)
    if now.fault("null"):
        odd = {"activePower": None, "voltage": "n/a", "freq": "50.0", "current": ""}
        item, channels[0] = item | odd, channels[0] | odd
    return item | {"channels": channels}


def _reading(meter: str, eid: int, now: Numbers, phase: int, legs: int) -> Record:
    watts, registers_wh = round(now.power_w(meter, phase), 3), now.registers_wh(meter, phase)
    item = _item(eid, now.clock_s(), watts, *registers_wh, legs)
    if now.has_seven_slots:
        item["instantaneousDemand"] = round(now.mean_w(meter, phase, SMOOTHED_S), 3)
    if now.is_islanded and meter != "net-consumption":
        item["freq"] = 50.062
    return item


def _sums(channels: list[Record], now: Numbers) -> Record:
    """Return what the seven-slot stack gives as a total; the first of ``channels`` is in use, with noise or others."""
    if now.site.shape.phases == 1:
        away_wh = NOISE_W * (now.now_s - now.site.born_s) / 3600
        channels[1] |= {"actEnergyRcvd": round(3.2 + away_wh, 3), "activePower": -NOISE_W}
        channels[1]["instantaneousDemand"] = -NOISE_W
    names = ("actEnergyDlvd", "actEnergyRcvd", "instantaneousDemand", "pwrFactor")
    total = {name: round(sum(channel[name] for channel in channels), 3) for name in names}
    return total | {"activePower": total["instantaneousDemand"]}


def _item(eid: int, time_s: int, watts: float, out: float, into: float, legs: int) -> Record:
    return {
        "eid": eid,
        "timestamp": time_s,
        "actEnergyDlvd": out,
        "actEnergyRcvd": into,
        "apparentEnergy": round(1.02 * out, 3),
        "reactEnergyLagg": 0.0,
        "reactEnergyLead": 0.0,
        "instantaneousDemand": round(watts, 3),
        "activePower": round(watts, 3),
        "apparentPower": round(abs(watts) * 1.02, 3),
        "reactivePower": 0.0,
        "pwrFactor": 0.98 if watts >= 0 else -0.98,
        "voltage": round(230.1 * legs, 3),
        "current": round(abs(watts) / 230.1, 3),
        "freq": 50.0 if legs else 0.0,
    }
