"""``envoylog setup``."""

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logger import settings
from logger.cli import asking, collect, everywhere, pasting
from logger.cli import service as cli_service
from logger.cli.program import command
from logger.clock import utc_now
from logger.errors import CheckFailedError, LoggerError, UsageError
from logger.service import install as installation
from logger.service import machine as machines
from logger.service import state as states
from logger.settings import places
from logger.setup import dialogue, draft, former, person

if TYPE_CHECKING:
    from logger.settings import Settings
    from logger.setup.draft import Draft

FILE = click.Path(path_type=Path)
#: between the first poll and the second: CTs count within it
AGAIN_AFTER_S = 5.0


@click.command()
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Address of a gateway. [default: found by mDNS]")
@click.option("--name", "names", multiple=True, metavar="NAME", help="What you call it. [default: roof]")
@click.option("--token-file", "token_files", multiple=True, type=FILE, help="A file with its token; - is stdin.")
@click.option("--username", metavar="EMAIL", help="The Enlighten account that gives the token.")
@click.option("--password-file", type=FILE, help="A file with the account's password.")
@click.option("--keep-password/--no-keep-password", default=None, help="Keep it, so that the token renews itself.")
@click.option("--fingerprint", metavar="SHA256", help="The certificate to expect. [default: shown and asked]")
@click.option("--time-zone", metavar="ZONE", help="Of the site. [default: the gateway's own]")
@click.option("--peak-power-kwp", type=click.FloatRange(0.01, 100_000), metavar="KWP", help="Of the panels.")
@click.option("--timeout-s", type=click.FloatRange(0.1, 300), default=5.0, metavar="SECONDS", help="For mDNS.")
@click.option("--service/--no-service", default=None, help="Run it for good, by systemd. [default: asked as root]")
@click.option("--yes", is_flag=True, help="Ask nothing; take the defaults.")
@click.option("--dry-run", is_flag=True, help="Try everything, write nothing.")
def setup(service: bool | None, yes: bool, dry_run: bool, **given: Any) -> int:
    """Find the gateway, get in, write the configuration, and poll.

    Run it again to add a gateway or to change something: only what you ask for changes.
    """
    if not (yes or dry_run or sys.stdin.isatty()):
        raise UsageError("Nobody can answer here; add --yes, and a flag for each answer.")
    asked = asking.Terminal(is_there=not yes and sys.stdin.isatty())
    with everywhere.quiet():
        return _asked(asked, service, _wishes(given), dry_run=dry_run)


def _asked(asked: "person.Person", service: bool | None, wishes: "person.Wishes", *, dry_run: bool) -> int:
    """Ask and try everything, then write."""
    explicit = click.get_current_context().find_root().obj.get("config")
    path, service = _place(explicit, service, asked, dry_run=dry_run)
    plan = draft.Draft(path, os.environ)
    with tempfile.TemporaryDirectory() as scratch:
        talk = dialogue.Dialogue(plan, wishes, asked, os.environ, utc_now)
        if dry_run:
            talk.account_dir = _copy_of_accounts(plan.loaded.state_dir, Path(scratch))
        if (old := _former(plan, asked) if service else None) is not None:
            talk.take_over(old, former.server_url(old))
        talk.run()
    _show(plan, asked)
    if dry_run:
        if service:
            cli_service.installer(dry_run=True, reader=os.environ.get("SUDO_USER")).install()
        asked.say("Nothing was written.")
        return 0
    if (plan.is_changed or service) and not asked.confirm("Write it?" if plan.is_changed else "Go on?"):
        raise CheckFailedError("Nothing was written.")
    return _done(talk, old, service=service, asked=asked)


def _copy_of_accounts(state_dir: Path, scratch: Path) -> Path:
    """Return a copy of when accounts were asked, which may be written to."""
    (scratch / "tokens").mkdir()
    with contextlib.suppress(OSError):
        for path in (state_dir / "tokens").glob("account-*"):
            settings.write_secret(scratch / "tokens" / path.name, path.read_text(encoding="utf-8"))
    return scratch


def _former(plan: "Draft", asked: "person.Person") -> "Settings | None":
    """Return the configuration of the user who ran sudo, where the service is to go on from there."""
    user = os.environ.get("SUDO_USER", "root")
    path = None if plan.before or user == "root" else former.path_of(user)
    if path is None or not asked.confirm(f"Go on with the gateways and figures of {user} ({path})?"):
        return None
    return former.load(path)


def _done(talk: "dialogue.Dialogue", old: "Settings | None", *, service: bool, asked: "person.Person") -> int:
    """Write, poll, install, and say what to type next."""
    loaded = talk.keep()
    asked.say()
    asked.say(f"Written: {loaded.config_path}.")
    for line in former.bring(old, loaded) if old else ():
        asked.say(line)
    asked.say("A poll:" if talk.draft.before else "The first poll:")
    context = click.get_current_context()
    context.find_root().obj["config"] = str(loaded.config_path)
    code = context.invoke(collect.poll)
    if service:
        asked.say()
        cli_service.installer(dry_run=False, reader=os.environ.get("SUDO_USER")).install()
    _restart(loaded.config_path, talk, asked)
    state = states.look()
    if service and not state.running:
        asked.say(f"The service is {state.in_words}{f'; type: {state.to_type}' if state.to_type else ''}.")
    elif service:
        asked.say("The service collects from now on.")
    asked.say()
    if not talk.draft.before and code == 0 and _poll_again(loaded):
        asked.say("A second poll is stored too: energy, the difference of two, is counted from now on.")
    elif not talk.draft.before:
        asked.say("Energy is the difference of two polls: figures begin with the second.")
    asked.say("What to type next:")
    asked.lines(_next(loaded.config_path, service=service or bool(state.running)))
    return int(code)


def _poll_again(loaded: "Settings") -> bool:
    """Poll a second time, so that reports have a first figure at once; return whether that is stored."""
    time.sleep(AGAIN_AFTER_S)
    with contextlib.suppress(LoggerError):
        return all(answer.is_stored and answer.error is None for answer in collect.stored(loaded))
    return False


def _restart(path: Path | None, talk: "dialogue.Dialogue", asked: "person.Person") -> None:
    """Let a service that runs already read what has changed."""
    machine = machines.Machine()
    if places.is_system(path) and talk.draft.before and states.look(machine).running:
        asked.say("The service is restarted, to read what has changed.")
        machine.do("systemctl", "restart", states.NAME, patience_s=120)


def _place(explicit: str | None, service: bool | None, asked: "person.Person", *, dry_run: bool) -> tuple[Path, bool]:
    """Return which configuration it is about, and whether the service is to be installed."""
    named = explicit or os.environ.get("ENVOYLOG_CONFIG")
    if service and named and not places.is_system(Path(named)):
        raise UsageError(f"The service reads {places.system_config()}; leave out --config, or --service.")
    if named:
        return Path(named).expanduser().absolute(), bool(service)
    if service and not dry_run:
        installation.check_executable(installation.own_executable())
    if is_root():
        return _place_of_root(service, asked, dry_run=dry_run)
    if service and not dry_run:
        raise UsageError(f"Only root installs the service; run: sudo {command(is_full=True)} setup --service")
    if service is None and (found := settings.find_config(None, os.environ)) is not None:
        if places.is_system(found):
            raise UsageError(
                f"{found} is the service's: run: sudo {command(is_full=True)} setup, or add --no-service for your own."
            )
        return found, False
    return places.system_config() if service else places.user_config(os.environ), bool(service)


def _place_of_root(service: bool | None, asked: "person.Person", *, dry_run: bool) -> tuple[Path, bool]:
    """Return the same for root, whose configuration is the service's unless it is not wanted."""
    machine = machines.Machine()
    has_one = settings.places.is_file(places.system_config())
    if service is None:
        state = states.look(machine)
        if has_one and (state.running or not machine.runs_systemd):
            return places.system_config(), False
        service = machine.runs_systemd and (
            state.installed or asked.confirm("Run it for good, as a service of this machine?")
        )
    if service and not dry_run:
        installation.check_executable(installation.own_executable())
    return places.system_config() if service else places.user_config(os.environ), service


def is_root() -> bool:
    """Return whether we may change the system."""
    return os.geteuid() == 0


def _wishes(given: dict[str, Any]) -> "person.Wishes":
    """Return what the command line says, files read."""
    texts = tuple(
        sys.stdin.read() if str(path) == "-" else pasting.pasted_token(path) for path in given.pop("token_files")
    )
    file: Path | None = given["password_file"]
    if file is not None:
        file = given["password_file"] = file.absolute()
    password = settings.read_secret(file, waits=True) if file else None
    if file and not given["username"]:
        raise UsageError("--password-file belongs to --username; add it.")
    if texts and given["username"]:
        raise UsageError("A token is pasted or fetched: leave out --token-file or --username.")
    url = click.get_current_context().find_root().obj.get("database_url")
    return person.Wishes(token_texts=texts, password=password, database_url=url, **given)


def _show(plan: "Draft", asked: "person.Person") -> None:
    asked.say()
    if not plan.is_changed:
        asked.say(f"Nothing changes in {plan.path}.")
        return
    asked.say(f"{plan.path} {'changes' if plan.before else 'will be'}:")
    asked.lines([f"  {line}".rstrip() for line in plan.changes()])


def _next(path: Path | None, *, service: bool) -> list[str]:
    own = {places.user_config(os.environ), places.system_config()}
    to_it = "" if path in own else f" --config {path}"
    run = [] if service else [("run", "collects until Ctrl-C")]
    rows = [*run, ("status", "shows how things stand"), ("report daily", "the energy of each day")]
    lines = [(f"{command()} {words}{to_it}", what) for words, what in rows]
    if not service and places.is_system(path):
        lines[0] = (f"sudo {command(is_full=True)} service install", "collects for good")
    elif not service and machines.Machine().runs_systemd:
        lines.append((f"sudo {command(is_full=True)} setup --service", "collects for good, as a service"))
    widest = max(len(words) for words, _ in lines)
    return [f"  {words:<{widest}}   {what}" for words, what in lines]
