"""The documents of a simulated gateway, in the shapes of four generations of firmware.

Each function gives one endpoint's document at the instant of its numbers. Which numbers are given, where, and how wrong
follows what real gateways answer: a disabled meter still reports, unused channels hold noise, a list is cut at its
limit without a word.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from logger.simulator import acb, ensemble, metering
from logger.simulator.numbers import Numbers, inverter_serial
from logger.simulator.site import last_multiple

DEVICE_DATA_LIMIT = 50
#: What firmware 3 shows where it has no document.
WELCOME = "<html><body><h1>Welcome to Envoy</h1></body></html>"

Record = dict[str, Any]
Page = Callable[[Numbers], Any]


def info(now: Numbers) -> str:
    """Return /info: who answers, as XML."""
    imeter = "" if now.generation == "3" else f"\n    <imeter>{now.model.cts != 'none'}</imeter>"
    tokens = "  <web-tokens>true</web-tokens>\n" if now.wants_tokens else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\r\n<envoy_info>\n"
        f"  <time>{now.clock_s()}</time>\n  <device>\n    <sn>{now.serial}</sn>\n"
        f"    <pn>800-00554-r03</pn>\n    <software>D{now.version}</software>\n"
        "    <euaid>4c8675</euaid>\n    <seqnum>0</seqnum>\n"
        f"    <apiver>1</apiver>{imeter.lower()}\n  </device>\n{tokens}</envoy_info>\n"
    )


def home(now: Numbers) -> Record:
    """Return /home: network, communication, and the time zone."""
    local = datetime.fromtimestamp(now.clock_s(), ZoneInfo(now.model.time_zone))
    return {
        "software_build_epoch": 1_700_000_000,
        "timezone": now.model.time_zone,
        "current_date": local.strftime("%m/%d/%Y"),
        "current_time": local.strftime("%H:%M"),
        "network": {"web_comm": True, "interfaces": [{"type": "ethernet", "ip": None}]},
        "comm": {"num": len(now.inverters), "level": 5},
    }


def production(now: Numbers, *, lines: bool = False) -> Record:
    """Return /production.json: the inverters' sum, the meters' (eim), by phase with ``lines``."""
    wraps = {"7": "whole", "8": "each"}.get(now.generation, "")
    reported_s = [now.reported_s(index) for index in now.inverters]
    inverters = {
        "type": "inverters",
        "activeCount": len(now.inverters),
        "readingTime": now.clock_s(max(reported_s)) if reported_s else 0,
        "wNow": None if now.fault("null") else round(now.inverters_w()),
        "whLifetime": round(now.inverters_wh(wraps)),
    }
    if now.model.cts == "none":
        return {"production": [inverters]}
    return {
        "production": [inverters, _eim("production", now, lines=lines)],
        "consumption": [_eim(f"{kind}-consumption", now, lines=lines) for kind in ("total", "net")],
        "storage": [acb.acb_item(now)],
    }


def _eim(stream: str, now: Numbers, *, lines: bool) -> Record:
    kind = stream.rpartition("-")[2]  # production or consumption
    active = any(ct.endswith(kind) for ct in now.enabled) and not (kind == "production" and now.fault("inactive"))
    item = {
        "type": "eim",
        "activeCount": int(active),
        "measurementType": stream,
        "readingTime": now.clock_s(),
        **_eim_numbers(stream, now, 0),
    }
    if lines and now.site.shape.phases > 1:
        item["lines"] = [_eim_numbers(stream, now, phase) for phase in now.site.phases[1:]]
    return item


def _eim_numbers(stream: str, now: Numbers, phase: int) -> Record:
    watts, lifetime_wh = now.stream(stream, phase)
    is_net = stream == "net-consumption"
    return {
        "wNow": None if now.fault("null") else round(watts, 3),
        "whLifetime": round(lifetime_wh, 3),
        "whToday": 0.0 if is_net else round(now.today_wh(lifetime_wh), 3),
        "whLastSevenDays": 0.0 if is_net else round(lifetime_wh, 3),
        "rmsVoltage": 230.1,
        "rmsCurrent": round(abs(watts) / 230.1, 3),
        "pwrFactor": 1.0,
    }


def v1(now: Numbers) -> Record:
    """Return /api/v1/production: the sum of inverters, or the meter's 15-minute copy."""
    lifetime_wh, watts, stuck_wh = 0.0, 0.0, 0
    if now.model.cts == "disabled":
        stuck_wh = 1583 if now.release >= (8, 2, 4264) else 0
    elif now.model.cts != "none":
        quarter = replace(now, now_s=last_multiple(now.now_s, 900))
        lifetime_wh, watts = quarter.registers_wh("production")[0], now.power_w("production")
    elif now.release < (8, 3, 5422):
        lifetime_wh, watts = now.inverters_wh("each" if now.release >= (8,) else ""), now.inverters_w()
    return {
        "wattHoursToday": int(now.today_wh(lifetime_wh)),
        "wattHoursSevenDays": 0,
        "wattHoursLifetime": stuck_wh or int(lifetime_wh),
        "wattsNow": round(watts),
    }


def html(now: Numbers) -> str:
    """Return /production of firmware 3: a page for people, three digits per number."""
    watts = now.inverters_w()
    shown = f"{watts / 1000:.3g} kW" if watts >= 1000 else f"{watts:.3g} W"
    return (
        "<html><body><h1>System Energy Production</h1><table>"
        f"<tr><td>Currently</td>    <td> {shown}</td></tr>"
        "<tr><td>Today</td>     <td> 5.36 kWh</td></tr></table></body></html>"
    )


def v1_inverters(now: Numbers) -> list[Record]:
    """Return /api/v1/production/inverters: each one's last report."""
    rows = []
    for index in now.inverters:
        reported_s = now.reported_s(index)
        watts, share = now.inverter_w(index, reported_s), now.site.inverter_share(index)
        row = {
            "serialNumber": inverter_serial(index),
            "lastReportDate": now.clock_s(reported_s),
            **({} if now.generation == "3" else {"devType": 1}),
            "lastReportWatts": "n/a" if now.fault("null") else round(watts),
            "maxReportWatts": round(now.site.shape.peak_power_w * share),
        }
        rows.append(row)
    return (rows * 2 if now.fault("duplicate") else rows) + acb.acb_rows(now)


def device_data(now: Numbers) -> Record:
    """Return /ivp/pdm/device_data, silently cut at its limit, which counts meters too."""
    meter = {"devName": "eim", "active": True, "modGone": True, "channels": []}
    meters = {
        str(553_700_000 + n): {"devName": "eim", "sn": f"{now.model.serial}EIM{n}"} | meter
        for n in range(2 if now.model.cts != "none" else 0)
    }
    numbers = [(553_648_384 + 256 * index, index) for index in now.inverters]
    if now.fault("duplicate"):
        # As of inverters that were removed and added again: under another number.
        numbers += [(number + 128, index) for number, index in numbers]
    room = DEVICE_DATA_LIMIT - len(meters)
    devices = {str(number): _device(index, now) for number, index in numbers[:room]} | meters
    return devices | {"deviceCount": len(devices), "deviceDataLimit": DEVICE_DATA_LIMIT}


def _device(index: int, now: Numbers) -> Record:
    reported_s, every_s = now.reported_s(index), now.report_every_s
    before_j, after_j = (round(now.inverter_j(index, at_s)) for at_s in (reported_s - every_s, reported_s))
    watts = now.inverter_w(index, reported_s)
    channel = {
        "chanEid": 1_627_390_225 + 256 * index,
        "created": now.clock_s(reported_s),
        "wattHours": {"today": 0, "yesterday": 0, "week": 0},
        "watts": {"now": round(watts), "nowUsed": 0, "max": 371},
        "lastReading": {
            "endDate": now.clock_s(reported_s),
            "duration": every_s,
            "joulesProduced": after_j - before_j,
            "acVoltageINmV": 230_100,
            "acFrequencyINmHz": 50_010,
            "dcVoltageINmV": 32_363,
            "dcCurrentINmA": round(watts / 32.363 * 1000),
            "acCurrentInmA": round(watts / 230.1 * 1000),
            "channelTemp": 31,
        },
        "lifetime": {"createdTime": 1_700_000_000, "duration": 6_124_463, "joulesProduced": after_j},
    }
    return {"devName": "pcu", "sn": inverter_serial(index), "active": True, "modGone": watts < 1, "channels": [channel]}


_EVERYWHERE: dict[str, Page] = {
    "/info": info,
    "/info.xml": info,
    "/api/v1/production": v1,
    "/api/v1/production/inverters": v1_inverters,
}
_SINCE_5: dict[str, Page] = {
    "/home": home,
    "/production": production,
    "/production.json": production,
    "/production.json?details=1": partial(production, lines=True),
    "/ivp/meters": metering.meters,
    "/ivp/meters/readings": metering.meter_readings,
}
#: generation -> path -> its document
PAGES: Mapping[str, Mapping[str, Page]] = {
    "3": _EVERYWHERE
    | {"/production": html}
    | dict.fromkeys(("/production.json", "/production.json?details=1"), lambda _now: WELCOME),
    "5": _EVERYWHERE | _SINCE_5,
    "7": _EVERYWHERE | _SINCE_5 | ensemble.PAGES,
    "8": _EVERYWHERE | _SINCE_5 | ensemble.PAGES | {"/ivp/pdm/device_data": device_data},
}
