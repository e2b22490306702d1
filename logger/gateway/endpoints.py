"""A gateway's endpoints: asks for documents, and remembers which are not to be had.

The only caller of ``http``. An answer becomes JSON or a GatewayError; what is missing, refused or harmful is not asked
for again for a while.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from logger import errors
from logger.clock import Clock
from logger.gateway import parse
from logger.gateway.anomalies import Anomaly
from logger.gateway.auth import REFUSED, TRY_AGAIN, LocalUsers, TokenAuth
from logger.gateway.credentials import Tokens
from logger.gateway.equipment import WITH_EACH_POLL
from logger.gateway.http import Address, Dress, Http
from logger.gateway.kept import Answer
from logger.gateway.profile import HOME, PRODUCTION, V1_INVERTERS, Profile
from logger.gateway.quirks import is_old
from logger.gateway.tls import Deadline
from logger.readings import GatewayInfo
from logger.settings import GatewaySettings

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

    def __init__(self, settings: GatewaySettings, state_dir: Path, environ: Mapping[str, str], clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.http = Http(settings, state_dir)
        self.tokens = Tokens(settings, state_dir, environ, clock)
        self.token_auth = TokenAuth(settings, self.tokens, self.http, clock)
        self.users: LocalUsers | None = None
        self.info: GatewayInfo | None = None  #: who answers
        self.profile: Profile | None = None  #: what it is, once that is known
        self.anomalies: list[Anomaly] = []  #: of endpoints, that no poll has reported yet
        self.heard: Callable[[str, Answer], object] | None = None  #: gets each answer as it came, to record it
        self._known: defaultdict[str, _Known] = defaultdict(_Known)
        self._was_there = False  # at the last request
        self._suspect: str | None = None  # asked last, and the gateway fell silent

    @property
    def refused_user(self) -> errors.AuthenticationError | None:
        """Why the configured local user is of no use, or None."""
        return self.users.refusal if self.users else None

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

    def get(self, path: str, deadline: Deadline) -> Any | errors.GatewayError:
        """Return a document, or the error in its place, for ``Documents``.

        What is dispensable is not asked for again for a while when it is missing, refused, or takes the gateway down.
        Where that is so from the first time on, nothing failed: this gateway has no such page, or not for us.
        AuthenticationError: nothing is for us any more; with what to do.
        """
        document = self._document(path, deadline)
        is_absent = isinstance(document, (errors.EndpointMissingError, errors.EndpointRefusedError))
        if not is_absent or not self._can_wait(path) or (path in WITH_EACH_POLL and self._known[path].worked):
            return document
        self._set_absent(path, document)
        is_news = self._known[path].worked or str(document) == str(self.refused_user)
        return document if is_news else errors.NotAskedError(str(document))

    def get_deciding(self, path: str, deadline: Deadline) -> Any | errors.GatewayError:
        """Return a document that decides what this gateway is, or a final error, for ``Documents``.

        One that worked and is refused now is not final for a day: a gateway that lets nobody in has lost no meter.
        Firmware 3 answers what it lacks with HTML. Newer firmware does so while it is unwell: that is only believed of
        a gateway of which nothing is known yet.

        GatewayUnreachableError, AuthenticationError: not final.
        """
        document = self._document(path, deadline)
        known = self._known[path]
        is_final = isinstance(document, (errors.EndpointMissingError, errors.EndpointRefusedError))
        match document:
            case errors.GatewayUnreachableError():
                raise document
            case errors.EndpointRefusedError():
                known.refused_since = known.refused_since or self.clock()
                if known.worked and self.clock() - known.refused_since < ASK_AGAIN_AFTER:
                    raise errors.NotReadyError(str(document)) from document
            case errors.MalformedDocumentError():
                is_final = self.info is not None and is_old(self.info.firmware)
                if self.profile is not None and not is_final:
                    raise errors.NotReadyError(str(document)) from document
        return self._set_absent(path, document) if is_final else document

    def _can_wait(self, path: str) -> bool:
        return path == HOME or (self.profile is not None and path in self.profile.dispensable)

    def _set_absent(self, path: str, error: errors.GatewayError) -> errors.GatewayError:
        known = self._known[path]
        patience = ASK_WORKING_AGAIN_AFTER if known.worked else ASK_AGAIN_AFTER
        known.absent_until, known.why = self.clock() + patience, str(error)
        return error

    def _document(self, path: str, deadline: Deadline) -> Any | errors.GatewayError:
        """Return a document or an error, asking once more for what came cut or wrong."""
        known = self._known[path]
        if known.absent_until is not None and self.clock() < known.absent_until:
            return errors.NotAskedError(known.why)
        known.absent_until = None
        try:
            try:
                document = self._json(path, deadline)
            except errors.MalformedDocumentError:
                document = self._json(path, deadline)
        except errors.AuthenticationError:
            raise
        except errors.GatewayError as error:
            if path == V1_INVERTERS and isinstance(error, errors.EndpointRefusedError) and self.refused_user:
                return errors.EndpointRefusedError(str(self.refused_user))
            return type(error)(f"{path}: {error}")
        known.worked, known.refused_since = True, None
        return document

    def _json(self, path: str, deadline: Deadline) -> Any:
        known, now = self._known[path], self.clock()
        if self.info is not None and self.info.has_web_tokens:
            self.token_auth.open(self.info.serial, deadline)
            answer = self._ask(path, deadline, self.token_auth)
            if answer.status not in REFUSED:
                self.token_auth.was_taken()
        elif known.users_refused_at is not None and now - known.users_refused_at < TRY_AGAIN:
            # What refused all users is asked as nobody for a while: each costs two requests.
            answer = self._ask(path, deadline)
        else:
            answer = self._ask(path, deadline, self.users)
            known.users_refused_at = now if answer.status in REFUSED else None
        # Firmware 3 shows its production to people alone.
        return parse.document(answer.status, answer.body, or_html=path == PRODUCTION)

    def open_text(self, path: str, deadline: Deadline) -> str:
        """Return the body of an endpoint that needs no credentials (/info).

        GatewayError: it did not come; over plain HTTP, firmware 7 redirects to where it is.
        """
        answer = self._ask(path, deadline)
        if 300 <= answer.status < 400 and self.http.address.scheme is None:
            # Firmware 7 has come, and with it HTTPS: find out anew how to ask.
            self.http.forget_connection()
            answer = self._ask(path, deadline)
        if 300 <= answer.status < 400 and not self.http.is_secure:
            host = self.settings.host.removeprefix("http://")
            raise errors.GatewayUnreachableError(f'the gateway answers on HTTPS only; write host = "https://{host}".')
        parse.check(answer.status)
        return answer.text

    def _ask(self, path: str, deadline: Deadline, dress: Dress | None = None) -> Answer:
        if deadline.is_over:
            raise errors.NotReadyError("no time left in this poll.")
        before_s = deadline.left_s
        try:
            answer = self.http.get(path, deadline, dress)
        except errors.GatewayUnreachableError:
            self._fell_silent(path, hangs=before_s - deadline.left_s > HANGING_SHARE * deadline.seconds)
            raise
        if self.heard is not None:
            self.heard(path, answer)
        self._was_there, self._suspect = True, None
        self._known[path].hangs = 0
        return answer

    def _fell_silent(self, path: str, *, hangs: bool) -> None:
        """Note a request without an answer.

        It was its fault where the gateway was there just before, and is not there for what is asked next, or has kept
        us waiting for most of the poll.
        """
        was_there, self._was_there = self._was_there, False
        culprit, self._suspect = self._suspect, None
        if culprit is None and was_there and self._can_wait(path):
            culprit, self._suspect = (path, None) if hangs else (None, path)
        if culprit is None:
            return
        known = self._known[culprit]
        known.hangs += 1
        if known.hangs >= MOST_HANGS:
            known.absent_until = self.clock() + ASK_AGAIN_AFTER
            known.why = f"{culprit}: the gateway hangs when it is asked; asked once a day."
        if known.hangs == MOST_HANGS:
            detail = f"the gateway fell silent each of {MOST_HANGS} times that it was asked for it"
            self.anomalies.append(Anomaly("hanging_page", culprit, f"{detail}; asked once a day"))
