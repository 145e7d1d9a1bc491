"""The screen and the keyboard of a person: a prompt that arriving lines never disturb.

Theory of operation: prompt_toolkit runs on asyncio, so it has a thread of its own, and
this thread alone writes to the screen and reads the keyboard. Everything that trio wants
of it is a callback on its event loop, so there is no moment at which both sides use the
screen, and no lock:

- `show` erases an open prompt, writes all its notices at once, and lets prompt_toolkit draw
  the prompt again, with what was typed so far, below them. It returns when the thread
  has reported back that the lines were written.
- `status` is kept for the line below the prompt, for completion, and for alerts.
- `ask` and `read_line` open a prompt and wait for its end. Cancelling them ends it; they
  wait until the thread is done with it. What was typed ahead of a prompt, or
  pasted for several, is kept for the next ones.

A terminal that takes no output holds the thread up in the middle of a write, which nothing can
end. Whoever wants to leave waits `PATIENCE_SECONDS` for it; then the thread is abandoned, and ends
with the process.

Ctrl-C on an empty line becomes the signal that it is without a prompt; `chat` watches for it.
Ctrl-Z becomes its signal, too: the thread clears its prompt away before the process stops, and
draws it again when it goes on (`put_away`). While no prompt is open the keyboard is silent, so
nothing typed ahead, such as a password, appears on the screen.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import trio
import wcwidth
from msgspec import Struct
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import DummyHistory, History
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style

from ...tty import FOCUS_OFF, FOCUS_ON, Tty
from ..job_control import follow_job_control
from ..notice import Notice
from ..sequences import ESCAPE_SECONDS
from ..status import Status
from ..terminal import PROMPT, TerminalGone
from .alerts import Alerts, Level
from .completion import complete
from .history import LineHistory
from .keyboard import Keyboard
from .keys import Question, key_bindings
from .layout import Layout, in_columns
from .palette import NoPalette, Palette, palette_for
from .toolbar import toolbar

PATIENCE_SECONDS = 3.0
"""How long the thread may take to end a prompt, or itself, before it counts as stuck."""


class Look(Struct, frozen=True):
    """What a person has decided about their screen.

    Attributes:
        colour: whether there is any.
        timestamps: whether the time stands beside what was said.
        alerts: when to ring.
        history: says in which file are the lines that a user has typed; none to keep none.
    """

    colour: bool = True
    timestamps: bool = True
    alerts: Level = Level.PRIVATE
    history: Callable[[str], Path] | None = None


_PASTE_ON, _PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
"""Asks a terminal to mark what is pasted; prompt_toolkit does, too, where a prompt begins."""

_STYLE = {"bottom-toolbar": "reverse", "auto-suggestion": "fg:ansibrightblack"}
_STYLE_WITHOUT_COLOUR = {"bottom-toolbar": "noreverse"}

_LOGIN_HINT = "An empty password goes back to the name"
"""Stands below the prompt for a password (see `login`), as section 8 has no line for it."""


class Console:
    """The screen and the keyboard, behind the interface `Terminal`; see `open_console`."""

    interactive = True
    shows_status = True

    def __init__(self, look: Look, tty: Tty) -> None:
        # Not `sys.stdout` itself, which the interpreter can't flush at its end if a thread that
        # is stuck holds it.
        output = open(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
        self._screen = _Screen.from_pty(output, term=os.environ.get("TERM"))
        self._screen.enable_cpr = False
        self._status = self._latest_status = Status()
        self._has_news = False
        self._question = Question()
        palette: Palette = NoPalette()
        if look.colour:
            palette = palette_for(os.environ.get("TERM", ""), os.environ.get("COLORTERM", ""))
        self._layout = Layout(palette, timestamps=look.timestamps)
        self._alerts = Alerts(look.alerts, os.environ)
        self._tty = tty
        keyboard = Keyboard(sys.stdin, tty)
        style = Style.from_dict(_STYLE if look.colour else _STYLE_WITHOUT_COLOUR)

        def session(history: History, *, secret: bool = False) -> PromptSession[str]:
            made = PromptSession[str](
                input=keyboard,
                output=self._screen,
                history=history,
                input_processors=[_Hide()] if secret else [],
                style=style,
                color_depth=None if look.colour else ColorDepth.DEPTH_1_BIT,
            )
            keys = key_bindings(
                self._question,
                self._complete,
                self._focus,
                secret=secret,
                remembers=history is self._history,
            )
            # Instead of the bindings that prompt_toolkit has, and not beside them.
            made.app.key_processor = KeyProcessor(keys)
            made.app.ttimeoutlen = ESCAPE_SECONDS
            return made

        self._history = LineHistory(look.history)
        self._lines = session(self._history)
        self._answers = session(DummyHistory())
        self._secrets = session(DummyHistory(), secret=True)
        self._secrets.bottom_toolbar = _LOGIN_HINT
        if look.colour:  # or a suggestion would look as if it had been typed
            self._lines.auto_suggest = AutoSuggestFromHistory()
        self._open: PromptSession[str] | None = None
        self._ending = False
        self._gone = False
        self._stuck = False
        # Made here and run in the thread: what is asked of it sooner waits for it.
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._may_draw = threading.Event()
        self._may_draw.set()

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        return await self._prompt(self._secrets if secret else self._answers, prompt)

    async def read_line(self) -> str | None:
        return await self._prompt(self._lines, PROMPT)

    def status(self, status: Status) -> None:
        # The thread may be slow, and wants to know the latest one only.
        self._latest_status = status
        if not self._has_news:
            self._has_news = True
            self._loop.call_soon_threadsafe(self._take_status)

    async def show(self, notices: Sequence[Notice]) -> None:
        shown = [notice for notice in notices if notice.lines]
        if not shown:
            await trio.lowlevel.checkpoint()
            return
        if self._stuck:
            raise TerminalGone
        finished, written = trio.Event(), list[bool]()
        self._loop.call_soon_threadsafe(self._show, shown, written, self._report_to(finished))
        await finished.wait()
        if not written:
            raise TerminalGone

    async def _prompt(self, session: PromptSession[str], prompt: str) -> str | None:
        await trio.lowlevel.checkpoint_if_cancelled()  # then no prompt shall flash up
        tasks: list[asyncio.Task[str | None]] = []
        finished = trio.Event()
        report = self._report_to(finished)

        def start() -> None:
            self._open, self._ending = session, False
            tasks.append(self._loop.create_task(self._run_prompt(session, prompt)))
            tasks[0].add_done_callback(report)

        self._loop.call_soon_threadsafe(start)
        try:
            await finished.wait()
        finally:
            if not finished.is_set():
                self._loop.call_soon_threadsafe(self._end_prompt)
                with trio.move_on_after(PATIENCE_SECONDS, shield=True):
                    await finished.wait()
                self._stuck = not finished.is_set()
        if self._gone:
            raise TerminalGone
        return tasks[0].result()

    @staticmethod
    def _report_to(event: trio.Event) -> Callable[..., None]:
        token = trio.lowlevel.current_trio_token()

        def report(*_: object) -> None:
            # Trio may have ended when an interpreter is torn down with a thread at work.
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(event.set)

        return report

    async def put_away(self) -> None:
        """Leave the screen to others, and draw nothing before `bring_back`.

        Whoever stops this process waits for that, but not long: a terminal may take no output.
        """
        finished = trio.Event()
        report = self._report_to(finished)
        self._may_draw.clear()

        def put_away() -> None:
            self._write(FOCUS_OFF + _PASTE_OFF, draw_again=False)
            report()
            self._may_draw.wait()

        self._loop.call_soon_threadsafe(put_away)
        try:
            with trio.move_on_after(PATIENCE_SECONDS):
                await finished.wait()
        finally:
            if not finished.is_set():
                self._may_draw.set()

    async def bring_back(self) -> None:
        """Use the screen again."""
        self._may_draw.set()
        self._loop.call_soon_threadsafe(self._bring_back)
        await trio.lowlevel.checkpoint()

    # -- In the thread -----------------------------------------------------------------------

    def run_thread(self) -> None:
        """Serve the other methods until `stop`."""
        self._loop.set_exception_handler(self._handle_failure)
        self._tty.uses_screen = True  # first, since the process may be killed at any moment
        self._write(FOCUS_ON)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stopped.wait())
        self._write(FOCUS_OFF)
        self._tty.uses_screen = False

    def stop(self) -> float:
        """Let the thread end, and say by when it has; no other call may be under way."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        return trio.current_time() + (0 if self._stuck else PATIENCE_SECONDS)

    async def _run_prompt(self, session: PromptSession[str], prompt: str) -> str | None:
        session.app.erase_when_done = False
        self._question.paste = None
        try:
            return await session.prompt_async(
                lambda: FormattedText([("", self._asked() + prompt)]),
                pre_run=self._end_prompt_if_asked,
                set_exception_handler=False,
                handle_sigint=False,
            )
        except EOFError:  # Ctrl-D, or the terminal has gone
            return None
        except OSError:
            self._gone = True
            return None
        finally:
            self._open = None

    def _end_prompt(self) -> None:
        self._ending = True
        self._end_prompt_if_asked()

    def _end_prompt_if_asked(self) -> None:
        """End an open prompt; one that is just about to open calls this when it does."""
        app = self._running_app()
        if self._ending and app is not None and not app.is_done:
            # Nothing is left of an empty prompt; what was typed stays to be read.
            app.erase_when_done = not app.current_buffer.text
            app.exit(result="")

    def _take_status(self) -> None:
        self._has_news = False  # first, so that what comes from now on is not missed
        self._status = status = self._latest_status
        if status.user != self._alerts.user:
            self._alerts.user = status.user
            self._history.log_in(status.user)
        # A toolbar that is empty would still take a line.
        shown = (lambda: toolbar(self._status, self._columns)) if status.user else None
        for session in (self._lines, self._answers):
            session.bottom_toolbar = shown
        app = self._running_app()
        if app is not None:
            app.invalidate()

    def _running_app(self) -> Application[str] | None:
        app = self._open.app if self._open is not None else None
        return app if app is not None and app.is_running else None

    @property
    def _columns(self) -> int:
        return self._screen.get_size().columns

    def _show(
        self, notices: Sequence[Notice], written: list[bool], report: Callable[[], None]
    ) -> None:
        """Write notices, put something into ``written`` if that has worked, and report."""
        try:
            text = self._layout.compose(notices, self._columns, datetime.now().astimezone())
            if not self._layout.focused:
                text += self._alerts.call(notices, time.monotonic())
            self._write(text)
            if not self._gone:
                written.append(True)
        finally:
            report()

    def _write(self, text: str, *, draw_again: bool = True) -> None:
        app = self._running_app()
        try:
            if app is not None:
                app.renderer.erase()
                if draw_again:
                    app.invalidate()  # when there is nothing else to do
            self._screen.write_raw(text)
            self._screen.flush()
        except OSError:
            self._gone = True

    def _bring_back(self) -> None:
        self._write(FOCUS_ON + (_PASTE_ON if self._running_app() else ""))

    def _focus(self, focused: bool) -> None:
        self._layout.focus(focused=focused)

    def _complete(self, buffer: Buffer) -> None:
        if self._open is not self._lines:
            return
        completion = complete(buffer.document.text_before_cursor, self._status)
        buffer.insert_text(completion.insert)
        if completion.choices:
            self._write(in_columns(completion.choices, self._columns))

    def _asked(self) -> str:
        """The question above the prompt, if there is one."""
        paste = self._question.paste
        if paste is None:
            return ""
        return "".join(f"{line}\n" for line in wcwidth.wrap(paste.question, self._columns))

    def _handle_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something failed outside of any task: prompt_toolkit could not draw."""
        if isinstance(context.get("exception"), OSError):
            self._gone = True
            self._end_prompt()
        else:
            loop.default_exception_handler(context)


class _Screen(Vt100_Output):
    """A screen that is not asked where its cursor is, as the answer would get among what is typed.

    But prompt_toolkit shows a status line only where it knows that there is room for it.
    """

    def get_rows_below_cursor_position(self) -> int:
        """At least the line of the prompt; it scrolls for more."""
        return 1


@asynccontextmanager
async def open_console(look: Look, tty: Tty) -> AsyncGenerator[Console, None]:
    """A `Console` on standard input and output, which must be this terminal."""
    console = Console(look, tty)
    patience = trio.CancelScope(shield=True)

    async def run_thread() -> None:
        with patience:
            await trio.to_thread.run_sync(
                console.run_thread, thread_name="console", abandon_on_cancel=True
            )

    tty.silence()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_thread)
            nursery.start_soon(follow_job_control, tty, console.put_away, console.bring_back)
            try:
                yield console
            finally:
                nursery.cancel_scope.cancel()
                patience.deadline = console.stop()
    finally:
        tty.restore()


class _Hide(Processor):
    """Shows nothing of what is typed, not even how much it is."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        return Transformation([], source_to_display=lambda _: 0, display_to_source=lambda _: 0)
