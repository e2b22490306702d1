"""Puts pollers and keepers together: settings, gateways, spools and the database."""

import contextlib
from collections.abc import Mapping

from sqlalchemy import Engine

from logger.clock import Clock, utc_now
from logger.collector.keeper import Keeper
from logger.collector.poller import Poller
from logger.errors import StoreAwayError
from logger.gateway.client import Gateway
from logger.settings import Settings
from logger.store.lock import CollectorDatabase
from logger.store.spool import Spool


def pollers(
    settings: Settings,
    engine: Engine,
    environ: Mapping[str, str],
    *,
    clock: Clock = utc_now,
) -> list[Poller]:
    """Return a poller per configured gateway, whose polls wait in memory.

    Raises:
        SettingsError: a host or a cloud address that can't be used.
        StoreError: the database can't be read.
    """
    found = []
    for gateway in settings.gateways:
        keeper = Keeper(settings, gateway, engine, clock=clock)
        keeper.load_identity()
        found.append(Poller(Gateway(settings, gateway, environ, clock=clock), keeper))
    return found


def durable_pollers(
    settings: Settings,
    database: CollectorDatabase,
    environ: Mapping[str, str],
    *,
    clock: Clock = utc_now,
) -> list[Poller]:
    """Return a poller per configured gateway, whose polls wait in files of the state directory.

    For the one collector; its database may be away now and come back later.

    Raises:
        CollectorRunningError: another collector has the database or the files.
        SettingsError: a host, a cloud address or a state directory that can't be used.
        StoreError: the database can't be used, now or later.
    """
    found = []
    for gateway in settings.gateways:
        spool = Spool(settings.state_dir, gateway.name)
        spool.claim()
        keeper = Keeper(
            settings, gateway, database.engine, queue=spool, ready=database.ready, clock=clock
        )
        found.append(Poller(Gateway(settings, gateway, environ, clock=clock), keeper))
    with contextlib.suppress(StoreAwayError):
        database.ready()
        for poller in found:
            poller.keeper.load_identity()
    return found
