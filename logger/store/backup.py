"""Backups: one verified SQLite file, whichever database it was made of, and the way back."""

import os
import shutil
from pathlib import Path

from sqlalchemy import Engine

from logger.errors import SchemaOutdatedError, StoreAwayError, StoreError
from logger.store import maintenance
from logger.store.collectorlock import collector_lock
from logger.store.copy import Step, copy, replace
from logger.store.database import is_file, is_full, open_engine, translated_errors

#: What SQLite may leave beside a file.
BESIDE = ("-journal", "-wal", "-shm", ".collector")


def backup(
    engine: Engine, directory: Path, stamp: str, keep: int, step: Step | None = None
) -> Path:
    """Write a verified copy of a database while it is in use; keep the newest ``keep``.

    Raises:
        StoreError: the copy can't be written or does not read back.
    """
    path = directory / f"envoylog-{stamp}.db"
    temporary = path.with_suffix(".new")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        try:
            _write(engine, temporary, step)
            verify(temporary)
            _sync(temporary)
            temporary.replace(path)
        except StoreAwayError as error:
            if is_full(error):
                raise StoreError(
                    f"The disk of {directory} is full, so there is no new backup; make room, or "
                    "choose another -o."
                ) from error
            raise
        finally:
            _remove(temporary)
        for old in sorted(directory.glob("envoylog-*.db"))[:-keep]:
            old.unlink()
    except OSError as error:
        raise StoreError(
            f"The backup can't be written to {directory} ({error.strerror}); choose another -o."
        ) from error
    return path


def _write(engine: Engine, path: Path, step: Step | None) -> None:
    if is_file(engine):
        with translated_errors():
            driver = engine.raw_connection()
            try:
                driver.cursor().execute("VACUUM INTO ?", (str(path),))
            finally:
                driver.close()
        return
    target = open_engine(f"sqlite:///{path}")
    try:
        copy(engine, target, step)
    finally:
        target.dispose()


def _remove(path: Path) -> None:
    for one in (path, *(Path(f"{path}{rest}") for rest in BESIDE)):
        one.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """See to it that a file outlives a power cut: the older ones may go next."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def verify(path: Path) -> None:
    """Check that a file is a sound database of this program.

    Raises:
        StoreError: it is not.
    """
    copied = open_engine(f"sqlite:///{path}", read_only=True)
    try:
        found, needed = maintenance.current(copied), maintenance.head()
        if found is None:
            raise StoreError(f"{path} holds no tables of envoylog; use another backup.")
        maintenance.refuse_newer(found)
        if found != needed:
            raise SchemaOutdatedError(
                f"{path} has schema {found}, this program needs {needed}; "
                f"run: envoylog --database-url sqlite:///{path} db upgrade"
            )
        with translated_errors(), copied.connect() as connection:
            if said := maintenance.problems(connection):
                raise StoreError(f"{path}: {said[0]}; use another backup.")
    finally:
        copied.dispose()


def restore(engine: Engine, source: Path, step: Step | None = None) -> None:
    """Put a verified backup in the place of what the database holds; all of it or nothing.

    Raises:
        StoreError: the backup is not sound, or the database can't be written.
        CollectorRunningError: a collector is using the database.
    """
    verify(source)
    if is_file(engine):
        _restore_file(engine, source)
        return
    backed_up = open_engine(f"sqlite:///{source}", read_only=True)
    try:
        replace(backed_up, engine, step)
    finally:
        backed_up.dispose()


def _restore_file(engine: Engine, source: Path) -> None:
    target = Path(str(engine.url.database))
    temporary = target.with_suffix(".restoring")
    with collector_lock(engine):
        engine.dispose()
        try:
            shutil.copyfile(source, temporary)
            _sync(temporary)
            for rest in ("-wal", "-shm"):
                Path(f"{target}{rest}").unlink(missing_ok=True)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(
                f"{target} can't be written ({error.strerror}), so it stays as it was; make room "
                "or fix its permissions."
            ) from error
