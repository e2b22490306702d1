"""Sites of panels for a year, made from the sun and the sky alone: what happens to them is known.

Nothing of the package is used to make them. Rows go into the raw tables by plain SQL.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Instants of a day, min.
STEP = 5
STEPS = 24 * 60 // STEP


class Place(NamedTuple):
    """Where a site stands, and how often the sky is clear, mixed and covered there."""

    zone: str
    latitude_deg: float
    longitude_deg: float
    clear: float
    mixed: float
    snow_days: int = 0  #: a winter


PLACES = (
    Place("Europe/Amsterdam", 52.4, 4.9, 0.3, 0.4, 4),
    Place("Europe/Madrid", 40.4, -3.7, 0.65, 0.25),
    Place("America/Phoenix", 33.4, -112.0, 0.85, 0.1),
    Place("Australia/Sydney", -33.9, 151.2, 0.55, 0.3),
    Place("Europe/Stockholm", 59.3, 18.1, 0.35, 0.35, 15),
    Place("America/Denver", 39.7, -105.0, 0.65, 0.25, 12),
    Place("Asia/Kathmandu", 27.7, 85.3, 0.5, 0.3),
    Place("Pacific/Auckland", -36.8, 174.8, 0.4, 0.4),
    Place("Pacific/Honolulu", 21.3, -157.9, 0.6, 0.35),
    Place("America/Sao_Paulo", -23.5, -46.6, 0.4, 0.4),
)


class Fault(NamedTuple):
    """What happens to a panel from a day on; to all of them where ``panel`` is None."""

    kind: str
    panel: int | None
    day: int
    days: int = 9_999


#: What is to be said of a panel that a fault befalls; nothing of all others.
NAMES = {
    "dead": {"dead"},
    "tenth": {"weak"},
    "fifth": {"weak"},
    "morning": {"shaded"},
    "silent": {"silent"},
    "sparse": {"silent"},
    "removed": {"removed"},
    "replaced": {"removed"},
}
KEPT = {"tenth": 0.90, "fifth": 0.82}


@dataclass(frozen=True)
class Plan:
    """How a site is made."""

    seed: int
    place: Place = PLACES[0]
    panels: int = 12
    days: int = 365
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    noise: float = 0.05  #: of a panel on a day,
    hour_noise: float = 0.03  #: and of it in an hour
    orientations: tuple[tuple[float, float], ...] = ((180.0, 35.0),)  #: azimuth and tilt; panels take turns
    panel_w: float = 400.0
    inverter_w: float = 9_999.0
    faults: tuple[Fault, ...] = ()
    every: int = 15  #: minutes between reports
    says: str = "lifetime"  #: lifetime | interval | power
    morning_until_h: float = 11.0


@dataclass
class PanelSite:
    """A site through its days; power is that of panels by day and step, W."""

    plan: Plan
    power_w: Floats = field(init=False)
    sun_is_up: NDArray[np.bool_] = field(init=False)  #: by day and step
    snow: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        plan = self.plan
        self.dice = np.random.default_rng(plan.seed)
        #: The first step is midnight by the sun.
        self.start = plan.start - timedelta(minutes=round(plan.place.longitude_deg * 4 / STEP) * STEP)
        self.power_w = self._power_w()

    def serial(self, panel: int) -> str:
        return f"4822{self.plan.seed:05d}{panel:03d}"

    def new_serial(self, panel: int) -> str:
        return f"5822{self.plan.seed:05d}{panel:03d}"

    # -- the sun and the sky
    def _power_w(self) -> Floats:
        plan, dice = self.plan, self.dice
        sky = self._sky()
        elevation, east, north = self._sun()
        self.sun_is_up = elevation > 0.03
        up = np.clip(elevation, 0.0, None)
        mass = 1 / np.clip(up, 0.05, None)
        beam = 1353 * 0.7 ** (mass**0.678) * sky**1.5 * (elevation > 0)
        diffuse = (90 + 220 * np.sqrt(sky) * (1.15 - sky)) * up
        power = np.empty((plan.panels, plan.days, STEPS))
        sides = []
        for azimuth, tilt in plan.orientations:
            turned = azimuth if plan.place.latitude_deg >= 0 else 180 - azimuth
            toward, slope = math.radians(turned), math.radians(tilt)
            cosine = elevation * math.cos(slope) + math.sin(slope) * (
                east * math.sin(toward) + north * math.cos(toward)
            )
            sides.append(beam * np.clip(cosine, 0, None) + diffuse * (1 + math.cos(slope)) / 2)
        size = dice.normal(1, 0.02, plan.panels)
        days = dice.normal(1, plan.noise, (plan.panels, plan.days))
        hours = dice.normal(1, plan.hour_noise, (plan.panels, plan.days, 24))
        for panel in range(plan.panels):
            own = np.repeat(hours[panel], STEPS // 24, axis=1) * days[panel][:, None] * size[panel]
            power[panel] = plan.panel_w / 1000 * sides[panel % len(sides)] * own * self._cold()
        power = np.clip(power, 0, None)
        for fault in plan.faults:
            self._befall(power, fault)
        for day in self.snow:
            power[:, day] *= dice.uniform(0, 0.05, plan.panels)[:, None]
        return np.asarray(np.minimum(power, plan.inverter_w))

    def _sun(self) -> tuple[Floats, Floats, Floats]:
        """Return the sine of the sun's height, and how far it stands to the east and to the north."""
        plan = self.plan
        first = plan.start.timetuple().tm_yday
        days = np.arange(plan.days)[:, None] + first
        declination = np.radians(-23.44) * np.cos(2 * np.pi * (days + 10) / 365.25)
        angle = np.radians(15 * ((np.arange(STEPS)[None, :] + 0.5) * STEP / 60 - 12))
        latitude = math.radians(plan.place.latitude_deg)
        height = math.sin(latitude) * np.sin(declination) + math.cos(latitude) * np.cos(declination) * np.cos(angle)
        east = -np.cos(declination) * np.sin(angle)
        north = math.cos(latitude) * np.sin(declination) - math.sin(latitude) * np.cos(declination) * np.cos(angle)
        return height, east + 0 * height, north

    def _sky(self) -> Floats:
        """Return how clear the sky is, 0 to 1, by day and step."""
        plan, dice = self.plan, self.dice
        kind = dice.choice(3, size=plan.days, p=[plan.place.clear, plan.place.mixed, self._covered()])
        level = np.choose(kind, [dice.uniform(0.85, 1, plan.days), dice.uniform(0.3, 0.85, plan.days),
                                 dice.uniform(0.05, 0.3, plan.days)])  # fmt: skip
        swing = np.choose(kind, [0.03, 0.25, 0.06])
        rough = dice.normal(0, 1, (plan.days, STEPS))
        kernel = np.ones(7) / math.sqrt(7)
        smooth = np.array([np.convolve(day, kernel, mode="same") for day in rough])
        if plan.place.snow_days:
            winter = [day for day in range(plan.days) if (day + plan.start.timetuple().tm_yday) % 365 < 75]
            first = int(dice.choice(winter)) if winter else 0
            self.snow = {day for day in range(first, min(plan.days, first + plan.place.snow_days)) if day in winter}
        return np.asarray(np.clip(level[:, None] + swing[:, None] * smooth, 0.03, 1.0))

    def _covered(self) -> float:
        return 1 - self.plan.place.clear - self.plan.place.mixed

    def _cold(self) -> Floats:
        """Return what the temperature of the season makes of power, for all panels."""
        plan = self.plan
        days = np.arange(plan.days) + plan.start.timetuple().tm_yday
        sign = 1 if plan.place.latitude_deg >= 0 else -1
        return np.asarray(1 + 0.04 * sign * np.cos(2 * np.pi * (days - 15) / 365))[:, None]

    # -- what happens
    def _befall(self, power: Floats, fault: Fault) -> None:
        days = slice(fault.day, fault.day + fault.days)
        which = slice(None) if fault.panel is None else fault.panel
        hours = np.arange(STEPS) * STEP / 60
        if fault.kind in KEPT:
            power[which, days] *= KEPT[fault.kind]
        elif fault.kind == "dead":
            power[which, days] = 0.0
        elif fault.kind == "morning":
            power[which, days, : int(np.searchsorted(hours, self.plan.morning_until_h))] *= 0.75
        elif fault.kind == "snow":
            self.snow |= set(range(fault.day, min(self.plan.days, fault.day + fault.days)))
        elif fault.kind == "soiling":
            left = np.arange(power.shape[1]) - fault.day
            power *= 1 - 0.25 * np.clip(left / 20, 0, 1)[None, :, None]
        elif fault.kind == "clipped":
            power[which, days] = np.minimum(power[which, days], 0.62 * self.plan.panel_w)

    # -- what is reported
    def rows(self, gateway_id: int = 1) -> Iterator[dict[str, Any]]:
        """Yield the rows of inverter_samples."""
        plan = self.plan
        every = plan.every // STEP
        shape = (plan.panels, plan.days, STEPS // every, every)
        mean_w = self.power_w.reshape(shape).mean(axis=3)
        is_up = np.asarray(self.sun_is_up.reshape(shape[1:]).any(axis=2))
        for panel in range(plan.panels):
            fault = next((own for own in plan.faults if own.panel == panel), None)
            lifetime_wh = float(self.dice.integers(0, 3_000_000))
            serial = self.serial(panel)
            for day in range(plan.days):
                gone = fault is not None and fault.day <= day < fault.day + fault.days
                if gone and fault is not None and fault.kind in {"silent", "removed"}:
                    continue
                if gone and fault is not None and fault.kind == "replaced":
                    if serial != self.new_serial(panel):
                        serial, lifetime_wh = self.new_serial(panel), 0.0
                    if day == fault.day:  # the day on which somebody is on the roof
                        continue
                for step in np.flatnonzero(is_up[day]):
                    watts = float(mean_w[panel, day, step])
                    lifetime_wh += watts * plan.every / 60
                    if gone and fault is not None and fault.kind == "sparse" and self.dice.random() > 0.3:
                        continue
                    at = self.start + timedelta(days=day, minutes=(int(step) + 1) * plan.every)
                    row = {"gateway_id": gateway_id, "reported_at": at, "serial": serial, "power_w": round(watts)}
                    if plan.says == "lifetime":
                        row["energy_lifetime_wh"] = round(lifetime_wh)
                    elif plan.says == "interval":
                        row["energy_interval_wh"] = round(watts * plan.every / 60, 3)
                        row["interval_s"] = plan.every * 60
                    yield row

    def bright_days(self, day: int, until: int) -> int:
        """Return how many days of some are bright: 1 kWh for each kW of panels."""
        made = self.power_w[:, day:until].sum(axis=2) * STEP / 60 / self.plan.panel_w
        return int((np.median(made, axis=0) >= 1.0).sum())
