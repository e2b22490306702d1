"""From one version to another: backup, migrate, restart, and back where the new one does not log within two minutes."""

import contextlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from logger.errors import CheckFailedError, LoggerError, ServiceError
from logger.service.machine import Machine
from logger.service.program import Program
from logger.service.state import CONFIG, NAME, look

#: A new version has to be found well within this time.
WELL_WITHIN_S = 120.0
LOOK_EVERY_S = 5.0
#: ended by itself so often, it will not get well
RESTARTS = 3
#: what `envoylog health` ends with where nothing is broken: ok, warning
WELL = {0, 1}


def start(machine: Machine, word: str = "start") -> None:
    """Start the service, and wait until it says that it collects.

    Raises:
        ServiceError: it ended; has the last that it said.
    """
    try:
        machine.do("systemctl", word, NAME, patience_s=120)
    except ServiceError as error:
        lines = (
            machine.ask("journalctl", "-u", NAME, "-t", "envoylog", "-n", "1", "-o", "cat").text.strip().splitlines()
        )
        if not lines:
            raise
        raise ServiceError(f"The service does not start: {lines[-1].removeprefix('envoylog: ').rstrip('.')}") from error


@dataclass(frozen=True)
class Upgrade:
    """The way from the version that is installed to another one, and back."""

    machine: Machine
    old: Program
    new: Program
    put_new: Callable[[], None]  #: puts the new unit and links in place
    put_old: Callable[[], None]  #: and the old ones back
    say: Callable[[str], None]
    backup: bool = True

    def run(self) -> None:
        """Replace the version.

        Raises:
            ServiceError: the database can't be backed up or migrated; the old version goes on.
            CheckFailedError: the new version did not log; the old one runs again.
        """
        level, _ = self.old.health()
        schema, needed = self.new.schemas()
        saved = self._saved() if self.backup and schema != "empty" else None
        self._systemctl("stop")
        try:
            if schema not in {needed, "empty"}:
                self.new.do("db", "upgrade")
                self.say(f"database migrated from schema {schema} to {needed}")
            self.put_new()
            # A program that was replaced in its place can't say how the old one was before it has migrated.
            is_unknown = self.old.executable == self.new.executable and schema != needed
            why = self._start_and_look(was_well=level in WELL or is_unknown)
        except (LoggerError, OSError) as error:
            why = str(error).rstrip(".")
        except KeyboardInterrupt:
            why = "it was interrupted"
        if why:
            self._back(schema, needed, saved, why)

    def _saved(self) -> Path:
        """Return the file of a fresh backup, made while the old version goes on collecting."""
        path = Path(self.old.do("db", "backup").partition(": ")[0].strip())
        self.say(f"database backed up into {path}")
        return path

    def _start_and_look(self, *, was_well: bool) -> str:
        """Start what is in place now; return why it is not well, in words, or nothing."""
        if not self.machine.runs_systemd:
            self.say("systemd does not run here: the new version starts at the next boot")
            return ""
        start(self.machine, "restart")
        started_s = self.machine.passed_s()
        why = "it did not start"
        while (passed_s := self.machine.passed_s() - started_s) < WELL_WITHIN_S:
            why = self._why_not_well(passed_s, was_well=was_well)
            if not why:
                line = self.new.health()[1]
                self.say(f"the new version is well: {line}" if was_well else f"the new version runs; as before: {line}")
                return ""
            if look(self.machine).restarts >= RESTARTS:
                break
            self.machine.wait(LOOK_EVERY_S)
        return why

    def _why_not_well(self, passed_s: float, *, was_well: bool) -> str:
        state = look(self.machine)
        if not state.running or state.restarts:
            return f"it is {state.in_words}"
        level, line = self.new.health()
        if not was_well:
            # It can't be better than its gateway or database: it has to run for a while.
            return "" if passed_s > WELL_WITHIN_S / 4 else line
        if level not in WELL:
            return line
        age_s = self.new.newest_age_s()
        is_new = age_s is not None and age_s <= passed_s
        return "" if is_new or self._polls_rarely() else "it has not polled yet"

    def _polls_rarely(self) -> bool:
        """Whether no poll can be expected within the time."""
        with contextlib.suppress(OSError, ValueError):
            every_s = tomllib.loads(self.machine.path(CONFIG).read_text(encoding="utf-8-sig")).get("poll_every_s", 60)
            return isinstance(every_s, int) and every_s > WELL_WITHIN_S / 2
        return False

    def _back(self, schema: str, needed: str, saved: Path | None, why: str) -> None:
        """Run the old version again, on a database that it can read."""
        if self.old.executable == self.new.executable:
            kept = f"; the backup is {saved}" if saved else ""
            raise CheckFailedError(
                f"The new version is not well: {why}. The old one is not on this machine any more{kept}. "
                "Look at: journalctl -u envoylog -n 50"
            )
        self._systemctl("stop")
        self.put_old()
        lost = ""
        if schema not in {needed, "empty"} and self.new.schemas()[0] != schema:
            try:
                self.new.do("db", "upgrade", "--to", schema)
            except ServiceError:
                if saved is None:
                    raise
                self.old.do("db", "restore", str(saved), "--yes")
                lost = f" Polls since the backup {saved} are not in the database; counters bridge them."
        self._systemctl("restart")
        raise CheckFailedError(
            f"The new version is not well: {why}. The old one runs again, with all that it had.{lost}"
        )

    def _systemctl(self, word: str) -> None:
        if self.machine.runs_systemd:
            self.machine.do("systemctl", word, NAME, patience_s=120)
