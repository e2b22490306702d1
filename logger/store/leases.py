"""Which of several collectors asks which gateway: leases in a PostgreSQL database, by its clock.

A collector is there for as long as it says so, in one row that it renews. A lease names its collector, and is free once
that one is no longer there. Those with the same gateways configured share them evenly: who has too many leaves some,
who has too few takes free ones, of which two never get the same (FOR UPDATE SKIP LOCKED).
"""

import hashlib
import secrets
import socket
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from logger.clock import epoch_now_s
from logger.store.database import translated_errors

_HERE = """
INSERT INTO collectors (collector, gateways, expires_at)
VALUES (%(me)s, %(config)s, clock_timestamp() + make_interval(secs => %(lasts_s)s))
ON CONFLICT (collector) DO UPDATE SET expires_at = excluded.expires_at, gateways = excluded.gateways
"""
_FORGET = "DELETE FROM collectors WHERE expires_at < clock_timestamp() - interval '1 day'"
_KNOW = "INSERT INTO gateway_leases (gateway) SELECT unnest(%(names)s::text[]) ORDER BY 1 ON CONFLICT DO NOTHING"
_PEERS = "SELECT count(*) FROM collectors WHERE gateways = %(config)s AND expires_at > clock_timestamp()"
_HELD = "SELECT gateway FROM gateway_leases WHERE collector = %(me)s AND gateway = ANY(%(names)s::text[])"
_LEAVE = "UPDATE gateway_leases SET collector = NULL WHERE collector = %(me)s AND gateway = ANY(%(names)s::text[])"
_TAKE = """
UPDATE gateway_leases SET collector = %(me)s WHERE gateway IN (
    SELECT lease.gateway FROM gateway_leases lease WHERE lease.gateway = ANY(%(names)s::text[]) AND NOT EXISTS (
        SELECT FROM collectors WHERE collectors.collector = lease.collector AND expires_at > clock_timestamp()
    ) ORDER BY lease.gateway LIMIT %(most)s FOR UPDATE SKIP LOCKED
) RETURNING gateway
"""
_GONE = "DELETE FROM collectors WHERE collector = %(me)s"
_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"


class Renewed(NamedTuple):
    """What a collector has."""

    held: set[str]
    too_many: int  #: of these: others have fewer than their share
    ahead_s: float  #: how far the database's clock is ahead of this machine's
    within_s: float  #: how exactly that is known


class Leases:
    """One collector's leases of the gateways that are configured."""

    def __init__(self, engine: Engine, names: Sequence[str], lasts_s: float) -> None:
        self._engine = engine
        #: who this is, for others and for people who look
        self.collector = f"{socket.gethostname()} {secrets.token_hex(4)}"
        self._are_known = False
        self._of = {
            "me": self.collector,
            "names": list(names),
            "lasts_s": lasts_s,
            "config": hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16],
        }

    def forget(self) -> None:
        """Know nothing any more of the database: it may be another one."""
        self._are_known = False

    def renew(self, leaving: Collection[str] = (), *, takes: bool = True) -> Renewed:
        """Say that this collector is there, leave some gateways to others, and take what is free unless told not to.

        Raises:
            StoreError: the database can't be asked; what was leased stays so until it expires.
        """
        names: Sequence[str] = self._of["names"]  # type: ignore[assignment]
        are_known, self._are_known = self._are_known, False  # After an error it may be another database.
        with translated_errors(), self._engine.begin() as connection:
            run = connection.exec_driver_sql
            run(_HERE, self._of)
            run(_FORGET)
            if not are_known:
                run(_KNOW, self._of)
            run(_LEAVE, {**self._of, "names": list(leaving)})
            held = set(run(_HELD, self._of).scalars())
            share = -(-len(names) // run(_PEERS, self._of).scalar_one())
            if takes and (lacks := share - len(held)) > 0:
                held |= set(run(_TAKE, {**self._of, "most": lacks}).scalars())
        with translated_errors(), self._engine.connect() as connection:
            before_s = epoch_now_s()
            shown_s = connection.exec_driver_sql(_CLOCK).scalar_one()
            after_s = epoch_now_s()
        self._are_known = True
        return Renewed(held, max(0, len(held) - share), shown_s - (before_s + after_s) / 2, (after_s - before_s) / 2)

    def release(self) -> None:
        """Leave all gateways to others.

        Raises:
            StoreError: the database can't be asked; they are taken over when the leases have expired.
        """
        with translated_errors(), self._engine.begin() as connection:
            connection.exec_driver_sql(_GONE, self._of)
