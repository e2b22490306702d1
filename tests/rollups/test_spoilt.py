"""Spoilt databases give what they gave in version 0.1.0, to the last digit and in every column.

``spoilt.json`` keeps a digest of each column that was rolled up then, and of each checkpoint in a form that does not
depend on how it is stored. It is never made anew: where a figure has to change, the test of that database names which
and why. Rules that came later are set aside for it, and the same is proved with them live and rebuilt.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from logger.clock import from_epoch_s
from logger.ledger.curve import Anchor
from logger.rollups import rollup
from logger.rollups.checkpoints import KIND_OF, States, _from_json
from logger.rollups.prune import prune
from logger.store.database import open_engine
from tests.ledger.agreement import as_the_oracle_judges
from tests.rollups.spoilt import COLUMNS, SPOILT, TIME, Spoilt
from tests.sample_data import instant

KEPT = Path(__file__).parent / "spoilt.json"
KEYS = {
    "energy_15min": ("gateway_id", "starts_at", "phase"),
    "energy_hourly": ("gateway_id", "starts_at", "phase"),
    "energy_daily": ("gateway_id", "day", "phase"),
    "inverter_daily": ("gateway_id", "day", "serial"),
    "inverter_hours": ("gateway_id", "day", "serial"),
    "panel_daily": ("gateway_id", "day", "serial"),
    "events": ("gateway_id", "at", "kind", "subject"),
}
#: What a site cannot do was no event in version 0.1.0; inverters of some of these make a fifth of what their CT counts.
#: Nor was what becomes of panels.
ONLY = {"events": "WHERE subject NOT LIKE 'day''s %' AND subject NOT LIKE 'panel %'"}
#: Figures that are others now: polls in which the storage CT is missing, or production is or can't be, made peaks of
#: what the battery took.
OTHERS = {
    "a battery": {
        "energy_15min: peak_consumption_w", "energy_15min: peak_consumption_at",
        "energy_hourly: peak_consumption_w", "energy_hourly: peak_consumption_at",
        "energy_daily: peak_consumption_w", "energy_daily: peak_consumption_at",
    },
}  # fmt: skip
GAP_S = 900
#: What is stored at a time, and then rolled up, s
BATCH_S = 43_200 + 420
WITH_LATER_RULES = ("resets and jumps", "net power without counters", "stalls", "reports of inverters", "pruned")
ON_A_SERVER = ("outages", "net power without counters", "clocks set wrong", "pruned")


def roll_up(engine: Engine, gateway_id: int, now: datetime) -> None:
    rollup.bring_up_to_date(engine, gateway_id, now=now, gap_s=GAP_S)


def rebuild(connection: Connection, gateway_id: int, now: datetime) -> None:
    rollup.rebuild(connection, gateway_id, now=now, gap_s=GAP_S, since=None)


def gateway_ids(site: Spoilt) -> list[int]:
    return [1, *(gateway_id for _, gateway_id in site.replaced)]


def live(engine: Engine, site: Spoilt) -> None:
    """Store what was sampled batch by batch, in order of time, and roll up after each."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO gateways (gateway_id, name, serial, time_zone, peak_power_kwp) "
                 "VALUES (:id, 'roof', :serial, :zone, :peak)"),
            [{"id": gateway_id, "serial": str(gateway_id), "zone": site.zone, "peak": site.peak_kwp}
             for gateway_id in gateway_ids(site)],
        )  # fmt: skip
    batches: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for name, rows in site.rows.items():
        for number, part in groupby(rows, lambda row: (row["at"] - site.start_s - 1) // BATCH_S):
            batches.setdefault(number, {})[name] = list(part)
    for number in sorted(batches):
        until_s = site.start_s + (number + 1) * BATCH_S
        # What a wrong clock put into the future was stored by now.
        now_s = site.now_s if until_s > site.end_s else max(until_s, site.start_s + BATCH_S)
        with engine.begin() as connection:
            for name, rows in batches[number].items():
                store(connection, name, rows, engine)
        for gateway_id in gateway_ids(site):
            roll_up(engine, gateway_id, from_epoch_s(now_s))
    if site.keep_days is not None:
        with engine.begin() as connection:
            prune(connection, 1, now=from_epoch_s(site.now_s), keep_days=site.keep_days,
                  gap_s=GAP_S)  # fmt: skip


def store(connection: Connection, name: str, rows: list[dict[str, Any]], engine: Engine) -> None:
    names = ["gateway_id", TIME[name], *COLUMNS[name]]
    marks = ", ".join(f":{column}" for column in ("gateway_id", "at", *COLUMNS[name]))
    statement = text(f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})")
    at = {row["at"]: instant(engine, from_epoch_s(row["at"])) for row in rows}
    connection.execute(statement, [row | {"at": at[row["at"]]} for row in rows])


def digest(values: Any) -> str:
    return blake2b(repr(values).encode(), digest_size=6).hexdigest()


def plain(value: Any) -> Any:
    """A value as SQLite keeps it."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return value.isoformat() if isinstance(value, date) else value


def columns_of(connection: Connection, table: str, where: str = "") -> dict[str, str]:
    """A digest per column over all rows, in the order of the key."""
    found = connection.execute(text(f"SELECT * FROM {table} {where}"))
    names = list(found.keys())
    rows = [[plain(value) for value in row] for row in found]
    rows.sort(key=lambda row: [row[names.index(name)] for name in KEYS[table]])
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    return {name: digest(list(column)) for name, column in zip(names, columns, strict=True)}


def checkpoints(connection: Connection) -> dict[str, str]:
    """What each checkpoint holds of the last good sample of each stream, by ledger and instant."""
    query = "SELECT gateway_id, ledger, at, state FROM rollup_checkpoints WHERE ledger IN ('energy', 'inverters')"
    rows = connection.execute(text(query))
    return {
        f"{row.gateway_id} {row.ledger} {plain(row.at)}": digest(sorted(last_samples(_from_json(row.state))))
        for row in rows
    }


def last_samples(states: States) -> Iterator[list[Any]]:
    """Stream, source, instant and value (mWh) of each stream's last good sample."""
    for key, state in states.items():
        name = key if isinstance(key, str) else " ".join(key)
        if isinstance(state, Anchor):
            yield [name, state.source, state.at_s, state.value_mwh]
        elif name == key:  # What was counted of a site's day so far has no sample.
            yield [name, KIND_OF[type(state)], state.at_s, -1]


def rolled_up(engine: Engine) -> dict[str, dict[str, str]]:
    with engine.connect() as connection:
        found = {table: columns_of(connection, table, ONLY.get(table, "")) for table in KEYS}
        days = columns_of(connection, "events", "WHERE subject LIKE 'day''s %'")
        panels = columns_of(connection, "events", "WHERE subject LIKE 'panel %'")
        return found | {"events of days": days, "events of panels": panels, "checkpoints": checkpoints(connection)}


def differing(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """Which columns of which tables are not what they were; new columns aside."""
    return [
        f"{table}: {column}"
        for table, columns in before.items()
        for column, value in columns.items()
        if after[table].get(column) != value
    ]


def prove(engine: Engine, name: str) -> None:
    site = SPOILT[name]()
    live(engine, site)
    found = rolled_up(engine)
    kept = json.loads(KEPT.read_text())[name]
    if site.keep_days is not None:
        # Pruning counted everything anew then, and so left other checkpoints.
        same = kept["checkpoints"].keys() & found["checkpoints"].keys()
        assert len(same) > len(kept["checkpoints"]) / 2
        kept["checkpoints"] = {at: kept["checkpoints"][at] for at in same}
    assert set(differing(kept, found)) == OTHERS.get(name, set())
    prove_rebuilt(engine, site)


def prove_rebuilt(engine: Engine, site: Spoilt) -> None:
    found = rolled_up(engine)
    with engine.begin() as connection:
        for gateway_id in gateway_ids(site):
            rebuild(connection, gateway_id, from_epoch_s(site.now_s))
    again = rolled_up(engine)
    del found["checkpoints"]
    assert differing(found, again) == []


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_database_is_rolled_up_as_ever_live_and_rebuilt(name: str, sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with as_the_oracle_judges():
        prove(engine, name)
    engine.dispose()


@pytest.mark.parametrize("name", WITH_LATER_RULES)
def test_a_spoilt_database_is_rolled_up_alike_live_and_rebuilt(name: str, sqlite_url: str) -> None:
    engine, site = open_engine(sqlite_url), SPOILT[name]()
    live(engine, site)
    prove_rebuilt(engine, site)
    engine.dispose()


@pytest.mark.parametrize("name", ON_A_SERVER)
def test_a_spoilt_database_on_a_server_is_rolled_up_alike(name: str, postgresql_url: str) -> None:
    engine = open_engine(postgresql_url)
    with as_the_oracle_judges():
        prove(engine, name)
    engine.dispose()
