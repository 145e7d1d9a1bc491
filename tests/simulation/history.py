"""Who was online when, as far as that can be known from outside.

A session is certainly online from the answer to its login up to the latest request of which an
answer shows that the server has handled it. It may be online from the moment when its login was
sent until the server's end of the connection has ended. In between nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable

from .delivery import Broken
from .network import End

INSTANT = 1e-6
"""What the server does at once takes no time; rounding may."""


class Session:
    """A connection on which somebody has sent a login.

    Attributes:
        user: who.
        server: which of the servers, as each has a history of its own.
        asked_at, began_at: when the login was sent, and when it was answered.
        proved_at: when the latest request was sent that was answered.
        active_at: the same, of requests that count against the logout for inactivity.
        ended_at: when the client learned that the session has ended.
    """

    def __init__(self, user: str, server: int, end: End, now: float, *, is_active: bool) -> None:
        self.user = user
        self.server = server
        self.asked_at = now
        self.began_at: float | None = None
        self.proved_at = now
        self.active_at = now if is_active else -float("inf")
        self.ended_at: float | None = None
        self._end = end

    def was_certainly_online(self, since: float, until: float) -> bool:
        """Whether at some moment of a time."""
        began = self.began_at
        return began is not None and began < until and self.proved_at >= max(since, began)

    def was_maybe_online(self, since: float, until: float) -> bool:
        """The same, if all that is not known was so."""
        ends = [t for t in (self.ended_at, self._end.other.informed_at) if t is not None]
        ended = min(ends, default=float("inf")) + INSTANT
        return self.asked_at <= until and ended >= since


class History:
    """All sessions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.sessions: list[Session] = []
        self.queries = 0
        self._now = clock

    def login(self, user: str, server: int, end: End, *, is_active: bool) -> Session:
        """A login was sent, by the person or, as is no activity, by the client itself."""
        session = Session(user, server, end, self._now(), is_active=is_active)
        self.sessions.append(session)
        return session

    def refused(self, session: Session) -> None:
        """A login was refused."""
        self.sessions.remove(session)

    def has_ghost(self, session: Session) -> bool:
        """Whether the server had not noticed the end of an earlier session of this user."""
        since = session.asked_at
        return any(
            other.user == session.user and other.server == session.server
            for other in self.sessions
            if other is not session and other.was_maybe_online(since, since)
        )

    def check_since(self, asker: Session, sent_at: float, seconds: float, names: list[str]) -> None:
        """An answer to ``whoelsesince`` has come."""
        now = self._now()
        self.queries += 1
        others = [s for s in self.sessions if s.server == asker.server and s.user != asker.user]
        must = {
            s.user
            for s in others
            if s.was_certainly_online(now - seconds + INSTANT, sent_at - INSTANT)
        }
        may = {s.user for s in others if s.was_maybe_online(sent_at - seconds - INSTANT, now)}
        if not must <= set(names) <= may or len(set(names)) < len(names):
            raise Broken(
                f"whoelsesince {seconds:g} told {asker.user} {sorted(names)};"
                f" certain were {sorted(must)}, possible {sorted(may)}"
            )
