"""Who we are to a gateway: a token and its session, or a local user of firmware below 7.

Both are requests' own seam: they dress a request, and a hook looks at its answer. A 401 on one endpoint while others
answer is that endpoint's refusal alone; what refuses the token itself locks us out until a person acts.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPDigestAuth
from requests.hooks import default_hooks

from logger.clock import Clock
from logger.errors import AuthenticationError, NotReadyError, SettingsError, TokenError
from logger.gateway.credentials import Tokens
from logger.gateway.http import LARGEST_BODY_BYTES, Http
from logger.gateway.tls import Deadline
from logger.gateway.token import ENTREZ_URL, Token
from logger.settings import GatewaySettings

log = logging.getLogger(__name__)

CHECK_JWT = "/auth/check_jwt"
REFUSED = frozenset({401, 403})
#: The gateway forgets a session ten minutes after its last use.
SESSION_S = timedelta(minutes=9)
#: What was refused is tried again after this long: restarts of the gateway refuse good ones.
TRY_AGAIN = timedelta(minutes=15)


def _sent_again(response: Response) -> PreparedRequest:
    """Return the request of an answer that was refused, undressed, its connection free again."""
    response.raw.read(LARGEST_BODY_BYTES)
    response.close()
    request: PreparedRequest = response.request.copy()
    for header in ("Authorization", "Cookie"):
        request.headers.pop(header, None)
    request.hooks = default_hooks()  # The copy shares them with the request that is being answered.
    return request


def _with_token(token: Token | None, request: PreparedRequest) -> PreparedRequest:
    assert token is not None  # noqa: S101 - TokenAuth.open has set it
    request.headers["Authorization"] = f"Bearer {token.text}"
    return request


class TokenAuth(AuthBase):
    """Asks with a token's session cookie, or the token itself.

    What is refused is asked once more after the gateway has checked the token again: the session may be over, or the
    gateway was restarted.
    """

    #: It dresses each request alike, until one is refused.
    is_steady = True

    def __init__(self, settings: GatewaySettings, tokens: Tokens, http: Http, clock: Clock) -> None:
        self.settings = settings
        self.tokens = tokens
        self.http = http
        self.clock = clock
        self.lockout: AuthenticationError | None = None  #: why nothing but /info is asked
        self._serial = ""
        self._deadline = Deadline(0)  # of the document that is being asked for
        self._token: Token | None = None
        self._used_at: datetime | None = None  # when the session was known to hold
        self._refused: dict[Token, datetime] = {}
        self._renewal_alarm = ""
        self._renew_at = clock()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Dress a request; ``open`` comes first."""
        if "Cookie" not in request.headers:
            _with_token(self._token, request)
        request.hooks["response"].append(self._ask_again)
        return request

    def _ask_again(self, response: Response, **options: Any) -> Response:
        if response.status_code in REFUSED:
            request = _sent_again(response)
            self.end_session()
            self.open(self._serial, self._deadline)
            request.prepare_cookies(self.http.cookies)
            _with_token(self._token, request)
            response = response.connection.send(request, **options)
        self._used_at = self.clock()
        return response

    def was_taken(self) -> None:
        """Note that a request was answered, which its hook may not have seen: the session holds."""
        self._used_at = self.clock()

    def end_session(self) -> None:
        """Have the token checked before anything else is asked."""
        self._used_at = None

    def open(self, serial: str, deadline: Deadline) -> None:
        """Have a token that the gateway takes.

        Raises:
            AuthenticationError: there are no credentials; ``lockout`` keeps the reason.
            GatewayUnreachableError: the gateway does not answer.
        """
        self._serial, self._deadline = serial, deadline
        self._refuse_plain_http()
        now = self.clock()
        holds = self._used_at is not None and now - self._used_at < SESSION_S
        if self._token is not None and holds and (now < self._renew_at or not self._token.is_due(now)):
            return
        try:
            self._token = self._accepted(now)
        except AuthenticationError as error:
            self._token, self.lockout = None, error
            raise
        self._used_at, self.lockout = now, None
        self._refused.clear()

    def _accepted(self, now: datetime) -> Token:
        token = self.tokens.usable(self._serial)
        refused_at = self._refused.get(token)
        if refused_at is not None and now - refused_at < TRY_AGAIN:
            is_taken = False
        elif not (is_taken := self._is_taken(token)):
            self._refused[token] = now
        if not is_taken and token is not self.tokens.fresh and self.tokens.has_account and not self.settings.token:
            token = self.tokens.fetch(self._serial)
            is_taken = self._is_taken(token)
        if token is self.tokens.fresh:
            token, is_taken = (self._kept(token), True) if is_taken else self._old_one(token, now)
        self._report_renewal(now)
        if is_taken:
            return token
        raise self.refusal()

    def _kept(self, token: Token) -> Token:
        """Keep a new token that was taken; where it can't be, it serves until this process ends."""
        self.tokens.account.note(self._serial, is_taken=True)
        try:
            self.tokens.keep(token)
        except SettingsError as error:
            self.tokens.renewal_error = AuthenticationError(str(error))
        log.info("gateway=%s got a new token until %s", self.settings.name, token.expires_at)
        return token

    def _old_one(self, refused: Token, now: datetime) -> tuple[Token, bool]:
        """Return the token that was to be renewed and whether it still serves, where the new one is refused."""
        self.tokens.account.note(self._serial, is_taken=False)
        self.tokens.fresh, old = None, self.tokens.stored()
        self.tokens.renewal_error = TokenError(f"Gateway {self.settings.name!r} refuses the token that Enlighten gave.")
        if old is None or old.is_over(now) or old in {refused, *self._refused} or old.serial != self._serial:
            return refused, False
        return old, self._is_taken(old)

    def _report_renewal(self, now: datetime) -> None:
        """Log why a token was not renewed, once for each reason."""
        reason = str(self.tokens.renewal_error or "")
        if reason not in {"", self._renewal_alarm}:
            log.warning("gateway=%s token not renewed: %s", self.settings.name, reason)
        self._renewal_alarm, self._renew_at = reason, now + TRY_AGAIN

    def refusal(self) -> TokenError:
        """Return the error of a token that this gateway does not take."""
        return TokenError(
            f"Gateway {self.settings.name!r} refuses the token; get a new one at "
            f"{ENTREZ_URL} and run: envoylog token set {self.settings.name}"
        )

    def takes(self, token: Token, deadline: Deadline) -> bool:
        """Return whether the gateway takes a token that is not kept yet; it is never sent over plain HTTP."""
        self._deadline = deadline
        self._refuse_plain_http()
        return self._is_taken(token)

    def _refuse_plain_http(self) -> None:
        if not self.http.is_secure:
            raise TokenError(
                f"Gateway {self.settings.name!r} needs a token, which is never sent over plain "
                f'HTTP; write host = "https://…" in the configuration.'
            )

    def _is_taken(self, token: Token) -> bool:
        """Ask the gateway whether it takes a token; on success it hands out a session cookie."""
        self.http.cookies.clear()
        answer = self.http.get(CHECK_JWT, self._deadline, partial(_with_token, token))
        if answer.status not in {200, 404, *REFUSED}:
            raise NotReadyError(f"{CHECK_JWT}: status {answer.status}: not ready.")
        return answer.status not in REFUSED


class LocalUsers(AuthBase):
    """Asks as nobody first, then as the user that worked last, then as the others."""

    def __init__(self, settings: GatewaySettings, serial: str) -> None:
        self.settings = settings
        self.refusal: AuthenticationError | None = None  #: of the configured user
        self._serial = serial

    @cached_property
    def _users(self) -> list[HTTPDigestAuth]:
        users = {"envoy": self._serial[-6:], "installer": installer_password(self._serial)}
        if self.settings.username and (password := self.settings.read_password()):
            users = {self.settings.username: password}
        return [HTTPDigestAuth(*user) for user in users.items()]

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave the request alone; its answer may ask for a user."""
        request.hooks["response"].append(self._ask_again)
        return request

    def _ask_again(self, response: Response, **options: Any) -> Response:
        if response.status_code not in REFUSED:
            return response
        for index, user in enumerate(self._users):
            request = user(_sent_again(response))
            response = response.connection.send(request, **options)
            response = _challenged(user, response, options)
            if response.status_code not in REFUSED:
                self._users.insert(0, self._users.pop(index))
                self.refusal = None
                return response
        if self.settings.username:
            self.refusal = AuthenticationError(
                f"Gateway {self.settings.name!r} refuses the user {self.settings.username!r} or the password; check "
                "username and password_file, or remove both to use the built-in users."
            )
        return response


def _challenged(user: HTTPDigestAuth, response: Response, options: dict[str, Any]) -> Response:
    """Return what is answered to a user's proof; the refusal itself where it asks for none that can be given."""
    challenge: Callable[..., Response] = user.handle_401
    try:
        return challenge(response, **options)
    except (KeyError, TypeError, AttributeError, UnicodeError):  # What a proof is made of is missing, or no text.
        return response


#: digit -> the letter that its count is added to, the highest count, and counts left out
_LETTERS = {"0": ("f", 20, (3, 6, 9)), "1": ("@", 26, (9, 15))}


def installer_password(serial: str) -> str:
    """Return the password that the gateway derives from its serial number.

    The last eight hex digits of an MD5, reversed; each 0 becomes a letter from f on and each 1 a letter from @ on,
    counted down from how many of them the digest holds. Counts that would give an ambiguous letter are left out.
    Source: the gateway's own scheme.
    """
    text = f"[e]installer@enphaseenergy.com#{serial} EnPhAsE eNeRgY "
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    left, password = Counter(digest), ""
    for digit in reversed(digest[-8:]):
        # Both counts move at every digit: the gateway does so too.
        for kind, (_, most, ambiguous) in _LETTERS.items():
            left[kind] = max(0, min(most, left[kind] - (left[kind] in ambiguous)))
        password += chr(ord(_LETTERS[digit][0]) + left[digit]) if digit in _LETTERS else digit
        left[digit] -= 1
    return password
