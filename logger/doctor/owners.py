"""Whose the files are: what one user wrote, another who collects may not be able to read or write.

The owner of the state directory is who collects. A single command by another user, such as root, may leave a file there
that keeps the collector out.
"""

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from logger.doctor.findings import Finding, error
from logger.doctor.installation import Installation
from logger.errors import StoreError
from logger.settings import Settings
from logger.store import database

CHECK = "owners"
#: The folders of the state directory, and what lies beside a database's file.
FOLDERS = ("", "certificates", "tokens", "spool", "backups")
BESIDE = ("", "-wal", "-shm", "-journal", ".collector")
#: systemd gives these to whom they are for.
CREDENTIALS = Path("/run/credentials")


def examine(here: Installation, loaded: Settings) -> Iterator[Finding]:
    """Yield which files keep the collector out."""
    try:
        collector = loaded.state_dir.stat().st_uid
    except OSError:
        return  # Nobody has collected yet, or it is not for us to see.
    if collector == 0:
        return  # Nothing keeps root out.
    who = name_of(collector)
    if strange := [path for path in _state(loaded.state_dir) if _uid(path) not in {None, collector}]:
        text = (
            f"{_named(strange)} in {loaded.state_dir} {'is' if len(strange) == 1 else 'are'} not {who}'s, who collects."
        )
        yield error(CHECK, text, f"sudo chown -R {who}: {loaded.state_dir}")
    with contextlib.suppress(StoreError):
        if (file := database.file_of(loaded.database_url)) is not None:
            yield from _database(file, collector, who)
    if here.hidden:
        return
    for gateway in loaded.gateways:
        for path in filter(None, (gateway.token_file, gateway.password_file)):
            if _uid(path) not in {None, collector} and not path.is_relative_to(CREDENTIALS):
                text = f"{path} is {name_of(_uid(path) or 0)}'s, so {who}, who collects, can't read it."
                yield error(CHECK, text, f"sudo chown {who} {path}", gateway.name)
    for path in [told.url_file for told in loaded.told if told.url_file is not None]:
        if _uid(path) not in {None, collector} and not path.is_relative_to(CREDENTIALS):
            text = f"{path} is {name_of(_uid(path) or 0)}'s, so {who}, who collects, can't read it."
            yield error(CHECK, text, f"sudo chown {who} {path}")


def _state(state_dir: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        with contextlib.suppress(OSError):
            yield from sorted((state_dir / folder).iterdir())


def _database(file: Path, collector: int, who: str) -> Iterator[Finding]:
    existing = [path for path in (Path(f"{file}{rest}") for rest in BESIDE) if _uid(path) is not None]
    if existing and (locked := [path for path in (file.parent, *existing) if not may_write(path, collector)]):
        text = f"{who}, who collects, can't write {_named(locked)}."
        files = file.parent if file.parent in locked else f"{file}*"
        yield error(CHECK, text, f"sudo chown {who}: {files}")


def may_write(path: Path, user: int) -> bool:
    """Return whether a user may write a file or into a folder, by its mode."""
    try:
        found = path.stat()
    except OSError:
        return True  # It is not for us to see.
    if found.st_uid == user:
        return bool(found.st_mode & stat.S_IWUSR)
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid in groups_of(user)


def groups_of(user: int) -> set[int]:
    """Return the groups of a user, the own one included."""
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return set()
    return {entry.pw_gid} | {group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem}


def name_of(user: int) -> str:
    """Return a user's name, or the number of one without."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _uid(path: Path) -> int | None:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None


def _named(paths: Iterable[Path]) -> str:
    first, *rest = paths
    return f"{first} and {len(rest)} more" if rest else str(first)
