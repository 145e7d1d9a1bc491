"""Blocked accounts: three wrong passwords in a row, from wherever (section 3.1)."""

from __future__ import annotations

from collections.abc import Collection

from .. import limits


class Lockouts:
    """Counts consecutive login failures per user name over all connections.

    Names without an account are counted, and blocked, in the same way, so that nobody can tell
    them from real ones. As there are endlessly many of those, counts are bounded, and the oldest
    is forgotten, of whichever name it is. So are the blocks of names without an account; one of a
    real account lasts its time.
    """

    def __init__(self, users: Collection[str], block_seconds: float) -> None:
        self._users = users
        self._block_seconds = block_seconds
        self._counts: dict[str, int] = {}
        self._blocked: dict[str, float] = {}  # until when
        self._unknown_blocked: dict[str, float] = {}

    def is_blocked(self, user: str, now: float) -> bool:
        """Whether nobody may log in under this name now."""
        name = self._key(user)
        blocked = self._blocks_of(name)
        if name not in blocked:
            return False
        if now < blocked[name]:
            return True
        del blocked[name]
        return False

    def fail(self, user: str, now: float) -> bool:
        """Count a wrong password; return whether the name is blocked by it."""
        name = self._key(user)
        blocked = self._blocks_of(name)
        assert name not in blocked, "a blocked name is refused, not counted"
        self._counts[name] = self._counts.get(name, 0) + 1
        if self._counts[name] < limits.LOGIN_FAILURES_MAX:
            _forget_oldest(self._counts)
            return False
        del self._counts[name]
        blocked[name] = now + self._block_seconds
        _forget_oldest(self._unknown_blocked)
        return True

    def reset(self, user: str) -> None:
        """Forget a name's failures: its password was right."""
        self._counts.pop(self._key(user), None)

    def change_users(self, users: Collection[str]) -> None:
        """Other names have an account from now on; counts and blocks of all names stay."""
        self._users = users
        blocked = {**self._unknown_blocked, **self._blocked}
        self._blocked = {name: until for name, until in blocked.items() if name in users}
        self._unknown_blocked = {name: blocked[name] for name in blocked if name not in users}
        _forget_oldest(self._unknown_blocked)

    def _blocks_of(self, name: str) -> dict[str, float]:
        return self._blocked if name in self._users else self._unknown_blocked

    def _key(self, user: str) -> str:
        """A stranger's name is cut, so that it can't fill memory, but never to a real one."""
        return user[: limits.NAME_BYTES_MAX + 1]


def _forget_oldest(names: dict[str, int] | dict[str, float]) -> None:
    while len(names) > limits.FAILED_NAMES_MAX:
        del names[next(iter(names))]
