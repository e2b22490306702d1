"""Houses to simulate, by name: those in which counters are exact and totals easily wrong."""

from dataclasses import dataclass, field, replace
from typing import Any

from logger.simulator.faults import Fault
from logger.simulator.house import Batteries, Shape
from logger.simulator.loads import Appliance

HOB = Appliance("hob", 2_000.0, 1)
HEATER = Appliance("heater", 2_000.0, 2)
HEAT_PUMP = Appliance("heat pump", 2_600.0, 3)
OVEN = Appliance("oven", 2_400.0, 2)
CAR = Appliance("car", 3_700.0, 1)
#: Of a house of one phase.
LOADS = tuple(replace(load, phase=0) for load in (HOB, HEATER, OVEN))
IQ = Batteries()
ACB = Batteries("acb", count=4, capacity_wh=1_240.0, power_w=260.0, reserve_pct=5)
#: battery -> its batteries, and the gateway's CTs
BATTERIES = {"iq": (IQ, "net"), "iq-ct": (IQ, "storage"), "acb": (ACB, "net")}
HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


@dataclass(frozen=True, slots=True)
class House:
    """What stands there, which gateway it has, and what happens to it within a month."""

    shape: Shape
    model: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def _outages(number: int) -> tuple[Fault, ...]:
    """Return some grid outages, on every other one a generator for some hours; without the others in the first days."""
    found: list[Fault] = []
    for each in range(number):
        since_s = (1 + 4 * each) * DAY_S + (9 + 5 * each) % 24 * HOUR_S
        found.append(Fault("grid_lost", since_s, since_s + (2 + each % 3) * HOUR_S))
        if each % 2 == 0:
            found.append(Fault("generator", since_s + HOUR_S, since_s + 5 * HOUR_S))
    return tuple(found)


_THREE = Shape(phases=3, panels=(2, 1, 0), appliances=(HOB, HEATER, HEAT_PUMP, OVEN, CAR))
HOUSES = {
    "three-phase": House(_THREE, {"cts": "net"}),
    "per-phase": House(replace(_THREE, grid_meter="per_phase"), {"cts": "net"}),
    "split-phase": House(
        Shape(phases=2, appliances=(HOB, HEATER, replace(HEAT_PUMP, phase=0), CAR, replace(OVEN, phase=0))),
        {"cts": "net", "has_seven_slots": True},
    ),
    "iq": House(
        Shape(appliances=LOADS, batteries=IQ),
        {"cts": "net"},
        (Fault("silent_battery", 12 * DAY_S + 10 * HOUR_S, 12 * DAY_S + 15 * HOUR_S, "2"),),
    ),
    "iq-ct": House(
        Shape(phases=2, appliances=(*LOADS, replace(HOB, phase=1)), batteries=IQ),
        {"cts": "storage", "firmware": "8.3.6086", "phase_mode": "split"},
        (Fault("lost_channel", argument="0.02"),),
    ),
    "acb": House(
        Shape(appliances=LOADS, batteries=ACB),
        {"cts": "net"},
        (Fault("stale_acb", 12 * DAY_S + 10 * HOUR_S, 13 * DAY_S + 15 * HOUR_S),),
    ),
    "generator": House(
        Shape(appliances=LOADS, batteries=replace(IQ, count=3, reserve_pct=40), has_generator=True),
        {"cts": "net"},
        _outages(7),
    ),
    "unseen": House(Shape(appliances=LOADS, unseen=0.8), {"cts": "net"}),
}


def plain(phases: int, cts: str, battery: str | None) -> House:
    """Return the house of every day, perhaps with batteries."""
    of, battery_cts = BATTERIES[battery] if battery else (None, cts)
    shape = Shape(phases=phases, battery=cts == "storage" and of is None, batteries=of)
    return House(shape, {"cts": battery_cts})
