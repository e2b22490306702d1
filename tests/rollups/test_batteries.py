"""Batteries without a CT: their energy comes from power, and what the house used is true or unknown."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, text

from logger.readings import Battery, BatteryKind, Poll, StorageSample
from logger.rollups import rollup
from logger.rollups.batteries import _rated_w
from logger.rollups.prune import prune
from logger.simulator.faults import Fault
from logger.simulator.houses import HOUSES
from logger.simulator.site import Shape, Site
from logger.store.models import POLLS
from logger.store.writer import save
from tests import houses
from tests.rollups.test_rollups import FLOWS, daily, fill_more, rebuild, table
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 6, 1)
STEP_S = 120
Span = tuple[datetime, datetime]
STORAGE = (
    "INSERT INTO storage_samples (gateway_id, polled_at, kind, power_w, energy_wh, capacity_wh) "
    "VALUES (1, :at, :kind, :power_w, :energy_wh, :capacity_wh)"
)
STATE = "INSERT INTO site_states (gateway_id, at, subject, state) VALUES (1, :at, :subject, :state)"
ALL = ("energy_15min", "energy_hourly", "energy_daily", "events")


@dataclass
class House:
    """A simulated house whose batteries have a CT only in some spans, if in any."""

    site: Site
    ct: list[Span] = field(default_factory=list)
    silent: list[Span] = field(default_factory=list)  #: the batteries' power is not known
    unasked: list[Span] = field(default_factory=list)  #: nothing is stored of the batteries
    states: list[tuple[datetime, str, str | None]] = field(default_factory=list)
    offset_w: float = 0.0  #: added to what the batteries report
    kind: str = "encharge"

    def fill(self, engine: Engine, at: list[datetime]) -> None:
        """Store polls."""
        fill_more(engine, self.site, at)
        storage = []
        for moment in at:
            if any(first <= moment < end for first, end in self.unasked):
                continue
            key = {"at": instant(engine, moment), "kind": self.kind}
            is_silent = any(first <= moment < end for first, end in self.silent)
            power_w = None if is_silent else self.site.powers(moment.timestamp()).storage + self.offset_w
            storage.append(key | {"power_w": power_w, "energy_wh": None, "capacity_wh": 5_000.0})
        without_ct = [m for m in at if not any(first <= m < end for first, end in self.ct)]
        states = [
            {"at": instant(engine, moment), "subject": subject, "state": state}
            for moment, subject, state in self.states
            if at[0] <= moment <= at[-1]
        ]
        with engine.begin() as connection:
            if storage:
                connection.execute(text(STORAGE), storage)
            if states:
                connection.execute(text(STATE), states)
            if without_ct:
                sql = text("DELETE FROM meter_readings WHERE measurement = 'storage' AND polled_at = :at")
                connection.execute(sql, [{"at": instant(engine, moment)} for moment in without_ct])


def house(**more: Any) -> House:
    return House(Site(Shape(battery=True), SINCE - timedelta(days=1)), **more)


def live(engine: Engine, home: House, batches: Iterable[list[datetime]]) -> list[Any]:
    """Store and roll up batch by batch; return all that came of it."""
    fill(engine, home.site, [], zone="Europe/Amsterdam")
    for batch in batches:
        home.fill(engine, batch)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    return [table(engine, name) for name in ALL]


def test_a_battery_of_which_nobody_knows_since_when_was_there_from_the_beginning(engine: Engine) -> None:
    columns = "gateway_id, serial, kind, rated_power_w, first_seen_at"
    battery = f"INSERT INTO batteries ({columns}) VALUES (1, :of, 'acb', 300, :at)"
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO gateways (gateway_id, name, serial) VALUES (1, 'roof', '1')"))
        known: list[dict[str, Any]] = [{"of": "a", "at": instant(engine, SINCE)}, {"of": "b", "at": None}]
        connection.execute(text(battery), known)
        found = _rated_w(connection, 1)
    assert found == {"acb": [(0, 300.0), (int(SINCE.timestamp()), 600.0)]}


def test_without_a_ct_power_gives_charge_discharge_and_consumption(engine: Engine) -> None:
    home, until = house(), SINCE + timedelta(days=1)
    moments = times(SINCE - timedelta(hours=2), until, STEP_S)
    live(engine, home, [moments])
    row = daily(engine)["2026-06-01"]
    start, end = SINCE - timedelta(hours=2), SINCE + timedelta(hours=22)
    for flow in FLOWS:
        true = home.site.energy_between_wh(flow, start, end)
        assert row[f"{flow}_wh"] == pytest.approx(true, rel=0.03, abs=30), flow
    assert row["battery_estimated_wh"] == pytest.approx(row["battery_charge_wh"] + row["battery_discharge_wh"])
    assert row["covered_s"] == 86_400
    assert table(engine, "events") == []


@pytest.mark.parametrize("seed", range(2))
def test_live_is_the_same_as_rebuilt_whatever_batteries_do(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    days = 3
    moments = [m for m in times(SINCE, SINCE + timedelta(days=days), 300) if rng.random() > 0.02]

    def spans(most: int, longest_h: float) -> list[Span]:
        found = []
        for _ in range(rng.randint(0, most)):
            begin = SINCE + timedelta(hours=rng.uniform(0, 24 * days))
            found.append((begin, begin + timedelta(hours=rng.uniform(0, longest_h))))
        return found

    words: list[tuple[str, list[str | None]]] = [
        ("grid_relay", ["open", "closed", None]),
        ("generator", ["running", "stopped"]),
        ("grid_mode", ["on_grid", "off_grid", "generator"]),
    ]
    states: dict[tuple[datetime, str], str | None] = {}
    for _ in range(rng.randint(0, 6)):
        subject, values = rng.choice(words)
        states[rng.choice(moments), subject] = rng.choice(values)
    home = house(
        ct=spans(2, 48), silent=spans(4, 12), unasked=spans(2, 20), kind=rng.choice(["encharge", "encharge", "acb"]),
        states=[(at, subject, state) for (at, subject), state in sorted(states.items())],
    )  # fmt: skip
    gone = spans(2, 20)
    seen = [m for m in moments if not any(first <= m < end for first, end in gone)]
    batches, first = [], 0
    while first < len(seen):
        size = rng.choice([1, 3, 10, 60, 200])
        batches.append(seen[first : first + size])
        first += size
    found = live(engine, home, batches)
    assert rebuild(engine, seen[-1]) == []
    for name, before in zip(ALL, found, strict=True):
        assert before == table(engine, name), name
    with engine.begin() as connection:
        prune(connection, 1, now=seen[-1], keep_days=1, gap_s=900)
    rebuild(engine, seen[-1])
    for name, before in zip(ALL, found, strict=True):
        assert before == table(engine, name), name


def save_anew(connection: Connection, poll: Poll) -> None:
    """Save a poll as if its instant had none yet; samples that lie there stay."""
    columns = POLLS.c
    connection.execute(delete(POLLS).where(columns.gateway_id == 1, columns.polled_at == poll.polled_at))
    assert save(connection, 1, poll)


def test_power_that_comes_late_fills_the_gap_before_it(engine: Engine) -> None:
    home = house()
    home.site = Site(Shape(), SINCE - timedelta(days=1))
    minutes = timedelta(minutes=1)
    moments, late = times(SINCE, SINCE + timedelta(hours=4), 300), SINCE + 65 * minutes
    home.unasked = [(SINCE + 55 * minutes, SINCE + 120 * minutes)]
    home.offset_w = 900.0
    first = [at for at in moments if at <= SINCE + 70 * minutes]
    live(engine, home, [first, moments[len(first) :]])
    with engine.begin() as connection:
        sample = StorageSample(kind=BatteryKind.ENCHARGE, power_w=900.0)
        save_anew(connection, Poll(gateway_serial="1", polled_at=late, took_s=1, storage=(sample,)))
    rollup.bring_up_to_date(engine, 1, now=moments[-1], gap_s=900)
    found = [table(engine, name) for name in ALL]
    quarters = [row["battery_discharge_wh"] for row in found[0] if row["phase"] == "total"]
    assert quarters[2:6] == pytest.approx([225, 225, 75, None])
    assert rebuild(engine, moments[-1]) == []
    assert found == [table(engine, name) for name in ALL]


@pytest.mark.parametrize("first", [(), (Battery(serial="1", kind=BatteryKind.ENCHARGE),)], ids=["unheard", "unrated"])
@pytest.mark.parametrize("rated_w", [3_840.0, 10_000.0])
def test_a_rated_power_that_is_known_later_counts_for_the_time_before(
    engine: Engine, first: tuple[Battery, ...], rated_w: float
) -> None:
    """45 W are rest for a battery of unknown rated power or of 10 kW, and not for one of 3840 W, or not heard of."""
    site, moments = Site(Shape(), SINCE - timedelta(days=1)), times(SINCE, SINCE + timedelta(hours=6), 300)
    fill(engine, site, moments, zone="UTC")
    with engine.begin() as connection:
        save_anew(connection, Poll(gateway_serial="1", polled_at=moments[0], took_s=1, battery_devices=first))
        row = {"kind": "encharge", "power_w": 45.0, "energy_wh": None, "capacity_wh": 5_000.0}
        connection.execute(text(STORAGE), [row | {"at": instant(engine, at)} for at in moments])
    rollup.bring_up_to_date(engine, 1, now=moments[-1], gap_s=900)
    assert daily(engine)["2026-06-01"]["battery_discharge_wh"] == (0 if first else pytest.approx(6 * 45))
    later = Battery(serial="1", kind=BatteryKind.ENCHARGE, rated_power_w=rated_w)
    with engine.begin() as connection:
        save_anew(connection, Poll(gateway_serial="1", polled_at=moments[-1], took_s=1, battery_devices=(later,)))
    rollup.bring_up_to_date(engine, 1, now=moments[-1], gap_s=900)
    assert daily(engine)["2026-06-01"]["battery_discharge_wh"] == pytest.approx(6 * 45 if rated_w < 4_500 else 0)
    assert rebuild(engine, moments[-1]) == []


def test_a_poll_without_its_storage_ct_makes_no_peak_of_consumption(engine: Engine) -> None:
    """The battery charges with kilowatts; without it the house would seem to use them."""
    home = house(ct=[(SINCE - timedelta(days=1), SINCE + timedelta(days=9))])
    moments = times(SINCE, SINCE + timedelta(days=1), 300)
    live(engine, home, [moments])
    before = peaks_w(engine)
    charging = [at for at in moments if home.site.powers(at.timestamp()).storage < -500]
    with engine.begin() as connection:
        sql = text("DELETE FROM meter_readings WHERE measurement = 'storage' AND polled_at = :at")
        connection.execute(sql, [{"at": instant(engine, at)} for at in charging[1::3]])
    rebuild(engine, moments[-1])
    after = peaks_w(engine)
    assert len(charging) > 20
    assert any(after[start] < before[start] for start in after)
    assert all(after[start] <= before[start] for start in after)


def peaks_w(engine: Engine) -> dict[str, float]:
    rows = table(engine, "energy_15min")
    return {str(row["starts_at"]): row["peak_consumption_w"] for row in rows if row["peak_consumption_w"] is not None}


def test_a_day_with_hours_off_grid_and_on_a_generator_is_partial() -> None:
    hours = tuple(Fault(kind, 36_000.0, 43_200.0) for kind in ("grid_lost", "generator"))
    result = houses.run("generator", days=1, every_s=300, house=replace(HOUSES["generator"], faults=hours))
    assert result.statuses == ["partial"]
    assert result.changed == 0
