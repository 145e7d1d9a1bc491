"""The accounts of the moment: the credentials file, read again whenever it changes.

An operator adds a user, or changes a password, while people chat. A file that is malformed
at that moment changes nothing; the debug log says why.
"""

from __future__ import annotations

from pathlib import Path

import trio

from .. import limits
from ..core.commands import UsersChanged
from ..errors import UsageError
from .connection import Submit
from .credentials import Credentials, read_credentials
from .log import Log, note

_Version = tuple[int, int, int]


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
        self._version = version
        self._reload_asked = trio.Event()

    def reload(self) -> None:
        """Read the file now, whether it seems changed or not."""
        self._reload_asked.set()

    async def watch(self, submit: Submit, log: Log | None) -> None:
        """Look at the file again and again until cancelled; submit the users it holds."""
        while self._path is not None:
            with trio.move_on_after(limits.CREDENTIALS_LOOK_SECONDS):
                await self._reload_asked.wait()
            version = _version_of(self._path)
            if version == self._version and not self._reload_asked.is_set():
                continue
            self._version, self._reload_asked = version, trio.Event()
            before = self.credentials
            try:
                # In a thread: hashing for `Credentials` takes a moment, and a disk may be slow.
                self.credentials = await trio.to_thread.run_sync(read_credentials, self._path)
            except UsageError as error:
                if log is not None:
                    text = f"the accounts stay as they are: {error}"
                    log(note("accounts_kept", text, reason=str(error)))
                continue
            if log is not None:
                text = f"read {len(self.credentials.users)} accounts from {self._path}"
                log(note("accounts_read", text, accounts=len(self.credentials.users)))
            changed = self.credentials.changed_since(before)
            await submit(UsersChanged(self.credentials.users, changed))


def open_accounts(path: Path) -> Accounts:
    """The accounts in a file.

    Raises:
        UsageError: if it can't be read, or a line is malformed.
    """
    version = _version_of(path)  # first, so that a change meanwhile is noticed later
    return Accounts(read_credentials(path), path, version)


def _version_of(path: Path) -> _Version | None:
    """What differs after every change of a file; none if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
