"""The interface between the client and the person, or the script, that uses it.

Whoever opens a terminal gets it from an async context manager, which restores everything
when it ends: `console.console.open_console` or `plain.open_plain`; tests have a scripted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .notice import Notice
from .status import Status

PROMPT = "> "
"""What a person sees in front of the line that they type."""


class TerminalGone(Exception):
    """Nobody can read what is shown any more: a closed window, a pipe without a reader."""


class Terminal(Protocol):
    """Lines in and out.

    `ask` and `read_line` are for one task; `show` may be called by several at once, and
    never mixes their notices. All of them can be cancelled.

    Attributes:
        interactive: whether a person sits there, who can be asked again.
        shows_status: whether there is a place for a `Status`.
    """

    interactive: bool
    shows_status: bool

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        """Ask for one line, such as a name; a secret one appears nowhere.

        Returns:
            The answer, or None at the end of input (as Ctrl-D is).

        Raises:
            UsageError: if the line can't be used; the next call gives the next one.
        """

    async def read_line(self) -> str | None:
        """The next line that was entered, like `ask`."""

    def status(self, status: Status) -> None:
        """Keep this in view from now on, if there is a place for it."""

    async def show(self, notices: Sequence[Notice]) -> None:
        """Show notices; return when they have been written.

        What an acknowledgement promises rests on this: a message of which `show` has
        returned is on its way through the operating system to the screen.

        Raises:
            TerminalGone: if they could not be.
        """
