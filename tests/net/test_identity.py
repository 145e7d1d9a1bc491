"""Keys and certificates: made once, kept private, and refused in one clear line."""

from __future__ import annotations

import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trio_chat.net import identity
from trio_chat.net.identity import Identity, IdentityError, fingerprint, load_or_make
from trio_chat.net.tls import server_context

from .certificates import Authority, pem_of_key


def test_it_is_made_once(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "new" / "data", "server")
    again = load_or_make(tmp_path / "new" / "data", "server")
    assert again.fingerprint == made.fingerprint
    assert made.fingerprint.startswith("SHA256:")
    assert load_or_make(tmp_path / "other", "server").fingerprint != made.fingerprint
    server_context(again)


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    load_or_make(tmp_path / "data", "server")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    files = sorted((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["certificate.pem", "key.pem"]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


def test_a_start_that_was_cut_off_between_both_files_is_made_good(tmp_path: Path) -> None:
    load_or_make(tmp_path, "server")
    (tmp_path / "certificate.pem").unlink()
    server_context(load_or_make(tmp_path, "server"))


def test_two_that_start_at_once_get_the_same_and_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Future[Identity]] = []
    generate = Ed25519PrivateKey.generate

    def generate_late() -> Ed25519PrivateKey:
        """The other one starts now, and is done first unless it has to wait."""
        if not others:
            others.append(executor.submit(load_or_make, tmp_path, "other"))
            with suppress(TimeoutError):
                others[0].result(0.2)
        return generate()

    monkeypatch.setattr(identity, "Ed25519PrivateKey", SimpleNamespace(generate=generate_late))
    with ThreadPoolExecutor() as executor:
        made = load_or_make(tmp_path, "one")
        assert others[0].result().fingerprint == made.fingerprint
    server_context(made)


def test_a_key_without_a_certificate_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("x" * 10_000)
    (tmp_path / "key.pem").chmod(0o644)
    server_context(load_or_make(tmp_path, "server"))
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_name_may_be_long(tmp_path: Path) -> None:
    load_or_make(tmp_path, "x" * 1000)


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError) as caught:
        load_or_make(tmp_path / "file" / "data", "server")
    assert str(caught.value) == f"cannot write to {tmp_path / 'file' / 'data'}: Not a directory"


def test_a_directory_that_cannot_be_looked_into_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exists(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", exists)
    with pytest.raises(IdentityError, match=r"^cannot write to .*: Permission denied$"):
        load_or_make(tmp_path, "server")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no certificate",
        b"\xff\xfe\x00",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA",
    ],
)
def test_what_is_no_certificate_is_an_error(tmp_path: Path, data: bytes) -> None:
    load_or_make(tmp_path, "server")
    (tmp_path / "certificate.pem").write_bytes(data)
    with pytest.raises(IdentityError) as caught:
        load_or_make(tmp_path, "server")
    assert str(caught.value) == f"{tmp_path / 'certificate.pem'} holds no certificate"


def test_a_certificate_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IdentityError) as caught:
        Identity(tmp_path / "cert", tmp_path / "key")
    assert str(caught.value) == f"cannot read {tmp_path / 'cert'}: No such file or directory"


@pytest.mark.parametrize(
    "key",
    [
        b"no key",
        pem_of_key(Ed25519PrivateKey.generate()),
        pem_of_key(Ed25519PrivateKey.generate(), b"password"),
    ],
)
def test_a_key_that_does_not_fit_is_an_error(tmp_path: Path, key: bytes) -> None:
    identity = load_or_make(tmp_path, "server")
    identity.key_path.write_bytes(key)
    with pytest.raises(IdentityError) as caught:
        server_context(identity)
    assert str(caught.value) == (
        f"cannot use {tmp_path / 'key.pem'}: it is not the private key, unencrypted,"
        f" of {tmp_path / 'certificate.pem'}"
    )


def test_a_key_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    identity = load_or_make(tmp_path, "server")
    identity.key_path.unlink()
    with pytest.raises(IdentityError) as caught:
        server_context(identity)
    assert str(caught.value) == f"cannot read {tmp_path / 'key.pem'}: No such file or directory"


def test_of_a_chain_the_first_certificate_counts(tmp_path: Path) -> None:
    identity = Authority(tmp_path / "authority").issue("chat.example")
    first, end, _ = identity.certificate_path.read_text().partition("-----END CERTIFICATE-----\n")
    assert identity.fingerprint == fingerprint(ssl.PEM_cert_to_DER_cert(first + end))
    server_context(identity)
