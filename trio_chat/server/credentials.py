"""The accounts: ``user password`` lines of a text file (assignment, section 3.1).

A password stands there as it is, or as an argon2id hash, which `passwd` makes of it. Whoever
tries to log in must not learn from the time that it takes whether a name exists: so as soon
as one entry is hashed, every check computes one hash, whatever the name.

Names and passwords are compared composed (NFC). A hash may have been made of a password that was
not, which nobody can see: so a password that is not ASCII is tried in each of its forms.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import argon2

from .. import limits, text
from ..errors import UsageError
from ..text import BLANKS, has_controls, is_blank, normal, trim

HASH_PREFIX = "$argon2id$"

DEFAULT_NAME = "credentials.txt"

BOM = text.BOM.encode()
"""What some editors put at the beginning of a file."""

COMMENT = "#"
"""What a line begins with that is for people only."""

HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Makes new hashes: 19 MiB and two passes, on one core, as OWASP recommends."""


MEMORY_KIB_MAX = 1024 * 1024
ROUNDS_MAX = 1000
LANES_MAX = 64
"""What a hash may ask for; one that asks for more would keep a server busy for minutes."""

_HASH = re.compile(
    r"\$argon2id\$v=(?:16|19)\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})"
    r"\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)",
    re.ASCII,
)


class UnreadableError(UsageError):
    """The file can't be read now, whatever it holds."""


def _digest(password: str) -> bytes:
    return hashlib.sha256(normal(password).encode(errors="surrogatepass")).digest()


def _forms(password: str) -> Iterable[bytes]:
    """What a hash may have been made of, if this is the password."""
    forms = [normal(password), password, unicodedata.normalize("NFD", password)]
    return dict.fromkeys(form.encode(errors="surrogatepass") for form in forms)


class Credentials:
    """Who may log in, and with which password.

    Attributes:
        users: the names that have an account.
        is_slow: whether a check takes long, and so belongs in a thread.
        warning: what the operator should know of the file; empty if all is clear.
    """

    def __init__(self, entries: Mapping[str, str], warning: str = "") -> None:
        self.warning = warning
        self.users = frozenset(entries)
        self._hashes = {
            user: entry for user, entry in entries.items() if entry.startswith(HASH_PREFIX)
        }
        # Digests are all of one length, so that comparing takes the same time for all.
        self._digests = {
            user: _digest(entry) for user, entry in entries.items() if user not in self._hashes
        }
        self._nobody = secrets.token_bytes(hashlib.sha256().digest_size)
        self.is_slow = bool(self._hashes)
        if self.is_slow:
            # It costs as much as theirs do, if they were all made in the same way. Nothing
            # has this hash, so it need not be computed.
            start, salt, digest = next(iter(self._hashes.values())).rsplit("$", 2)
            salt, digest = (_encoded(secrets.token_bytes(len(_decoded(s)))) for s in (salt, digest))
            self._nobodys_hash = f"{start}${salt}${digest}"

    def changed_since(self, earlier: Credentials) -> frozenset[str]:
        """Whose entry is not what it was, of those who had one; also if it was only hashed."""
        return frozenset(
            user
            for user in self.users & earlier.users
            if self._hashes.get(user) != earlier._hashes.get(user)
            or self._digests.get(user) != earlier._digests.get(user)
        )

    def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password; as slow for users that don't exist."""
        digest = self._digests.get(user, self._nobody)
        is_plain_right = hmac.compare_digest(digest, _digest(password))
        if not self.is_slow:
            return is_plain_right
        for form in _forms(password):
            try:
                HASHER.verify(self._hashes.get(user, self._nobodys_hash), form)
            except argon2.exceptions.VerificationError:  # a mismatch, or not enough memory
                continue
            return user in self._hashes
        return is_plain_right


def parse_lines(data: bytes, name: str) -> Iterator[tuple[int, str, str]]:
    """Read the lines of a credentials file: number of the line, user and entry of each.

    User and password are parted by blanks and are case-sensitive. Empty lines, comments, CRLF and
    blanks around don't matter.

    Args:
        data: the file's content, in UTF-8.
        name: what to call the file in errors.

    Raises:
        UsageError: names the line at fault.
    """
    users: set[str] = set()
    for number, raw_line in enumerate(data.removeprefix(BOM).split(b"\n"), 1):
        where = f"{name}, line {number}"
        try:
            line = trim(normal(raw_line.decode()))
        except UnicodeDecodeError:
            raise UsageError(f"{where}: not valid UTF-8") from None
        if "\0" in line:
            raise UsageError(f"{where}: a NUL character; save the file as text in UTF-8")
        if not line or line.startswith(COMMENT):
            continue
        words = re.split(f"[{BLANKS}]+", line)
        if len(words) != 2:
            # Not quoted: it is likely to hold a password.
            raise UsageError(f"{where}: expected a user name, a blank and a password")
        user, entry = words
        fault = fault_of_user(user) or fault_of_entry(entry)
        if fault is not None:
            raise UsageError(f"{where}: {fault}")
        if user in users:
            raise UsageError(f"{where}: user {user} stands in an earlier line too")
        users.add(user)
        yield number, user, entry


def fault_of_user(user: str) -> str | None:
    """What is wrong with a user name, if anything is."""
    if is_blank(user) or has_controls(user) or not set(BLANKS).isdisjoint(user):
        return "a user name has no blanks or control characters"
    if user.startswith(COMMENT):
        return f"a user name does not begin with {COMMENT}, as comments do"
    if len(user.encode()) > limits.NAME_BYTES_MAX:
        return f"a user name can have {limits.NAME_BYTES_MAX} bytes"
    return None


def fault_of_entry(entry: str) -> str | None:
    """What is wrong with a password, or with the hash of one, if anything is."""
    if "\0" in entry:
        return "a password has no NUL characters"
    if len(entry.encode()) > limits.PASSWORD_BYTES_MAX:
        return f"a password can have {limits.PASSWORD_BYTES_MAX} bytes"
    if entry.startswith(HASH_PREFIX) and not _is_usable_hash(entry):
        return "not a valid argon2id hash"
    return None


def _is_usable_hash(entry: str) -> bool:
    """Whether `argon2` can check passwords with it; trying that would take a hash."""
    found = _HASH.fullmatch(entry)
    if found is None:
        return False
    memory, rounds, lanes = map(int, found.groups()[:3])
    salt, digest = map(_decoded, found.groups()[3:])
    return (
        8 * lanes <= memory <= MEMORY_KIB_MAX
        and 1 <= rounds <= ROUNDS_MAX
        and 1 <= lanes <= LANES_MAX
        and len(salt) >= 8
        and len(digest) >= 4
    )


def _encoded(data: bytes) -> str:
    """Base64 without padding."""
    return base64.b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """The bytes of base64 without padding; none if bits are left over."""
    if len(text) % 4 == 1:
        return b""
    data = base64.b64decode(text + "=" * (-len(text) % 4))
    return data if _encoded(data) == text else b""


def parse_credentials(data: bytes, name: str) -> Credentials:
    """Read a credentials file's content; see `parse_lines`.

    Raises:
        UsageError: names the line at fault.
    """
    entries = {user: entry for _, user, entry in parse_lines(data, name)}
    if not entries:
        raise UsageError(f"{name} has no users; add a line: a user name, a blank and a password")
    return Credentials(entries, _warning(data, name))


def _warning(data: bytes, name: str) -> str:
    """What to tell of a comment that earlier versions of this program took for an account."""
    for number, line in enumerate(data.removeprefix(BOM).split(b"\n"), 1):
        if re.fullmatch(rb"[ \t]*#\S+[ \t]+\S+\s*", line):
            return (
                f"{name}, line {number} begins with # and is a comment, no account; with a blank"
                " after the # this is not said"
            )
    return ""


def read_file(path: Path) -> bytes:
    """The bytes of a credentials file.

    Raises:
        UnreadableError: if it can't be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        option = "" if str(path) == DEFAULT_NAME else f" --credentials {shlex.quote(str(path))}"
        raise UnreadableError(
            f"there is no credentials file {path}; this makes one with a first user:"
            f" trio-chat-server passwd USER{option}"
        ) from error
    except OSError as error:
        raise UnreadableError(
            f"cannot read the credentials file {path}: {error.strerror}"
        ) from error


def read_credentials(path: Path) -> Credentials:
    """Read a credentials file.

    Raises:
        UsageError: if it can't be read, or a line is malformed.
    """
    return parse_credentials(read_file(path), str(path))
