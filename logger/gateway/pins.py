"""Whom to trust: the fingerprint of a gateway's self-signed certificate, kept as a file."""

import hashlib
import ssl
from functools import lru_cache
from pathlib import Path

from logger.errors import GatewayUnreachableError, SettingsError
from logger.gateway.connecting import connected, reason_of
from logger.settings import file_stem

CONNECT_S = 10.0


@lru_cache
def unverified_context() -> ssl.SSLContext:
    """Return the process's context for self-signed gateways: encrypts, trusts by pin only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT")  # The web server of older firmware knows no newer ones.
    return context


@lru_cache
def verified_context() -> ssl.SSLContext:
    """Return the process's context for gateways behind a certificate that the system trusts."""
    return ssl.create_default_context()


class Pins:
    """The fingerprint of a gateway's certificate, kept as a file."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.path = state_dir / "certificates" / f"{file_stem(name)}.sha256"

    def read(self) -> str | None:
        """Return the pinned fingerprint (64 hex digits), or None before the first use."""
        try:
            return self.path.read_text(encoding="ascii").split()[0]
        except (OSError, IndexError, UnicodeDecodeError):
            return None

    def write(self, fingerprint: str) -> None:
        """Pin a fingerprint.

        Raises:
            SettingsError: the state directory can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".new")
            temporary.write_text(fingerprint + "\n", encoding="ascii")
            temporary.replace(self.path)
        except OSError as error:
            raise SettingsError(
                f"The certificate can't be pinned in {self.path.parent} ({error.strerror}); "
                "make the directory writable or set state_dir."
            ) from error


def fingerprint_at(host: str, port: int, timeout_s: float = CONNECT_S) -> str:
    """Return the SHA-256 of the certificate that a server shows; sends no request.

    Raises:
        GatewayUnreachableError: no TLS server there.
    """
    try:
        with (
            connected(host, port, timeout_s) as plain,
            unverified_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
    except (OSError, UnicodeError) as error:
        raise GatewayUnreachableError(
            f"{host}:{port} offers no TLS ({reason_of(error)})."
        ) from error
    return hashlib.sha256(certificate or b"").hexdigest()
