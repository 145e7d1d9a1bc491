"""The closed set of commands: everything that the broker may learn."""

from __future__ import annotations

from msgspec import Struct

from ..errors import ErrorCode
from ..protocol.messages import Delivery, Request
from .orders import Order

SessionId = int
"""Names a connection for ever: the server's node number, then a count."""

NOBODY: SessionId = 0
"""No connection has this id."""


def session_id(node: int, count: int) -> SessionId:
    """The id of the ``count``-th connection of server ``node``."""
    return node << 40 | count


def session_name(session: SessionId) -> str:
    """A session id for people: node and count."""
    return f"{session >> 40}.{session & (1 << 40) - 1}"


class SessionOpened(Struct, frozen=True, gc=False):
    """Somebody connected.

    Attributes:
        client: a name that no other client has, for one that does not name itself.
        token: random and secret, to be given to the client at its login.
        address: of the other end, as this server sees it; without a port.
        local_address: of this server, as the other end has reached it.
        waited: how long ago, in seconds; the handshake may have taken some.
    """

    session: SessionId
    client: str
    token: str
    address: str
    local_address: str
    waited: float = 0.0


class SessionClosed(Struct, frozen=True, gc=False):
    """The connection is gone, whichever side ended it."""

    session: SessionId


class Requests(Struct, frozen=True):
    """What one read of a connection brought, in order."""

    session: SessionId
    batch: list[Request]


class SessionFailed(Struct, frozen=True, gc=False):
    """The connection must end: its client broke the protocol or does not read."""

    session: SessionId
    code: ErrorCode
    text: str


class PasswordChecked(Struct, frozen=True, gc=False):
    """The result of `effects.CheckPassword`."""

    session: SessionId
    user: str
    correct: bool


class Committed(Struct, frozen=True, gc=False):
    """The commit of this number is on disk."""

    number: int


class CommitFailed(Struct, frozen=True, gc=False):
    """Nothing of the commit of this number is on disk."""

    number: int


class MailboxLoaded(Struct, frozen=True, gc=False):
    """The result of `effects.LoadMailbox`.

    Attributes:
        deliveries: in order of ``seq``; none if the store could not be read.
    """

    user: str
    deliveries: tuple[Delivery, ...] | None


class UsersChanged(Struct, frozen=True, gc=False):
    """There are other accounts now; whoever is logged in stays so, while they have one.

    Attributes:
        users: the names of all of them.
        changed: those among them whose password has changed.
    """

    users: frozenset[str]
    changed: frozenset[str] = frozenset()


class Operate(Struct, frozen=True):
    """The operator orders something; answered by `effects.Operated` with the same number."""

    number: int
    order: Order


class Tick(Struct, frozen=True, gc=False):
    """`Broker.next_deadline` has passed."""


class Stop(Struct, frozen=True, gc=False):
    """Tell everybody, save what waits, end."""


Command = (
    SessionOpened
    | SessionClosed
    | Requests
    | SessionFailed
    | PasswordChecked
    | Committed
    | CommitFailed
    | MailboxLoaded
    | UsersChanged
    | Operate
    | Tick
    | Stop
)
