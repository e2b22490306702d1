"""A version of envoylog on this machine, asked as the user that the service runs as."""

import contextlib
import json
import re
from dataclasses import dataclass

from logger.errors import ServiceError
from logger.service.machine import Answer, Machine
from logger.service.state import CONFIG, USER, environment
from logger.settings import places

#: a backup or a migration of years takes its time on a small machine
PATIENCE_S = 4 * 3600.0


@dataclass(frozen=True)
class Program:
    """An executable of some version."""

    machine: Machine
    executable: str

    def ask(self, *words: str, patience_s: float = 60) -> Answer:
        """Return what a command of this version answers to the service's user, with the service's environment."""
        # The folder of the state is named for versions that knew it from systemd alone.
        named = {"HOME": "/nonexistent", "ENVOYLOG_STATE_DIR": str(places.SYSTEM_STATE_DIR)}
        command = ("runuser", "-u", USER, "--", self.executable, "--config", CONFIG, *words)
        return self.machine.ask(*command, environ=environment(self.machine) | named, patience_s=patience_s)

    def do(self, *words: str) -> str:
        """Return what a command printed that may take long.

        Raises:
            ServiceError: it failed; has the last line that it said.
        """
        answer = self.ask(*words, patience_s=PATIENCE_S)
        if answer.code:
            said = (answer.errors or answer.text).strip().splitlines()
            last = said[-1].removeprefix("envoylog: ") if said else f"exit code {answer.code}"
            raise ServiceError(f"{' '.join(words)!r} of envoylog failed: {last}")
        return answer.text

    def schemas(self) -> tuple[str, str]:
        """Return the schema that the database has, and the one that this version needs.

        Raises:
            ServiceError: the database does not tell.
        """
        found = re.search(r"database (\S+), program (\S+)", said := self.do("db", "current"))
        if found is None:
            raise ServiceError(f"`envoylog db current` says {said.strip()!r}, and not which schema there is.")
        return found[1], found[2]

    def health(self) -> tuple[int, str]:
        """Return the level of `envoylog health`, 0 to 3, and its line."""
        answer = self.ask("health")
        return answer.code, (answer.text or answer.errors).strip()

    def newest_age_s(self) -> int | None:
        """Return how old the newest good poll is; None where there is none."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            ages = [gateway["last_good_age_s"] for gateway in json.loads(self.ask("status", "--json").text)["gateways"]]
            return min((int(age) for age in ages if age is not None), default=None)
        return None
