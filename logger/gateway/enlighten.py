"""The two requests to Enphase's cloud that turn an account into a token.

``POST {enlighten}/login/login.json`` gives a session, ``POST {entrez}/tokens`` the token as text.
Nothing else ever leaves the local network.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from logger.errors import AuthenticationError, SettingsError

ENLIGHTEN_URL = "https://enlighten.enphaseenergy.com"
ENTREZ_URL = "https://entrez.enphaseenergy.com"
PASTE = (
    "get a token in the browser at https://entrez.enphaseenergy.com and store it with: "
    "envoylog token set"
)


class Enlighten:
    """Enphase's cloud, or a simulated one (``ENVOYLOG_ENLIGHTEN_URL``, ``ENVOYLOG_ENTREZ_URL``)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.enlighten_url = _base(environ, "ENVOYLOG_ENLIGHTEN_URL", ENLIGHTEN_URL)
        self.entrez_url = _base(environ, "ENVOYLOG_ENTREZ_URL", ENTREZ_URL)

    def token(self, username: str, password: str, serial: str) -> str:
        """Return a token's text for a gateway of this account.

        Raises:
            AuthenticationError: refused, multi-factor login, or the cloud can't be reached.
        """
        form = {"user[email]": username, "user[password]": password}
        login = self._post(f"{self.enlighten_url}/login/login.json?", data=form)
        if login.status_code in {400, 401, 403, 422}:
            raise AuthenticationError(
                f"Enlighten refused the user {username!r} or the password; check username and "
                f"password_file, or {PASTE}"
            )
        answer = _json_of(login)
        session = answer.get("session_id")
        if not session:
            raise AuthenticationError(
                f"Enlighten asks {username!r} for a second factor, which a logger can't "
                f"give; {PASTE}"
            )
        wish = {"session_id": session, "serial_num": serial, "username": username}
        tokens = self._post(f"{self.entrez_url}/tokens", json=wish)
        if tokens.status_code != 200:
            raise AuthenticationError(
                f"Enlighten gives {username!r} no token for gateway {serial} (status "
                f"{tokens.status_code}); is the gateway in this account? Or {PASTE}"
            )
        return str(tokens.text)

    @staticmethod
    def _post(url: str, **content: Any) -> requests.Response:
        try:
            return requests.post(url, timeout=(10, 30), allow_redirects=False, **content)
        except (requests.RequestException, OSError) as error:
            host = urlsplit(url).hostname
            raise AuthenticationError(
                f"Enphase's {host} can't be reached to get a token; check the internet "
                f"connection, or {PASTE}"
            ) from error


def _json_of(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code != 200 or not isinstance(answer, dict):
        raise AuthenticationError(
            f"Enlighten answers the login with status {response.status_code}; try again later, or "
            f"{PASTE}"
        )
    return answer


def _base(environ: Mapping[str, str], key: str, default: str) -> str:
    url = environ.get(key, default).rstrip("/")
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise SettingsError(f"{key} must be an https:// address: a password goes there.")
    return url
