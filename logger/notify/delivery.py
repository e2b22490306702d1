"""Handing a message to a receiver, and what the answer means to a person."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from logger.collector.beside import Beside
from logger.errors import LoggerError, SettingsError
from logger.settings.notify import Secret

#: A receiver that takes longer hangs.
LONGEST_S = 90.0
COURIER = (sys.executable, "-P", "-m", "logger.notify.courier")
INSTALL = "pip install 'envoylog[notify]', or for the service: sudo scripts/install notify"
SCHEMES = "see https://github.com/caronc/apprise/wiki for how those of each service are written"


class Message(NamedTuple):
    """What a receiver gets."""

    title: str
    body: str
    file: Path | None = None


class DeliveryError(LoggerError):
    """A receiver did not take a message; another time it may."""

    exit_code = 8


def deliver(secret: Secret, message: Message | None, beside: Beside) -> None:
    """Hand a message to whom a URL names, in a process of its own; without a message only look at the URL.

    Raises:
        SettingsError: the URL can't be read or is none, or apprise is missing.
        DeliveryError: it was not taken; shows nothing of the URL.
    """
    order: dict[str, object] = {"url": secret.read(), "only_check": message is None}
    if message is not None:
        order |= {"title": message.title, "body": message.body, "file": str(message.file) if message.file else None}
    ended = beside.run(COURIER, os.environ, longest_s=LONGEST_S, given=json.dumps(order))
    if ended is None:
        raise DeliveryError("it was not waited for: the collector stops")
    if ended.is_late:
        raise DeliveryError(f"no answer within {LONGEST_S:.0f} s")
    try:
        answer = json.loads(ended.text)
    except ValueError:
        raise DeliveryError(f"the courier ended with {ended.code}") from None
    if answer["outcome"] == "missing":
        raise SettingsError(f"{secret.where} needs apprise, which is not installed; run: {INSTALL}")
    if answer["outcome"] == "unknown":
        raise SettingsError(f"{secret.where}: apprise can't use this URL; {SCHEMES}.")
    if answer["outcome"] != "sent":
        raise DeliveryError(answer["reason"])
