"""Blocked accounts: three wrong passwords in a row, from wherever (section 3.1)."""

from __future__ import annotations

from collections.abc import Collection

from .. import limits


class Failures:
    """What is known of one name: how many failures in a row, and blocked until when."""

    __slots__ = ("blocked_until", "count")

    def __init__(self) -> None:
        self.count = 0
        self.blocked_until: float | None = None


class Lockouts:
    """Counts consecutive login failures per user name over all connections.

    Names without an account are counted in the same way, so that nobody can tell them
    from real ones; as there are endlessly many of those, the oldest of them is forgotten
    beyond a bound. Names with an account are never forgotten for that.
    """

    def __init__(self, users: Collection[str], block_seconds: float) -> None:
        self._users = users
        self._block_seconds = block_seconds
        self._known: dict[str, Failures] = {}
        self._unknown: dict[str, Failures] = {}

    def is_blocked(self, user: str, now: float) -> bool:
        """Whether nobody may log in under this name now."""
        names, name = self._find(user)
        failures = names.get(name)
        if failures is None or failures.blocked_until is None:
            return False
        if now < failures.blocked_until:
            return True
        self.reset(user)
        return False

    def fail(self, user: str, now: float) -> bool:
        """Count a wrong password; return whether the name is blocked by it."""
        names, name = self._find(user)
        failures = names.setdefault(name, Failures())
        assert failures.blocked_until is None, "a blocked name is refused, not counted"
        failures.count += 1
        if failures.count >= limits.LOGIN_FAILURES_MAX:
            failures.blocked_until = now + self._block_seconds
        self._forget_oldest()
        return failures.blocked_until is not None

    def reset(self, user: str) -> None:
        """Forget a name's failures: its password was right, or its block has ended."""
        names, name = self._find(user)
        names.pop(name, None)

    def change_users(self, users: Collection[str]) -> None:
        """Other names have an account from now on; the failures of all names stay counted."""
        self._users = users
        for name in [name for name in self._known if name not in users]:
            self._unknown[name] = self._known.pop(name)
        for name in [name for name in self._unknown if name in users]:
            self._known[name] = self._unknown.pop(name)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._unknown) > limits.UNKNOWN_NAMES_MAX:
            del self._unknown[next(iter(self._unknown))]

    def _find(self, user: str) -> tuple[dict[str, Failures], str]:
        """Where this name is counted; a stranger's is cut, so that it can't fill memory."""
        if user in self._users:
            return self._known, user
        return self._unknown, user[: limits.NAME_BYTES_MAX]
