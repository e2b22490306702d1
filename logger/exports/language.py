"""The language that people read: headings, months, numbers and sentences of files for people.

English is what stands in the code; ``languages.txt`` has the same in the others, one line each. What the ledger wrote
into the database, such as the text of an event, stays as it is. Names in csv, json and Parquet are for programs.

Walk: languages.txt -> here -> text, terminal, workbook, page
"""

import calendar
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from logger.reports import Report
from logger.reports.columns import STATUS, Column
from logger.settings.document import LANGUAGES

#: language -> what stands between thousands, and before decimals
_MARKS = dict.fromkeys(LANGUAGES, (".", ",")) | {"en": (",", "."), "fr": ("\N{NARROW NO-BREAK SPACE}", ",")}
#: columns whose text is one of a few words
WORDED = (STATUS, "state")
_spoken: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def speaking(language: str | None) -> Iterator[None]:
    """Have files for people written in a language; English where none is named."""
    before = _spoken.set(language or "en")
    try:
        yield
    finally:
        _spoken.reset(before)


def spoken() -> str:
    """Return the language that is spoken."""
    return _spoken.get()


def say(text: str, **values: Any) -> str:
    """Return a text of ours in the language that is spoken, with what it is about filled in."""
    language = spoken()
    said = text if language == "en" else table()[language].get(text, text)
    return said.format(**values) if values else said


@lru_cache
def table() -> dict[str, dict[str, str]]:
    """Return what each language calls what stands in the code: language -> English -> its words."""
    lines = Path(__file__).with_name("languages.txt").read_text(encoding="utf-8").splitlines()
    rows = [[word.strip() for word in line.split("|")] for line in lines if line and not line.startswith("#")]
    return {language: {row[0]: row[at] for row in rows} for at, language in enumerate(LANGUAGES) if at}


def number(value: float, form: str) -> str:
    """Return a number in a format of Python's, with the marks of the language."""
    thousands, decimals = _MARKS[spoken()]
    return f"{value:{form}}".translate({ord(","): thousands, ord("."): decimals})


def percent(share_pct: float) -> str:
    """Return a share that is 100 % only where nothing lacks, and 0 % only where everything does."""
    if 0 < share_pct < 1:
        return say("less than 1 %")
    return f"{number(min(share_pct, 99.9) if share_pct < 99.995 else 100, '.3g')} %"


def heading(report: Report, name: str) -> str:
    """Return what people read above a column, with its unit."""
    column = report.columns.get(name)
    if column is None:
        return say(report.heading(name))
    return f"{title(column)} ({column.unit})" if column.unit else title(column)


def title(column: Column) -> str:
    """Return what people call a column; of a comparison also that it is of then, or a change."""
    for suffix in ("then", "change"):
        if column.name.endswith((f"_{suffix}", f"_{suffix}_pct")) and column.title.endswith(f" {suffix}"):
            return say(f"{{title}} {suffix}", title=say(column.title.removesuffix(f" {suffix}")))
    return say(column.title)


def day(of: date, *, year: bool = True) -> str:
    """Return a day with the short name of its month: 29 Mar 2026."""
    named = say("{day} {month}", day=of.day, month=month(of.month))
    return f"{named} {of.year}" if year else named


def month(number_: int, *, is_short: bool = True) -> str:
    """Return the name of a month, 1 to 12."""
    names = calendar.month_abbr if is_short else calendar.month_name
    return say(" ".join(list(names)[1:])).split()[number_ - 1]


def weekday(of: date) -> str:
    """Return the name of a day of the week."""
    return say(" ".join(calendar.day_name)).split()[of.weekday()]
