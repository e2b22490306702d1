"""A consumption CT that changes its kind counts in the new one from the next poll on."""

import math
import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.clock import from_epoch_s, to_epoch_s
from logger.rollups import rollup
from logger.store.database import open_engine
from tests.rollups.test_rollups import daily, table
from tests.sample_data import STATEMENTS, instant, utc

SINCE = utc(2026, 6, 1)
STEP_S = 300
DAYS = 5
TABLES = ("energy_15min", "energy_hourly", "energy_daily", "events")
SAMPLES = ("production_samples", "meter_readings", "consumption_samples")
NET, TOTAL = "net-consumption", "total-consumption"


def powers_w(at_s: int) -> tuple[float, float]:
    """What is made and used at an instant, and until the next sample."""
    hour = at_s % 86_400 / 3600
    return max(0.0, 3_000 * math.sin((hour - 6) / 12 * math.pi)) if 6 < hour < 18 else 0.0, 400.0 + at_s % 7 * 10


def kind_at(day: float, first: str, turns: tuple[float, ...]) -> str:
    turned = sum(turn <= day for turn in turns)
    return first if turned % 2 == 0 else {NET: TOTAL, TOTAL: NET}[first]


def fill(
    engine: Engine, first: str, turns: tuple[float, ...], phases: int
) -> list[tuple[int, dict[str, list[dict[str, Any]]]]]:
    """Return what is sampled at each instant; the gateway is stored at once."""
    names = ["total", *(f"L{n + 1}" for n in range(phases))] if phases > 1 else ["total"]
    with engine.begin() as connection:
        gateway = {"gateway_id": 1, "name": "roof", "serial": "1", "time_zone": "UTC", "phases": phases, "peak": 5.0}
        connection.execute(text(STATEMENTS["gateways"]), gateway)
    counted = dict.fromkeys(("made", "delivered", "received"), 5e6)
    found = []
    for number in range(DAYS * 86_400 // STEP_S + 1):
        at_s = to_epoch_s(SINCE) + number * STEP_S
        made_w, used_w = powers_w(at_s)
        kind = kind_at(number * STEP_S / 86_400, first, turns)
        power_w = used_w if kind == TOTAL else used_w - made_w
        rows: dict[str, list[dict[str, Any]]] = {
            "production_samples": [],
            "meter_readings": [],
            "consumption_samples": [],
        }
        for name in names:
            share = 1.0 if name == "total" else 1 / phases
            key = {"gateway_id": 1, "at": instant(engine, from_epoch_s(at_s)), "phase": name}
            wh = {register: round(value * share, 3) for register, value in counted.items()}
            made = key | {"power_w": made_w * share, "energy_wh": wh["made"], "source": "ct"}
            rows["production_samples"].append(made)
            meter = key | {"measurement": kind, "power_w": power_w * share, "delivered_wh": wh["delivered"]}
            rows["meter_readings"].append(meter | {"received_wh": wh["received"]})
            sampled = key | {"energy_wh": None, "source": "derived"}
            rows["consumption_samples"] += [
                sampled | {"measurement": NET, "power_w": (used_w - made_w) * share},
                sampled | {"measurement": TOTAL, "power_w": used_w * share},
            ]
        found.append((at_s, rows))
        counted["made"] += made_w * STEP_S / 3600
        counted["delivered"] += max(0.0, power_w) * STEP_S / 3600
        counted["received"] += max(0.0, -power_w) * STEP_S / 3600
    return found


def store(engine: Engine, samples: list[tuple[int, dict[str, list[dict[str, Any]]]]]) -> None:
    with engine.begin() as connection:
        for name in SAMPLES:
            rows = [row for _, polled in samples for row in polled[name]]
            if rows:
                connection.execute(text(STATEMENTS[name]), rows)


def true_kwh(since_s: int, until_s: int) -> dict[str, float]:
    sums = dict.fromkeys(("production", "consumption", "grid_import", "grid_export"), 0.0)
    for at_s in range(since_s, until_s, STEP_S):
        made_w, used_w = powers_w(at_s)
        each = made_w, used_w, max(0.0, used_w - made_w), max(0.0, made_w - used_w)
        for flow, power_w in zip(sums, each, strict=True):
            sums[flow] += power_w * STEP_S / 3.6e6
    return sums


@pytest.mark.parametrize(
    ("first", "turns", "phases"),
    [
        (TOTAL, (2.53,), 2),
        (NET, (2.53,), 2),
        (TOTAL, (1.4, 1.41, 3.6), 3),
        (NET, (1.27, 2.3, 2.9, 4.0), 2),
        (NET, (1.5, 1.5035), 1),
    ],
)
def test_the_days_after_a_change_are_whole_and_live_is_the_same_as_rebuilt(
    sqlite_url: str, first: str, turns: tuple[float, ...], phases: int
) -> None:
    engine = open_engine(sqlite_url)
    samples = fill(engine, first, turns, phases)
    rng, place = random.Random(1), 0
    while place < len(samples):
        many = rng.choice([3, 20, 150])
        store(engine, samples[place : place + many])
        place += many
        now = from_epoch_s(samples[min(place, len(samples)) - 1][0])
        rollup.bring_up_to_date(engine, 1, now=now, gap_s=900)
    live = [table(engine, name) for name in TABLES]
    with engine.begin() as connection:
        assert rollup.rebuild(connection, 1, now=now, gap_s=900, since=None) == []
    assert [table(engine, name) for name in TABLES] == live
    changes = [event for event in live[3] if event["kind"] == "source_change"]
    assert {event["subject"] for event in changes} == {"consumption CT total"}
    assert len(changes) == len(live[3]) == len(turns)
    days = {int(turn) for turn in turns}
    for name in ("total", "L1")[:phases]:
        for number, (day, row) in enumerate(sorted(daily(engine, name).items())[:DAYS]):
            since_s = to_epoch_s(SINCE) + number * 86_400
            for flow, kwh in true_kwh(since_s, since_s + 86_400).items():
                # A step is lost at each change; of power only its line between samples is known.
                lost = 0.1 if number in days else 0.0
                true_wh = kwh * 1000 / (phases if name != "total" else 1)
                assert row[f"{flow}_wh"] == pytest.approx(true_wh, rel=0.005, abs=1 + lost * 2000), (day, flow)
            assert row["covered_s"] >= 86_400 - sum(number <= turn < number + 1.01 for turn in turns) * STEP_S
    engine.dispose()


def test_two_cts_are_no_change_of_one(engine: Engine) -> None:
    """A meter of each kind: one of them is silent for some hours."""
    samples = fill(engine, NET, (), 1)[: 3 * 288]
    for (at_s, rows), _ in pairwise(samples):
        if not 1.2 < (at_s - to_epoch_s(SINCE)) / 86_400 < 1.4:
            (reading,) = rows["meter_readings"]
            rows["meter_readings"].append(reading | {"measurement": TOTAL, "power_w": powers_w(at_s)[1]})
    store(engine, samples)
    rollup.bring_up_to_date(engine, 1, now=SINCE + timedelta(days=3), gap_s=900)
    assert {event["kind"] for event in table(engine, "events")} == {"outage", "stalled_counter"}
