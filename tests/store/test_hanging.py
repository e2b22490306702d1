"""A server, or a network, that says nothing any more is noticed: nobody waits for it without end."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from sqlalchemy import make_url, text

from logger.errors import StoreAwayError
from logger.store import lock
from logger.store.database import backend, open_engine, translated_errors
from logger.store.postgresql import create_reader
from tests.conftest import Opening


class Proxy:
    """Passes on what two ends say to each other, until it hangs."""

    def __init__(self, host: str, port: int) -> None:
        self.is_hanging = False
        self._to = host, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with near, self._opened() as far, suppress(OSError):
            other = {near: far, far: near}
            while True:
                for ready in select.select([near, far], [], [], 0.05)[0]:
                    while self.is_hanging:
                        time.sleep(0.05)
                    if not (sent := ready.recv(65_536)):
                        return
                    other[ready].sendall(sent)

    def _opened(self) -> socket.socket:
        host, port = self._to
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        far = socket.socket(socket.AF_UNIX)
        far.connect(f"{host}/.s.PGSQL.{port}")
        return far


@pytest.fixture
def hanging(postgresql_url: str) -> Iterator[tuple[Proxy, str]]:
    url = make_url(postgresql_url)
    host = url.host or url.query.get("host") or "127.0.0.1"
    with closing(Proxy(str(host), url.port or int(str(url.query.get("port", 5432))))) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        yield proxy, through.render_as_string(hide_password=False)


def test_a_transaction_that_hangs_ends(hanging: tuple[Proxy, str], opening: Opening) -> None:
    proxy, url = hanging
    engine = opening(url)
    backend(engine).bound(engine, 1.0)

    def ask() -> None:
        with translated_errors(), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            proxy.is_hanging = True
            connection.execute(text("SELECT 2"))

    started = time.monotonic()
    with pytest.raises(StoreAwayError):
        ask()
    assert time.monotonic() - started < 5
    proxy.is_hanging = False
    with engine.begin() as connection:
        assert connection.execute(text("SELECT 3")).scalar_one() == 3


def test_a_connection_that_is_held_may_idle(hanging: tuple[Proxy, str], opening: Opening) -> None:
    _, url = hanging
    engine = opening(url)
    backend(engine).bound(engine, 0.5)
    right = backend(engine).collector_lock(engine)
    right.hold()
    process = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with process:
        first = process.execute(text("SELECT pg_backend_pid()")).scalar_one()
        time.sleep(1.5)
        assert process.execute(text("SELECT pg_backend_pid()")).scalar_one() == first
    right.hold()
    right.release()


def test_nobody_watches_an_engine_that_is_disposed_of(postgresql_url: str) -> None:
    def watching() -> int:
        return sum(thread.name == "patience" for thread in threading.enumerate())

    before = watching()
    for _ in range(3):
        engine = open_engine(postgresql_url, read_only=True)
        backend(engine).bound(engine, 60.0)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        assert watching() == before + 1
        engine.dispose()
        time.sleep(0.05)
        assert watching() == before


def test_a_collector_stops_while_its_server_hangs(hanging: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, url = hanging
    monkeypatch.setattr(lock, "PATIENCE_S", 60.0)
    database = lock.CollectorDatabase(url)
    database.ready()
    proxy.is_hanging = True
    started = time.monotonic()
    database.close()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("password", ["50%", "100%s %(a)s", 'it\'s \\ "x" ü'])
def test_a_readers_password_is_any_text_and_never_sent(
    postgresql_url: str, opening: Opening, password: str, reader_name: Callable[[], str]
) -> None:
    engine, role = opening(postgresql_url), reader_name()
    create_reader(engine, role, password)
    with engine.connect() as connection:
        query = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
        assert str(connection.execute(query, {"role": role}).scalar_one()).startswith("SCRAM-SHA-256$")
        connection.execute(text(f'DROP OWNED BY "{role}"'))
        connection.execute(text(f'DROP ROLE "{role}"'))
        connection.commit()


@pytest.fixture
def reader_name() -> Callable[[], str]:
    return lambda: f"reader_{time.monotonic_ns()}"
