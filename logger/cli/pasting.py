"""Reads what is pasted into a terminal without showing it: several lines, and longer than a terminal's may be."""

import os
import select
import sys
import termios
import tty
from pathlib import Path

import click

from logger.errors import TokenError, UsageError
from logger.gateway.token import LONGEST_TEXT, Token

#: What is pasted comes at once: after this long without more of it, it has ended.
QUIET_S = 0.5
END_OF_TEXT = "\x04"  #: what Ctrl-D sends


def pasted_token(path: Path | None = None, prompt: str = "Paste the token (it is not shown), then press Enter") -> str:
    """Return the text that should hold a token: of a file, of a pipe, or pasted at a prompt.

    UsageError: the file can't be read.
    """
    if path is not None:
        return _of_file(path)
    if not sys.stdin.isatty():
        return sys.stdin.read(LONGEST_TEXT)
    click.echo(f"{prompt}: ", nl=False, err=True)
    try:
        return _from_terminal(sys.stdin.fileno())
    finally:
        click.echo(err=True)


def _of_file(path: Path) -> str:
    try:
        content = path.read_bytes()[: 4 * LONGEST_TEXT]
    except OSError as error:
        raise UsageError(f"The file {path} can't be read ({error.strerror}); check the path.") from error
    # A file that an editor of another system wrote begins with a mark of its encoding.
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    return content.decode(encoding, "replace")


def _from_terminal(terminal: int) -> str:
    """Return what is pasted, as soon as a token is complete, or else after Enter."""
    before, text = termios.tcgetattr(terminal), ""
    try:
        tty.setcbreak(terminal)
        while END_OF_TEXT not in text and len(text) < LONGEST_TEXT:
            if not select.select([terminal], [], [], QUIET_S)[0]:
                if text.strip() and _is_complete(text):
                    break
                continue
            if not (more := os.read(terminal, 4096)):
                break
            text += more.decode("utf-8", "replace").replace("\r", "\n")
        return text.partition(END_OF_TEXT)[0]
    finally:
        # What was pasted beyond the token must not answer the next question.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _is_complete(text: str) -> bool:
    if text.endswith("\n"):
        return True
    try:
        Token.parse(text)
    except TokenError:
        return False
    return True
