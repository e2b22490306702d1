"""A poll as one line of a file: a checksum and JSON. Lines of older versions are read too."""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from logger.readings import Poll

#: A poll of 50 units has 15 kB; what is longer is none, and is not held in memory whole.
LONGEST_LINE_BYTES = 4 * 1024 * 1024
_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Poll)


def encode(poll: Poll) -> bytes:
    """Return a poll as one line: eight hex digits of its CRC, a space, JSON."""
    try:
        text = _encoder.encode(poll)
    except UnicodeEncodeError:  # A broken character of a document, which no database takes.
        plain = json.dumps(msgspec.to_builtins(poll), ensure_ascii=False)
        text = plain.encode(errors="replace")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> Poll | None:
    """Return the poll of a line, of older versions too; None when the line is damaged."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        return _decoder.decode(text) if int(checksum, 16) == zlib.crc32(text) else None
    except ValueError:
        return None


def ends(paths: Iterable[Path]) -> tuple[Poll, list[Poll]] | None:
    """Return the oldest poll of the files of a spool and some of the newest; None when they are empty.

    Reads their two ends only, and may do so while a collector writes.
    """
    found = [both for path in paths if (both := _ends(path)) is not None]
    return (found[0][0], [poll for _, newest in found for poll in newest]) if found else None


def oldest(paths: Iterable[Path]) -> Poll | None:
    """Return the oldest poll of the files of a spool; None when they are empty, or not for this user."""
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as source:
            if (poll := decode(source.readline(LONGEST_LINE_BYTES))) is not None:
                return poll
    return None


def _ends(path: Path) -> tuple[Poll, list[Poll]] | None:
    try:
        with path.open("rb") as source:
            first = source.readline(LONGEST_LINE_BYTES)
            size = source.seek(0, os.SEEK_END)
            source.seek(max(0, size - max(4 * len(first), 65_536)))
            tail = source.read().splitlines()
    except OSError:
        return None
    oldest = decode(first)
    newest = [poll for poll in map(decode, tail) if poll is not None]
    return (oldest, newest or [oldest]) if oldest is not None else None
