"""A process of its own that hands one message to one receiver, by apprise.

apprise takes as much memory as the collector itself, and some receivers hang. Order and answer are JSON on stdin and
stdout; the URL is in no command line. What is answered shows nothing of the URL.
"""

import contextlib
import json
import logging
import re
import sys
from typing import Any, Self
from urllib.parse import unquote, urlsplit

#: what stands in place of a piece of a URL
HIDDEN = "***"
#: where the words of the system or of a library stand inside a nested error
_CAUSES = (
    r"(certificate verify failed[^'\")(]*)",
    r"\[Errno -?\d+\] ([^'\")>]+)",
    r"Error\(\d+, '([^']+)'\)",
    r"^\(\d{3}, b'([^']+)'",  # what a mail server answered
    "(timed out)",
)
_LONGEST = 200


def main() -> None:
    """Carry out the order on stdin, and answer on stdout."""
    order = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):  # Whatever a library prints is no answer.
        answer = deliver(order)
    json.dump(answer, sys.stdout)


def deliver(order: dict[str, Any]) -> dict[str, str]:
    """Return what became of an order: sent, failed, unknown (no URL that apprise knows), or missing (no apprise)."""
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError:
        return {"outcome": "missing", "reason": ""}
    url = order["url"]
    with _Listening() as heard:
        asset = apprise.AppriseAsset(app_id="envoylog", app_desc="envoylog", app_url="", async_mode=False)
        receiver = apprise.Apprise(asset=asset)
        if not receiver.add(url):
            return {"outcome": "unknown", "reason": ""}
        if order.get("only_check"):
            return {"outcome": "sent", "reason": ""}
        words = {"title": order["title"], "body": order["body"], "body_format": apprise.NotifyFormat.TEXT}
        file = order.get("file")
        # Where a receiver takes no files, the words matter more.
        is_sent = receiver.notify(**words, **({"attach": file} if file else {})) or (file and receiver.notify(**words))
    return {"outcome": "sent", "reason": ""} if is_sent else {"outcome": "failed", "reason": heard.reason(url)}


class _Listening(logging.Handler):
    """Hears what apprise logs about a failure; it says nothing else about it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._warnings: list[str] = []
        self._causes: list[str] = []

    def __enter__(self) -> Self:
        log = logging.getLogger("apprise")
        log.addHandler(self)
        log.setLevel(logging.DEBUG)
        log.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, and the cause that is logged beside it."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._warnings.append(text)
        elif "Exception:" in text:
            self._causes.append(text.partition("Exception:")[2].strip())

    def reason(self, url: str) -> str:
        """Return why it failed, without what the URL holds."""
        heard = self._causes or self._warnings or ["no reason given"]
        for cause in _CAUSES:
            if found := re.search(cause, heard[-1]):
                return redacted(found[1].strip(), url)
        return redacted(heard[-1], url)


def redacted(text: str, url: str) -> str:
    """Return a text without any piece of a URL but its scheme and the words of its query's keys."""
    parts = urlsplit(url)
    pieces = re.split(r"[/:@,;]+", f"{parts.netloc}/{parts.path}") + re.split(r"[&=]", parts.query)[1::2]
    pieces += [parts.hostname or "", parts.query]
    secrets = {word for piece in pieces for word in (piece, unquote(piece)) if word}
    for secret in sorted(secrets, key=len, reverse=True):
        pattern = re.escape(secret) if len(secret) > 5 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


if __name__ == "__main__":
    main()
