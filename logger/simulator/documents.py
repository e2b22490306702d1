"""The pages of a simulated gateway, in the shapes of four generations of firmware.

Numbers come from a ``Site``; which of them are given, where, and how wrong follows what real
gateways answer: a disabled meter still says something, unused channels hold noise, ``whToday``
is not to be trusted.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from logger.simulator.faults import Faults
from logger.simulator.site import INVERTERS_OVER_CT, Site, last_multiple

WRAP_J = 2**32
EIDS = {
    "production": 704643328,
    "net-consumption": 704643584,
    "total-consumption": 704643584,
    "storage": 704643840,
}
FIRMWARES = {"3": "3.17.3", "5": "5.0.62", "7": "7.6.175", "8": "8.3.5289"}
#: arrangement -> the CTs that are enabled
CTS = {
    "none": (),
    "disabled": (),  # The meter board is there, the CTs are not.
    "production": ("production",),
    "net": ("production", "net-consumption"),
    "total": ("production", "total-consumption"),
    "storage": ("production", "net-consumption", "storage"),
}
DEVICE_DATA_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Model:
    """Which gateway is simulated."""

    generation: str = "8"  #: 3 | 5 | 7 | 8
    cts: str = "net"  #: a key of ``CTS``
    serial: str = "122334455667"
    firmware: str = ""  #: default: the generation's
    time_zone: str = "Europe/Amsterdam"
    base_kwh: float = 4_321.0  #: what the counters had counted before the simulation began
    phase_mode: str = ""  #: single | split | three; default by the number of phases

    @property
    def version(self) -> str:
        """The firmware without its leading letter."""
        return self.firmware or FIRMWARES[self.generation]


class Documents:
    """Answers by path, as JSON-ready objects or text."""

    def __init__(self, site: Site, model: Model, faults: Faults, start: datetime) -> None:
        self.site = site
        self.model = model
        self.faults = faults
        self.start_s = start.timestamp()
        self._frozen: dict[str, Any] = {}

    def at(self, now: datetime, path: str) -> Any:
        """Return the page of a path: text, list or dict; None where the firmware has none."""
        now_s = now.timestamp()
        page = self._pages(now_s).get(path)
        return None if page is None else page(now_s)

    def fault(self, kind: str, now_s: float) -> Any:
        """Return the active fault of a kind, if any."""
        return self.faults.active(kind, now_s - self.start_s)

    def version(self, now_s: float) -> str:
        """Return the firmware that runs at a time."""
        upgrade = self.fault("firmware", now_s)
        return (upgrade.argument or "8.3.5289") if upgrade else self.model.version

    def generation(self, now_s: float) -> str:
        """Return the generation of the firmware that runs: 3, 5, 7 or 8."""
        major = int(self.version(now_s).split(".")[0])
        return "3" if major < 4 else "5" if major < 7 else "7" if major < 8 else "8"

    def serial(self, now_s: float) -> str:
        """Return the serial number that answers."""
        if self.fault("new_serial", now_s):
            return self.model.serial[:-1] + str((int(self.model.serial[-1]) + 1) % 10)
        return self.model.serial

    def report_every_s(self, now_s: float) -> int:
        """Return how often inverters report: 5 minutes on firmware 7, else 15."""
        return 300 if self.generation(now_s) == "7" else 900

    def clock_s(self, now_s: float) -> float:
        """Return what the gateway thinks the time is."""
        skew = self.fault("clock_skew", now_s)
        return now_s + (skew.number(300) if skew else 0)

    @property
    def cts(self) -> tuple[str, ...]:
        """The CTs that are installed."""
        return CTS[self.model.cts]

    def enabled(self, now_s: float) -> tuple[str, ...]:
        """Return the CTs that are enabled at a time."""
        off = self.fault("meter_off", now_s)
        return tuple(ct for ct in self.cts if not (off and ct.endswith("consumption")))

    def _pages(self, now_s: float) -> dict[str, Callable[[float], Any]]:
        generation = self.generation(now_s)
        pages: dict[str, Callable[[float], Any]] = {
            "/info": self.info,
            "/info.xml": self.info,
            "/api/v1/production": self.v1,
            "/api/v1/production/inverters": self.v1_inverters,
        }
        if generation == "3":
            return {
                **pages,
                "/production": self.html,
                "/production.json": self.login_page,
                "/production.json?details=1": self.login_page,
            }
        pages |= {
            "/home": self.home,
            "/production": self.production,
            "/production.json": self.production,
            "/production.json?details=1": self.production_with_lines,
            "/ivp/meters": self.meters,
            "/ivp/meters/readings": self.readings,
        }
        return {**pages, "/ivp/pdm/device_data": self.device_data} if generation == "8" else pages

    # ----------------------------------------------------------------------------- pages

    def info(self, now_s: float) -> str:
        """Return /info: who answers, as XML."""
        tokens = self.generation(now_s) in {"7", "8"}
        metered = self.model.cts != "none"
        imeter = (
            "" if self.generation(now_s) == "3" else f"\n    <imeter>{metered}</imeter>".lower()
        )
        return (
            "<?xml version='1.0' encoding='UTF-8'?>\r\n<envoy_info>\n"
            f"  <time>{int(self.clock_s(now_s))}</time>\n  <device>\n"
            f"    <sn>{self.serial(now_s)}</sn>\n    <pn>800-00554-r03</pn>\n"
            f"    <software>D{self.version(now_s)}</software>\n    <euaid>4c8675</euaid>\n"
            f"    <seqnum>0</seqnum>\n    <apiver>1</apiver>{imeter}\n  </device>\n"
            + ("  <web-tokens>true</web-tokens>\n" if tokens else "")
            + "</envoy_info>\n"
        )

    def home(self, now_s: float) -> dict[str, Any]:
        """Return /home: network, communication, and the time zone."""
        local = datetime.fromtimestamp(self.clock_s(now_s), ZoneInfo(self.model.time_zone))
        return {
            "software_build_epoch": 1_700_000_000,
            "timezone": self.model.time_zone,
            "current_date": local.strftime("%m/%d/%Y"),
            "current_time": local.strftime("%H:%M"),
            "network": {"web_comm": True, "interfaces": [{"type": "ethernet", "ip": None}]},
            "comm": {"num": self.units(now_s), "level": 5},
        }

    def meters(self, now_s: float) -> list[dict[str, Any]]:
        """Return /ivp/meters: every slot, also the disabled ones."""
        if self.model.cts == "none":
            return []
        count = self.site.shape.phases
        mode = self.model.phase_mode or {1: "three", 2: "split", 3: "three"}[count]
        enabled = self.enabled(now_s)
        consumption = "total-consumption" if self.model.cts == "total" else "net-consumption"
        slots = ["production", consumption]
        slots += ["storage"] if "storage" in self.cts else []
        return [
            {
                "eid": EIDS[slot],
                "state": "enabled" if slot in enabled else "disabled",
                "measurementType": slot,
                "phaseMode": mode,
                "phaseCount": count,
                "meteringStatus": "normal" if slot in enabled else "not-metering",
                "statusFlags": [],
            }
            for slot in slots
        ]

    def readings(self, now_s: float) -> list[dict[str, Any]]:
        """Return /ivp/meters/readings: three channels each, unused ones hold noise."""
        if self.fault("frozen", now_s):
            return list(self._frozen.setdefault("readings", self._readings(now_s)))
        self._frozen.pop("readings", None)
        return self._readings(now_s)

    def _readings(self, now_s: float) -> list[dict[str, Any]]:
        listed = [self._meter(slot["measurementType"], now_s) for slot in self.meters(now_s)]
        if tuple(map(int, self.version(now_s).split("."))) >= (8, 3):
            listed.append(_meter_item(1023410688, 0, 0.0, 0.0, 0.0, 0) | {"channels": [{}, {}, {}]})
        return listed

    def production_with_lines(self, now_s: float) -> dict[str, Any]:
        """Return /production.json?details=1."""
        return self._production(now_s, lines=self.site.shape.phases > 1)

    def production(self, now_s: float) -> dict[str, Any]:
        """Return /production and /production.json without details."""
        return self._production(now_s, lines=False)

    def v1(self, now_s: float) -> dict[str, Any]:
        """Return /api/v1/production: the sum of inverters, or the meter's 15-minute copy."""
        version = tuple(map(int, self.version(now_s).split(".")))
        if self.model.cts == "disabled":
            stalled = 1583 if version >= (8, 2, 4264) else 0
            return _v1(0, 0, stalled, 0)
        if self.model.cts == "none":
            if version >= (8, 3, 5422):
                return _v1(0, 0, 0, 0)
            lifetime_wh = self._inverters_wh(now_s, wraps=version >= (8,))
            return _v1(
                int(self._today(lifetime_wh, now_s)),
                0,
                int(lifetime_wh),
                round(self._reported_w(now_s)),
            )
        lifetime_wh = self.delivered_wh("production", last_multiple(now_s, 900))
        watts = round(self.power_w("production", now_s))
        return _v1(int(self._today(lifetime_wh, now_s)), 0, int(lifetime_wh), watts)

    def v1_inverters(self, now_s: float) -> list[dict[str, Any]]:
        """Return /api/v1/production/inverters: each unit's last report."""
        rows = []
        for index in range(self.units(now_s)):
            reported_s = self.reported_s(index, now_s)
            row = {
                "serialNumber": unit_serial(index),
                "lastReportDate": int(self.clock_s(reported_s)),
                "devType": 1,
                "lastReportWatts": round(max(0.0, self.unit_w(index, reported_s))),
                "maxReportWatts": round(
                    self.site.shape.peak_power_w * self.site.inverter_share(index)
                ),
            }
            if self.fault("null", now_s):
                row["lastReportWatts"] = "n/a"
            if self.generation(now_s) == "3":
                del row["devType"]
            rows.append(row)
        return rows * 2 if self.fault("duplicate", now_s) else rows

    def device_data(self, now_s: float) -> dict[str, Any]:
        """Return /ivp/pdm/device_data, silently cut at its limit, which counts meters too."""
        meters = {
            str(553_700_000 + i): {
                "devName": "eim",
                "sn": f"{self.model.serial}EIM{i}",
                "active": True,
                "modGone": True,
                "channels": [],
            }
            for i in range(2 if self.model.cts != "none" else 0)
        }
        numbers = [(553_648_384 + 256 * index, index) for index in range(self.units(now_s))]
        if self.fault("duplicate", now_s):
            # As of units that were removed and added again: under another number.
            numbers += [(eid + 128, index) for eid, index in numbers]
        room = DEVICE_DATA_LIMIT - len(meters)
        units = {str(eid): self._device(index, now_s) for eid, index in numbers[:room]}
        count = len(units) + len(meters)
        return {**units, **meters, "deviceCount": count, "deviceDataLimit": DEVICE_DATA_LIMIT}

    def html(self, now_s: float) -> str:
        """Return /production of firmware 3: a page for people, three digits per number."""
        watts = self._reported_w(now_s)
        shown = f"{watts / 1000:.3g} kW" if watts >= 1000 else f"{watts:.3g} W"
        return (
            "<html><body><h1>System Energy Production</h1><table>"
            f"<tr><td>Currently</td>    <td> {shown}</td></tr>"
            "<tr><td>Today</td>     <td> 5.36 kWh</td></tr></table></body></html>"
        )

    def login_page(self, _now_s: float) -> str:
        """Return what firmware 3 shows where it has no page."""
        return "<html><body><h1>Welcome to Envoy</h1></body></html>"

    # --------------------------------------------------------------------------- numbers

    def units(self, now_s: float) -> int:
        """Return how many inverters there are."""
        return self.site.shape.inverters - (1 if self.fault("lost_inverter", now_s) else 0)

    def reported_s(self, index: int, now_s: float) -> int:
        """Return when an inverter last reported; units are staggered, and silent at night."""
        every_s = self.report_every_s(now_s)
        offset_s = (index * 37) % every_s
        reported_s = last_multiple(now_s, every_s, offset_s)
        for _ in range(200):
            if self.site.powers(reported_s).production > 0:
                break
            reported_s -= every_s
        return reported_s

    def unit_w(self, index: int, at_s: float) -> float:
        """Return one inverter's power."""
        share = self.site.inverter_share(index) * INVERTERS_OVER_CT
        return self.site.powers(at_s).production * share

    def unit_j(self, index: int, at_s: float) -> float:
        """Return one inverter's lifetime counter in joules, without a wrap."""
        base_j = self.model.base_kwh * 3.6e6
        made_j = self.site.counter_wh("made", at_s) * 3600
        return (made_j + base_j) * self.site.inverter_share(index) * INVERTERS_OVER_CT

    def power_w(self, meter: str, now_s: float, phase: int = 0) -> float:
        """Return what a CT reads, in the CT's own sign."""
        powers = self.site.powers(now_s, phase)
        return {
            "production": powers.production,
            "net-consumption": powers.net,
            "total-consumption": powers.load,
            "storage": powers.storage,
        }[meter]

    def delivered_wh(self, meter: str, now_s: float, phase: int = 0) -> float:
        """Return a CT's delivered counter."""
        name = {
            "production": "made",
            "net-consumption": "imported",
            "total-consumption": "used",
            "storage": "discharged",
        }[meter]
        return self._counter(name, now_s, phase)

    def received_wh(self, meter: str, now_s: float, phase: int = 0) -> float:
        """Return a CT's received counter."""
        name = {
            "production": "standby",
            "net-consumption": "exported",
            "storage": "charged",
        }.get(meter)
        return self._counter(name, now_s, phase) if name else 0.0

    def _counter(self, name: str, now_s: float, phase: int) -> float:
        shape = self.site.shape
        base = 0.001 if name == "standby" else 1.0
        base_wh = self.model.base_kwh * 1000 * base / (shape.phases if phase else 1)
        value = self.site.counter_wh(name, now_s, phase) + base_wh
        resets = [
            fault.since_s + self.start_s
            for fault in self.faults.all_of("reset")
            if fault.since_s + self.start_s <= now_s
        ]
        if resets:
            value -= self.site.counter_wh(name, max(resets), phase) + base_wh
        if name == "made" and self.fault("dip", now_s):
            value /= 2
        if name == "made" and (spike := self.fault("spike", now_s)):
            value += spike.number(900) * 1000
        return round(value, 3)

    def _reported_w(self, now_s: float) -> float:
        return sum(
            max(0.0, self.unit_w(i, self.reported_s(i, now_s))) for i in range(self.units(now_s))
        )

    def _inverters_wh(self, now_s: float, *, wraps: bool) -> float:
        """Return the inverters' lifetime at their last reports; each unit may wrap at 2^32 J."""
        total_j = 0.0
        for index in range(self.units(now_s)):
            unit_j = self.unit_j(index, self.reported_s(index, now_s))
            total_j += unit_j % WRAP_J if wraps else unit_j
        return self._wrapped_at_fault(total_j) / 3600

    def _wrapped_at_fault(self, total_j: float) -> float:
        """Place the counter so that it passes 2^32 J when the fault says so."""
        wraps = self.faults.all_of("wrap")
        if not wraps:
            return total_j
        at_s = wraps[0].since_s + self.start_s
        at_j = sum(self.unit_j(i, self.reported_s(i, at_s)) for i in range(self.units(at_s)))
        return (total_j - at_j) % WRAP_J

    def _today(self, lifetime_wh: float, now_s: float) -> float:
        """Return whToday as gateways give it: often late to start again."""
        local = datetime.fromtimestamp(now_s, ZoneInfo(self.model.time_zone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        since_s = midnight.timestamp()
        if self.fault("late_today", now_s) and now_s - since_s < 900:
            since_s -= 86_400
        now_wh = self.site.counter_wh("made", now_s)
        return min(
            lifetime_wh, now_wh - self.site.counter_wh("made", max(since_s, self.site.born_s))
        )

    def _meter(self, meter: str, now_s: float) -> dict[str, Any]:
        eid, time_s = EIDS[meter], int(self.clock_s(now_s))
        count = self.site.shape.phases
        if meter not in self.enabled(now_s):
            # A disabled CT goes on saying plausible things.
            off = _meter_item(eid, time_s, -14.6, 3_180_000.0, -19.677, 1)
            return off | {
                "channels": [_meter_item(eid + n, time_s, 0, 1.5, 0, 1) for n in (1, 2, 3)]
            }
        item = self._reading(meter, eid, now_s, 0, legs=count)
        if meter == "production" and self.fault("inactive", now_s):
            item |= {"actEnergyDlvd": 12.5, "activePower": 0.3, "instantaneousDemand": 0.3}
        phases = range(1, count + 1) if count > 1 else (0,)
        channels = [self._reading(meter, eid + phase, now_s, phase, legs=1) for phase in phases]
        noise = random.Random(eid)  # noqa: S311 - noise
        while len(channels) < 3:
            channels.append(
                _meter_item(eid + 9, time_s, noise.uniform(-1, 1), noise.uniform(0, 87_000), 3.2, 0)
            )
        if meter == "storage" and count == 2 and self.fault("lost_channel", now_s):
            zero = _meter_item(eid + 1, time_s, 0.0, 0.0, 0.0, 1)
            item = {**channels[1], "eid": eid}
            channels[0] = zero
        if self.fault("null", now_s):
            item |= {"activePower": None, "voltage": "n/a", "freq": "50.0", "current": ""}
        return item | {"channels": channels}

    def _reading(self, meter: str, eid: int, now_s: float, phase: int, legs: int) -> dict[str, Any]:
        return _meter_item(
            eid,
            int(self.clock_s(now_s)),
            round(self.power_w(meter, now_s, phase), 3),
            self.delivered_wh(meter, now_s, phase),
            self.received_wh(meter, now_s, phase),
            legs,
        )

    def _production(self, now_s: float, *, lines: bool) -> dict[str, Any]:
        wraps_whole = self.generation(now_s) == "7"
        inverters_wh = self._inverters_wh(now_s, wraps=self.generation(now_s) == "8")
        if wraps_whole:
            inverters_wh = inverters_wh * 3600 % WRAP_J / 3600
        newest_s = max(self.reported_s(i, now_s) for i in range(self.units(now_s)))
        inverters = {
            "type": "inverters",
            "activeCount": self.units(now_s),
            "readingTime": int(self.clock_s(newest_s)),
            "wNow": None if self.fault("null", now_s) else round(self._reported_w(now_s)),
            "whLifetime": round(inverters_wh),
        }
        if self.model.cts == "none":
            return {"production": [inverters]}
        storage = {
            "type": "acb",
            "activeCount": 0,
            "readingTime": 0,
            "wNow": 0,
            "whNow": 0,
            "state": "idle",
        }
        return {
            "production": [inverters, self._eim("production", now_s, lines=lines)],
            "consumption": [
                self._eim("total-consumption", now_s, lines=lines),
                self._eim("net-consumption", now_s, lines=lines),
            ],
            "storage": [storage],
        }

    def _eim(self, stream: str, now_s: float, *, lines: bool) -> dict[str, Any]:
        enabled = self.enabled(now_s)
        feeds = {
            "production": "production" in enabled,
            "total-consumption": bool({"net-consumption", "total-consumption"} & {*enabled}),
        }
        active = feeds.get(stream, feeds["total-consumption"])
        if stream == "production" and self.fault("inactive", now_s):
            active = False
        part = self._eim_part(stream, now_s, 0)
        item = {
            "type": "eim",
            "activeCount": int(active),
            "measurementType": stream,
            "readingTime": int(self.clock_s(now_s)),
            **part,
        }
        if lines:
            count = self.site.shape.phases
            item["lines"] = [self._eim_part(stream, now_s, n) for n in range(1, count + 1)]
        return item

    def _eim_part(self, stream: str, now_s: float, phase: int) -> dict[str, Any]:
        powers = self.site.powers(now_s, phase)
        made_wh = self.delivered_wh("production", now_s, phase)
        # The gateway's own total counts what a battery takes as if the house had used it.
        net_wh = self._counter("imported", now_s, phase) - self._counter("exported", now_s, phase)
        standby_wh = self._counter("standby", now_s, phase)
        total = (powers.production + powers.net, made_wh - standby_wh + net_wh)
        numbers = {
            "production": (powers.production, made_wh),
            "total-consumption": total,
            "net-consumption": (powers.net, net_wh),
        }
        if self.fault("copy_net", now_s):
            numbers["total-consumption"] = numbers["net-consumption"]
        watts, lifetime_wh = numbers[stream]
        if stream == "production" and self.fault("inactive", now_s):
            watts, lifetime_wh = 0.3, 12.5
        today_wh = 0.0 if stream == "net-consumption" else self._today(lifetime_wh, now_s)
        return {
            "wNow": None if self.fault("null", now_s) else round(watts, 3),
            "whLifetime": round(lifetime_wh, 3),
            "whToday": round(today_wh, 3),
            "whLastSevenDays": 0.0 if stream == "net-consumption" else round(lifetime_wh, 3),
            "rmsVoltage": 230.1,
            "rmsCurrent": round(abs(watts) / 230.1, 3),
            "pwrFactor": 1.0,
        }

    def _device(self, index: int, now_s: float) -> dict[str, Any]:
        reported_s = self.reported_s(index, now_s)
        every_s = self.report_every_s(now_s)
        before_j, after_j = self.unit_j(index, reported_s - every_s), self.unit_j(index, reported_s)
        watts = max(0.0, self.unit_w(index, reported_s))
        return {
            "devName": "pcu",
            "sn": unit_serial(index),
            "active": True,
            "modGone": watts < 1,
            "channels": [
                {
                    "chanEid": 1_627_390_225 + 256 * index,
                    "created": int(self.clock_s(reported_s)),
                    "wattHours": {"today": 0, "yesterday": 0, "week": 0},
                    "watts": {"now": round(watts), "nowUsed": 0, "max": 371},
                    "lastReading": {
                        "endDate": int(self.clock_s(reported_s)),
                        "duration": every_s,
                        "joulesProduced": round(after_j) - round(before_j),
                        "acVoltageINmV": 230_100,
                        "acFrequencyINmHz": 50_010,
                        "dcVoltageINmV": 32_363,
                        "dcCurrentINmA": round(watts / 32.363 * 1000),
                        "acCurrentInmA": round(watts / 230.1 * 1000),
                        "channelTemp": 31,
                    },
                    "lifetime": {
                        "createdTime": 1_700_000_000,
                        "duration": 6_124_463,
                        "joulesProduced": round(after_j),
                    },
                }
            ],
        }


def unit_serial(index: int) -> str:
    """Return an inverter's serial number."""
    return f"1220{index:08d}"


def _v1(today: int, week: int, lifetime: int, watts: int) -> dict[str, Any]:
    return {
        "wattHoursToday": today,
        "wattHoursSevenDays": week,
        "wattHoursLifetime": lifetime,
        "wattsNow": watts,
    }


def _meter_item(
    eid: int, time_s: int, watts: float, delivered: float, received: float, legs: int
) -> dict[str, Any]:
    volts = 230.1 * legs
    return {
        "eid": eid,
        "timestamp": time_s,
        "actEnergyDlvd": delivered,
        "actEnergyRcvd": received,
        "apparentEnergy": round(1.02 * delivered, 3),
        "reactEnergyLagg": 0.0,
        "reactEnergyLead": 0.0,
        "instantaneousDemand": round(watts, 3),
        "activePower": round(watts, 3),
        "apparentPower": round(abs(watts) * 1.02, 3),
        "reactivePower": 0.0,
        "pwrFactor": 0.98 if watts >= 0 else -0.98,
        "voltage": round(volts, 3),
        "current": round(abs(watts) / 230.1, 3),
        "freq": 50.0 if legs else 0.0,
    }
