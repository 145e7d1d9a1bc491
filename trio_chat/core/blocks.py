"""Who has blocked whom (section 3.1, blacklisting).

A block has one direction: once A has blocked B, nothing that B sends reaches A, and B is not
told when A comes or goes; A may still write to B. Whoever asks who is online, or was, sees all:
`whoelse` and `whoelsesince` do not ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

_NOBODY: frozenset[str] = frozenset()


class Blocks:
    """Pairs of blocker and blocked, to be asked from either end.

    Attributes:
        by_blocked: who has blocked each user that anybody has blocked; only to be read.
        version: changes with them.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._by_blocker: dict[str, set[str]] = {}
        self.by_blocked: dict[str, set[str]] = {}
        self.version = 0
        for blocker, blocked in pairs:
            self.set(blocker, blocked, True)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for blocker, names in self._by_blocker.items():
            for blocked in sorted(names):
                yield blocker, blocked

    def blocked_by(self, blocker: str) -> Set[str]:
        """Whom this user has blocked."""
        return self._by_blocker.get(blocker, _NOBODY)

    def blockers_of(self, blocked: str) -> Set[str]:
        """Who has blocked this user."""
        return self.by_blocked.get(blocked, _NOBODY)

    def set(self, blocker: str, blocked: str, on: bool) -> None:
        """Block, or unblock."""
        assert blocker != blocked
        self.version += 1
        for index, key, name in (
            (self._by_blocker, blocker, blocked),
            (self.by_blocked, blocked, blocker),
        ):
            if on:
                index.setdefault(key, set()).add(name)
            elif key in index:
                index[key].discard(name)
                if not index[key]:
                    del index[key]
