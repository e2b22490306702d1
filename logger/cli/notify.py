"""``envoylog notify``, and the threads that tell people while ``envoylog run`` collects."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from logger import status
from logger.cli.everywhere import say
from logger.cli.options import load_settings
from logger.clock import utc_now
from logger.collector import beside
from logger.errors import LoggerError, SettingsError
from logger.gateway import credentials
from logger.notify import database, delivery, healthcheck, month, notifier
from logger.store import database as stored

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from logger.collector.service import Service
    from logger.settings import Settings


@click.group()
def notify() -> None:
    """Tell people what needs them: try whether they hear it."""


@notify.command()
def test() -> int:
    """Send one message to each [[notify]] of the configuration.

    It says whether it was taken. What is to be told and when is in `envoylog docs notifications`.
    """
    loaded = load_settings()
    if not loaded.notify:
        raise SettingsError("No [[notify]] is configured; see: envoylog docs notifications")
    code, gateways = 0, ", ".join(gateway.name for gateway in loaded.gateways) or "no gateway yet"
    for receiver in loaded.notify:
        kinds = ", ".join(receiver.when)
        body = f"This is a test of envoylog ({gateways}).\n\nThis receiver ({receiver.name}) is told of: {kinds}."
        try:
            delivery.deliver(receiver.secret, delivery.Message("envoylog: a test", body), beside.Beside())
        except LoggerError as error:
            say(f"{receiver.name}: not sent: {error}")
            code = code if code == SettingsError.exit_code else error.exit_code
        else:
            click.echo(f"{receiver.name}: sent")
    return code


@contextlib.contextmanager
def telling(loaded: "Settings", collector: "Service", engine: "Engine", environ: Mapping[str, str]) -> Iterator[None]:
    """Tell who is to be told while the collector collects; nothing is imported or started where nobody is."""
    threads: list[notifier.Notifier | healthcheck.HealthPinger] = []
    keepers = collector.keepers
    if loaded.notify:
        folders = {"state_dir": loaded.state_dir}
        if (file := stored.file_of(loaded.database_url)) is not None:
            folders["database"] = file.parent
        courier = beside.Beside()
        threads.append(
            notifier.Notifier(
                loaded,
                database.Database(loaded.database_url, engine, keepers),
                courier,
                asked=collector.pollers,
                kept=keepers,
                tokens=lambda: credentials.tokens_left(loaded, environ, utc_now),
                folders=folders,
                is_idle=lambda: collector.sharing is not None and not collector.turns,
                page=month.MonthlyPage(loaded.state_dir / "notify", environ, courier, locale=loaded.pages_locale),
            )
        )
    if loaded.healthcheck is not None:
        asked = database.Database(loaded.database_url, engine, keepers)
        patience_s = 2 * loaded.poll_every_s + loaded.commit_every_s + 120
        threads.append(
            healthcheck.HealthPinger(
                loaded.healthcheck,
                lambda: collector.writer.stored,
                lambda: status.health_now(asked.reading, loaded, utc_now(), [None] * len(loaded.gateways)),
                patience_s=patience_s,
            )
        )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(1.0)
