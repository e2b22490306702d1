"""A TCP connection within a time, whatever name servers and addresses do.

The system's own resolver has no time limit: a name server that is gone costs half a minute.
"""

import socket
import threading
import time
from typing import Any


def connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to the first address of a host that takes one, all within a time.

    Raises:
        OSError: no such host, refused, or no answer in time.
    """
    until = time.monotonic() + timeout_s
    error: OSError = TimeoutError("timed out")
    for family, kind, protocol, _, address in _resolved(host, port, timeout_s):
        left_s = until - time.monotonic()
        if left_s <= 0:
            break
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(left_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect(address)
        except OSError as problem:
            made.close()
            error = problem
        else:
            made.settimeout(timeout_s)
            return made
    raise error


def _resolved(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return what the system's resolver says, if it says it in time."""
    answers: list[list[Any] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
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
    said = str(error).lower()
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
        if needle in said:
            return words
    return type(error).__name__
