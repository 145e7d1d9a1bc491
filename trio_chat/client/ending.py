"""How a client ends: the exit status, and what is said last.

Exit status: 0 after a logout, whoever or whatever asked for it; 1 if it was not the user's wish,
or if the input ended before login; 4, 5 or 6 if the login was refused (`LOGIN_STATUSES`); 128 + the
signal's number if one came before login, or a second one during logout. `cli` adds 2 for bad
arguments, and 3 if a script's command was refused.
"""

from __future__ import annotations

from msgspec import Struct

from ..errors import ErrorCode
from ..protocol import messages as wire
from .notice import Notice

LOGIN_STATUSES = {
    ErrorCode.INVALID_PASSWORD: 4,
    ErrorCode.ALREADY_ONLINE: 5,
    ErrorCode.NOW_BLOCKED: 6,
    ErrorCode.STILL_BLOCKED: 6,
}
"""Exit statuses by which a script tells refused logins apart; those of other codes are 1."""

LOGIN_RETRIES = frozenset({ErrorCode.INVALID_PASSWORD})
"""Refusals of a login after which the password is asked for again (section 8, case 2)."""


class Ending(Struct, frozen=True):
    """How the client ends.

    Attributes:
        status: its exit status.
        notices: what is shown last.
        server_gone: whether it is the connection that has ended, and not the session.
    """

    status: int
    notices: tuple[Notice, ...] = ()
    server_gone: bool = False


def is_final(message: wire.Closed | wire.Error, request: wire.Request | None) -> bool:
    """Whether the server will close the connection after this."""
    if request is None:
        return True
    return isinstance(request, wire.Login) and message.code not in LOGIN_RETRIES


def status_of(code: ErrorCode | None) -> int:
    """The exit status after the server has refused us, or let us go."""
    return LOGIN_STATUSES.get(code, 1) if code is not None else 1
