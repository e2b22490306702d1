"""Inverters are counted from where they were as they are counted anew."""

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from logger.clock import to_epoch_s
from logger.rollups import inverters, rollup
from logger.rollups.memory import Memory
from logger.rollups.today import hours_of
from logger.store.models import EVENTS, INVERTER_DAILY, INVERTER_HOURS, ROLLUP_CHECKPOINTS
from tests.sample_data import instant, utc

SINCE = utc(2026, 6, 1)
TABLES = (INVERTER_DAILY, INVERTER_HOURS, EVENTS, ROLLUP_CHECKPOINTS)
INSERT = text(
    "INSERT INTO inverter_samples (gateway_id, reported_at, serial, power_w, energy_lifetime_wh, interval_s) "
    "VALUES (1, :at, :serial, :power_w, :lifetime_wh, 300)"
)


class Roof:
    """Panels that report each five minutes by day, some of them in their own way."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        names = ["plain", "resets", "dips", "silent", "gaps", "late", "dies", "appears", "powers"]
        self.kinds = {f"{number}": kind for number, kind in enumerate(["plain", "plain", *names[:1], *names])}
        odd = self.random.sample(names[1:], self.random.choice([0, 0, 1, 3]))
        self.kinds = {serial: kind for serial, kind in self.kinds.items() if kind == "plain" or kind in odd}
        self.has_no_registers = seed % 2 == 0
        self.counts_wh = dict.fromkeys(self.kinds, 100_000.0)
        self.waiting: list[dict[str, Any]] = []

    def reports(self, minute: int) -> list[dict[str, Any]]:
        """Return what has come by a minute."""
        hour, found, self.waiting = minute / 60 % 24, self.waiting, []
        for serial, kind in self.kinds.items():
            at_minute = minute - int(serial) % 5
            if not 5 <= hour <= 21 or minute % 5:
                continue
            power_w = max(0.0, 300 * (1 - ((hour - 13) / 8) ** 2)) * self.random.uniform(0.3, 1)
            self.counts_wh[serial] += power_w / 12
            lifetime_wh: float | None = round(self.counts_wh[serial], 3)
            chance = self.random.random()
            if kind == "resets" and chance < 0.01:
                self.counts_wh[serial] = 0.0
            if kind == "dips" and chance < 0.02:
                lifetime_wh = 5.0
            if (
                (kind == "gaps" and 600 < minute % 1440 < 600 + 60 * self.random.randint(1, 4))
                or (kind == "silent" and minute > 700)
                or (kind == "dies" and 700 < minute < 2_300)
                or (kind == "appears" and minute < 800)
            ):
                continue
            if kind == "powers" or self.has_no_registers:
                lifetime_wh = None
            row = {"at": at_minute, "serial": serial, "power_w": power_w, "lifetime_wh": lifetime_wh}
            (self.waiting if kind == "late" and chance < 0.5 else found).append(row)
        if self.random.random() < 0.9 and not minute % 5 and minute % 100:
            self.waiting, found = [], found + self.waiting
        return found


def everything(connection: Connection) -> list[list[Any]]:
    order = [[column for column in table.c if column.primary_key] for table in TABLES]
    return [
        [*map(tuple, connection.execute(select(table).order_by(*by)))] for table, by in zip(TABLES, order, strict=True)
    ]


def counted_anew(connection: Connection, job: rollup.Job) -> list[list[Any]]:
    trial = connection.begin_nested()
    rollup.catch_up(job, [rollup.INVERTERS])
    found = everything(connection)
    trial.rollback()
    return found


def compare(engine: Engine, seed: int, steps: range) -> int:
    """Roll up step by step, each time also anew; return how often it was gone on."""
    roof, memory, gone_on = Roof(seed), Memory(), 0
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', 's', 'UTC')")
        )
    count, done = inverters.count, []

    def counting(window: Any) -> Any:
        done.append(window)
        return count(window)

    for before, minute in pairwise(steps):
        rows = [row for each in range(before + 1, minute + 1) for row in roof.reports(each)]
        with engine.begin() as connection:
            if rows:
                at = [SINCE + timedelta(minutes=row["at"]) for row in rows]
                stored = [row | {"at": instant(engine, own)} for row, own in zip(rows, at, strict=True)]
                connection.execute(INSERT, stored)
                connection.execute(ROLLUP_CHECKPOINTS.delete().where(ROLLUP_CHECKPOINTS.c.at >= min(at)))
            now = SINCE + timedelta(minutes=minute)
            job = rollup.job_of(connection, 1, now, 900)
            inverters.count = counting
            done.clear()
            rollup.catch_up(job._replace(memory=memory), [rollup.INVERTERS])
            inverters.count = count
            gone_on += bool(rows and not done)
            live = everything(connection)
            assert live == counted_anew(connection, job), (seed, now, roof.kinds)
    assert memory.today is None or memory.today.since_s <= to_epoch_s(now)
    return gone_on


@pytest.mark.parametrize("seed", [1, 2])
def test_going_on_from_where_it_was_gives_what_counting_anew_gives(engine: Engine, seed: int) -> None:
    assert compare(engine, seed, range(330, 2_000, 110)) > 4


def test_the_hours_of_a_day_reach_its_end_also_where_the_clock_is_put_on_by_half_an_hour() -> None:
    hours = hours_of([0, 84_600, 171_000], [0, 1])
    assert hours.edges_s == [*range(0, 84_600, 3600), *range(84_600, 171_001, 3600)]
    assert list(map(len, hours.split([1] * 48).values())) == [24, 24]


def test_an_inverter_that_is_gone_holds_up_no_other(engine: Engine) -> None:
    """It does for two days, in which there is more to count than goes into one transaction with the polls."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', 's', 'UTC')")
        )
    memory = Memory()
    for hour in range(8, 96, 4):
        now = SINCE + timedelta(hours=hour)
        rows = [
            {"at": instant(engine, now), "serial": serial, "power_w": 60.0, "lifetime_wh": 1000.0 + hour}
            for serial in ("here", "gone")[: 1 + (hour <= 12)]
        ]
        with engine.begin() as connection:
            connection.execute(INSERT, rows)
            is_left = rollup.roll_up(connection, 1, {}, now=now, gap_s=900, memory=memory)
        if is_left:
            rollup.bring_up_to_date(engine, 1, now=now, gap_s=900, memory=memory)
        with engine.connect() as connection:
            newest = connection.execute(text("SELECT max(day) FROM inverter_daily WHERE serial = 'here'")).scalar_one()
        assert str(newest) == str((now - timedelta(seconds=1)).date())


@pytest.mark.parametrize("is_back", [False, True])
def test_a_report_of_years_ago_costs_no_look_at_the_years_between(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, is_back: bool
) -> None:
    now = SINCE + timedelta(days=3)
    new = [
        (SINCE + timedelta(hours=6 + n, days=day), f"{serial}")
        for day in (0, 1, 2)
        for n in range(12)
        for serial in "ab"
    ]
    rows: list[dict[str, Any]] = [
        {"at": instant(engine, at), "serial": serial, "power_w": 60.0, "lifetime_wh": 1000.0 + 60 * number}
        for number, (at, serial) in enumerate(new)
    ]
    windows: list[Any] = []
    count = inverters.count

    def counting(window: Any) -> Any:
        windows.append(window)
        return count(window)

    monkeypatch.setattr(inverters, "count", counting)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', 's', 'UTC')")
        )
        connection.execute(INSERT, rows)
        job = rollup.job_of(connection, 1, now, 900)._replace(memory=Memory())
        rollup.catch_up(job, [rollup.INVERTERS])
        alone = everything(connection)[0]
        old = {"at": instant(engine, utc(2017, 6, 1, 12)), "serial": "a" if is_back else "old", "power_w": 1.0}
        connection.execute(INSERT, [old | {"lifetime_wh": 1.0}])
        connection.execute(ROLLUP_CHECKPOINTS.delete())
        windows.clear()
        rollup.catch_up(job._replace(memory=Memory()), [rollup.INVERTERS])
        found = everything(connection)[0]
    assert len(windows) < 9
    energy_wh = {row[1:3]: row[3] for row in found}
    assert all(energy_wh[row[1:3]] == row[3] for row in alone if row[2] == "b")
    if is_back:
        # What it counted in all these years is known, and spread over them.
        assert sum(row[3] or 0 for row in found if row[2] == "a") == pytest.approx(1000.0 + 60 * 70 - 1.0)
