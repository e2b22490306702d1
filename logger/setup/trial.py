"""A gateway that is asked before anything of it is kept: its state lies in a folder that goes."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from logger.clock import Clock
from logger.errors import AuthenticationError, GatewayUnreachableError
from logger.gateway import words
from logger.gateway.client import Gateway, unreachable
from logger.gateway.credentials import Tokens
from logger.gateway.probe import Found
from logger.gateway.profile import Profile
from logger.gateway.tls import Pins
from logger.gateway.token import Token
from logger.readings import GatewayInfo
from logger.settings import GatewaySettings, Settings

#: A slow gateway is given this long; detecting what it is takes a dozen pages.
PATIENCE_S = 60


class Trial:
    """Asks a gateway that was found; only the certificate that it showed is trusted."""

    def __init__(self, found: Found, settings: GatewaySettings, environ: Mapping[str, str], clock: Clock) -> None:
        assert found.info is not None  # noqa: S101 - it is a gateway
        self.info: GatewayInfo = found.info
        self.fingerprint = found.fingerprint
        self.settings = replace(settings, serial=found.info.serial, mdns=False)
        self._environ, self._clock = environ, clock
        self._directory = tempfile.TemporaryDirectory(prefix="envoylog-setup-")

    def __enter__(self) -> Self:
        if self.fingerprint is not None:
            Pins(self._state_dir, self.settings.name).write(self.fingerprint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    @property
    def _state_dir(self) -> Path:
        return Path(self._directory.name)

    def _gateway(self, token: Token | None) -> Gateway:
        loaded = Settings(database_url="", state_dir=self._state_dir, poll_every_s=PATIENCE_S)
        mine = replace(self.settings, token=token.text if token else None, token_file=None)
        if self.info.has_web_tokens:
            mine = replace(mine, username=None, password=None, password_file=None)
        return Gateway(loaded, mine, self._environ, clock=self._clock)

    def takes(self, token: Token) -> None:
        """Try a token on the gateway.

        Raises:
            TokenError: it is another gateway's, over, or refused.
            GatewayUnreachableError: it does not answer any more.
        """
        try:
            self._gateway(None).try_token(token)
        except GatewayUnreachableError as error:
            raise unreachable(self.settings, error) from error

    def fetch(self, state_dir: Path, username: str, password: str) -> Token:
        """Return a token from an account, which the gateway takes; pauses between logins are those of ``state_dir``.

        Raises:
            AuthenticationError: Enlighten or the gateway refuses; says why.
        """
        account = replace(self.settings, username=username, password=password)
        token = Tokens(account, state_dir, self._environ, self._clock).fetch(self.info.serial, is_urgent=True)
        self.takes(token)
        return token

    def describe(self, token: Token | None) -> tuple[words.Description, Profile]:
        """Return what of the gateway will be recorded, found out by polling it once; nothing is kept.

        Raises:
            GatewayError: it can't be read; with what to do.
        """
        gateway, at = self._gateway(token), self._clock().replace(microsecond=0)
        try:
            poll = gateway.poll(at=at, inverters=True)
        except GatewayUnreachableError as error:
            raise unreachable(self.settings, error) from error
        if (refused := gateway.endpoints.refused_user) is not None:
            raise AuthenticationError(str(refused))
        assert gateway.profile is not None  # noqa: S101 - a poll that raises nothing has one
        if gateway.is_nightly_outage(at):
            later = ("inverters", "asked again after 23:06: not from 22:58 on, while gateways restart")
            known = words.describe(gateway.profile)
            return replace(known, missing=(*known.missing, later)), gateway.profile
        return words.describe(gateway.profile, poll), gateway.profile
