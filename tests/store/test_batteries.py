"""What batteries report is stored as it was reported: once, and states only when they change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from logger.collector.poller import Poller
from logger.collector.wiring import pollers
from logger.gateway.equipment import INVENTORY
from logger.readings import Battery, BatteryKind, Poll, SiteState
from logger.simulator.houses import HOUSES
from logger.simulator.pages import PAGES
from logger.store.lines import decode, encode
from logger.store.models import BATTERIES, BATTERY_SAMPLES, EVENTS, GATEWAYS, SITE_STATES, STORAGE_SAMPLES
from logger.store.restamp import Taken, move_polls, restamped
from logger.store.writer import save
from tests.conftest import Bench, Benches, collect
from tests.sample_data import utc

AT = utc(2026, 6, 1, 12)


def poller_of(roof: Bench, engine: Engine) -> Poller:
    return pollers(roof.settings, engine, roof.environ, clock=roof.clock)[0]


def house(bench: Benches, name: str, url: str) -> Bench:
    return bench(database_url=url, shape=HOUSES[name].shape, time_zone="Etc/GMT", **HOUSES[name].model)


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table)))


def new_gateway(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(GATEWAYS.insert().values(gateway_id=1, serial="1", name="roof"))


def save_all(engine: Engine, *polls: Poll) -> None:
    with engine.begin() as connection:
        for poll in polls:
            save(connection, 1, poll)


def test_a_poll_is_stored_as_it_was_reported_and_storing_it_twice_is_storing_it_once(
    bench: Benches, engine: Engine, database_url: str
) -> None:
    roof = house(bench, "iq", database_url)
    poll = collect(poller_of(roof, engine), roof.clock())
    save_all(engine, poll)
    assert [row.serial for row in rows(engine, BATTERIES)] == [device.serial for device in poll.battery_devices]
    assert [(row.serial, row.power_w, row.soc_pct) for row in rows(engine, BATTERY_SAMPLES)] == [
        (sample.serial, sample.power_w, sample.soc_pct) for sample in poll.batteries
    ]
    (row,) = rows(engine, STORAGE_SAMPLES)
    assert (row.kind, row.power_w, row.polled_at) == ("encharge", poll.storage[0].power_w, poll.polled_at)
    assert {row.subject: row.state for row in rows(engine, SITE_STATES)}["grid_mode"] == "on_grid"


def test_a_restart_repeats_neither_states_nor_events(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = house(bench, "generator", database_url)
    roof.simulation.fault("grid_lost", since_s=0, until_s=86_400)
    for _ in range(3):
        poller = poller_of(roof, engine)
        for _ in range(2):
            collect(poller, roof.clock())
            roof.clock.set(roof.clock() + timedelta(minutes=5))
        poller.keeper.store_all()
    states = [(row.subject, row.state) for row in rows(engine, SITE_STATES)]
    assert len(states) == len(set(states)) == len({subject for subject, _ in states})
    assert [row.kind for row in rows(engine, EVENTS) if row.kind.startswith("grid")] == ["grid_lost"]


def test_batteries_of_before_a_restart_are_there_though_the_inventory_says_nothing(
    bench: Benches, engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roof = house(bench, "iq", database_url)
    collect(poller_of(roof, engine), roof.clock())
    monkeypatch.setitem(PAGES["8"], INVENTORY, lambda _: [])
    poller, found = poller_of(roof, engine), []
    for _ in range(5):
        roof.clock.set(roof.clock() + timedelta(minutes=5))
        found.append(collect(poller, roof.clock()))
    assert all(poll.storage[0].power_w is not None for poll in found)


def test_the_same_state_is_never_stored_twice_in_a_row(engine: Engine) -> None:
    new_gateway(engine)
    for number, state in enumerate(["a", "a", "b", None, None, "b", "b"]):
        at = AT + timedelta(minutes=number)
        states = (SiteState(at=at, subject="grid_mode", state=state),)
        save_all(engine, Poll(gateway_serial="1", polled_at=at, took_s=0.1, site_states=states))
    assert [row.state for row in rows(engine, SITE_STATES)] == ["a", "b", None, "b"]


def test_what_was_known_of_a_battery_stays_where_a_list_leaves_it_out(engine: Engine) -> None:
    new_gateway(engine)
    known = Battery(serial="b", kind=BatteryKind.ENCHARGE, capacity_wh=4960.0, rated_power_w=3840.0)
    lists = [known, replace(known, capacity_wh=5000.0, rated_power_w=None), replace(known, capacity_wh=None)]
    for number, device in enumerate(lists):
        at = AT + timedelta(minutes=5 * number)
        save_all(engine, Poll(gateway_serial="1", polled_at=at, took_s=0.1, battery_devices=(device,)))
    (row,) = rows(engine, BATTERIES)
    assert (row.capacity_wh, row.rated_power_w) == (5000.0, 3840.0)
    assert (row.first_seen_at, row.last_seen_at) == (AT, AT + timedelta(minutes=10))


def test_samples_of_batteries_move_with_their_poll(bench: Benches, engine: Engine, database_url: str) -> None:
    roof = house(bench, "iq", database_url)
    poll = collect(poller_of(roof, engine), roof.clock())
    event = {"gateway_id": 1, "at": poll.polled_at, "kind": "clock_skew", "subject": "clock", "utc_offset_s": 3600}
    with engine.begin() as connection:
        connection.execute(insert(EVENTS), event)
        move_polls(connection, 1, [Taken(poll.polled_at, poll.polled_at)], 120)
    moved = restamped(poll, 120)
    (skew,) = [row for row in rows(engine, EVENTS) if row.kind == "clock_skew"]
    assert (skew.at, skew.utc_offset_s) == (moved.polled_at, None)  # It may be summer time by now.
    assert {row.polled_at for row in rows(engine, BATTERY_SAMPLES)} == {moved.polled_at}
    assert [row.reading_age_s for row in rows(engine, BATTERY_SAMPLES)] == [s.reading_age_s for s in moved.batteries]
    assert {row.at for row in rows(engine, SITE_STATES)} == {state.at for state in moved.site_states}


@pytest.mark.parametrize("name", ["iq", "acb", "generator"])
def test_a_poll_with_batteries_comes_back_from_the_spool_as_it_went_in(bench: Benches, name: str) -> None:
    roof = house(bench, name, "")
    poll = roof.poll(roof.gateway())
    assert poll.storage
    assert decode(encode(poll)) == poll
