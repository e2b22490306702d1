"""What a check found: fine or not, in a sentence, and the one thing to do about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding."""

    check: str  #: what was looked at: configuration, database, clock, …
    level: Level
    finding: str  #: one sentence
    to_do: str | None = None  #: one thing, mostly a command; None where nothing is to do
    gateway: str | None = None

    def record(self) -> dict[str, Any]:
        """Return it for a program."""
        return asdict(self)


def ok(check: str, finding: str, gateway: str | None = None) -> Finding:
    """Return that something is as it should be."""
    return Finding(check, Level.OK, finding, None, gateway)


def warning(check: str, finding: str, to_do: str, gateway: str | None = None) -> Finding:
    """Return what costs nothing yet, or what only a person can judge."""
    return Finding(check, Level.WARNING, finding, to_do, gateway)


def error(check: str, finding: str, to_do: str, gateway: str | None = None) -> Finding:
    """Return what costs polls or keeps something from working."""
    return Finding(check, Level.ERROR, finding, to_do, gateway)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether anything is wrong."""
    return any(finding.level is Level.ERROR for finding in findings)
