"""The collector's database, for threads beside it: read by a connection of their own, written where it takes polls."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from sqlalchemy import Connection, Engine

from logger.errors import LoggerError, StoreAwayError, StoreError
from logger.store.database import backend, open_engine, translated_errors
from logger.store.lock import PATIENCE_S


class Kept(Protocol):
    """What a keeper shows: how many polls the database took from it, and why it takes none now."""

    @property
    def stored(self) -> int:
        """How many polls the database took."""

    @property
    def error(self) -> LoggerError | None:
        """Why it takes none."""


class Database:
    """One thread's way to the database; nothing of it makes the collector wait for longer than a row takes."""

    def __init__(self, url: str, engine: Engine, keepers: Iterable[Kept]) -> None:
        self._url, self._engine, self._keepers = url, engine, keepers
        self._reader: Engine | None = None
        self._place: object = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open it for reading alone.

        Raises:
            StoreError: it is away, or has not been made yet.
        """
        try:
            if self._reader is not None and backend(self._reader).place(self._reader) != self._place:
                self.close()  # Another file lies there now.
            if self._reader is None:
                self._reader = open_engine(self._url, read_only=True)
                backend(self._reader).bound(self._reader, PATIENCE_S)
                self._place = backend(self._reader).place(self._reader)
            with translated_errors(), self._reader.connect() as connection:
                yield connection
        except StoreError:
            self.close()
            raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open it for a transaction, through the collector's engine: what a collector may not write, nobody here does.

        Raises:
            StoreError: it does not take polls either.
        """
        if not any(keeper.stored and keeper.error is None for keeper in self._keepers):
            raise StoreAwayError("The database takes no polls.")
        with translated_errors(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connection for reading."""
        if self._reader is not None:
            self._reader.dispose()
        self._reader = None
