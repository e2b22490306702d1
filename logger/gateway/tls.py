"""Connections to a gateway: made within a time, to the one whose certificate is pinned.

The system's resolver has no time limit, a name may have an address to which packets are lost, and the certificate is
self-signed. Its SHA-256 fingerprint is read in a handshake that sends no request, kept as a file in the state
directory, and compared before any later request leaves.
"""

import contextlib
import hashlib
import os
import re
import selectors
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

from logger.errors import CertificateChangedError, GatewayUnreachableError, MalformedDocumentError, SettingsError
from logger.settings import file_stem, write_secret
from logger.settings.secret_files import open_file

#: pattern in what the libraries report, the first that fits -> a few words for people
REASONS = {
    "temporary failure in name": "name not found",
    "name or service not known|nodename nor servname": "no such host",
    "refused": "connection refused",
    "no route": "no route to host",
    "unreachable": "network unreachable",
    "timed out|timeout": "no answer in time",
    "reset by peer": "connection reset",
    "without response|connection aborted": "connection closed without an answer",
    "wrong_version|record layer failure": "not a TLS server",
}

#: of all answers to one request: heads, bodies, and refusals before it is asked again
MOST_RECEIVED_BYTES = 4 * 1024 * 1024
CONNECT_S = 10.0
READ_S = 45.0
#: With less time than this nothing is begun.
LEAST_S = 0.05
#: An address that has not answered for this long is no longer the only one that is tried.
HEAD_START_S = 0.3


class Deadline:
    """A point in time after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self.seconds += seconds
        self._until += seconds

    @property
    def left_s(self) -> float:
        """Seconds that remain, 0 when it has passed."""
        return max(0.0, self._until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is begun any more."""
        return self.left_s <= LEAST_S


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to the first address of a host that takes one, all within a time.

    Addresses are tried in the resolver's order, each when the one before has failed or had its head start: one to which
    packets are lost does not use up the time of the others.
    OSError: no such host, refused, or no answer in time.
    """
    until = time.monotonic() + timeout_s
    addresses = _resolved(host, port, timeout_s)
    if len(addresses) == 1:
        return _connected(addresses[0], until)
    head_start_s = min(HEAD_START_S, timeout_s / (len(addresses) + 1))
    error: OSError = TimeoutError("timed out")
    with contextlib.ExitStack() as losers, selectors.DefaultSelector() as waiting:
        while (left_s := until - time.monotonic()) > 0:
            if addresses:
                try:
                    waiting.register(_begun(losers, *addresses.pop(0)), selectors.EVENT_WRITE)
                except OSError as problem:
                    error = problem
                    continue
            elif not waiting.get_map():
                raise error
            for key, _ in waiting.select(min(left_s, head_start_s) if addresses else left_s):
                ended: Any = key.fileobj
                waiting.unregister(ended)
                if (code := ended.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == 0:
                    # What was tried gets closed: the connection goes on as a socket of its own.
                    taken: socket.socket = _PlainSocket(fileno=ended.detach())
                    taken.settimeout(timeout_s)
                    return taken
                error = OSError(code, os.strerror(code))
    raise TimeoutError("timed out") if waiting.get_map() else error


def _connected(resolved: Any, until: float) -> socket.socket:
    """Return a connection to the only address that there is."""
    family, kind, protocol, _, address = resolved
    with contextlib.ExitStack() as undo:
        found: socket.socket = undo.enter_context(_PlainSocket(family, kind, protocol))
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.settimeout(max(0.001, until - time.monotonic()))
        found.connect(address)
        undo.pop_all()
    return found


def _begun(losers: contextlib.ExitStack, family: int, kind: int, protocol: int, _: str, address: Any) -> socket.socket:
    """Return a socket that is connecting; ``losers`` closes it."""
    begun = losers.enter_context(socket.socket(family, kind, protocol))
    begun.setblocking(False)
    begun.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(BlockingIOError):
        begun.connect(address)
    return begun


def _resolved(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return what the system's resolver answers, if it answers in time; an address is its own answer."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, UnicodeError):
            socket.inet_pton(family, host)
            return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    answer: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            answer.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    # The resolver can't be interrupted: its thread is left to end by itself.
    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


def reason_of(error: BaseException) -> str:
    """Return what went wrong in a few words, without addresses of objects."""
    message = str(error).lower()
    return next((words for pattern, words in REASONS.items() if re.search(pattern, message)), type(error).__name__)


@lru_cache
def context(*, verified: bool) -> ssl.SSLContext:
    """Return the process's context: one that asks the system's authorities, or that only encrypts.

    Self-signed gateways are trusted by their pin. requests with ``verify=False`` would load the system's CA store for
    each connection.
    """
    found = ssl.create_default_context() if verified else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.sslsocket_class = _TlsSocket
    if not verified:
        found.check_hostname = False
        found.verify_mode = ssl.CERT_NONE
        found.set_ciphers("DEFAULT")  # The web server of older firmware knows no newer ones.
    return found


def fingerprint_at(host: str, port: int, timeout_s: float = CONNECT_S) -> str:
    """Return the SHA-256 (64 hex digits) of a server's certificate; sends no request.

    GatewayUnreachableError: no TLS server there.
    """
    trust = context(verified=False)
    try:
        with dial(host, port, timeout_s) as plain, trust.wrap_socket(plain, server_hostname=host) as secure:
            certificate = secure.getpeercert(binary_form=True)
    except (OSError, UnicodeError) as error:
        raise GatewayUnreachableError(f"{host}:{port} offers no TLS ({reason_of(error)}).") from error
    return hashlib.sha256(certificate or b"").hexdigest()


def _patient(base: Any) -> Any:
    class Patient(base):  # type: ignore[misc]
        """Ends each read at the adapter's deadline, however fast or slow an answer comes, and at a size of it."""

        adapter: Any = None  #: whose deadline it is

        def recv_into(self, *args: Any, **options: Any) -> int:
            if self.adapter is None:
                return int(super().recv_into(*args, **options))
            left_s = self.adapter.deadline.left_s
            if left_s <= 0:  # What always has something to read never waits.
                raise TimeoutError("timed out")
            self.settimeout(max(0.001, min(READ_S, left_s)))
            size = int(super().recv_into(*args, **options))
            self.adapter.received_bytes += size
            if self.adapter.received_bytes > MOST_RECEIVED_BYTES:
                raise MalformedDocumentError("the answer does not end.")
            return size

    return Patient


_PlainSocket, _TlsSocket = _patient(socket.socket), _patient(ssl.SSLSocket)


class Pins:
    """The fingerprint of a gateway's certificate, kept as a file."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.name = name
        self.path = state_dir / "certificates" / f"{file_stem(name)}.sha256"

    def read(self) -> str | None:
        """Return the pinned fingerprint (64 hex digits), or None before the first use.

        CertificateChangedError: the file is there, but damaged: nothing proves who answers.
        """
        try:
            with open_file(self.path) as file:
                text = file.read(1000).strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            text = ""
        if not re.fullmatch("[0-9a-f]{64}", text):
            raise CertificateChangedError(
                f"The certificate that is pinned in {self.path} can't be read, so nothing was sent; make the file "
                f"readable, or if it is damaged, run: envoylog trust accept {self.name}"
            )
        return text

    def write(self, fingerprint: str) -> None:
        """Pin a fingerprint, or raise SettingsError where the state directory is not ours."""
        try:
            write_secret(self.path, fingerprint)
        except OSError as error:
            raise SettingsError(
                f"The certificate can't be pinned in {self.path.parent} ({error.strerror}); "
                "make the directory writable or set state_dir."
            ) from error
