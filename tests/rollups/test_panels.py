"""Panels of a site whose inverters' samples were filled in: the same live as rebuilt, and found by db check."""

import math
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, text

from logger.reports.energy import sites_of
from logger.reports.panels import panel_report, standing_panels
from logger.rollups import panels, rollup
from logger.rollups.site import site_of
from logger.rollups.verify import findings
from logger.store.database import open_engine
from logger.store.models import EVENTS, GATEWAYS, INVERTER_SAMPLES, INVERTERS, PANELS
from tests.panel_sites import Fault, PanelSite, Place, Plan
from tests.panel_years import fill_days, misnamed, states_of
from tests.rollups.test_rollups import table
from tests.sample_data import utc

SINCE = utc(2026, 3, 1)
STEP = timedelta(minutes=30)
FAULT = 60  #: the day on which panels fall ill
TABLES = ("inverter_daily", "inverter_hours", "panel_daily", "events")
WEAK, DEAD, SILENT, REMOVED, FIRST = "1205", "1206", "1207", "1208", "1201"
SERIALS = [str(1200 + number) for number in range(1, 9)]


def reports(serial: str, days: range, *, seed: int, towards_h: float = 12.5) -> Iterator[dict[str, Any]]:
    """Yield what an inverter reports from dawn to dusk: its register grows with the sun."""
    lifetime_wh = 10_000.0
    for day in range(days.stop):
        sky, own = random.Random(f"{seed} {day}"), random.Random(f"{seed} {day} {serial}")
        weather, noise = sky.uniform(0.4, 1.0), own.gauss(1, 0.02)
        for half in range(12, 42):
            sun = max(0.0, math.cos((half / 2 - towards_h) / 7 * math.pi / 2))
            power_w = 300 * sun * weather * noise
            if day >= FAULT:
                power_w *= {WEAK: 0.8, DEAD: 0.0}.get(serial, 1.0)
            lifetime_wh += power_w / 2
            gone = day >= FAULT and serial in {SILENT, REMOVED}
            if day in days and not gone:
                at = SINCE + timedelta(days=day) + half * STEP
                yield {
                    "gateway_id": 1,
                    "reported_at": at,
                    "serial": serial,
                    "power_w": round(power_w, 1),
                    "energy_lifetime_wh": round(lifetime_wh, 3),
                }


def fill(engine: Engine, days: range, **towards_h: float) -> None:
    rows = [
        row for serial in SERIALS for row in reports(serial, days, seed=1, towards_h=towards_h.get(f"s{serial}", 12.5))
    ]
    with engine.begin() as connection:
        connection.execute(insert(INVERTER_SAMPLES), sorted(rows, key=lambda row: str(row["reported_at"])))


def new_site(engine: Engine, zone: str = "UTC") -> None:
    with engine.begin() as connection:
        connection.execute(insert(GATEWAYS), [{"gateway_id": 1, "name": "roof", "serial": "1", "time_zone": zone}])
        removed = {"gateway_id": 1, "at": SINCE + timedelta(days=FAULT, hours=7), "kind": "inverter_removed"}
        connection.execute(insert(EVENTS), [{**removed, "subject": REMOVED, "detail": "no longer listed"}])


def rebuilt(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=now, gap_s=900, since=None)


def changes(engine: Engine, serial: str) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for row in table(engine, "panel_daily"):
        if row["serial"] == serial and (not found or found[-1][0] != row["state"]):
            found.append((row["state"], str(row["day"])))
    return found


def events(engine: Engine) -> list[tuple[str, str, str]]:
    query = "SELECT kind, subject, detail FROM events WHERE kind LIKE '%\\_panel' ESCAPE '\\' ORDER BY at, kind"
    with engine.connect() as connection:
        return [(kind, subject, detail) for kind, subject, detail in connection.execute(text(query))]


def test_ill_panels_are_named_each_once_and_live_is_the_same_as_rebuilt(engine: Engine) -> None:
    new_site(engine, "Europe/Amsterdam")
    dice, day, end = random.Random(3), 0, FAULT + 22
    while day < end:
        step = min(end - day, dice.choice([1, 1, 2, 9, 30]))
        fill(engine, range(day, day + step))
        day += step
        rollup.bring_up_to_date(engine, 1, now=SINCE + timedelta(days=day), gap_s=900)
    live = [table(engine, name) for name in TABLES]
    for serial, state in ((DEAD, "dead"), (SILENT, "silent"), (REMOVED, "removed")):
        assert [own for own, _ in changes(engine, serial)] == ["fine", state]
    assert changes(engine, DEAD)[1][1] == changes(engine, SILENT)[1][1] == "2026-05-01"
    assert changes(engine, REMOVED)[1][1] == "2026-04-30"
    assert [own for own, _ in changes(engine, WEAK)] == ["fine", "weak"]
    assert {own for serial in SERIALS[:4] for own, _ in changes(engine, serial)} == {"fine"}
    named = [(kind, subject) for kind, subject, _ in events(engine)]
    assert sorted(named) == [("dead_panel", "panel 1206"), ("silent_panel", "panel 1207"), ("weak_panel", "panel 1205")]
    rebuilt(engine, SINCE + timedelta(days=end))
    for name, before in zip(TABLES, live, strict=True):
        assert table(engine, name) == before, name


def test_the_hours_of_a_day_are_kept_once_it_is_over(engine: Engine) -> None:
    """Panels are judged by days that are over: what nobody reads yet need not be written each quarter hour."""
    new_site(engine)
    for day in range(3):
        fill(engine, range(day, day + 1))
        rollup.bring_up_to_date(engine, 1, now=SINCE + timedelta(days=day, hours=22), gap_s=900)
        kept = {str(row["day"])[:10] for row in table(engine, "inverter_hours")}
        assert kept == {f"2026-03-{1 + own:02}" for own in range(day)}


def test_days_are_judged_by_what_is_known_of_them_in_the_end(engine: Engine) -> None:
    """A single report says nothing of its day: what was made is known by the next, not of all panels at once.

    And a report at midnight ends a day, with nothing of the next one.
    """
    new_site(engine)
    for hour, number in [(hour, number) for hour in (16, 30, 48, 55) for number in range(8)]:
        at = SINCE + timedelta(hours=hour, minutes=0 if hour == 48 else number)
        made_wh = 10_000.0 + max(0, hour - 30)
        report = {"gateway_id": 1, "serial": SERIALS[number], "power_w": 4.0, "energy_lifetime_wh": made_wh}
        with engine.begin() as connection:
            connection.execute(insert(INVERTER_SAMPLES), [report | {"reported_at": at}])
        rollup.bring_up_to_date(engine, 1, now=at, gap_s=900)
    live = [table(engine, name) for name in TABLES]
    assert {str(row["day"])[:10] for row in table(engine, "inverter_hours")} == {"2026-03-01", "2026-03-02"}
    assert [row["energy_wh"] for row in table(engine, "panel_daily")] == [0.0] * 8 + [18.0] * 8
    rebuilt(engine, at)
    assert [table(engine, name) for name in TABLES] == live


def test_what_was_made_before_reports_had_a_register_stays(engine: Engine) -> None:
    """A newer firmware brings one; a rebuild looks at days before and after it at once."""
    new_site(engine)
    for hour in (*range(6, 19), *range(30, 43)):
        at = SINCE + timedelta(hours=hour)
        of = {"gateway_id": 1, "reported_at": at, "power_w": 100.0}
        lifetime_wh = 10_000.0 + 100 * hour if hour >= 34 else None
        with engine.begin() as connection:
            rows = [of | {"serial": serial, "energy_lifetime_wh": lifetime_wh} for serial in SERIALS[:2]]
            connection.execute(insert(INVERTER_SAMPLES), rows)
        if hour % 6 == 0:
            rollup.bring_up_to_date(engine, 1, now=at, gap_s=900)
    live = [table(engine, name) for name in TABLES]
    # Of an hour after none, and of one after a night, a quarter is taken for sure.
    assert [row["energy_wh"] for row in table(engine, "inverter_daily")] == [1125.0] * 2 + [1050.0] * 2
    rebuilt(engine, at)
    assert [table(engine, name) for name in TABLES] == live


def test_a_day_that_is_cut_off_was_not_measured_also_where_nothing_else_is_known(sqlite_url: str) -> None:
    """Whether the site's energy was counted by then, as it is later, is chance."""
    engine = open_engine(sqlite_url)
    new_site(engine)
    for hour in (8, 9, 10, 34, 35, 36):
        at = SINCE + timedelta(hours=hour)
        with engine.begin() as connection:
            row = {"gateway_id": 1, "serial": FIRST, "reported_at": at, "power_w": 100.0}
            connection.execute(insert(INVERTER_SAMPLES), [row])
        rollup.bring_up_to_date(engine, 1, now=at, gap_s=900)
    assert [row["covered_s"] for row in table(engine, "inverter_daily")] == [0, 0]
    engine.dispose()


def test_a_check_finds_a_spoilt_panel_and_nothing_else(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    fill(engine, range(40))
    now = SINCE + timedelta(days=40)
    rollup.bring_up_to_date(engine, 1, now=now, gap_s=900)

    def found() -> list[str]:
        with engine.connect() as connection:
            return list(findings(connection, 1, now=now, gap_s=900, whole=True))

    assert found() == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE panel_daily SET state = 'weak' WHERE serial = '1201' AND day = '2026-03-20'"))
    assert len(found()) == 1
    assert "panel_daily: 1 days (2026-03-20 to 2026-03-20)" in found()[0]
    engine.dispose()


def test_panels_that_face_another_way_are_an_array_of_their_own(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    fill(engine, range(30), s1201=10.0, s1202=10.0, s1203=10.0)
    rebuilt(engine, SINCE + timedelta(days=30))
    last = [row for row in table(engine, "panel_daily") if str(row["day"]) == "2026-03-29"]
    arrays = {row["serial"]: row["array"] for row in last}
    assert len(set(arrays.values())) == 2
    assert {serial for serial, array in arrays.items() if array == arrays[FIRST]} == {"1201", "1202", "1203"}
    assert {row["state"] for row in last} == {"fine"}
    engine.dispose()


def test_configured_arrays_are_kept_to(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    rows = [{"gateway_id": 1, "serial": serial, "array": "shed" if serial < "1203" else "roof"} for serial in SERIALS]
    with engine.begin() as connection:
        connection.execute(insert(PANELS), rows)
    fill(engine, range(4))
    rebuilt(engine, SINCE + timedelta(days=4))
    assert {(row["serial"], row["array"]) for row in table(engine, "panel_daily")} == {
        (row["serial"], row["array"]) for row in rows
    }
    engine.dispose()


def test_a_unit_in_the_place_of_another_begins_anew_and_the_other_was_removed(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    fill(engine, range(FAULT + 10))
    new = [
        {**row, "serial": "1299"} for row in reports("1201", range(FAULT + 1, FAULT + 10), seed=1)
    ]  # in the place of SILENT, a day later
    with engine.begin() as connection:
        connection.execute(delete(EVENTS))  # Of which another would be the nearer.
        connection.execute(insert(INVERTER_SAMPLES), new)
    rebuilt(engine, SINCE + timedelta(days=FAULT + 10))
    assert [own for own, _ in changes(engine, SILENT)] == ["fine", "removed"]
    assert [own for own, _ in changes(engine, "1299")] == ["fine"]
    assert not [kind for kind, subject, _ in events(engine) if subject == f"panel {SILENT}"]
    engine.dispose()


@pytest.mark.parametrize("panels", [0, 1])
def test_without_neighbours_nothing_is_said(sqlite_url: str, panels: int) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    rows = [row for serial in SERIALS[:panels] for row in reports(serial, range(5), seed=1)]
    with engine.begin() as connection:
        if rows:
            connection.execute(insert(INVERTER_SAMPLES), rows)
    rebuilt(engine, SINCE + timedelta(days=5))
    assert {row["state"] for row in table(engine, "panel_daily")} <= {None}
    engine.dispose()


def test_the_report_of_panels_has_a_row_per_day_and_panel(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    fill(engine, range(FAULT + 20))
    rebuilt(engine, SINCE + timedelta(days=FAULT + 20))
    with engine.begin() as connection:
        connection.execute(insert(PANELS).values(gateway_id=1, serial=WEAK, name="over the door", array=None))
        report = panel_report(connection, now=SINCE + timedelta(days=FAULT + 20), since="2026-05-18")
    last = {row[2]: row for row in report.rows}
    assert list(last) == SERIALS
    assert last[WEAK][6] == "over the door"
    assert last[WEAK][5] == pytest.approx(80, abs=3)
    assert [last[serial][8] for serial in SERIALS[4:]] == ["weak", "dead", "silent", "removed"]
    assert last[SILENT][3] is None
    assert last[DEAD][3] == 0
    engine.dispose()


def test_ten_faults_of_a_year_are_named_within_a_fortnight_and_nothing_else(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    kinds = ("dead", "tenth", "fifth", "morning", "sparse", "removed", "replaced", "clipped")
    days = (100, 120, 150, 170, 190, 200, 203, 140)
    faults = [Fault(kind, panel, day) for panel, (kind, day) in enumerate(zip(kinds, days, strict=True))]
    faults += [Fault("silent", 8, 204), Fault("snow", None, 225, 4), Fault("soiling", None, 90)]
    place = Place("UTC", 45.0, 0.0, 0.6, 0.3)
    site = PanelSite(Plan(3, place, panels=16, days=240, start=SINCE, noise=0.03, faults=tuple(faults)))
    fill_days(engine, site, "seen")
    fill(engine, range(1))  # So that it is known that inverters were seen after their reports.
    with engine.begin() as connection:
        panels.bring_up_to_date(connection, site_of(connection, 1))
    assert list(misnamed(site, states_of(engine, site), "seen")) == []
    named = [(kind, subject) for kind, subject, _ in events(engine)]
    assert len(named) == len(set(named))
    engine.dispose()


def test_an_inverter_that_is_listed_and_never_reported_is_silent(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    new_site(engine)
    fill(engine, range(5))
    never = {"gateway_id": 1, "serial": "1298", "last_seen_at": SINCE + timedelta(days=9)}
    with engine.begin() as connection:
        connection.execute(insert(INVERTERS), [never])
    rebuilt(engine, SINCE + timedelta(days=5))
    assert changes(engine, "1298")[-1][0] == "silent"
    with engine.connect() as connection:
        last = standing_panels(connection, sites_of(connection, None, inverters=True)[0], date(2026, 3, 5))[0]
    assert (last.serial, last.state, last.energy_kwh) == ("1298", "silent", None)
    engine.dispose()
