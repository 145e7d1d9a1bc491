"""A terminal some of whose answers are known before: who logs in, and perhaps what to do.

With commands it takes the part of a script that enters them, each when the one before is done,
and leaves. So the rest of the client does not know of it; what comes of the commands is seen here,
by what is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio
from msgspec import Struct

from .notice import Kind, Notice
from .status import Status
from .terminal import Terminal

_TROUBLE = frozenset({"server_gone", "no_server", "broken_protocol", "unconfirmed", "failure"})
"""Codes of errors that no refusal is the reason of."""

_UNASKED = frozenset({Kind.WELCOME, Kind.PRESENCE})
"""What nobody wants to read who runs a command, least of all in a mail of cron."""


_WAIT = "wait"
"""What is entered between commands; its answer is of no interest to anybody."""


class Answers(Struct, frozen=True):
    """What is known before.

    Attributes:
        user: who logs in; empty to ask.
        password: of that user; none to ask.
        commands: the lines to enter; none to ask for them, as always.
        silent: whether to show only what comes of the commands, and what others have written.
    """

    user: str = ""
    password: str | None = None
    commands: tuple[str, ...] | None = None
    silent: bool = False


def _in_turn(commands: Sequence[str]) -> list[str]:
    """The same commands, each of which waits for the end of the one before."""
    return [line for command in commands for line in (_WAIT, command)][1:]


class PreparedTerminal:
    """Another terminal, behind the same interface.

    Attributes:
        refused: whether something that was asked for after the login was not done, or the login.

    Args:
        terminal: asked for what is not known, and used for all else.
        answers: what is known.
    """

    def __init__(self, terminal: Terminal, answers: Answers) -> None:
        self.interactive = terminal.interactive and answers.commands is None
        self.shows_status = terminal.shows_status
        self.refused = False
        self._terminal = terminal
        self._user, self._password = answers.user, answers.password
        self._commands = None if answers.commands is None else deque(_in_turn(answers.commands))
        self._silent = answers.silent
        # Where a password was given and nobody is there to be asked, lines are no passwords: a
        # script's commands must not block its account.
        is_given = answers.commands is not None or answers.password is not None
        self._has_no_input = is_given and not terminal.interactive

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        # Each is given once: if it is not right, saying it again would not help.
        if secret and self._password is not None:
            password, self._password = self._password, None
            await trio.lowlevel.checkpoint()
            return password
        if not secret and self._user:
            user, self._user = self._user, ""
            await trio.lowlevel.checkpoint()
            return user
        if self._has_no_input:
            await trio.lowlevel.checkpoint()
            return None
        return await self._terminal.ask(prompt, secret=secret)

    async def read_line(self) -> str | None:
        if self._commands is None:
            return await self._terminal.read_line()
        await trio.lowlevel.checkpoint()
        return self._commands.popleft() if self._commands else None

    def status(self, status: Status) -> None:
        self._terminal.status(status)

    async def show(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            if notice.kind is Kind.WELCOME:
                self.refused = False  # another password was right
            elif notice.kind is Kind.ERROR and notice.fields["code"] not in _TROUBLE:
                self.refused = True
        if self._has_no_input:
            notices = [notice for notice in notices if notice.fields.get("code") != "input_ended"]
        if self._commands is not None:
            notices = [notice for notice in notices if notice.fields.get("command") != _WAIT]
        if self._silent:
            notices = [notice for notice in notices if notice.kind not in _UNASKED]
        await self._terminal.show(notices)
