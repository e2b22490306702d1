"""Samples of a clock that was clearly wrong are kept, reported and not counted."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from logger.clock import to_epoch_s
from logger.rollups import rollup
from logger.rollups.clock_check import ClockCheck, Clocks, Instant
from tests.conftest import Opening
from tests.sample_data import instant, utc

NOW = utc(2026, 6, 3)
START = utc(2026, 6, 1)
YEARS = timedelta(days=3 * 365)


def insert(engine: Engine, rows: Sequence[tuple[datetime, float, float | None]]) -> None:
    """Samples: when they claim to be taken, the counter (Wh), the age of the reading (s)."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gateways (gateway_id, name, serial, time_zone, peak_power_kwp) "
                "VALUES (1, 'roof', 's', 'Europe/Amsterdam', 5)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO production_samples (gateway_id, polled_at, phase, power_w, "
                "energy_lifetime_wh, reading_age_s, source) "
                "VALUES (1, :at, 'total', 1200, :wh, :age_s, 'ct')"
            ),
            [{"at": instant(engine, at), "wh": wh, "age_s": age_s} for at, wh, age_s in rows],
        )


def rebuilt(engine: Engine, now: datetime = NOW) -> tuple[list[Any], list[Any]]:
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=now, gap_s=900, since=None)
        days = connection.execute(
            text("SELECT day, production_wh FROM energy_daily WHERE phase = 'total' ORDER BY day")
        )
        found = [(str(day), wh) for day, wh in days]
        events = connection.execute(text("SELECT at, kind, detail FROM events ORDER BY at"))
        return found, [(str(at)[:10], kind, detail) for at, kind, detail in events]


def right(since: datetime = START, hours: int = 24, wh: float = 1e6) -> list[Any]:
    return [(since + timedelta(minutes=5 * n), wh + 100 * n, 1.0) for n in range(12 * hours + 1)]


DAYS = [("2026-06-01", 26400.0), ("2026-06-02", 2400.0)]


def test_a_clock_that_was_never_set_is_left_out_whatever_the_reading(engine: Engine) -> None:
    insert(engine, [(utc(1970, 1, 1, 0, n), 1e6, None) for n in range(3)] + right())
    assert rebuilt(engine) == (
        DAYS,
        [("1970-01-01", "misplaced_samples",
          "samples of this day carry a clock that was clearly wrong: kept, not counted")],
    )  # fmt: skip


@pytest.mark.parametrize("by", [-YEARS, YEARS], ids=["years behind", "years ahead"])
def test_a_clock_that_was_years_off_at_boot_is_left_out_as_an_event(engine: Engine, by: timedelta) -> None:
    wrong = [(at + by, wh, by.total_seconds()) for at, wh, _ in right(utc(2026, 6, 2, 1), 1, 2e6)]
    insert(engine, right() + wrong)
    days, events = rebuilt(engine)
    assert days == DAYS
    assert [kind for _, kind, _ in events] == ["misplaced_samples"]
    assert "1095 days" in events[0][2]


def test_samples_far_in_the_future_with_nothing_before_them_are_left_out(engine: Engine) -> None:
    wrong = [(at + YEARS, wh, None) for at, wh, _ in right(hours=1, wh=2e6)]
    insert(engine, right() + wrong)
    assert rebuilt(engine)[0] == DAYS


def test_a_simulated_year_that_lies_ahead_is_counted(engine: Engine) -> None:
    insert(engine, right())
    assert rebuilt(engine, now=utc(2025, 1, 1))[0] == DAYS


@pytest.mark.parametrize("by", [timedelta(days=-12), timedelta(days=400), timedelta(days=-15000)])
@pytest.mark.parametrize("hours", [(3, 6), (3, 24), (0, 24)])
def test_a_gateway_whose_clock_is_wrong_loses_nothing(engine: Engine, by: timedelta, hours: tuple[int, int]) -> None:
    since, until = (START + timedelta(hours=hour) for hour in hours)
    rows = [
        (at, wh, 1.0 - by.total_seconds() if since <= at <= until else 1.0)
        for at, wh, _ in right(START - timedelta(days=13), 24 * 2, wh=1e6 - 2e5)
        + right(START - timedelta(hours=25), 24, wh=1e6 - 3e4)
        + right()
    ]
    insert(engine, rows)
    days, events = rebuilt(engine)
    assert sum(wh for _, wh in days) == pytest.approx(2e5 + 28800, abs=0.01)
    assert days[-1] == ("2026-06-02", 2400.0)
    assert {kind for _, kind, _ in events} == {"outage"}


@pytest.mark.parametrize("off_h", [1, 10, 30])
def test_a_machine_that_boots_with_its_old_clock_loses_nothing_of_the_outage(engine: Engine, off_h: int) -> None:
    off = timedelta(hours=off_h)
    rows = right(hours=48)
    cut = START + timedelta(hours=6, minutes=2)
    booting = timedelta(minutes=20)
    seen = [row for row in rows if not cut <= row[0] < cut + off + booting]
    old = [(at - off, wh, 1.0 - off.total_seconds()) for at, wh, _ in rows
           if cut + off < at < cut + off + booting]  # fmt: skip
    insert(engine, seen + [(at + timedelta(seconds=7), wh, age) for at, wh, age in old])
    days, events = rebuilt(engine, now=utc(2026, 6, 4))
    assert sum(wh for _, wh in days) == pytest.approx(100 * 12 * 48, abs=0.01)
    assert [kind for _, kind, _ in events] == ["misplaced_samples", "outage"]
    assert f"{off_h}.0 hours behind" in events[0][2]


@pytest.mark.parametrize(
    ("ahead_min", "lasts_min", "kept"),
    [(60, 150, "both"), (60, 150, "the first"), (60, 150, "the last"), (60, 20, "both"), (10, 90, "the last"),
     (200, 330, "the first")],
)  # fmt: skip
def test_a_clock_that_ran_ahead_for_hours_loses_nothing(
    sqlite_url: str, opening: Opening, ahead_min: int, lasts_min: int, kept: str
) -> None:
    engine = opening(sqlite_url)
    ahead, since = timedelta(minutes=ahead_min), START + timedelta(hours=6)
    rows: dict[datetime, tuple[datetime, float, float | None]] = {}
    for at, wh, _ in right(hours=48):
        is_wrong = since <= at < since + timedelta(minutes=lasts_min)
        stamped, age_s = (at + ahead, 1 + 60 * ahead_min) if is_wrong else (at, 1)
        if kept == "both" and not is_wrong:
            stamped += timedelta(seconds=7)
        if kept != "the first" or stamped not in rows:
            rows[stamped] = stamped, wh, age_s
    insert(engine, list(rows.values()))
    days, events = rebuilt(engine, now=utc(2026, 6, 4))
    assert sum(wh for _, wh in days) == pytest.approx(100 * 12 * 48, abs=0.01)
    assert {kind for _, kind, _ in events} <= {"misplaced_samples", "outage"}
    assert f"{ahead_min / 60:.1f} hours ahead" in events[0][2]


@pytest.mark.parametrize("ahead_h", [1, 3, 30, -1, -3])
def test_a_gateway_whose_clock_is_wrong_for_a_while_loses_no_sample(engine: Engine, ahead_h: int) -> None:
    since, until = START + timedelta(hours=6), START + timedelta(hours=11)
    ahead_s = 3600.0 * ahead_h
    insert(engine, [(at, wh, 1.0 - ahead_s if since <= at < until else 1.0)
                    for at, wh, _ in right(hours=48)])  # fmt: skip
    days, events = rebuilt(engine, now=utc(2026, 6, 4))
    assert events == []
    assert sum(wh for _, wh in days) == pytest.approx(100 * 12 * 48, abs=0.01)
    with engine.connect() as connection:
        covered = connection.execute(text("SELECT SUM(covered_s) FROM energy_daily WHERE phase = 'total'")).scalar_one()
    assert covered == 48 * 3600


@pytest.mark.parametrize("places", [{5}, {0}, {-1}, set(range(24 * 12))])
def test_an_age_in_another_unit_is_no_age(sqlite_url: str, opening: Opening, places: set[int]) -> None:
    # Only SQLite ever took one.
    times = [START + timedelta(minutes=5 * n) for n in range(24 * 12)]
    odd = {range(len(times))[place] for place in places}
    rows = [(at, 1e6 + 100 * n, -1_780_000_000_000.0 if n in odd else 2) for n, at in enumerate(times)]
    engine = opening(sqlite_url)
    insert(engine, rows)
    days, events = rebuilt(engine)
    assert sum(wh for _, wh in days) == pytest.approx(100 * (len(times) - 1))
    assert events == []


@pytest.mark.parametrize("ahead_h", [1, 25, 24 * 400])
def test_clocks_that_disagree_cost_two_queries_a_window(engine: Engine, ahead_h: int) -> None:
    ahead = right(NOW)
    insert(engine, right() + [(at, wh, 1.0 - 3600 * ahead_h) for at, wh, _ in ahead])
    queries: list[str] = []
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        event.listen(connection, "before_cursor_execute", lambda *args: queries.append(args[2]))
        check = ClockCheck(connection, 1, to_epoch_s(NOW), to_epoch_s(NOW) + 86_400)
        verdicts = {check.is_misplaced(to_epoch_s(at), 1 - 3600 * ahead_h) for at, *_ in ahead}
    assert verdicts == {False}
    assert len(queries) <= 2


def test_clocks_are_judged_by_the_polls_alone() -> None:
    start_s, off_s = to_epoch_s(START), 7_200
    agreed = [Instant(start_s + 300 * n, 1, 1, 1) for n in (*range(12), *range(50, 60))]
    booting = [Instant(start_s + 300 * n, off_s, -off_s, -off_s) for n in range(12, 16)]
    clocks = Clocks(sorted(agreed + booting), lambda _: [poll.at_s for poll in agreed])
    assert all(clocks.is_misplaced(poll.at_s, 1 - off_s, None) for poll in booting)
    assert not any(clocks.is_misplaced(poll.at_s, 1, None) for poll in agreed)
    for days in (2, 900):
        at_s = start_s - days * 86_400
        assert clocks.is_misplaced(at_s, -days * 86_400, None)
        assert not clocks.is_misplaced(at_s, -days * 86_400, at_s - 300)
