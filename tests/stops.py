"""Random sites that are looked at at random moments: what the collector leaves is what a rebuild makes.

The simulated gateway is read by the real poller, in process and without a network, with random faults, cadences, zones
and restarts; the real keeper stores and rolls up. Whatever `db check` would find then is told.
"""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from logger import errors
from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.rollups.verify import findings
from logger.settings import GatewaySettings, Settings, normal_gap_s
from logger.simulator.faults import LASTING, OF_BATTERIES, Fault
from logger.simulator.houses import HOUSES
from logger.simulator.numbers import Model
from logger.simulator.server import Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store import schema
from logger.store.database import opened
from logger.store.queries import gateways
from tests.houses import asked

ZONES = ("Europe/Amsterdam", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Los_Angeles", "UTC")
#: by the gateway's generation: the CTs that it may have
CTS = {"3": ("none", "net"), "5": ("none", "net"), **dict.fromkeys("78", ("none", "net", "net", "total", "storage"))}
FAULTS = (
    "null", "inactive", "copy_net", "late_today", "clock_skew", "dip", "spike", "frozen", "duplicate", "meter_off",
    "lost_inverter", "lost_channel", "reset", "wrap", "firmware", "new_serial", "outage", "outage", "outage",
)  # fmt: skip
LOOKS = 5


@dataclass
class Plan:
    """A site and how it is polled, drawn from a seed."""

    seed: int
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        dice = self.dice = random.Random(self.seed)
        self.zone, self.generation = dice.choice(ZONES), dice.choice("3577888")
        self.start = datetime(2026, dice.choice((3, 6, 10, 12)), dice.randint(1, 28), dice.randint(0, 23), tzinfo=UTC)
        self.start += timedelta(minutes=dice.choice((0, 7, 22, 45)))
        cts = dice.choice(CTS[self.generation])
        model: dict[str, Any] = {"cts": cts}
        shape = Shape(phases=dice.choice((1, 1, 3)), battery=cts == "storage")
        if self.generation == "8" and dice.random() < 0.5:
            house = HOUSES[dice.choice(sorted(HOUSES))]
            shape, model = house.shape, house.model
        self.shape = replace(shape, inverters=dice.choice((1, 2, 3, 6)))
        self.model = Model(generation=self.generation, time_zone=self.zone, **model)
        self.every_s = dice.choice((60, 300, 300, 900, 1800))
        #: after so many polls inverters are asked, and polls are stored
        self.asks, self.stores = dice.choice((1, 1, 2, 3, 12)), dice.choice((1, 1, 1, 4, 15))
        self.days = dice.choice((0.3, 1, 1.5, 2, 3, 4.5))
        self.born = self.start - timedelta(days=dice.choice((0, 1, 30)))
        self.faults = [self._fault() for _ in range(dice.choice((0, 0, 1, 3, 6)))]

    def _fault(self) -> Fault:
        kinds = (*FAULTS, *sorted(OF_BATTERIES)) if self.shape.batteries else FAULTS
        kind, since_s = self.dice.choice(kinds), self.dice.uniform(0, self.days * 86_400)
        lasts_s = inf if kind in LASTING else 3600 * self.dice.choice((1 / 6, 1, 4, 10, 30))
        return Fault(kind, since_s, since_s + lasts_s)

    @property
    def slots(self) -> list[datetime]:
        """When it is polled."""
        return [
            self.start + timedelta(seconds=self.every_s * number)
            for number in range(1 + int(self.days * 86_400 / self.every_s))
        ]

    def simulated(self) -> Simulation:
        """Return its gateway."""
        return Simulation(
            shape=self.shape,
            model=self.model,
            clock=SimulatedClock(self.start, speed=0),
            faults=self.faults,
            born=self.born,
        )


def poller_of(settings: Settings, engine: Engine, simulation: Simulation) -> Poller:
    """Return a collector's poller that has just begun."""
    (poller,) = pollers(settings, engine, {}, clock=simulation.clock)
    asked(poller, simulation)
    endpoints: Any = poller.gateway.endpoints
    read = endpoints._json

    def document(path: str, deadline: Any) -> Any:
        if simulation.numbers(simulation.clock()).fault("outage"):
            raise errors.GatewayUnreachableError("no answer")
        return read(path, deadline)

    endpoints._json = endpoints.open_text = document
    return poller


@contextmanager
def collecting(plan: Plan, url: str, directory: Path) -> Iterator[tuple[Settings, Engine, Simulation]]:
    """Yield what it takes to collect from a site."""
    simulation, token = plan.simulated(), directory / "roof.token"
    token.write_text(simulation.token(days=400))
    token.chmod(0o600)
    roof = GatewaySettings(name="roof", host="https://roof.test", token_file=token, time_zone=plan.zone, mdns=False)
    settings = Settings(database_url=url, state_dir=directory, poll_every_s=plan.every_s, gateways=(roof,))
    with opened(url) as engine:
        schema.upgrade(engine)
        yield settings, engine, simulation


def look(engine: Engine, plan: Plan, now: datetime) -> list[str]:
    """Return what does not follow from the samples, of all gateways."""
    found = []
    with engine.connect() as connection:
        for row in gateways(connection):
            gap_s = normal_gap_s(plan.every_s)
            found += [
                f"{now}: {line}" for line in findings(connection, row.gateway_id, now=now, gap_s=gap_s, whole=True)
            ]
            connection.rollback()
    return found


def run(seed: int, url: str, directory: Path) -> list[str]:
    """Collect from a site, and return what does not follow at the first moment at which something does not."""
    plan = Plan(seed)
    slots = plan.slots
    moments = {plan.dice.randrange(len(slots)) for _ in range(LOOKS)} | {len(slots) - 1}
    with collecting(plan, url, directory) as (settings, engine, simulation):
        poller = poller_of(settings, engine, simulation)
        for number, at in enumerate(slots):
            simulation.clock.set(at)
            poller.poll(at, inverters=number % plan.asks == 0)
            if number % plan.stores == 0:
                assert poller.keeper.store(), poller.keeper.error
            if number in moments:
                how = plan.dice.choice(("running", "running", "stopped", "begun anew"))
                if how != "running":
                    assert poller.keeper.store_all(), poller.keeper.error
                if found := look(engine, plan, at):
                    return [f"{plan.zone} {how} {found[0]}", *found[1:]]
                if how == "begun anew":
                    poller = poller_of(settings, engine, simulation)
    return []


def soak(count: int, first: int) -> int:
    """Print the sites of which something does not follow; return how many there are."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="envoylog-stops-") as folder:
        empty = Path(folder) / "empty.db"
        with opened(f"sqlite:///{empty}") as engine:
            schema.upgrade(engine)
        for seed in range(first, first + count):
            directory = Path(folder) / "site"
            directory.mkdir()
            shutil.copy(empty, directory / "site.db")
            found = run(seed, f"sqlite:///{directory}/site.db", directory)
            shutil.rmtree(directory)
            wrong += bool(found)
            for line in found:
                click.echo(f"seed {seed}: {line}")
    return wrong
