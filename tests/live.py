"""A running collector at random moments: what it leaves is what a rebuild makes.

Random sites are read by the real poller, in process and without a network, with random faults, cadences, zones, clocks
that are set and restarts; the real keeper stores and rolls up, with what it remembers. Whatever `db check` would find
then is told.
"""

import contextlib
import random
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
from tests.conftest import new_database, with_database
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
        self.days = dice.choice((0.3, 1, 1.5, 2, 3, 4.5) if self.every_s < 900 else (1, 3, 6, 16))
        self.born = self.start - timedelta(days=dice.choice((0, 1, 30)))
        #: the slots in which the machine's clock is wrong, and by how much
        self.wrong_by = timedelta(minutes=dice.choice((-90, -7, 2, 45)))
        begin = dice.randrange(len(self.slots))
        self.is_wrong = range(begin, begin + dice.choice((0, 0, 0, 3, 30)))
        self.faults = [self._fault() for _ in range(dice.choice((0, 0, 1, 3, 6)))]

    def _fault(self) -> Fault:
        kinds = (*FAULTS, *sorted(OF_BATTERIES)) if self.shape.batteries else FAULTS
        kind, since_s = self.dice.choice(kinds), self.dice.uniform(0, self.days * 86_400)
        lasts_s = inf if kind in LASTING else 3600 * self.dice.choice((1 / 6, 1, 4, 10, 30, 100))
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


class Machine:
    """A machine that collects from a simulated gateway; its clock may be wrong."""

    def __init__(self, settings: Settings, engine: Engine, simulation: Simulation) -> None:
        self.settings, self.engine, self.simulation = settings, engine, simulation
        self.wrong_by = timedelta()
        self.begin()

    def clock(self) -> datetime:
        """Return what the machine's clock shows."""
        return self.simulation.clock() + self.wrong_by

    def begin(self) -> None:
        """Begin anew, knowing nothing."""
        (self.poller,) = pollers(self.settings, self.engine, {}, clock=self.clock)
        asked(self.poller, self.simulation)
        endpoints: Any = self.poller.gateway.endpoints
        read = endpoints._json

        def document(path: str, deadline: Any) -> Any:
            if self.simulation.numbers(self.simulation.clock()).fault("outage"):
                raise errors.GatewayUnreachableError("no answer")
            return read(path, deadline)

        endpoints._json = endpoints.open_text = document

    def set_clock(self, wrong_by: timedelta) -> None:
        """Set the machine's clock; one that is right already stays."""
        if step := wrong_by - self.wrong_by:
            self.wrong_by = wrong_by
            self.poller.clock_was_set(int(step.total_seconds()), self.clock())


@contextmanager
def collecting(plan: Plan, url: str, directory: Path) -> Iterator[Machine]:
    """Yield what collects from a site."""
    simulation, token = plan.simulated(), directory / "roof.token"
    token.write_text(simulation.token(days=400))
    token.chmod(0o600)
    roof = GatewaySettings(name="roof", host="https://roof.test", token_file=token, time_zone=plan.zone, mdns=False)
    settings = Settings(database_url=url, state_dir=directory, poll_every_s=plan.every_s, gateways=(roof,))
    with opened(url) as engine:
        schema.upgrade(engine)
        yield Machine(settings, engine, simulation)


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
    with collecting(plan, url, directory) as machine:
        for number, slot in enumerate(slots):
            machine.simulation.clock.set(slot)
            machine.set_clock(plan.wrong_by if number in plan.is_wrong else timedelta())
            keeper, now = machine.poller.keeper, machine.clock()
            machine.poller.poll(now, inverters=number % plan.asks == 0)
            if number % plan.stores == 0:
                assert keeper.store(), keeper.error
            if number in moments:
                how = plan.dice.choice(("running", "running", "stopped", "begun anew"))
                if how != "running":
                    assert keeper.store_all(), keeper.error
                if found := look(machine.engine, plan, now):
                    return [f"{plan.zone} {how} {found[0]}", *found[1:]]
                if how == "begun anew":
                    machine.begin()
    return []


def soak(count: int, first: int, server: str = "") -> int:
    """Print the sites of which something does not follow; return how many there are.

    Each has a SQLite file of its own, or a database of a server.
    """
    wrong = 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory(prefix="envoylog-live-") as folder, contextlib.ExitStack() as undo:
            url = f"sqlite:///{folder}/site.db"
            if server:
                url = with_database(server, undo.enter_context(new_database(server)))
            found = run(seed, url, Path(folder))
        wrong += bool(found)
        for line in found:
            click.echo(f"seed {seed}: {line}")
    return wrong
