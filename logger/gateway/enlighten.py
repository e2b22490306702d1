"""An account at Enphase's Enlighten, which turns into tokens; the pauses between its logins hold across processes.

Two requests to Enphase's cloud are made here; nothing else ever leaves the local network. Enphase locks an account that
logs in too often: when it was asked last, and what came of it, is kept as a file of the state directory, and is read by
each process before it asks.
"""

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from logger.clock import Clock, from_epoch_s, here
from logger.errors import AuthenticationError, SettingsError, TokenError
from logger.gateway import parse
from logger.gateway.kept import Answer
from logger.gateway.token import ENTREZ_URL, Token
from logger.settings import GatewaySettings, read_secret, write_secret

ENLIGHTEN_URL = "https://enlighten.enphaseenergy.com"
PASTE = f"get a token in the browser at {ENTREZ_URL} and store it with: envoylog token set"
LEAST_PAUSE_S = 15 * 60
LONGEST_PAUSE_S = 86_400
#: bytes of an answer that are looked at: a token has some hundreds; and for how long it is read
LONGEST_ANSWER = 20_000
LONGEST_S = 30.0
LONGEST_WORD = 25


_UNENDED = "A login at Enlighten was begun and did not end."


class RefusedAccountError(AuthenticationError):
    """Enlighten does not take this name and password: asking again with the same is of no use."""


class WaitingError(AuthenticationError):
    """It is not yet time to ask again."""


class _Past(msgspec.Struct):
    """When an account was asked last, and what came of it."""

    asked_at_s: int = 0
    pause_s: int = 0  #: how long it is left alone since then; 0 after a token
    reason: str = ""  #: why there was no token
    #: of the name and password that were refused; empty where they were not the reason
    proof: str = ""
    gave: dict[str, int] = {}  #: serial -> when it got its last token
    useless: dict[str, int] = {}  #: serial -> how many tokens in a row its gateway refused


class Account:
    """An account, and its way to a token."""

    def __init__(self, settings: GatewaySettings, directory: Path, environ: Mapping[str, str], clock: Clock) -> None:
        self.username, self.settings, self.clock = settings.username or "", settings, clock
        self.enlighten_url = base_url(environ, "ENVOYLOG_ENLIGHTEN_URL", ENLIGHTEN_URL)
        self.entrez_url = base_url(environ, "ENVOYLOG_ENTREZ_URL", ENTREZ_URL)
        who = hashlib.sha256(f"{self.enlighten_url} {self.username}".encode()).hexdigest()[:16]
        self.path = directory / f"account-{who}.json"

    def token(self, serial: str, *, is_urgent: bool = False) -> Token:
        """Return a new token for a gateway; at most every 15 minutes, then less and less often.

        ``is_urgent``: somebody waits for it. That passes a pause, but never asks again with what was refused.

        Raises:
            AuthenticationError: the reason; WaitingError while it is not yet time to ask again.
            SettingsError: the pause can't be kept.
        """
        now_s, past = int(self.clock().timestamp()), self._past()
        self._wait(past, serial, now_s, is_urgent=is_urgent)
        pause_s = min(max(2 * past.pause_s, LEAST_PAUSE_S), LONGEST_PAUSE_S)
        self._keep(msgspec.structs.replace(past, asked_at_s=now_s, pause_s=pause_s, reason=past.reason or _UNENDED))
        try:
            found = self._read(self.asked(serial), serial)
        except AuthenticationError as error:
            proof = self._proof(secrets.token_hex(8)) if isinstance(error, RefusedAccountError) else ""
            self._keep(_Past(now_s, pause_s, str(error), proof, past.gave, past.useless))
            raise
        self._keep(_Past(now_s, gave=past.gave | {serial: now_s}, useless=past.useless))
        return found

    def note(self, serial: str, *, is_taken: bool) -> None:
        """Note whether the gateway takes what it was given: what it refuses is asked for less and less often."""
        past = self._past()
        useless = 0 if is_taken else past.useless.get(serial, 0) + 1
        if past.useless.get(serial, 0) != useless:
            with contextlib.suppress(SettingsError):
                self._keep(msgspec.structs.replace(past, useless=past.useless | {serial: useless}))

    @property
    def trouble(self) -> str | None:
        """Why it gave no token when it was asked last; None where it did, or was never asked."""
        return self._past().reason or None

    def gave_lately(self, serial: str) -> bool:
        """Return whether a gateway got a token within a day: another one would be no better."""
        return 0 <= self.clock().timestamp() - self._past().gave.get(serial, 0) < LONGEST_PAUSE_S

    def _wait(self, past: _Past, serial: str, now_s: int, *, is_urgent: bool) -> None:
        """Raise WaitingError while it is not yet time to ask."""
        until_s = past.asked_at_s + past.pause_s
        reason = past.reason
        if not reason and (gave_at_s := past.gave.get(serial)) is not None:
            pause_s = min(LEAST_PAUSE_S << min(past.useless.get(serial, 0), 10), LONGEST_PAUSE_S)
            until_s, reason = gave_at_s + pause_s, "Enlighten gave a new token just now"
            if past.useless.get(serial):
                reason = "The gateway refuses the token that Enlighten gave"
        # A clock that was set back holds nobody up.
        if not reason or not now_s < until_s <= now_s + LONGEST_PAUSE_S:
            return
        if is_urgent and not self._was_refused(past):
            return
        command = f"envoylog token renew {self.settings.name}"
        remedy = f"once it is corrected, run: {command}" if past.proof else f"to ask before that, run: {command}"
        until = f"{here(from_epoch_s(until_s)):%H:%M}"
        raise WaitingError(f"{reason.rstrip('.')} (not asked again before {until}; {remedy})")

    def _was_refused(self, past: _Past) -> bool:
        """Return whether this very name and password were refused."""
        salt = past.proof.partition(" ")[0]
        return salt != "" and secrets.compare_digest(past.proof, self._proof(salt))

    def _proof(self, salt: str) -> str:
        """Return what shows whether name and password are those of before, and nothing else of them."""
        text = f"{self.username}\0{self.settings.read_password()}".encode()
        return f"{salt} {hashlib.scrypt(text, salt=salt.encode(), n=2**14, r=8, p=1).hex()}"

    def _past(self) -> _Past:
        with contextlib.suppress(OSError, SettingsError, msgspec.DecodeError):
            return msgspec.json.decode(read_secret(self.path), type=_Past)
        return _Past()

    def _keep(self, past: _Past) -> None:
        try:
            write_secret(self.path, msgspec.json.encode(past).decode())
        except OSError as error:
            raise SettingsError(
                f"When Enlighten was asked can't be kept in {self.path.parent} ({error.strerror}), so it is not asked; "
                "make the directory writable or set state_dir."
            ) from error

    def _read(self, text: str, serial: str) -> Token:
        """Return the token of an answer, for this gateway and not over."""
        try:
            token = Token.parse(text)
        except TokenError as error:
            raise AuthenticationError(
                f"Enlighten answers {self.username!r} with something that is no token{_words(text)}; it is asked again "
                f"later, or {PASTE}"
            ) from error
        token.check(serial, self.clock())
        return token

    def asked(self, serial: str) -> str:
        """Return a token's text for a gateway of this account, or raise AuthenticationError."""
        form = {"user[email]": self.username, "user[password]": self.settings.read_password()}
        login = _post(f"{self.enlighten_url}/login/login.json?", data=form)
        if login.status in {400, 401, 403, 422}:
            raise RefusedAccountError(
                f"Enlighten refused the user {self.username!r} or the password; check username and password_file, "
                f"or {PASTE}"
            )
        answer = None
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(login.text)
        if login.status != 200 or not isinstance(answer, dict):
            raise AuthenticationError(f"Enlighten answers the login with {_status(login)}; try again later, or {PASTE}")
        if not (session := answer.get("session_id")):
            raise RefusedAccountError(
                f"Enlighten asks {self.username!r} for a second factor, which no logger has: paste a token instead"
                f"; {PASTE}"
            )
        wanted = {"session_id": session, "serial_num": serial, "username": self.username}
        tokens = _post(f"{self.entrez_url}/tokens", json=wanted)
        if tokens.status != 200:
            raise AuthenticationError(
                f"Enlighten gives {self.username!r} no token for gateway {serial} (status "
                f"{tokens.status}); is the gateway in this account? Or {PASTE}"
            )
        return tokens.text


def _words(text: str) -> str:
    """Return what an answer says, if it is a sentence: it may be a part of a token."""
    said = parse.text(text) or ""
    is_sentence = " " in said and max(map(len, said.split())) < LONGEST_WORD
    return f": {said[:80]!r}" if is_sentence else ""


def _status(answer: Answer) -> str:
    return f"status {answer.status}" if answer.status != 200 else "something else than JSON"


def base_url(environ: Mapping[str, str], key: str, default: str) -> str:
    """Return the address of Enphase's cloud, or of a simulated one."""
    url = environ.get(key, default).rstrip("/")
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise SettingsError(f"{key} must be an https:// address: a password goes there.")
    return url


def _post(url: str, **content: Any) -> Answer:
    """Return what is answered, as far as a token needs it: what stands in between may send anything."""
    until_s, body = time.monotonic() + 2 * LONGEST_S, b""
    try:
        with requests.post(url, timeout=(10, LONGEST_S), allow_redirects=False, stream=True, **content) as answer:
            while len(body) < LONGEST_ANSWER and time.monotonic() < until_s:
                if not (piece := answer.raw.read1(LONGEST_ANSWER, decode_content=True)):
                    break
                body += piece
            return Answer(answer.status_code, body[:LONGEST_ANSWER])
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise AuthenticationError(
            f"Enphase's {urlsplit(url).hostname} can't be reached to get a token; check the "
            f"internet connection, or {PASTE}"
        ) from error
