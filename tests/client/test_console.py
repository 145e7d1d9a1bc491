"""The real program in a pseudo-terminal, against a scripted server on loopback."""

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
import pytest
import trio

from trio_chat.net.tcp import TcpTransport
from trio_chat.protocol import messages as wire

from .scripted import SECONDS_MAX, WELCOME, ScriptedServer

COLUMNS, ROWS = 80, 24

CTRL_C, CTRL_D, CTRL_U, ENTER, UP = "\x03", "\x04", "\x15", "\r", "\x1b[A"


_MARGIN = re.compile(r" +(\d\d:\d\d|earlier)$")


def _words_of(row: str) -> str:
    """A line without what stands at its right edge."""
    return _MARGIN.sub("", row.rstrip()).rstrip()


class Window:
    """A client in a terminal: keys go in, and what stands on the screen can be waited for."""

    def __init__(self, keyboard: int, terminal: int, process: trio.Process) -> None:
        self.process = process
        self.output = b""
        self._keyboard = keyboard
        self._terminal = terminal
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = trio.Event()

    @property
    def lines(self) -> list[str]:
        """All lines that are or were on the screen, but for empty ones at its end."""
        above = [
            "".join(row[column].data for column in range(COLUMNS))
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

    async def see_last(self, line: str) -> None:
        await self.wait_until(lambda: self.visible[-1:] == [line])

    async def end(self) -> int:
        with trio.fail_after(SECONDS_MAX):
            status = await self.process.wait()
        await trio.testing.wait_all_tasks_blocked()  # the last output has been read then
        return status

    def hang_up(self) -> None:
        trio.lowlevel.notify_closing(self._keyboard)
        _close(self._terminal, self._keyboard)

    async def draw(self) -> None:
        """Take the client's output, as a terminal does; runs until it is cancelled."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._keyboard)
            except trio.ClosedResourceError:
                return
            data = os.read(self._keyboard, 65536)
            self.output += data
            self._stream.feed(data)
            self._changed.set()
            self._changed = trio.Event()


@asynccontextmanager
async def _stage(
    state_dir: Path, term: str = "xterm", *options: str
) -> AsyncGenerator[tuple[Window, ScriptedServer], None]:
    """A client in a terminal, and the server that it has greeted."""
    async with AsyncExitStack() as cleanup:
        listener = cleanup.enter_context(trio.socket.socket())
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        keyboard, terminal = os.openpty()
        cleanup.callback(_close, keyboard, terminal)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = await trio.lowlevel.open_process(
            [
                *(sys.executable, "-m", "trio_chat.client", "127.0.0.1", str(port)),
                *("--state-dir", str(state_dir), "--plaintext", *options),
            ],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": term, "PYTHONWARNINGS": "error"},
            start_new_session=True,
        )
        cleanup.push_async_callback(_kill, process)
        window = Window(keyboard, terminal, process)
        with trio.fail_after(SECONDS_MAX):
            connected, _ = await listener.accept()
        transport = TcpTransport(socket.socket(fileno=connected.detach()))
        cleanup.callback(transport.close)
        server = ScriptedServer(transport, for_screen=True)
        await server.greet()
        nursery = await cleanup.enter_async_context(trio.open_nursery())
        nursery.start_soon(window.draw)
        await window.see_last("Username:")
        yield window, server
        nursery.cancel_scope.cancel()


async def _kill(process: trio.Process) -> None:
    if process.poll() is None:
        process.kill()
    await process.wait()


def _close(*files: int) -> None:
    for file in files:
        with suppress(OSError):  # the test may have hung up
            os.close(file)


async def _log_in(window: Window, server: ScriptedServer) -> None:
    window.type(f"yoda{ENTER}")
    await window.see_last("Password:")
    window.type(f"wise{ENTER}")
    await server.admit()
    await window.see(WELCOME)
    await window.see_last(">")


def _delivery(seq: int) -> wire.Delivery:
    return wire.Delivery(seq, "hans", "c", seq, f"message {seq}")


async def test_login_and_commands_look_as_the_assignment_shows(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(f"whoelse{ENTER}")
        whoelse = await server.expect(wire.WhoElse)
        server.say(wire.Users(whoelse.id, ("yoda", "luke")))
        await window.see("luke")
        window.type(f"whatsthetime{ENTER}")
        await window.see("Error. Invalid command")
        await window.see_last(">")
        assert window.lines == [
            "Username: yoda",
            "Password:",
            WELCOME,
            "> whoelse",
            "yoda",
            "luke",
            "> whatsthetime",
            "Error. Invalid command",
            ">",
        ]
        assert b"wise" not in window.output
        assert b"CPR" not in window.output
        window.type(f"logout{ENTER}")
        await server.expect(wire.Active)
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes


async def test_a_wrong_password_is_asked_again(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        window.type(f"yoda{ENTER}")
        await window.see_last("Password:")
        window.type(f"weird{ENTER}")
        login = await server.expect(wire.Login)
        text = "Invalid Password. Please try again"
        server.say_bytes(
            b'{"type":"error","id":%d,"code":"invalid_password","text":"%b"}\n'
            % (login.id, text.encode())
        )
        await window.see(text)
        await window.see_last("Password:")
        assert window.lines == ["Username: yoda", "Password:", text, "Password:"]
        window.type(CTRL_C)
        assert await window.end() == 130
        assert window.echoes


async def test_the_line_being_typed_stays_intact_while_a_thousand_arrive(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        await _log_in(window, server)
        typed = "message hans Hey Dude"
        for number, key in enumerate(typed):
            window.type(key)
            first = number * 50
            server.say(*(_delivery(seq + 1) for seq in range(first, first + 50)))
            await window.see(f"hans: message {first + 50}")
        await window.see_last(f"> {typed}")
        count = 50 * len(typed)
        received = [line for line in window.lines if line.startswith("hans: ")]
        assert received == [f"hans: message {seq + 1}" for seq in range(count)]
        window.type(ENTER)
        while isinstance(message := await server.next(), wire.Ack):
            continue
        assert isinstance(message, wire.Message)
        assert message.text == "Hey Dude"


async def test_what_is_typed_ahead_is_kept_and_not_shown_early(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        window.type(f"yoda{ENTER}wise{ENTER}whoelse{ENTER}broadcast one")
        await server.admit()
        await server.expect(wire.WhoElse)
        await window.see_last("> broadcast one")
        assert b"wise" not in window.output
        assert window.lines[:5] == [
            "Username: yoda",
            "Password:",
            WELCOME,
            "> whoelse",
            "> broadcast one",
        ]


async def test_each_line_of_a_bracketed_paste_is_entered(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        await _log_in(window, server)
        count = 200
        lines = "\n".join(f"broadcast line {number}" for number in range(count))
        window.type(f"\x1b[200~{lines}\n\n  more\x1b[201~")
        for number in range(count):
            assert (await server.expect(wire.Broadcast)).text == f"line {number}"
        await window.see_last(">   more")


async def test_history_holds_commands_but_no_secrets(tmp_path: Path) -> None:
    async with _stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(f"broadcast one{ENTER}")
        await server.expect(wire.Broadcast)
        await window.see_last(">")
        window.type(UP)
        await window.see_last("> broadcast one")
        window.type(UP * 3)
        window.type("!")
        await window.see_last("> broadcast one!")


@pytest.mark.parametrize("keys", [CTRL_D, CTRL_C, f"half typed{CTRL_C}", f"logout{ENTER}"])
async def test_every_way_to_log_out(tmp_path: Path, keys: str) -> None:
    async with _stage(tmp_path) as (window, server):
        await _log_in(window, server)
        window.type(keys)
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes
        assert b"Traceback" not in window.output


@pytest.mark.parametrize(("keys", "status"), [(CTRL_C, 130), (CTRL_D, 1)])
async def test_leaving_without_login(tmp_path: Path, keys: str, status: int) -> None:
    async with _stage(tmp_path) as (window, _):
        window.type(keys)
        assert await window.end() == status
        assert window.echoes
        assert window.lines in (["Username:"], [])


@pytest.mark.parametrize("typed", ["", "half typed"])
async def test_the_server_has_gone_while_somebody_types(tmp_path: Path, typed: str) -> None:
    async with _stage(tmp_path, "xterm", "--reconnect", "0") as (window, server):
        await _log_in(window, server)
        window.type(typed)
        await window.see_last(f"> {typed}".rstrip())
        server.transport.close()
        assert await window.end() == 1
        left = [f"> {typed}"] if typed else []
        assert window.lines[3:] == [*left, "The server has closed the connection"]
        assert window.echoes


@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_window_that_is_closed_ends_the_client(tmp_path: Path, logged_in: bool) -> None:
    async with _stage(tmp_path) as (window, server):
        if logged_in:
            await _log_in(window, server)
        window.hang_up()
        with trio.fail_after(SECONDS_MAX):
            assert await window.process.wait() in (0, 1)


async def test_a_dumb_terminal_works(tmp_path: Path) -> None:
    async with _stage(tmp_path, term="dumb") as (window, server):
        await _log_in(window, server)
        server.say(wire.Presence("luke", online=True))
        await window.wait_until(lambda: "luke logged in" in window.output.decode())
        assert b"\x1b" not in window.output
        assert b"wise" not in window.output
        window.type(f"logout{ENTER}")
        await server.dismiss()
        assert await window.end() == 0
        assert window.echoes
