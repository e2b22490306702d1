"""Ends connections to a database server that hangs.

A network that swallows what is sent, or a proxy without its server, keeps a connection that looks well; a program that
waits for its answer waits for ever.
"""

import contextlib
import os
import socket
import threading
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

LOOK_EVERY_S = 5.0


class Patience:
    """Watches an engine's connections, of which each transaction has to go on within a time."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self.seconds = seconds
        self._busy: dict[int, tuple[float, Any]] = {}  # since when nothing went on, and whose
        for name in ("begin", "before_cursor_execute", "commit", "rollback"):
            sa.event.listen(engine, name, self._goes_on)
        sa.event.listen(engine, "after_cursor_execute", self._went_on)
        for name in ("checkin", "close"):
            sa.event.listen(engine, name, self._is_over)
        sa.event.listen(engine, "engine_disposed", lambda _engine: self._disposed.set())
        self._beginning, self._disposed = threading.Lock(), threading.Event()
        self._disposed.set()  # until there is something to watch

    def _goes_on(self, connection: Connection, *_: Any) -> None:
        if connection.invalidated:
            return
        driver: Any = connection.connection.driver_connection
        self._busy[id(driver)] = time.monotonic(), driver
        if self._disposed.is_set():
            self._begin()

    def _begin(self) -> None:
        """Watch, unless another thread has just begun to; where there are no more threads it is tried again."""
        with self._beginning, contextlib.suppress(RuntimeError):
            if self._disposed.is_set():
                disposed = threading.Event()
                threading.Thread(target=self._watch, args=(disposed,), name="patience", daemon=True).start()
                self._disposed = disposed

    def _went_on(self, connection: Connection, *_: Any) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self._is_over(connection.connection.driver_connection)  # What is held between statements may idle.
        else:
            self._goes_on(connection)

    def _is_over(self, driver: Any, *_: Any) -> None:
        self._busy.pop(id(driver), None)

    def _watch(self, disposed: threading.Event) -> None:
        """Watch until the engine is disposed of; one that goes on then is watched by another thread."""
        while not disposed.wait(min(LOOK_EVERY_S, self.seconds / 4)):
            for key, (since_s, driver) in list(self._busy.items()):
                if time.monotonic() - since_s > self.seconds:
                    self._busy.pop(key, None)
                    _hang_up(driver)


def _hang_up(driver: Any) -> None:
    """Let whoever waits for a connection see its end."""
    with (
        contextlib.suppress(OSError, sa.exc.DBAPIError, driver.Error),
        socket.socket(fileno=os.dup(driver.fileno())) as its,
    ):
        its.shutdown(socket.SHUT_RDWR)
