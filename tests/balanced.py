"""How far balanced import and export are from a balancing meter's, by the cadence of polls."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import click

from logger.clock import to_epoch_s
from logger.ledger.curve import Readings
from logger.ledger.flows import settle
from logger.ledger.limits import Stream
from logger.settings import normal_gap_s
from logger.simulator.houses import BATTERIES, HOUSES
from logger.simulator.site import Shape, Site
from tests.houses import DAY, START

#: stream -> the site's counter that is its register
REGISTERS = {
    Stream.PRODUCTION: "production", Stream.STANDBY: "standby",
    Stream.IMPORT: "grid_import", Stream.EXPORT: "grid_export",
    Stream.DISCHARGE: "battery_discharge", Stream.CHARGE: "battery_charge",
}  # fmt: skip
#: counter -> which power goes with it, and which way
POWERS = {
    "production": ("production", 1), "standby": ("production", -1),
    "grid_import": ("net", 1), "grid_export": ("net", -1),
    "battery_discharge": ("storage", 1), "battery_charge": ("storage", -1),
}  # fmt: skip
#: A day's flow that is less is taken for this: all days are looked at, final or not.
LEAST_KWH = 5.0
GRID = ("grid_import", "grid_export")


def counted(site: Site, since: datetime, every_s: int) -> tuple[float, float]:
    """Return a day's import and export (Wh) as the ledger balances them from what CTs counted."""
    times = range(to_epoch_s(since), to_epoch_s(since + DAY) + 1, every_s)
    registers = {}
    for phase in site.phases:
        powers = [site.powers(at_s, phase) for at_s in times]
        for stream, counter in REGISTERS.items():
            if counter.startswith("battery") and site.shape.batteries is None:
                continue
            name, sign = POWERS[counter]
            watts = [sign * getattr(of, name) for of in powers]
            readings = registers[stream, f"L{phase}" if phase else "total"] = Readings()
            readings.extend("ct", list(times), [site.counter_wh(counter, at_s, phase) for at_s in times], watts)
    found = settle(
        registers, {}, {}, since_s=times[0], until_s=times[-1], gap_s=normal_gap_s(every_s),
        peak_power_w=site.shape.peak_power_w, is_balanced=True,
    )  # fmt: skip
    intervals = [interval for interval in found.intervals if interval.phase == "total"]
    sums_mwh = (
        sum(interval.grid_import_mwh or 0 for interval in intervals),
        sum(interval.grid_export_mwh or 0 for interval in intervals),
    )
    return sums_mwh[0] / 1000, sums_mwh[1] / 1000


def errors_pct(shape: Shape, days: int, every_s: int) -> list[tuple[float, float]]:
    """Return for import and export by how much all days together, and the worst one, are off."""
    site = Site(shape, START - DAY)
    pairs: list[list[tuple[float, float]]] = [[], []]  # of each day: counted, true
    for number in range(days):
        since = START + timedelta(days=number)
        for flow, found, wh in zip(GRID, pairs, counted(site, since, every_s), strict=True):
            found.append((wh, site.energy_between_wh(flow, since, since + DAY, grid_meter="balancing")))
    return [
        (
            100 * (sum(wh for wh, _ in found) / sum(true for _, true in found) - 1),
            max(100 * abs(wh - true) / max(true, 1000 * LEAST_KWH) for wh, true in found),
        )
        for found in pairs
    ]


def soak(days: int, cadences_s: Sequence[int] = (5, 60, 300)) -> None:
    """Print the error of balanced import and export of some houses at some cadences."""
    click.echo(f"{days} days; error in %: of all days together, and of the worst one (of at least {LEAST_KWH:.0f} kWh)")
    click.echo(f"{'house':12} {'every':>6}  {'import':>16}  {'export':>16}")
    shapes = {name: HOUSES[name].shape for name in ("three-phase", "split-phase", "iq-ct")}
    late = replace(BATTERIES["iq-ct"][0], lag_s=3)  # As far as is known, real ones are.
    shapes["3 s late"] = replace(shapes["iq-ct"], batteries=late)
    for name, shape in shapes.items():
        for every_s in cadences_s:
            cells = [f"{all_pct:+7.3f} {worst_pct:8.2f}" for all_pct, worst_pct in errors_pct(shape, days, every_s)]
            click.echo(f"{name:12} {every_s:4} s  {cells[0]}  {cells[1]}")
