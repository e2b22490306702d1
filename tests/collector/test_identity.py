"""A poll's rows belong to the gateway whose serial reported them, whoever else starts at the same time."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from logger.collector.keeper import Keeper
from logger.errors import StoreAwayError
from logger.readings import GatewayInfo, InverterSample, Phase, Poll, ProductionSample, Source
from logger.settings import GatewaySettings, Settings
from logger.store.database import file_of
from logger.store.lock import CollectorDatabase
from logger.store.models import ENERGY_15MIN, GATEWAYS, INVERTER_SAMPLES, POLLS, PRODUCTION_SAMPLES
from logger.store.schema import upgrade
from tests.conftest import Opening

START = datetime(2026, 6, 15, 10, tzinfo=UTC)
GATEWAYS_AT_ONCE = 12


def info_of(serial: str) -> GatewayInfo:
    return GatewayInfo(
        serial=serial, part_number=None, firmware="8.3.1", is_metered=True, has_web_tokens=True, gateway_time_s=None
    )


def poll_of(serial: str, minute: int, *, is_first: bool = False) -> Poll:
    sample = ProductionSample(Phase.TOTAL, 100.0, float(serial) + minute, 1, Source.CT)
    return Poll(
        gateway_serial=serial,
        polled_at=START + timedelta(minutes=minute),
        took_s=0.1,
        production=(sample,),
        info=info_of(serial) if is_first else None,
    )


@pytest.fixture
def keeper_of(database_url: str, opening: Opening, tmp_path: Path) -> Callable[..., Keeper]:
    upgrade(opening(database_url))

    def make(name: str) -> Keeper:
        settings = GatewaySettings(name=name, host="127.0.0.1", time_zone="UTC")
        loaded = Settings(database_url=database_url, state_dir=tmp_path, gateways=(settings,))
        return Keeper(loaded, settings, opening(database_url))

    return make


def energies(engine: Engine) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    query = select(GATEWAYS.c.serial, PRODUCTION_SAMPLES.c.energy_lifetime_wh).join_from(GATEWAYS, PRODUCTION_SAMPLES)
    with engine.connect() as connection:
        for serial, energy_wh in connection.execute(query.order_by(PRODUCTION_SAMPLES.c.polled_at)):
            found.setdefault(serial, []).append(energy_wh)
    return found


def test_gateways_that_start_at_once_get_ids_of_their_own(keeper_of: Callable[..., Keeper]) -> None:
    keepers = {str(1000 * n): keeper_of(f"roof {n}") for n in range(1, GATEWAYS_AT_ONCE + 1)}
    together = threading.Barrier(len(keepers))

    def start(serial: str, keeper: Keeper) -> None:
        for minute in range(3):
            keeper.queue.append(poll_of(serial, minute, is_first=minute == 0))
            together.wait()
            assert keeper.store()

    threads = [threading.Thread(target=start, args=pair) for pair in keepers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper = next(iter(keepers.values()))
    assert energies(keeper.engine) == {serial: [float(serial) + n for n in range(3)] for serial in keepers}
    assert [keeper.stored for keeper in keepers.values()] == [3] * len(keepers)


def test_a_poll_of_a_gateway_that_is_not_known_waits_until_it_is(keeper_of: Callable[..., Keeper]) -> None:
    keeper = keeper_of("roof")
    keeper.queue.append(poll_of("1000", 0))
    assert keeper.store()
    assert keeper.stored == 0
    assert len(list(keeper.queue.waiting())) == 1
    keeper.queue.append(poll_of("1000", 1, is_first=True))
    assert keeper.store_all()
    assert keeper.store_all()
    assert energies(keeper.engine) == {"1000": [1000.0, 1001.0]}
    assert keeper.queue.oldest() is None
    assert keeper.stored == 2


def test_a_name_that_another_gateway_had_before_gets_none_of_its_rows(keeper_of: Callable[..., Keeper]) -> None:
    before, after = keeper_of("roof"), keeper_of("roof")
    before.queue.append(poll_of("1000", 0, is_first=True))
    assert before.store()
    after.queue.append(poll_of("2000", 1))
    after.queue.append(poll_of("2000", 2, is_first=True))
    assert after.store()
    assert after.store_all()
    assert energies(after.engine) == {"1000": [1000.0], "2000": [2001.0, 2002.0]}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("serial", ["12\ud800", "12\x00"])
def test_a_poll_that_no_database_takes_is_set_aside_and_the_next_are_stored(
    keeper_of: Callable[..., Keeper], serial: str, *, is_first: bool
) -> None:
    keeper = keeper_of("roof")
    if not is_first:
        keeper.queue.append(poll_of("1000", 0, is_first=True))
    sample = InverterSample(reported_at=START, serial=serial, power_w=float("1e308"))
    keeper.queue.append(replace(poll_of("1000", 1, is_first=is_first), inverters=(sample,)))
    keeper.queue.append(poll_of("1000", 2))
    assert keeper.store_all()
    assert keeper.queue.oldest() is None
    with keeper.engine.connect() as connection:
        taken = connection.execute(select(INVERTER_SAMPLES.c.serial)).scalars().all()
        polls = connection.execute(select(POLLS.c.outcome).order_by(POLLS.c.polled_at)).scalars().all()
    assert energies(keeper.engine)["1000"][-1] == 1002.0
    if not taken:
        assert polls == (["failed", "complete"] if is_first else ["complete", "complete"])


def test_polls_that_wait_for_their_gateway_are_no_more_after_each_try_that_fails(
    keeper_of: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, polls = keeper_of("roof"), [poll_of("1000", minute, is_first=False) for minute in range(3)]
    for poll in polls:
        keeper.queue.append(poll)
    keeper.store()
    assert list(keeper.queue.waiting()) == polls

    def full(batch: list[Poll]) -> list[Poll]:
        if batch[0] is polls[0]:
            return batch
        raise StoreAwayError("The database's disk is full.")

    keeper._is_down = True
    monkeypatch.setattr(keeper, "_store", full)
    for _ in range(3):
        assert not keeper.store()
    assert list(keeper.queue.waiting()) == polls


def test_the_last_minutes_of_a_gateway_that_was_replaced_are_counted(keeper_of: Callable[..., Keeper]) -> None:
    keeper = keeper_of("roof")
    for minute in range(40):
        serial = "1000" if minute < 23 else "2000"
        keeper.queue.append(poll_of(serial, minute, is_first=minute in {0, 23}))
        assert keeper.store()
    with keeper.engine.connect() as connection:
        rows = connection.execute(select(ENERGY_15MIN.c.gateway_id, ENERGY_15MIN.c.covered_s)).all()
    assert sorted(rows)[:2] == [(1, 420), (1, 900)]


def replace_by_an_empty_one(url: str, engine: Engine) -> None:
    if (file := file_of(url)) is not None:
        file.unlink()
        return
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE gateways RESTART IDENTITY CASCADE")
        connection.exec_driver_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip


def test_what_one_gateway_learnt_of_a_database_that_is_another_now_holds_for_all(
    database_url: str, opening: Opening, tmp_path: Path
) -> None:
    with contextlib.closing(CollectorDatabase(database_url)) as database:
        keepers = []
        for name in ("roof", "barn"):
            settings = GatewaySettings(name=name, host="127.0.0.1", time_zone="UTC")
            loaded = Settings(database_url=database_url, state_dir=tmp_path, gateways=(settings,))
            keepers.append(Keeper(loaded, settings, database.engine, ready=database.ready))
        roof, barn = keepers

        def stored(keeper: Keeper, serial: str, minute: int, *, is_first: bool) -> bool:
            keeper.queue.append(poll_of(serial, minute, is_first=is_first))
            return keeper.store()

        assert stored(roof, "1000", 0, is_first=True)
        assert stored(barn, "2000", 0, is_first=True)
        replace_by_an_empty_one(database_url, opening(database_url))
        while not stored(barn, "2000", 1, is_first=True):
            pass  # It was lost a moment ago.
        # Here the roof had the number that is the barn's now.
        assert stored(roof, "1000", 2, is_first=False)
        assert roof.is_gateway_unknown
        assert stored(roof, "1000", 3, is_first=True)
        assert roof.store()
        assert energies(opening(database_url)) == {"1000": [1002.0, 1003.0], "2000": [2001.0]}
