"""One poll for a person: what is new in words, and all of it as a table.

Walk: readings.Poll -> here -> cli
"""

from collections.abc import Iterator
from datetime import timedelta

import click

from logger.exports import screen
from logger.readings import ConsumptionSample, Poll, ProductionSample
from logger.reports.overview import Energy
from logger.reports.power import Counted, counted, power_of

#: By day an inverter reports each 5 to 15 minutes.
LATELY = timedelta(minutes=30)
#: kind -> what people call them
BATTERIES = {"encharge": "IQ Batteries", "acb": "AC Batteries"}


def in_words(name: str, poll: Poll, zone: str | None) -> Iterator[str]:
    """Yield what a poll says: what flows, what the inverters and batteries do, and what has changed."""
    firmware = f"firmware {poll.info.firmware}, " if poll.info else ""
    local = screen.local(poll.polled_at, zone)
    yield f"{click.style(name, bold=True)}: {firmware}serial {poll.gateway_serial}, polled at {local:%H:%M:%S}"
    power = power_of(poll)
    yield from screen.wrapped("now", screen.flowing(power))
    if (battery := screen.battery(power)) is not None:
        yield screen.labelled("battery", battery)
    if poll.inverters:
        yield from screen.wrapped("inverters", _inverters(poll, zone))
    for event in poll.events:
        yield from screen.wrapped("new", f"{event.kind.replace('_', ' ')}, {event.subject}: {event.detail}")


def _inverters(poll: Poll, zone: str | None) -> str:
    lately = [unit for unit in poll.inverters if poll.polled_at - unit.reported_at <= LATELY]
    count = len(poll.inverters)
    if not lately:
        newest = max(unit.reported_at for unit in poll.inverters)
        return f"{count}, none reported since {screen.at_local(newest, zone, poll.polled_at)}"
    watts = screen.watts(sum(unit.power_w or 0.0 for unit in lately))
    return (
        f"{f'all {count}' if len(lately) == count else f'{len(lately)} of {count}'} reported lately, together {watts}"
    )


def stored(poll: Poll, before: Counted | None, today: Energy | None, zone: str | None) -> Iterator[str]:
    """Yield that a poll was stored, and what was counted since the one before and today."""
    now = counted(poll)
    if now is None:
        return
    if before is None:
        yield from screen.wrapped("stored", "the first poll: energy appears with the second")
        return
    since = f"since the poll of {screen.at_local(before.at, zone, poll.polled_at)}"
    made_wh = now.since(before)
    made = "production was not counted" if made_wh is None else f"{screen.energy(made_wh)} made"
    yield from screen.wrapped("stored", f"{made} {since}")
    if today is not None and today.production_kwh is not None:
        yield from screen.wrapped("today", screen.in_words(today))


def table(poll: Poll, zone: str | None) -> Iterator[str]:
    """Yield each sample as the gateway gave it."""
    samples: list[ProductionSample | ConsumptionSample] = [*poll.production, *poll.consumption]
    for sample in samples:
        what, wh = getattr(sample, "measurement", "production"), sample.energy_lifetime_wh
        yield _line(what, sample.phase, sample.power_w, wh, sample.source)
    for meter in poll.meter_readings:
        volts = "" if meter.voltage_v is None else f"{meter.voltage_v:.1f} V"
        yield _line(f"{meter.measurement} CT", meter.phase, meter.power_w, meter.delivered_wh, volts)
    for together in poll.storage:
        charged = "" if together.soc_pct is None else f"{together.soc_pct:.0f} %"
        yield _line(BATTERIES[together.kind], "total", together.power_w, None, charged)
    for unit in poll.inverters:
        at = f"{screen.local(unit.reported_at, zone):%H:%M:%S}"
        yield _line(f"inverter {unit.serial}", "", unit.power_w, unit.energy_lifetime_wh, at)


def _line(what: str, phase: str, power_w: float | None, energy_wh: float | None, rest: str) -> str:
    watts = "unknown" if power_w is None else f"{power_w:.1f} W"
    energy = "" if energy_wh is None else f"{energy_wh / 1000:.3f} kWh"
    return f"  {what:<22}  {phase:<5}{watts:>12}{energy:>18}  {rest}".rstrip()
