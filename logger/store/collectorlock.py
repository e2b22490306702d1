"""The right to be the one collector of a database."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from logger.errors import CollectorRunningError, StoreAwayError, StoreError
from logger.store.database import is_file, translated_errors

#: any number that no other program uses for its own locks
_LOCK_KEY = 0x656E766F796C6F67
_TAKEN = (
    "Another envoylog is collecting into this database; stop it first "
    "(systemctl stop envoylog), or give this one a database_url of its own."
)


def lock_path(engine: Engine) -> Path:
    """Return the file beside a database file that its collector holds; it names its process."""
    return Path(f"{engine.url.database}.collector")


class CollectorLock:
    """The right to be the one collector of a database.

    A file beside a SQLite database; on PostgreSQL a lock of the server, which is gone with the
    connection that took it, so that it must be held anew after the server was away.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file: int | None = None
        self._connection: Connection | None = None
        self._server_process: int | None = None

    def hold(self) -> None:
        """Take the lock, or see that it is still ours.

        Raises:
            CollectorRunningError: another collector has it.
            StoreAwayError: the server can't be asked.
        """
        if is_file(self._engine):
            self._hold_file()
        elif not self._still_ours():
            self._hold_server()

    def release(self) -> None:
        """Let another collector have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._connection is not None:
            # A server that went away meanwhile has released it already.
            with contextlib.suppress(SQLAlchemyError):
                self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK_KEY})")
            self._close()

    def _hold_file(self) -> None:
        if self._file is not None:
            return
        path = lock_path(self._engine)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            kind = StoreAwayError if error.errno == errno.ENOSPC else StoreError
            raise kind(f"{path} can't be written ({error.strerror}); make room or fix its "
                       "permissions.") from error  # fmt: skip
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise CollectorRunningError(_TAKEN) from error
        os.ftruncate(handle, 0)
        os.write(handle, b"%d\n" % os.getpid())  # Who it is, for those who want to look.
        self._file = handle

    def _still_ours(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except SQLAlchemyError:
            self._close()
            return False
        return True

    def _hold_server(self) -> None:
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with translated_errors():
            connection = alone.connect()
            try:
                held = self._take(connection)
            except BaseException:
                connection.close()
                raise
        if not held:
            connection.close()
            raise CollectorRunningError(_TAKEN)
        self._connection = connection
        driver: Any = connection.connection.dbapi_connection
        self._server_process = driver.info.backend_pid

    def _take(self, connection: Connection) -> bool:
        take = f"SELECT pg_try_advisory_lock({_LOCK_KEY})"
        if connection.exec_driver_sql(take).scalar_one():
            return True
        # A connection of ours that the network cut, but that the server still believes in.
        left = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND granted AND (classid::bigint << 32) + objid::bigint = :key AND pid = :pid"
            ),
            {"key": _LOCK_KEY, "pid": self._server_process or 0},
        ).all()
        if left:
            time.sleep(0.5)
        return bool(left) and bool(connection.exec_driver_sql(take).scalar_one())

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None


@contextlib.contextmanager
def collector_lock(engine: Engine) -> Iterator[None]:
    """Hold the right to be the one collector of a database.

    Raises:
        CollectorRunningError: another collector has it.
        StoreError: the database can't be asked.
    """
    lock = CollectorLock(engine)
    lock.hold()
    try:
        yield
    finally:
        lock.release()
