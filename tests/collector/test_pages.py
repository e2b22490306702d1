"""Pages beside the collector: in another process, never twice at a time, and gone when it stops."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from logger.cli.collect import _page_builder
from logger.clock import utc_now
from logger.collector.pages import PageBuilder
from logger.collector.service import Service
from logger.collector.slots import next_s
from logger.errors import SettingsError
from logger.settings import load
from tests.collector.test_service import FakePoller
from tests.conftest import Opening
from tests.exports.test_page import fill

APPEND = "import sys, pathlib; file = pathlib.Path(sys.argv[1]).open('a'); file.write('x'); file.close(); "


def builder(path: Path, then: str) -> PageBuilder:
    return PageBuilder([sys.executable, "-c", APPEND + then, str(path)], os.environ)


def over(pages: PageBuilder) -> None:
    assert pages._thread is not None
    pages._thread.join(30)
    assert not pages._thread.is_alive()


def test_a_builder_that_still_runs_is_not_started_twice_and_ends_with_the_collector(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    pages = builder(path, "import time; time.sleep(60)")
    for _ in range(3):
        pages.start()
    until = time.monotonic() + 30
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    pages.stop()
    over(pages)
    assert time.monotonic() - began < 10
    pages.start()
    assert path.read_text() == "x"


def test_a_failure_is_logged_once_and_again_after_all_went_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fails = tmp_path / "fails"
    fails.touch()
    then = f"fails = pathlib.Path({str(fails)!r}).exists(); fails and sys.exit('envoylog: the disk is full')"
    pages = builder(tmp_path / "runs", then)
    for is_wrong in (True, True, False, True):
        fails.touch() if is_wrong else fails.unlink()
        pages.start()
        over(pages)
    errors = [record.getMessage() for record in caplog.records]
    assert errors == ["pages were not written: the disk is full"] * 2


def test_nothing_to_show_yet_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = builder(tmp_path / "runs", "sys.exit(7)")
    pages.start()
    over(pages)
    assert caplog.records == []


def test_the_collector_builds_at_its_start_and_each_hour() -> None:
    built: list[str] = []
    pollers: list[Any] = [FakePoller("roof")]
    service = Service(pollers, poll_every_s=3600, inverters_every_s=3600, hourly=lambda: built.append("x"))
    service.stop(None)
    service.run()
    assert built == ["x"]
    service._plan(service.epoch_s())
    service._offer_due(next_s(service.epoch_s(), 3600, 210))
    assert built == ["x", "x"]


def test_the_pages_are_those_of_the_collectors_database_and_configuration(
    sqlite_url: str, opening: Opening, tmp_path: Path
) -> None:
    today = utc_now().date()
    fill(opening(sqlite_url), today.replace(day=1), today, panels=0)
    config = tmp_path / "config.toml"
    config.write_text('[pages]\ndirectory = "web"\n')
    assert _page_builder(load(None, {})) is None
    pages = _page_builder(load(config, {}, database_url=sqlite_url))
    assert pages is not None
    pages.start()
    over(pages)
    assert (tmp_path / "web/index.html").exists()


@pytest.mark.parametrize("text", ["[pages]", "[pages]\ndirectory = ''", "[pages]\nfolder = 'x'", "pages = 'x'"])
def test_pages_without_a_directory_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"directory|pages"):
        load(path, {})
