"""Asks a person at the terminal; where nobody is there, takes defaults or names the flag that answers."""

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from logger.cli import pasting
from logger.errors import UsageError

WIDEST, LABEL = 80, 14


@dataclass(frozen=True, slots=True)
class Terminal:
    """Asks at the terminal; where nobody is there, takes defaults."""

    is_there: bool
    _shown: set[str] = field(default_factory=set)  #: questions whose options were shown already

    def say(self, text: str = "") -> None:
        """Say a sentence, as wide as the window."""
        click.echo(_filled(text, "", ""))

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show names, and a text beside each."""
        for name, text in rows:
            click.echo(_filled(text, f"  {name:<{LABEL}}", " " * (LABEL + 2)))

    def lines(self, lines: Sequence[str]) -> None:
        """Show lines as they are."""
        click.echo("\n".join(lines))

    def ask(self, question: str, flag: str, default: str | None = None) -> str:
        """Return a text."""
        if self.is_there:
            return str(click.prompt(question, default=default, err=True))
        if default is None:
            raise _unasked(question, flag)
        return default

    def confirm(self, question: str, *, default: bool = True) -> bool:
        """Return yes or no."""
        return bool(click.confirm(question, default=default, err=True)) if self.is_there else default

    def choose(self, question: str, options: Sequence[str], flag: str, default: int = 0) -> int:
        """Return the number of an option, from 0."""
        if not self.is_there:
            raise _unasked(question, flag)
        for number, option in enumerate(options, start=1) if question not in self._shown else ():
            click.echo(_filled(option, f"  {number}  ", "     "))
        self._shown.add(question)
        number = click.prompt(question, type=click.IntRange(1, len(options)), default=default + 1, err=True)
        return int(number) - 1

    def secret(self, question: str, flag: str) -> str:
        """Return a text that is not shown."""
        if not self.is_there:
            raise _unasked(question, flag)
        return str(click.prompt(question, hide_input=True, err=True))

    def paste(self, flag: str) -> str:
        """Return what is pasted, which is not shown."""
        if not self.is_there:
            raise _unasked("A token", flag)
        return pasting.pasted_token()


def _filled(text: str, first: str, others: str) -> str:
    """Return a text in lines as wide as the window; the first begins otherwise than the others."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _unasked(question: str, flag: str) -> UsageError:
    what = f'An answer to "{question}"' if question.endswith("?") else question
    return UsageError(f"{what} is needed, and nobody is asked; add {flag}.")
