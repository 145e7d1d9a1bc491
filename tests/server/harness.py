"""A real server on in-memory connections and in virtual time, and clients played by a script.

Nothing here sleeps for luck: whoever waits, waits for a line, and trio's clock jumps while
nothing happens. A line that never comes ends the test after `PATIENCE_SECONDS` of that time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import argon2
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.core.beginning import Settings
from trio_chat.core.effects import Commit
from trio_chat.errors import ErrorCode
from trio_chat.net.crowd import Crowd
from trio_chat.net.memory import MemoryListener, MemoryTransport
from trio_chat.protocol import messages as wire
from trio_chat.protocol.framing import encode_lines, server_message_decoder
from trio_chat.server.accounts import Accounts
from trio_chat.server.app import serve
from trio_chat.server.credentials import Credentials
from trio_chat.server.log import as_text
from trio_chat.storage.memory import MemoryStore

NAMES = ("hans", "yoda", "luke", "vader", "r2d2", *(f"user{number}" for number in range(170)))
SETTINGS = Settings(block_seconds=60, idle_seconds=300)
PATIENCE_SECONDS = 1000.0
HERE = "127.0.0.1"
REPLIES = wire.Ok | wire.Sent | wire.Users | wire.Error

T = TypeVar("T", bound=wire.ServerMessage)


def password_of(user: str) -> str:
    return f"secret-{user}"


CREDENTIALS = Credentials({name: password_of(name) for name in NAMES})


QUICK_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes in microseconds, for where their strength is not the point."""


class Ended(AssertionError):
    """The server has closed a connection from which something was expected."""


class GatedStore(MemoryStore):
    """A store whose commits wait while its gate is shut.

    Attributes:
        commits: all that were begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Commit] = []
        self._gate = trio.Event()
        self._gate.set()

    def shut(self) -> None:
        self._gate = trio.Event()

    def open(self) -> None:
        self._gate.set()

    async def commit(self, commit: Commit) -> None:
        self.commits.append(commit)
        await self._gate.wait()
        await super().commit(commit)


class Client:
    """A client that does what its test says, and reads only when it waits for something.

    Attributes:
        transport: its end of the connection.
        name: under which it numbers its requests.
        number: of its latest request.
    """

    def __init__(self, transport: MemoryTransport, name: str = "") -> None:
        self.transport = transport
        self.name = name
        self.number = 0
        self._decoder = server_message_decoder()
        self._unread: list[wire.ServerMessage] = []

    # -- Sending ---------------------------------------------------------------------------

    async def send_bytes(self, data: bytes) -> None:
        while data:
            await self.transport.wait_writable()
            data = data[self.transport.send_nowait(data) :]

    async def send(self, *requests: wire.Request) -> None:
        await self.send_bytes(encode_lines(requests))

    async def begin(self, kind: Callable[..., wire.Request], **fields: object) -> int:
        """Send a request, don't wait for its reply; return its number."""
        self.number += 1
        await self.send(kind(id=self.number, **fields))
        return self.number

    # -- Receiving -------------------------------------------------------------------------

    async def _receive(self) -> bool:
        """Read once; return whether anything may follow."""
        data = await self.transport.receive()
        self._unread += self._decoder.feed(data)
        assert self._decoder.violation is None
        return bool(data)

    async def _take(self, matches: Callable[[wire.ServerMessage], bool]) -> wire.ServerMessage:
        """The first message that matches, out of what comes; the others stay."""
        checked = 0
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                for index in range(checked, len(self._unread)):
                    if matches(self._unread[index]):
                        return self._unread.pop(index)
                checked = len(self._unread)
                if not await self._receive():
                    raise Ended(f"the server has closed the connection after {self._unread}")

    async def expect(self, kind: type[T]) -> T:
        """The next message of this kind."""
        message = await self._take(lambda message: isinstance(message, kind))
        assert isinstance(message, kind)
        return message

    async def reply(self, number: int) -> wire.Reply:
        """The next reply, which has to be the one to the request of this number."""
        message = await self._take(lambda message: isinstance(message, REPLIES))
        assert isinstance(message, REPLIES)
        assert message.id == number, f"{message} answers something else"
        return message

    async def event(self) -> wire.ServerMessage:
        """The next message, whatever it is."""
        return await self._take(lambda message: True)

    async def text(self) -> str:
        """The text of the next message from somebody."""
        return (await self.expect(wire.Delivery)).text

    async def expect_nothing(self, seconds: float = 1) -> None:
        """Nothing has come, nothing comes for a while, and the connection is open."""
        with trio.move_on_after(seconds):
            await self._receive()
            assert self._unread, "the server has closed the connection"
        assert self._unread == []

    async def last_words(self) -> list[wire.ServerMessage]:
        """Read to the end of the connection; all that came and was not taken."""
        with trio.fail_after(PATIENCE_SECONDS):
            while await self._receive():
                pass
        self.transport.close()
        return self._unread

    async def closed(self) -> ErrorCode:
        """The reason that the server gives as it closes the connection."""
        last = (await self.last_words())[-1]
        assert isinstance(last, wire.Closed | wire.Error), f"{last} is no reason"
        return last.code

    # -- Dialogue --------------------------------------------------------------------------

    async def request(self, kind: Callable[..., wire.Request], **fields: object) -> wire.Reply:
        return await self.reply(await self.begin(kind, **fields))

    async def ok(self, kind: Callable[..., wire.Request], **fields: object) -> None:
        reply = await self.request(kind, **fields)
        assert reply == wire.Ok(self.number)

    async def refused(self, kind: Callable[..., wire.Request], **fields: object) -> wire.Error:
        reply = await self.request(kind, **fields)
        assert isinstance(reply, wire.Error), f"{reply} is no refusal"
        return reply

    async def users(self, kind: Callable[..., wire.Request], **fields: object) -> list[str]:
        reply = await self.request(kind, **fields)
        assert isinstance(reply, wire.Users)
        return list(reply.users)

    async def greet(self, *capabilities: str) -> None:
        await self.send(wire.Hello(wire.PROTOCOL_VERSION, self.name, capabilities))
        assert isinstance(await self.event(), wire.Welcome)

    async def try_login(self, user: str, password: str) -> wire.Reply:
        return await self.request(wire.Login, user=user, password=password)

    async def log_out(self) -> None:
        await self.ok(wire.Logout)
        assert [m for m in await self.last_words() if not isinstance(m, wire.Presence)] == []

    async def acknowledge(self, seq: int) -> None:
        await self.send(wire.Ack(seq))

    async def tell(self, to: Client, name: str, text: str) -> None:
        """A message that arrives, is acknowledged, and therefore safe."""
        number = await self.begin(wire.Message, to=name, text=text)
        delivery = await to.expect(wire.Delivery)
        assert delivery.text == text
        await to.acknowledge(delivery.seq)
        assert await self.reply(number) == wire.Ok(number)

    def drop(self) -> None:
        """Vanish, as with a pulled cable."""
        self.transport.close()


class Chat:
    """A server that can be stopped, crashed and started again on the same store.

    Attributes:
        log: what its server wrote into the debug log, if ``debug`` was asked for.
        alarms: what its operator must know.
        running: whether there is a server.
        accounts: who may log in.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        store: MemoryStore,
        settings: Settings,
        accounts: Accounts,
        *,
        debug: bool,
        crowd: Crowd | None,
        requests_per_second: int,
    ) -> None:
        self.store = store
        self.log: list[str] = []
        self.alarms: list[str] = []
        self.running = False
        self.accounts = accounts
        self._nursery = nursery
        self._settings = settings
        self._debug = debug
        self._crowd = crowd
        self._requests_per_second = requests_per_second

    # -- The server ------------------------------------------------------------------------

    async def start(self) -> None:
        self._listener = MemoryListener(crowd=self._crowd)
        self._stopping = trio.Event()
        self._ended = trio.Event()
        self._life = trio.CancelScope()
        await self._nursery.start(self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        self.running = True
        try:
            with self._life:
                await serve(
                    self._listener,
                    self.store,
                    self.accounts,
                    self._settings,
                    requests_per_second=self._requests_per_second,
                    stop=self._stopping,
                    log=(lambda record: self.log.append(as_text(record))) if self._debug else None,
                    alarm=lambda record: self.alarms.append(as_text(record)),
                    task_status=task_status,
                )
        finally:
            self.running = False
            self._ended.set()

    def begin_stop(self) -> None:
        self._stopping.set()

    async def stopped(self) -> None:
        """Wait for the end of a graceful stop, which comes in time."""
        with trio.fail_after(limits.STOP_SECONDS_MAX + 0.001):
            await self._ended.wait()

    async def stop(self) -> None:
        self.begin_stop()
        await self.stopped()

    async def crash(self) -> None:
        """End the server wherever it is just now."""
        self._life.cancel()
        await self._ended.wait()

    async def restart(self) -> None:
        await self.crash()
        await self.start()

    # -- Clients ---------------------------------------------------------------------------

    async def connect(self, name: str = "", host: str = HERE) -> Client:
        """A connection that has said nothing."""
        return Client(await self._listener.connect(host), name)

    async def greeted(self, name: str = "", host: str = HERE) -> Client:
        client = await self.connect(name, host)
        await client.greet()
        return client

    async def login(self, user: str, *, number: int = 1) -> Client:
        """A user's only client, on a new connection; its login is the request of this number."""
        client = await self.greeted(f"pc-{user}")
        client.number = number - 1
        reply = await client.try_login(user, password_of(user))
        assert isinstance(reply, wire.Ok) and reply.id == number
        return client

    async def expect_served(self, user: str = "r2d2") -> None:
        """Somebody who has nothing to do with what happens is served as ever, at once."""
        before = trio.current_time()
        client = await self.login(user)
        assert await client.request(wire.Broadcast, text="Beep") == wire.Sent(2, complete=True)
        await client.log_out()
        assert trio.current_time() == before


@asynccontextmanager
async def running_chat(
    store: MemoryStore | None = None,
    settings: Settings = SETTINGS,
    accounts: Accounts | None = None,
    *,
    debug: bool = False,
    crowd: Crowd | None = None,
    requests_per_second: int = limits.REQUESTS_PER_SECOND_MAX,
) -> AsyncIterator[Chat]:
    """A server for the length of a block; it ends in time and leaves no task behind."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    async with trio.open_nursery() as nursery:
        chat = Chat(
            nursery,
            store or MemoryStore(),
            settings,
            accounts or Accounts(CREDENTIALS),
            debug=debug,
            crowd=crowd,
            requests_per_second=requests_per_second,
        )
        await chat.start()
        yield chat
        if chat.running:
            await chat.stop()
        assert not nursery.child_tasks


def in_virtual_time(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario outside of pytest-trio, as hypothesis needs it."""
    trio.run(scenario, clock=MockClock(autojump_threshold=0))


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    await trio.sleep(seconds)
