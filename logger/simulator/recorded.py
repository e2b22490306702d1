"""A gateway as it was recorded: serves the answers of a file that ``envoylog doctor --bundle`` wrote.

Who may see them is as with any simulated gateway; what it answers is what the real one answered, at the times that it
named, or moved to now.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from logger.clock import to_epoch_s
from logger.errors import UsageError
from logger.simulator.numbers import FIRMWARES, Model
from logger.simulator.server import Answer, Simulation

#: of the file's form; a later one that this program can't read has another number
VERSION = 1
#: Keys of documents under which an instant stands (epoch seconds, also as text).
INSTANTS = {
    "created", "createdTime", "endDate", "installed", "lastReportDate", "last_enlighten_report_time", "last_rpt_date",
    "last_update", "readingTime", "timestamp",
}  # fmt: skip
#: Smaller numbers stand for never.
EARLIEST_S = 1_000_000_000


class RecordedAnswer(msgspec.Struct):
    """What a page answered: JSON, or the text of what was none."""

    status: int
    body: Any


class RecordedGateway(msgspec.Struct, kw_only=True):
    """One gateway of a file."""

    name: str
    serial: str
    firmware: str  #: without its leading letter
    recorded_at_s: int  #: by the clock of the machine that asked
    answers: dict[str, RecordedAnswer]  #: by path


class Bundle(msgspec.Struct, kw_only=True):
    """All of a file that is served; what else it has is for people."""

    envoylog_bundle: int
    gateways: list[RecordedGateway]


def read(path: Path) -> Bundle:
    """Return what a file holds.

    Raises:
        UsageError: it can't be read, or is no such file.
    """
    try:
        bundle = msgspec.convert(json.loads(path.read_text(encoding="utf-8")), Bundle)
    except OSError as error:
        raise UsageError(f"The file {path} can't be read ({error.strerror}); check the path.") from error
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} is no recording; make one with: envoylog doctor --bundle FILE") from error
    if bundle.envoylog_bundle != VERSION:
        raise UsageError(f"{path} is of another version of envoylog; use that one, or record it anew.")
    return bundle


def chosen(bundle: Bundle, name: str | None) -> RecordedGateway:
    """Return the gateway of a name, or the first.

    Raises:
        UsageError: the file holds none, or none of that name.
    """
    known = ", ".join(gateway.name for gateway in bundle.gateways)
    if not known:
        raise UsageError("The recording holds no gateway: none answered when it was made.")
    found = next((gateway for gateway in bundle.gateways if name in {None, gateway.name}), None)
    if found is None:
        raise UsageError(f"The recording has no gateway {name!r}; it has: {known}.")
    return found


def model_of(gateway: RecordedGateway) -> Model:
    """Return the model that asks for the same credentials."""
    numbers = [re.match("[0-9]{1,9}", part, re.ASCII) for part in gateway.firmware.split(".")]
    firmware = ".".join(found[0] if found else "0" for found in numbers)
    return Model(serial=gateway.serial, firmware=firmware or FIRMWARES["8"])


@dataclass(slots=True)
class Recorded(Simulation):
    """A simulation that answers what was recorded, the ``faults`` of its server included."""

    gateway: RecordedGateway | None = None
    is_now: bool = False  #: every instant is moved, as if it had been recorded when it is asked

    def answer(self, at: datetime, path: str) -> Answer | None:
        """Return what the page answered; None where it was not recorded."""
        assert self.gateway is not None  # noqa: S101 - for the type checker
        found = self.gateway.answers.get(path)
        if found is None:
            return None
        moved_s = to_epoch_s(at) - self.gateway.recorded_at_s if self.is_now else 0
        return Answer(found.status, moved(found.body, moved_s) if moved_s else found.body)


def moved(body: Any, by_s: int) -> Any:
    """Return a document whose instants are later by this many seconds."""
    if isinstance(body, str):
        return re.sub("(?<=<time>)[0-9]+(?=</time>)", lambda found: str(int(found[0]) + by_s), body)
    if isinstance(body, list):
        return [moved(item, by_s) if isinstance(item, (dict, list)) else item for item in body]
    if isinstance(body, dict):
        return {key: _moved_value(key, value, by_s) for key, value in body.items()}
    return body


def _moved_value(key: str, value: Any, by_s: int) -> Any:
    if isinstance(value, (dict, list)):
        return moved(value, by_s)
    if key not in INSTANTS or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value > EARLIEST_S:
        return value + by_s
    if isinstance(value, str) and value.isdecimal() and int(value) > EARLIEST_S:
        return str(int(value) + by_s)
    return value
