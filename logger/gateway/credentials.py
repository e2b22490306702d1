"""The token of a gateway: pasted, from a file, or fetched from an Enlighten account.

What is new is kept once the gateway took it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from logger.clock import Clock, from_epoch_s
from logger.errors import AuthenticationError, LoggerError, SettingsError, TokenError
from logger.gateway.enlighten import ENLIGHTEN_URL, Account, WaitingError
from logger.gateway.token import ENTREZ_URL, Token
from logger.settings import GatewaySettings, Settings, file_stem, read_secret, write_secret
from logger.settings.secret_files import is_there

__all__ = ["ENLIGHTEN_URL", "ENTREZ_URL", "Token", "TokenLeft", "Tokens", "tokens_left"]

#: A token that ends sooner is worth a warning.
TOKEN_LEFT = timedelta(days=14)
#: One that renews itself does so before the last twelfth of its time; it is late in the last of so many parts.
LATE_SHARE = 24
#: of a token that does not say when it was made: whether it is an installer's -> how long it lasts
LIFETIMES = {True: timedelta(hours=12), False: timedelta(days=365)}


class Tokens:
    """The tokens of one gateway."""

    def __init__(self, settings: GatewaySettings, state_dir: Path, environ: Mapping[str, str], clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.kept_path = state_dir / "tokens" / f"{file_stem(settings.name)}.jwt"
        self.renewal_error: AuthenticationError | None = None
        #: fetched, and not yet tried on the gateway: until it was taken, the old one is kept
        self.fresh: Token | None = None
        self.account = Account(settings, self.kept_path.parent, environ, clock)

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
        found, refusals = [], []
        for path in paths:
            try:
                found.append(Token.parse(read_secret(path)))
            except (SettingsError, TokenError) as error:
                refusals.append(error)
        if refusals and not found:
            raise refusals[0]
        # A renewed token outlives the pasted one that it replaced.
        return max(found, key=lambda token: token.expires_at or from_epoch_s(0), default=None)

    def usable(self, serial: str) -> Token:
        """Return a token that this gateway should take, renewing it when it is time.

        Raises:
            TokenError: none at hand and none to be had; with what to do.
            AuthenticationError: Enlighten refused the account.
        """
        if self.fresh is not None:
            return self.fresh
        now, token = self.clock(), self.stored()
        if token is None:
            if self.has_account:
                return self.fetch(serial)
            command = f"envoylog token set {self.settings.name}"
            raise TokenError(f"Gateway {serial} needs a token; get one at {ENTREZ_URL} and run: {command}")
        if self.has_account and not self.settings.token:
            is_ours = token.serial in {None, serial}
            if is_ours and not token.is_due(now):
                return token
            if is_ours and not token.is_short and not token.is_over(now) and self.account.gave_lately(serial):
                return token  # Should tokens ever last for less than a month, a new one each day is enough.
            try:
                return self.fetch(serial)
            except AuthenticationError:
                pass  # ``renewal_error`` has it, and the old one may still serve.
            except SettingsError as error:
                self.renewal_error = AuthenticationError(str(error))
        token.check(serial, now)  # It still serves, or raises why not.
        return token

    def fetch(self, serial: str, *, is_urgent: bool = False) -> Token:
        """Return a new token from Enlighten, to be tried on the gateway and then kept.

        ``is_urgent``: somebody waits for it, and may have corrected the account. AuthenticationError has the reason,
        also while it is not yet time to ask again.
        """
        try:
            token = self.account.token(serial, is_urgent=is_urgent)
        except WaitingError as error:
            self.renewal_error = self.renewal_error or error
            raise self.renewal_error from None
        except AuthenticationError as error:
            self.renewal_error = error
            raise
        self.renewal_error, self.fresh = None, token
        return token

    def keep(self, token: Token) -> None:
        """Keep a token in the state directory, readable by its owner only."""
        try:
            write_secret(self.kept_path, token.text)
        except OSError as error:
            raise SettingsError(
                f"The token can't be kept in {self.kept_path.parent} ({error.strerror}); make the "
                "directory writable or set state_dir."
            ) from error
        self.fresh = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLeft:
    """How long a gateway's token lasts."""

    expires_at: datetime
    lifetime: timedelta  #: from when it was made
    renews: bool  #: with the configured account, in good time

    @property
    def late(self) -> timedelta:
        """How long before its end somebody should look: of one that renews itself, it should have."""
        return min(TOKEN_LEFT, self.lifetime / LATE_SHARE) if self.renews else TOKEN_LEFT

    def is_short(self, now: datetime) -> bool:
        """Return whether so little is left that somebody should look."""
        return self.expires_at - now < self.late


def tokens_left(loaded: Settings, environ: Mapping[str, str], clock: Clock) -> list[TokenLeft | None]:
    """Return how long each gateway's token lasts; None where there is none, or it can't be read."""
    found: list[TokenLeft | None] = []
    for gateway in loaded.gateways:
        token = None
        with contextlib.suppress(LoggerError):
            tokens = Tokens(gateway, loaded.state_dir, environ, clock)
            token = tokens.stored()
        if token is None or token.expires_at is None:
            found.append(None)
            continue
        lifetime = token.expires_at - token.issued_at if token.issued_at else LIFETIMES[token.is_short]
        renews = tokens.has_account and not gateway.token
        found.append(TokenLeft(expires_at=token.expires_at, lifetime=lifetime, renews=renews))
    return found
