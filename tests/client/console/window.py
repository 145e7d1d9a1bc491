"""A client in a pseudo-terminal, against a scripted server on loopback."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pyte
import trio

from tests.client.scripted import SECONDS_MAX, ScriptedServer
from trio_chat.net.tcp import TcpTransport

ROWS = 24


_MARGIN = re.compile(r" +(\d\d:\d\d|earlier)$")


def _words_of(row: str) -> str:
    """A line without what stands at its right edge."""
    return _MARGIN.sub("", row.rstrip()).rstrip()


class Window:
    """A client in a terminal: keys go in, and what stands on the screen can be waited for.

    Attributes:
        process: the client.
        port: of its server.
        output: all that it has written.
    """

    def __init__(
        self, keyboard: int, terminal: int, process: trio.Process, columns: int, port: int
    ) -> None:
        self.process = process
        self.port = port
        self.output = b""
        self._keyboard = keyboard
        self._terminal = terminal
        self._screen = pyte.HistoryScreen(columns, ROWS, history=10_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = trio.Event()
        self._is_gone = False
        self._reading = trio.CancelScope()

    @property
    def lines(self) -> list[str]:
        """All lines that are or were on the screen, but for empty ones at its end."""
        above = [
            "".join(row[column].data for column in range(self._screen.columns))
            for row in self._screen.history.top
        ]
        return [line for row in (*above, *self._down_to_cursor) if (line := _words_of(row))]

    @property
    def _down_to_cursor(self) -> list[str]:
        return self._screen.display[: self._screen.cursor.y + 1]

    @property
    def toolbar(self) -> str:
        """What stands below the prompt."""
        return "".join(self._screen.display[self._screen.cursor.y + 1 :]).strip()

    @property
    def echoes(self) -> bool:
        flags = termios.tcgetattr(self._terminal)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    @property
    def visible(self) -> list[str]:
        return [line for row in self._down_to_cursor if (line := _words_of(row))]

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        with trio.move_on_after(SECONDS_MAX):
            while not condition():
                await self._changed.wait()
        assert condition(), "\n".join(self.lines)

    async def see(self, line: str) -> None:
        await self.wait_until(lambda: line in self.visible)

    async def see_toolbar(self, text: str) -> None:
        await self.wait_until(lambda: self.toolbar == text)

    @property
    def margins(self) -> list[str]:
        """What stands at the right edge, beside the words."""
        return [found[1] for row in self._screen.display if (found := _MARGIN.search(row))]

    def colours_of(self, word: str) -> set[str]:
        """In which colours a word stands on the screen."""
        found = set()
        for y, row in enumerate(self._screen.display):
            if word in row:
                found.add(self._screen.buffer[y][row.index(word)].fg)
        return found

    def resize(self, columns: int) -> None:
        self._screen.resize(ROWS, columns)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    async def see_last(self, line: str) -> None:
        await self.wait_until(lambda: self.visible[-1:] == [line])

    async def end(self) -> int:
        with trio.fail_after(SECONDS_MAX):
            status = await self.process.wait()
        await trio.testing.wait_all_tasks_blocked()  # the last output has been read then
        return status

    def hang_up(self) -> None:
        self._is_gone = True
        trio.lowlevel.notify_closing(self._keyboard)
        close(self._terminal, self._keyboard)

    async def draw(self) -> None:
        """Take the client's output, as a terminal does; runs until it is cancelled."""
        with self._reading:
            while True:
                try:
                    await trio.lowlevel.wait_readable(self._keyboard)
                except trio.ClosedResourceError:
                    return
                if self._is_gone:  # since there was something to read
                    return
                data = os.read(self._keyboard, 65536)
                self.output += data
                self._stream.feed(data)
                self._changed.set()
                self._changed = trio.Event()

    def stop_reading(self) -> None:
        """Take no more output."""
        self._reading.cancel()

    @property
    def has_unread(self) -> bool:
        """Whether there is output that was not taken."""
        count = fcntl.ioctl(self._keyboard, termios.FIONREAD, b"\0" * 4)
        return count != b"\0" * 4


_ENVIRONMENT = {
    **{
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "COLORTERM", "TMUX", "VTE_VERSION")
    },
    "PYTHONWARNINGS": "error",
}


@asynccontextmanager
async def open_stage(
    state_dir: Path,
    *options: str,
    term: str = "xterm",
    columns: int = 80,
    environment: dict[str, str] | None = None,
    prompt: str = "Username:",
    port: int = 0,
) -> AsyncGenerator[tuple[Window, ScriptedServer], None]:
    """A client in a terminal, and the server that it has greeted."""
    async with AsyncExitStack() as cleanup:
        listener = cleanup.enter_context(trio.socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await listener.bind(("127.0.0.1", port))
        listener.listen()
        port = listener.getsockname()[1]
        keyboard, terminal = os.openpty()
        cleanup.callback(close, keyboard, terminal)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        process = await trio.lowlevel.open_process(
            [
                *(sys.executable, "-m", "trio_chat.client", "127.0.0.1", str(port)),
                *("--state-dir", str(state_dir), "--plaintext", *options),
            ],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**_ENVIRONMENT, "TERM": term, **(environment or {})},
            start_new_session=True,
        )
        cleanup.push_async_callback(_kill, process)
        window = Window(keyboard, terminal, process, columns, port)
        with trio.fail_after(SECONDS_MAX):
            connected, _ = await listener.accept()
        transport = TcpTransport(socket.socket(fileno=connected.detach()))
        cleanup.callback(transport.close)
        server = ScriptedServer(transport, for_screen=term != "dumb" and "--plain" not in options)
        await server.greet()
        nursery = await cleanup.enter_async_context(trio.open_nursery())
        nursery.start_soon(window.draw)
        await window.see_last(prompt)
        yield window, server
        nursery.cancel_scope.cancel()


async def _kill(process: trio.Process) -> None:
    if process.poll() is None:
        process.kill()
    await process.wait()


def close(*files: int) -> None:
    for file in files:
        with suppress(OSError):  # the test may have hung up
            os.close(file)
