"""The catalogue: which files there are, and who of those online holds which chunks (section 3.5).

A name stands for one file: whoever registers other bytes under it is refused, so that the
chunks of two files never mix. What a file is outlives the server; who holds what is told by
each client anew whenever it logs in, so it is never older than the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import limits
from ..protocol.messages import File
from .commands import SessionId

_FORBIDDEN = frozenset("/\\")


class Catalogue:
    """Files by name, and the holdings of the sessions.

    Args:
        files: those that are on disk, each with the user who brought it.
    """

    def __init__(self, files: Iterable[tuple[str, File]]) -> None:
        self._files: dict[str, File] = {}
        self._users: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._holders: dict[str, dict[SessionId, tuple[int, ...]]] = {}
        self._held: dict[SessionId, set[str]] = {}
        self._unsafe: set[str] = set()
        for user, file in files:
            self.add(user, file)
        self._unsafe.clear()

    def __iter__(self) -> Iterator[tuple[str, File]]:
        for name, file in self._files.items():
            yield self._users[name], file

    def get(self, name: str) -> File | None:
        """The file of this name."""
        return self._files.get(name)

    def has_room_for(self, user: str) -> bool:
        """Whether a user may bring one more file."""
        return (
            len(self._files) < limits.FILES_MAX
            and self._counts.get(user, 0) < limits.FILES_USER_MAX
        )

    def add(self, user: str, file: File) -> None:
        """Add a file that a user has brought."""
        assert file.name not in self._files
        self._files[file.name] = file
        self._users[file.name] = user
        self._counts[user] = self._counts.get(user, 0) + 1
        self._unsafe.add(file.name)

    def is_safe(self, name: str) -> bool:
        """Whether a file is known to be on disk."""
        return name not in self._unsafe

    def settle(self, name: str) -> None:
        """Note that a file is on disk."""
        self._unsafe.discard(name)

    def remove(self, name: str) -> None:
        """Forget a file, and who holds it."""
        del self._files[name]
        self._unsafe.discard(name)
        user = self._users.pop(name)
        self._counts[user] -= 1
        if not self._counts[user]:
            del self._counts[user]
        for session in self._holders.pop(name, {}):
            self._held[session].discard(name)

    def hold(self, session: SessionId, name: str, chunks: Iterable[int], *, fetching: bool) -> None:
        """Note what a session's client can serve of a file; none of it is fine."""
        numbers = tuple(sorted(set(chunks)))
        if numbers or fetching:
            self._holders.setdefault(name, {})[session] = numbers
            self._held.setdefault(session, set()).add(name)
        elif session in self._holders.get(name, {}):
            self._drop(session, name)
            self._held[session].discard(name)

    def leave(self, session: SessionId) -> None:
        """A session has ended: it serves nothing any more."""
        for name in self._held.pop(session, ()):
            self._drop(session, name)

    def _drop(self, session: SessionId, name: str) -> None:
        holders = self._holders[name]
        del holders[session]
        if not holders:
            del self._holders[name]

    def holders(
        self, name: str, chunks: tuple[int, ...], *, fetchers: bool
    ) -> Iterator[tuple[SessionId, tuple[int, ...]]]:
        """Who holds a file, or one of these chunks if there are any, and which, in order.

        With ``fetchers``, also those who are fetching it and hold none.
        """
        for session, held in sorted(self._holders.get(name, {}).items()):
            wanted = tuple(chunk for chunk in held if chunk in chunks) if chunks else held
            if wanted or fetchers:
                yield session, wanted


def fault_of(file: File, chunks: tuple[int, ...]) -> str | None:
    """Why nobody can register this, if so: bytes of a name that would harm, or odd figures."""
    name = file.name
    if not name or name in (".", "..") or not _FORBIDDEN.isdisjoint(name):
        return "a file's name has no slashes, and is neither empty nor only dots"
    if not name.isprintable():
        return "a file's name has no control characters"
    if len(name.encode()) > limits.FILE_NAME_BYTES_MAX:
        return f"a file's name has at most {limits.FILE_NAME_BYTES_MAX} bytes"
    if file.chunks != min(limits.CHUNKS_MAX, file.size):
        return f"a file of {file.size} bytes has {min(limits.CHUNKS_MAX, file.size)} chunks"
    if any(chunk > file.chunks for chunk in chunks):
        return f"it has only {file.chunks} chunks"
    return None
