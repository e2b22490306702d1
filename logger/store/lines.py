"""A poll as a line of text, and back: how it waits for the database."""

import json
import zlib
from dataclasses import asdict
from datetime import datetime
from typing import Any

from logger.readings import (
    ClockSet,
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
        clock_set=ClockSet(**clock_set) if (clock_set := said.get("clock_set")) else None,
    )
