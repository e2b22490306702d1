"""One visit to a gateway: a poll that stores nothing and leaves nothing behind, and every answer as it came.

Pins and tokens are read from a copy of the state directory's: the certificate of a first contact is not pinned by
looking, and no token is fetched.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from logger.clock import Clock, utc_now
from logger.errors import (
    GatewayError,
    GatewayReplacedError,
    GatewayUnreachableError,
    LoggerError,
    SettingsError,
    TokenError,
)
from logger.gateway import equipment, profile
from logger.gateway.client import DETECTION_S, Gateway
from logger.gateway.credentials import Token, Tokens
from logger.gateway.kept import Answer
from logger.gateway.probe import Found, probe
from logger.gateway.tls import Deadline
from logger.readings import GatewayInfo, Poll
from logger.settings import GatewaySettings, Settings

#: The folders of the state directory that a visit needs.
KEPT = ("certificates", "tokens")
#: Pages that a poll may do without, and who helps may want to see.
MORE_PAGES = (profile.HOME, profile.V1, profile.PRODUCTION, profile.V1_INVERTERS, equipment.INVENTORY)


class TokensAtHand(Tokens):
    """The tokens that are there: a look costs no login."""

    def fetch(self, serial: str, *, is_urgent: bool = False) -> Token:
        """Refuse to."""
        del is_urgent
        raise TokenError(
            f"There is no token for gateway {serial} that it takes, and one is fetched only by the collector or by: "
            f"envoylog token renew {self.settings.name}"
        )


@dataclass(kw_only=True)
class Visit:
    """What came of it."""

    settings: GatewaySettings
    at: datetime
    found: Found | None = None  #: what answers at its address
    info: GatewayInfo | None = None  #: which gateway
    poll: Poll | None = None
    error: LoggerError | None = None  #: why there is no poll
    answers: dict[str, Answer] = field(default_factory=dict)  #: by path, as they came


def glance(gateway: GatewaySettings, *, clock: Clock = utc_now) -> Visit:
    """See who answers, as nobody, within seconds."""
    visit = Visit(settings=gateway, at=clock().replace(microsecond=0))
    try:
        visit.found = found = probe(gateway.host)
    except SettingsError as error:
        visit.error = error
        return visit
    visit.info = found.info
    if found.info is None:
        visit.error = GatewayUnreachableError(found.sentence)
    elif gateway.serial not in {None, found.info.serial}:
        visit.error = GatewayReplacedError(
            f"Gateway {gateway.name!r} should be {gateway.serial}, but {found.info.serial} answers; "
            f'if it was replaced, write serial = "{found.info.serial}" into the configuration, else correct host.'
        )
    return visit


def pay(
    settings: Settings,
    gateway: GatewaySettings,
    environ: Mapping[str, str],
    *,
    clock: Clock = utc_now,
    with_more_pages: bool = False,
) -> Visit:
    """Poll a gateway once, if one is there; ``with_more_pages`` asks for all that a recording should hold."""
    visit = glance(gateway, clock=clock)
    if visit.error is not None:
        return visit
    with tempfile.TemporaryDirectory(prefix="envoylog-doctor-") as name:
        state_dir = Path(name)
        for folder in KEPT:
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(settings.state_dir / folder, state_dir / folder)
        try:
            # It is only looked at where it is configured to be.
            visited = Gateway(
                replace(settings, state_dir=state_dir), replace(gateway, mdns=False), environ, clock=clock
            )
            endpoints = visited.endpoints
            endpoints.heard = visit.answers.__setitem__
            endpoints.tokens = endpoints.token_auth.tokens = TokensAtHand(gateway, state_dir, environ, clock)
            try:
                visit.poll = visited.poll(at=visit.at, inverters=True)
            finally:
                visit.info = endpoints.info or visit.info
            if with_more_pages and not visited.is_nightly_outage(visit.at):
                deadline = Deadline(DETECTION_S)
                for path in MORE_PAGES:
                    if path not in visit.answers:
                        with contextlib.suppress(GatewayError):
                            endpoints.get(path, deadline)
        except LoggerError as error:
            # What is wrong with the copy is wrong with what was copied.
            visit.error = type(error)(str(error).replace(name, str(settings.state_dir)))
    return visit
