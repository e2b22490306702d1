"""Who is asked: a person at a terminal, or nobody. Each question has a flag that answers it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from logger.errors import LoggerError

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line says already."""

    hosts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    token_texts: tuple[str, ...] = field(default=(), repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    keep_password: bool | None = None
    fingerprint: str | None = None
    time_zone: str | None = None
    peak_power_kwp: float | None = None
    database_url: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0

    @property
    def of_one(self) -> str | None:
        """The first flag that is of one gateway alone."""
        flags = {
            "--fingerprint": self.fingerprint,
            "--time-zone": self.time_zone,
            "--peak-power-kwp": self.peak_power_kwp,
        }
        return next((flag for flag, value in flags.items() if value is not None), None)


class Person(Protocol):
    """Asks and says. Where nobody is to be asked a question has its default, or is a UsageError that names the flag."""

    @property
    def is_there(self) -> bool:
        """Whether anybody answers; what is wrong is asked again then, and is an error otherwise."""

    def say(self, text: str = "") -> None:
        """Say a sentence, as wide as the window."""

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show names, and a text beside each."""

    def lines(self, lines: Sequence[str]) -> None:
        """Show lines as they are."""

    def ask(self, question: str, flag: str, default: str | None = None) -> str:
        """Return a text."""

    def confirm(self, question: str, *, default: bool = True) -> bool:
        """Return yes or no; nobody says the default."""

    def choose(self, question: str, options: Sequence[str], flag: str, default: int = 0) -> int:
        """Return the number of an option, from 0."""

    def secret(self, question: str, flag: str) -> str:
        """Return a text that is not shown."""

    def paste(self, flag: str) -> str:
        """Return what is pasted, which is not shown."""


def until_right(person: Person, answer: Callable[[], Answer]) -> Answer:
    """Return an answer that can be used: a person hears what is wrong and answers again."""
    while True:
        try:
            return answer()
        except LoggerError as error:
            if not person.is_there:
                raise
            person.say(plain(str(error)))


#: where a sentence begins to name the way that a command line has: here the next question is the way
_REMEDY = re.compile(r"[;,] (?:or )?(?:get|check username|it is asked again later)\b.*", re.DOTALL)


def plain(sentence: str) -> str:
    """Return what is wrong, without what to type about it elsewhere."""
    return f"{_REMEDY.sub('', sentence).rstrip('.')}." if _REMEDY.search(sentence) else sentence
