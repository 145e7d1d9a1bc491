"""The closed set of effects: everything that the broker may ask of the world around it.

The shell carries them out in order. Those that take time answer with a command.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..protocol.messages import Delivery, File, ServerMessage
from .commands import SessionId
from .orders import Outcome


class Send(Struct, frozen=True):
    """Send messages to one session, in order."""

    session: SessionId
    messages: list[ServerMessage]


class SendMany(Struct, frozen=True, gc=False):
    """Send one message to many sessions; it is worth encoding once.

    Attributes:
        can_wait: for a moment, so that it goes out together with what comes then; it still
            comes before whatever a session is sent later.
        weight: as how many requests it counts for whoever asked for it, besides what its
            receivers and its bytes do.
    """

    sessions: Sequence[SessionId]
    message: ServerMessage
    can_wait: bool = False
    weight: int = 0


class Admit(Struct, frozen=True, gc=False):
    """The session is logged in now: the limits for strangers no longer hold for it."""

    session: SessionId
    user: str


class Close(Struct, frozen=True, gc=False):
    """End a connection once what was sent to it is out; nothing more will be sent."""

    session: SessionId


class CheckPassword(Struct, frozen=True, gc=False):
    """Compare a password, in the same time for users that don't exist.

    Answered by `commands.PasswordChecked`.
    """

    session: SessionId
    user: str
    password: str


class Commit(Struct, frozen=True, gc=False):
    """Write all of this durably, or nothing; at most one is under way.

    Answered by `commands.Committed` or `commands.CommitFailed`.

    Attributes:
        messages: ``(recipient, delivery)`` to keep.
        acknowledged: ``(recipient, seq)``: forget this user's messages up to there.
        blocks: ``(blocker, blocked, True to block or False to unblock)``, in order.
        files: ``(owner, file)``: registered, or registered anew under its name.
        dropped: the names of those that are no longer.
        held: the names of those that somebody holds now.
    """

    number: int
    messages: tuple[tuple[str, Delivery], ...]
    acknowledged: tuple[tuple[str, int], ...]
    blocks: tuple[tuple[str, str, bool], ...]
    files: tuple[tuple[str, File], ...] = ()
    dropped: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


class LoadMailbox(Struct, frozen=True, gc=False):
    """Read what is on disk for this user; answered by `commands.MailboxLoaded`."""

    user: str


class Operated(Struct, frozen=True, gc=False):
    """What came of the operator's order of this number, see `commands.Operate`."""

    number: int
    outcome: Outcome


Effect = Send | SendMany | Admit | Close | CheckPassword | Commit | LoadMailbox | Operated
