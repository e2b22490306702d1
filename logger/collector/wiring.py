"""Puts pollers and keepers together: settings, gateways, spools and the database."""

import contextlib
from collections.abc import Mapping

from sqlalchemy import Engine

from logger.clock import Clock, utc_now
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.errors import GatewayReplacedError, StoreAwayError, StoreDamagedError
from logger.gateway.claims import Claims
from logger.gateway.client import Gateway
from logger.settings import Settings
from logger.store.lock import CollectorDatabase
from logger.store.spool import Spool


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
        if isinstance(database, CollectorDatabase):
            gateway.read_password()  # One that can't be read is not first noticed when a token ends.
            keep_after_s = max(settings.commit_every_s, settings.poll_every_s)
            queue = Spool(settings.state_dir, gateway.name, keep_after_s=keep_after_s)
            queue.claim()
            keeper = Keeper(settings, gateway, database.engine, queue, database.ready, clock=clock)
        else:
            keeper = Keeper(settings, gateway, database, clock=clock)
        client = Gateway(settings, gateway, environ, clock=clock)
        client.claims = claims
        found.append(Poller(client, keeper))
    with contextlib.suppress(StoreAwayError, StoreDamagedError):
        for poller in found:
            poller.keeper.load_identity()
            if (identity := poller.keeper.identity) is not None:
                with contextlib.suppress(GatewayReplacedError):  # It is said when that gateway answers.
                    claims.take(identity.serial, poller.name)
    return found
