"""What a simulated house's batteries are called and hold, and the documents about AC Batteries, which report late."""

from math import floor
from typing import Any

from logger.simulator.house import Batteries
from logger.simulator.numbers import Numbers
from logger.simulator.site import last_multiple

Record = dict[str, Any]
REPORT_EVERY_S = 300


def batteries(now: Numbers, kind: str) -> Batteries | None:
    """Return the batteries of a kind, if the house has any."""
    of = now.site.shape.batteries
    return of if of is not None and of.kind == kind else None


def battery_serial(kind: str, index: int) -> str:
    """Return a battery's serial number."""
    return f"{'4923' if kind == 'encharge' else '1217'}{index + 1:08d}"


def soc_pct(now: Numbers, at_s: float) -> int:
    """Return how full the batteries are at an instant, in whole percent."""
    of = now.site.shape.batteries
    return 0 if of is None else floor(100 * max(0.0, now.site.stored_wh(at_s)) / of.all_wh + 1e-9)


def _acb_now(now: Numbers) -> tuple[int, float, int]:
    """Return when the AC Batteries last reported, their power together then, and their charge."""
    stale = now.fault("stale_acb")
    reported_s = last_multiple(now.start_s + stale.since_s if stale else now.now_s, REPORT_EVERY_S)
    return reported_s, now.site.powers(reported_s).storage, soc_pct(now, reported_s)


def acb_item(now: Numbers) -> Record:
    """Return production.json's storage item: the AC Batteries together, or none."""
    of = batteries(now, "acb")
    if of is None:
        return {"type": "acb", "activeCount": 0, "readingTime": 0, "wNow": 0, "whNow": 0, "state": "idle"}
    reported_s, watts, soc = _acb_now(now)
    return {
        "type": "acb",
        "activeCount": of.count,
        "readingTime": now.clock_s(reported_s),
        "wNow": round(watts),
        "whNow": round(of.all_wh * soc / 100),
        "state": "idle" if abs(watts) < 1 else "discharging" if watts > 0 else "charging",
        "percentFull": soc,
    }


def acb_rows(now: Numbers) -> list[Record]:
    """Return the AC Batteries among /api/v1/production/inverters: magnitudes, under another type."""
    of = batteries(now, "acb")
    if of is None:
        return []
    reported_s, watts, _ = _acb_now(now)
    own = {"lastReportDate": now.clock_s(reported_s), "devType": 11, "lastReportWatts": abs(round(watts / of.count))}
    return [{"serialNumber": battery_serial("acb", i), **own, "maxReportWatts": 260} for i in range(of.count)]


def inventory_json(now: Numbers) -> list[Record]:
    """Return /inventory.json?deleted=1: all devices; numbers are text, and old."""
    of = batteries(now, "acb")
    reported_s, watts, soc = _acb_now(now)
    state = "idle" if abs(watts) < 1 else "discharging" if watts > 0 else "charging"
    devices = [
        {
            "part_num": "800-00560-r02",
            "serial_num": battery_serial("acb", index),
            "last_rpt_date": str(now.clock_s(last_multiple(reported_s - 600, 900))),
            "device_status": ["envoy.global.ok"],
            "admin_state": 2,
            "dev_type": 11,
            "percentFull": soc,
            "sleep_enabled": False,
            "charge_status": state,
            "maxCellTemp": 32,
        }
        for index in range(of.count if of else 0)
    ]
    return [{"type": "PCU", "devices": []}, {"type": "ACB", "devices": devices}, {"type": "NSRB", "devices": []}]
