"""What systemd is told."""

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Send a line such as READY=1 to systemd; without systemd nothing happens."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        # Where nobody listens, collecting matters more than reporting it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address[0] == "@" else address)
            out.sendall(message.encode())
