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
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
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
VALID_PAGE = "<!DOCTYPE html><h2>Valid token.</h2>"


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
    pem = serialization.Encoding.PEM
    text = certificate.public_bytes(pem) + key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.pem"
        path.write_bytes(text)
        context.load_cert_chain(path)
    return context


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Entrez:
    """Makes and checks tokens as Enphase's service does: ES256, a year for owners."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, serial: str, now: datetime, *, days: float = 365, user: str = "owner") -> str:
        """Return a signed token for a gateway."""
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
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def accepts(self, token: str, serial: str, now: datetime) -> bool:
        """Return whether a token is ours, for this gateway, and not over."""
        try:
            signed, _, signature = token.rpartition(".")
            raw = _decoded(signature)
            der = encode_dss_signature(
                int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
            )
            self._key.public_key().verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
            claims = json.loads(_decoded(signed.split(".")[1]))
        except (InvalidSignature, ValueError, IndexError):
            return False
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


class Sessions:
    """The cookies that a valid token buys; ten minutes since their last use."""

    def __init__(self) -> None:
        self._last_used: dict[str, float] = {}

    def open(self, now_s: float) -> str:
        """Return a new session id."""
        session = secrets.token_hex(16)
        self._last_used[session] = now_s
        return session

    def accepts(self, session: str | None, now_s: float) -> bool:
        """Return whether a session still lives, and let it live on."""
        if session is None or now_s - self._last_used.get(session, -SESSION_S) >= SESSION_S:
            return False
        self._last_used[session] = now_s
        return True

    def end_all(self) -> None:
        """Forget every session, as a restart does."""
        self._last_used.clear()


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

    def accepts(self, header: str, method: str) -> str | None:
        """Return the user whose answer is right, else None."""
        scheme, _, rest = header.partition(" ")
        if scheme.lower() != "digest":
            return None
        answer: dict[str, Any] = parse_keqv_list(parse_http_list(rest))
        user = str(answer.get("username"))
        if user not in self.users or answer.get("nonce") not in self._nonces:
            return None
        first = _md5(f"{user}:{REALM}:{self.users[user]}")
        second = _md5(f"{method}:{answer.get('uri')}")
        middle = (
            f"{answer.get('nonce')}:{answer.get('nc')}:{answer.get('cnonce')}:{answer.get('qop')}"
        )
        return user if _md5(f"{first}:{middle}:{second}") == answer.get("response") else None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
