"""Asking a gateway as someone it answers: nobody, a digest user, or a token and its cookie.

The 401 sequence: check the token again and retry once; fetch a new one when the old is over or
refused and there is an account; else the gateway waits for a person, and only /info is asked.
A 401 on one page while the token is valid is that page's refusal alone.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from logger.clock import Clock
from logger.errors import (
    AuthenticationError,
    EndpointMissingError,
    EndpointRefusedError,
    GatewayUnreachableError,
    MalformedDocumentError,
    NotReadyError,
    TokenError,
)
from logger.gateway import digest, parse
from logger.gateway.tokens import Token, Tokens
from logger.gateway.transport import Address, Answer, Deadline, Transport
from logger.readings import GatewayInfo
from logger.settings import GatewaySettings

log = logging.getLogger(__name__)

CHECK_JWT = "/auth/check_jwt"
#: The gateway forgets a session ten minutes after its last use.
SESSION_S = timedelta(minutes=9)
#: What was refused is tried again after this long: restarts of the gateway refuse good ones.
TRY_AGAIN = timedelta(minutes=15)


class Session:
    """One gateway, its transport, and who we are to it."""

    def __init__(
        self, settings: GatewaySettings, transport: Transport, tokens: Tokens, clock: Clock
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.tokens = tokens
        self.clock = clock
        self.info: GatewayInfo | None = None
        self.needs_person: AuthenticationError | None = None
        self.token: Token | None = None
        self.refused_user: AuthenticationError | None = None
        self._checked_at: datetime | None = None
        self._refused_text: str | None = None
        self._refused_at: datetime | None = None
        self._users: list[tuple[str, Any]] = []
        self._users_refused_at: dict[str, datetime] = {}
        self._renewal_alarm: str | None = None
        self._renew_at = clock()

    def move_to(self, address: Address) -> None:
        """Ask at another address from now on, with a session of its own."""
        if address != self.transport.address:
            self.transport.move_to(address)
            self._checked_at = None

    def identify_as(self, info: GatewayInfo) -> None:
        """Set whose answers these are; a new serial starts with new credentials."""
        if self.info is None or self.info.serial != info.serial:
            self._users = list(digest.users(self.settings, info.serial))
            self._users_refused_at = {}
            self._checked_at = None
        self.info = info

    def text(self, path: str, deadline: Deadline) -> str:
        """Return a page's body.

        Raises:
            EndpointMissingError: this gateway has no such page.
            EndpointRefusedError: it is not for us, while others are.
            AuthenticationError: nothing is for us any more; says what to do.
            GatewayUnreachableError: no answer, or an answer that says "later" (5xx).
            MalformedDocumentError: the answer was cut.
        """
        answer = self._ask(path, deadline)
        if answer.status in {401, 403}:
            raise EndpointRefusedError(f"status {answer.status}: not for this user or firmware.")
        if answer.status == 404 or 300 <= answer.status < 400:
            raise EndpointMissingError("this gateway has no such page.")
        if answer.status != 200:
            raise NotReadyError(f"status {answer.status}: not ready.")
        return answer.text

    def json(self, path: str, deadline: Deadline) -> Any:
        """Return a page's JSON, asking once more when it came cut or wrong.

        Raises:
            as ``text``, and MalformedDocumentError for what is not JSON.
        """
        try:
            return parse.document(self.text(path, deadline))
        except MalformedDocumentError:
            return parse.document(self.text(path, deadline))

    def open_text(self, path: str, deadline: Deadline) -> str:
        """Return the body of a page that needs no credentials (/info).

        Raises:
            GatewayUnreachableError, EndpointMissingError, MalformedDocumentError.
        """
        answer = self.transport.get(path, deadline=deadline)
        if 300 <= answer.status < 400 and self.transport.address.scheme is None:
            # Firmware 7 has come, and with it HTTPS: find out anew how to ask.
            self.transport.forget_connection()
            answer = self.transport.get(path, deadline=deadline)
        if answer.status == 404:
            raise EndpointMissingError("this gateway has no such page.")
        if 300 <= answer.status < 400 and not self.transport.is_secure:
            host = self.settings.host.removeprefix("http://")
            raise GatewayUnreachableError(
                f'the gateway answers on HTTPS only; write host = "https://{host}".'
            )
        if answer.status != 200:
            raise NotReadyError(f"status {answer.status}: not ready.")
        return answer.text

    def _ask(self, path: str, deadline: Deadline) -> Answer:
        if self.info is None or not self.info.has_web_tokens:
            return self._ask_with_digest(path, deadline)
        return self._ask_with_token(path, deadline)

    def _ask_with_digest(self, path: str, deadline: Deadline) -> Answer:
        """Ask without a name first, then as the user that worked last, then as the others.

        A page that refused them all is asked as nobody alone for a while: each user costs two
        requests.
        """
        answer = self.transport.get(path, deadline=deadline)
        if answer.status not in {401, 403}:
            return answer
        refused_at = self._users_refused_at.pop(path, None)
        if refused_at is not None and self.clock() - refused_at < TRY_AGAIN:
            self._users_refused_at[path] = refused_at
            return answer
        for index, (_, auth) in enumerate(self._users):
            answer = self.transport.get(path, deadline=deadline, auth=auth)
            if answer.status not in {401, 403}:
                self._users.insert(0, self._users.pop(index))
                self.refused_user = None
                return answer
        self._users_refused_at[path] = self.clock()
        if self.settings.username:
            self.refused_user = AuthenticationError(
                f"Gateway {self.settings.name!r} refuses the user {self.settings.username!r} "
                "or the password; check username and password_file, or remove both to use the "
                "built-in users."
            )
        return answer

    def _ask_with_token(self, path: str, deadline: Deadline) -> Answer:
        self.open_session(deadline)
        answer = self._get_with_session(path, deadline)
        if answer.status not in {401, 403}:
            return answer
        # The session may be over, or the gateway restarted: check once more, then ask once more.
        self._checked_at = None
        self.open_session(deadline)
        return self._get_with_session(path, deadline, bearer=True)

    def _get_with_session(self, path: str, deadline: Deadline, *, bearer: bool = False) -> Answer:
        with_cookie = len(self.transport.cookies) > 0
        headers = self._bearer() if bearer or not with_cookie else None
        answer = self.transport.get(path, deadline=deadline, headers=headers)
        self._checked_at = self.clock()
        return answer

    def _bearer(self) -> dict[str, str]:
        assert self.token is not None  # noqa: S101 - open_session has set it
        return {"Authorization": f"Bearer {self.token.text}"}

    def open_session(self, deadline: Deadline) -> None:
        """Have a token that the gateway takes.

        Raises:
            AuthenticationError: there is none; ``needs_person`` keeps the reason.
            GatewayUnreachableError: the gateway does not answer.
        """
        assert self.info is not None  # noqa: S101 - /info comes first
        now = self.clock()
        if (
            self.token is not None
            and self._checked_at is not None
            and now - self._checked_at < SESSION_S
            and not (self.token.is_due(now) and now >= self._renew_at)
        ):
            return
        if not self.transport.is_secure:
            raise TokenError(
                f"Gateway {self.settings.name!r} needs a token, which is never sent over plain "
                f'HTTP; write host = "https://…" in the configuration.'
            )
        try:
            self._open(now, deadline)
        except AuthenticationError as error:
            self.needs_person = error
            raise
        self.needs_person = None

    def _open(self, now: datetime, deadline: Deadline) -> None:
        assert self.info is not None  # noqa: S101 - the caller checked
        try:
            token = self.tokens.usable(self.info.serial)
        except AuthenticationError:
            self.token = None
            raise
        self._warn_of_renewal()
        self._renew_at = now + TRY_AGAIN
        waited = self._refused_at is None or now - self._refused_at >= TRY_AGAIN
        if (token.text != self._refused_text or waited) and self._is_taken(token, deadline):
            self.token, self._checked_at = token, now
            self._refused_text = self._refused_at = None
            return
        if token.text != self._refused_text or waited:
            self._refused_text, self._refused_at = token.text, now
        if self.tokens.has_account and not self.settings.token:
            token = self.tokens.fetch(self.info.serial)
            if self._is_taken(token, deadline):
                self.token, self._checked_at = token, now
                self._refused_text = self._refused_at = None
                return
        self.token = None
        raise TokenError(
            f"Gateway {self.settings.name!r} refuses the token; get a new one at "
            f"https://entrez.enphaseenergy.com and run: envoylog token set {self.settings.name}"
        )

    def _is_taken(self, token: Token, deadline: Deadline) -> bool:
        """Ask the gateway whether it takes a token; on success it hands out a session cookie."""
        self.transport.cookies.clear()
        answer = self.transport.get(
            CHECK_JWT, deadline=deadline, headers={"Authorization": f"Bearer {token.text}"}
        )
        if answer.status in {401, 403}:
            return False
        if answer.status not in {200, 404}:
            raise NotReadyError(f"{CHECK_JWT}: status {answer.status}: not ready.")
        return True

    def _warn_of_renewal(self) -> None:
        error = self.tokens.renewal_error
        said = str(error) if error else None
        if said and said != self._renewal_alarm:
            log.warning("gateway=%s token not renewed: %s", self.settings.name, said)
        self._renewal_alarm = said
