"""``envoylog run`` and ``envoylog poll``."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from logger import clock
from logger.cli import notify
from logger.cli.everywhere import echo_json, quiet, say
from logger.cli.options import gateways_of, load_settings, opened
from logger.collector import pages, process, service, wiring
from logger.errors import GatewayError, LoggerError
from logger.exports import polled
from logger.gateway import claims, client
from logger.reports import overview, power
from logger.store import database, lock, schema

if TYPE_CHECKING:
    from logger.gateway.client import Gateway
    from logger.readings import Poll
    from logger.reports.overview import Energy
    from logger.reports.power import Counted
    from logger.settings import Settings

log = logging.getLogger(__name__)

#: This many gateways are named in a line of the log.
NAMED = 10


@click.command()
def run() -> None:
    """Collect from every gateway until stopped.

    Ctrl-C, SIGTERM and SIGHUP stop it: the poll in flight is finished and stored.
    """
    loaded = load_settings()
    names = [gateway.name for gateway in gateways_of(loaded)]
    process.share_one_heap()
    room = process.make_room(len(names))
    is_shared = loaded.collect == "shared"
    with contextlib.closing(_database(loaded.database_url, shared=is_shared)) as collected:
        builder = _page_builder(loaded)
        sharing = wiring.sharing(loaded, collected, os.environ) if is_shared else None
        collector = service.Service(
            [] if is_shared else wiring.pollers(loaded, collected, os.environ),
            poll_every_s=loaded.poll_every_s,
            inverters_every_s=loaded.inverters_every_s,
            hourly=builder.start if builder is not None else None,
            room=room,
            sharing=sharing,
            epoch_s=clock.epoch_now_s if sharing is None else sharing.epoch_s,
        )
        if sharing is not None:
            collector.store_left(wiring.left_over(loaded, collected, sharing.clock))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, collector.stop)
        shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        log.info("collecting gateways=%s every %d s", shown, loaded.poll_every_s)
        telling: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if loaded.notify or loaded.healthcheck:  # What that needs is not imported for others.
            telling = notify.telling(loaded, collector, collected.engine, _environ(loaded))
        try:
            with telling:
                collector.run()
        finally:
            if builder is not None:
                builder.stop()
    log.info("stopped")


def _database(url: str, *, shared: bool) -> "lock.CollectorDatabase":
    return lock.CollectorDatabase(url, shared=shared, prepare=schema.prepare_apart)


def _environ(loaded: "Settings") -> dict[str, str]:
    """Return with what a command works on the collector's configuration and database.

    Other users see a command line; these may be named by flags.
    """
    environ = os.environ | {"ENVOYLOG_DATABASE_URL": loaded.database_url}
    if loaded.config_path is not None:
        environ["ENVOYLOG_CONFIG"] = str(loaded.config_path.absolute())
    return environ


def _page_builder(loaded: "Settings") -> "pages.PageBuilder | None":
    """Return what rebuilds the configured pages each hour."""
    if loaded.pages is None:
        return None
    command = [sys.executable, "-P", "-m", "logger", "report", "page", "--all"]
    return pages.PageBuilder(command, _environ(loaded))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of records, one per gateway.")
@click.option("--no-store", is_flag=True, help="Only show; write nothing to the database.")
@click.option("-v", "--verbose", is_flag=True, help="Show each sample too, as the gateway gave it.")
def poll(as_json: bool, no_store: bool, verbose: bool) -> int:
    """Poll every gateway once, store what it reports, and show it."""
    gateways_of(loaded := load_settings())
    with quiet():
        answers = list(_asked(loaded) if no_store else stored(loaded))
    for answer in answers:
        for problem in answer.problems():
            say(problem)
        if not as_json:
            for line in answer.lines(verbose=verbose):
                click.echo(line)
    if as_json:
        echo_json([answer.record() for answer in answers])
    return next((code for answer in answers if (code := answer.exit_code)), 0)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of one poll of one gateway."""

    gateway: "Gateway"
    poll: "Poll | None"
    error: LoggerError | None
    is_stored: bool = False
    before: "Counted | None" = None  #: what was stored before
    today: "Energy | None" = None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        if (refused := self.gateway.endpoints.refused_user) is not None:
            return refused.exit_code
        return GatewayError.exit_code if self.poll is not None and self.poll.outcome == "failed" else 0

    def problems(self) -> Iterator[str]:
        """Yield what a person should hear."""
        settings = self.gateway.settings
        if isinstance(self.error, GatewayError):
            yield str(client.unreachable(settings, self.error))
        elif self.error is not None:
            yield str(self.error)
        elif self.poll is not None:
            for failure in self.poll.failures:
                yield f"{settings.name}: {failure.source}: {failure.error}"
        if self.poll is not None and self.gateway.is_nightly_outage(self.poll.polled_at):
            yield f"{settings.name}: inverters are not asked from 22:58 to 23:06, while gateways restart"

    def lines(self, *, verbose: bool) -> Iterator[str]:
        """Yield what a person reads."""
        poll, settings = self.poll, self.gateway.settings
        if poll is None or self.error is not None:
            return
        zone = settings.time_zone or (poll.info.time_zone if poll.info else None)
        yield from polled.in_words(settings.name, poll, zone)
        if self.is_stored:
            yield from polled.stored(poll, self.before, self.today, zone)
        if verbose:
            yield from polled.table(poll, zone)

    def record(self) -> dict[str, Any]:
        """Return all of it for a program."""
        record: dict[str, Any] = {"gateway": self.gateway.settings.name}
        if self.poll is None:
            return record | {"outcome": "failed", "error": str(self.error)}
        record |= asdict(self.poll) | {"outcome": self.poll.outcome, "error": self.poll.error}
        del record["clock_set"]
        return record


def _asked(loaded: "Settings") -> Iterator[_Answer]:
    """Poll every gateway and keep nothing."""
    at, shared = clock.utc_now(), claims.Claims()
    for settings in loaded.gateways:
        gateway = client.Gateway(loaded, settings, os.environ)
        gateway.claims = shared
        try:
            yield _Answer(gateway, gateway.poll(at=at, inverters=True), None)
        except LoggerError as error:
            yield _Answer(gateway, None, error)


def stored(loaded: "Settings") -> Iterator[_Answer]:
    """Poll every gateway and store what it reports."""
    at = clock.utc_now()
    with opened(loaded, prepare=True) as engine:
        for poller in wiring.pollers(loaded, engine, os.environ):
            with database.translated_errors(), engine.connect() as connection:
                before = power.stored_counter(connection, poller.name)
            answer = poller.poll(at, inverters=True)
            is_stored = poller.keeper.store_all()
            if not is_stored:
                say(f"nothing was stored: {poller.keeper.error}")
            error = poller.last_error or poller.keeper.error
            with database.translated_errors(), engine.connect() as connection:
                today = overview.energy_today(connection, poller.name, at)
            yield _Answer(poller.gateway, answer, error, is_stored=is_stored, before=before, today=today)
