"""What a user types for days."""

from datetime import date

import pytest

from logger.errors import UsageError
from logger.reports.periods import WORDS, Days, parse, span

TODAY = date(2026, 3, 10)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2026-03-10", "2026-03-10"),
        ("yesterday", "2026-03-09", "2026-03-09"),
        ("this-month", "2026-03-01", "2026-03-31"),
        ("last-month", "2026-02-01", "2026-02-28"),
        ("this-year", "2026-01-01", "2026-12-31"),
        ("last-year", "2025-01-01", "2025-12-31"),
        ("7d", "2026-03-04", "2026-03-10"),
        ("1d", "2026-03-10", "2026-03-10"),
        ("2024-02", "2024-02-01", "2024-02-29"),
    ],
)
def test_a_word_stands_for_its_days_also_alone_behind_from(text: str, first: str, last: str) -> None:
    found = Days(date.fromisoformat(first), date.fromisoformat(last))
    assert parse(text, TODAY) == found
    since, until = span(text, None, TODAY)
    assert since == found.first
    assert until == (None if text == "2024-02" else found.last)


@pytest.mark.parametrize("text", ["0d", "d", "-3d", "99999d", "next-month", "2026-13", "gestern", "last month"])
def test_what_names_no_day_is_answered_with_what_does(text: str) -> None:
    with pytest.raises(UsageError, match=f"{text!r} is no date; write 2026-03-29") as refused:
        parse(text, TODAY)
    assert all(word in str(refused.value) for word in WORDS)
