"""A token of firmware 7 and newer: found in what people paste, read, and checked.

It is a JWT made by Enphase's Entrez: three parts of base64url with dots between them. Its claims are read without
checking the signature (the gateway does that): ``aud`` the gateway's serial, ``exp`` and ``iat`` epoch seconds,
``enphaseUser`` owner (lasts a year) or installer (12 hours).
"""

import base64
import html
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from logger.clock import from_epoch_s, here
from logger.errors import TokenError, TokenExpiredError
from logger.gateway import parse

ENTREZ_URL = "https://entrez.enphaseenergy.com"
GET_ONE = f"get one at {ENTREZ_URL} and store it with: envoylog token set"
RENEW_BEFORE = {"owner": timedelta(days=30), "installer": timedelta(hours=1)}
#: A token that lasts no longer has to renew itself: nobody pastes one twice a day.
SHORT = timedelta(days=2)
#: algorithm -> characters of its signature; Enphase signs with ES256
SIGNATURES = {"ES256": 86, "ES384": 128, "ES512": 176, "HS256": 43, "HS384": 64, "HS512": 86, "RS256": 342}
#: What ended before has ended, however long before.
EARLIEST_S = 86_400 * 366
#: No page that holds a token is longer.
LONGEST_TEXT = 100_000
#: what programs for letters put in the place of a hyphen
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2212"), "-")
#: what they put in the place of two hyphens, or of one: each is tried
_DASH = re.compile("[\u2013\u2014]")
_DASHES = ("--", "-", "---"), ("--", "-")
#: Marks of quotation before a line, and of a line that goes on, of mail programs and shells.
_QUOTED = re.compile(r"^[ \t]*(?:>[ \t]*)+", re.MULTILINE)
_GOES_ON = re.compile(r"(?:=|\\)[ \t]*\r?\n")
#: Characters of which one may be none: a text without any is plain.
_TRICKY = re.compile(r"[^\n -~]")
_TAG = re.compile(r"<[^<>]*>")
_ESCAPED = re.compile(r"\\(?:[nrt]|u00(?:0a|0d|09|20))", re.IGNORECASE)
#: Three parts, each of which may have been wrapped into lines; of bounded length, or odd texts take minutes.
_JWT = re.compile(r"([eE]yJ[\w\s-]{0,1000})\.([\w\s=-]{0,6000})\.([\w\s-]{0,2000})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its claims."""

    text: str = field(repr=False)
    serial: str | None  #: claim aud; None for a gateway that was not commissioned yet
    user: str  #: claim enphaseUser: owner | installer
    expires_at: datetime | None  #: claim exp
    issued_at: datetime | None = None  #: claim iat

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Return the token that a text holds; the TokenError about another text does not repeat it."""
        refusal: TokenError | None = None
        for candidate in _candidates(text):
            try:
                return cls._of(*candidate)
            except TokenError as error:
                refusal = refusal or error
        raise refusal or TokenError(
            f"The token can't be read: the text holds none (it begins with eyJ and has two dots in it); {GET_ONE}"
        )

    @classmethod
    def _of(cls, head: str, payload: str, rest: str) -> "Token":
        """Return the token of three parts, of which the last may be followed by other words."""
        try:
            claims, algorithm = _decoded(payload), _decoded(head).get("alg")
            serial, expires_s, issued_s = (claims.get(key) for key in ("aud", "exp", "iat"))
            expires_at, issued_at = (
                None if at is None else from_epoch_s(max(float(at), EARLIEST_S)) for at in (expires_s, issued_s)
            )
        except (ValueError, AttributeError, OverflowError, TypeError, RecursionError) as error:
            raise TokenError(f"The token can't be read (cut when it was copied?); {GET_ONE}") from error
        if (plain := parse.text(serial)) is None:
            raise TokenError(f"The token can't be read: it is for no gateway but for something else; {GET_ONE}")
        return cls(
            text=f"{head}.{payload}.{_signature(rest, SIGNATURES.get(str(algorithm)))}",
            serial=None if plain == "un-commissioned" else plain,
            user=parse.text(claims.get("enphaseUser")) or "owner",
            expires_at=expires_at,
            issued_at=issued_at,
        )

    @property
    def is_short(self) -> bool:
        """Whether it lasts for hours: an installer's."""
        if self.expires_at is None or self.issued_at is None:
            return self.user == "installer"
        return self.expires_at - self.issued_at < SHORT

    def check(self, serial: str, now: datetime) -> None:
        """Raise TokenError where it is another gateway's, TokenExpiredError where it is over."""
        if self.serial is not None and self.serial != serial:
            raise TokenError(
                f"The token belongs to gateway {self.serial}, but {serial} answers; get one for "
                f"{serial} at {ENTREZ_URL} and run: envoylog token set"
            )
        if self.expires_at is not None and self.expires_at <= now:
            raise TokenExpiredError(
                f"The token expired on {here(self.expires_at):%Y-%m-%d at %H:%M}; get a new one at "
                f"{ENTREZ_URL} and run: envoylog token set"
            )

    def is_over(self, now: datetime) -> bool:
        """Return whether its time has passed."""
        return self.expires_at is not None and self.expires_at <= now

    def is_due(self, now: datetime) -> bool:
        """Return whether it should be renewed."""
        before = RENEW_BEFORE["installer" if self.is_short else "owner"]
        return self.expires_at is not None and now >= self.expires_at - before


def _decoded(part: str) -> Any:
    part = part.rstrip("=")
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _candidates(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield whatever in a text has the form of a token: head and payload, and what follows the second dot."""
    for plain in _texts(text[:LONGEST_TEXT]):
        for match in _JWT.finditer(plain):
            head, payload = ("".join(match[part].split()) for part in (1, 2))
            yield f"e{head[1:]}", payload, match[3]  # A telephone begins a sentence with a capital.


def _texts(text: str) -> Iterator[str]:
    """Yield the texts to look at: those that a JSON page holds, the one called token first, or the text itself."""
    for long, short in itertools.product(*_DASHES) if _DASH.search(text) else [("-", "-")]:
        yield from _of_text(text.translate(_HYPHENS).replace("\u2014", long).replace("\u2013", short))


def _of_text(text: str) -> Iterator[str]:
    if _TRICKY.search(text):
        text = "".join(map(_plain, text))
    found: list[str] = []
    try:
        page = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        values = sorted(page.items(), key=lambda item: item[0] != "token") if isinstance(page, dict) else [("", page)]
        found = [value for _, value in values if isinstance(value, str)]
    for each in found or [text]:
        bare = _TAG.sub("", html.unescape(each))
        yield _ESCAPED.sub("\n", _GOES_ON.sub("", _QUOTED.sub("", bare)))


def _plain(char: str) -> str:
    """Return a character without its kind's tricks: spaces of every kind are one, what shows nothing goes."""
    kind = unicodedata.category(char)
    if char in "\t\r\n" or kind[0] == "Z":
        return "\n" if char in "\r\n" else " "
    return "" if kind in {"Cf", "Cc"} else char


def _signature(rest: str, length: int | None) -> str:
    """Return the signature at the begin of a text that may have been wrapped, and may go on with other words.

    TokenError: it is shorter or longer than its algorithm makes it.
    """
    if length is None:
        return next(iter(rest.split()), "")
    end = next((end for end, kept in _ends(rest) if kept == length), None)
    if end is None:
        missing = length - len("".join(rest.split()))
        raise TokenError(f"The token can't be read: its end was cut off, {missing} characters are missing; {GET_ONE}")
    if rest[end:] and not rest[end].isspace():
        raise TokenError(f"The token can't be read: something follows it without a space; {GET_ONE}")
    return "".join(rest[:end].split())


def _ends(text: str) -> Iterator[tuple[int, int]]:
    """Yield after each character its end, and how many there are so far without white space."""
    kept = 0
    for end, char in enumerate(text, start=1):
        kept += not char.isspace()
        yield end, kept
