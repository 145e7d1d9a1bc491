"""The catalogue: which files there are, and who of those online holds which chunks (section 3.5).

A name stands for one file: whoever registers other bytes under it is refused, so that the chunks
of two files never mix; only its owner may replace it by another one. What a file is outlives the
server; who holds what is told by each client anew whenever it logs in, so it is never older than
the session.

A name that nobody has held for a long time is given up. The store has a clock and notes when each
was held last; here a name is looked at once in a while (`visit`), and one that is held is noted
anew once a day. So a name that the store says has long been left is not given up right after a
start, before its owner could come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from .. import limits
from ..errors import ErrorCode
from ..protocol.messages import File
from ..text import has_controls, is_blank
from .commands import SessionId

_FORBIDDEN = frozenset("/\\")

NEVER = float("inf")


class Entry:
    """A registered file; another file under its name, or another owner, is another entry.

    Attributes:
        file: what it is.
        owner: the user who registered it.
        holders: the chunks that each session serves; none for one that is fetching it.
        left_at: when the last of these left, if nobody holds it.
        noted_at: when the store was told last that somebody holds it.
        unsafe: how many changes of it are not on disk yet.
    """

    __slots__ = ("file", "holders", "left_at", "noted_at", "owner", "unsafe")

    def __init__(self, owner: str, file: File, left_at: float = 0.0) -> None:
        self.file = file
        self.owner = owner
        self.holders: dict[SessionId, tuple[int, ...]] = {}
        self.left_at = self.noted_at = left_at
        self.unsafe = 0

    def given_to(self, owner: str) -> Entry:
        """The same file and its holders, as another user's."""
        entry = Entry(owner, self.file, self.left_at)
        entry.holders = dict(self.holders)
        entry.noted_at = self.noted_at
        return entry


class Catalogue:
    """Files by name, and the holdings of the sessions.

    Args:
        files: those that are on disk, each with its owner.
        idle_seconds: for how long nobody has held each, by name; 0 if it is missing.
        keep_seconds: for how long a name is kept that nobody holds.
        now: monotonic seconds.
    """

    def __init__(
        self,
        files: Iterable[tuple[str, File]],
        idle_seconds: Mapping[str, float] | None = None,
        keep_seconds: float = NEVER,
        now: float = 0.0,
    ) -> None:
        self._keep_seconds = keep_seconds
        self._entries: dict[str, Entry] = {}
        self._counts: dict[str, int] = {}
        self._held: dict[SessionId, set[str]] = {}
        self._visits: dict[str, float] = {}  # when to look at a name, the next one first
        self._visited_at = -NEVER
        for owner, file in files:
            idle = 0.0 if idle_seconds is None else idle_seconds.get(file.name, 0.0)
            self.put(file.name, Entry(owner, file, now - idle), now)

    def __iter__(self) -> Iterator[tuple[str, File]]:
        for entry in self._entries.values():
            yield entry.owner, entry.file

    def get(self, name: str) -> Entry | None:
        """What is registered under this name."""
        return self._entries.get(name)

    def page(self, start: int, size: int) -> list[Entry]:
        """So many entries from a place on, in the order in which they came."""
        return list(islice(self._entries.values(), start, start + size))

    def owned_by(self, user: str) -> list[str]:
        """The names of a user's files; it looks at all."""
        if user not in self._counts:
            return []
        return [name for name, entry in self._entries.items() if entry.owner == user]

    def fault_of_share(self, user: str) -> ErrorCode | None:
        """Why a user can't bring one more file, if so; see `shares`."""
        free = limits.FILES_MAX - len(self._entries)
        if free < 1:
            return ErrorCode.TOO_MANY_FILES
        if self._counts.get(user, 0) >= min(free, limits.FILES_USER_MAX):
            return ErrorCode.FILES_SHARE_FULL
        return None

    def put(self, name: str, entry: Entry | None, now: float) -> None:
        """Let this stand under a name, with its holders, instead of whatever did; or nothing."""
        before = self._entries.pop(name, None)
        if before is not None:
            self._counts[before.owner] -= 1
            if not self._counts[before.owner]:
                del self._counts[before.owner]
            for session in before.holders:
                self._held[session].discard(name)
        if entry is None:
            self._visits.pop(name, None)
            return
        self._entries[name] = entry
        self._counts[entry.owner] = self._counts.get(entry.owner, 0) + 1
        for session in entry.holders:
            self._held.setdefault(session, set()).add(name)
        self._visits.setdefault(name, now + limits.FILE_VISIT_SECONDS)

    # -- Who holds what ------------------------------------------------------------------------

    def can_hold(self, session: SessionId, name: str) -> bool:
        """Whether a session may hold this too; what it holds is bounded."""
        held = self._held.get(session, ())
        return name in held or len(held) < limits.FILES_USER_MAX

    def hold(
        self, session: SessionId, name: str, chunks: Iterable[int], now: float, *, fetching: bool
    ) -> None:
        """Note what a session's client can serve of a file; none of it is fine."""
        entry = self._entries[name]
        numbers = tuple(sorted(set(chunks)))
        if numbers or fetching:
            entry.holders[session] = numbers
            self._held.setdefault(session, set()).add(name)
        elif session in entry.holders:
            self._drop(session, entry, now)
            self._held[session].discard(name)

    def leave(self, session: SessionId, now: float) -> None:
        """A session has ended: it serves nothing any more."""
        for name in self._held.pop(session, ()):
            self._drop(session, self._entries[name], now)

    def _drop(self, session: SessionId, entry: Entry, now: float) -> None:
        del entry.holders[session]
        entry.left_at = now

    def holders(
        self, name: str, chunks: tuple[int, ...], *, fetchers: bool
    ) -> Iterator[tuple[SessionId, tuple[int, ...]]]:
        """Who holds a file, or one of these chunks if there are any, and which, in order.

        With ``fetchers``, also those who are fetching it and hold none.
        """
        entry = self._entries.get(name)
        for session, held in sorted(entry.holders.items()) if entry is not None else ():
            wanted = tuple(chunk for chunk in held if chunk in chunks) if chunks else held
            if wanted or fetchers:
                yield session, wanted

    # -- Time ------------------------------------------------------------------------------------

    def next_visit(self) -> float:
        """When `visit` has something to do, in monotonic seconds."""
        due = next(iter(self._visits.values()), NEVER)
        return max(due, self._visited_at + limits.FILE_VISITS_PAUSE_SECONDS)

    def visit(self, now: float) -> tuple[list[str], list[str]]:
        """Look at the names whose turn it is, a bounded number of them.

        Returns:
            Those that are held, to be noted; and those that nobody has held for too long.
        """
        self._visited_at = now
        held: list[str] = []
        left: list[str] = []
        for name, due in list(islice(self._visits.items(), limits.FILE_VISITS_MAX)):
            if due > now:
                break
            del self._visits[name]
            self._visits[name] = now + limits.FILE_VISIT_SECONDS
            entry = self._entries[name]
            if entry.holders:
                if now - entry.noted_at >= limits.FILE_NOTE_SECONDS:
                    entry.noted_at = now
                    held.append(name)
            elif now - entry.left_at >= self._keep_seconds and not entry.unsafe:
                left.append(name)
        return held, left


def fault_of(file: File, chunks: tuple[int, ...]) -> str | None:
    """Why nobody can register this, if so: bytes of a name that would harm, or odd figures."""
    name = file.name
    if is_blank(name) or name in (".", "..") or not _FORBIDDEN.isdisjoint(name):
        return "a file's name has no slashes, and is neither empty nor only dots"
    if has_controls(name):
        return "a file's name has no control characters"
    if len(name.encode()) > limits.FILE_NAME_BYTES_MAX:
        return f"a file's name has at most {limits.FILE_NAME_BYTES_MAX} bytes"
    if file.chunks != min(limits.CHUNKS_MAX, file.size):
        return f"a file of {file.size} bytes has {min(limits.CHUNKS_MAX, file.size)} chunks"
    if any(chunk > file.chunks for chunk in chunks):
        return f"it has only {file.chunks} chunks"
    return None
