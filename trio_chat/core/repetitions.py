"""Repeated messages: a client that lost its connection sends again what had no answer.

A client numbers its requests for as long as it lives, so all that must be remembered of
it is the highest number that was decided, and which of the latest were answered otherwise
than usual: every other message was accepted, and every other broadcast reached all. Numbers
are few and small, whatever the traffic.
"""

from __future__ import annotations

from .. import limits
from ..protocol.messages import Error, Sent


class History:
    """What one client of one user has asked.

    Attributes:
        highest: the number of the latest request of its earlier connections.
    """

    __slots__ = ("_replies", "highest")

    def __init__(self) -> None:
        self.highest = 0
        self._replies: dict[int, Error | Sent] = {}

    def remember(self, reply: Error | Sent) -> None:
        """Remember an unusual reply, to answer a repetition alike.

        A client waits with more than `REQUESTS_UNANSWERED_MAX` unanswered requests, so
        it can't repeat anything older.
        """
        assert reply.id is not None
        self._replies[reply.id] = reply
        if len(self._replies) > limits.REQUESTS_UNANSWERED_MAX:
            del self._replies[next(iter(self._replies))]

    def reply(self, id: int) -> Error | Sent | None:
        """How this request was answered, if that was unusual."""
        return self._replies.get(id)


class Repetitions:
    """The histories of the clients that each user had lately."""

    def __init__(self) -> None:
        self._histories: dict[str, dict[str, History]] = {}

    def history(self, user: str, client: str) -> History:
        """The history of this client, which is now the user's latest."""
        histories = self._histories.setdefault(user, {})
        history = histories.pop(client, None) or History()
        histories[client] = history
        if len(histories) > limits.CLIENTS_REMEMBERED_MAX:
            del histories[next(iter(histories))]
        return history
