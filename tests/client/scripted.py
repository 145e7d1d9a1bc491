"""The two sides of a client, each played by a script: the server and the person.

Both wait for what they expect, and fail if they don't get it in time; where nothing is
real, time is trio's, which jumps while nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import trio

from trio_chat.client.notice import Notice
from trio_chat.client.session import Session
from trio_chat.client.status import Status
from trio_chat.errors import UsageError
from trio_chat.net.memory import memory_pair
from trio_chat.net.transport import Transport
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines, request_decoder

T = TypeVar("T", bound=wire.Request)

SECONDS_MAX = 20.0
"""How long a script waits for what it expects."""

WELCOME = "Welcome to the greatest messaging application ever!"


class ScriptedServer:
    """The server's end of a connection.

    Args:
        transport: to the client.
        for_screen: whether the client asks who is online after its login, for a screen.
    """

    def __init__(self, transport: Transport, *, for_screen: bool = False) -> None:
        self.transport = transport
        self.others: tuple[str, ...] = ()
        self._for_screen = for_screen
        self.requests: list[wire.Request] = []
        self.listening: wire.Listening | None = None
        self._decoder = request_decoder()
        self._unread: list[wire.Request] = []

    def say(self, *messages: wire.ServerMessage) -> None:
        """Send messages; all of them arrive in one read."""
        self.say_bytes(encode_lines(messages))

    def say_bytes(self, data: bytes) -> None:
        assert self.transport.send_nowait(data) == len(data)

    async def next(self) -> wire.Request:
        """The next request; where the client listens is noted in passing."""
        with trio.fail_after(SECONDS_MAX):
            while not self._unread:
                data = await self.transport.receive()
                assert data, "the client has gone"
                for request in self._decoder.feed(data):
                    if isinstance(request, wire.Listening):
                        self.listening = request
                    else:
                        self._unread.append(request)
                        self.requests.append(request)
                assert self._decoder.violation is None
        return self._unread.pop(0)

    async def expect(self, kind: type[T]) -> T:
        """The next request, which must be of this kind."""
        request = await self.next()
        assert isinstance(request, kind), f"{request} is no {kind.__name__}"
        return request

    async def greet(self) -> wire.Hello:
        hello = await self.expect(wire.Hello)
        self.say(wire.Welcome(wire.PROTOCOL_VERSION, "scripted"))
        return hello

    async def admit(self, *messages: wire.ServerMessage, token: str = "") -> None:
        """Let yoda in; say more in the same breath."""
        login = await self.expect(wire.Login)
        assert (login.user, login.password) == ("yoda", "wise")
        tokens = [wire.Token(token)] if token else []
        self.say(*tokens, wire.Ok(login.id), *messages)
        if self._for_screen:
            whoelse = await self.expect(wire.WhoElse)
            self.say(wire.Users(whoelse.id, self.others))

    async def admit_again(self, *messages: wire.ServerMessage, token: str = "first") -> None:  # noqa: S107  # no secret
        """Let yoda come back with this token, and give them none; say more in the same breath."""
        await self.greet()
        resume = await self.expect(wire.Resume)
        assert (resume.user, resume.token) == ("yoda", token)
        self.say(wire.Ok(resume.id), *messages)

    async def dismiss(self) -> None:
        """Log out and close."""
        logout = await self.expect(wire.Logout)
        self.say(wire.Ok(logout.id))
        self.transport.close()


class ScriptedTerminal:
    """A person: what they type is put in, what they see is read off.

    Attributes:
        slow_seconds: how long lines stand on the screen before `show` returns.
    """

    def __init__(self, *, interactive: bool = True, shows_status: bool = False) -> None:
        self.interactive = interactive
        self.shows_status = shows_status
        self.screen: list[str] = []
        self.batches: list[list[str]] = []
        self.statuses: list[Status] = []
        self.notices: list[Notice] = []
        self.failure: Exception | None = None
        self.slow_seconds = 0.0
        self._keys, self._typed = trio.open_memory_channel[str | UsageError](10_000)
        self._changed = trio.Event()

    def type(self, *lines: str | UsageError) -> None:
        for line in lines:
            self._keys.send_nowait(line)

    def type_end(self) -> None:
        """As Ctrl-D does."""
        self._keys.close()

    async def see(self, line: str) -> None:
        """Wait until a line is on the screen; forget it and what stands above it."""
        with trio.fail_after(SECONDS_MAX):
            while line not in self.screen:
                await self._changed.wait()
        del self.screen[: self.screen.index(line) + 1]

    # -- The interface Terminal --------------------------------------------------------

    async def ask(self, prompt: str, *, secret: bool = False) -> str | None:
        assert secret is (prompt == "Password: ")
        await trio.lowlevel.checkpoint_if_cancelled()
        self._show(prompt)
        return await self.read_line()

    async def read_line(self) -> str | None:
        try:
            line = await self._typed.receive()
        except trio.EndOfChannel:
            return None
        if isinstance(line, UsageError):
            raise line
        return line

    def status(self, status: Status) -> None:
        self.statuses.append(status)

    async def show(self, notices: Sequence[Notice]) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        self.notices += notices
        lines = [line for notice in notices for line in notice.lines]
        if lines:
            self.batches.append(lines)
        for line in lines:
            self._show(line)
        if self.slow_seconds:
            await trio.sleep(self.slow_seconds)

    def _show(self, line: str) -> None:
        self.screen.append(line)
        self._changed.set()
        self._changed = trio.Event()


class ScriptedHost:
    """Where a client finds its server; each of its connections is played by another one.

    Attributes:
        failures: what the next tries to connect meet instead.
        tries: when there was one.
        capacity_bytes: what a server may leave unread.
    """

    def __init__(self, capacity_bytes: int = 1024 * 1024) -> None:
        self.failures: list[Exception] = []
        self.tries: list[float] = []
        self.capacity_bytes = capacity_bytes
        self._arrive, self._arrived = trio.open_memory_channel[ScriptedServer](100)

    async def connect(self) -> Transport:
        """Where the client connects; see `session.Connect`."""
        await trio.lowlevel.checkpoint()
        self.tries.append(trio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        left, right = memory_pair(self.capacity_bytes)
        self._arrive.send_nowait(ScriptedServer(right))
        return left

    async def accept(self) -> ScriptedServer:
        """The server's end of the next connection."""
        with trio.fail_after(SECONDS_MAX):
            return await self._arrived.receive()


async def open_session(host: ScriptedHost) -> tuple[Session, ScriptedServer]:
    """A client's session before login, and the server at its other end."""
    session = Session("server:4000", host.connect, "abcd")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.open)
        server = await host.accept()
        await server.greet()
    return session, server


async def begin_session(host: ScriptedHost) -> tuple[Session, ScriptedServer]:
    """The same after login; the next request has number 4."""
    session, server = await open_session(host)
    session.log_in("yoda", "wise")
    await server.admit(token="first")
    session.shown(await session.receive())
    return session, server
