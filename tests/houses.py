"""Whole houses through a month: what is reported as final is true, what can't be is suspect.

The simulated gateway is read by the real poller, in process and without a network; the real writer and rollups store
what came. Days are then compared with what flowed in the house.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, select

from logger import errors
from logger.clock import day_end_s, day_start_s, from_epoch_s, local_day, time_zone, to_epoch_s
from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.reports.energy import energy_report
from logger.rollups import rollup
from logger.settings import GatewaySettings, Settings, normal_gap_s
from logger.simulator.houses import HOUSES, House
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation
from logger.simulator.site import SimulatedClock
from logger.store import models
from logger.store.database import opened
from logger.store.schema import upgrade

ZONE = "Europe/Amsterdam"
START = datetime(2026, 4, 9, 22, tzinfo=UTC)  # midnight there
DAY = timedelta(days=1)
#: Of less, a day's error is no percentage: a watt-hour.
LEAST_KWH = 0.001
FLOWS = ("grid_import", "grid_export", "consumption")
BATTERY = ("battery_charge", "battery_discharge")
#: house -> events that its first fortnight has
EVENTS = {
    "iq": {"battery_silent"},
    "iq-ct": {"lost_channel"},
    "generator": {"grid_lost", "grid_back", "generator_started", "generator_stopped"},
    "unseen": {"unseen_source"},
}
#: house -> how far a final day may be off, %
LIMIT_PCT = dict.fromkeys(HOUSES, 1.0) | {"iq": 3.0, "acb": 3.0, "generator": 3.0}


@dataclass
class Result:
    """What came of a house: its days by status, the worst of the final ones, its batteries."""

    house: str
    statuses: list[str] = field(default_factory=list)
    worst_pct: dict[str, float] = field(default_factory=dict)
    all_pct: dict[str, float] = field(default_factory=dict)  #: of all final days together
    unknown: dict[str, int] = field(default_factory=dict)  #: final days on which a flow is NULL
    battery_pct: dict[str, float] = field(default_factory=dict)
    impossible: list[date] = field(default_factory=list)
    silent: list[date] = field(default_factory=list)  #: impossible, and not suspect
    missing: set[str] = field(default_factory=set)  #: kinds of events that should be there
    changed: int = 0  #: days that a rebuild changes
    seconds: float = 0.0

    @property
    def broken(self) -> list[str]:
        """What is not as it has to be."""
        limit = LIMIT_PCT[self.house]
        found = [f"{flow} off by {pct:.2f} %" for flow, pct in self.worst_pct.items() if pct > limit]
        found += [f"all {flow} off by {pct:+.2f} %" for flow, pct in self.all_pct.items() if abs(pct) > limit]
        found += [f"{len(self.silent)} impossible days are not suspect"] if self.silent else []
        found += [f"no event {', '.join(sorted(self.missing))}"] if self.missing else []
        return found + ([f"{self.changed} days change by a rebuild"] if self.changed else [])


def asked(poller: Poller, simulation: Simulation) -> None:
    """Let a poller read a simulated gateway without a network."""

    def document(path: str, _deadline: Any) -> Any:
        numbers = simulation.numbers(simulation.clock())
        if numbers.refuses(path):
            raise errors.EndpointRefusedError("401")
        if (page := simulation.page(simulation.clock(), path)) is None:
            raise errors.EndpointMissingError("404")
        return page

    endpoints: Any = poller.gateway.endpoints
    endpoints._json = endpoints.open_text = document
    poller.gateway.elapsed = lambda: 0.0


def simulated(house: House) -> Simulation:
    """Return the gateway of a house, with what happens there."""
    return Simulation(
        shape=replace(house.shape, inverters=3),
        model=Model(**house.model, time_zone=ZONE),
        clock=SimulatedClock(START, speed=0),
        faults=list(house.faults),
        born=START - DAY,
    )


@contextmanager
def collector(house: House, url: str, directory: Path, every_s: int) -> Iterator[tuple[Poller, Simulation, Engine]]:
    """Yield a collector's poller of a simulated house, its gateway and its database."""
    simulation = simulated(house)
    own: dict[str, Any] = {"grid_meter": house.shape.grid_meter}  # Until that setting is there.
    known = {name: value for name, value in own.items() if name in {each.name for each in fields(GatewaySettings)}}
    token = directory / "roof.token"
    token.write_text(simulation.token(days=400))
    token.chmod(0o600)
    roof = GatewaySettings(name="roof", host="https://roof.test", token_file=token, time_zone=ZONE, **known)
    settings = Settings(database_url=url, state_dir=directory, poll_every_s=every_s, gateways=(roof,))
    with opened(url) as engine:
        upgrade(engine)
        (poller,) = pollers(settings, engine, {}, clock=simulation.clock)
        asked(poller, simulation)
        yield poller, simulation, engine


def run(name: str, days: int, every_s: int = 60, house: House | None = None, url: str = "") -> Result:
    """Poll a house for some days, and compare what is reported with what flowed."""
    house = house or HOUSES[name]
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="envoylog-house-") as folder:
        url = url or f"sqlite:///{folder}/house.db"
        with collector(house, url, Path(folder), every_s) as (poller, simulation, engine):
            slots = int(days * DAY.total_seconds()) // every_s + 1
            for number in range(slots):
                at = START + timedelta(seconds=every_s * number)
                simulation.clock.set(at)
                poller.poll(at, inverters=at.minute % 15 == 0)
                if at.minute == 0:
                    assert poller.keeper.store(), poller.keeper.error
            assert poller.keeper.store_all(), poller.keeper.error
            result = judged(name, days, engine, simulation, at)
            with engine.connect() as connection:
                changes = rollup.rebuild(connection, 1, now=at, gap_s=normal_gap_s(every_s), since=None)
                result.changed = len(changes)
                connection.rollback()
    result.seconds = time.process_time() - began
    return result


def judged(name: str, days: int, engine: Engine, simulation: Simulation, now: datetime) -> Result:
    """Return how the days of a report stand against what flowed."""
    result, site, zone = Result(name), simulation.site, time_zone(ZONE)
    first = local_day(to_epoch_s(START), zone)
    with engine.connect() as connection:
        report = energy_report(connection, "daily", now=now, since=str(first), until=str(first + DAY * (days - 1)))
        kinds = set(connection.execute(select(models.EVENTS.c.kind)).scalars())
    result.missing = EVENTS.get(name, set()) - kinds if days >= 14 else set()
    sums = {flow: [0.0, 0.0] for flow in (*FLOWS, *BATTERY)}  # reported, true
    for row in report.rows:
        record = dict(zip(report.names, row, strict=True))
        day = date.fromisoformat(str(record["day"]))
        since, until = (from_epoch_s(f(day, zone)) for f in (day_start_s, day_end_s))
        result.statuses.append(record["status"])
        if impossible(simulation, since, until):
            result.impossible.append(day)
            if record["status"] != "suspect":
                result.silent.append(day)
        if record["status"] != "final":
            continue
        for flow, both in sums.items():
            if (kwh := record[f"{flow}_kwh"]) is None:
                result.unknown[flow] = result.unknown.get(flow, 0) + (flow in FLOWS)
                continue
            right = site.energy_between_wh(flow, since, until) / 1000
            both[0] += kwh
            both[1] += right
            if flow in FLOWS:
                off_pct = 100 * abs(kwh - right) / max(right, LEAST_KWH)
                result.worst_pct[flow] = max(result.worst_pct.get(flow, 0.0), off_pct)
    off = {flow: 100 * (reported - true) / true for flow, (reported, true) in sums.items() if true}
    result.all_pct = {flow: pct for flow, pct in off.items() if flow in FLOWS}
    result.battery_pct = {flow: pct for flow, pct in off.items() if flow in BATTERY}
    result.unknown = {flow: days for flow, days in result.unknown.items() if days}
    return result


def impossible(simulation: Simulation, since: datetime, until: datetime) -> bool:
    """Return whether for half an hour of a day more was exported than this gateway's CTs saw being made.

    What they count while a generator runs is of two grids, and no matter of this.
    """
    site, minutes = simulation.site, 0
    for at_s in range(to_epoch_s(since), to_epoch_s(until), 300):
        if site.outage("generator", at_s):
            continue
        powers = site.powers(at_s)
        minutes += 5 * (powers.production + powers.net + powers.storage < -0.02 * site.shape.peak_power_w)
    return minutes >= 30


def table(results: Sequence[Result]) -> list[str]:
    """Return the results as lines for people: days, worst day and all of them by flow, batteries, impossible days."""
    cells = [f"{flow:>13}" for flow in ("import", "export", "used")]
    lines = [f"{'house':12} final suspect other {''.join(cells)}   charge discharge  impossible, suspect"]
    for result in results:
        counts = [result.statuses.count(status) for status in ("final", "suspect")]
        other = len(result.statuses) - sum(counts)
        cells = [f"{_pct(result.worst_pct.get(flow))} {_pct(result.all_pct.get(flow), '+')}" for flow in FLOWS]
        battery = [_pct(result.battery_pct.get(flow), "+") for flow in BATTERY]
        caught = len(result.impossible) - len(result.silent)
        lines.append(
            f"{result.house:12} {counts[0]:5} {counts[1]:7} {other:5} {' '.join(cells)}   {battery[0]}   {battery[1]}"
            f"  {len(result.impossible)}, {caught}"
            + (f"   unknown on final days: {result.unknown}" if result.unknown else "")
            + ("   BROKEN: " + "; ".join(result.broken) if result.broken else "")
        )
    return lines


def _pct(value: float | None, sign: str = "") -> str:
    return f"{'-':>6}" if value is None else f"{format(value, f'{sign}.2f'):>6}"


def soak(names: Sequence[str], days: int, every_s: int) -> bool:
    """Print the table of houses; return whether all are within their limits."""
    results = []
    for name in names:
        results.append(run(name, days, every_s))
        click.echo(f"{name}: {results[-1].seconds:.0f} s CPU", err=True)
    click.echo(
        f"{days} days of polls each {every_s} s. Errors of final days in %: the worst day's, and all together's."
    )
    for line in table(results):
        click.echo(line)
    return not any(result.broken for result in results)
