"""Putting the service on a machine: user and group, folders and modes, unit, links, start.

Each step is said before it is done, and only said with ``dry_run``. To install again is to put right what is not, and
where the program is another one, to replace it (``upgrade``).
"""

import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from logger.errors import ServiceError, UsageError
from logger.service import unit
from logger.service.machine import Machine
from logger.service.program import Program
from logger.service.state import CONFIG, NAME, UNIT, USER, State, is_gone, look
from logger.service.unit import DATABASE, HIDDEN
from logger.service.upgrade import Upgrade, start
from logger.settings import places

STATE = str(places.SYSTEM_STATE_DIR)
LINK = "/usr/local/bin/envoylog"
#: path, owner, mode; the group is always the service's. The group may pass through the state to the database.
FOLDERS = ((str(places.SYSTEM_CONFIG_DIR), "root", 0o750), (STATE, USER, 0o710), (DATABASE, USER, 0o2770))


def own_executable() -> str:
    """Return the command that is running, as a path that stays."""
    beside = Path(sys.executable).parent / "envoylog"
    installed = Path(sysconfig.get_path("scripts")) / "envoylog"
    return str(next((path for path in (beside, installed) if path.is_file()), Path(sys.argv[0]).absolute()))


def check_executable(executable: str, interpreters: Iterable[str] = (sys.executable, sys.base_prefix)) -> None:
    """Refuse a program that the service's user could not start.

    Raises:
        UsageError: it lies where the service can't look; says what to do instead.
    """
    for place in (executable, *interpreters):
        path = Path(place).resolve()
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            clone = Path(__file__).resolve().parents[2] / "scripts/install"
            command = f"sudo {clone}" if clone.is_file() else "sudo scripts/install, from a clone of envoylog"
            raise UsageError(
                f"{path} lies in a folder that the service does not see; put the program under /opt first: {command}"
            )
        closed = next((p for p in (path, *path.parents) if not p.stat().st_mode & stat.S_IXOTH), None)
        if closed is not None:
            raise UsageError(f"The service's user may not start {executable}; run: chmod o+rx {closed}")


@dataclass
class Installer:
    """Installs and removes the service."""

    machine: Machine
    executable: str
    say: Callable[[str], None]
    reader: str | None = None  #: a user who shall read the database without sudo
    extras: Mapping[str, str] = field(default_factory=dict)  #: path -> text: completion, man page
    dry_run: bool = False
    backup: bool = True

    def install(self) -> State:
        """Install the service, or put right what is not; return how it is then.

        Raises:
            UsageError: we are not root.
            ServiceError: a step failed; says which.
            CheckFailedError: another version was put in place, was not well, and the old one runs again.
        """
        self._need_root("install")
        before = look(self.machine)
        old_text = before.unit.read_text(encoding="utf-8") if before.unit else ""
        self._account()
        self._bring_back_from_private()
        self._folders()
        new_text = unit.text(self.machine, self.executable)
        self._put(new_text, old_text, before)
        self._reader()
        return look(self.machine)

    def _put(self, new_text: str, old_text: str, before: State) -> None:
        """Put the unit and its companions in place, and start it."""
        link = self.machine.path(LINK)
        old_link = str(link.readlink()) if link.is_symlink() else None

        def put(text: str, target: str | None, *, is_old: bool = False) -> None:
            self._move_database(is_back=is_old)
            self._write(UNIT, text)
            self._link(target)
            for path, content in self.extras.items():
                self._write(path, content)
            if self.machine.runs_systemd:
                self.machine.do("systemctl", "daemon-reload")

        is_other = bool(old_text) and old_text != new_text
        has_config = not is_gone(self.machine.path(CONFIG))
        old = Program(self.machine, self._resolved(before.executable))
        if is_other and has_config and not is_gone(self.machine.path(old.executable)):
            new = Program(self.machine, self.executable)
            way = Upgrade(
                self.machine,
                old,
                new,
                put_new=lambda: put(new_text, self.executable),
                put_old=lambda: put(old_text, old_link, is_old=True),
                say=self.say,
                backup=self.backup,
            )
            how = "back up the database, " if self.backup else ""
            self._step(f"{how}migrate it, restart with {self.executable}, look for two minutes, or go back", way.run)
        else:
            said = "" if old_text == new_text else f"write the unit {UNIT}"
            self._step(said, lambda: put(new_text, self.executable))
            if has_config and self.machine.runs_systemd and (is_other or not before.running):
                word = "restart" if is_other else "start"
                self._step(f"{word} it", lambda: start(self.machine, word))
        if not before.enabled and self.machine.has_systemd:
            self._step("start it at each boot", lambda: self.machine.do("systemctl", "enable", "--quiet", NAME))

    def remove(self) -> None:
        """Stop the service and remove its unit and companions; configuration, database and user stay.

        Raises:
            UsageError: we are not root.
            ServiceError: a step failed; says which.
        """
        self._need_root("remove")
        before = look(self.machine)
        if before.installed and self.machine.has_systemd:
            now = ("--now",) if self.machine.runs_systemd else ()
            self._step(
                "stop it, also at boot",
                lambda: self.machine.do("systemctl", "disable", "--quiet", *now, NAME, patience_s=120),
            )
        for path in map(self.machine.path, (UNIT, *self.extras)):
            if path.is_file():
                self._step(f"remove {path}", path.unlink)
        link = self.machine.path(LINK)
        if link.is_symlink() and str(link.readlink()) in {self.executable, before.executable}:
            self._step(f"remove {link}", link.unlink)
        if before.installed and self.machine.runs_systemd:
            self._step("", lambda: self.machine.do("systemctl", "daemon-reload"))

    def _need_root(self, word: str) -> None:
        if not (self.dry_run or self.machine.is_root):
            raise UsageError(f"Only root may do that; run: sudo {self.executable} service {word}")

    def _step(self, text: str, do: Callable[[], object]) -> None:
        """Say a step and take it.

        Raises:
            ServiceError: it failed; what was done before stays, and the next try goes on from there.
        """
        if text:
            self.say(text)
        if self.dry_run:
            return
        try:
            do()
        except OSError as error:
            raise ServiceError(f"{text or 'The step'} failed: {error.filename}: {error.strerror}") from error

    def _account(self) -> None:
        machine = self.machine
        if not machine.has_group(USER):
            self._step(f"make the group {USER}", lambda: machine.do("groupadd", "--system", USER))
        if not machine.has_user(USER):
            words = ["--system", "--gid", USER, "--no-create-home", "--home-dir", "/nonexistent"]
            words += ["--shell", "/usr/sbin/nologin", USER]
            self._step(f"make the user {USER}", lambda: machine.do("useradd", *words))

    def _bring_back_from_private(self) -> None:
        """Undo what a unit with DynamicUser=yes did: the state is a link to a folder that root alone can enter."""
        state, private = self.machine.path(STATE), self.machine.path("/var/lib/private/envoylog")
        if not (state.is_symlink() and private.is_dir()):
            return

        def move() -> None:
            if self.machine.runs_systemd:
                self.machine.do("systemctl", "stop", NAME, patience_s=120)
            state.unlink()
            private.rename(state)

        self._step(f"bring {STATE} back from /var/lib/private, where a user made up by systemd had it", move)

    def _folders(self) -> None:
        for name, owner, mode in FOLDERS:
            path = self.machine.path(name)
            is_new = not path.is_dir()

            def make(path: Path = path, owner: str = owner, mode: int = mode) -> None:
                path.mkdir(parents=True, exist_ok=True, mode=mode & 0o777)
                self.machine.own(path, owner, USER, mode)

            self._step(f"make {name}, {mode:04o} {owner}:{USER}" if is_new else "", make)
        config = self.machine.path(CONFIG)
        if config.is_file():
            self._step("", lambda: self.machine.own(config, "root", USER, 0o640))
        self._step("", self._hand_over)

    def _hand_over(self) -> None:
        """Give the service what root made in its folders, and the group what it may read."""
        state = self.machine.path(STATE)
        for folder, folders, files in os.walk(state):
            for name in (*folders, *files):
                self.machine.own(Path(folder, name), USER, USER)
        for path in self.machine.path(DATABASE).iterdir():
            if path.is_file() and not path.is_symlink():
                path.chmod(0o640)
        # Older versions left some open to everybody.
        for path in (path for path in state.iterdir() if path.is_dir() and path.name != Path(DATABASE).name):
            path.chmod(path.stat().st_mode & 0o750)
        for path in map(self.machine.path, map(str, unit.secret_files(self.machine))):
            if path.is_file() and path.is_relative_to(self.machine.path("/etc/envoylog")):
                self.machine.own(path, USER, USER, 0o600)

    def _write(self, name: str, text: str) -> None:
        """Write a file whole or not at all, readable by everybody."""
        path = self.machine.path(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(path)

    def _resolved(self, executable: str | None) -> str:
        """Return a program behind the links to it, which lead elsewhere once another version is in place."""
        path = self.machine.path(executable or LINK)
        while path.is_symlink():
            path = self.machine.path(str(path.parent / path.readlink()))
        return f"/{path.relative_to(self.machine.root)}"

    def _move_database(self, *, is_back: bool) -> None:
        """Move a database from among the secrets to the group's folder, where none is configured; or back."""
        if look(self.machine).running or "database_url" in unit.configuration(self.machine):
            return
        folders = [self.machine.path(STATE), self.machine.path(DATABASE)]
        here, there = reversed(folders) if is_back else folders
        if not (here / places.DATABASE_NAME).is_file() or (there / places.DATABASE_NAME).exists():
            return
        for path in here.glob(f"{places.DATABASE_NAME}*"):
            path.rename(there / path.name)
        self._hand_over()

    def _link(self, executable: str | None) -> None:
        """Let everybody find the command, where no other way leads to it."""
        link = self.machine.path(LINK)
        found = shutil.which("envoylog", path="/usr/bin:/bin")
        if executable is None or (found is not None and Path(found).resolve() == Path(executable).resolve()):
            if link.is_symlink():
                link.unlink()  # It would be found first.
            return
        if link.exists() and not link.is_symlink():
            self.say(f"{LINK} is another file and stays; this program is {executable}")
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(".envoylog.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(executable)
        temporary.replace(link)

    def _reader(self) -> None:
        reader = self.reader
        if reader and reader != "root" and reader not in self.machine.members(USER):
            self._step(
                f"let {reader} read the figures: a member of the group {USER} from the next login on",
                lambda: self.machine.do("usermod", "--append", "--groups", USER, reader),
            )
