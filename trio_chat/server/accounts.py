"""The accounts of the moment: the credentials file, read again whenever it changes.

An operator adds a user, or changes a password, while people chat. A file that can't be used at that
moment changes nothing, and the operator is told, once; one that can't be read is tried again until
it can. A file may be met while it is being written: so a change counts only when the file has been
the same at two looks. Who asks for it has it at once, unless the last line has no end yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import trio

from .. import limits
from ..core.commands import UsersChanged
from ..errors import UsageError
from .connection import Submit
from .credentials import Credentials, UnreadableError, parse_credentials, read_file
from .log import Log, note

_Version = tuple[int, int, int]

_UNREAD: _Version = (-1, -1, -1)
"""The version of a file that has still to be read; no file has it."""


class Accounts:
    """The credentials that hold now.

    Attributes:
        credentials: replaced as a whole when the file changes.

    Args:
        credentials: those of the start.
        path: the file that they come from; none if they never change.
        version: of the file, from before it was read; see `_version_of`.
    """

    def __init__(
        self, credentials: Credentials, path: Path | None = None, version: _Version | None = None
    ) -> None:
        self.credentials = credentials
        self._path = path
        self._version = version  # what was read last, whether it could be used or not
        self._failure = ""
        self._reload_asked = trio.Event()

    def reload(self) -> None:
        """Read the file now, whether it seems changed or not."""
        self._reload_asked.set()

    async def watch(self, submit: Submit, alarm: Log, log: Log | None) -> None:
        """Look at the file again and again until cancelled.

        Args:
            submit: takes the users that it holds, when they have changed.
            alarm: takes what is wrong with it, once, and that it is well again.
            log: takes each reading that changed nothing for the operator, if it is wanted.
        """
        _warn(self.credentials, alarm)
        seen = self._version
        while self._path is not None:
            with trio.move_on_after(limits.CREDENTIALS_LOOK_SECONDS):
                await self._reload_asked.wait()
            is_asked = self._reload_asked.is_set()
            if is_asked:
                self._reload_asked = trio.Event()
                self._version = _UNREAD
            before, seen = seen, _version_of(self._path)
            is_at_rest = seen == before
            if seen == self._version or not (is_at_rest or is_asked):
                continue
            try:
                # In a thread: hashing for `Credentials` takes a moment, and a disk may be slow.
                credentials = await trio.to_thread.run_sync(_read, self._path, seen, is_at_rest)
            except UsageError as error:
                self._version = _UNREAD if isinstance(error, UnreadableError) else seen
                if is_asked or str(error) != self._failure:
                    self._failure = str(error)
                    text = f"the accounts stay as they are: {error}"
                    alarm(note("accounts_kept", text, reason=str(error)))
                continue
            if credentials is not None:
                self._version = seen
                tell = alarm if self._failure else log
                self._failure = ""
                await self._take(credentials, submit, tell, alarm)

    async def _take(
        self, credentials: Credentials, submit: Submit, tell: Log | None, alarm: Log
    ) -> None:
        before, self.credentials = self.credentials, credentials
        if tell is not None:
            count = len(credentials.users)
            tell(note("accounts_read", f"read {count} accounts from {self._path}", accounts=count))
        if credentials.warning != before.warning:
            _warn(credentials, alarm)
        await submit(UsersChanged(credentials.users, credentials.changed_since(before)))


def open_accounts(path: Path, sleep: Callable[[float], None] = time.sleep) -> Accounts:
    """The accounts in a file; takes seconds if it is being written just now.

    Raises:
        UsageError: if it can't be read, or a line is malformed.
    """
    for _ in range(limits.CREDENTIALS_LOOKS_MAX):
        version = _version_of(path)  # first, so that a change meanwhile is noticed later
        data = read_file(path)
        if _is_whole(data) or _is_old(version):
            break
        sleep(limits.CREDENTIALS_LOOK_SECONDS)
        if version == _version_of(path):
            break
    return Accounts(parse_credentials(data, str(path)), path, version)


def _read(path: Path, version: _Version | None, is_at_rest: bool) -> Credentials | None:
    """The accounts in a file; none if it is being written, and has to be looked at again."""
    data = read_file(path)
    if version != _version_of(path) or not (is_at_rest or _is_whole(data)):
        return None
    return parse_credentials(data, str(path))


def _is_whole(data: bytes) -> bool:
    """Whether the last line has its end; otherwise a part of it may be missing."""
    return data.endswith(b"\n")


def _is_old(version: _Version | None) -> bool:
    """Whether nobody has written to the file lately, as far as the clock can tell."""
    if version is None:
        return False
    return time.time() - version[0] / 1e9 > 2 * limits.CREDENTIALS_LOOK_SECONDS


def _warn(credentials: Credentials, alarm: Log) -> None:
    if credentials.warning:
        alarm(note("accounts_unclear", credentials.warning))


def _version_of(path: Path) -> _Version | None:
    """What differs after every change of a file; none if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
