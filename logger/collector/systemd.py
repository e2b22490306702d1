"""What systemd wants to hear from a service of Type=notify."""

import os
import socket


def notify(message: str) -> None:
    """Send a line such as READY=1 to systemd; without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(address)
            out.sendall(message.encode())
    except OSError:
        return  # Nobody listens: collecting matters more than reporting it.
