"""Sessions: the connections of the moment, and what each may do in its phase.

The phases of a session::

    GREETING --hello--> LOGIN --login--> CHECKING --password right--> ONLINE
                          ^                 |
                          +--password wrong-+
    LOGIN --resume, token right--> ONLINE

A session ends in any phase (ENDED), and is forgotten at once: what still comes from it or for
it is ignored. `broker` holds the table of what is allowed in which phase.
"""

from __future__ import annotations

import heapq
from enum import Enum

from .. import limits
from ..errors import ErrorCode
from ..protocol.messages import Listening
from .commands import SessionId
from .mailboxes import Mailbox
from .repetitions import History

_SPARE_DEADLINES = 100
"""A heap that is no longer than this is not worth making anew."""


class Phase(Enum):
    """How far a session has come."""

    GREETING = "greeting"
    LOGIN = "login"
    CHECKING = "checking the password"
    ONLINE = "online"
    ENDED = "ended"


class Session:
    """One connection.

    Attributes:
        id: its name.
        phase: how far it has come.
        deadline: when it ends, unless something happens before (monotonic seconds).
        last_id: the number of its latest request; they must increase.
        client: the name of the client at the other end.
        address, local_address: of its two ends; see `commands.SessionOpened`.
        token: what the client gets at its login; cleared by the hello of one that asks for none.
        user: who is logged in; empty in the phases before ONLINE, as are the next ones.
        login_id: the number of the request that logged in.
        mailbox: what waits for the user.
        history: what this client has asked on earlier connections, and was refused on this.
        repeats_until: messages up to this number were sent on an earlier connection.
        listening: where its client takes direct connections, if it does.
        knows_codes: whether its client copes with new codes of errors.
    """

    __slots__ = (
        "address",
        "client",
        "deadline",
        "history",
        "id",
        "knows_codes",
        "last_id",
        "listening",
        "local_address",
        "login_id",
        "mailbox",
        "phase",
        "repeats_until",
        "token",
        "user",
    )

    def __init__(self, id: SessionId, client: str, deadline: float) -> None:
        self.id = id
        self.phase = Phase.GREETING
        self.deadline = deadline
        self.last_id = 0
        self.client = client
        self.token = ""
        self.user = ""
        self.login_id = 0
        self.mailbox = Mailbox("")
        self.history = History()
        self.repeats_until = 0
        self.address = ""
        self.local_address = ""
        self.listening: Listening | None = None
        self.knows_codes = False

    def code_for(self, code: ErrorCode) -> ErrorCode:
        """What to tell this client instead of a code, if it may not know it."""
        return code if self.knows_codes else code.older


class Sessions:
    """All sessions by id, and a heap of their deadlines.

    A deadline moves with every request, so the heap is lazy: each session stands in it
    no later than its deadline, and is pushed again when found there too early. Those who are
    gone stay in it, and it is made anew when they are most of it.

    Attributes:
        by_id: the sessions that have not ended.
    """

    def __init__(self) -> None:
        self.by_id: dict[SessionId, Session] = {}
        self._deadlines: list[tuple[float, SessionId]] = []

    def open(self, id: SessionId, client: str, connected: float) -> Session:
        """Add a session, which has to log in within a time from when it connected."""
        assert id not in self.by_id
        session = Session(id, client, connected + limits.LOGIN_SECONDS_MAX)
        self.by_id[id] = session
        heapq.heappush(self._deadlines, (session.deadline, id))
        return session

    def change_deadline(self, session: Session) -> None:
        """Note that a session's deadline may have become earlier, as it does at login."""
        heapq.heappush(self._deadlines, (session.deadline, session.id))

    def remove(self, session: Session) -> None:
        """Forget a session, which has ended."""
        session.phase = Phase.ENDED
        del self.by_id[session.id]
        if len(self._deadlines) > 2 * len(self.by_id) + _SPARE_DEADLINES:
            self._deadlines = [(other.deadline, other.id) for other in self.by_id.values()]
            heapq.heapify(self._deadlines)

    def next_deadline(self) -> float:
        """No session ends before this time, in monotonic seconds."""
        return self._deadlines[0][0] if self._deadlines else float("inf")

    def expired(self, now: float) -> list[Session]:
        """The sessions whose deadline has passed, in order of their entry in the heap."""
        expired = {}
        while self._deadlines and self._deadlines[0][0] <= now:
            _, id = heapq.heappop(self._deadlines)
            session = self.by_id.get(id)
            if session is None:
                continue
            if session.deadline > now:
                heapq.heappush(self._deadlines, (session.deadline, id))
            else:
                expired[id] = session
        return list(expired.values())
