"""Puts pollers together: settings, gateways, and what the database knows of them."""

import contextlib
from collections.abc import Mapping

from sqlalchemy import Engine

from logger.clock import Clock, utc_now
from logger.collector.poller import Poller
from logger.errors import StoreAwayError
from logger.gateway.client import Gateway
from logger.settings import Settings
from logger.store.door import Door
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
    made = [
        Poller(settings, one, Gateway(settings, one, environ, clock=clock), engine, clock=clock)
        for one in settings.gateways
    ]
    for poller in made:
        poller.recall()
    return made


def durable_pollers(
    settings: Settings, door: Door, environ: Mapping[str, str], *, clock: Clock = utc_now
) -> list[Poller]:
    """Return a poller per configured gateway, whose polls wait in files of the state directory.

    For the one collector; its database may be away now and come back later.

    Raises:
        CollectorRunningError: another collector has the database or the files.
        SettingsError: a host, a cloud address or a state directory that can't be used.
        StoreError: the database can't be used, now or later.
    """
    made = []
    for one in settings.gateways:
        spool = Spool(settings.state_dir, one.name)
        spool.claim()
        gateway = Gateway(settings, one, environ, clock=clock)
        made.append(
            Poller(settings, one, gateway, door.engine, queue=spool, ready=door.ready, clock=clock)
        )
    with contextlib.suppress(StoreAwayError):
        door.ready()
        for poller in made:
            poller.recall()
    return made
