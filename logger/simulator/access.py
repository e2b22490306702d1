"""Who may see a simulated gateway: certificates, signed tokens, sessions, digest, the cloud."""

import base64
import hashlib
import json
import secrets
import ssl
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SESSION_S = 600
ACCOUNT = ("me@example.org", "correct horse")
REALM = "enphaseenergy.com"
#: Pages that ask nobody who they are.
OPEN_PAGES = {"/info", "/info.xml", "/home", "/home.json"}
#: Pages that want a digest user below firmware 7.
DIGEST_PAGES = {"/api/v1/production/inverters"}
LOGIN_PAGE = (
    "<html><head><title>401 Authorization Required</title></head><body>"
    "<center><h1>401 Authorization Required</h1></center></body></html>"
)


def server_context(serial: str) -> ssl.SSLContext:
    """Return a TLS context with a new self-signed certificate, as a gateway makes its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    born = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(born)
        .not_valid_after(born + timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    text = certificate.public_bytes(pem) + key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.pem"
        path.write_bytes(text)
        context.load_cert_chain(path)
    return context


class Entrez:
    """Makes and checks tokens in the form of Enphase's service: ES256, a year for owners.

    Nobody but Enphase can check a signature: ours is 64 random bytes, and what counts is whether
    the token was issued here.
    """

    def __init__(self) -> None:
        self._issued: dict[str, dict[str, Any]] = {}  #: token -> its claims

    def token(self, serial: str, now: datetime, *, days: float = 365, user: str = "owner") -> str:
        """Return a token for a gateway."""
        head = {"kid": "simulated", "typ": "JWT", "alg": "ES256"}
        claims = {
            "aud": serial,
            "iss": "Entrez",
            "enphaseUser": user,
            "exp": int((now + timedelta(days=days)).timestamp()),
            "iat": int(now.timestamp()),
            "jti": secrets.token_hex(8),
            "username": ACCOUNT[0],
        }
        parts = json.dumps(head).encode(), json.dumps(claims).encode(), secrets.token_bytes(64)
        token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()
        self._issued[token] = claims
        return token

    def accepts(self, token: str, serial: str, now: datetime) -> bool:
        """Return whether a token is ours, for this gateway, and not over."""
        claims = self._issued.get(token, {"aud": None})
        return bool(claims["aud"] == serial and claims["exp"] > now.timestamp())

    def answer(self, path: str, body: str, now: datetime) -> tuple[int, str]:
        """Return the status and body of the cloud's two services: the login, and a token."""
        if urlsplit(path).path == "/login/login.json":
            form = {key: values[0] for key, values in parse_qs(body).items()}
            user, password = form.get("user[email]"), form.get("user[password]")
            if (user, password) == ACCOUNT:
                return 200, json.dumps({"session_id": "s1", "manager_token": "m1"})
            if user == "mfa@example.org":
                return 200, json.dumps({"message": "success", "requires_mfa": True})
            return 401, json.dumps({"message": "invalid"})
        if path != "/tokens":
            return 404, "not found"
        wish = json.loads(body)
        if wish.get("session_id") != "s1":
            return 403, "no"
        return 200, self.token(wish["serial_num"], now)


class Sessions(dict[str, float]):
    """The cookies that a valid token buys, and when each was last used: ten minutes since then."""

    def open(self, now_s: float) -> str:
        """Return a new session id."""
        session = secrets.token_hex(16)
        self[session] = now_s
        return session

    def accepts(self, session: str | None, now_s: float) -> bool:
        """Return whether a session still lives, and let it live on."""
        if session is None or now_s - self.get(session, -SESSION_S) >= SESSION_S:
            return False
        self[session] = now_s
        return True


class Digest:
    """RFC 2617 digest with MD5 and qop auth, as firmware below 7 asks for it."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = dict(users)
        self._nonces: set[str] = set()

    def challenge(self) -> str:
        """Return a new challenge header."""
        nonce = secrets.token_hex(8)
        self._nonces.add(nonce)
        return f'Digest qop="auth", realm="{REALM}", nonce="{nonce}"'

    def accepts(self, header: str, method: str) -> bool:
        """Return whether an Authorization header answers one of our challenges rightly."""
        scheme, _, rest = header.partition(" ")
        answer = parse_keqv_list(parse_http_list(rest)) if scheme.lower() == "digest" else {}
        user = answer.get("username", "")
        if user not in self.users or answer.get("nonce") not in self._nonces:
            return False
        secret = _md5(f"{user}:{REALM}:{self.users[user]}")
        sent = [str(answer.get(key)) for key in ("nonce", "nc", "cnonce", "qop")]
        right = _md5(":".join([secret, *sent, _md5(f"{method}:{answer.get('uri')}")]))
        return answer.get("response") == right


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
