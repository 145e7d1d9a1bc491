"""The accounts: ``user password`` lines of a text file (assignment, section 3.1)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Set
from pathlib import Path

from .. import limits
from ..errors import UsageError


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()


class Credentials:
    """Who may log in, and with which password.

    Attributes:
        users: the names that have an account.
    """

    def __init__(self, passwords: Mapping[str, str]) -> None:
        # Digests are all of one length, so that comparing takes the same time for all.
        self._digests = {user: _digest(password) for user, password in passwords.items()}
        self._nobody = secrets.token_bytes(hashlib.sha256().digest_size)
        self.users: Set[str] = self._digests.keys()

    def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password; as slow for users that don't exist."""
        return hmac.compare_digest(self._digests.get(user, self._nobody), _digest(password))


def parse_credentials(data: bytes, name: str) -> Credentials:
    """Read the lines of a credentials file.

    User and password are parted by blanks and are case-sensitive. Empty lines and CRLF
    don't matter.

    Args:
        data: the file's content, in UTF-8.
        name: what to call the file in errors.

    Raises:
        UsageError: names the line at fault.
    """
    passwords: dict[str, str] = {}
    for number, raw_line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        where = f"{name}, line {number}"
        try:
            line = raw_line.decode().strip(" \t\r")
        except UnicodeDecodeError:
            raise UsageError(f"{where}: not valid UTF-8") from None
        if not line:
            continue
        words = re.split(r"[ \t]+", line)
        if len(words) != 2:
            # Not quoted: it is likely to hold a password.
            raise UsageError(f"{where}: expected a user name, a blank and a password")
        user, password = words
        if not user.isprintable():
            raise UsageError(f"{where}: the user name has a control character")
        if len(user.encode()) > limits.NAME_BYTES_MAX:
            raise UsageError(f"{where}: a user name can have {limits.NAME_BYTES_MAX} bytes")
        if len(password.encode()) > limits.PASSWORD_BYTES_MAX:
            raise UsageError(f"{where}: a password can have {limits.PASSWORD_BYTES_MAX} bytes")
        if user in passwords:
            raise UsageError(f"{where}: user {user} stands in an earlier line too")
        passwords[user] = password
    if not passwords:
        raise UsageError(f"{name} has no users; add a line: a user name, a blank and a password")
    return Credentials(passwords)


def read_credentials(path: Path) -> Credentials:
    """Read a credentials file.

    Raises:
        UsageError: if it can't be read, or a line is malformed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the credentials file {path}: {error.strerror}") from error
    return parse_credentials(data, str(path))
