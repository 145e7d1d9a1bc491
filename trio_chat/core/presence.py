"""Who is online, and who was (section 3.1: list of online users, online history)."""

from __future__ import annotations

from .commands import SessionId


class Presence:
    """The online users with their sessions, and when each other one was last online.

    ``whoelsesince T`` asks who was online at any moment of the last T seconds, that is
    whose interval from login to logout overlaps that time. An interval that has ended
    overlaps it if its end does, so the latest logout of each user is all the history
    that the answer needs, and in order of logout it takes only as long as its answer.

    Attributes:
        online: user to session, in order of login.
        version: changes with it.
    """

    def __init__(self) -> None:
        self.online: dict[str, SessionId] = {}
        self.version = 0
        self._logouts: dict[str, float] = {}

    def log_in(self, user: str, session: SessionId) -> None:
        """Note that a user has come."""
        assert user not in self.online, "one session for each user"
        self.version += 1
        self.online[user] = session
        self._logouts.pop(user, None)

    def log_out(self, user: str, now: float) -> None:
        """Note that a user has gone."""
        self.version += 1
        del self.online[user]
        self._logouts[user] = now

    def forget(self, user: str) -> None:
        """Forget that somebody was online, who has no account any more."""
        self._logouts.pop(user, None)

    def move(self, user: str, session: SessionId) -> None:
        """Note that a user goes on in another session; nobody has come or gone."""
        self.version += 1
        assert user in self.online
        self.online[user] = session

    def others(self, user: str) -> tuple[str, ...]:
        """Everybody online but this user, in order of login."""
        names = list(self.online)  # several times faster than to compare each
        if user in self.online:
            names.remove(user)
        return tuple(names)

    def others_since(self, user: str, since: float) -> tuple[str, ...]:
        """Everybody but this user who was online at ``since`` or later.

        Those who still are come first, in order of login; then those who left, the
        latest first.
        """
        gone = []
        for name in reversed(self._logouts):
            if self._logouts[name] < since:
                break
            if name != user:
                gone.append(name)
        return (*self.others(user), *gone)
