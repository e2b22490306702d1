"""What the database knows of a gateway from before this start.

Walk: collector.keeper -> here -> store.queries
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection

from logger.store.queries import last_batteries, last_production_source, last_states


class Identity(NamedTuple):
    """Who it was, and in what state."""

    serial: str
    firmware: str
    source: str | None  #: where its production last came from
    states: dict[str, str | None]  #: of the site's devices
    batteries: list[str]  #: IQ Batteries, by serial

    @classmethod
    def read(cls, connection: Connection, gateway: Any) -> "Identity":
        """Read what belongs to a row of ``gateways``."""
        of = gateway.gateway_id
        source, states = last_production_source(connection, of), last_states(connection, of)
        return cls(gateway.serial, gateway.firmware or "", source, states, last_batteries(connection, of))
