"""What one command has to say and to have done, gathered while it is handled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ErrorCode
from ..protocol.messages import Error, Reply, ServerMessage
from .commands import SessionId
from .effects import Effect, Send, SendMany
from .sessions import Session


class Outgoing:
    """The effects of the command that is being handled, in order.

    What goes to one session is one effect, which costs little more than its messages.

    Args:
        sessions: those that have not ended.
    """

    def __init__(self, sessions: Mapping[SessionId, Session]) -> None:
        self._sessions = sessions
        self._effects: list[Effect] = []
        self._messages: dict[SessionId, list[ServerMessage]] = {}

    def begin(self) -> list[Effect]:
        """Begin with the next command; return the list that its effects are added to."""
        self._messages = {}
        self._effects = []
        return self._effects

    def add(self, effect: Effect) -> None:
        """Have something done."""
        self._effects.append(effect)

    def messages_to(self, session: SessionId) -> list[ServerMessage]:
        """What goes to a session: a list to append to, before anything else is sent."""
        messages = self._messages.get(session)
        if messages is None:
            messages = self._messages[session] = []
            self._effects.append(Send(session, messages))
        return messages

    def send(self, session: SessionId, message: ServerMessage) -> None:
        """Send a message to a session."""
        self.messages_to(session).append(message)

    def refuse(self, session: SessionId, id: int, code: ErrorCode, **fields: object) -> None:
        """Send the error by which a request is refused."""
        code_for = self._sessions[session].code_for
        self.send(session, Error(code_for(code), code.describe(**fields), id))

    def send_many(
        self,
        sessions: Sequence[SessionId],
        message: ServerMessage,
        *,
        can_wait: bool = False,
        weight: int = 0,
    ) -> None:
        """Send one message to many sessions, or to none."""
        if sessions:
            self._effects.append(SendMany(sessions, message, can_wait, weight))
            self._messages = {}  # what follows must not overtake it

    def answer(self, session: SessionId, reply: Reply) -> None:
        """Send a reply that was held back, if whoever waits for it is still there."""
        if session in self._sessions:
            self.send(session, reply)
