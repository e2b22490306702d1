"""Loads that change by the second: what cycles in a house, on which phase, and when exactly.

Each is a number of watts between two instants, so that what counts them stays exact.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DAY_S = 86_400
#: seconds since the start of a UTC day: on, off
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Appliance:
    """Something that switches itself on and off."""

    kind: str  #: a key of ``KINDS``
    power_w: float
    phase: int = 0  #: 1 to 3: on which phase; 0: evenly on all of them


def spans(appliance: Appliance, seed: str, longitude_deg: float) -> list[Span]:
    """Return when an appliance draws its power on a UTC day, in order and apart from each other.

    ``seed`` names the day and the appliance; the longitude says what is morning there.
    """
    dice = random.Random(seed)  # noqa: S311 - dinner, not secrets
    ahead_s = round(longitude_deg * 240)
    found: list[Span] = []
    for begin_s, end_s in sorted(KINDS[appliance.kind](dice)):
        on_s = (begin_s - ahead_s) % DAY_S
        off_s = min(DAY_S, on_s + end_s - begin_s)
        found.append((on_s, off_s))
    free_s = 0
    apart = []
    for on_s, off_s in sorted(found):
        if off_s > max(on_s, free_s):
            apart.append((max(on_s, free_s), off_s))
            free_s = off_s
    return apart


def _cycles(dice: random.Random, begin_s: int, end_s: int, period_s: int, share: float) -> Iterator[Span]:
    """Yield when a thermostat is closed between two instants."""
    at_s = begin_s
    while at_s < end_s:
        period = max(4, round(period_s * dice.uniform(0.7, 1.3)))
        on = max(2, round(period * min(0.95, share * dice.uniform(0.7, 1.3))))
        yield at_s, min(end_s, at_s + on)
        at_s += period


def _between(dice: random.Random, earliest_h: float, latest_h: float) -> int:
    return round(dice.uniform(earliest_h, latest_h) * 3600)


def _hob(dice: random.Random) -> Iterator[Span]:
    """A plate that pulses with seconds: noon and evening."""
    for hour in (12.0, 18.0):
        begin_s = _between(dice, hour, hour + 1)
        yield from _cycles(dice, begin_s, begin_s + _between(dice, 0.4, 0.9), 22, dice.uniform(0.3, 0.8))


def _heater(dice: random.Random) -> Iterator[Span]:
    """A fan heater or a boiler with a thermostat: morning, day and evening."""
    for hour, lasts_h in ((6.0, 1.5), (10.0, 4.0), (17.0, 4.0)):
        begin_s = _between(dice, hour, hour + 1)
        yield from _cycles(dice, begin_s, begin_s + round(lasts_h * 3600), 140, dice.uniform(0.3, 0.6))


def _heat_pump(dice: random.Random) -> Iterator[Span]:
    """A compressor that runs by the half hour, all day."""
    yield from _cycles(dice, _between(dice, 0, 0.5), DAY_S, 2_900, dice.uniform(0.3, 0.6))


def _oven(dice: random.Random) -> Iterator[Span]:
    """An oven on some evenings, a dryer at noon on others: a minute on, a minute off."""
    begin_s = _between(dice, 17, 18.5) if dice.random() < 0.5 else _between(dice, 11, 14)
    yield from _cycles(dice, begin_s, begin_s + _between(dice, 0.8, 1.4), 95, 0.55)


def _car(dice: random.Random) -> Iterator[Span]:
    """A car that charges for hours without a pause, every other day."""
    if dice.random() < 0.5:
        begin_s = _between(dice, 11, 19)
        yield begin_s, begin_s + _between(dice, 1, 3)


KINDS: dict[str, Callable[[random.Random], Iterator[Span]]] = {
    "hob": _hob,
    "heater": _heater,
    "heat pump": _heat_pump,
    "oven": _oven,
    "car": _car,
}
