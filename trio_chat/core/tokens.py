"""Session tokens: by which a client that lost its connection comes back without a password.

A user has at most one, that of their latest session which asked for one. It holds for the same
user and the same client only, as long as that session lasts and for a while after its connection
was lost; a logout ends it. The shell makes them at random, so that none can be guessed.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection

from .. import limits
from .commands import SessionId


class Token:
    """What is remembered of one.

    Attributes:
        text: the secret.
        client: the name of the client that was given it.
        session: to which it belongs.
        lost_at: when that session ended; none while it lasts.
    """

    __slots__ = ("client", "lost_at", "session", "text")

    def __init__(self, text: str, client: str, session: SessionId) -> None:
        self.text = text
        self.client = client
        self.session = session
        self.lost_at: float | None = None


class Tokens:
    """By user the token that holds, if any does."""

    def __init__(self) -> None:
        self._by_user: dict[str, Token] = {}

    def give(self, user: str, client: str, session: SessionId, text: str) -> None:
        """A session got a token; an earlier one of its user is void."""
        self._by_user[user] = Token(text, client, session)

    def find(self, user: str, client: str, text: str, now: float) -> SessionId | None:
        """The session whose token this is; none if it is nobody's, or void."""
        token = self._by_user.get(user)
        if token is None:
            return None
        if token.lost_at is not None and now >= token.lost_at + limits.TOKEN_SECONDS_MAX:
            self.void(user)
            return None
        is_right = hmac.compare_digest(token.text.encode(), text.encode())
        return token.session if is_right and token.client == client else None

    def lose(self, user: str, session: SessionId, now: float) -> None:
        """A session has ended, and its client may come back."""
        token = self._of_session(user, session)
        if token is not None:
            token.lost_at = now

    def end(self, user: str, session: SessionId) -> None:
        """A session has ended for good, as its user logged out."""
        if self._of_session(user, session) is not None:
            self.void(user)

    def void(self, user: str) -> None:
        """This user's token does not hold any more."""
        self._by_user.pop(user, None)

    def change_users(self, users: Collection[str], changed: Collection[str]) -> None:
        """Other names have an account now, and some have another password."""
        for user in [user for user in self._by_user if user not in users or user in changed]:
            self.void(user)

    def _of_session(self, user: str, session: SessionId) -> Token | None:
        token = self._by_user.get(user)
        return token if token is not None and token.session == session else None
