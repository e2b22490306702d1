"""The command line: parse, call one function, print. Errors become exit codes here.

``--help`` has to answer at once, also on a Raspberry Pi, and ``envoylog run`` should hold nothing in memory that only
reports need. So a command's module is imported when that command is called, and what it imports at its top is not
executed before it is used.
"""

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

import click
from click.shell_completion import CompletionItem

from logger import __version__
from logger.cli import everywhere
from logger.errors import LoggerError, guarded

#: Each command, the module that holds it under its own name, and the first sentence of its help, which has to fit in a
#: line of 80 columns; in the order of a user's first hour, below the titles of ``--help``.
_TABLE = """
# Getting started
setup setup Find the gateway, get in, write the configuration, and poll.
discover gateway List the gateways on this network, by mDNS.
poll collect Poll every gateway once, store what it reports, and show it.
service service Run it for good: install, look at or remove the service.
run collect Collect from every gateway until stopped.
# Every day
status status Show on one screen how things stand.
report report Show or write energy per hour, day, month or year.
health status Check for a monitor: one line, and an exit code.
panels panels Compare each panel with its neighbours.
fleet fleet Watch many gateways: who is silent, weak or incomplete.
notify notify Tell people what needs them: try whether they hear it.
# When something is wrong
doctor doctor Check everything, and say what to do about it.
config configuration Check the configuration, and show where values come from.
token gateway Manage the token that firmware 7 and newer asks for.
trust gateway Manage the certificate that a gateway is known by.
docs docs Read the documentation, offline.
# The data
export export Write raw samples in a stream, as the gateway gave them.
db database Check, back up, move, prune or rebuild the database.
sql sql Prepare the database for Datasette, Grafana and other readers.
# Trying it out
demo simulate Log a simulated gateway for a minute, and report it.
simulate simulate Serve a simulated gateway until stopped.
# For your shell
completion docs Print what completes commands and options with Tab.
"""


def _sections() -> dict[str, dict[str, tuple[str, str]]]:
    """Return what ``_TABLE`` says: title -> command -> its module and first sentence."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for line in _TABLE.strip().splitlines():
        name, module, text = line.split(" ", 2)
        if name == "#":
            commands = found.setdefault(line[2:], {})
        else:
            commands[name] = (module, text)
    return found


SECTIONS = _sections()
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}


class _LazyFinder:
    """Finds our own modules as the interpreter does, but has them executed on first use."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("logger.") else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextlib.contextmanager
def _lazily() -> Iterator[None]:
    sys.meta_path.insert(0, _LazyFinder)
    try:
        yield
    finally:
        sys.meta_path.remove(_LazyFinder)


with _lazily():
    from logger.cli import examples, mistakes

    # Under a name of its own: this package's module ``database`` becomes ``database`` here once it is imported.
    from logger.store import database as stored


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all commands in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        with _lazily():
            command = getattr(import_module(f"logger.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        examples.add_to(command, cmd_name)
        return everywhere.accept(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands as click does, but without importing any."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", text) for name, (_, text) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what begins with what was typed, without importing any command."""
        items = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    cls=LazyGroup,
    params=everywhere.options(),
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="`envoylog COMMAND --help` has examples, `envoylog docs` the documentation.",
)
@click.version_option(__version__, prog_name="envoylog")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Log an Enphase gateway, and turn what it counts into energy you can trust."""
    ctx.color = everywhere.wants_colour()


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    everywhere.prepare_streams()
    everywhere.log_to_stderr()
    return guarded(lambda: _run(args), _unexpected)


def _run(args: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=args, prog_name="envoylog", standalone_mode=False)
    except LoggerError as error:
        everywhere.say(str(error))
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        everywhere.say(mistakes.sentence_of(error))
        return error.exit_code
    except click.ClickException as error:
        everywhere.say(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        everywhere.say("stopped.")
        return 1
    except BrokenPipeError:
        # The reader has had enough: keep the interpreter from flushing into a closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> int:
    """Say in a sentence what no command foresaw, and return the exit code."""
    logging.getLogger(__name__).debug("unexpected", exc_info=error)
    if (sentence := stored.sentence_of(error)) is not None:
        everywhere.say(sentence)
        return 6
    if isinstance(error, PermissionError) and error.filename:
        reason = f"{error.filename} is not for this user ({error.strerror})"
        everywhere.say(f"{reason}; run the command as its owner, or check its permissions.")
        return 1
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        everywhere.say(f"The disk of {error.filename or 'what is written'} is full; make room.")
        return 1
    everywhere.say(f"unexpected {type(error).__name__}: {error}; please report this, with what `envoylog -v …` prints.")
    return 1
