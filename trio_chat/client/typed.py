"""The terminal of a person where nothing moves: for screen readers, and what can only print.

What is typed is echoed key by key, and what arrives gets lines of its own: the line being typed is
shown again below them. No sequence controls the screen; a carriage return and a backspace will do.
"""

from __future__ import annotations

import codecs
import math
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import trio

from ..tty import Tty
from .job_control import follow_job_control
from .line_editor import LineEditor, Outcome
from .notice import Notice
from .plain import Compose, line_too_long, read, write
from .sequences import ESCAPE_SECONDS, Sequences, pasted_text
from .status import Status
from .terminal import PROMPT, TerminalGone

LEAVE_SECONDS_MAX = 1.0
"""How long a terminal may take to end the last line."""


class TypedTerminal:
    """Prompts and lines, behind the interface `Terminal`.

    Args:
        tty: whose keys are read.
        input_file: the same as a descriptor.
        output_file: to show lines on.
        prompt_file: for prompts and what is typed; another one if the output goes elsewhere.
        compose: makes of notices what is written.
    """

    interactive = True
    shows_status = False

    def __init__(
        self, tty: Tty, input_file: int, output_file: int, prompt_file: int, compose: Compose
    ) -> None:
        self._tty = tty
        self._input = input_file
        self._output = output_file
        self._prompt = prompt_file
        self._compose = compose
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._sequences = Sequences()
        self._unread = deque[str]()
        self._line: LineEditor | None = None  # the one with the cursor
        self._is_open = False  # whether it is being typed
        # Two tasks show lines, and a third one echoes; none may write within another's.
        self._turn = trio.StrictFIFOLock()

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        await trio.lowlevel.checkpoint_if_cancelled()  # then no prompt shall flash up
        line = LineEditor(prompt, echoes=self._tty.echoes, secret=secret)
        with self._tty.taking_keys():  # before anybody can see that it is time to type
            async with self._turn:
                text = self._leave_line() + line.shown
                self._line, self._is_open = line, True
                await write(self._prompt, text)
            try:
                return await self._type(line)
            finally:
                self._is_open = False

    async def read_line(self) -> str | None:
        return await self.ask(PROMPT)

    def status(self, status: Status) -> None:
        pass  # lines only

    async def show(self, notices: Sequence[Notice]) -> None:
        async with self._turn:
            text = self._compose(notices)
            if text and self._prompt == self._output:
                text = self._leave_line() + text
                if self._line is not None:
                    text += self._line.shown
            await write(self._output, text)

    def _leave_line(self) -> str:
        """What to write so that something else can stand below the line with the cursor."""
        line = self._line
        if line is None:
            return ""
        if not self._is_open:
            self._line = None
        return "\r" if line.shown == PROMPT else "\n"

    async def _type(self, line: LineEditor) -> str | None:
        """Take keys until the line is complete."""
        while True:
            outcome = await self._press(line)
            if outcome is Outcome.ENTERED:
                if line.is_too_long:
                    raise line_too_long()
                return line.text
            if outcome is Outcome.ENDED:
                return None
            if outcome is Outcome.INTERRUPTED:
                os.kill(os.getpid(), signal.SIGINT)
            elif outcome is Outcome.STOPPED:
                os.kill(0, signal.SIGTSTP)  # all of the job, as the key does without a prompt
            elif not await self._read_keys():
                return None

    async def _press(self, line: LineEditor) -> Outcome | None:
        """Press the keys that were read, until one is not about the line."""
        echo, outcome = "", None
        async with self._turn:
            while self._unread and outcome is None:
                more, outcome = line.press(self._unread.popleft())
                echo += more
            if outcome is Outcome.ENTERED:
                self._line = None
            await write(self._prompt, echo)
        return outcome

    async def _read_keys(self) -> bool:
        """Wait for keys; return whether there can be more of them."""
        patience = ESCAPE_SECONDS if self._sequences.has_begun else math.inf
        with trio.move_on_after(patience):
            data = await read(self._input)
            for sequence in self._sequences.feed(self._decoder.decode(data)):
                text = pasted_text(sequence)
                self._unread += [sequence] if text is None else text
            return bool(data)
        self._unread += self._sequences.flush()
        return True

    async def bring_back(self) -> None:
        """Show again what was typed so far, on a line where others may have written."""
        with suppress(TerminalGone):
            async with self._turn:
                if self._line is not None:
                    await write(self._prompt, f"\r{self._line.shown}")

    async def put_away(self) -> None:
        """Leave all as it is."""
        await trio.lowlevel.checkpoint()

    async def leave(self) -> None:
        """Let what others write next begin on a line of its own."""
        with trio.move_on_after(LEAVE_SECONDS_MAX, shield=True), suppress(TerminalGone):
            if self._line is not None:
                await write(self._prompt, "\n")


@asynccontextmanager
async def open_typed(
    tty: Tty, input_file: int, output_file: int, prompt_file: int, compose: Compose
) -> AsyncGenerator[TypedTerminal, None]:
    """A `TypedTerminal`; it leaves the descriptors open, and the modes as they were at first."""
    terminal = TypedTerminal(tty, input_file, output_file, prompt_file, compose)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow_job_control, tty, terminal.put_away, terminal.bring_back)
            try:
                yield terminal
            finally:
                nursery.cancel_scope.cancel()
    finally:
        await terminal.leave()
        tty.restore()
