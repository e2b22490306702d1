"""What people read, in their language: each word is there, and no number changes."""

import io
import json
import re
import string
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import Connection

from logger import exports
from logger.cli import run
from logger.exports import language, terminal
from logger.exports.page import to_html
from logger.reports import columns, happenings
from logger.reports.compare import compared_report
from logger.reports.energy import energy_report
from logger.reports.page import pages
from logger.reports.panels import ADVICE
from logger.reports.summary import book
from logger.settings.document import LANGUAGES
from logger.store.database import opened
from tests.exports.test_page import NOW, fill


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    """A site with a dead panel, a gap and doubts, over the end of a year."""
    with opened(sqlite_url) as engine:
        fill(engine, date(2025, 6, 1), date(2025, 6, 20), panels=0, gateway_id=2)
        fill(engine, date(2026, 5, 25), date(2026, 7, 2))
        with engine.connect() as connection:
            yield connection


def fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def test_each_language_has_the_same_words_with_the_same_gaps() -> None:
    known = language.table()
    assert set(known) == set(LANGUAGES) - {"en"}
    for words in known.values():
        assert words.keys() == known["de"].keys()
        for english, word in words.items():
            assert word
            assert fields(word) == fields(english), english


def test_columns_states_and_events_have_a_word() -> None:
    groups = columns.ENERGY, columns.BATTERY, columns.INVERTER, columns.PANEL, columns.QUALITY
    texts = {text for group in groups for column in group for text in (column.title, column.meaning) if text}
    texts |= {*columns.STATUSES, *columns.STATUSES.values(), *columns.LABELS.values(), *ADVICE, *ADVICE.values()}
    texts |= set(happenings.TITLES.values()) - {"Panel"}
    assert texts <= language.table()["de"].keys()


def test_files_for_people_leave_no_text_in_english(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    known, missed = language.table(), set()

    class Noting(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            if key and key not in self:
                missed.add(key)
            return super().get(key, default)

    monkeypatch.setattr(language, "table", lambda: {"nl": Noting(known["nl"])})
    with language.speaking("nl"):
        for chosen in ({"month": "2026-06"}, {"month": "2026-07"}, {"year": "2026"}):
            to_html(pages(connection, now=NOW, **chosen))
        exports.to_full_xlsx(book(connection, now=NOW))
        exports.to_full_xlsx(book(connection, now=NOW, since="2026-06"))
        compared = compared_report(connection, "daily", "previous", now=NOW, since="2026-06")
        for write in (exports.to_ods, exports.to_xlsx, exports.to_markdown):
            write(compared)
        terminal.table(energy_report(connection, "daily", now=NOW, since="2026-06"), 80)
    assert missed == set()


def test_a_language_changes_no_number(connection: Connection) -> None:
    found, shown = book(connection, now=NOW, since="2026-06-20"), pages(connection, now=NOW, year="2026")
    values, sheets = [], []
    for locale in ("en", "fr"):
        with language.speaking(locale):
            values.append(re.findall(r'<data value="([^"]+)"', to_html(shown).decode()))
            workbook = openpyxl.load_workbook(io.BytesIO(exports.to_full_xlsx(found)), data_only=True)
        sheets.append(
            [[cell.value for row in sheet for cell in row if isinstance(cell.value, float)] for sheet in workbook]
        )
    assert values[0] == values[1] != []
    assert sheets[0] == sheets[1]
    assert language.spoken() == "en"


def test_a_report_in_another_language_has_its_headings_and_marks(
    connection: Connection, sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--database-url", sqlite_url, "report", "daily", "--gateway", "site2", "--from", "2025-06-01"]
    (record, *_) = energy_report(connection, "daily", now=NOW, gateway="site2", since="2025-06-01").rows
    assert run([*given, "--locale", "de", "--format", "md"]) == 0
    head, _, first, *_ = capsys.readouterr().out.splitlines()
    assert "| Tag | Erzeugung (kWh) | Verbrauch (kWh) | Netzbezug (kWh) |" in head
    assert f"{record[2]:.2f}".replace(".", ",") in first
    assert first.endswith("| endgültig |")
    assert run([*given, "--locale", "it", "-o", str(tmp_path / "x.xlsx")]) == 0
    assert "Riepilogo" in openpyxl.load_workbook(tmp_path / "x.xlsx").sheetnames
    page = ["report", "page", "--month", "2025-06", "--locale", "es", "-o", str(tmp_path / "x.html")]
    assert run(["--database-url", sqlite_url, *page]) == 0
    written = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert '<html lang="es">' in written
    assert "Junio 2025" in written


def test_what_is_for_programs_has_one_language(
    connection: Connection, sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del connection
    given = ["--database-url", sqlite_url, "report", "daily", "--from", "2026-06"]
    for locale, form in (("de", "json"), ("de", "parquet"), ("pt", "xlsx"), ("pt", "table")):
        path = tmp_path / "x"
        assert run([*given, "--locale", locale, "--format", form, "-o", str(path)]) == 2
        assert "--format" in capsys.readouterr().err
        assert not path.exists()
    assert run([*given, "--locale", "de", "--format", "csv"]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert run([*given, "--format", "json"]) == 0
    assert header.lstrip("\ufeff").split(";") == list(json.loads(capsys.readouterr().out)[0])


def test_pages_of_the_collector_have_the_configured_language(
    connection: Connection, sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del connection
    config = tmp_path / "config.toml"
    for locale, code in (("nl", 0), ("xx", 3)):
        config.write_text(
            f'database_url = "{sqlite_url}"\n[pages]\ndirectory = "{tmp_path / "www"}"\nlocale = "{locale}"\n'
        )
        assert run(["--config", str(config), "report", "page", "--all"]) == code
    assert "locale must be one of en, de, nl, fr, es, it" in capsys.readouterr().err
    assert "Juni" in (tmp_path / "www" / "index.html").read_text(encoding="utf-8")
