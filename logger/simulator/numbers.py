"""What a simulated gateway counts and measures at one instant.

The site's true numbers, with what real gateways do to them: inverters report late and not at night, sums of them wrap
at 2^32 J, ``whToday`` is not to be trusted. Faults change them here wherever a number is wrong; where only the document
is odd, ``pages`` does.

Walk: site, faults -> here -> pages
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from logger.simulator.faults import Fault
from logger.simulator.site import INVERTERS_OVER_CT, Site, last_multiple

WRAP_J = 2**32
#: what a weak inverter makes less
WEAK = 0.2
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


class Meter(NamedTuple):
    """A CT: which of ``Powers`` it reads, and the site's counters that are its registers."""

    eid: int
    power: str
    delivered: str
    received: str = ""


METERS = {
    "production": Meter(704643328, "production", "production", "standby"),
    "net-consumption": Meter(704643584, "net", "grid_import", "grid_export"),
    "total-consumption": Meter(704643584, "load", "consumption"),
    "storage": Meter(704643840, "storage", "battery_discharge", "battery_charge"),
}


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
    has_seven_slots: bool = False  #: the metering stack of newer firmware 8.3

    @property
    def version(self) -> str:
        """The firmware without its leading letter."""
        return self.firmware or FIRMWARES[self.generation]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A gateway at one instant: its identity, its clock, its CTs and its inverters."""

    site: Site
    model: Model
    faults: Sequence[Fault]
    start_s: float  #: when the simulation began: faults count their seconds from then
    now_s: float

    def fault(self, kind: str) -> Fault | None:
        """Return the active fault of a kind, if any."""
        return next((fault for fault in self._faults(kind) if fault.holds(self.now_s - self.start_s)), None)

    def refuses(self, path: str) -> bool:
        """Return whether a page is not for us."""
        return any(f.argument == path and f.holds(self.now_s - self.start_s) for f in self._faults("refused"))

    def _faults(self, kind: str) -> list[Fault]:
        return [fault for fault in self.faults if fault.kind == kind]

    @property
    def version(self) -> str:
        """The firmware that runs."""
        upgrade = self.fault("firmware")
        return (upgrade.argument or "8.3.5289") if upgrade else self.model.version

    @property
    def release(self) -> tuple[int, ...]:
        """The firmware as numbers that compare."""
        return tuple(map(int, self.version.split(".")))

    @property
    def generation(self) -> str:
        """The generation of the firmware that runs: 3, 5, 7 or 8."""
        major = self.release[0]
        return "3" if major < 4 else "5" if major < 7 else "7" if major < 8 else "8"

    @property
    def wants_tokens(self) -> bool:
        """Whether this firmware speaks HTTPS and wants tokens."""
        return self.generation in {"7", "8"}

    @property
    def serial(self) -> str:
        """The serial number that answers."""
        if self.fault("new_serial"):
            return self.model.serial[:-1] + str((int(self.model.serial[-1]) + 1) % 10)
        return self.model.serial

    def clock_s(self, at_s: float | None = None) -> int:
        """Return what the gateway's clock shows at an instant (default: now)."""
        true_s = self.now_s if at_s is None else at_s
        skew = replace(self, now_s=true_s).fault("clock_skew")
        return int(true_s + (skew.number(300) if skew else 0))

    @property
    def has_seven_slots(self) -> bool:
        """Whether the gateway has the metering stack that lists seven slots."""
        return self.model.has_seven_slots

    @property
    def is_islanded(self) -> bool:
        """Whether the house is not on the grid: that is lost, or a generator runs."""
        return any(self.site.outage(kind, self.now_s) for kind in ("grid_lost", "generator"))

    def by_chance(self, share: float) -> bool:
        """Return whether this minute is one of a share of them."""
        return share >= 1 or random.Random(f"{self.model.serial} {int(self.now_s // 60)}").random() < share  # noqa: S311

    @property
    def enabled(self) -> tuple[str, ...]:
        """The CTs that are enabled."""
        off = self.fault("meter_off")
        return tuple(ct for ct in CTS[self.model.cts] if not (off and ct.endswith("consumption")))

    def power_w(self, meter: str, phase: int = 0) -> float:
        """Return what a CT reads, in the CT's own sign."""
        return float(getattr(self.site.powers(self.now_s, phase), METERS[meter].power))

    def mean_w(self, meter: str, phase: int, seconds: int) -> float:
        """Return what a CT read on average over the last seconds, in the CT's own sign."""
        of, ends_s = METERS[meter], (self.now_s - seconds, self.now_s)
        before, after = (
            self.site.counter_wh(of.delivered, at_s, phase)
            - (self.site.counter_wh(of.received, at_s, phase) if of.received else 0.0)
            for at_s in ends_s
        )
        return (after - before) / seconds * 3600

    def registers_wh(self, meter: str, phase: int = 0) -> tuple[float, float]:
        """Return a CT's delivered and received registers."""
        of = METERS[meter]
        return self.register_wh(of.delivered, phase), self.register_wh(of.received, phase) if of.received else 0.0

    def register_wh(self, name: str, phase: int) -> float:
        """Return a lifetime register that follows one of the site's counters."""
        base = 0.001 if name == "standby" else 1.0
        base_wh = self.model.base_kwh * 1000 * base / (self.site.shape.phases if phase else 1)
        value_wh = self.site.counter_wh(name, self.now_s, phase) + base_wh
        resets_s = [fault.since_s + self.start_s for fault in self._faults("reset")]
        if passed := [at_s for at_s in resets_s if at_s <= self.now_s]:
            value_wh -= self.site.counter_wh(name, max(passed), phase) + base_wh
        if name == "production" and self.fault("dip"):
            value_wh /= 2
        if name == "production" and (spike := self.fault("spike")):
            value_wh += spike.number(900) * 1000
        return round(value_wh, 3)

    def today_wh(self, lifetime_wh: float) -> float:
        """Return whToday as gateways give it: often late to start again."""
        local = datetime.fromtimestamp(self.now_s, ZoneInfo(self.model.time_zone))
        since_s = local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        if self.fault("late_today") and self.now_s - since_s < 900:
            since_s -= 86_400
        then_wh = self.site.counter_wh("production", max(since_s, self.site.born_s))
        return min(lifetime_wh, self.site.counter_wh("production", self.now_s) - then_wh)

    def stream(self, stream: str, phase: int = 0) -> tuple[float, float]:
        """Return the W and lifetime Wh that production.json gives for a stream."""
        if stream == "production" and self.fault("inactive"):
            return 0.3, 12.5
        powers = self.site.powers(self.now_s, phase)
        produced_wh, standby_wh = self.registers_wh("production", phase)
        imported_wh, exported_wh = self.registers_wh("net-consumption", phase)
        net_wh = imported_wh - exported_wh
        if stream == "production":
            return powers.production, produced_wh
        if stream == "net-consumption" or self.fault("copy_net"):
            return powers.net, net_wh
        # The gateway's own total counts what a battery takes as if the house had used it.
        return powers.production + powers.net, produced_wh - standby_wh + net_wh

    @property
    def inverters(self) -> range:
        """The indexes of the inverters that there are."""
        return range(self.site.shape.inverters - (1 if self.fault("lost_inverter") else 0))

    @property
    def report_every_s(self) -> int:
        """How often inverters report: each 5 minutes on firmware 7, else each 15."""
        return 300 if self.generation == "7" else 900

    def reported_s(self, index: int) -> int:
        """Return when an inverter last reported; they are staggered, and silent at night."""
        every_s = self.report_every_s
        return self.site.last_made_s(last_multiple(self.now_s, every_s, (index * 37) % every_s), every_s)

    def inverter_w(self, index: int, at_s: float) -> float:
        """Return an inverter's power at an instant, never negative."""
        watts = max(0.0, self.site.powers(at_s).production * (self.site.inverter_share(index) * INVERTERS_OVER_CT))
        weak_s = self._weak_since_s(index)
        return watts if weak_s is None or at_s < weak_s else watts * (1 - WEAK)

    def inverter_j(self, index: int, at_s: float) -> float:
        """Return an inverter's lifetime counter in joules at an instant, without a wrap."""
        counted_j = self.site.counter_wh("production", at_s) * 3600 + self.model.base_kwh * 3.6e6
        weak_s = self._weak_since_s(index)
        if weak_s is not None and at_s > weak_s:
            lost_wh = self.site.counter_wh("production", at_s) - self.site.counter_wh("production", weak_s)
            counted_j -= WEAK * 3600 * lost_wh
        return counted_j * self.site.inverter_share(index) * INVERTERS_OVER_CT

    def _weak_since_s(self, index: int) -> float | None:
        """Return since when an inverter is weak, None where it never gets so."""
        of = [fault for fault in self._faults("weak_inverter") if int(fault.number(1)) == index + 1]
        return min((fault.since_s + self.start_s for fault in of), default=None)

    def inverters_w(self) -> float:
        """Return the sum of the inverters' powers at their last reports."""
        return sum(self.inverter_w(index, self.reported_s(index)) for index in self.inverters)

    def inverters_wh(self, wraps: str) -> float:
        """Return the sum of the inverters' lifetimes at their last reports.

        ``wraps`` names what starts again at 2^32 J: each of them, the whole, or with "" nothing.
        The fault ``wrap`` places the sum so that it passes 2^32 J at the time of the fault.
        """
        total_j = self._inverters_j(WRAP_J if wraps == "each" else 0)
        if placed := self._faults("wrap"):
            then = replace(self, now_s=placed[0].since_s + self.start_s)
            total_j = (total_j - then._inverters_j(0)) % WRAP_J  # noqa: SLF001 - another of us
        return (total_j % WRAP_J if wraps == "whole" else total_j) / 3600

    def _inverters_j(self, wrap_j: int) -> float:
        each = [self.inverter_j(index, self.reported_s(index)) for index in self.inverters]
        return sum(value_j % wrap_j for value_j in each) if wrap_j else sum(each)


def inverter_serial(index: int) -> str:
    """Return an inverter's serial number."""
    return f"1220{index:08d}"
