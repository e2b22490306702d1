"""Several collectors share gateways by leases in PostgreSQL."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from logger import settings
from logger.cli import run
from logger.clock import epoch_now_s
from logger.collector import sharing as sharings
from logger.collector import wiring
from logger.collector.keeper import Keeper
from logger.collector.sharing import Sharing
from logger.errors import CollectorRunningError, SettingsError, StoreAwayError, StoreError
from logger.readings import Poll, SourceFailure
from logger.store.leases import Leases, Renewed
from logger.store.lock import CollectorDatabase, collector_lock
from logger.store.spool import Spool
from tests.conftest import Benches, Opening, collect

NAMES = [f"roof {number}" for number in range(9)]


def test_gateways_are_shared_evenly_and_no_two_collectors_have_one(postgresql_url: str, opening: Opening) -> None:
    engine = opening(postgresql_url)
    first, second, other = (Leases(engine, names, 60) for names in (NAMES, NAMES, NAMES[:2]))
    found = first.renew()
    assert (found.held, found.too_many) == (set(NAMES), 0)
    assert abs(found.ahead_s) < 1
    assert second.renew().held == set()
    held = first.renew()
    assert held.too_many == 4
    leaving = sorted(held.held)[:4]
    assert first.renew(leaving).held == set(NAMES) - set(leaving)
    assert second.renew().held == set(leaving)
    assert first.renew().too_many == 0
    # One with other gateways is none of those who share these.
    assert other.renew().held == set()
    assert first.renew().too_many == 0


def test_the_gateways_of_one_that_is_gone_are_taken_over_when_its_time_is_up(
    postgresql_url: str, opening: Opening
) -> None:
    engine = opening(postgresql_url)
    dead, other = Leases(engine, NAMES, 0.5), Leases(engine, NAMES, 60)
    assert dead.renew().held == set(NAMES)
    assert other.renew().held == set()
    time.sleep(0.6)
    assert other.renew().held == set(NAMES)
    # It was only asleep, and hears that it has nothing any more.
    assert dead.renew().held == set()
    other.release()
    time.sleep(0.6)
    assert Leases(engine, NAMES, 60).renew().held == set(NAMES)


class FakeLeases:
    """Leases that say what they are to say."""

    collector = "this one"

    def __init__(self, *renewed: Renewed | None) -> None:
        self.renewed = list(renewed)
        self.left: list[set[str]] = []
        self.took: list[bool] = []

    def renew(self, leaving: set[str], *, takes: bool) -> Renewed:
        self.took.append(takes)
        self.left.append(leaving)
        if (found := self.renewed.pop(0)) is None:
            raise StoreAwayError("away")
        return found


class FakePoller(NamedTuple):
    """A poller that only has a name."""

    name: str


class FakeAsking:
    """Who asks, and what it was told."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def take(self, poller: "FakePoller") -> None:
        self.asked.append(poller.name)

    def leave(self, name: str) -> None:
        self.asked.remove(name)

    def has(self, name: str) -> bool:
        return name in self.asked


def shared(tmp_path: Path, *renewed: Renewed | None) -> tuple[Sharing, FakeLeases, Any]:
    gateways = tuple(settings.GatewaySettings(name=name, host=f"10.0.0.{n}") for n, name in enumerate(NAMES))
    loaded = settings.Settings(database_url="x", state_dir=tmp_path, gateways=gateways)
    leases = FakeLeases(*renewed)
    build: Callable[[Any], Any] = lambda wanted: [FakePoller(gateway.name) for gateway in wanted]  # noqa: E731
    return Sharing(loaded, lambda: None, leases, build), leases, FakeAsking()  # type: ignore[arg-type]


def test_what_is_leased_is_asked_and_stays_so_while_the_database_is_away(tmp_path: Path) -> None:
    both, one = Renewed({NAMES[0], NAMES[1]}, 0, 0.0, 0.0), Renewed({NAMES[1]}, 0, 0.0, 0.0)
    sharing, _, asking = shared(tmp_path, both, None, one)
    sharing.renew(asking)
    sharing.renew(asking)
    assert asking.asked == NAMES[:2]
    sharing.renew(asking)
    assert asking.asked == [NAMES[1]]
    assert sharing.renewals == 2


@pytest.mark.parametrize("error", [StoreAwayError("away"), StoreError("odd")])
def test_a_gateway_that_could_not_be_taken_is_asked_the_next_time(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    roof = settings.GatewaySettings(name="roof", host="10.0.0.1")
    loaded = settings.Settings(database_url=postgresql_url, state_dir=tmp_path, gateways=(roof,), collect="shared")
    database, errors = CollectorDatabase(postgresql_url, shared=True), [error]
    sharing, asking = wiring.sharing(loaded, database, {}), FakeAsking()

    def load_identity(_: Keeper) -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(Keeper, "load_identity", load_identity)
    sharing.renew(asking)  # type: ignore[arg-type]
    assert asking.asked == []
    sharing.renew(asking)  # type: ignore[arg-type]
    assert asking.asked == ["roof"]
    database.close()


def test_one_that_has_too_many_leaves_those_whose_next_slot_is_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = Renewed(set(NAMES), 3, 0.0, 0.0)
    sharing, leases, asking = shared(tmp_path, *[all_of_them] * 3)
    monkeypatch.setattr(sharings, "epoch_now_s", lambda: 6_000_059.0 // 60 * 60 + 50)
    sharing.renew(asking)
    assert len(asking.asked) == len(NAMES)  # In ten seconds each is due: nobody else would be in time.
    monkeypatch.setattr(sharings, "epoch_now_s", lambda: 6_000_059.0 // 60 * 60 + 5)
    sharing.renew(asking)
    assert len(asking.asked) == len(NAMES) - 2  # No more than an eighth at a time.
    left = set(NAMES) - set(asking.asked)
    leases.renewed[0] = Renewed(set(NAMES) - left, 0, 0.0, 0.0)
    sharing.renew(asking)
    assert leases.left[-1] == left
    assert set(asking.asked) == set(NAMES) - left


def ahead(seconds: float, within_s: float = 0.1) -> Renewed:
    return Renewed(set(), 0, seconds, within_s)


def test_the_databases_clock_decides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Ours is an hour ahead; an answer that took long says nothing; then it is set.
    sharing, _, asking = shared(tmp_path, ahead(0.4), ahead(-3600), ahead(-3600.5), ahead(-3000, 20), ahead(1.0))
    found = []
    for _ in range(5):
        sharing.renew(asking)
        found.append(round(sharing.epoch_s() - datetime.now(UTC).timestamp()))  # noqa: TID251 - the machine's own
    assert found == [0, -3600, -3600, -3600, 0]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("this machine's clock is 3600 s ahead of the database server's")


def test_a_clock_that_is_set_moves_no_slot_where_the_databases_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before_s, real = epoch_now_s(), epoch_now_s
    # Hours behind since its start, then set right, and set wrong.
    for wrong_s in (-7200, 0, 600):
        monkeypatch.setattr(sharings, "epoch_now_s", lambda by_s=wrong_s: real() + by_s)
        if wrong_s == -7200:
            sharing, leases, asking = shared(tmp_path)
        else:
            assert sharing.epoch_s() == pytest.approx(before_s, abs=5)
        leases.renewed.append(ahead(-wrong_s))
        sharing.renew(asking)
        assert sharing.epoch_s() == pytest.approx(before_s, abs=5)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warning[:37] for warning in warnings] == [
        "this machine's clock is 7200 s behind", "this machine's clock is 600 s ahead o",
    ]  # fmt: skip


def test_those_that_share_keep_out_one_that_collects_alone_and_the_other_way_round(
    postgresql_url: str, opening: Opening
) -> None:
    first, second = (CollectorDatabase(postgresql_url, shared=True) for _ in range(2))
    first.ready()
    second.ready()
    with pytest.raises(CollectorRunningError, match="Another envoylog"), collector_lock(opening(postgresql_url)):
        pass
    first.close()
    second.close()
    third = CollectorDatabase(postgresql_url, shared=True)
    with collector_lock(opening(postgresql_url)), pytest.raises(CollectorRunningError, match="alone"):
        third.ready()
    third.close()


def test_a_slot_that_two_collectors_took_is_stored_once(bench: Benches, postgresql_url: str, tmp_path: Path) -> None:
    roof = bench(cts="net", database_url=postgresql_url)
    for number in range(2):
        loaded = replace(roof.settings, collect="shared", state_dir=tmp_path / str(number))
        database = CollectorDatabase(postgresql_url, shared=True)
        (poller,) = wiring.pollers(loaded, database, roof.environ, clock=roof.clock)
        collect(poller, roof.clock())
        assert poller.keeper.error is None
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM polls")).scalar_one() == 1
        database.close()


def test_of_a_slot_that_two_collectors_took_the_poll_is_kept_that_did_not_fail(
    bench: Benches, postgresql_url: str
) -> None:
    roof = bench(cts="net", database_url=postgresql_url)
    with contextlib.closing(CollectorDatabase(postgresql_url, shared=True)) as database:
        loaded = replace(roof.settings, collect="shared")
        (poller,) = wiring.pollers(loaded, database, roof.environ, clock=roof.clock)
        times = [roof.clock() + timedelta(minutes=minute) for minute in range(3)]
        reason = (SourceFailure(source="gateway", error="no answer in time"),)
        failed = [Poll(gateway_serial="", polled_at=at, took_s=1.0, failures=reason) for at in times]
        collect(poller, times[0])
        for poll in failed:
            poller.keeper.queue.append(poll)
        poller.keeper.store()
        roof.clock.set(times[1])
        collect(poller, times[1])
        with database.engine.connect() as connection:
            query = "SELECT outcome FROM polls ORDER BY polled_at"
            assert connection.execute(text(query)).scalars().all() == ["complete", "complete", "failed"]
            query = "SELECT count(DISTINCT polled_at) FROM production_samples"
            assert connection.execute(text(query)).scalar_one() == 2


def test_a_file_that_another_process_goes_on_using_is_said_once(
    bench: Benches, postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    roof = bench(cts="net", database_url=postgresql_url)
    loaded = replace(roof.settings, collect="shared")
    asking: Any = FakeAsking()
    other = Spool(loaded.state_dir, "roof")
    other.claim()
    with contextlib.closing(CollectorDatabase(postgresql_url, shared=True)) as database:
        sharing = wiring.sharing(loaded, database, roof.environ)
        sharing.renew(asking)
        assert not caplog.records  # It may just be storing the last of it.
        sharing.renew(asking)
        sharing.renew(asking)
        assert asking.asked == []
        assert "with the same state_dir" in "".join(record.getMessage() for record in caplog.records)
        assert len(caplog.records) == 1
        other.close()
        sharing.renew(asking)
    assert asking.asked == ["roof"]


def test_when_the_server_is_back_nobody_takes_before_the_others_can_say_that_they_are_there(tmp_path: Path) -> None:
    some = Renewed({NAMES[0]}, 0, 0.0, 0.0)
    sharing, leases, asking = shared(tmp_path, some, None, some, some)
    for _ in range(4):
        sharing.renew(asking)
    assert leases.took == [True, True, False, False]
    sharing._takes_from_s = time.monotonic()  # Half a slot later.
    leases.renewed.append(some)
    sharing.renew(asking)
    assert leases.took[-1]


def test_leases_go_on_in_a_database_that_was_made_anew(postgresql_url: str, opening: Opening) -> None:
    engine = opening(postgresql_url)
    leases = Leases(engine, NAMES, 60)
    assert leases.renew().held == set(NAMES)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE gateway_leases RENAME TO gone"))
    with pytest.raises(StoreError):
        leases.renew()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM gone"))
        connection.execute(text("ALTER TABLE gone RENAME TO gateway_leases"))
    assert leases.renew().held == set(NAMES)


def test_gateways_are_asked_on_where_an_empty_database_took_the_place_of_the_one_that_was_away(
    postgresql_url: str, opening: Opening, tmp_path: Path
) -> None:
    engine, answers = opening(postgresql_url), [1, None, 2, 2]

    def ready() -> int:
        if (answer := answers.pop(0)) is None:
            raise StoreAwayError("away")
        return answer

    sharing, _, asking = shared(tmp_path)
    sharing._ready, sharing._leases = ready, Leases(engine, NAMES, 60)
    sharing.renew(asking)
    assert sorted(asking.asked) == NAMES
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM gateway_leases"))
        connection.execute(text("DELETE FROM collectors"))
    for _ in range(3):
        sharing._takes_from_s = 0.0  # Half a slot later.
        sharing.renew(asking)
    assert sorted(asking.asked) == NAMES


def test_sharing_needs_a_server_and_a_word_that_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text('collect = "shared"\nstate_dir = "x"\n[[gateways]]\nname = "roof"\nhost = "127.0.0.1:9"\n')
    assert run(["--config", str(config), "run"]) == SettingsError.exit_code
    assert "needs a PostgreSQL database" in capsys.readouterr().err
    config.write_text('collect = "both"\n')
    with pytest.raises(SettingsError, match="alone or shared"):
        settings.load(config, {})
