"""What stands in a simulated house: panels, inverters, loads, batteries, its connection to the grid."""

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from logger.simulator.loads import Appliance

#: What the inverters draw at night.
STANDBY_W = 3.6
#: Of what goes into or comes out of a battery, this much arrives: 77 % there and back.
ONE_WAY = 0.88


@dataclass(frozen=True, slots=True)
class Batteries:
    """Batteries of one kind that take the surplus and give it back, down to a reserve.

    IQ Batteries follow the house at once, AC Batteries what the five minutes before would have needed.
    """

    kind: str = "encharge"  #: encharge (IQ Battery) | acb (AC Battery)
    count: int = 2
    capacity_wh: float = 5_000.0  #: of each
    power_w: float = 3_840.0  #: of each, at most
    reserve_pct: int = 20
    lag_s: int = 0  #: how long after a load switches IQ Batteries follow it
    #: What each claims of its power while it charges, as a share of what a CT measures.
    charge_seen: float = 1.0

    @property
    def all_wh(self) -> float:
        """What they hold together."""
        return self.count * self.capacity_wh

    @property
    def all_w(self) -> float:
        """What they give or take together, at most."""
        return self.count * self.power_w


@dataclass(frozen=True, slots=True)
class Outage:
    """When the grid was lost, or when the house ran on its generator; epoch seconds."""

    since_s: float
    until_s: float
    kind: str = "grid_lost"  #: grid_lost | generator

    def holds(self, at_s: float) -> bool:
        """Return whether it holds at an instant."""
        return self.since_s <= at_s < self.until_s


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands on the roof and in the house."""

    seed: int = 1
    phases: int = 1  #: in use: 1, 2 or 3
    peak_power_w: float = 5_600.0
    inverters: int = 12
    battery: bool = False  #: one without an end to its capacity, known to nothing but a storage CT
    latitude_deg: float = 52.0
    longitude_deg: float = 5.0
    grid_meter: str = "balancing"  #: how the utility's meter counts the phases: balancing | per_phase
    appliances: tuple[Appliance, ...] = ()  #: beside what the house draws by the five minutes
    panels: tuple[float, ...] = ()  #: each phase's part of the production; () for equal parts
    batteries: Batteries | None = None
    unseen: float = 0.0  #: a second inverter that the production CT misses, as a share of what it sees
    has_generator: bool = False
    has_controller: bool = True  #: with IQ Batteries: an Enpower, which knows of the grid

    @property
    def follows_seconds(self) -> bool:
        """Whether powers jump within five minutes."""
        return bool(self.appliances) or self.batteries is not None

    def panel_share(self, phase: int) -> float:
        """Return a phase's part of the production."""
        return self.panels[phase - 1] / sum(self.panels) if self.panels else 1 / self.phases

    def inverter_share(self, index: int) -> float:
        """Return an inverter's part of the whole; the parts add up to 1."""
        weights = _weights(self.seed, self.inverters)
        return weights[index] / sum(weights)


class Powers(NamedTuple):
    """W at one instant on one phase or in total."""

    production: float
    load: float
    storage: float  #: positive while discharging
    unseen: float = 0.0  #: of the inverter that the production CT misses
    generator: float = 0.0

    @property
    def net(self) -> float:
        """What the grid gives; negative for export."""
        return self.load - self.production - self.storage - self.unseen - self.generator


@lru_cache
def _weights(seed: int, count: int) -> tuple[float, ...]:
    dice = random.Random(seed)  # noqa: S311 - panels, not secrets
    return tuple(0.9 + 0.2 * dice.random() for _ in range(count))
