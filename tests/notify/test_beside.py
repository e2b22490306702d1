"""Beside the collector: whoever is told keeps no poll waiting, and ends with it."""

import os
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from logger.cli.notify import telling
from logger.clock import utc_now
from logger.collector.beside import Beside, Ended
from logger.collector.wiring import pollers
from logger.notify import delivery, notifier
from logger.notify.month import MonthlyPage
from logger.settings.notify import healthcheck, receivers
from logger.store.schema import upgrade
from tests.conftest import Benches, collect
from tests.notify.receiving import endpoint

HANGS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


def until(path: Path) -> bool:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return path.exists()


def test_the_page_of_a_month_is_made_once_and_only_the_last_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[list[str]] = []

    class Stub(Beside):
        def run(self, command: Any, *_: Any, **__: Any) -> Ended:
            made.append(list(command)[3:])
            if "2026-09" in command:
                return Ended(6, "", "envoylog: the database is locked\n")
            Path(command[command.index("-o") + 1]).write_text("page")
            return Ended(0, "", "")

    page = MonthlyPage(tmp_path / "notify", {}, Stub(), locale="nl")
    october = page("2026-10")
    assert october == page("2026-10") == tmp_path / "notify/envoylog-2026-10.html"
    assert made == [["logger", "report", "page", "--month", "2026-10", "-o", str(october), "--locale", "nl"]]
    assert (tmp_path / "notify").stat().st_mode & 0o777 == 0o700
    assert page("2026-09") is None
    assert caplog.messages == ["the page of 2026-09 was not made: the database is locked"]
    assert list((tmp_path / "notify").iterdir()) == []


def test_a_receiver_that_hangs_delays_neither_a_poll_nor_the_end(
    bench: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(notifier.Notifier, "check", lambda _self: None)
    monkeypatch.setattr(delivery, "COURIER", (sys.executable, "-c", HANGS, str(tmp_path / "hangs")))
    roof = bench(cts="net")
    roof.clock.set(utc_now())
    with endpoint() as monitor:
        told = receivers([{"url": "json://x"}], tmp_path)
        pinged = healthcheck({"url": f"{monitor.url}/ping", "every_s": 5}, tmp_path)
        loaded = replace(roof.settings, notify=told, healthcheck=pinged, commit_every_s=0)
        engine = roof.engine()
        upgrade(engine)
        (poller,) = pollers(loaded, engine, roof.environ, clock=roof.clock)
        collect(poller, roof.clock())
        writer = SimpleNamespace(stored=1)
        collector: Any = SimpleNamespace(pollers=[poller], keepers=[poller.keeper], writer=writer, sharing=None)
        with telling(loaded, collector, engine, os.environ):
            with engine.begin() as connection:
                into = "INSERT INTO events (gateway_id, at, kind, subject, detail)"
                connection.execute(
                    text(f"{into} VALUES (1, :at, 'grid_lost', 'grid', 'the grid is lost')"),
                    {"at": f"{roof.clock():%Y-%m-%d %H:%M:%S}"},
                )
            assert until(tmp_path / "hangs")
            began_s = time.monotonic()
            for _ in range(3):
                roof.clock.set(roof.clock() + timedelta(minutes=1))
                collect(poller, roof.clock())
            assert poller.keeper.stored == 4
            assert time.monotonic() - began_s < 20
            assert {"notify", "healthcheck"} <= {thread.name for thread in threading.enumerate()}
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 20
    assert not {"notify", "healthcheck"} & {thread.name for thread in threading.enumerate()}
