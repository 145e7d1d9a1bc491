"""Who a server or a client is to the other end: a key, and a certificate that it signed itself.

Nobody vouches for such a certificate. What counts is its fingerprint: whoever has seen it once,
or got it over a connection that they trust, knows the other end again, as with ssh.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from ..errors import FailureError
from ..private_files import close_to_others, make_private_directory, open_private

VALID_DAYS = 20 * 365
"""Nobody could renew it without everybody's noticing, so it must outlive its machine."""


class IdentityError(FailureError):
    """The key and certificate can't be made, read or used."""


def fingerprint(certificate: bytes) -> str:
    """The fingerprint of a certificate (DER), in the form that ssh uses for its keys."""
    digest = hashlib.sha256(certificate).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class Identity:
    """A key and its certificate, in two files.

    Attributes:
        certificate_path: the certificate, or a chain that begins with it (PEM).
        key_path: its private key (PEM).
        certificate: the certificate (DER).
    """

    def __init__(self, certificate_path: Path, key_path: Path) -> None:
        self.certificate_path = certificate_path
        self.key_path = key_path
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        except OSError as error:
            raise IdentityError(f"cannot read {certificate_path}: {error.strerror}") from error
        except ValueError as error:
            raise IdentityError(f"{certificate_path} holds no certificate") from error
        self.certificate = certificate.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """By which others know it."""
        return fingerprint(self.certificate)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context present this identity.

        Raises:
            IdentityError: if the two files don't fit each other.
        """
        try:
            # With an empty password, as OpenSSL would ask for one of an encrypted key.
            context.load_cert_chain(self.certificate_path, self.key_path, b"")
        except ssl.SSLError as error:
            raise IdentityError(
                f"cannot use {self.key_path}: it is not the private key, unencrypted,"
                f" of {self.certificate_path}"
            ) from error
        except OSError as error:
            raise IdentityError(f"cannot read {self.key_path}: {error.strerror}") from error


def load_or_make(directory: Path, name: str) -> Identity:
    """The identity that is kept in a directory, made at its first use.

    Args:
        directory: only its owner should read it; made if there is none.
        name: what its certificate calls it; nobody relies on that.

    Raises:
        IdentityError: if it can't be read or made.
    """
    certificate_path, key_path = directory / "certificate.pem", directory / "key.pem"
    try:
        if not certificate_path.exists():
            make_private_directory(directory)
            _make(certificate_path, key_path, name)
        close_to_others([key_path])
    except OSError as error:
        raise IdentityError(f"cannot write to {directory}: {error.strerror}") from error
    return Identity(certificate_path, key_path)


def _make(certificate_path: Path, key_path: Path, name: str) -> None:
    file = open_private(key_path, os.O_WRONLY)
    with os.fdopen(file, "wb") as key_stream:
        # Of several processes one makes both; the others wait here, and then have them.
        fcntl.flock(file, fcntl.LOCK_EX)
        if certificate_path.exists():
            return
        key = Ed25519PrivateKey.generate()
        os.ftruncate(file, 0)
        _write(
            key_stream,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        # The certificate comes last: while there is none, both are made again.
        temporary = certificate_path.with_suffix(".new")
        file = open_private(temporary, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(file, "wb") as stream:
            _write(stream, _certificate(key, name).public_bytes(serialization.Encoding.PEM))
        temporary.replace(certificate_path)


def _certificate(key: Ed25519PrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())
