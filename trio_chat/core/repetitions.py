"""Repeated messages: a client that lost its connection sends again what had no answer.

A client numbers its requests for as long as it lives, so all that must be remembered of
it is the highest number that was decided, and which of the latest were answered otherwise
than usual: every other message was accepted, and every other broadcast reached all. Numbers
are few and small, whatever the traffic. Of messages older than that nobody knows any more which
were refused; a client that asks nevertheless is told that they were not kept, as a message that
comes twice is better than one that is lost.
"""

from __future__ import annotations

from .. import limits
from ..protocol.messages import Error, Sent


class History:
    """What one client of one user has asked.

    Attributes:
        highest: the number of the latest request of its earlier connections.
        unsure_until: some messages up to this number were refused, and are forgotten.
    """

    __slots__ = ("_replies", "highest", "unsure_until")

    def __init__(self) -> None:
        self.highest = 0
        self.unsure_until = 0
        self._replies: dict[int, Error | Sent] = {}

    def remember(self, reply: Error | Sent) -> None:
        """Remember an unusual reply, to answer a repetition alike.

        A client must wait with more than `REQUESTS_UNANSWERED_MAX` unanswered requests; one
        that does has seen the reply that is forgotten here.
        """
        assert reply.id is not None
        self._replies[reply.id] = reply
        if len(self._replies) > limits.REQUESTS_UNANSWERED_MAX:
            oldest = next(iter(self._replies))
            if isinstance(self._replies.pop(oldest), Error):
                self.unsure_until = max(self.unsure_until, oldest)

    def reply(self, id: int) -> Error | Sent | None:
        """How this request was answered, if that was unusual."""
        return self._replies.get(id)


class Repetitions:
    """The histories of the clients that each user had lately."""

    def __init__(self) -> None:
        self._histories: dict[str, dict[str, History]] = {}

    def forget(self, user: str) -> None:
        """Forget what somebody's clients have asked, who has no account any more."""
        self._histories.pop(user, None)

    def history(self, user: str, client: str) -> History:
        """The history of this client, which is now the user's latest."""
        histories = self._histories.setdefault(user, {})
        history = histories.pop(client, None) or History()
        histories[client] = history
        if len(histories) > limits.CLIENTS_REMEMBERED_MAX:
            del histories[next(iter(histories))]
        return history
