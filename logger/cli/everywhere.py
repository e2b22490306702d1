"""What every command takes, before its name or after, and how it writes to a terminal.

A terminal may know few characters (latin-1, ASCII), or want no colour.
"""

import codecs
import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

#: what a sentence gives to type
COMMAND = re.compile(r"`[^`\n]{1,70}`|(?<=run: )[^;\n]{1,70}$|(?<=See: ).{1,70}$")
#: what a terminal obeys: our styles and what begins and ends a bar of progress; and what is none of ours, control
#: characters, those that nobody sees, and those that turn the direction of letters
OBEYED = re.compile(
    "(\x1b\\[(?:[0124]|3[0-7])m|\r\x1b\\[\\?25l|\x1b\\[\\?25h)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
#: what is written in place of a character that a terminal does not have
IN_ASCII = {
    **dict.fromkeys("\N{EN DASH}\N{EM DASH}\N{BOX DRAWINGS LIGHT HORIZONTAL}", "-"),
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MULTIPLICATION SIGN}": "x",
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
}


def options() -> list[click.Option]:
    """Return the options that every command takes."""
    return [
        click.Option(
            ["--config"], metavar="FILE", callback=_remember, expose_value=False, help="The configuration to use."
        ),
        click.Option(
            ["--database-url"], metavar="URL", callback=_remember, expose_value=False,
            help="Overrides the configured database.",
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, callback=_log_all, expose_value=False, help="Log each request."
        ),
    ]  # fmt: skip


def accept(command: click.Command) -> click.Command:
    """Have a command take those options too, and all commands in it; those of its own stay its own."""
    own = {name for param in command.params for name in param.opts}
    command.params += [option for option in options() if own.isdisjoint(option.opts)]
    for inner in getattr(command, "commands", {}).values():
        accept(inner)
    return command


def _remember(context: click.Context, param: click.Parameter, value: str | None) -> None:
    """Keep what was given for ``load_settings``; what stands last counts."""
    chosen = context.find_root().ensure_object(dict)
    if value is not None:
        chosen[param.name] = value


def _log_all(_context: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger().setLevel(logging.DEBUG)


@contextlib.contextmanager
def quiet(least: int = logging.WARNING) -> Iterator[None]:
    """Log for a while only what the command does not say itself, unless each request is logged."""
    loggers = {logging.getLogger(): least, logging.getLogger("logger.collector"): logging.CRITICAL}
    before = {log: log.level for log in loggers}
    if logging.getLogger().level != logging.DEBUG:
        for log, level in loggers.items():
            log.setLevel(max(level, log.level))
    try:
        yield
    finally:
        for log, level in before.items():
            log.setLevel(level)


def say(sentence: str) -> None:
    """Write a sentence for a person to stderr; on a terminal it is wrapped between words."""
    text = f"envoylog: {sentence}"
    if sys.stderr.isatty():
        columns = max(20, shutil.get_terminal_size().columns)
        # What is to be typed stays in one line where it has room there.
        whole = COMMAND.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
        lines = whole.splitlines()
        text = "\n".join(textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False) for line in lines)
    click.echo(text.replace("\N{NO-BREAK SPACE}", " "), err=True)


class LocalTime(logging.Formatter):
    """Writes when it was in this machine's time, also while the collector goes by UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return when something was logged."""
        from logger.clock import from_epoch_s, here  # noqa: PLC0415 - `--help` logs nothing

        return f"{here(from_epoch_s(record.created)):%Y-%m-%d %H:%M:%S}"


def log_to_stderr() -> None:
    """Have what is logged go to stderr; under systemd without the time, which the journal has."""
    handler = logging.StreamHandler(sys.stderr)
    in_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(LocalTime("%(levelname)s %(message)s" if in_journal else "%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("urllib3", "alembic", "asyncio", "zeroconf"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def prepare_streams() -> None:
    """Have what is written come out readable on every terminal."""
    codecs.register_error("in ascii", _in_ascii)
    # Where a stream was closed, nobody reads.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (sys.stdout, sys.stderr))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in ascii")
            if stream is sys.stderr or stream.isatty():  # Elsewhere it may be data, which stays as it is.
                vars(stream)["write"] = partial(_write, stream)


def _write(stream: io.TextIOWrapper, text: str) -> int:
    return type(stream).write(stream, harmless(text))


def harmless(text: str) -> str:
    """Return a text in which a terminal obeys nothing but our own styles: names may be anybody's, written with SQL."""
    return OBEYED.sub(lambda found: found[1] or "\N{REPLACEMENT CHARACTER}", text)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - for the type checker: nothing is decoded with it
    characters = error.object[error.start : error.end]
    plain = [IN_ASCII.get(char) or unicodedata.normalize("NFKD", char)[0] for char in characters]
    return "".join(char if char.isascii() else "?" for char in plain), error.end


def wants_colour() -> bool | None:
    """Return whether to colour: never with NO_COLOR, else where there is a terminal (None)."""
    return False if os.environ.get("NO_COLOR") else None


def echo_json(value: Any) -> None:
    """Write a record for a program."""
    echo_data((json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n").encode())


def echo_data(content: bytes) -> None:
    """Write text for a program: in UTF-8 and as it is, but for a terminal as what it can show."""
    click.echo(content.decode() if sys.stdout.isatty() else content, nl=False)
