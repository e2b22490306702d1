"""Puts pollers together: settings, gateways, and what the database knows of them."""

from collections.abc import Mapping

from sqlalchemy import Engine

from logger.clock import Clock, utc_now
from logger.collector.poller import Poller
from logger.gateway.client import Gateway
from logger.settings import Settings
from logger.store.database import translated_errors
from logger.store.queries import gateway_named, last_production_source
from logger.store.spool import Spool


def pollers(
    settings: Settings,
    engine: Engine,
    environ: Mapping[str, str],
    *,
    clock: Clock = utc_now,
    durable: bool = False,
) -> list[Poller]:
    """Return a poller per configured gateway.

    With ``durable`` polls wait in files of the state directory; only the one collector may.

    A gateway that the database knows by name is bound to its serial, and its production to the
    source that it had: a restart changes neither.

    Raises:
        SettingsError: a host or a cloud address that can't be used.
        StoreError: the database can't be read.
    """
    made = []
    for one in settings.gateways:
        gateway = Gateway(settings, one, environ, clock=clock)
        with translated_errors(), engine.connect() as connection:
            known = gateway_named(connection, one.name)
            if known is not None:
                gateway.known_serial = one.serial or known.serial
                source = last_production_source(connection, known.gateway_id)
                if source is not None and known.serial == gateway.known_serial:
                    gateway.previous = (source, known.firmware or "")
        queue = Spool(settings.state_dir, one.name) if durable else None
        made.append(Poller(settings, one, gateway, engine, queue=queue, clock=clock))
    return made
