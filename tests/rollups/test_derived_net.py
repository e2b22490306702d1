"""Sites that count consumption but neither import nor export (rule C3): power decides between them.

The counters bound what power gives, and what the house's own counter counts stands.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from logger.rollups import rollup
from logger.rollups.prune import prune
from tests.sample_data import STATEMENTS, instant, times, utc

SINCE = utc(2026, 6, 1)
STEP_S = 300
DAYS = 6
#: The sun: 4 kW from 8 to 16. The house: 500 W, and 5 kW on the third day.
MADE_WH, USED_WH = 32_000, [12_000, 12_000, 120_000, 12_000, 12_000, 12_000]
SILENT = SINCE + timedelta(days=1, hours=10), SINCE + timedelta(days=4, hours=10)


def made_w(at: datetime) -> float:
    return 4_000.0 if 8 <= at.hour < 16 else 0.0


def used_w(at: datetime) -> float:
    return 5_000.0 if at.day == 3 else 500.0


def fill(engine: Engine, at: list[datetime], source: str, production: str) -> None:
    """Fill the raw tables; production is ``there``, ``missing`` or ``stalled`` while silent."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in STATEMENTS}
    made_wh, used_wh, stalled_wh = 3e6, 2e6, None
    wanted = set(at)
    for now in times(SINCE, SINCE + timedelta(days=DAYS), STEP_S):
        key = {"gateway_id": 1, "at": instant(engine, now), "phase": "total"}
        silent = production != "there" and SILENT[0] <= now < SILENT[1]
        shown_wh: float | None = made_wh
        if silent:
            stalled_wh = stalled_wh or made_wh
            shown_wh = stalled_wh if production == "stalled" else None
        power_w = None if silent and production == "missing" else made_w(now)
        if now in wanted:
            rows["polls"].append(key)
            sample = {**key, "power_w": power_w, "energy_wh": shown_wh, "source": source}
            rows["production_samples"].append(sample)
            total = {**key, "measurement": "total-consumption", "power_w": used_w(now)}
            rows["consumption_samples"].append(total | {"energy_wh": used_wh, "source": source})
            if source == "ct":
                both = {"delivered_wh": used_wh, "received_wh": 5.0}
                rows["meter_readings"].append(total | both)
            net_w = None if power_w is None else used_w(now) - power_w
            net = {**key, "measurement": "net-consumption", "power_w": net_w}
            net |= {"energy_wh": None, "source": "derived" if source == "ct" else "eim"}
            rows["consumption_samples"].append(net)
        made_wh += made_w(now) * STEP_S / 3600
        used_wh += used_w(now) * STEP_S / 3600
    known = {"gateway_id": 1, "name": "roof", "serial": "1", "time_zone": "UTC", "phases": 1}
    rows["gateways"] = [known | {"peak": 5.0}] if at[0] == SINCE else []
    with engine.begin() as connection:
        for name, statement in STATEMENTS.items():
            if rows[name]:
                connection.execute(text(statement), rows[name])


def days(engine: Engine, *names: str) -> list[list[float]]:
    words = ", ".join(f"{name}_wh" for name in names)
    query = f"SELECT {words} FROM energy_daily WHERE phase = 'total' ORDER BY day"
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(text(query))]


def everything(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [
            sorted(str(row) for row in connection.execute(text(f"SELECT {words} FROM {name}")))
            for name, words in (("energy_15min", "*"), ("events", "at, kind, subject, detail"))
        ]


def rebuild(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        rollup.rebuild(connection, 1, now=at, gap_s=900, since=None)


@pytest.mark.parametrize("source", ["ct", "eim"])
@pytest.mark.parametrize("production", ["missing", "stalled"])
def test_consumption_follows_its_own_counter_whatever_production_does(
    engine: Engine, source: str, production: str
) -> None:
    moments = times(SINCE, SINCE + timedelta(days=DAYS), STEP_S)
    fill(engine, moments, source, production)
    rebuild(engine, moments[-1])
    found = days(engine, "production", "consumption", "grid_import", "grid_export")
    for (produced, consumed, imported, exported), true_wh in zip(found[:DAYS], USED_WH, strict=False):
        assert consumed == pytest.approx(true_wh, abs=0.01)
        assert imported <= consumed + 0.01
        if production == "missing":
            assert exported <= produced + 0.01
            assert imported - exported == pytest.approx(consumed - produced, rel=0.02, abs=100)


def test_a_stuck_counter_changes_no_import_and_export_from_power(engine: Engine) -> None:
    moments = times(SINCE, SINCE + timedelta(days=DAYS), STEP_S)
    fill(engine, moments, "ct", "stalled")
    rebuild(engine, moments[-1])
    for number in (1, 3, 4, 5):
        imported, exported = days(engine, "grid_import", "grid_export")[number]
        assert (imported, exported) == pytest.approx((8_000, 28_000), abs=200)


def test_a_power_that_no_site_can_have_is_left_out_as_an_event(engine: Engine) -> None:
    moments = times(SINCE, SINCE + timedelta(days=1), STEP_S)
    fill(engine, moments, "ct", "there")
    odd = SINCE + timedelta(hours=11, minutes=40)
    with engine.begin() as connection:
        words = "UPDATE {} SET power_w = {} WHERE polled_at = :at AND {}"
        for name, power_w, where in (
            ("production_samples", 300_000, "phase = 'total'"),
            ("consumption_samples", -299_500, "measurement = 'net-consumption'"),
        ):
            statement = words.format(name, power_w, where)
            connection.execute(text(statement), {"at": instant(engine, odd)})
    rebuild(engine, moments[-1])
    (imported, exported), *_ = days(engine, "grid_import", "grid_export")
    assert (imported, exported) == pytest.approx((8_000, 28_000), abs=200)
    with engine.connect() as connection:
        events = connection.execute(text("SELECT kind, subject FROM events")).all()
    assert [tuple(row) for row in events] == [("suspect_power", "net power total")]


@pytest.mark.parametrize("production", ["missing", "stalled"])
def test_import_and_export_are_the_same_live_as_rebuilt(engine: Engine, production: str) -> None:
    moments = times(SINCE, SINCE + timedelta(days=DAYS), STEP_S)
    for number in range(0, len(moments), 150):
        batch = moments[number : number + 150]
        fill(engine, batch, "ct", production)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = everything(engine)
    rebuild(engine, moments[-1])
    assert live == everything(engine)


@pytest.mark.parametrize("source", ["ct", "eim"])
def test_samples_of_a_site_without_import_and_export_counters_can_be_pruned(engine: Engine, source: str) -> None:
    moments = times(SINCE, SINCE + timedelta(days=DAYS), STEP_S)
    for number in range(0, len(moments), 150):
        batch = moments[number : number + 150]
        fill(engine, batch, source, "there")
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    before = everything(engine)
    for keep_days in (4, 2):
        with engine.begin() as connection:
            gone = prune(connection, 1, now=moments[-1], keep_days=keep_days, gap_s=900)
        assert gone["production_samples"] > 200
        rebuild(engine, moments[-1])
        assert everything(engine) == before


def test_a_site_whose_net_meter_speaks_later_keeps_what_was_known_before(engine: Engine) -> None:
    """As when a page is refused at first: consumption is counted by the gateway, then by the CT."""
    moments = times(SINCE, SINCE + timedelta(days=DAYS), STEP_S)
    switch = SINCE + timedelta(days=2, hours=13)
    bought_wh = sold_wh = 1e6
    for number in range(0, len(moments), 150):
        batch = moments[number : number + 150]
        fill(engine, batch, "eim", "there")
        readings = []
        for at in batch:
            if at >= switch:
                key = {"gateway_id": 1, "at": instant(engine, at), "phase": "total"}
                both = {"delivered_wh": bought_wh, "received_wh": sold_wh}
                net_w = used_w(at) - made_w(at)
                readings.append(key | both | {"measurement": "net-consumption", "power_w": net_w})
            net_wh = (used_w(at) - made_w(at)) * STEP_S / 3600
            bought_wh, sold_wh = bought_wh + max(0, net_wh), sold_wh + max(0, -net_wh)
        with engine.begin() as connection:
            if readings:
                connection.execute(text(STATEMENTS["meter_readings"]), readings)
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = everything(engine)
    rebuild(engine, moments[-1])
    assert live == everything(engine)
    quarter_wh = 1_300
    for found, used_wh in zip(days(engine, "consumption", "grid_import", "grid_export"), USED_WH, strict=False):
        consumed, imported, exported = found
        assert consumed == pytest.approx(used_wh, abs=quarter_wh)
        assert imported - exported == pytest.approx(used_wh - MADE_WH, abs=quarter_wh)
    with engine.connect() as connection:
        query = "SELECT covered_s FROM energy_daily WHERE phase = 'total' ORDER BY day"
        covered = connection.execute(text(query)).scalars().all()
    assert all(covered_s >= 86_400 - 900 for covered_s in covered[:DAYS])


@pytest.mark.parametrize("missing", ["two", "all"])
def test_import_and_export_live_are_as_rebuilt_where_net_power_is_missing(engine: Engine, missing: str) -> None:
    """Two polls had no number for a power, or all came from elsewhere; samples are counted while the sun rises."""
    moments = times(SINCE, SINCE + timedelta(hours=10), STEP_S)
    rise = SINCE + timedelta(hours=8)
    split = moments.index(rise) + 2
    gone = moments[split - 2 : split] if missing == "two" else moments
    for batch in (moments[:split], moments[split:]):
        fill(engine, batch, "ct", "there")
        with engine.begin() as connection:
            for statement, times_of in (
                ("DELETE FROM consumption_samples WHERE measurement = 'net-consumption' AND polled_at = :at", gone),
                ("UPDATE production_samples SET power_w = 2000 WHERE polled_at = :at", [rise]),
            ):
                connection.execute(text(statement), [{"at": instant(engine, at)} for at in times_of])
        rollup.bring_up_to_date(engine, 1, now=batch[-1], gap_s=900)
    live = everything(engine)
    rebuild(engine, moments[-1])
    assert live == everything(engine)
