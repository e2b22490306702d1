"""Tokens of firmware 7 and newer: where they come from, whose they are, how long they last.

A token is an ES256 JWT made by Enphase's Entrez. Its claims are read without checking the signature (the gateway does
that): ``aud`` the gateway's serial, ``exp`` epoch seconds, ``enphaseUser`` owner (a year) or installer (12 hours). The
two requests to Enphase's cloud that turn an account into a token are here too; nothing else ever leaves the local
network.
"""

import base64
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from logger.clock import Clock, from_epoch_s
from logger.errors import AuthenticationError, SettingsError, TokenError, TokenExpiredError
from logger.settings import GatewaySettings, file_stem, read_secret, write_secret
from logger.settings.secret_files import is_there

log = logging.getLogger(__name__)

ENLIGHTEN_URL = "https://enlighten.enphaseenergy.com"
ENTREZ_URL = "https://entrez.enphaseenergy.com"
PASTE = f"get a token in the browser at {ENTREZ_URL} and store it with: envoylog token set"
RENEW_BEFORE = {"owner": timedelta(days=30), "installer": timedelta(hours=1)}
LEAST_PAUSE = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its claims."""

    text: str = field(repr=False)
    serial: str | None  #: claim aud; None for a gateway that was not commissioned yet
    user: str  #: claim enphaseUser: owner | installer
    expires_at: datetime | None  #: claim exp

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Return the token of a text; the TokenError about another text does not repeat it."""
        text = text.strip().strip('"').strip()
        try:
            _, payload, _ = text.split(".")
            claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            serial, expires_s = claims.get("aud"), claims.get("exp")
            return cls(
                text=text,
                serial=None if serial in {None, "un-commissioned"} else str(serial),
                user=str(claims.get("enphaseUser") or "owner"),
                expires_at=None if expires_s is None else from_epoch_s(float(expires_s)),
            )
        except (ValueError, AttributeError, OverflowError, TypeError) as error:
            raise TokenError(
                f"The token can't be read (cut when it was copied?); get one at {ENTREZ_URL} and "
                "store it with: envoylog token set"
            ) from error

    def check(self, serial: str, now: datetime) -> None:
        """Raise TokenError where it is another gateway's, TokenExpiredError where it is over."""
        if self.serial is not None and self.serial != serial:
            raise TokenError(
                f"The token belongs to gateway {self.serial}, but {serial} answers; get one for "
                f"{serial} at {ENTREZ_URL} and run: envoylog token set"
            )
        if self.expires_at is not None and self.expires_at <= now:
            raise TokenExpiredError(
                f"The token expired on {self.expires_at:%Y-%m-%d %H:%M} UTC; get a new one at "
                f"{ENTREZ_URL} and run: envoylog token set"
            )

    def is_due(self, now: datetime) -> bool:
        """Return whether it should be renewed."""
        before = RENEW_BEFORE.get(self.user, RENEW_BEFORE["owner"])
        return self.expires_at is not None and now >= self.expires_at - before


def _base(environ: Mapping[str, str], key: str, default: str) -> str:
    """Return the address of Enphase's cloud, or of a simulated one."""
    url = environ.get(key, default).rstrip("/")
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise SettingsError(f"{key} must be an https:// address: a password goes there.")
    return url


def _post(url: str, **content: Any) -> requests.Response:
    try:
        return requests.post(url, timeout=(10, 30), allow_redirects=False, **content)
    except (requests.RequestException, OSError) as error:
        raise AuthenticationError(
            f"Enphase's {urlsplit(url).hostname} can't be reached to get a token; check the "
            f"internet connection, or {PASTE}"
        ) from error


class Tokens:
    """The tokens of one gateway: pasted, from a file, or fetched from Enlighten and kept."""

    def __init__(self, settings: GatewaySettings, state_dir: Path, environ: Mapping[str, str], clock: Clock) -> None:
        self.settings = settings
        self.enlighten_url = _base(environ, "ENVOYLOG_ENLIGHTEN_URL", ENLIGHTEN_URL)
        self.entrez_url = _base(environ, "ENVOYLOG_ENTREZ_URL", ENTREZ_URL)
        self.clock = clock
        self.kept_path = state_dir / "tokens" / f"{file_stem(settings.name)}.jwt"
        #: Its age shows when Enlighten last refused the account, also to the next start: too many logins lock it.
        self._refusal_path = self.kept_path.with_suffix(".refused")
        self.renewal_error: AuthenticationError | None = None
        self._not_before: datetime | None = None
        self._pause = LEAST_PAUSE

    @property
    def has_account(self) -> bool:
        """Whether a new token can be fetched."""
        return bool(self.settings.username and self.settings.has_password)

    def stored(self) -> Token | None:
        """Return the token at hand: environment, token_file, the state directory; else None.

        Raises:
            SettingsError: a file can't be read, or others can read it.
            TokenError: what is there is no token.
        """
        if self.settings.token:
            return Token.parse(self.settings.token)
        pasted, is_only = self.settings.token_file, not self.has_account
        paths = [pasted] if pasted is not None and (is_only or is_there(pasted)) else []
        paths += [self.kept_path] if is_there(self.kept_path) else []
        found = [Token.parse(read_secret(path)) for path in paths]
        # A renewed token outlives the pasted one that it replaced.
        return max(found, key=lambda token: token.expires_at or from_epoch_s(0), default=None)

    def usable(self, serial: str) -> Token:
        """Return a token that this gateway should take, renewing it when it is time.

        Raises:
            TokenError: none at hand and none to be had; with what to do.
            AuthenticationError: Enlighten refused the account.
        """
        now, token = self.clock(), self.stored()
        if token is None:
            if self.has_account:
                return self.fetch(serial)
            command = f"envoylog token set {self.settings.name}"
            raise TokenError(f"Gateway {serial} needs a token; get one at {ENTREZ_URL} and run: {command}")
        if self.has_account and not self.settings.token:
            if token.serial in {None, serial} and not token.is_due(now):
                return token
            with contextlib.suppress(AuthenticationError):
                return self.fetch(serial)
        token.check(serial, now)  # It still serves, or raises why not.
        return token

    def fetch(self, serial: str, *, is_urgent: bool = False) -> Token:
        """Return a new token from Enlighten; at most every 15 minutes, then less and less often.

        ``is_urgent``: somebody waits for it, and may have corrected the account. AuthenticationError has the reason,
        also while it is not yet time to ask again.
        """
        now = self.clock()
        if self._not_before is None and not is_urgent:
            self._recall_refusal(now)
        if self._not_before is not None and now < self._not_before and not is_urgent:
            raise self.renewal_error or AuthenticationError("Waiting before asking Enlighten again.")
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        try:
            text = self.from_account(serial)
        except AuthenticationError as error:
            self.renewal_error = error  # Raised again while waiting.
            with contextlib.suppress(OSError):
                write_secret(self._refusal_path, f"{now.timestamp():.0f} {error}")
            raise
        with contextlib.suppress(OSError):
            self._refusal_path.unlink(missing_ok=True)
        token = Token.parse(text)
        token.check(serial, now)
        self.keep(token)
        self.renewal_error, self._pause = None, LEAST_PAUSE
        log.info("gateway=%s got a new token until %s", self.settings.name, token.expires_at)
        return token

    def _recall_refusal(self, now: datetime) -> None:
        """Go on waiting where an earlier process was refused just now."""
        with contextlib.suppress(OSError, ValueError, SettingsError):
            at_s, _, reason = read_secret(self._refusal_path).partition(" ")
            until = from_epoch_s(float(at_s)) + LEAST_PAUSE
            if now < until <= now + LEAST_PAUSE:
                command = f"envoylog token renew {self.settings.name}"
                again = f"not tried again before {until:%H:%M} UTC; once it is corrected, run: {command}"
                self._not_before, self.renewal_error = until, AuthenticationError(f"{reason.rstrip('.')} ({again})")

    def from_account(self, serial: str) -> str:
        """Return a token's text for a gateway of this account, or raise AuthenticationError."""
        username = self.settings.username
        form = {"user[email]": username, "user[password]": self.settings.read_password()}
        login = _post(f"{self.enlighten_url}/login/login.json?", data=form)
        if login.status_code in {400, 401, 403, 422}:
            raise AuthenticationError(
                f"Enlighten refused the user {username!r} or the password; check username and password_file, or {PASTE}"
            )
        answer = None
        with contextlib.suppress(ValueError):
            answer = login.json()
        if login.status_code != 200 or not isinstance(answer, dict):
            raise AuthenticationError(
                f"Enlighten answers the login with status {login.status_code}; try again later, or {PASTE}"
            )
        if not (session := answer.get("session_id")):
            raise AuthenticationError(
                f"Enlighten asks {username!r} for a second factor, which a logger can't give; {PASTE}"
            )
        wanted = {"session_id": session, "serial_num": serial, "username": username}
        tokens = _post(f"{self.entrez_url}/tokens", json=wanted)
        if tokens.status_code != 200:
            raise AuthenticationError(
                f"Enlighten gives {username!r} no token for gateway {serial} (status "
                f"{tokens.status_code}); is the gateway in this account? Or {PASTE}"
            )
        return str(tokens.text)

    def keep(self, token: Token) -> None:
        """Keep a token in the state directory, readable by its owner only."""
        try:
            write_secret(self.kept_path, token.text)
        except OSError as error:
            raise SettingsError(
                f"The token can't be kept in {self.kept_path.parent} ({error.strerror}); make the "
                "directory writable or set state_dir."
            ) from error
