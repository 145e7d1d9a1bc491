"""Which terminal suits standard input and output, and what was asked for."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path

from msgspec import Struct

from ..tty import Tty
from .console.alerts import Level
from .console.layout import Layout
from .console.palette import palette_for
from .notice import Notice, json_of, text_of, text_with_hints
from .plain import Compose, PlainTerminal, open_plain
from .prepared import Answers, PreparedTerminal
from .terminal import Terminal
from .typed import open_typed

STDIN, STDOUT, STDERR = 0, 1, 2

_ENDLESS_COLUMNS = 1_000_000
"""The width of what is no screen."""


class Colour(Enum):
    """When there is colour; its value is what stands on the command line."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether to have it on a terminal; see no-color.org."""
        return self is Colour.ALWAYS or (self is Colour.AUTO and not environment.get("NO_COLOR"))


class Style(Struct, frozen=True):
    """What was asked for.

    Attributes:
        answers: what is known before anybody is asked.
        json: whether a program reads.
        plain: whether nothing may move on a screen.
        colour: when there is colour.
        timestamps: whether the time stands beside what was said.
        alerts: when to ring.
        history: says in which file is what a user has typed.
    """

    answers: Answers = Answers()
    json: bool = False
    plain: bool = False
    colour: Colour = Colour.AUTO
    timestamps: bool = True
    alerts: Level = Level.PRIVATE
    history: Callable[[str], Path] | None = None


class Opener:
    """Opens a terminal in some style.

    Args:
        style: what was asked for.
        tty: the terminal of standard input; none if there is none, or nobody guards it yet.
    """

    def __init__(self, style: Style, tty: Tty | None = None) -> None:
        self._style = style
        self._tty = tty
        self._terminal: Terminal | None = None
        self._prepared: PreparedTerminal | None = None

    @property
    def was_refused(self) -> bool:
        """Whether a script has used it, and not all was done."""
        prepared = self._prepared
        return prepared is not None and prepared.refused and not prepared.interactive

    @property
    def output_failure(self) -> str:
        """Why the output of a script could not be written; empty if it could."""
        return self._terminal.failure if isinstance(self._terminal, PlainTerminal) else ""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Terminal, None]:
        """The terminal, until it is not needed any more."""
        tty = self._tty
        if tty is None and os.isatty(STDIN):
            tty = Tty(STDIN)
        async with _choose(self._style, tty) as terminal:
            self._terminal = terminal
            self._prepared = PreparedTerminal(terminal, self._style.answers)
            yield self._prepared


def _choose(style: Style, tty: Tty | None) -> AbstractAsyncContextManager[Terminal]:
    compose = _compose_for(style, is_person=tty is not None)
    if tty is None:
        return open_plain(STDIN, STDOUT, compose=compose)
    # Of a person the output may go elsewhere, or must not move.
    is_screen = os.isatty(STDOUT) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    is_plain = style.json or style.plain or style.answers.commands is not None
    if is_screen and not is_plain:
        from .console.console import Look, open_console  # costs more time than all the rest

        colour = style.colour.suits(os.environ)
        return open_console(Look(colour, style.timestamps, style.alerts, style.history), tty)
    if style.answers.commands is None:
        tty.silence()
    else:
        tty.restore()  # what is typed now is for others
    prompt_file = STDOUT if os.isatty(STDOUT) and not style.json else STDERR
    return open_typed(tty, STDIN, STDOUT, prompt_file, compose)


def _compose_for(style: Style, *, is_person: bool) -> Compose:
    if style.json:
        return json_of
    if style.colour is Colour.ALWAYS:
        return _coloured()
    return text_with_hints if is_person else text_of


def _coloured() -> Compose:
    """Plain lines in colour, for whoever insists."""
    palette = palette_for(os.environ.get("TERM", ""), os.environ.get("COLORTERM", ""))
    layout = Layout(palette, timestamps=False)

    def compose(notices: Sequence[Notice]) -> str:
        return layout.compose(notices, _ENDLESS_COLUMNS, datetime.now().astimezone())

    return compose
