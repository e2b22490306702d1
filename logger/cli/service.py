"""``envoylog service``."""

import contextlib
import json
import os
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from logger.cli import docs, manual
from logger.errors import CheckFailedError
from logger.service import install as installation
from logger.service import machine as machines
from logger.service import state as states

if TYPE_CHECKING:
    from logger.service.state import State


@click.group()
def service() -> None:
    """Run it for good: install, look at or remove the service."""


@service.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--reader", metavar="USER", help="Let this user read the figures; the one who ran sudo by default.")
@click.option("--no-backup", is_flag=True, help="Replace a version without a backup of the database.")
def install(dry_run: bool, reader: str | None, no_backup: bool) -> None:
    """Install it, put right what is not, or replace its version.

    Another version gets the database only after a backup, and has two minutes to log a poll; otherwise the old
    one goes on.
    """
    chosen = installer(dry_run=dry_run, reader=reader or os.environ.get("SUDO_USER"), backup=not no_backup)
    installation.check_executable(chosen.executable)
    # A connection that breaks must not leave the service between two versions.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    found = chosen.install()
    if dry_run:
        click.echo("nothing was changed", err=True)
        return
    click.echo("\n".join(_lines(found)))


@service.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def remove(dry_run: bool) -> None:
    """Stop and remove it; configuration and database stay."""
    installer(dry_run=dry_run).remove()
    if dry_run:
        click.echo("nothing was changed", err=True)
        return
    click.echo(
        "The service is removed. Configuration and database stay in /etc/envoylog and /var/lib/envoylog;\n"
        "to delete them too: rm -r /etc/envoylog /var/lib/envoylog; userdel envoylog"
    )


@service.command()
@click.option("--json", "as_json", is_flag=True, help="Print one record.")
def status(as_json: bool) -> int:
    """Show whether it runs, and what to type; exit 8 where it does not."""
    found = states.look()
    click.echo(json.dumps(asdict(found), indent=2, default=str) if as_json else "\n".join(_lines(found)))
    return 0 if found.running else CheckFailedError.exit_code


#: shell -> where what completes its words lies, of all that an administrator installs
COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions/envoylog",
    "zsh": "/usr/local/share/zsh/site-functions/_envoylog",
    "fish": "/usr/local/share/fish/vendor_completions.d/envoylog.fish",
}
MANUAL = "/usr/local/share/man/man1/envoylog.1"


def _extras() -> dict[str, str]:
    """Return what makes the command comfortable, path -> text; a package of the system brings that itself."""
    if installation.own_executable().startswith("/usr/lib/"):
        return {}
    root = click.get_current_context().find_root().command
    return {path: docs.script(root, shell) for shell, path in COMPLETIONS.items()} | {MANUAL: manual.page(root)}


def installer(*, dry_run: bool, reader: str | None = None, backup: bool = True) -> "installation.Installer":
    """Return what installs the running program on this machine, and says what it does."""
    return installation.Installer(
        machines.Machine(),
        installation.own_executable(),
        say=lambda text: _say(f"would {text}" if dry_run else text),
        reader=reader,
        extras=_extras(),
        dry_run=dry_run,
        backup=backup,
    )


def _say(text: str) -> None:
    """Print to whoever is still there."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _lines(found: "State") -> list[str]:
    lines = [f"service   {found.in_words}"]
    if found.said and found.running:
        lines.append(f"          {found.said}")
    if found.executable:
        lines.append(f"program   {found.executable}")
    if found.to_type:
        lines.append(f"type      {found.to_type}")
    return lines
