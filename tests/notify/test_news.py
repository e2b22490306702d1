"""What is news to a receiver, how it is written, and when nothing is sent."""

import logging
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from logger.notify.courier import _Listening, redacted
from logger.notify.outbox import Notification, is_news
from logger.notify.sources import LONG_AGO, Finding
from logger.notify.words import NAMED, is_quiet, message

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NOON = datetime(2026, 6, 15, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def finding(since: datetime, *, again: timedelta | None = None, rest: timedelta = timedelta(0)) -> Finding:
    return Finding("roof", "gateway_silent", "gateway", "has not answered", since, again, rest)


@pytest.mark.parametrize(
    ("since_h", "told_h", "now_h", "again_h", "rest_h", "expected"),
    [
        (0, None, 0, None, 0, True),  # never told
        (0, 0, 5, None, 0, False),  # goes on
        (4, 0, 5, None, 0, False),  # begins anew on the same day
        (4, 0, 24, None, 0, False),  # and is still no news on the next
        (20, 0, 21, None, 0, True),  # begins anew on the next day
        (0, 0, 13, 24, 0, False),  # goes on into the next day
        (0, 0, 24, 24, 0, True),  # is told again each day
        (20, 0, 21, None, 168, False),  # has to rest for a week
        (169, 0, 170, None, 168, True),
    ],
)
def test_a_thing_is_told_once_and_again_when_it_begins_on_another_day_or_lasts(
    since_h: int, told_h: int | None, now_h: int, again_h: int | None, rest_h: int, *, expected: bool
) -> None:
    def at(hours: int) -> datetime:
        return NOON + timedelta(hours=hours)

    again = None if again_h is None else timedelta(hours=again_h)
    found = finding(at(since_h), again=again, rest=timedelta(hours=rest_h))
    assert is_news(found, None if told_h is None else at(told_h), at(now_h), AMSTERDAM) is expected


def test_no_thing_is_told_twice_on_a_local_day_however_it_comes_and_goes() -> None:
    for minutes in range(0, 3 * 1440, 7):
        now = NOON + timedelta(minutes=minutes)
        same_day = now.astimezone(AMSTERDAM).date() == NOON.astimezone(AMSTERDAM).date()
        for since in (LONG_AGO, NOON, now):
            for again in (None, timedelta(0), DAY):
                assert not (same_day and is_news(finding(since, again=again), NOON, now, AMSTERDAM))


@pytest.mark.parametrize(
    ("hours", "local", "expected"),
    [
        ((22, 7), 23, True),
        ((22, 7), 6, True),
        ((22, 7), 7, False),
        ((22, 7), 12, False),
        ((13, 15), 14, True),
        ((13, 15), 15, False),
        (None, 3, False),
    ],
)
def test_quiet_hours_may_reach_over_midnight(hours: tuple[int, int] | None, local: int, *, expected: bool) -> None:
    now = datetime(2026, 6, 15, local, tzinfo=AMSTERDAM).astimezone(UTC)
    assert is_quiet(now, hours and (time(hours[0]), time(hours[1])), AMSTERDAM) is expected


def notification(number: int) -> Notification:
    return Notification(
        receiver="mail", gateway="roof", gateway_id=1, day=NOON.date(), kind="dead_panel", subject=f"panel {number}",
        noticed_at=NOON, detail=f"panel {number} makes nothing",
    )  # fmt: skip


def test_one_notification_is_a_sentence_and_many_are_a_digest_of_bounded_length() -> None:
    alone = message([notification(1)], AMSTERDAM, out_since=None, lost=0)
    assert alone.title == "roof: a panel makes nothing"
    assert alone.body == "Monday 2026-06-15, 12:00\nroof: panel 1 makes nothing."
    many = message([notification(n) for n in range(500)], AMSTERDAM, out_since=NOON, lost=3)
    assert many.title == "envoylog: 500 notifications"
    assert many.body.count("makes nothing") == NAMED
    assert "And 460 more" in many.body
    assert "took nothing since Monday 2026-06-15, 12:00" in many.body
    assert "3 more could not be kept" in many.body


@pytest.mark.parametrize(
    ("logged", "reason"),
    [
        ("Socket Exception: [Errno 111] Connection refused", "Connection refused"),
        ("Socket Exception: (535, b'5.7.8 no user me')", "5.7.8 no user ***"),
        (
            ("Socket Exception: HTTPSConnectionPool(host='x'): exceeded with url: /hush (Caused by SSLError(1, "
            "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1006)'))"),
            "certificate verify failed: self-signed",
        ),
        ("Socket Exception: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
         "Connection reset by peer"),
        ("Socket Exception: HTTPConnectionPool(host='x'): Read timed out. (read timeout=4.0)", "timed out"),
        ("what nobody foresaw about me", "no reason given"),
    ],
)  # fmt: skip
def test_the_reason_of_a_failure_is_said_in_plain_words(logged: str, reason: str) -> None:
    heard = _Listening()
    heard.emit(logging.LogRecord("apprise", logging.DEBUG, "", 0, logged, None, None))
    assert heard.reason("mailto://me:hush@x") == reason


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mailto://me:hush@mail.example/?to=you@example", "535 me hush: refused by mail.example for you"),
        ("ntfys://ntfy.example/hush", "Max retries exceeded with url: /hush"),
        ("json://host/a/h%20ush?token=hush", "h ush, h%20ush and token=hush"),
        ("tgram://123:AAhush/99", "bot123:AAhush to 99"),
    ],
)
def test_nothing_of_a_url_is_shown_by_the_reason_of_a_failure(url: str, text: str) -> None:
    shown = redacted(text, url)
    assert "hush" not in shown
    assert "***" in shown
