"""When to try again to reach a server that is lost, and when to give up."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .. import limits
from ..errors import ErrorCode
from .session import Session, UnreachableError

_BUSY = frozenset(
    {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.LOGIN_TIMEOUT,
        ErrorCode.LOGIN_BUSY,
        ErrorCode.TOO_MANY_ATTEMPTS,
        ErrorCode.LOGINS_OFF,
    }
)
"""Everybody comes back at once: the server is there, and our turn will come."""

_PASSING = _BUSY | {
    ErrorCode.SLOW,
    ErrorCode.STOPPING,
    ErrorCode.MAILBOX_UNREADABLE,
    # Strangers have typed wrong passwords, and we have no token.
    ErrorCode.STILL_BLOCKED,
    # If the token for the next connection was lost with the last one, our user seems to be
    # online until the server has noticed that.
    ErrorCode.ALREADY_ONLINE,
}


def is_passing(code: ErrorCode | None) -> bool:
    """Whether it may help to connect again after a server has refused us, or let us go."""
    return code is None or code in _PASSING


async def reconnect(session: Session, seconds: float, random: Callable[[], float]) -> None:
    """Try until the session goes on; wait longer after each failure.

    Args:
        session: whose connection was lost.
        seconds: when to give up; begins anew whenever the server says that it is busy.
        random: gives numbers from 0 to 1, other ones in each client.

    Raises:
        UnreachableError: if it does not go on; the text says why.
        FailureError: if what answers is not the right server.
    """
    failure = UnreachableError("The server does not answer")
    delay = limits.RECONNECT_DELAY_SECONDS
    with trio.move_on_after(seconds) as patience:
        while True:
            await trio.sleep(delay * (0.5 + random()))
            try:
                await session.resume()
            except UnreachableError as error:
                if not is_passing(error.code):
                    raise
                if error.code in _BUSY:
                    patience.deadline = trio.current_time() + seconds
                failure = error
                delay = min(2 * delay, limits.RECONNECT_DELAY_SECONDS_MAX)
            else:
                return
    raise failure
