"""Who is it? Asks for name and password until the server is content (section 8, cases 1 and 2).

A refused password is asked for again. An empty one is no try, but goes back to the name: whoever
has mistyped that need not block somebody else's account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import UsageError
from . import grammar, render
from .session import Session
from .terminal import Terminal


class InputEndedError(Exception):
    """There is no more input, and nobody is logged in.

    Attributes:
        was_refused: whether the last password was wrong.
    """

    def __init__(self, *, was_refused: bool) -> None:
        self.was_refused = was_refused
        super().__init__()


async def log_in(
    terminal: Terminal, session: Session, become: Callable[[str], Awaitable[None]]
) -> str:
    """Ask until somebody is logged in; return who it is.

    If the server won't be content any more, its reply ends the client elsewhere.

    Args:
        terminal: where to ask.
        session: with the server.
        become: called with a user before the first try to log in as them.

    Raises:
        InputEndedError: if the input ends first.
    """
    user = tried = ""
    was_refused = False
    while True:
        while not user:
            user = await _ask(terminal, "Username: ", grammar.parse_user, was_refused=was_refused)
        password = await _ask(
            terminal, "Password: ", grammar.parse_password, secret=True, was_refused=was_refused
        )
        if not password:
            user = ""
            continue
        if user != tried:
            await become(user)
            tried = user
        await session.log_in(user, password).wait()
        if session.has_begun:
            return user
        was_refused = True


async def _ask(
    terminal: Terminal,
    prompt: str,
    parse: Callable[[str], str],
    *,
    secret: bool = False,
    was_refused: bool,
) -> str:
    while True:
        try:
            line = await terminal.ask(prompt, secret=secret)
            if line is None:
                raise InputEndedError(was_refused=was_refused)
            return parse(line)
        except UsageError as error:
            await terminal.show([render.misused(error)])
