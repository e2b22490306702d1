"""A gateway's endpoints: asks for documents, and remembers which are not to be had.

The only caller of ``http``. An answer becomes JSON or a GatewayError; what is missing, refused or
harmful is not asked for again for a while, and all of that is remembered here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from requests.auth import AuthBase

from logger.clock import Clock
from logger.errors import (
    AuthenticationError,
    EndpointMissingError,
    EndpointRefusedError,
    GatewayError,
    GatewayUnreachableError,
    MalformedDocumentError,
    NotAskedError,
    NotReadyError,
)
from logger.gateway import parse
from logger.gateway.anomalies import Anomaly
from logger.gateway.auth import REFUSED, TRY_AGAIN, LocalUsers, TokenAuth
from logger.gateway.credentials import Enlighten, Tokens
from logger.gateway.http import Address, Answer, Http
from logger.gateway.quirks import firmware_of
from logger.gateway.tls import Deadline
from logger.readings import GatewayInfo
from logger.settings import GatewaySettings

log = logging.getLogger(__name__)

#: What is missing or not for us is asked for again after this long; what worked before, sooner.
ASK_AGAIN_AFTER = timedelta(days=1)
ASK_WORKING_AGAIN_AFTER = timedelta(hours=1)
#: An endpoint that took the gateway down with it this many times in a row is asked only daily.
MOST_HANGS = 3
#: An endpoint that alone used up more of a poll's time than this hangs, whatever comes next.
HANGING_SHARE = 0.5


@dataclass(slots=True)
class _Known:
    """What is known of one endpoint."""

    worked: bool = False
    refused_since: datetime | None = None
    users_refused_at: datetime | None = None
    hangs: int = 0  #: how many times in a row asking for it ended in silence
    absent_until: datetime | None = None
    why: str = ""  #: it is absent


class Endpoints:
    """Asks one gateway for its documents, as whom it answers."""

    def __init__(
        self,
        settings: GatewaySettings,
        state_dir: Path,
        environ: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.http = Http(settings, state_dir)
        self.tokens = Tokens(settings, state_dir, Enlighten(environ), clock)
        self.token_auth = TokenAuth(settings, self.tokens, self.http, clock)
        self.users: LocalUsers | None = None
        self.info: GatewayInfo | None = None
        self._anomalies: list[Anomaly] = []
        self._known: dict[str, _Known] = {}
        self._was_there = False  # at the last request
        self._suspect: str | None = None  # asked last, and the gateway fell silent

    @property
    def refused_user(self) -> AuthenticationError | None:
        """Why the configured local user is of no use, or None."""
        return self.users.refusal if self.users else None

    def take_anomalies(self) -> list[Anomaly]:
        """Return what was noticed about endpoints and no poll has reported yet."""
        noticed, self._anomalies = self._anomalies, []
        return noticed

    def belong_to(self, info: GatewayInfo) -> None:
        """Set whose answers these are; a new serial starts with new credentials."""
        if self.info is None or self.info.serial != info.serial:
            self.users = LocalUsers(self.settings, info.serial)
            self.token_auth.end_session()
        self.info = info

    def move_to(self, address: Address) -> None:
        """Ask at another address from now on, with a session of its own."""
        if address != self.http.address:
            self.http.move_to(address)
            self.token_auth.end_session()

    def forget(self, *, firmware_changed: bool = False) -> None:
        """Ask for everything again; under another firmware nothing has worked or hung yet."""
        if firmware_changed:
            self._known.clear()
        for known in self._known.values():
            if known.hangs < MOST_HANGS:
                known.absent_until = None

    def get(
        self, path: str, deadline: Deadline, *, needed: bool = True, or_text: bool = False
    ) -> Any | GatewayError:
        """Return a document, or the error why there is none, for ``Documents``.

        What is not ``needed`` is not asked for again for a while when it is missing, refused, or
        takes the gateway down. ``or_text``: what is not JSON is returned as text.

        Raises:
            AuthenticationError: nothing is for us any more; says what to do.
        """
        if (absent := self._absent(path)) is not None:
            return absent
        try:
            return self._document(path, deadline, needed=needed, or_text=or_text)
        except AuthenticationError:
            raise
        except (EndpointMissingError, EndpointRefusedError) as error:
            explained = self._explained(path, error)
            if not needed:
                self._set_absent(path, explained)
            return explained
        except GatewayError as error:
            return self._explained(path, error)

    def get_deciding(
        self, path: str, deadline: Deadline, *, is_first: bool, or_text: bool = False
    ) -> Any | GatewayError:
        """Return a document that decides what this gateway is, or a final error, for ``Documents``.

        One that worked and is refused now is not final for a day: a gateway that lets nobody in
        has lost no meter. Firmware 3 answers what it lacks with HTML. Newer firmware does so
        while it is unwell: that is only believed of a gateway of which nothing is known yet
        (``is_first``).

        Raises:
            GatewayUnreachableError, AuthenticationError: not final.
        """
        document = self.get(path, deadline, or_text=or_text)
        known = self._known.setdefault(path, _Known())
        is_final = isinstance(document, (EndpointMissingError, EndpointRefusedError))
        match document:
            case GatewayUnreachableError():
                raise document
            case EndpointRefusedError():
                known.refused_since = known.refused_since or self.clock()
                if known.worked and self.clock() - known.refused_since < ASK_AGAIN_AFTER:
                    raise NotReadyError(str(document)) from document
            case MalformedDocumentError():
                is_final = self.is_old
                if not is_first and not self.is_old:
                    raise NotReadyError(str(document)) from document
        return self._set_absent(path, document) if is_final else document

    @property
    def is_old(self) -> bool:
        """Whether firmware 3 answers, which has HTML for what it lacks."""
        return self.info is not None and firmware_of(self.info.firmware) < (4,)

    def _absent(self, path: str) -> GatewayError | None:
        known = self._known.get(path)
        if known is None or known.absent_until is None:
            return None
        if self.clock() >= known.absent_until:
            known.absent_until = None
            return None
        return NotAskedError(known.why)

    def _set_absent(self, path: str, error: GatewayError) -> GatewayError:
        known = self._known.setdefault(path, _Known())
        patience = ASK_WORKING_AGAIN_AFTER if known.worked else ASK_AGAIN_AFTER
        known.absent_until, known.why = self.clock() + patience, str(error)
        return error

    def _explained(self, path: str, error: GatewayError) -> GatewayError:
        """Return the reason to show: a configured user that is refused says so."""
        if isinstance(error, EndpointRefusedError) and self.refused_user is not None:
            return EndpointRefusedError(str(self.refused_user))
        return type(error)(f"{path}: {error}")

    def _document(
        self, path: str, deadline: Deadline, *, needed: bool = True, or_text: bool = False
    ) -> Any:
        """Return a document's JSON, asking once more when it came cut or wrong."""
        for is_last in (False, True):
            body = None
            try:
                answer = self._ask_as_someone(path, deadline, needed=needed)
                body = parse.body(answer.status, answer.text)
                document = parse.document(body)
            except MalformedDocumentError:
                if or_text and body is not None:
                    return body
                if is_last or or_text:
                    raise
            else:
                break
        known = self._known.setdefault(path, _Known())
        known.worked, known.refused_since = True, None
        return document

    def open_text(self, path: str, deadline: Deadline) -> str:
        """Return the body of an endpoint that needs no credentials (/info).

        Raises:
            GatewayError: it did not come; over plain HTTP, firmware 7 says where it is.
        """
        answer = self._ask(path, deadline)
        if 300 <= answer.status < 400 and self.http.address.scheme is None:
            # Firmware 7 has come, and with it HTTPS: find out anew how to ask.
            self.http.forget_connection()
            answer = self._ask(path, deadline)
        if 300 <= answer.status < 400 and not self.http.is_secure:
            host = self.settings.host.removeprefix("http://")
            raise GatewayUnreachableError(
                f'the gateway answers on HTTPS only; write host = "https://{host}".'
            )
        return parse.body(answer.status, answer.text)

    def _ask_as_someone(self, path: str, deadline: Deadline, *, needed: bool) -> Answer:
        if self.info is not None and self.info.has_web_tokens:
            self.token_auth.open(self.info.serial, deadline)
            return self._ask(path, deadline, self.token_auth, needed=needed)
        # What refused all users is asked as nobody for a while: each costs two requests.
        known, now = self._known.setdefault(path, _Known()), self.clock()
        refused_at = known.users_refused_at
        if refused_at is not None and now - refused_at < TRY_AGAIN:
            return self._ask(path, deadline, needed=needed)
        answer = self._ask(path, deadline, self.users, needed=needed)
        known.users_refused_at = now if answer.status in REFUSED else None
        return answer

    def _ask(
        self, path: str, deadline: Deadline, auth: AuthBase | None = None, *, needed: bool = True
    ) -> Answer:
        if deadline.is_over:
            raise NotReadyError("no time left in this poll.")
        before_s = deadline.left_s
        try:
            answer = self.http.get(path, deadline, auth)
        except GatewayUnreachableError:
            used = (before_s - deadline.left_s) / deadline.seconds
            self._fell_silent(None if needed else path, hangs=used > HANGING_SHARE)
            raise
        self._was_there, self._suspect = True, None
        if path in self._known:
            self._known[path].hangs = 0
        return answer

    def _fell_silent(self, path: str | None, *, hangs: bool) -> None:
        """Note a request without an answer; ``path`` is what nobody needs, or None.

        It was its fault where the gateway was there just before, and is not there for what is
        asked next, or has kept us waiting for most of the poll.
        """
        was_there, self._was_there = self._was_there, False
        culprit, self._suspect = self._suspect, None
        if culprit is None and was_there and path is not None:
            culprit, self._suspect = (path, None) if hangs else (None, path)
        if culprit is None:
            return
        known = self._known.setdefault(culprit, _Known())
        known.hangs += 1
        if known.hangs >= MOST_HANGS:
            known.absent_until = self.clock() + ASK_AGAIN_AFTER
            known.why = f"{culprit}: the gateway hangs when it is asked; asked once a day."
        if known.hangs == MOST_HANGS:
            detail = f"the gateway fell silent each of {MOST_HANGS} times that it was asked for it"
            self._anomalies.append(Anomaly("hanging_page", culprit, f"{detail}; asked once a day"))
