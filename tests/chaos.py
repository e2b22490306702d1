"""A simulated month in which everything goes wrong at random, on three gateways at once."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
from sqlalchemy import Connection, text

from logger.rollups import rollup
from logger.simulator.faults import LASTING, Fault
from logger.simulator.server import Simulation
from logger.store.database import open_engine
from tests.soak import START, Collector, bench, simulated

STEP = timedelta(minutes=5)
#: How often a fault begins on a gateway, per slot.
CHANCE = 0.01
#: Not two faults of one gateway are looked at where one may hide the other, or what follows it.
HIDES = timedelta(hours=2)
#: What is asked each hour, or with the inverters, must last to be seen.
LONG_H = (2.5, 4.0, 6.0)
SHORT_H = (1 / 12, 0.5, 1.0)
ANY_H = (*SHORT_H, *LONG_H)
#: These take real time with each poll.
SLOW_H = (1 / 12, 1 / 4)

#: fault -> how long it may hold (hours), and the events that report it; a poll that is not
#: complete, with its error, reports it as well
REPORTED: dict[str, tuple[tuple[float, ...], set[str]]] = {
    "outage": (ANY_H, set()),
    "unauthorized": (ANY_H, set()),
    "server_error": (ANY_H, set()),
    "cut": (ANY_H, set()),
    "html": (ANY_H, set()),
    "slow": (SLOW_H, {"slow_answers"}),
    "drip": (SLOW_H, set()),
    "null": (LONG_H, {"unusable_values"}),
    "inactive": (ANY_H, {"inactive_meter"}),
    "copy_net": (ANY_H, {"copied_total"}),
    "late_today": (LONG_H, {"today_not_reset"}),
    "clock_skew": (LONG_H, {"clock_skew"}),
    "dip": (SHORT_H, {"counter_dip"}),
    "spike": (SHORT_H, {"counter_dip"}),
    "frozen": (LONG_H, {"frozen_readings"}),
    "duplicate": (LONG_H, {"duplicate_inverters"}),
    "meter_off": (LONG_H, {"meter_disabled"}),
    "lost_inverter": (LONG_H, {"inverter_removed"}),
    "lost_channel": (LONG_H, {"lost_channel"}),
    "reset": ((0.0,), {"counter_reset"}),
    "wrap": ((0.0,), {"counter_wrap"}),
    "firmware": ((0.0,), {"firmware_change"}),
    "new_serial": ((0.0,), {"gateway_replaced"}),
}
ANYWHERE = {
    "outage", "unauthorized", "server_error", "cut", "html", "slow", "drip", "null", "clock_skew",
    "duplicate", "lost_inverter",
}  # fmt: skip
#: gateway -> the faults that can happen to one of its kind; those that last, once each
SITES = {
    "metered": ANYWHERE
    | {"inactive", "copy_net", "late_today", "dip", "spike", "frozen", "meter_off"}
    | {"reset", "firmware"},
    "standard": ANYWHERE | {"wrap", "new_serial"},
    "battery": ANYWHERE | {"frozen", "lost_channel", "meter_off"},
}
ARGUMENTS = {"slow": "3", "firmware": "8.3.5528"}


class Window(NamedTuple):
    """When a fault held on a gateway."""

    site: str
    kind: str
    begin: datetime
    end: datetime


def sites() -> dict[str, Simulation]:
    """Return the three gateways."""
    return {
        "metered": simulated(cts="net", generation="7", serial="122200000001"),
        "standard": simulated(cts="none", generation="7", serial="122200000002"),
        "battery": simulated(cts="storage", generation="8", phase_mode="split", phases=2, battery=True),
    }


def plan(days: int, dice: random.Random) -> list[Window]:
    """Draw which faults hold when; each at least once, if the days suffice."""
    end = START + timedelta(days=days)
    found: list[Window] = []
    for site, kinds in SITES.items():
        passing = sorted(kinds - LASTING)
        waiting = dice.sample(passing, len(passing))
        at = START + timedelta(hours=1)
        while at < end - timedelta(hours=12):
            if dice.random() < CHANCE:
                kind = waiting.pop() if waiting else dice.choice(passing)
                begin = at
                if kind == "late_today":  # Only midnight shows it: 22:00 UTC.
                    begin = at.replace(hour=21, minute=0)
                lasts = timedelta(hours=dice.choice(REPORTED[kind][0]))
                found.append(Window(site, kind, begin, begin + lasts))
            at += STEP
        # At the end one of each that lasts; of a gateway that was replaced no more is heard.
        lasting = [kind for kind in ("reset", "wrap", "firmware", "new_serial") if kind in kinds]
        for number, kind in enumerate(lasting):
            begin = end - timedelta(hours=6) + timedelta(hours=2 * number, minutes=5)
            found.append(Window(site, kind, begin, begin))
    return found


def month(directory: Path, database_url: str, days: int, seed: int) -> dict[str, float]:
    """Poll through days of random faults and check what came of it; return what was measured."""
    planned = plan(days, random.Random(seed))
    resident: list[int] = []
    threads: set[int] = set()
    spool_bytes = 0
    slots = 0
    with bench(directory, database_url, sites()) as (config, simulations):
        for window in planned:
            since_s, until_s = ((at - START).total_seconds() for at in (window.begin, window.end))
            fault = Fault(window.kind, since_s, until_s, ARGUMENTS.get(window.kind, ""))
            simulations[window.site].faults.append(fault)
        collector = Collector(config, START)
        at = START
        while at < START + timedelta(days=days):
            for simulation in simulations.values():
                simulation.clock.set(at)
            collector.ask(at)
            answer = collector.answer()
            assert answer, "the collector ended"
            resident.append(int(answer[1]))
            threads.add(int(answer[2]))
            spool_bytes = max(spool_bytes, spooled_bytes(directory))
            slots += 1
            at += STEP
        log = collector.stop()
    assert "Traceback" not in log, log[-3000:]
    assert collector.process.returncode == 0, log[-3000:]
    assert spooled_bytes(directory) == 0
    engine = open_engine(database_url)
    with engine.connect() as connection:
        stored = check_polls(connection, planned, slots)
        named = check_named(connection, planned)
        click.echo(", ".join(f"{kind} {count}" for kind, count in named.items()))
        assert days < 14 or all(named.values()), "not every fault came about and was named"
        for gateway_id in range(1, len(SITES) + 1):
            changes = rollup.rebuild(connection, gateway_id, now=at, gap_s=900, since=None)
            assert changes == [], f"{len(changes)} days change by a rebuild"
        connection.rollback()
        failed = connection.execute(text("SELECT count(*) FROM polls WHERE outcome <> 'complete'")).scalar_one()
    engine.dispose()
    per_day = int(timedelta(days=1) / STEP)
    first, last = (max(part) / 1e6 for part in (resident[:per_day], resident[-per_day:]))
    assert last - first < 5, f"memory grew from {first:.1f} to {last:.1f} MB"
    return {
        "polls": stored, "not complete": failed, "first day MB": first, "last day MB": last,
        "threads at most": max(threads), "spool bytes at most": spool_bytes,
    }  # fmt: skip


def spooled_bytes(directory: Path) -> int:
    """Return how much waits for the database."""
    return sum(path.stat().st_size for path in (directory / "state" / "spool").glob("*.jsonl"))


def check_polls(connection: Connection, planned: Iterable[Window], slots: int) -> int:
    """See that every slot of every gateway is stored, until it was replaced; return how many."""
    ends = {window.site: window.begin for window in planned if window.kind == "new_serial"}
    rows = connection.execute(text("SELECT name, polled_at FROM polls JOIN gateways USING (gateway_id)")).all()
    stored: dict[str, list[datetime]] = {}
    for name, polled_at in rows:
        stored.setdefault(name, []).append(instant(polled_at))
    for site in SITES:
        times = stored[site]
        assert len(times) == len(set(times)), f"{site}: a poll is stored twice"
        missing = {START + number * STEP for number in range(slots)} - set(times)
        if site in ends:
            # It is known to be another one when its /info is looked at: at most an hour later.
            missing = {at for at in missing if at <= ends[site]}
        assert not missing, f"{site}: {len(missing)} polls are missing, the first {min(missing)}"
    return len(rows)


def check_named(connection: Connection, planned: Iterable[Window]) -> dict[str, int]:
    """See that each fault is named where no other one hides it; return how often each was."""
    events: dict[str, list[tuple[datetime, str]]] = {site: [] for site in SITES}
    failed: dict[str, list[datetime]] = {site: [] for site in SITES}
    query = "SELECT name, at, kind FROM events JOIN gateways USING (gateway_id)"
    for name, at, kind in connection.execute(text(query)):
        events[name].append((instant(at), kind))
    query = (
        "SELECT name, polled_at FROM polls JOIN gateways USING (gateway_id)"
        " WHERE outcome <> 'complete' AND error IS NOT NULL"
    )
    for name, at in connection.execute(text(query)):
        failed[name].append(instant(at))
    counts: dict[str, int] = dict.fromkeys(REPORTED, 0)
    silent: list[Window] = []
    for window in planned:
        first, last = window.begin - STEP, window.end + HIDES
        named = any(first <= at <= last and kind in REPORTED[window.kind][1] for at, kind in events[window.site])
        if not REPORTED[window.kind][1] or window.kind == "slow":
            named = named or any(window.begin <= at <= window.end for at in failed[window.site])
        if window.kind == "late_today" and follows(window, planned):
            named = True  # Of a run of such nights the first is reported.
        counts[window.kind] += named
        if not named and not hidden(window, planned):
            silent.append(window)
    assert not silent, f"{len(silent)} faults are not named: {silent}"
    return counts


def follows(window: Window, planned: Iterable[Window]) -> bool:
    """Return whether the same fault held the night before."""
    night = timedelta(days=1)
    return any(
        other.site == window.site and other.kind == window.kind and other.begin + night == window.begin
        for other in planned
    )


def hidden(window: Window, planned: Iterable[Window]) -> bool:
    """Return whether another fault of the gateway holds in the hours around this one."""
    return any(
        other is not window
        and other.site == window.site
        and other.begin < window.end + HIDES
        and other.end > window.begin - HIDES
        for other in planned
        if other.kind not in LASTING or other.kind == "new_serial"
    )


def instant(value: object) -> datetime:
    """Return an instant as either engine gives it."""
    return datetime.fromisoformat(str(value)[:19]).replace(tzinfo=UTC)
