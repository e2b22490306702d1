"""The machine that the service is installed on: its files, its users, and the commands that change it.

Everything that the service's commands do to a machine goes through here, so that a test can hand them a folder.
"""

import grp
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from logger.errors import ServiceError


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    text: str  #: what it printed to stdout
    errors: str  #: what it printed to stderr


#: what a command that is not there ends with, in every shell
NOT_FOUND = 127


@dataclass(frozen=True)
class Machine:
    """This machine."""

    root: Path = field(default=Path("/"))
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def path(self, absolute: str) -> Path:
        """Return a file of this machine."""
        return self.root / absolute.lstrip("/")

    @property
    def is_root(self) -> bool:
        """Whether we may change it."""
        return os.geteuid() == 0

    @property
    def runs_systemd(self) -> bool:
        """Whether systemd runs here: not in a container or a chroot (sd_booted(3))."""
        return self.path("/run/systemd/system").is_dir()

    @property
    def has_systemd(self) -> bool:
        """Whether systemd is there, running or not."""
        return shutil.which("systemctl", path=self._path) is not None

    def ask(self, *command: str, environ: Mapping[str, str] | None = None, patience_s: float = 60) -> Answer:
        """Return what a command answers; never raises."""
        try:
            done = subprocess.run(  # noqa: S603 - our own words, no shell
                command,
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=patience_s,
                stdin=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8", "PATH": self._path, **(environ or {})},
                cwd="/",
                umask=0o027,
            )
        except subprocess.TimeoutExpired:
            return Answer(124, "", f"{command[0]} did not end within {patience_s:.0f} s")
        except OSError as error:
            return Answer(NOT_FOUND, "", f"{command[0]}: {error.strerror}")
        return Answer(done.returncode, done.stdout, done.stderr)

    def do(self, *command: str, patience_s: float = 60) -> None:
        """Have a command done.

        Raises:
            ServiceError: it failed; has what it said.
        """
        answer = self.ask(*command, patience_s=patience_s)
        if answer.code:
            said = " ".join((answer.errors or answer.text).split())[:300] or f"exit code {answer.code}"
            raise ServiceError(f"`{' '.join(command)}` failed: {said}")

    def own(self, path: Path, user: str, group: str, mode: int | None = None) -> None:
        """Give a file to a user and a group, and set its mode; never what a link points to."""
        os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid, follow_symlinks=False)
        if mode is not None:
            path.chmod(mode)

    def has_user(self, name: str) -> bool:
        """Whether there is a user in the machine's own list (systemd's dynamic ones are in none)."""
        return self._has("/etc/passwd", name)

    def has_group(self, name: str) -> bool:
        """Whether there is a group in the machine's own list."""
        return self._has("/etc/group", name)

    def members(self, group: str) -> list[str]:
        """Return the users that a group lists."""
        lines = [line.split(":") for line in self.path("/etc/group").read_text().splitlines()]
        return next((line[3].split(",") for line in lines if line[0] == group and len(line) > 3), [])

    def _has(self, table: str, name: str) -> bool:
        try:
            lines = self.path(table).read_text().splitlines()
        except OSError:
            return False
        return any(line.partition(":")[0] == name for line in lines)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def passed_s(self) -> float:
        """Return seconds that only ever grow, by the clock that systemd's monotonic instants are of."""
        return time.monotonic()

    @property
    def _path(self) -> str:
        """Where commands are looked for: also where a user's PATH leaves out what only root needs."""
        return f"{self.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
