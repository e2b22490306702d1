"""Clocks that are wrong, set, set wrong and set back at random: every poll ends where it was taken.

A gateway stands in for the simulated one, so that a hundred polls take no time.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.errors import StoreAwayError
from logger.gateway.devices import Devices
from logger.readings import (
    BatteryKind,
    GatewayInfo,
    MeterReading,
    Phase,
    Poll,
    ProductionSample,
    SiteState,
    Source,
    StorageSample,
)
from logger.rollups import rollup
from logger.settings import GatewaySettings, Settings
from logger.store.database import opened
from logger.store.spool import Spool, spool_path

START = datetime(2026, 6, 1, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NONE = timedelta(0)
WH_PER_MINUTE = 20.0
#: What no CT of this gateway reads.
UNREAD = ("voltage_v", "current_a", "power_factor", "apparent_power_va", "reactive_power_var", "frequency_hz")
INFO = GatewayInfo(
    serial="1", part_number=None, firmware="8.2.1", is_metered=True, has_web_tokens=True,
    gateway_time_s=None, time_zone="Europe/Madrid",
)  # fmt: skip


class Chaos:
    """A gateway, a machine whose clock is wrong by ``by``, and what becomes of them."""

    def __init__(self, seed: int, engine: Any, state_dir: Path) -> None:
        self.dice, self.battery_dice, self.mood = random.Random(seed), random.Random(-1 - seed), "well"
        self.engine = engine
        roof = GatewaySettings(name="roof", host="roof")
        self.settings = Settings(database_url="", state_dir=state_dir, gateways=(roof,))
        self.says_its_time = self.dice.random() < 0.6
        self.now, self.by, self.lifetime_wh = START, NONE, 1e6
        self.is_away = False
        self.taken: list[datetime] = []
        self.boot()

    # -- what a poller and a keeper need
    def clock(self) -> datetime:
        return self.now + self.by

    def ready(self) -> None:
        if self.is_away:
            raise StoreAwayError("away")

    known_serial: str | None = None
    devices = Devices()
    previous: tuple[str, str] | None = None
    info: GatewayInfo | None = None
    relocation = SimpleNamespace(can_look=True)

    def elapsed(self) -> float:
        return 0.0

    def poll(self, *, inverters: bool, at: datetime) -> Poll:
        del inverters
        age_s = round((at - self.now).total_seconds()) + 1 if self.says_its_time else None
        sample = ProductionSample(
            phase=Phase.TOTAL, power_w=1200.0, energy_lifetime_wh=self.lifetime_wh,
            reading_age_s=age_s, source=Source.CT if self.says_its_time else Source.V1,
        )  # fmt: skip
        net = MeterReading(
            measurement="net-consumption", phase=Phase.TOTAL, power_w=300.0, delivered_wh=self.lifetime_wh / 3,
            received_wh=5.0, reading_age_s=age_s, **dict.fromkeys(UNREAD),
        )  # fmt: skip
        info, self.info = self.info, None
        return Poll(gateway_serial="1", polled_at=at, took_s=0.1, production=(sample,), info=info,
                    meter_readings=(net,), storage=self.storage(), site_states=self.states(at))  # fmt: skip

    def storage(self) -> tuple[StorageSample, ...]:
        """Batteries without a CT, whose power is now and then not known for long, or not asked for."""
        dice = self.battery_dice
        if dice.random() < 0.05:
            self.mood = dice.choice(["well", "well", "silent", "unasked"])
        if self.mood == "unasked":
            return ()
        power_w = None if self.mood == "silent" or dice.random() < 0.1 else dice.uniform(-2000, 2000)
        stored_wh = 2000.0 if self.mood == "well" else dice.choice([None, 2500.0])
        return (StorageSample(kind=BatteryKind.ENCHARGE, power_w=power_w, energy_wh=stored_wh, capacity_wh=4000.0),)

    def states(self, at: datetime) -> tuple[SiteState, ...]:
        if self.battery_dice.random() > 0.03:
            return ()
        return (SiteState(at=at, subject="grid_relay", state=self.battery_dice.choice(["open", "closed"])),)

    # -- what can happen
    def pass_by(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        self.lifetime_wh += minutes * WH_PER_MINUTE

    def boot(self) -> None:
        self.info = INFO
        queue = Spool(self.settings.state_dir, "roof")
        gateway = self.settings.gateways[0]
        keeper = Keeper(self.settings, gateway, self.engine, queue, self.ready, clock=self.clock)
        self.poller = Poller(self, keeper)  # type: ignore[arg-type]

    def take(self, polls: int) -> None:
        for _ in range(polls):
            self.poller.poll(self.clock(), inverters=False)
            self.taken.append(self.now)
            if self.dice.random() < 0.7:
                self.poller.keeper.store()
            self.pass_by(1)

    def set_clock(self, by: timedelta) -> None:
        step, self.by = by - self.by, by
        self.poller.clock_was_set(int(step.total_seconds()), self.clock())

    def set_right(self) -> None:
        self.set_clock(NONE)
        self.take(1)
        self.poller.keeper.store()

    def run_ahead(self) -> None:
        """Boot with a clock that is ahead, and again when it is right: only ages of readings tell."""
        self.by = self.dice.choice([5, 45, 60, 600, 4000]) * MINUTE
        self.take(self.dice.randrange(1, 40))
        self.by = NONE
        self.boot()
        self.take(1)
        self.poller.keeper.store()

    def happen(self, what: str) -> None:
        minutes = self.dice.choice([3, 10, 61, 300, 2000])
        if what == "polls":
            self.take(self.dice.randrange(1, 40))
        elif what == "set wrong":
            self.set_clock(self.dice.choice([-90, -7, 2, 45, 600]) * MINUTE)
            self.take(self.dice.randrange(1, 20))
            self.set_right()
        elif what == "database":
            self.is_away = not self.is_away
        elif not self.is_away:
            spool = spool_path(self.settings.state_dir, "roof")
            left = spool.read_bytes()
            self.poller.keeper.store()
            if what == "killed":  # After it stored the polls, before it forgot them.
                spool.write_bytes(left)
            else:
                self.pass_by(minutes)
            self.boot()
            if what == "old clock":
                self.by = -(minutes + self.dice.choice([0, 0, 5, 30])) * MINUTE
                if self.dice.random() < 0.2:
                    self.by = timedelta(days=-800)
                self.take(self.dice.randrange(1, 20))
                self.set_right()
            elif what == "ahead" and self.says_its_time:
                self.run_ahead()


def found(engine: Any) -> list[Any]:
    with engine.connect() as connection:
        return [
            connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4")).all()
            for table in ("energy_15min", "energy_hourly", "energy_daily", "events")
        ]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_to_our_clock_every_poll_ends_where_it_was_taken(
    sqlite_url: str, tmp_path: Path, seed: int
) -> None:
    with opened(sqlite_url) as engine:
        chaos = Chaos(seed, engine, tmp_path / "state")
        kinds = ["polls", "polls", "polls", "off", "old clock", "set wrong", "database", "killed", "ahead"]
        for _ in range(chaos.dice.randrange(5, 14)):
            chaos.happen(chaos.dice.choice(kinds))
        chaos.is_away = False
        chaos.take(3)
        assert chaos.poller.keeper.store_all()
        live = found(engine)
        with engine.begin() as connection:
            rollup.rebuild(connection, 1, now=chaos.now, gap_s=900, since=None)
            rows = connection.execute(
                text("SELECT polled_at, energy_lifetime_wh FROM production_samples ORDER BY 1")
            ).all()
            counted = connection.execute(text("SELECT SUM(production_wh) FROM energy_daily")).scalar_one()
        assert found(engine) == live
    assert [datetime.fromisoformat(at).replace(tzinfo=UTC) for at, _ in rows] == chaos.taken
    assert counted == pytest.approx(rows[-1][1] - rows[0][1], abs=0.01)
