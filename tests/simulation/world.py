"""The server and the clients, as they start, die and come back on what outlives them."""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path
from unittest.mock import patch

import trio

from tests.core.invariants import check_invariants
from trio_chat import limits
from trio_chat.client import render
from trio_chat.client.chat import LOGOUT_SECONDS_MAX, Chat
from trio_chat.client.files.transfers import FileOptions
from trio_chat.client.session import Session, UnreachableError
from trio_chat.core.beginning import Settings
from trio_chat.core.broker import Broker
from trio_chat.errors import FailureError
from trio_chat.server import app
from trio_chat.server.accounts import Accounts
from trio_chat.server.credentials import Credentials
from trio_chat.server.hub import Hub
from trio_chat.server.log import Log
from trio_chat.server.pace import Paces

from .blocks import Known
from .delivery import Broken
from .disk import Disk, SimulatedStore
from .network import End, Network, VirtualListener
from .peering import Everybody, SimulatedPeering
from .terminal import SimulatedTerminal
from .timeline import Timeline
from .watched import Watched
from .wiretap import Json, PeerTap, ServerTap, number_in

SERVER_HOST = "10.0.0.1"
SERVER_PORT = 4000
NAMES = ("hans", "luke", "r2d2", "vader", "yoda")

LINKED = {render.private_started(user).lines[0]: user for user in NAMES}
"""What a client says when there is a link."""

GOES_ON = render.peers_go_on().lines[0]

DROPPED = (render.outbox_full("").lines[0], render.no_server().lines[0])
"""What a client says of a line that it does not send."""


def password_of(user: str) -> str:
    return f"secret of {user}"


class Client:
    """One run of a client program.

    Attributes:
        terminal: of its person.
        welcome: whether its person was let in.
        linked: with whom it had a link.
        ended: set when it has.
        transport: to the server, once it is connected.
    """

    def __init__(self, person: Person, answers: list[str], port: int) -> None:
        world = person.world
        self.person = person
        self.terminal = SimulatedTerminal(world.chance, person.see, answers)
        self.welcome = False
        self.ended = trio.Event()
        self.status: int | None = None
        self.was_killed = False
        self.transport: End | None = None
        self.connections = 0
        self.tap: ServerTap | None = None
        self.is_alone = False
        self.linked: set[str] = set()
        self._requests: dict[int, Json] = {}
        self._reconnect_seconds = world.chance.choice((0.0, 60.0, 60.0, 60.0))
        self._life = trio.CancelScope()
        self._peering = SimulatedPeering(
            world.network, person.host, port, world.everybody, world.watch_peers
        )

    async def run(self) -> None:
        world, person = self.person.world, self.person
        session = Session("server:4000", self._connect, world.new_name())
        try:
            with self._life:
                await session.open()
                self.status = await Chat(
                    self.terminal,
                    session,
                    self._peering,
                    "server:4000",
                    person.directory,
                    FileOptions(person.directory / "downloads"),
                    self._reconnect_seconds,
                ).run()
        except FailureError as error:
            world.trace(f"{person.user} does not reach the server: {error}")
        finally:
            session.close()
            self.ended.set()
            person.client_ended(self)

    async def _connect(self) -> End:
        """A new connection to the server."""
        world, person = self.person.world, self.person
        try:
            transport = await world.network.connect(person.host, SERVER_HOST, SERVER_PORT)
        except OSError as error:
            raise UnreachableError("Nobody answers") from error
        self.transport = transport
        self.connections += 1
        if self.connections > 1:
            world.watched.count("reconnections tried")
        self.tap = ServerTap(world.watched, person.user, world.servers, transport, self._requests)
        return transport

    @property
    def is_online(self) -> bool:
        """Whether its person was let in, and it is connected as far as it knows."""
        tap, transport = self.tap, self.transport
        return (
            self.welcome
            and tap is not None
            and tap.session is not None
            and tap.session.began_at is not None
            and transport is not None
            and transport.informed_at is None
        )

    def kill(self, *, silently: bool = False) -> None:
        """As `kill -9` does: the system closes its connections, and nothing else is said.

        If silently, not even that, as when its machine has lost its power.
        """
        self.was_killed = True
        self.person.world.network.kill(self.person.host, silently=silently)
        self._life.cancel()


class Person:
    """Somebody with an account, a machine, and what their clients leave on it.

    Attributes:
        client: that runs, if any does.
        directory: where it keeps what it remembers.
    """

    def __init__(self, world: World, user: str, number: int) -> None:
        self.world = world
        self.user = user
        self.host = f"10.0.0.{number}"
        self.client: Client | None = None
        self.directory = world.directory / user
        self.screen: list[str] = []
        self._ports = 40_000

    @property
    def is_online(self) -> bool:
        """Whether a client runs here that has let them in, and is connected as far as it knows."""
        client = self.client
        return client is not None and client.is_online

    def start(self, *passwords: str) -> Client:
        """Start a client; it is told who uses it, and these passwords."""
        assert self.client is None
        self._ports += 1
        answers = [self.user, *(passwords or (password_of(self.user),))]
        self.client = Client(self, answers, self._ports)
        self.world.trace(f"{self.user} starts a client")
        self.world.nursery.start_soon(self.client.run)
        return self.client

    def see(self, line: str) -> None:
        """A line appears on the screen."""
        self.world.trace(f"{self.user} | {line}")
        self.screen.append(line)
        client = self.client
        assert client is not None
        if line == render.WELCOME:
            client.welcome = True
        elif line.endswith(GOES_ON):
            client.is_alone = True
        elif line in LINKED:
            client.linked.add(LINKED[line])
        elif line in DROPPED:
            self._dropped(client.terminal.last_read)
        self.world.watched.delivery.shown(self.user, line)
        if line.startswith("Downloaded ") and ": " in line:
            self.world.check_file(line)

    def type(self, line: str) -> None:
        """Type a line into the client."""
        assert self.client is not None
        self.world.trace(f"{self.user} types {line!r}")
        self.client.terminal.type(line)

    def _dropped(self, line: str) -> None:
        """A line was not sent, as the person was told."""
        kind, _, rest = line.partition(" ")
        if kind in ("message", "broadcast"):
            number = number_in(rest[rest.index("#") :])
            self.world.watched.delivery.refused(number, "dropped by the client")
        elif kind in ("block", "unblock"):
            now = self.world.watched.now()
            self.world.watched.blocks.answered(self.user, rest, Known.UNSURE, now)
        self.world.watched.count("lines dropped by clients")

    def client_ended(self, client: Client) -> None:
        world = self.world
        world.trace(f"the client of {self.user} has ended: {client.status}")
        for since, lines in client.terminal.unrecorded.values():
            # One that ends by itself has waited for its screen.
            if client.was_killed or world.watched.now() >= since + LOGOUT_SECONDS_MAX:
                for line in lines:
                    world.watched.delivery.forgotten(self.user, line)
                    world.watched.count("lines shown and not recorded")
        world.watched.blocks.client_ended(self.user, world.watched.now())
        self.client = None


class World:
    """Everything that a seed makes.

    Attributes:
        servers: how many there were.
        persons: by name.
    """

    def __init__(self, chance: random.Random, directory: Path, nursery: trio.Nursery) -> None:
        self.chance = chance
        self.directory = directory
        self.nursery = nursery
        self.timeline = Timeline()
        self.network = Network(chance, self.timeline)
        self.disk = Disk(chance)
        self.settings = Settings(
            block_seconds=chance.choice((5.0, 30.0)), idle_seconds=chance.choice((50.0, 400.0))
        )
        self.watched = Watched(trio.current_time, self.settings.idle_seconds, directory)
        self.trace = self.watched.trace
        self.everybody: Everybody = {}
        self.files: dict[str, bytes] = {}
        self.persons = {
            user: Person(self, user, number) for number, user in enumerate(NAMES, start=2)
        }
        self.servers = 0
        self._accounts = Accounts(Credentials({name: password_of(name) for name in NAMES}))
        self._names = random.Random(chance.random())
        self._server_life = trio.CancelScope()
        self._server_ended = trio.Event()
        self._server_ended.set()
        self._store: SimulatedStore | None = None
        self._stop = trio.Event()
        self._hub: Hub | None = None

    def new_name(self) -> str:
        """A client's random name."""
        return self._names.randbytes(16).hex()

    def watch_peers(self, end: End, user: str, other: str) -> None:
        PeerTap(self.watched, end, user, other)

    # -- The server ------------------------------------------------------------------------------

    @property
    def is_serving(self) -> bool:
        """Whether there is a server."""
        return not self._server_ended.is_set()

    async def start_server(self) -> None:
        """Start a server on the disk; wait until it listens."""
        assert not self.is_serving
        self.servers += 1
        self._server_ended = trio.Event()
        self._server_life = trio.CancelScope()
        self._stop = trio.Event()
        self.trace("a server starts")
        await self.nursery.start(self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        self._store = self.disk.open()
        listener = VirtualListener(self.network, SERVER_HOST, SERVER_PORT)

        def make_hub(broker: Broker, log: Log | None, paces: Paces | None) -> Hub:
            self._hub = Hub(broker, log, paces)
            return self._hub

        try:
            with self._server_life, patch.object(app, "Hub", make_hub):
                await app.serve(
                    listener,
                    self._store,
                    self._accounts,
                    self.settings,
                    stop=self._stop,
                    alarm=lambda record: self.trace(f"alarm: {record.text}"),
                    task_status=task_status,
                )
        finally:
            self._hub = None
            self.trace("the server has ended")
            self._server_ended.set()

    async def crash_server(self, *, silently: bool = False) -> None:
        """End the server wherever it is just now, or its machine."""
        assert self._store is not None
        self._store.is_dead = True
        self.network.kill(SERVER_HOST, silently=silently)
        self._server_life.cancel()
        await self._server_ended.wait()

    async def stop_server(self) -> None:
        """Stop the server gracefully, which takes a bounded time."""
        self.trace("the server is asked to stop")
        self._stop.set()
        with trio.fail_after(limits.STOP_SECONDS_MAX + 1):
            await self._server_ended.wait()

    # -- What must hold at any moment -----------------------------------------------------------

    def check(self) -> None:
        """Bounds and invariants of the server."""
        if self._hub is None:
            return
        broker = self._hub._broker
        check_invariants(broker)
        for mailbox in broker._post.mailboxes.values():
            if len(mailbox) > limits.MAILBOX_MESSAGES_MAX:
                raise Broken(f"the mailbox of {mailbox.user} has {len(mailbox)} messages")
        for connection in self._hub._connections.values():
            outbox = connection._outbox
            waiting = len(outbox._unsent)
            if waiting > limits.OUTBOX_BYTES_MAX and not outbox._finished:
                raise Broken(f"{waiting} bytes wait for {connection.peer}")

    def check_empty(self) -> None:
        """Everybody has read everything and left: the server keeps nothing of them in memory."""
        assert self._hub is not None
        broker = self._hub._broker
        left: dict[str, Collection[object]] = {
            "connections": self._hub._connections,
            "sessions": broker._sessions.by_id,
            "mailboxes": broker._post.mailboxes,
            "holders of files": broker._catalogue._held,
        }
        for what, things in left.items():
            if things:
                raise Broken(f"{what} are left over: {list(things)}")

    def check_file(self, line: str) -> None:
        """A download says that it is complete: its bytes must be those that were registered."""
        path = Path(line.rsplit(": ", 1)[1])
        name = line.removeprefix("Downloaded ").split(",", 1)[0]
        if path.read_bytes() != self.files[name]:
            raise Broken(f"{path} is not {name}")
        self.watched.count("files downloaded")
