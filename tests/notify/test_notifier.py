"""The notifier on both engines: what it tells of, once, and what becomes of it while somebody is away."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from logger.collector.beside import Beside
from logger.errors import LoggerError, StoreAwayError
from logger.gateway.credentials import TokenLeft
from logger.notify.database import Database
from logger.notify.delivery import DeliveryError, Message
from logger.notify.notifier import Notifier
from logger.settings import GatewaySettings, NotifySettings, Settings
from logger.settings.notify import receivers
from logger.store.database import FULL

START = datetime(2026, 6, 15, 10, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LOST, DEAD = ("grid_lost", "grid", "the grid is lost"), "makes nothing while its neighbours do"


@dataclass
class Roof:
    """A poller and its keeper, as the notifier sees them."""

    name: str = "roof"
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    stored: int = 1
    error: LoggerError | None = None


@dataclass
class House:
    """A database with one gateway, a clock, and receivers that can be out."""

    url: str
    engine: Engine
    settings: Settings
    roof: Roof = field(default_factory=Roof)
    now: datetime = START
    got: list[tuple[str, Message]] = field(default_factory=list)
    out: set[str] = field(default_factory=set)
    tried: int = 0
    tokens: list[TokenLeft | None] = field(default_factory=lambda: [None])
    pages: list[str] = field(default_factory=list)
    opened: list[Database] = field(default_factory=list)

    def notifier(self, url: str = "") -> Notifier:
        self.opened.append(Database(url or self.url, self.engine, [self.roof]))
        return Notifier(
            self.settings, self.opened[-1], Beside(), asked=[self.roof], kept=[self.roof], tokens=lambda: self.tokens,
            send=self.send, clock=lambda: self.now, page=self.page,
        )  # fmt: skip

    def send(self, receiver: NotifySettings, message: Message) -> None:
        self.tried += 1
        if receiver.name in self.out:
            raise DeliveryError("Connection refused")
        self.got.append((receiver.name, message))

    def page(self, month: str) -> Path:
        self.pages.append(month)
        return Path(f"/{month}.html")

    def event(self, kind: str, subject: str, detail: str, at: datetime | None = None) -> None:
        """Write an event as plain SQL does."""
        values = {"at": f"{at or self.now:%Y-%m-%d %H:%M:%S}", "kind": kind, "subject": subject, "detail": detail}
        if self.engine.dialect.name != "sqlite":
            values["at"] += "+00"
        with self.engine.begin() as connection:
            into = "INSERT INTO events (gateway_id, at, kind, subject, detail)"
            connection.execute(text(f"{into} VALUES (1, :at, :kind, :subject, :detail)"), values)

    def rows(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT * FROM notifications ORDER BY receiver, kind, subject, day")))

    def titles(self) -> list[str]:
        return [message.title for _, message in self.got]


Houses = Callable[..., House]
#: what no engine can do otherwise
one_engine = pytest.mark.parametrize("database_url", ["sqlite_url"], indirect=True)


@pytest.fixture
def house(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[Houses]:
    opened: list[Database] = []

    def make(*tables: dict[str, Any]) -> House:
        told = receivers([{"url": "json://x"} | table for table in (tables or ({"name": "mail"},))], tmp_path)
        settings = Settings(
            database_url=database_url, state_dir=tmp_path, notify=told,
            gateways=(GatewaySettings(name="roof", host="x", time_zone="Europe/Amsterdam"),),
        )  # fmt: skip
        with engine.begin() as connection:
            row = "INSERT INTO gateways (gateway_id, name, serial, time_zone) VALUES (1, 'roof', '1', :zone)"
            connection.execute(text(row), {"zone": "Europe/Amsterdam"})
        return House(database_url, engine, settings, opened=opened)

    yield make
    for database in opened:
        database.close()


def test_events_are_told_once_each_however_often_it_is_looked_and_restarted(house: Houses) -> None:
    home = house()
    own = home.notifier()
    own.look()
    assert home.got == []
    home.event(*LOST)
    home.event("ct_disagrees", "production", "the CT says 3 kW", at=home.now - MINUTE)
    home.event("ct_disagrees", "production", "the CT says 4 kW", at=home.now - 2 * MINUTE)
    home.event("outage", "roof", "is no kind to tell of")
    for _ in range(3):
        own.look()
        home.now += MINUTE
    home.notifier().look()
    assert home.titles() == ["envoylog: 2 notifications"]
    assert "the CT says 3 kW; see: envoylog report quality --from 2026-06-15." in home.got[0][1].body
    assert [(row.kind, row.subject, row.outcome, row.tries, row.error) for row in home.rows()] == [
        ("grid_lost", "grid", "sent", 1, None),
        ("suspect", "ct_disagrees production", "sent", 1, None),
    ]


@one_engine
def test_the_same_kind_and_subject_is_told_once_a_day_and_again_on_another(house: Houses) -> None:
    home = house()
    own = home.notifier()
    for hour in range(0, 72, 6):
        home.now = START + timedelta(hours=hour)
        home.event(*LOST)
        own.look()
    assert len(home.got) == 4  # Local days begin at 22:00 UTC: three midnights passed.
    assert len({row.day for row in home.rows()}) == 4


def test_an_outage_of_a_receiver_gives_one_digest_and_others_hear_at_once(
    house: Houses, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    home = house({"name": "mail"}, {"name": "hook", "when": ["grid_lost"]})
    own = home.notifier()
    home.out.add("mail")
    for minute in range(0, 60, 5):
        home.now = START + minute * MINUTE
        if minute % 10 == 0:
            home.event("grid_lost", f"grid {minute}", "the grid is lost")
        own.look()
    assert [name for name, _ in home.got] == ["hook"] * 6
    assert home.tried - 6 <= 7  # A receiver that is out is not asked all the time.
    assert {row.outcome for row in home.rows() if row.receiver == "mail"} == {"waiting"}
    assert {row.error for row in home.rows() if row.receiver == "mail"} <= {"Connection refused", None}
    home.out.clear()
    for minute in range(60, 90, 5):
        home.now = START + minute * MINUTE
        own.look()
    digests = [message for name, message in home.got if name == "mail"]
    assert [message.title for message in digests] == ["envoylog: 6 notifications"]
    assert "took nothing since Monday 2026-06-15, 12:00" in digests[0].body
    assert {row.outcome for row in home.rows()} == {"sent"}
    logged = [record.getMessage() for record in caplog.records if "mail" in record.getMessage()]
    assert logged == [
        "receiver=mail takes no notifications, tried again for a day: Connection refused",
        "told receiver=mail, which took nothing since 2026-06-15 10:00 UTC: 6 notifications",
    ]


@one_engine
def test_what_a_receiver_does_not_take_for_a_day_is_given_up_and_counted(house: Houses) -> None:
    home = house()
    home.out.add("mail")
    own = home.notifier()
    home.event(*LOST)
    for hour in range(0, 28, 2):
        home.now = START + timedelta(hours=hour)
        own.look()
    assert [(row.outcome, row.error) for row in home.rows()] == [("given up", "Connection refused")]
    home.out.clear()
    home.event("certificate_change", "gateway", "another certificate")
    home.now += timedelta(hours=1)
    own.look()
    assert "1 more could not be kept, or waited for longer than a day." in home.got[0][1].body


def test_what_waits_outlives_a_restart(house: Houses) -> None:
    home = house()
    home.out.add("mail")
    home.event(*LOST)
    home.notifier().look()
    home.out.clear()
    home.now += MINUTE
    home.notifier().look()
    assert home.titles() == ["roof: the grid is lost"]
    assert [(row.outcome, row.tries) for row in home.rows()] == [("sent", 2)]


@one_engine
def test_while_the_database_is_away_a_silent_gateway_and_a_full_disk_are_told_and_written_later(
    house: Houses, tmp_path: Path
) -> None:
    home = house()
    home.roof.error, home.roof.failing_since = StoreAwayError(FULL.sentence), START
    own = home.notifier(f"sqlite:///{tmp_path}/away.db")
    for minute in (0, 14, 16, 20):
        home.now = home.roof.failed_at = START + minute * MINUTE
        own.look()
    assert home.titles() == ["roof: a disk is full", "roof: does not answer"]
    assert "has not answered since Monday 2026-06-15, 12:00; look at: envoylog doctor" in home.got[1][1].body
    assert home.rows() == []
    own._database._url, home.roof.error = home.url, None
    own.look()
    assert [(row.kind, row.outcome) for row in home.rows()] == [("disk_full", "sent"), ("gateway_silent", "sent")]
    home.notifier().look()
    assert len(home.got) == 2


@one_engine
def test_quiet_hours_end_with_one_digest(house: Houses) -> None:
    home = house({"name": "mail", "quiet_hours": "22:00-07:00"})
    own = home.notifier()
    for hour in range(20, 29):  # UTC, two hours behind.
        home.now = START.replace(hour=0) + timedelta(hours=hour)
        if hour in {20, 22, 24}:
            home.event("grid_lost", f"grid {hour}", "the grid is lost")
        own.look()
    assert home.got == []
    home.now += timedelta(hours=1)
    own.look()
    assert home.titles() == ["envoylog: 3 notifications"]


@one_engine
def test_a_token_is_told_two_weeks_before_its_end_and_in_the_last_days(house: Houses) -> None:
    home = house()
    ends = START + 20 * DAY
    home.tokens = [TokenLeft(expires_at=ends, lifetime=timedelta(days=365), renews=False)]
    own = home.notifier()
    told: list[datetime] = []
    for hours in range(5 * 24, 20 * 24, 12):
        home.now = START + timedelta(hours=hours)
        own.look()
        told += [home.now] * (len(home.got) - len(told))
    assert [(ends - at).days for at in told] == [13, 2, 1, 0]
    assert "get a new one and run: envoylog token set roof" in home.got[0][1].body


def test_panels_are_told_when_they_fall_ill_and_are_well_and_old_ones_only_while_they_are_ill(house: Houses) -> None:
    home = house()
    home.event("dead_panel", "panel 11", DEAD, at=START - 90 * DAY)
    home.event("weak_panel", "panel 12", "makes 80 % of what is usual", at=START - 80 * DAY)
    home.event("weak_panel", "panel 12", "is over", at=START - 50 * DAY)
    own = home.notifier()
    own.look()
    assert [message.body.partition("\n")[2] for _, message in home.got] == [
        f"roof: panel 11 {DEAD}, since 2026-03-17; look at: envoylog panels."
    ]
    home.now += DAY
    home.event("dead_panel", "panel 11", "is over", at=START + 12 * 60 * MINUTE)
    home.event("silent_panel", "panel 11", "reports nothing", at=START + 12 * 60 * MINUTE)
    home.event("weak_panel", "panel 12", "makes 70 % of what is usual", at=START + 12 * 60 * MINUTE)
    own.look()
    assert "panel 11 reports nothing" in home.got[-1][1].body
    assert "panel 12 makes 70 % of what is usual" in home.got[-1][1].body
    home.now += DAY
    home.event("weak_panel", "panel 12", "is over", at=START + 36 * 60 * MINUTE)
    own.look()
    assert home.titles() == ["roof: a panel makes nothing", "envoylog: 2 notifications", "roof: a panel is well again"]


def test_a_month_comes_once_with_its_page_on_the_morning_after(house: Houses) -> None:
    home = house({"name": "mail"}, {"name": "hook", "when": ["grid_lost"]})
    day = "INSERT INTO energy_daily (gateway_id, day, phase, production_wh, period_s, covered_s) "
    with home.engine.begin() as connection:
        connection.execute(text(f"{day} VALUES (1, '2026-06-10', 'total', 12345, 86400, 86400)"))
    own = home.notifier()
    for hours in range(0, 40, 4):
        home.now = datetime(2026, 6, 30, 20, tzinfo=UTC) + timedelta(hours=hours)
        own.look()
    assert [(name, message.title) for name, message in home.got] == [("mail", "roof: June 2026")]
    assert "Wednesday 2026-07-01, 06:00\nroof: in June 2026: 12 kWh produced" in home.got[0][1].body
    assert home.got[0][1].file == Path("/2026-06.html")
    assert home.pages == ["2026-06"]


@one_engine
def test_no_more_wait_than_fit_and_the_newest_are_kept(house: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logger.notify.outbox.MOST", 5)
    home = house()
    home.out.add("mail")
    own = home.notifier()
    for number in range(8):
        home.now += MINUTE
        home.event("grid_lost", f"grid {number}", f"the grid is lost, {number}")
        own.look()
    home.out.clear()
    home.now += 15 * MINUTE
    own.look()
    assert home.titles() == ["envoylog: 5 notifications"]
    assert "lost, 7" in home.got[0][1].body
    assert "3 more could not be kept" in home.got[0][1].body


def test_two_collectors_of_one_database_tell_a_thing_once(house: Houses) -> None:
    home = house()
    first, second = home.notifier(), home.notifier()
    first.look()
    second.look()
    home.event(*LOST)
    first.look()
    second.look()
    assert home.titles() == ["roof: the grid is lost"]


@one_engine
def test_a_collector_that_asks_no_gateway_tells_nothing(house: Houses) -> None:
    site, asks = house(), [False]
    first, idle = site.notifier(), site.notifier()
    idle._is_idle = lambda: not asks[0]
    site.event(*LOST)
    idle.look()
    assert site.got == []
    first.look()
    asks[0] = True
    idle.look()
    assert len(site.got) == 1


@one_engine
def test_what_could_not_be_committed_is_written_later(house: Houses, monkeypatch: pytest.MonkeyPatch) -> None:
    home = house()
    own = home.notifier()
    home.event(*LOST)
    real = Database.writing

    @contextlib.contextmanager
    def breaking(database: Database) -> Iterator[Connection]:
        with real(database) as connection:
            yield connection
            connection.rollback()
            raise StoreAwayError("The database is locked by another program.")

    monkeypatch.setattr(Database, "writing", breaking)
    own.look()
    assert (home.titles(), home.rows()) == (["roof: the grid is lost"], [])
    monkeypatch.setattr(Database, "writing", real)
    home.now += MINUTE
    own.look()
    assert [(row.kind, row.outcome) for row in home.rows()] == [("grid_lost", "sent")]
    assert len(home.got) == 1
