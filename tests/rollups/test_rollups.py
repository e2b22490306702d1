"""Energy tables from raw ones: true, the same live as rebuilt, and the same at every level."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.clock import day_end_s, day_start_s, from_epoch_s, time_zone
from logger.rollups import rollup, verify
from logger.simulator.site import Shape, Site
from tests.conftest import Opening
from tests.sample_data import STATEMENTS, fill, fill_inverters, instant, times, utc

FLOWS = ("production", "consumption", "grid_import", "grid_export", "battery_charge",
         "battery_discharge")  # fmt: skip
ZONES = ["Europe/Amsterdam", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu",
         "America/New_York", "UTC", "Pacific/Auckland"]  # fmt: skip
#: a change of the clock in each zone, in days around it
CHANGES = {
    "Europe/Amsterdam": (date(2026, 3, 29), date(2026, 10, 25)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "America/Santiago": (date(2026, 4, 4), date(2026, 9, 6)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Pacific/Auckland": (date(2026, 4, 5), date(2026, 9, 27)),
}


def rebuild(engine: Engine, now: datetime, gateway_id: int = 1) -> list[Any]:
    with engine.begin() as connection:
        return rollup.rebuild(connection, gateway_id, now=now, gap_s=900, since=None)


def table(engine: Engine, name: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT * FROM {name}")).mappings()
        records = [dict(row) for row in rows]
    return sorted(records, key=lambda row: [str(value) for value in row.values()])


def daily(engine: Engine, phase: str = "total") -> dict[str, dict[str, Any]]:
    return {str(r["day"]): r for r in table(engine, "energy_daily") if r["phase"] == phase}


def test_instants_that_plain_sql_wrote_in_other_ways_are_those_that_they_are(sqlite_url: str, opening: Opening) -> None:
    """Programs write a T, fractions and a zone: of a day with both kinds, rows would be in another order."""
    engine = opening(sqlite_url)
    since = utc(2026, 6, 1)
    moments = times(since, since + timedelta(days=2), 900)
    fill(engine, Site(Shape(), since - timedelta(days=1)), moments, zone="Europe/Amsterdam")
    rebuild(engine, moments[-1])
    raw = ("polls", "production_samples", "consumption_samples", "meter_readings")
    names = (*raw, "energy_15min", "energy_daily", "events")
    before = [table(engine, name) for name in names]
    with engine.begin() as connection:
        for place, name in enumerate(raw):
            for number, form in enumerate(("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.25", "%Y-%m-%d %H:%M:%S+00:00")):
                odd = f"UPDATE {name} SET polled_at = strftime('{form}', polled_at) WHERE polled_at = ?"
                for at in moments[number + place :: 7]:
                    connection.exec_driver_sql(odd, (at.strftime("%Y-%m-%d %H:%M:%S"),))
        connection.execute(text("INSERT INTO polls (gateway_id, polled_at) VALUES (1, 'never')"))
    assert rebuild(engine, moments[-1]) == []
    with engine.begin() as connection:
        assert connection.execute(text("DELETE FROM polls WHERE polled_at = 'never'")).rowcount == 1
    assert [table(engine, name) for name in names] == before


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("which", [0, 1])
def test_days_are_true_through_every_change_of_the_clock(engine: Engine, zone: str, which: int) -> None:
    day = CHANGES.get(zone, (date(2026, 3, 29), date(2026, 10, 25)))[which]
    tz = time_zone(zone)
    first, last = day - timedelta(days=1), day + timedelta(days=1)
    since, until = from_epoch_s(day_start_s(first, tz)), from_epoch_s(day_end_s(last, tz))
    site = Site(Shape(battery=True), since - timedelta(days=2))
    fill(engine, site, times(since, until, 900), zone=zone)
    rebuild(engine, until)
    found = daily(engine)
    for shown in (first, day, last):
        start, end = (from_epoch_s(f(shown, tz)) for f in (day_start_s, day_end_s))
        row = found[str(shown)]
        for flow in FLOWS:
            true = site.energy_between_wh(flow, start, end)
            assert row[f"{flow}_wh"] == pytest.approx(true, abs=0.01), (shown, flow)
        assert row["covered_s"] == (end - start).total_seconds()
        assert row["period_s"] == (end - start).total_seconds()


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"])
def test_quarters_hours_and_days_add_up_at_every_level_and_phase(engine: Engine, zone: str) -> None:
    day = CHANGES.get(zone, (date(2026, 4, 5),))[0]
    tz = time_zone(zone)
    since = from_epoch_s(day_start_s(day - timedelta(days=1), tz))
    until = from_epoch_s(day_end_s(day + timedelta(days=1), tz))
    site = Site(Shape(phases=3, battery=True), since - timedelta(days=1))
    moments = times(since, until, 840)
    seen = [at for at in moments if not 10 <= at.hour < 12]
    fill(engine, site, seen, zone=zone)
    rebuild(engine, until)
    sums: dict[str, dict[tuple[str, str], float]] = {}
    for name in ("energy_15min", "energy_hourly", "energy_daily"):
        sums[name] = {}
        for row in table(engine, name):
            for flow in (*FLOWS, "bridged"):
                key = (row["phase"], flow)
                sums[name][key] = sums[name].get(key, 0.0) + (row[f"{flow}_wh"] or 0.0)
    for key, value in sums["energy_15min"].items():
        assert sums["energy_hourly"][key] == pytest.approx(value, abs=0.001), key
        assert sums["energy_daily"][key] == pytest.approx(value, abs=0.001), key
    total = site.energy_between_wh("production", moments[0], moments[-1])
    assert sums["energy_daily"]["total", "production"] == pytest.approx(total, abs=0.01)
    assert sums["energy_daily"]["total", "bridged"] > 0


def test_live_is_the_same_as_rebuilt(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(phases=3), since - timedelta(days=1))
    moments = [at for at in times(since, since + timedelta(hours=30), 300) if at.hour != 13]
    fill(engine, site, moments[:1], zone="Europe/Amsterdam")
    batches = [moments[n : n + 7] for n in range(1, len(moments), 7)]
    for batch in batches:
        fill_more(engine, site, batch)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = [table(engine, name) for name in ("energy_15min", "energy_hourly", "energy_daily")]
    events = table(engine, "events")
    assert rebuild(engine, moments[-1]) == []
    again = [table(engine, name) for name in ("energy_15min", "energy_hourly", "energy_daily")]
    assert live == again
    assert events == table(engine, "events")


def fill_more(engine: Engine, site: Site, at: list[datetime]) -> None:
    """Append samples; the gateway is there already."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE gateways SET gateway_id = 99, serial = 'x' WHERE 1 = 0"))
    from tests import sample_data  # noqa: PLC0415 - its statements, without the gateway's

    statements = dict(sample_data.STATEMENTS)
    try:
        sample_data.STATEMENTS["gateways"] = statements["gateways"] + " ON CONFLICT DO NOTHING"
        fill(engine, site, at, zone="Europe/Amsterdam")
    finally:
        sample_data.STATEMENTS.update(statements)


def test_late_samples_are_taken_up_by_a_rebuild_of_their_days(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=2), 300)
    early, late = moments[::3], [at for n, at in enumerate(moments) if n % 3]
    fill(engine, site, early, zone="UTC")
    rebuild(engine, moments[-1])
    before = {day: row["production_wh"] for day, row in daily(engine).items()}
    fill_more(engine, site, late)
    rebuild(engine, moments[-1])
    after = {day: row["production_wh"] for day, row in daily(engine).items()}
    assert after == pytest.approx(before, abs=0.001)


def test_a_gap_that_late_samples_fill_was_no_outage(engine: Engine) -> None:
    """Counting goes on from where it began: the last checkpoint of the day before."""
    since = utc(2026, 6, 1, 22)
    site, all_at = Site(Shape(), since - timedelta(days=1)), times(since, since + timedelta(hours=4), 900)
    late = all_at[8:11]
    fill(engine, site, all_at[:2], zone="UTC")
    for at in all_at[2:]:
        if at not in late:
            fill_more(engine, site, [at])
            rollup.bring_up_to_date(engine, 1, now=at, gap_s=900)
    assert [str(row["at"])[11:16] for row in table(engine, "events")] == ["23:45"]
    fill_more(engine, site, late)
    with engine.begin() as connection:  # As whoever stores them does.
        connection.execute(text("DELETE FROM rollup_checkpoints WHERE at >= :at"), {"at": instant(engine, late[0])})
    rollup.bring_up_to_date(engine, 1, now=all_at[-1], gap_s=900)
    assert table(engine, "events") == []


def test_what_is_no_number_in_a_table_is_unknown(engine: Engine) -> None:
    moments = times(utc(2026, 6, 1, 10), utc(2026, 6, 1, 12), 300)
    fill(engine, Site(Shape(), moments[0]), moments, zone="UTC")
    places = [
        ("production_samples", "energy_lifetime_wh"),
        ("meter_readings", "power_w"),
        ("meter_readings", "received_wh"),
    ]
    odd = ["'lots'", "9e999", "x'00ff'"] if engine.dialect.name == "sqlite" else ["'NaN'", "'Infinity'", "'-Infinity'"]
    for value in [*odd, "NULL"]:
        for moment, (table, column) in zip(moments[7:], places, strict=False):
            update = f"UPDATE {table} SET {column} = {value} WHERE polled_at = :at"
            with engine.begin() as connection:
                connection.execute(text(update), {"at": instant(engine, moment)})
        changes = rebuild(engine, moments[-1])
    assert changes == []  # Unknown counts like whatever is no number.


def test_a_rebuild_returns_the_days_that_it_changes(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    fill(engine, site, times(since, since + timedelta(days=3), 900), zone="UTC")
    rebuild(engine, since + timedelta(days=3))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE energy_15min SET production_wh = production_wh + 1000 "
                 "WHERE starts_at = (SELECT min(starts_at) FROM energy_15min "
                 "WHERE starts_at >= '2026-06-02 12:00:00+00')"
                 if engine.dialect.name != "sqlite" else
                 "UPDATE energy_15min SET production_wh = production_wh + 1000 "
                 "WHERE starts_at = '2026-06-02 12:00:00'")
        )  # fmt: skip
        connection.execute(text("UPDATE energy_daily SET production_wh = production_wh + 1000 "
                                "WHERE day = '2026-06-02'"))  # fmt: skip
    changes = rebuild(engine, since + timedelta(days=3))
    assert [str(change.day) for change in changes] == ["2026-06-02"]
    before, after = changes[0].production_kwh
    assert before - after == pytest.approx(1.0)


def test_sites_without_consumption_leave_it_unknown(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    fill(engine, site, times(since, since + timedelta(days=1), 900), zone="UTC", meters=False)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM consumption_samples"))
    rebuild(engine, since + timedelta(days=1))
    row = daily(engine)["2026-06-01"]
    assert row["production_wh"] > 1000
    assert [row[f"{flow}_wh"] for flow in FLOWS[1:]] == [None] * 5


def test_a_day_nobody_measured_is_unknown_and_its_energy_is_bridged(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=3), 300)
    hole = (since + timedelta(hours=20), since + timedelta(hours=50))
    seen = [at for at in moments if not hole[0] < at < hole[1]]
    fill(engine, site, seen, zone="UTC")
    rebuild(engine, moments[-1])
    found = daily(engine)
    assert found["2026-06-02"]["covered_s"] == 0
    assert found["2026-06-02"]["bridged_wh"] == pytest.approx(found["2026-06-02"]["production_wh"])
    whole = site.energy_between_wh("production", since, since + timedelta(days=3))
    assert sum(row["production_wh"] for row in found.values()) == pytest.approx(whole, abs=0.01)
    kinds = {row["kind"] for row in table(engine, "events")}
    assert "outage" in kinds


def test_two_gateways_do_not_mix(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    ends = times(since, since + timedelta(days=1), 900)
    sites = [Site(Shape(seed=seed), since - timedelta(days=1)) for seed in (1, 2)]
    for number, site in enumerate(sites, start=1):
        fill(engine, site, ends, zone="UTC", gateway_id=number)
    for number in (1, 2):
        rebuild(engine, ends[-1], number)
    rows = [r for r in table(engine, "energy_daily") if str(r["day"]) == "2026-06-01"]
    for row in rows:
        true = sites[row["gateway_id"] - 1].energy_between_wh("production", ends[0], ends[-1])
        assert row["production_wh"] == pytest.approx(true, abs=0.01)


def test_instants_are_utc(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    fill(engine, site, times(since, since + timedelta(hours=3), 900), zone="Asia/Kathmandu")
    rebuild(engine, since + timedelta(hours=3))
    with engine.connect() as connection:
        first = connection.execute(text("SELECT min(starts_at) FROM energy_hourly")).scalar_one()
    if isinstance(first, str):
        first = datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert first == datetime(2026, 5, 31, 23, 15, tzinfo=UTC)


def test_a_standstill_of_ten_days_is_bridged_alike_live_and_rebuilt(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    stall = (since + timedelta(days=1, hours=9), since + timedelta(days=11, hours=15))
    moments = times(since, since + timedelta(days=13), 1800)
    fill(engine, site, [], zone="UTC")
    rows: list[dict[str, Any]] = []
    for at in moments:
        counted_at = stall[0] if stall[0] <= at < stall[1] else at
        energy = int(5_000_000 + site.counter_wh("production", counted_at.timestamp()))
        power = site.powers(at.timestamp()).production
        rows.append({"gateway_id": 1, "at": instant(engine, at), "phase": "total",
                     "power_w": power, "energy_wh": energy, "source": "v1"})  # fmt: skip
    for number in range(0, len(rows), 24):
        with engine.begin() as connection:
            connection.execute(text(STATEMENTS["production_samples"]), rows[number : number + 24])
        rollup.bring_up_to_date(engine, 1, now=moments[min(number + 23, len(rows) - 1)], gap_s=3600)
    live = [table(engine, name) for name in ("energy_15min", "energy_daily")]
    with engine.begin() as connection:
        changes = rollup.rebuild(connection, 1, now=moments[-1], gap_s=3600, since=None)
    assert changes == []
    assert live == [table(engine, name) for name in ("energy_15min", "energy_daily")]
    produced = sum(row["production_wh"] for row in daily(engine).values())
    assert produced == pytest.approx(rows[-1]["energy_wh"] - rows[0]["energy_wh"], abs=0.001)
    still = daily(engine)["2026-06-06"]
    assert still["covered_s"] == 0
    assert still["bridged_wh"] == pytest.approx(still["production_wh"])
    kinds = [row["kind"] for row in table(engine, "events")]
    assert kinds.count("stalled_counter") == 1


@pytest.mark.parametrize("age_s", [-7200, 7200])
def test_a_clock_that_is_hours_off_costs_nothing(engine: Engine, age_s: int) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    fill(engine, site, times(since, since + timedelta(days=1), 900), zone="UTC")
    with engine.begin() as connection:
        for name in ("production_samples", "meter_readings", "consumption_samples"):
            connection.execute(text(f"UPDATE {name} SET reading_age_s = {age_s}"))
    rebuild(engine, since + timedelta(days=1))
    row = daily(engine)["2026-06-01"]
    true = site.energy_between_wh("production", since, since + timedelta(days=1))
    assert row["production_wh"] == pytest.approx(true, abs=0.01)
    assert row["covered_s"] == 86400


def test_a_reading_that_stands_still_covers_nothing(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=1), 300)
    frozen = (since + timedelta(hours=8), since + timedelta(hours=14))
    fill(engine, site, moments[:1], zone="UTC")
    for number in range(1, len(moments), 5):
        batch = moments[number : number + 5]
        stand = [at for at in batch if frozen[0] < at < frozen[1]]
        fill_more(engine, site, [at for at in batch if at not in stand])
        for at in stand:
            copy_reading(engine, frozen[0], at)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = table(engine, "energy_15min")
    assert rebuild(engine, moments[-1]) == []
    assert live == table(engine, "energy_15min")
    row = daily(engine)["2026-06-01"]
    assert 86400 - row["covered_s"] == pytest.approx(6 * 3600, abs=300)
    true = site.energy_between_wh("production", since, since + timedelta(days=1))
    assert row["production_wh"] == pytest.approx(true, abs=0.01)


@pytest.mark.parametrize("minutes", [20, 60, 115])
@pytest.mark.parametrize("meter", ["production", "net-consumption"])
def test_consumption_stays_true_when_a_meter_stands_still_and_catches_up(
    engine: Engine, meter: str, minutes: int
) -> None:
    since, until = utc(2026, 6, 1, 7), utc(2026, 6, 1, 14)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, until, 300)
    first, last = since + timedelta(hours=3), since + timedelta(hours=3, minutes=minutes)
    fill(engine, site, moments[:1], zone="UTC")
    for number in range(1, len(moments), 3):
        batch = moments[number : number + 3]
        fill_more(engine, site, batch)
        stand_still(engine, meter, first, last)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    assert rebuild(engine, moments[-1]) == []
    assert live == [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    day = daily(engine)["2026-06-01"]
    for name in ("production", "consumption", "grid_import", "grid_export"):
        true = site.energy_between_wh(name, since, until)
        assert day[f"{name}_wh"] == pytest.approx(true, abs=0.1), name
    hours = [row for row in table(engine, "energy_hourly") if row["phase"] == "total"]
    assert all(row["consumption_wh"] > 0 for row in hours)


def stand_still(engine: Engine, meter: str, first: datetime, last: datetime) -> None:
    """Let a meter's counters stand between two instants where they were at the first."""
    columns = {
        "meter_readings": ("delivered_wh", "received_wh"),
        f"{meter.removeprefix('net-')}_samples": ("energy_lifetime_wh",),
    }
    bind = {"first": instant(engine, first), "last": instant(engine, last), "meter": meter}
    with engine.begin() as connection:
        for name, counters in columns.items():
            measured = name != "production_samples"
            of = "AND measurement = :meter" if measured else ""
            for counter in counters:
                connection.execute(
                    text(
                        f"UPDATE {name} SET {counter} = (SELECT one.{counter} FROM {name} one "
                        f"WHERE one.phase = {name}.phase AND one.polled_at = :first {of}) "
                        f"WHERE polled_at > :first AND polled_at < :last {of}"
                    ),
                    bind,
                )


@pytest.mark.parametrize("minutes", [5, 35])
@pytest.mark.parametrize("meter", ["production", "net-consumption", "storage"])
def test_what_others_count_while_a_meter_is_broken_off_is_no_consumption(
    engine: Engine, meter: str, minutes: int
) -> None:
    since, until = utc(2026, 6, 1, 7), utc(2026, 6, 1, 14)
    site = Site(Shape(battery=True), since - timedelta(days=1))
    last_good = since + timedelta(hours=4, minutes=5)
    anew = last_good + timedelta(minutes=minutes)
    moments = [at for at in times(since, until, 300) if not last_good < at < anew]
    fill(engine, site, moments[:1], zone="UTC")
    for number in range(1, len(moments), 5):
        batch = moments[number : number + 5]
        fill_more(engine, site, batch)
        begin_anew(engine, meter, max(anew, batch[0]))
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    assert rebuild(engine, moments[-1]) == []
    assert live == [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    known = sum(site.energy_between_wh("consumption", *ends) for ends in ((since, last_good), (anew, until)))
    assert daily(engine)["2026-06-01"]["consumption_wh"] == pytest.approx(known, abs=0.1)
    assert "counter_reset" in [row["kind"] for row in table(engine, "events")]


def begin_anew(engine: Engine, meter: str, since: datetime) -> None:
    """Let a meter's counters have begun anew; call it once for each sample from then on."""
    bind = {"since": instant(engine, since), "meter": meter}
    with engine.begin() as connection:
        for counter in ("delivered_wh", "received_wh"):
            connection.execute(
                text(f"UPDATE meter_readings SET {counter} = {counter} - 4900000 "
                     "WHERE polled_at >= :since AND measurement = :meter"), bind)  # fmt: skip
        if meter == "production":
            connection.execute(
                text("UPDATE production_samples SET energy_lifetime_wh = "
                     "energy_lifetime_wh - 4900000 WHERE polled_at >= :since"), bind)  # fmt: skip


def copy_reading(engine: Engine, before: datetime, at: datetime) -> None:
    """Repeat at an instant what was read before, as a meter does whose time stands still."""
    bind = {"at": instant(engine, at), "before": instant(engine, before),
            "age": int((at - before).total_seconds())}  # fmt: skip
    columns = {
        "production_samples": "phase, power_w, energy_lifetime_wh, source",
        "meter_readings": "measurement, phase, power_w, delivered_wh, received_wh",
        "consumption_samples": "measurement, phase, power_w, energy_lifetime_wh, source",
    }
    with engine.begin() as connection:
        for name, words in columns.items():
            connection.execute(
                text(f"INSERT INTO {name} (gateway_id, polled_at, reading_age_s, {words}) "
                     f"SELECT gateway_id, :at, :age, {words} FROM {name} "
                     "WHERE polled_at = :before"), bind)  # fmt: skip


@pytest.mark.parametrize("missing", ["net-consumption", "production"])
def test_a_meter_that_is_silent_for_days_leaves_consumption_true_as_a_whole(engine: Engine, missing: str) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(phases=2), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=5), 600)
    silent = (since + timedelta(hours=33), since + timedelta(hours=90))
    fill(engine, site, moments[:1], zone="Europe/Amsterdam")
    for number in range(1, len(moments), 30):
        batch = moments[number : number + 30]
        fill_more(engine, site, batch)
        bind = {"since": instant(engine, silent[0]), "until": instant(engine, silent[1])}
        where = "polled_at > :since AND polled_at < :until"
        with engine.begin() as connection:
            connection.execute(text(f"DELETE FROM meter_readings WHERE measurement = '{missing}' AND {where}"), bind)
            if missing == "production":
                connection.execute(text(f"DELETE FROM production_samples WHERE {where}"), bind)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    assert rebuild(engine, moments[-1]) == []
    assert live == [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    for phase in ("total", "L1", "L2"):
        whole = daily(engine, phase)
        number = int(phase[1]) if phase != "total" else 0
        consumed = sum(row["consumption_wh"] for row in whole.values())
        true = site.counter_wh("production", moments[-1].timestamp(), number) - site.counter_wh(
            "production", since.timestamp(), number
        )
        true -= site.counter_wh("standby", moments[-1].timestamp(), number) - site.counter_wh(
            "standby", since.timestamp(), number
        )
        for flow, sign in (("grid_import", 1), ("grid_export", -1)):
            true += sign * site.counter_wh(flow, moments[-1].timestamp(), number)
            true -= sign * site.counter_wh(flow, since.timestamp(), number)
        assert consumed == pytest.approx(true, abs=0.05), phase
    hidden = [r["consumption_wh"] for r in table(engine, "energy_15min") if r["phase"] == "total"
              and str(r["starts_at"])[:10] == "2026-06-03"]  # fmt: skip
    assert max(hidden) - min(hidden) <= 0.001


@pytest.mark.parametrize("at", ["garbage", "", "infinity", "9999-12-31 23:59:59", "2026-02-31 00:00:00"])
def test_an_event_of_no_instant_keeps_nothing_from_being_counted_and_checked(engine: Engine, at: str) -> None:
    if engine.dialect.name == "postgresql" and at not in {"infinity", "9999-12-31 23:59:59"}:
        return  # It takes no such text.
    since = utc(2026, 6, 1)
    moments = times(since, since + timedelta(hours=1), 900)
    fill(engine, Site(Shape(), since - timedelta(days=1)), moments, zone="UTC")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO events (gateway_id, at, kind, subject) VALUES (1, :at, 'x', '')"), {"at": at}
        )
    rollup.bring_up_to_date(engine, 1, now=moments[-1], gap_s=900)
    assert len(table(engine, "energy_15min")) >= 3
    with engine.connect() as connection:
        assert connection.execute(text("SELECT utc_offset_s FROM events WHERE kind = 'x'")).scalars().all() == [None]
        connection.execute(text("UPDATE events SET kind = 'counter_reset' WHERE kind = 'x'"))
        assert list(verify.findings(connection, 1, now=moments[-1], gap_s=900, whole=True)) == []


def test_what_happens_to_single_inverters_is_an_event(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=2), 900)
    fill(engine, site, moments, zone="UTC")
    rows = []
    for at in moments:
        produced_wh = site.counter_wh("production", at.timestamp()) / 12
        late = at > since + timedelta(hours=36)
        for serial, value in (
            ("wraps", produced_wh - (2**32 / 3600 if late else 0) + 1_193_000),
            ("starts anew", produced_wh + (0 if late else 70_000)),
            ("dips", produced_wh + (0 if at == since + timedelta(hours=36) else 9_000)),
        ):
            rows.append({"at": instant(engine, at), "serial": serial, "wh": round(value, 3)})
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO inverter_samples (gateway_id, reported_at, serial, "
                "energy_lifetime_wh) VALUES (1, :at, :serial, :wh)"
            ),
            rows,
        )
    for _ in range(2):  # The ledger of totals and that of inverters leave each other's alone.
        rebuild(engine, moments[-1])
    subjects = [row["subject"] for row in table(engine, "events")]
    assert sorted(subjects)[:2] == ["day's production"] * 2  # These make a quarter of what was counted.
    events = {(row["subject"], row["kind"]) for row in table(engine, "events") if row["subject"].startswith("inverter")}
    assert events == {
        ("inverter wraps", "counter_wrap"),
        ("inverter starts anew", "counter_reset"),
        ("inverter dips", "counter_dip"),
    }


def test_what_an_inverter_made_by_its_first_report_belongs_to_the_morning(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    fill(engine, Site(Shape(), since), [since], zone="UTC")
    rows, value = [], 70_000.0
    for at in times(since, since + timedelta(days=3), 900):
        if 8 <= at.hour < 18:
            value += 50
            rows.append({"at": instant(engine, at), "wh": value})
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO inverter_samples (gateway_id, reported_at, serial, "
                "energy_lifetime_wh) VALUES (1, :at, 'a', :wh)"
            ),
            rows,
        )
    rebuild(engine, since + timedelta(days=3))
    energies = [row["energy_wh"] for row in table(engine, "inverter_daily")]
    assert energies == [39 * 50, 40 * 50, 40 * 50]


@pytest.mark.parametrize(("first_h", "last_h"), [(59, 110), (35, 120), (60, 200)])
def test_an_inverter_that_was_silent_for_days_keeps_its_energy(engine: Engine, first_h: int, last_h: int) -> None:
    since = utc(2026, 6, 1)
    fill(engine, Site(Shape(), since), [since], zone="UTC")
    rows: list[dict[str, Any]] = []
    value = 70_000.0
    for at in times(since, since + timedelta(days=9), 900):
        if 6 <= at.hour < 20:
            value += 50
            rows.append({"at": at, "serial": "a", "wh": value})
            if not first_h <= (at - since).total_seconds() / 3600 < last_h:
                rows.append({"at": at + timedelta(minutes=3), "serial": "b", "wh": value})
    insert = text(
        "INSERT INTO inverter_samples (gateway_id, reported_at, serial, energy_lifetime_wh) "
        "VALUES (1, :at, :serial, :wh)"
    )
    now = since
    while rows:
        now += timedelta(hours=6)
        ready = [row for row in rows if row["at"] <= now]
        rows = rows[len(ready) :]
        with engine.begin() as connection:
            if ready:
                connection.execute(insert, [row | {"at": instant(engine, row["at"])} for row in ready])
        rollup.bring_up_to_date(engine, 1, now=now, gap_s=900)
    live = table(engine, "inverter_daily")
    energy = sum(row["energy_wh"] for row in live if row["serial"] == "b")
    assert energy == pytest.approx(value - 70_050.0, abs=0.001)
    rebuild(engine, now)
    assert table(engine, "inverter_daily") == live


@pytest.mark.parametrize(("column", "value"), [("power_w", 4_294_967_292.0), ("energy_interval_wh", 65_535.0)])
def test_a_report_of_more_than_an_inverter_makes_is_an_event_and_no_energy(
    engine: Engine, column: str, value: float
) -> None:
    since = utc(2026, 6, 1)
    fill(engine, Site(Shape(), since), [since], zone="UTC")
    rows = [
        {"at": instant(engine, at), "power_w": 200.0, "energy_interval_wh": 50.0}
        for at in times(since + timedelta(hours=8), since + timedelta(hours=16), 900)
    ]
    rows[10] |= {column: value}
    if column == "power_w":
        rows = [row | {"energy_interval_wh": None} for row in rows]
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO inverter_samples (gateway_id, reported_at, serial, power_w, "
                "energy_interval_wh, interval_s) "
                "VALUES (1, :at, 'a', :power_w, :energy_interval_wh, 900)"
            ),
            rows,
        )
    rebuild(engine, since + timedelta(days=1))
    (day,) = table(engine, "inverter_daily")
    assert day["energy_wh"] == 50.0 * (len(rows) - 1)
    assert day["peak_power_w"] == 200.0
    events = [(event["kind"], event["subject"]) for event in table(engine, "events")]
    assert events == [("suspect_increment", "inverter a")]


def test_a_report_from_another_time_makes_no_days(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since)
    moments = times(since, since + timedelta(days=2), 900)
    fill(engine, site, moments[:1], zone="UTC")
    fill_inverters(engine, site, moments, {"a": 1.0})
    rebuild(engine, moments[-1])
    before = table(engine, "inverter_daily")
    assert [str(row["day"]) for row in before] == ["2026-06-01", "2026-06-02"]
    with engine.begin() as connection:
        for at, wh in ((utc(2000, 1, 1), 0.0), (utc(2030, 1, 1), 10_000_000.0)):
            connection.execute(
                text("INSERT INTO inverter_samples (gateway_id, reported_at, serial, "
                     "energy_lifetime_wh) VALUES (1, :at, 'a', :wh)"),
                {"at": instant(engine, at), "wh": wh})  # fmt: skip
    rebuild(engine, moments[-1])
    assert table(engine, "inverter_daily") == before


def test_a_power_that_the_site_cannot_have_is_no_peak(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=1), 300)
    fill(engine, site, moments, zone="UTC")
    rebuild(engine, moments[-1])
    before = table(engine, "energy_daily")
    with engine.begin() as connection:
        for name in ("production_samples", "consumption_samples"):
            connection.execute(
                text(f"UPDATE {name} SET power_w = 900000 WHERE polled_at = :at"),
                {"at": instant(engine, since + timedelta(hours=3))},
            )
    rebuild(engine, moments[-1])
    assert table(engine, "energy_daily") == before
    assert before[0]["peak_production_w"] > 1_000


def test_a_meter_that_is_gone_for_good_is_an_event_after_a_week(engine: Engine) -> None:
    since = utc(2026, 6, 1)
    site = Site(Shape(), since - timedelta(days=1))
    moments = times(since, since + timedelta(days=11), 1800)
    fill(engine, site, moments[:1], zone="UTC")
    for number in range(1, len(moments), 23):
        batch = moments[number : number + 23]
        fill_more(engine, site, batch)
        with engine.begin() as connection:
            connection.execute(
                text("DELETE FROM meter_readings WHERE measurement = 'net-consumption' AND polled_at > :at"),
                {"at": instant(engine, since + timedelta(days=2, minutes=30))},
            )
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=3600)
    live = [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    with engine.begin() as connection:
        assert rollup.rebuild(connection, 1, now=moments[-1], gap_s=3600, since=None) == []
    assert live == [table(engine, name) for name in ("energy_15min", "energy_daily", "events")]
    (outage,) = live[2]
    assert outage["subject"] == "grid export, grid import"
    assert str(outage["at"])[:10] == "2026-06-10"
    assert outage["detail"] == "nothing measured since 2026-06-03 00:30:00; no longer waited for"
    day = daily(engine)["2026-06-11"]
    for name in ("consumption", "grid_import", "grid_export"):
        true = site.energy_between_wh(name, utc(2026, 6, 11), utc(2026, 6, 12))
        assert day[f"{name}_wh"] == pytest.approx(true, rel=0.2), name
