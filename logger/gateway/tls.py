"""Connections to a gateway: made within a time, to the one whose certificate is pinned.

The system's resolver has no time limit, a name may have an address to which packets are lost, and
the certificate is self-signed. Its SHA-256 fingerprint is read in a handshake that sends no
request, kept as a file in the state directory, and compared before any later request leaves.
"""

import contextlib
import hashlib
import logging
import os
import selectors
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from logger.errors import GatewayUnreachableError, SettingsError
from logger.settings import file_stem

log = logging.getLogger(__name__)

CONNECT_S = 10.0
#: An address that has not answered for this long is no longer the only one that is tried.
HEAD_START_S = 0.3
#: A kept connection that is of no use any more ends at once; one that hangs, only later.
STALE_WITHIN_S = 2.0


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to the first address of a host that takes one, all within a time.

    Addresses are tried in the resolver's order, each when the one before has failed or had its
    head start: one to which packets are lost does not use up the time of the others.

    Raises:
        OSError: no such host, refused, or no answer in time.
    """
    until = time.monotonic() + timeout_s
    addresses = _resolved(host, port, timeout_s)
    head_start_s = min(HEAD_START_S, timeout_s / (len(addresses) + 1))
    error: OSError = TimeoutError("timed out")
    with contextlib.ExitStack() as losers, selectors.DefaultSelector() as waiting:
        while (left_s := until - time.monotonic()) > 0:
            if addresses:
                try:
                    begun = losers.enter_context(_connecting(*addresses.pop(0)))
                except OSError as problem:
                    error = problem
                    continue
                waiting.register(begun, selectors.EVENT_WRITE)
            elif not waiting.get_map():
                raise error
            for key, _ in waiting.select(min(left_s, head_start_s) if addresses else left_s):
                ended: Any = key.fileobj
                waiting.unregister(ended)
                if (code := ended.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == 0:
                    return _taken(ended, timeout_s)
                error = OSError(code, os.strerror(code))
    raise TimeoutError("timed out") if waiting.get_map() else error


def _connecting(
    family: int, kind: int, protocol: int, _: str, address: tuple[Any, ...]
) -> socket.socket:
    begun = socket.socket(family, kind, protocol)
    try:
        begun.setblocking(False)
        begun.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            begun.connect(address)
    except OSError:
        begun.close()
        raise
    return begun


def _taken(winner: socket.socket, timeout_s: float) -> socket.socket:
    """Return the same connection as a socket of its own: the one that was tried gets closed."""
    taken = socket.socket(fileno=winner.detach())
    taken.settimeout(timeout_s)
    return taken


def _resolved(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return what the system's resolver says, if it says it in time."""
    answers: list[list[Any] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answers.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    # The resolver can't be interrupted: its thread is left to end by itself.
    thread = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answers:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if isinstance(answers[0], UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if isinstance(answers[0], OSError):
        raise answers[0]
    return answers[0]


def reason_of(error: BaseException) -> str:
    """Return what went wrong in a few words, without addresses of objects."""
    message = str(error).lower()
    for needle, words in (
        ("temporary failure in name", "name not found"),
        ("name or service not known", "no such host"),
        ("nodename nor servname", "no such host"),
        ("failed to resolve", "no such host"),
        ("refused", "connection refused"),
        ("no route", "no route to host"),
        ("unreachable", "network unreachable"),
        ("timed out", "no answer in time"),
        ("timeout", "no answer in time"),
        ("reset by peer", "connection reset"),
        ("without response", "connection closed without an answer"),
        ("connection aborted", "connection closed without an answer"),
        ("wrong_version", "not a TLS server"),
        ("record layer failure", "not a TLS server"),
    ):
        if needle in message:
            return words
    return type(error).__name__


@lru_cache
def unverified_context() -> ssl.SSLContext:
    """Return the process's context for self-signed gateways: encrypts, trusts by pin only.

    requests with ``verify=False`` would load the system's CA store for each connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT")  # The web server of older firmware knows no newer ones.
    return context


@lru_cache
def verified_context() -> ssl.SSLContext:
    """Return the process's context for gateways behind a certificate that the system trusts."""
    return ssl.create_default_context()


def fingerprint_at(host: str, port: int, timeout_s: float = CONNECT_S) -> str:
    """Return the SHA-256 (64 hex digits) of a server's certificate; sends no request.

    Raises:
        GatewayUnreachableError: no TLS server there.
    """
    try:
        with (
            dial(host, port, timeout_s) as plain,
            unverified_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
    except (OSError, UnicodeError) as error:
        raise GatewayUnreachableError(
            f"{host}:{port} offers no TLS ({reason_of(error)})."
        ) from error
    return hashlib.sha256(certificate or b"").hexdigest()


class Adapter(HTTPAdapter):
    """Hands our context and pin to the pool, and watches its one connection."""

    def __init__(self, context: ssl.SSLContext, fingerprint: str | None) -> None:
        #: what is connected at present, so that a deadline can end a read
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.was_cut = False
        self.answers = 0  #: that the present connection has given
        self._pool: dict[str, Any] = {"ssl_context": context, "assert_fingerprint": fingerprint}
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        """Make the pool with our context; its connections dial as we do."""
        super().init_poolmanager(connections, maxsize, block, **options, **self._pool)
        plain = type("Pool", (urllib3.HTTPConnectionPool,), {})
        secure = type("SecurePool", (urllib3.HTTPSConnectionPool,), {})
        plain.ConnectionCls = _watched(HTTPConnection, self)  # type: ignore[attr-defined]
        secure.ConnectionCls = _watched(HTTPSConnection, self)  # type: ignore[attr-defined]
        self.poolmanager.pool_classes_by_scheme = {"http": plain, "https": secure}

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request, once more on a new connection where a kept one ended at once.

        Old gateways reset the second request of a connection that they promised to keep.
        """
        started = time.monotonic()
        try:
            response = super().send(request, *args, **options)
        except requests.exceptions.ConnectionError as error:
            was_stale = self.answers > 0 and time.monotonic() - started < STALE_WITHIN_S
            if not was_stale or self.was_cut or isinstance(error, requests.Timeout):
                raise
            log.debug("a kept connection ended without an answer, asking on a new one")
            response = super().send(request, *args, **options)
        self.answers += 1
        return response

    @contextlib.contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """End whatever is still being read after this long, also an answer that drips."""
        self.was_cut = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        for sock in list(self.sockets):
            try:
                sock.getpeername()  # Only who is connected is cut.
                self.was_cut = True  # First: the read ends at once, and asks whether it was.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                continue


def _watched(base: Any, adapter: Adapter) -> Any:
    class Watched(base):  # type: ignore[misc]
        """Connects to any address of its host within its time, and is known to the adapter."""

        def _new_conn(self) -> socket.socket:
            adapter.answers = 0
            try:
                return dial(self.host, self.port, self.timeout)
            except TimeoutError as error:
                raise ConnectTimeoutError(self, f"connecting timed out: {error}") from error
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error

        def connect(self) -> None:
            super().connect()
            adapter.sockets.add(self.sock)

    return Watched


class Pins:
    """The fingerprint of a gateway's certificate, kept as a file."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.path = state_dir / "certificates" / f"{file_stem(name)}.sha256"

    def read(self) -> str | None:
        """Return the pinned fingerprint (64 hex digits), or None before the first use."""
        try:
            return self.path.read_text(encoding="ascii").split()[0]
        except (OSError, IndexError, UnicodeDecodeError):
            return None

    def write(self, fingerprint: str) -> None:
        """Pin a fingerprint.

        Raises:
            SettingsError: the state directory can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".new")
            temporary.write_text(fingerprint + "\n", encoding="ascii")
            temporary.replace(self.path)
        except OSError as error:
            raise SettingsError(
                f"The certificate can't be pinned in {self.path.parent} ({error.strerror}); "
                "make the directory writable or set state_dir."
            ) from error
