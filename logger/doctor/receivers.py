"""Who is told: can each receiver's URL be used, and does it take what it is sent."""

from collections.abc import Iterator

from sqlalchemy import select

from logger.collector.beside import Beside
from logger.doctor.findings import Finding, error, ok, warning
from logger.doctor.installation import Installation, finding_of
from logger.errors import LoggerError, SettingsError, StoreError
from logger.notify import delivery
from logger.settings import Settings
from logger.store import database
from logger.store.models import NOTIFICATIONS

CHECK = "notify"
TEST = "envoylog notify test"


def examine(here: Installation, loaded: Settings) -> Iterator[Finding]:
    """Yield what is to be said of receivers and of the health check; nobody is sent anything."""
    if here.hidden:
        return
    for receiver in loaded.notify:
        try:
            delivery.deliver(receiver.secret, None, Beside())
        except LoggerError as problem:
            yield finding_of(CHECK, problem, TEST)
        else:
            yield ok(CHECK, f"{receiver.name} is told of {', '.join(receiver.when)}.")
    if loaded.healthcheck is not None:
        yield from _healthcheck(loaded)
    yield from _waiting(loaded)


def _healthcheck(loaded: Settings) -> Iterator[Finding]:
    pinged = loaded.healthcheck
    try:
        url = pinged.secret.read() if pinged is not None else ""
    except SettingsError as problem:
        yield finding_of("healthcheck", problem, "check url_file")
        return
    if pinged is None or not url.startswith(("http://", "https://")):
        yield error("healthcheck", "The URL of [healthcheck] is none that can be pinged.", "write https://…")
    else:
        yield ok("healthcheck", f"It is pinged each {pinged.every_s} s at most, while polls are stored.")


def _waiting(loaded: Settings) -> Iterator[Finding]:
    """Yield who did not take the last that was to be told."""
    columns = NOTIFICATIONS.c
    query = select(columns.outcome, columns.error, columns.noticed_at).order_by(columns.noticed_at.desc()).limit(1)
    try:
        with (
            database.opened(loaded.database_url, read_only=True) as engine,
            database.translated_errors(),
            engine.connect() as connection,
        ):
            for receiver in loaded.notify:
                last = connection.execute(query.where(columns.receiver == receiver.name)).one_or_none()
                if last is not None and last.error is not None:
                    what = "waits" if last.outcome == "waiting" else f"was {last.outcome}"
                    at = f"{last.noticed_at:%Y-%m-%d %H:%M} UTC"
                    yield warning(CHECK, f"{receiver.name}: what was noticed at {at} {what}: {last.error}.", TEST)
    except StoreError:
        return  # The database's own check says why.
