"""Notes where charge and discharge do not agree with the energy that batteries say they store."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from logger import exports
from logger.reports.quality import quality_report
from logger.rollups import rollup
from logger.simulator.site import Shape, Site
from tests.sample_data import fill, instant, times, utc

SINCE = utc(2026, 6, 1)
#: W given, by the hour of the day: 6 kWh in, and then out as much as is lost by this factor
OUT_W = {True: 800.0, False: 200.0}


def notes(engine: Engine, *, is_true: bool, gives_back: bool) -> list[str]:
    """Return the notes of three days of a battery that tells the truth of what it stores, or always the same."""
    moments = times(SINCE, SINCE + timedelta(days=3), 600)
    fill(engine, Site(Shape(), SINCE - timedelta(days=1)), moments, zone="UTC")
    rows, stored_wh = [], 1_000.0
    for at in moments:
        power_w = -1_000.0 if 8 <= at.hour < 14 else OUT_W[gives_back] if 16 <= at.hour < 22 else 0.0
        rows.append({"at": instant(engine, at), "power_w": power_w, "energy_wh": stored_wh if is_true else 1_000.0})
        stored_wh -= power_w / 6 * (1.0 if power_w > 0 else 0.8)
    sql = (
        "INSERT INTO storage_samples (gateway_id, polled_at, kind, power_w, energy_wh, capacity_wh) "
        "VALUES (1, :at, 'encharge', :power_w, :energy_wh, 2000.0)"
    )
    with engine.begin() as connection:
        connection.execute(text(sql), rows)
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=1200, since=None)
        report = quality_report(connection, now=moments[-1], since="2026-06-01", until="2026-06-03")
    return [row["notes"] for row in json.loads(exports.EXPORTERS["json"](report))]


def test_batteries_that_lose_no_more_than_they_may_have_no_note(engine: Engine) -> None:
    for note in notes(engine, is_true=True, gives_back=True):
        assert "stored energy" not in note
        assert "gave back" not in note


@pytest.mark.parametrize("is_true", [True, False])
def test_what_is_stored_and_not_given_back_is_a_note_of_the_day_and_of_the_month(engine: Engine, is_true: bool) -> None:
    found = notes(engine, is_true=is_true, gives_back=False)
    for note in found:
        assert ("stored energy changed by 0.0 kWh" in note) is not is_true
    month = "batteries gave back 20 % of what they were charged with in 2026-06"
    assert [month in note for note in found] == [False, False, not is_true]


def test_days_of_which_consumption_is_not_known_say_so(engine: Engine) -> None:
    moments = times(SINCE, SINCE + timedelta(days=2), 600)
    fill(engine, Site(Shape(), SINCE - timedelta(days=1)), moments, zone="UTC")
    sql = "INSERT INTO storage_samples (gateway_id, polled_at, kind) VALUES (1, :at, 'encharge')"
    with engine.begin() as connection:
        connection.execute(text(sql), [{"at": instant(engine, at)} for at in moments])
        rollup.rebuild(connection, 1, now=moments[-1], gap_s=1200, since=None)
        report = quality_report(connection, now=moments[-1], since="2026-06-01", until="2026-06-02")
    for row in json.loads(exports.EXPORTERS["json"](report)):
        assert "what the house consumed is not known" in row["notes"]
