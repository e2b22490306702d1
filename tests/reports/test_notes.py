"""What happened on a day, in few words and in the time of its site."""

from datetime import date, timedelta
from typing import NamedTuple

from logger.clock import time_zone, utc_text
from logger.reports.notes import in_local_time, in_words
from tests.sample_data import utc

ZONE, DAY = time_zone("Europe/Amsterdam"), date(2026, 5, 28)


class Happened(NamedTuple):
    at: object
    kind: str
    subject: str
    detail: str


def gap(hour: int, minutes: int, subject: str = "gateway") -> Happened:
    at = utc(2026, 5, 28, hour)
    until = utc_text(int((at + timedelta(minutes=minutes)).timestamp()))
    return Happened(at, "outage", subject, f"nothing measured for {minutes} min, until {until}")


def test_gaps_are_one_note_in_local_time() -> None:
    assert in_words([gap(8, 90)], DAY, ZONE) == "nothing measured 10:00 to 11:30"
    assert in_words([gap(8, 30), gap(10, 40)], DAY, ZONE) == "nothing measured 10:00 to 10:30 and 12:00 to 12:40"
    assert in_words([gap(21, 600)], DAY, ZONE) == "nothing measured 23:00 to 2026-05-29 09:00"


def test_many_gaps_are_counted_and_the_longest_is_named() -> None:
    gaps = [gap(hour, 20 + hour) for hour in (6, 8, 10, 12)]
    assert in_words(gaps, DAY, ZONE) == "nothing measured 4 times, 116 min in all, the longest 14:00 to 14:32"


def test_what_only_some_streams_missed_is_said_of_them() -> None:
    found = in_words([gap(8, 30, "consumption, grid import")], DAY, ZONE)
    assert found == "consumption, grid import not measured 10:00 to 10:30"


def test_what_casts_doubt_comes_first_and_counted_kinds_are_named_as_their_columns() -> None:
    reset = Happened(utc(2026, 5, 28, 7), "counter_reset", "production total", "3 kWh after 5 kWh")
    doubt = Happened(utc(2026, 5, 28, 9), "unseen_source", "day", "look for it")
    assert in_words([reset, gap(8, 30), doubt], DAY, ZONE) == (
        "11:00 unseen_source, day: look for it; nothing measured 10:00 to 10:30; "
        "09:00 reset, production total: 3 kWh after 5 kWh"
    )


def test_events_that_are_alike_are_one_note_and_the_rest_is_counted() -> None:
    dips = [Happened(utc(2026, 5, 28, hour), "counter_dip", "production total", "bad") for hour in (7, 8, 9)]
    assert in_words(dips, DAY, ZONE) == "09:00 dip, production total: bad (and 2 more alike)"
    others = [Happened(utc(2026, 5, 28, 7), "clock_skew", str(n), "") for n in range(9)]
    assert in_words(others, DAY, ZONE).endswith("; and 3 more, see v_events")


def test_instants_in_a_text_are_local_with_the_date_of_another_day() -> None:
    text = "since 2026-05-27 20:00:00, then 2026-05-28 09:30:00"
    assert in_local_time(text, DAY, ZONE) == "since 2026-05-27 22:00, then 11:30"
    assert in_local_time("12 kWh", DAY, ZONE) == "12 kWh"
