"""Where polls wait for the database: a file per gateway that survives whatever stops the process.

Each poll is one line: a checksum and JSON. A poll is appended when it was taken, and taken out
when the database has committed it; storing it twice is storing it once. A last line that was cut
by a crash is left out. The file is bounded: beyond ``LARGEST_BYTES`` every second of the oldest
half of the polls is dropped, and said so.
"""

import json
import logging
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from logger.errors import SettingsError
from logger.readings import (
    ConsumptionSample,
    Event,
    GatewayInfo,
    InverterSample,
    Measurement,
    Meter,
    MeterReading,
    Phase,
    Poll,
    ProductionSample,
    Source,
    SourceFailure,
)
from logger.settings import file_stem

log = logging.getLogger(__name__)

LARGEST_BYTES = 256 * 1024 * 1024


def spool_path(state_dir: Path, name: str) -> Path:
    """Return where the polls of a gateway wait."""
    return state_dir / "spool" / f"{file_stem(name)}.jsonl"


class Queue(Protocol):
    """Polls that wait, oldest first."""

    def append(self, poll: Poll) -> None:
        """Let a poll wait."""

    def waiting(self) -> Iterator[Poll]:
        """Yield what waits, oldest first."""

    def clear(self) -> None:
        """Forget what waits: it is stored."""

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""


class MemoryQueue:
    """For one poll by hand, beside a collector that may own the file."""

    def __init__(self) -> None:
        self._polls: list[Poll] = []

    def append(self, poll: Poll) -> None:
        """Let a poll wait."""
        self._polls.append(poll)

    def waiting(self) -> Iterator[Poll]:
        """Yield what waits, oldest first."""
        yield from self._polls

    def clear(self) -> None:
        """Forget what waits: it is stored."""
        self._polls.clear()

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        return self._polls[0].polled_at if self._polls else None


class Spool:
    """The file of one gateway; only one process may own it.

    Raises:
        SettingsError: the state directory can't be written.
    """

    def __init__(self, state_dir: Path, name: str, largest_bytes: int = LARGEST_BYTES) -> None:
        self.path = spool_path(state_dir, name)
        self.largest_bytes = largest_bytes
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            raise SettingsError(
                f"Polls can't wait in {self.path.parent} ({error.strerror}); make the directory "
                "writable or set state_dir."
            ) from error
        self._cut_torn_line()
        self._oldest = next((poll.polled_at for poll in self.waiting()), None)

    def append(self, poll: Poll) -> None:
        """Append a poll; a disk that is full keeps what was there before."""
        line = encode(poll)
        try:
            end = self.path.stat().st_size
            if end + len(line) > self.largest_bytes:
                self._thin()
                end = self.path.stat().st_size
            self._write(line, end)
        except OSError as error:
            log.error("spool %s: a poll was lost: %s", self.path, error.strerror)  # noqa: TRY400 - the sentence is enough
            return
        self._oldest = self._oldest or poll.polled_at

    def waiting(self) -> Iterator[Poll]:
        """Yield what waits, oldest first; a line that was damaged is left out and said so."""
        with self.path.open("rb") as source:
            for number, line in enumerate(source, start=1):
                poll = decode(line)
                if poll is None:
                    log.warning("spool %s: line %d is damaged and left out", self.path, number)
                else:
                    yield poll

    def clear(self) -> None:
        """Empty the file: all of it is stored."""
        os.truncate(self.path, 0)
        self._oldest = None

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting poll was taken; None when nothing waits."""
        return self._oldest

    def _write(self, line: bytes, end: int) -> None:
        """Append a line whole, or leave the file as it was."""
        try:
            with self.path.open("ab") as out:
                out.write(line)
        except OSError:
            os.truncate(self.path, end)
            raise

    def _cut_torn_line(self) -> None:
        """Remove what a crash left of a last line, so that the next one starts a line."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def _thin(self) -> None:
        """Drop every second poll of the oldest half: counters bridge what is gone."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        half = len(lines) // 2
        kept = [*lines[:half:2], *lines[half:]]
        log.error(
            "spool %s is full: %d of the oldest %d polls dropped",
            self.path,
            len(lines) - len(kept),
            half,
        )
        temporary = self.path.with_suffix(".thin")
        temporary.write_bytes(b"".join(kept))
        temporary.replace(self.path)


def encode(poll: Poll) -> bytes:
    """Return a poll as one line: eight hex digits of its CRC, a space, JSON."""
    text = json.dumps(asdict(poll), default=_plain, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a poll")


def decode(line: bytes) -> Poll | None:
    """Return the poll of a line; None when the line is damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        return _poll(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None


def _poll(said: dict[str, Any]) -> Poll:
    info = said["info"]
    if info is not None:
        info = GatewayInfo(**{**info, "meters": tuple(Meter(**one) for one in info["meters"])})
    return Poll(
        gateway_serial=said["gateway_serial"],
        polled_at=datetime.fromisoformat(said["polled_at"]),
        took_s=said["took_s"],
        production=tuple(
            ProductionSample(
                **{**one, "phase": Phase(one["phase"]), "source": Source(one["source"])}
            )
            for one in said["production"]
        ),
        consumption=tuple(
            ConsumptionSample(
                **{
                    **one,
                    "phase": Phase(one["phase"]),
                    "source": Source(one["source"]),
                    "measurement": Measurement(one["measurement"]),
                }
            )
            for one in said["consumption"]
        ),
        meter_readings=tuple(
            MeterReading(**{**one, "phase": Phase(one["phase"])}) for one in said["meter_readings"]
        ),
        inverters=tuple(
            InverterSample(**{**one, "reported_at": datetime.fromisoformat(one["reported_at"])})
            for one in said["inverters"]
        ),
        failures=tuple(SourceFailure(**one) for one in said["failures"]),
        events=tuple(
            Event(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in said["events"]
        ),
        info=info,
    )
