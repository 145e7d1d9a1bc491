"""``trio-chat-server passwd``: add, change and remove accounts, and hash their passwords.

The file is replaced as a whole, so a server that reads it meanwhile sees all of a change or
nothing of it. Lines that are not concerned stay as they are.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import FailureError, UsageError
from ..text import BLANKS, normal, trim
from . import removal
from .credentials import (
    BOM,
    HASH_PREFIX,
    HASHER,
    fault_of_entry,
    fault_of_user,
    parse_lines,
)


def set_password(path: Path, user: str, directories: Sequence[Path] = ()) -> str:
    """Ask for a password, and keep its hash; return what was done, for people.

    Args:
        path: of the credentials file.
        user: whose password it is.
        directories: the data of the servers that use the file; if mail for a new user lies there
            from an earlier account, that is told.

    Raises:
        UsageError: if the name, the password or the file is malformed.
        FailureError: if the file can't be read or written.
    """
    user = normal(user)
    fault = fault_of_user(user)
    if fault is not None:
        raise UsageError(fault)
    _File(path)  # before anybody types a password for nothing
    entry = HASHER.hash(_ask_password())
    file = _File(path)
    existed = user in file.entries
    file.entries[user] = entry
    file.write()
    done = f"{'Changed the password of' if existed else 'Added'} {user} in {path}."
    return done if existed else done + removal.tell_waiting(directories, user)


def remove(
    path: Path, user: str, directories: Sequence[Path] = (), *, keep_mail: bool = False
) -> str:
    """Remove an account; return what was done, for people.

    Args:
        path: of the credentials file.
        user: whose account it is.
        directories: the data of the servers that use the file, from which the user's mail,
            blocks and registered files are deleted.
        keep_mail: delete nothing there, and tell how much it is.

    Raises:
        UsageError: if there is no such account, or it is the last one.
        FailureError: if the file can't be read or written, or something could not be deleted.
    """
    file = _File(path)
    if file.entries.pop(normal(user), None) is None:
        raise UsageError(f"{path} has no user {user}")
    if not file.entries:
        raise UsageError(f"{user} is the last user in {path}, and a server needs one")
    file.write()
    done = f"Removed {user} from {path}."
    try:
        return f"{done}\n{removal.forget(directories, user, keep=keep_mail)}"
    except FailureError as error:
        raise FailureError(f"{done} {error}") from error


def hash_all(path: Path) -> str:
    """Replace every password that stands in the file as it is by its hash.

    Raises:
        UsageError: if a line is malformed, or there are no users.
        FailureError: if the file can't be read or written.
    """
    hashes: dict[tuple[str, str], str] = {}
    while True:
        file = _File(path)
        if not file.entries:
            raise UsageError(f"{path} has no users")
        plain = [item for item in file.entries.items() if not item[1].startswith(HASH_PREFIX)]
        if not plain:
            return f"All passwords in {path} are hashed already."
        new = [item for item in plain if item not in hashes]
        if not new:
            break
        # Of many that takes a while, in which somebody may change the file: it is read again.
        hashes.update({(user, entry): HASHER.hash(entry) for user, entry in new})
    file.entries.update({user: hashes[user, entry] for user, entry in plain})
    file.write()
    return f"Hashed {len(plain)} password{'s' if len(plain) > 1 else ''} in {path}."


def _ask_password() -> str:
    try:
        if not sys.stdin.isatty():
            password = sys.stdin.readline()
        else:
            password = getpass.getpass("New password: ")
            if getpass.getpass("Once more: ") != password:
                raise UsageError("the two passwords differ; nothing was changed")
        password.encode()
    except EOFError:
        raise UsageError("no password was given; nothing was changed") from None
    except UnicodeError:
        raise UsageError("the password is not valid UTF-8; nothing was changed") from None
    password = normal(trim(password))
    if not password or not set(BLANKS).isdisjoint(password):
        raise UsageError("a password has at least one character, and no blanks")
    fault = fault_of_entry(password)
    if fault is not None or password.startswith(HASH_PREFIX):
        raise UsageError(fault or f"a password does not begin with {HASH_PREFIX}")
    return password


class _File:
    """A credentials file while it is changed.

    Attributes:
        entries: user to password or hash; change them, then `write`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise FailureError(f"cannot read {path}: {error.strerror}") from error
        lines = list(parse_lines(data, str(path)))
        # As `parse_lines` does; `splitlines` would split at a lone CR too.
        self._raw_lines = [line + b"\n" for line in data.removeprefix(BOM).split(b"\n")]
        self._raw_lines[-1] = self._raw_lines[-1][:-1]
        self._start = BOM if data.startswith(BOM) else b""
        self._newline = b"\r\n" if b"\r\n" in data else b"\n"
        self._numbers = {user: number for number, user, _ in lines}
        self._before = {user: entry for _, user, entry in lines}
        self.entries = dict(self._before)

    def write(self) -> None:
        """Replace the file as a whole; lines that were not changed stay as they are."""
        lines = list(self._raw_lines)
        for user in self._before.keys() | self.entries.keys():
            entry = self.entries.get(user)
            if entry == self._before.get(user):
                continue
            line = b"" if entry is None else f"{user} {entry}".encode() + self._newline
            if user in self._numbers:
                lines[self._numbers[user] - 1] = line
            else:
                if lines[-1]:
                    lines[-1] += self._newline
                lines.append(line)
        try:
            self._replace(self._start + b"".join(lines))
        except OSError as error:
            raise FailureError(f"cannot write {self._path}: {error.strerror}") from error

    def _replace(self, data: bytes) -> None:
        path = self._path.resolve()  # a link stays one
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        temporary.unlink(missing_ok=True)
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "wb") as stream:
                if path.exists():
                    status = path.stat()
                    with suppress(PermissionError):  # only root gives files to others
                        os.fchown(file, status.st_uid, status.st_gid)
                    os.fchmod(file, status.st_mode & 0o777)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
