"""Puts pollers and keepers together: settings, gateways, spools and the database."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine

from logger.clock import Clock, utc_now
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.collector.sharing import Sharing
from logger.errors import CollectorRunningError, GatewayReplacedError, LoggerError, StoreAwayError, StoreDamagedError
from logger.gateway.claims import Claims
from logger.gateway.client import Gateway
from logger.settings import GatewaySettings, Settings
from logger.store.database import translated_errors
from logger.store.leases import Leases
from logger.store.lock import CollectorDatabase
from logger.store.queries import gateways
from logger.store.spool import Spool, waiting_files

log = logging.getLogger(__name__)


def pollers(
    settings: Settings, database: Engine | CollectorDatabase, environ: Mapping[str, str], *, clock: Clock = utc_now
) -> list[Poller]:
    """Return a poller per configured gateway.

    The polls of the one collector wait in files of the state directory, and its database may be
    away or damaged now and come back later; beside it, with just an engine, they wait in memory.

    Raises:
        CollectorRunningError: another collector has the database or the files.
        SettingsError: a host, a cloud address, a password's file or a state directory that can't be used.
        StoreError: the database can't be used, now or later.
    """
    found, claims = [], Claims()
    for gateway in settings.gateways:
        keeper = keeper_of(settings, gateway, database, clock)
        found.append(_poller(settings, gateway, keeper, environ, claims))
    with contextlib.suppress(StoreAwayError, StoreDamagedError):
        for poller in found:
            poller.keeper.load_identity()
            if (identity := poller.keeper.identity) is not None:
                with contextlib.suppress(GatewayReplacedError):  # It is said when that gateway answers.
                    claims.take(identity.serial, poller.name)
    return found


def keeper_of(
    settings: Settings, gateway: GatewaySettings, database: Engine | CollectorDatabase, clock: Clock = utc_now
) -> Keeper:
    """Return who stores a gateway's polls; those of a collector wait in a file that is its own.

    Raises:
        CollectorRunningError: another collector has the file.
        SettingsError: a password's file or a state directory that can't be used.
    """
    if not isinstance(database, CollectorDatabase):
        return Keeper(settings, gateway, database, clock=clock)
    gateway.read_password()  # One that can't be read is not first noticed when a token ends.
    keep_after_s = max(settings.commit_every_s, settings.poll_every_s)
    count, failing = len(settings.gateways), database.failing
    queue = Spool(settings.state_dir, gateway.name, keep_after_s=keep_after_s, of=count, failing=failing)
    queue.claim()
    return Keeper(settings, gateway, database.engine, queue, database.ready, waiting=database.waiting, clock=clock)


def _poller(
    settings: Settings, gateway: GatewaySettings, keeper: Keeper, environ: Mapping[str, str], claims: Claims
) -> Poller:
    client = Gateway(settings, gateway, environ, clock=keeper.clock)
    client.claims = claims
    return Poller(client, keeper)


def sharing(settings: Settings, database: CollectorDatabase, environ: Mapping[str, str]) -> Sharing:
    """Return what has this collector ask the gateways that it leased.

    Raises:
        CollectorRunningError: another collector has the database for itself.
        SettingsError: a host, a cloud address or a password's file that can't be used.
        StoreError: the database can't be used, now or later.
    """
    for gateway in settings.gateways:
        gateway.read_password()
        Gateway(settings, gateway, environ)
    with contextlib.suppress(StoreAwayError, StoreDamagedError):
        database.ready()
    claims, logged, busy = Claims(), set[str](), set[str]()

    def build(wanted: Sequence[GatewaySettings]) -> Iterator[Poller]:
        with translated_errors(), database.engine.connect() as connection:
            for row in gateways(connection):  # Others may know more of them by now.
                with contextlib.suppress(GatewayReplacedError):
                    claims.take(row.serial, row.name)
        for gateway in wanted:
            try:
                with contextlib.ExitStack() as undo:
                    keeper = keeper_of(settings, gateway, database, shared.clock)
                    undo.callback(keeper.queue.close)  # Else nobody could ask it the next time.
                    keeper.load_identity()
                    poller = _poller(settings, gateway, keeper, environ, claims)
                    undo.pop_all()
            except (StoreAwayError, StoreDamagedError):
                raise  # It is not for this gateway's sake.
            except LoggerError as error:
                # Another process of this machine may have yet to store what it took: not the next time, too.
                is_brief = isinstance(error, CollectorRunningError) and gateway.name not in busy
                busy.add(gateway.name)
                if not is_brief and gateway.name not in logged:
                    log.error("gateway=%s can't be asked: %s", gateway.name, error)  # noqa: TRY400 - the sentence is enough
                    logged.add(gateway.name)
            else:
                logged.discard(gateway.name)
                busy.discard(gateway.name)
                yield poller

    names = [gateway.name for gateway in settings.gateways]
    leases = Leases(database.engine, names, lasts_s=settings.poll_every_s)
    shared = Sharing(settings, database.ready, leases, build)
    return shared


def left_over(settings: Settings, database: CollectorDatabase, clock: Clock) -> list[Keeper]:
    """Return who stores what waits in files since a collector of this machine ended, of which no other has the file."""
    found = []
    for gateway in settings.gateways:
        if any(path.exists() and path.stat().st_size for path in waiting_files(settings.state_dir, gateway.name)):
            with contextlib.suppress(CollectorRunningError):
                found.append(keeper_of(settings, gateway, database, clock))
    return found
