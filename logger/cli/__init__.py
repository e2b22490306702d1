"""The command line: parse, call one function, print. Errors become exit codes here."""

import logging
import os
import sys
from typing import Any

import click

from logger import __version__
from logger.errors import LoggerError


class Commands(click.Group):
    """A group whose errors are sentences, and that loads a command only when it is called."""

    #: command -> module that holds it under its own name
    modules = {  # noqa: RUF012 - click gives groups no other place
        "discover": "discover",
        "run": "collect",
        "poll": "collect",
        "status": "standing",
        "health": "standing",
        "report": "report",
        "export": "export",
        "sql": "sql",
        "db": "database",
        "token": "gateway",
        "trust": "gateway",
        "simulate": "simulate",
        "demo": "simulate",
        "config": "configuration",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all commands, in the order of a user's first hour."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, importing its module."""
        if cmd_name not in self.modules:
            return None
        from importlib import import_module  # noqa: PLC0415 - only what is called

        module = import_module(f"logger.cli.{self.modules[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="envoylog")
@click.option("--config", metavar="FILE", help="The configuration to use.")
@click.option("--database-url", metavar="URL", help="Overrides the configured database.")
@click.option("-v", "--verbose", is_flag=True, help="Log each request.")
@click.pass_context
def cli(ctx: click.Context, config: str | None, database_url: str | None, verbose: bool) -> None:
    """Log an Enphase gateway, and turn what it counts into energy you can trust."""
    ctx.obj = {"config": config, "database_url": database_url}
    under_systemd = "JOURNAL_STREAM" in os.environ
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(message)s" if under_systemd else "%(asctime)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    for chatty in ("urllib3", "schedule", "alembic", "asyncio", "zeroconf"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result: Any = cli.main(args=args, prog_name="envoylog", standalone_mode=False)
    except LoggerError as error:
        click.echo(f"envoylog: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("envoylog: stopped.", err=True)
        return 1
    except BrokenPipeError:
        # The reader has had enough: keep the interpreter from flushing into a closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        return _unexpected(error)
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> int:
    """Say in a sentence what no command foresaw, and return the exit code."""
    log = logging.getLogger(__name__)
    log.debug("unexpected", exc_info=error)
    kind = type(error).__module__.partition(".")[0]
    if kind in {"sqlalchemy", "sqlite3", "psycopg"}:
        from logger.store.database import sentence_of  # noqa: PLC0415 - loaded by now

        click.echo(f"envoylog: {sentence_of(error)}", err=True)
        return 6
    click.echo(
        f"envoylog: unexpected {type(error).__name__}: {error}; please report this, with what "
        "`envoylog -v …` says.",
        err=True,
    )
    return 1
