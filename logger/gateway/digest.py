"""Local users of firmware below 7: who may ask, and with which derived password.

Source: the gateway's own scheme; the passwords follow from the serial number.
"""

import hashlib
from collections.abc import Iterator

from requests.auth import HTTPDigestAuth

from logger.settings import GatewaySettings

REALM = "enphaseenergy.com"


def users(settings: GatewaySettings, serial: str) -> Iterator[tuple[str, HTTPDigestAuth]]:
    """Return the users to try in order: the configured one alone, else the two built-in ones."""
    if settings.username and settings.password:
        yield settings.username, _digest(settings.username, settings.password)
        return
    yield "envoy", _digest("envoy", serial[-6:])
    yield "installer", _digest("installer", installer_password(serial))


def _digest(user: str, password: str) -> HTTPDigestAuth:
    return HTTPDigestAuth(user, password)


def installer_password(serial: str, user: str = "installer") -> str:
    """Return the password that the gateway derives from its serial number.

    The last eight hex digits of an MD5, reversed; each 0 becomes a letter from f on and each 1 a
    letter from @ on, counted down from how many of them the digest holds. Counts that would give
    an ambiguous letter are left out.
    """
    text = f"[e]{user}@{REALM}#{serial} EnPhAsE eNeRgY "
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    left = {digit: digest.count(digit) for digit in "01"}
    first, most, ambiguous = (
        {"0": "f", "1": "@"},
        {"0": 20, "1": 26},
        {"0": (3, 6, 9), "1": (9, 15)},
    )
    password = ""
    for digit in reversed(digest[-8:]):
        # Both counts move at every digit: the gateway does so too.
        for kind in "01":
            step = 1 if left[kind] in ambiguous[kind] else 0
            left[kind] = max(0, min(most[kind], left[kind] - step))
        if digit in first:
            password += chr(ord(first[digit]) + left[digit])
            left[digit] -= 1
        else:
            password += digit
    return password
