"""The folder of pages: every month and year, an index that leads to them, and no more work than there is."""

import os
import stat
from datetime import date, timedelta
from pathlib import Path

import pytest

from logger.cli import run
from logger.clock import to_epoch_s, utc_now
from logger.errors import NoDataError, UsageError
from logger.exports.page_folder import write_all
from tests.conftest import Opening
from tests.exports.test_page import Parsed, fill
from tests.sample_data import utc

NOW = utc(2026, 7, 12, 10)


def aged(folder: Path, hours: int) -> None:
    at = to_epoch_s(NOW) - 3600 * hours
    for path in folder.iterdir():
        os.utime(path, (at, at))


def test_every_month_and_year_has_a_page_and_the_index_leads_there(
    sqlite_url: str, opening: Opening, tmp_path: Path
) -> None:
    engine, folder = opening(sqlite_url), tmp_path / "a/pages"
    fill(engine, date(2025, 11, 20), date(2026, 2, 3), panels=0)
    fill(engine, date(2026, 6, 1), date(2026, 7, 12), panels=0, gateway_id=2)
    names = {"2025", "2025-11", "2025-12", "2026", "2026-01", "2026-02", "2026-06", "2026-07"}
    with engine.connect() as connection:
        assert write_all(connection, folder, NOW) == len(names)
        assert {path.stem for path in folder.iterdir()} == names | {"index"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
        index = Parsed((folder / "index.html").read_text(encoding="utf-8"))
        links = {attributes["href"] for tag, attributes in index.elements if tag == "a"}
        assert links == {f"{name}.html" for name in names}
        assert "script" not in {tag for tag, _ in index.elements}
        # What is over waits for a day, what runs does not; a year ends later than its months.
        aged(folder, hours=1)
        assert write_all(connection, folder, NOW) == 2
        aged(folder, hours=25)
        assert write_all(connection, folder, NOW) == len(names)
        aged(folder, hours=-1)  # The clock was ahead.
        assert write_all(connection, folder, NOW + timedelta(minutes=1)) == len(names)


def test_nothing_recorded_and_no_folder_are_said(sqlite_url: str, opening: Opening, tmp_path: Path) -> None:
    engine = opening(sqlite_url)
    (tmp_path / "file").touch()
    with engine.connect() as connection, pytest.raises(NoDataError):
        write_all(connection, tmp_path / "pages", NOW)
    fill(engine, date(2026, 7, 1), date(2026, 7, 2), panels=0)
    with engine.connect() as connection, pytest.raises(UsageError, match="choose another folder"):
        write_all(connection, tmp_path / "file", NOW)


def test_the_command_takes_the_folder_of_the_configuration_or_another(
    sqlite_url: str, opening: Opening, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today = utc_now().date()
    fill(opening(sqlite_url), today.replace(day=1), today, panels=0)
    config = tmp_path / "config.toml"
    config.write_text(f'database_url = "{sqlite_url}"\n')
    words = ["--config", str(config), "report", "page", "--all"]
    assert run(words) == 3
    assert "[pages]" in capsys.readouterr().err
    config.write_text(f'database_url = "{sqlite_url}"\n[pages]\ndirectory = "web"\n')
    assert run(words) == 0
    assert (tmp_path / "web/index.html").exists()
    assert run([*words, "-o", str(tmp_path / "other")]) == 0
    assert (tmp_path / f"other/{today:%Y-%m}.html").exists()
    assert run([*words, "--year", "2026"]) == 2
