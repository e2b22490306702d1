"""A database of version 0.1 goes on as it would have: its checkpoints are read for ever.

``checkpoints_0_1.json`` keeps some that version 0.1 wrote into spoilt databases, as it wrote them.
"""

import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import tests.oracle.counters as oracle_counters
import tests.oracle.series as oracle_series
from logger.clock import from_epoch_s, to_epoch_s
from logger.errors import SchemaOutdatedError
from logger.ledger.battery import PowerState
from logger.ledger.curve import Anchor
from logger.ledger.inverter import Rhythm
from logger.ledger.limits import Stream
from logger.rollups import checkpoints, rollup
from logger.rollups.balance import Balance
from logger.rollups.checkpoints import Checkpoint, Silent
from logger.rollups.site import site_of
from logger.store.database import open_engine
from tests.ledger import agreement
from tests.ledger.spoilt import register
from tests.rollups.spoilt import SPOILT
from tests.rollups.test_spoilt import KEYS, columns_of, differing, live, roll_up
from tests.sample_data import instant

WRITTEN: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "checkpoints_0_1.json").read_text())
#: ledger -> what it writes, and from when each row is
TABLES = {"energy": ("energy_15min", "starts_at"), "inverters": ("inverter_daily", "day")}


@pytest.mark.parametrize("name", WRITTEN)
def test_from_a_checkpoint_of_version_0_1_the_same_follows(name: str, sqlite_url: str) -> None:
    engine, site = open_engine(sqlite_url), SPOILT[name]()
    live(engine, site)

    def tables() -> dict[str, dict[str, str]]:
        with engine.connect() as connection:
            return {table: columns_of(connection, table) for table in KEYS}

    expected = tables()
    for row in WRITTEN[name]:
        at_s = to_epoch_s(datetime.fromisoformat(f"{row['at']}+00:00"))
        with engine.begin() as connection:
            checkpoints.forget_after(connection, row["gateway_id"], row["ledger"], at_s - 1)
            insert = "INSERT INTO rollup_checkpoints VALUES (:gateway_id, :ledger, :at, :state)"
            at, state = instant(engine, from_epoch_s(at_s)), json.dumps(row["state"])
            connection.execute(text(insert), row | {"at": at, "state": state})
            # What followed goes too, so that it has to be written anew.
            table, time = TABLES[row["ledger"]]
            since = at if time == "starts_at" else row["at"][:10]
            connection.execute(text(f"DELETE FROM {table} WHERE {time} > :since"), {"since": since})
        roll_up(engine, row["gateway_id"], from_epoch_s(site.now_s))
        assert differing(expected, tables()) == []
    engine.dispose()


@pytest.mark.parametrize("first", [0, 50])
def test_a_register_goes_on_from_any_state_as_the_oracle_does(first: int) -> None:
    """Also from among erroneous reads, and while it is stuck."""
    kinds = set()
    for seed in range(first, first + 50):
        case = register(seed)
        limits, chance = oracle_series.Limits(**case.limits), random.Random(seed)
        series = agreement._series(oracle_series.Series, case.rows)
        begin_s = agreement._quarter(case.rows[0].at_s)
        until = {"until_s": case.until_s, "gap_s": case.gap_s}
        states = oracle_counters.count(series, None, limits, since_s=begin_s, **until).states
        for at_s, state in chance.sample(states, min(6, len(states))):
            rows = [row for row in case.rows if row.at_s > at_s]
            expected = oracle_counters.count(
                agreement._series(oracle_series.Series, rows),
                oracle_series.CounterState(*state),
                limits,
                since_s=at_s,
                **until,
            )
            written = json.dumps([["production", "total", *state]])
            (anchor,) = checkpoints._from_json(written).values()
            curve = agreement._read(case, rows, anchor, at_s, case.until_s)
            assert curve.reopen_s == expected.reopen_s
            if curve.reopen_s is None:
                energy = {start: mwh for start, (mwh, _) in agreement._rows(curve).items() if mwh}
                assert energy == {start: mwh for start, mwh in expected.energy_mwh.items() if mwh}
                assert agreement._events(curve.events) == list(map(tuple, expected.events))
            named = oracle_series.CounterState(*state)
            kinds |= {"stuck"} if named.stalled_s else set()
            kinds |= {"erroneous"} if named.bad_until_s > at_s else set()
    assert kinds == {"stuck", "erroneous"}


def test_a_checkpoint_is_read_as_it_was_written(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    live(engine, SPOILT["reports of inverters"]())
    with engine.begin() as connection:
        site = site_of(connection, 1)
        for ledger in ("energy", "inverters"):
            written = checkpoints.last(connection, 1, ledger)
            assert written is not None
            states = dict(written.states)
            if ledger == "inverters":
                states["121"] = Silent(written.at_s - 7)
            later = Checkpoint(written.at_s + 86_400, states)
            checkpoints.save(connection, site, ledger, later)
            assert checkpoints.last(connection, 1, ledger) == later
    engine.dispose()


def test_states_of_version_1_are_read_as_those_that_are_written_now() -> None:
    anchor = Anchor("ct", 1_781_514_900, 1_454_157_422, None, 0, 1_781_514_000, 1_781_514_900, 1_781_514_000, 260_279)
    other = anchor._replace(source="eim", power_w=-0.5, first_s=0, owed_ws=7)
    energy: checkpoints.States = {
        ("balance", "total"): Balance(1_781_481_600, export_mwh=817_610),
        ("battery power", "encharge"): PowerState(1_781_514_900, 1_781_500_000, capacity_wh=3500.0),
        (Stream.EXPORT, "L1"): anchor,
        (Stream.PRODUCTION, "total"): other,
        (Stream.PRODUCTION, "L1"): other._replace(power_w=0.0),
    }
    first = [{"stream": stream, "phase": phase, **state._asdict()} for (stream, phase), state in energy.items()]
    inverters: checkpoints.States = {"121": Silent(5), "122": Rhythm(9, 300), "123": anchor, "124": other}
    kinds = ("silent", "reports", "register", "register")
    second = {
        serial: {"kind": kind, **state._asdict()}
        for (serial, state), kind in zip(inverters.items(), kinds, strict=True)
    }
    written: list[tuple[Any, Any]] = [(energy, first), (inverters, second), ({}, [])]
    for states, of_version_1 in written:
        assert checkpoints._from_json(json.dumps({"version": 1, "states": of_version_1})) == states
        assert checkpoints._from_json(checkpoints._to_json(states)) == states


def test_checkpoints_of_a_newer_program_are_refused_until_a_rebuild(sqlite_url: str) -> None:
    engine, site = open_engine(sqlite_url), SPOILT["reports of inverters"]()
    live(engine, site)
    newer = f'{{"version":{checkpoints.VERSION + 1},"states":"another form"}}'
    now = from_epoch_s(site.now_s)
    with engine.begin() as connection:
        before = {table: columns_of(connection, table) for table in KEYS}
        connection.execute(
            text("UPDATE rollup_checkpoints SET state = :newer WHERE ledger = 'energy'"), {"newer": newer}
        )
    with pytest.raises(SchemaOutdatedError, match="db rebuild"):
        roll_up(engine, 1, now)
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=now, gap_s=900, since=None)
    roll_up(engine, 1, now)
    with engine.connect() as connection:
        assert differing(before, {table: columns_of(connection, table) for table in KEYS}) == []
    engine.dispose()
