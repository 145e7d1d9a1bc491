"""The terminal of scripts: plain lines in and out, for pipes and files.

Rule: descriptors are used as they are. They may be shared with other programs, so nothing
is set non-blocking; instead trio waits until a read or a small write can't block. What it
can't wait for (regular files, ``/dev/null``) never blocks for long. A terminal may take less than
it seems to, so a thread writes to it, which is abandoned if it is stuck and all is to end.

A line is what ends in a newline, with or without a carriage return before it, or what is
left at the end; a byte-order mark before it does not matter. Nothing is prompted or decorated.
"""

from __future__ import annotations

import os
import select
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from .. import limits
from ..errors import UsageError
from ..text import BOM
from .notice import Notice, text_of
from .status import Status
from .terminal import TerminalGone

Compose = Callable[[Sequence[Notice]], str]
"""Makes of notices what is written, each line with its newline."""


class PlainTerminal:
    """Lines over two descriptors, behind the interface `Terminal`.

    Attributes:
        failure: why the output could not be written, if so; empty if its reader has gone.

    Args:
        input_file: to read from.
        output_file: to show lines on.
        compose: makes of notices what is written.
    """

    interactive = False
    shows_status = False

    def __init__(self, input_file: int, output_file: int, compose: Compose = text_of) -> None:
        self._compose = compose
        self._input = input_file
        self._output = output_file
        self._unread = bytearray()
        self._skipping = False
        self._ended = False
        self.failure = ""
        # Two tasks show lines; a batch of one must not end up inside a batch of the other.
        self._turn = trio.StrictFIFOLock()

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        return await self._next_line()

    async def read_line(self) -> str | None:
        return await self._next_line()

    def status(self, status: Status) -> None:
        pass  # lines only

    async def show(self, notices: Sequence[Notice]) -> None:
        async with self._turn:
            try:
                await write(self._output, self._compose(notices))
            except TerminalGone as gone:
                self.failure = str(gone)
                raise

    async def _next_line(self) -> str | None:
        """Cut the next line off what was read.

        A line that is too long is dropped while it is read, so it takes no memory.
        """
        await trio.lowlevel.checkpoint()
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > limits.LINE_BYTES_MAX:
                self._skipping = True
                self._unread.clear()
                searched = 0
            if self._ended:
                if not self._unread and not self._skipping:
                    return None
                end = searched
                break
            data = await read(self._input)
            self._ended = not data
            self._unread += data
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return self._decode(line)

    def _decode(self, line: bytes) -> str:
        skipped, self._skipping = self._skipping, False
        if skipped or len(line) > limits.LINE_BYTES_MAX:
            raise line_too_long()
        # What is not UTF-8 becomes lone surrogates, which the grammar explains.
        text = line.removesuffix(b"\r").decode(errors="surrogateescape")
        return text.removeprefix(BOM)  # at the beginning of each file that was joined to this


@asynccontextmanager
async def open_plain(
    input_file: int, output_file: int, compose: Compose = text_of
) -> AsyncGenerator[PlainTerminal, None]:
    """A `PlainTerminal`; it leaves the descriptors open."""
    yield PlainTerminal(input_file, output_file, compose)


def line_too_long() -> UsageError:
    """What is said of a line that nobody could have meant to type."""
    return UsageError(f"Error. A line can have at most {limits.LINE_BYTES_MAX} bytes")


async def _wait(wait: Callable[[int], Awaitable[None]], file: int) -> None:
    try:
        await wait(file)
    except PermissionError:  # epoll's word for what is always ready
        await trio.lowlevel.checkpoint()


async def read(file: int) -> bytes:
    """The next bytes; none at the end, or if the input is gone."""
    try:
        while True:
            await _wait(trio.lowlevel.wait_readable, file)
            try:
                return os.read(file, limits.RECEIVE_BYTES_MAX)
            except BlockingIOError:  # somebody else has made it non-blocking
                continue
    except OSError:
        return b""


async def write(file: int, text: str) -> None:
    """Write a text, whatever kind of file it is.

    Raises:
        TerminalGone: if nobody can read it any more.
    """
    data = memoryview(text.encode(errors="replace"))
    write_part = _write_in_thread if os.isatty(file) else _write_here
    try:
        while data:
            await _wait(trio.lowlevel.wait_writable, file)
            # A pipe that is writable takes so much without blocking.
            part = data[: select.PIPE_BUF]
            try:
                data = data[await write_part(file, part) :]
            except BlockingIOError:
                continue
    except BrokenPipeError:
        raise TerminalGone from None  # a reader that has had enough, such as `head`
    except OSError as error:
        raise TerminalGone(error.strerror or str(error)) from None


async def _write_here(file: int, data: memoryview) -> int:
    return os.write(file, data)


async def _write_in_thread(file: int, data: memoryview) -> int:
    return await trio.to_thread.run_sync(os.write, file, data, abandon_on_cancel=True)
