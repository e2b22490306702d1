"""Power cuts: what a collector had written but not flushed is gone, as on the SD card of a Pi.

The database and the state lie on a file system of their own in a file. What the kernel still holds back when the power
goes never reaches that file, so that a copy of it is the card as it is found at the next start.
"""

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from logger.rollups import rollup
from logger.store.database import opened
from logger.store.spool import waiting_files
from tests.soak import START, Collector, bench, simulated

#: What ``tests.soak.bench`` configures.
COMMIT_EVERY = timedelta(seconds=300)
MINUTE = timedelta(minutes=1)
CARD_MB = 48


def cuts(directory: Path, count: int, seed: int) -> tuple[int, timedelta]:
    """Cut the power ``count`` times; return how many polls were acknowledged, and the longest time that was lost.

    Raises:
        RuntimeError: no file system may be mounted here.
        AssertionError: more than ``commit_every_s`` was lost, or something is doubled or wrong.
    """
    dice, roof, acknowledged = random.Random(seed), simulated(cts="net"), 0
    at, longest = START + timedelta(hours=12), timedelta(0)
    image, place = directory / "card.img", directory / "card"
    make_card(image)
    expected: set[datetime] = set()  # what must be there, from before the last cut
    with bench(directory, f"sqlite:///{place}/envoylog.db", {"roof": roof}) as (config, _):
        config.write_text(config.read_text().replace(f"{directory}/state", f"{place}/state"))
        for number in range(count):
            polls: list[datetime] = []
            with inserted(image, place):
                collector = Collector(config, at)
                for _ in range(dice.randrange(2, 25)):
                    roof.clock.set(at)
                    collector.ask(at)
                    assert collector.answer(), "the collector ended"
                    polls.append(at)
                    at += MINUTE
                # Somewhere within a poll or between two.
                if dice.random() < 0.5:
                    roof.clock.set(at)
                    collector.ask(at)
                after_the_cut = copied(image, directory / f"card-{number}.img")
                collector.kill()
                for path in waiting_files(place / "state", "roof")[1:]:  # in memory
                    path.unlink(missing_ok=True)
            at += MINUTE
            image.unlink()
            image = after_the_cut
            acknowledged += len(polls)
            with inserted(image, place):
                found = found_after(config, place, at)
            lost = sorted((expected | set(polls)) - found)
            lost_for = polls[-1] + MINUTE - lost[0] if lost else timedelta(0)
            assert lost_for <= COMMIT_EVERY, f"{len(lost)} polls are lost, the first {lost[0]} of up to {polls[-1]}"
            longest, expected = max(longest, lost_for), found
            at += MINUTE
    return acknowledged, longest


def found_after(config: Path, place: Path, at: datetime) -> set[datetime]:
    """Start a collector on what is left and stop it cleanly; return the polls that are stored, each once."""
    Collector(config, at).stop()
    with opened(f"sqlite:///{place}/envoylog.db") as engine, engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        rows = connection.execute(text("SELECT polled_at FROM polls")).scalars().all()
        assert len(rows) == len(set(rows)), "a poll is stored twice"
        # Cut within the first minutes nothing of it may be there yet.
        gateways = connection.execute(text("SELECT gateway_id FROM gateways")).scalars().all()
        changes = [day for each in gateways for day in rollup.rebuild(connection, each, now=at, gap_s=900, since=None)]
        assert changes == [], f"{len(changes)} days change by a rebuild"
        connection.rollback()
    return {datetime.fromisoformat(str(row)[:19]).replace(tzinfo=UTC) for row in rows}


def make_card(image: Path) -> None:
    """Make a file with an empty file system in it."""
    with image.open("wb") as file:
        file.truncate(CARD_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", str(image)], check=True)


@contextlib.contextmanager
def inserted(image: Path, place: Path) -> Iterator[None]:
    """Mount the file system of a file; RuntimeError where that may not be."""
    place.mkdir(exist_ok=True)
    # The kernel would flush a file's length within 5 s: here it waits as long as it can.
    mount = ["mount", "-o", "loop,commit=300", str(image), str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        raise RuntimeError("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def copied(image: Path, to: Path) -> Path:
    """Copy what has reached a card in one instant: none of it changes while it is copied."""
    before, now = None, image.read_bytes()
    while before != now:
        before, now = now, image.read_bytes()
    to.write_bytes(now)
    return to
