"""A checkout of envoylog as a command: what it costs to run it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Runs its arguments, and prints the CPU seconds and the largest resident MB of what it ran. A process of its own,
#: small and new: the largest memory is inherited from whoever starts a child.
METER = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(ended.stderr if ended.returncode else 0)
"""


def metered(*command: str, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Return seconds of CPU and the largest resident memory (MB) of a command.

    Raises:
        CalledProcessError: the command failed; its standard error has been shown.
    """
    meter = subprocess.run(
        [sys.executable, "-c", METER, *command],
        check=True, stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    seconds, memory_mb = meter.stdout.split()
    return float(seconds), float(memory_mb)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree of envoylog, run by this interpreter with what is installed for it."""

    path: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment in which ``import logger`` finds this checkout."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ENVOYLOG_")}
        return kept | {"PYTHONPATH": str(self.path), "PYTHONSAFEPATH": "1", "TZ": "UTC"}

    def command(self, *args: str) -> list[str]:
        """Return the command line of an envoylog command."""
        return [sys.executable, "-m", "logger", *args]

    def run(self, *args: str) -> None:
        """Run a command to its end, quietly."""
        subprocess.run(self.command(*args), check=True, env=self.env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip

    def metered(self, database: Path, *args: str) -> tuple[float, float]:
        """Return seconds of CPU and the largest resident MB of a command on a database."""
        options = ("--database-url", f"sqlite:///{database}")
        return metered(*self.command(*options, *args), env=self.env)

    def upgrade(self, database: Path) -> None:
        """Bring a database to this checkout's schema."""
        self.run("--database-url", f"sqlite:///{database}", "db", "upgrade")
