"""The right to be the one collector of a server's database.

It is a lock that a transaction holds for as long as the collector runs: behind a pooler that gives each transaction
another connection of the server (PgBouncer with ``pool_mode = transaction``), a lock of a session would stay with a
connection that others go on with. The transaction has read and written nothing, so that it holds up neither VACUUM nor
a change of tables. Any user may take such a lock, also one who may only read: locks count only where their user may
write.
"""

import contextlib
import secrets
import time
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from logger.errors import CollectorRunningError
from logger.store.database import OTHER_COLLECTOR, OTHERS_ALONE, translated_errors

#: any number that no other program uses for its own locks
_LOCKS = 0x656E766F
#: which is taken unless somebody has it who may only read; versions up to 0.1 held it by their session
_NUMBER = 0x796C6F67
#: which is taken while one process after the other gives a database its tables
_PREPARING = 0x70726570
_TAKE = f"SELECT pg_try_advisory_xact_lock{{}}({_LOCKS << 32 | _NUMBER})"
_TAKE_ANOTHER = f"SELECT pg_try_advisory_xact_lock{{}}({_LOCKS}, %s)"
PREPARE = f"SELECT pg_advisory_xact_lock({_LOCKS << 32 | _PREPARING})"
_OTHERS = """
SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = %s AND objid <> %s AND pid <> pg_backend_pid()
AND NOT (%s AND mode = 'ShareLock')
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND coalesce(has_table_privilege(usesysid, to_regclass('gateways'), 'INSERT'), true)
"""
_TRIES, _SOON_S = 4, 0.15


class ServerLock:
    """The right to be the one collector: a lock of the server, gone with its connection.

    With ``shared`` it is the right to be one of those that share the gateways, while nobody has the other. It must be
    held anew after the server was away.
    """

    def __init__(self, engine: Engine, *, shared: bool = False) -> None:
        self._engine = engine
        self._is_shared = shared
        self._connection: Connection | None = None
        self._server_process: int | None = None

    def hold(self) -> bool:
        """Take the lock, or see that it is still ours; return whether it had to be taken.

        Raises:
            CollectorRunningError: another process has it.
            StoreError: the server can't be asked.
        """
        if self._still_ours():
            return False
        # The transaction is begun by hand: nobody waits for the end of what idles.
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with translated_errors(), contextlib.ExitStack() as undo:
            connection = undo.enter_context(alone.connect())
            for _ in range(_TRIES):
                if self._take(connection):
                    break
                connection.exec_driver_sql("ROLLBACK")
                time.sleep(_SOON_S)  # One that has just ended may not be noticed yet.
            else:
                raise CollectorRunningError(OTHERS_ALONE if self._is_shared else OTHER_COLLECTOR)
            undo.pop_all()
            self._connection = connection
            self._server_process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        return True

    def release(self) -> None:
        """Let another collector have it; a server that went away has released it already."""
        if self._connection is not None:
            self._close()  # Asking a server that hangs for it would take for ever.

    def _still_ours(self) -> bool:
        with contextlib.suppress(SQLAlchemyError):
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return True
        self._close()
        return False

    def _take(self, connection: Connection) -> bool:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        way = "_shared" if self._is_shared else ""
        is_taken = connection.exec_driver_sql(_TAKE.format(way)).scalar_one()
        others = self._others(connection)
        if self._server_process in others:
            # A connection of ours that the network cut, but that the server still believes in.
            connection.exec_driver_sql("SELECT pg_terminate_backend(%s)", (self._server_process,))
        elif not is_taken and not others:
            is_taken = connection.exec_driver_sql(_TAKE_ANOTHER.format(way), (secrets.randbits(31),)).scalar_one()
            others = self._others(connection)  # Anew: somebody may have taken theirs just now.
        return bool(is_taken and not others)

    def _others(self, connection: Connection) -> set[Any]:
        """Return the server's processes of other collectors."""
        connection.exec_driver_sql("SAVEPOINT look")
        found = set(connection.exec_driver_sql(_OTHERS, (_LOCKS, _PREPARING, self._is_shared)).scalars())
        connection.exec_driver_sql("ROLLBACK TO look")  # What was read is not held on to.
        return found

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None
