"""Certificates for tests that an authority has signed, as real servers have them."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from trio_chat.net.identity import Identity


class Authority:
    """Signs certificates.

    Attributes:
        path: its own certificate (PEM).
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.path = directory / "authority.pem"
        self._directory = directory
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{directory.name} CA")])
        builder = _builder(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._pem = _sign(builder, self._key)
        self.path.write_bytes(self._pem)

    def issue(self, host: str) -> Identity:
        """A key, and a chain of certificates for a name or an address."""
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = _builder(subject, self._name, key).add_extension(
            x509.SubjectAlternativeName([_general_name(host)]), critical=False
        )
        certificate_path = self._directory / "certificate.pem"
        key_path = self._directory / "key.pem"
        certificate_path.write_bytes(_sign(builder, self._key) + self._pem)
        key_path.write_bytes(pem_of_key(key))
        return Identity(certificate_path, key_path)


def pem_of_key(key: Ed25519PrivateKey, password: bytes = b"") -> bytes:
    """A private key, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _sign(builder: x509.CertificateBuilder, key: Ed25519PrivateKey) -> bytes:
    return builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
