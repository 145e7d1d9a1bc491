"""A process with many clients of the soak; see `soak`. It may be killed at any moment.

Each client is the real one, on a real connection with TLS and a state directory of its own; only
its terminal is played. Its screen is a file that all clients of the process share: what `show`
writes, with one system call, is what was shown. So no kill comes between the two, and after a
kill the last line of the file is the only one whose messages may be shown again (see
docs/architecture.md, Delivery): what the client does next, without a pause, is remember them.

The other lines of the file say what was typed, before it is, and what was acknowledged, after.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from trio_chat.client.chat import Chat
from trio_chat.client.exchange import Received
from trio_chat.client.files.transfers import FileOptions
from trio_chat.client.known_hosts import FILE_NAME, KnownHosts
from trio_chat.client.notice import Notice
from trio_chat.client.peering import TlsPeering
from trio_chat.client.security import Fingerprints
from trio_chat.client.session import Session, UnreachableError
from trio_chat.client.state import identity_directory
from trio_chat.client.status import Status
from trio_chat.errors import FailureError
from trio_chat.net import tcp
from trio_chat.net.transport import HandshakeError, Transport
from trio_chat.protocol import messages as wire

from .server_process import password_of, user_name

DRAIN, LEAVE = "drain", "leave"
"""Files by which the process is told to send nothing more, and to log out."""

GAP_SECONDS = 1.5
POLL_SECONDS = 0.25
RECONNECT_SECONDS = 60.0
FILE_BYTES = 40_000
SHARED_FILES = 5


class Record(msgspec.Struct, omit_defaults=True):
    """A line of the file.

    Attributes:
        user: whose it is.
        typed: a line that goes to the client now.
        shown: lines that stand on the screen.
        acknowledged: texts of messages that the server has acknowledged.
        answered: whether nothing that was typed waits for an answer any more.
    """

    user: str
    typed: str = ""
    shown: list[str] = []
    acknowledged: list[str] = []
    answered: bool = False


class World:
    """What the clients of this process share."""

    def __init__(self, directory: Path, port: int, users: int, life: int, log: Path) -> None:
        self.directory = directory
        self.port = port
        self.users = users
        self.life = life
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log(self, record: Record) -> None:
        """Write a line, with one system call."""
        line = msgspec.json.encode(record) + b"\n"
        assert os.write(self._log, line) == len(line)

    def is_told(self, what: str) -> bool:
        return (self.directory / what).exists()


class LoggedSession(Session):
    """A session that tells of acknowledgements."""

    def __init__(self, world: World, user: str, server: str, host: str) -> None:
        state = world.directory / user
        encrypt = Fingerprints(KnownHosts(state / FILE_NAME), lambda line: None)

        async def connect() -> Transport:
            try:
                return await encrypt(await tcp.connect(host, world.port), host, server)
            except (OSError, HandshakeError) as error:
                raise UnreachableError(str(error)) from None

        super().__init__(server, connect, secrets.token_hex(16))
        self._world = world
        self._user = user

    def shown(self, batch: Sequence[Received]) -> None:
        texts = [
            received.request.text
            for received in batch
            if isinstance(received.request, wire.Message) and isinstance(received.message, wire.Ok)
        ]
        if texts:
            self._world.log(Record(self._user, acknowledged=texts))
        super().shown(batch)


class Person:
    """Behind the interface `Terminal`: types at random, and looks at nothing."""

    interactive = True
    shows_status = False

    def __init__(self, world: World, number: int, run: int, session: Session) -> None:
        self._world = world
        self._number = number
        self._user = user_name(number)
        self._life = f"{world.life}.{run}"
        self._session = session
        self._chance = random.Random()
        self._count = 0
        self._is_answered = False

    async def ask(self, prompt: str, *, secret: bool = False) -> str:
        await trio.lowlevel.checkpoint()
        return password_of(self._number) if secret else self._user

    async def read_line(self) -> str | None:
        while True:
            if self._world.is_told(LEAVE):
                return "logout"
            if not self._world.is_told(DRAIN):
                await trio.sleep(self._chance.expovariate(1 / GAP_SECONDS))
                line = self._think_of_something()
                self._world.log(Record(self._user, typed=line))
                return line
            await self._session.wait_all_answered()
            if not self._is_answered and self._session.is_connected:
                self._is_answered = True
                self._world.log(Record(self._user, answered=True))
            await trio.sleep(POLL_SECONDS)

    def _think_of_something(self) -> str:
        chance, self._count = self._chance, self._count + 1
        other = user_name(chance.randrange(self._world.users))
        mark = f"{self._user}:{self._life}:{self._count}"
        file = f"{chance.randrange(SHARED_FILES)}.bin"
        lines = {
            f"message {other} m:{mark}": 60,
            f"broadcast b:{mark}": 3,
            f"private {other} p:{mark}": 10,
            f"startprivate {other}": 4,
            f"stopprivate {other}": 2,
            "whoelse": 5,
            "whoelsesince 10": 5,
            f"block {other}": 2,
            f"unblock {other}": 6,
            f"register {self._world.directory / file}": 1,
            f"searchFile {file}": 1,
            f"download {file}": 1,
            "nonsense": 1,
            "logout": 1,
        }
        return chance.choices(list(lines), list(lines.values()))[0]

    def status(self, status: Status) -> None:
        """There is no place for it."""

    async def show(self, notices: Sequence[Notice]) -> None:
        # Before and not after: between the screen and what the client remembers is no pause.
        await trio.lowlevel.checkpoint()
        lines = [line for notice in notices for line in notice.lines]
        if lines:
            self._world.log(Record(self._user, shown=lines))


async def live(world: World, number: int) -> None:
    """One user, who always comes back until it is time to leave."""
    user, host = user_name(number), "127.0.0.1"
    server = f"{host}:{world.port}"
    state = world.directory / user
    run = 0
    while not world.is_told(LEAVE):
        run += 1
        session = LoggedSession(world, user, server, host)
        try:
            await session.open()
            chat = Chat(
                Person(world, number, run, session),
                session,
                TlsPeering(partial(identity_directory, state, server), host=host),
                server,
                state,
                FileOptions(state / "downloads"),
                RECONNECT_SECONDS,
            )
            await chat.run()
        except FailureError:
            pass  # the server is not there just now
        finally:
            session.close()
        await trio.sleep(random.uniform(0.2, 2.0))


async def run(world: World, numbers: range) -> None:
    """Play all users of this process."""
    async with trio.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(live, world, number)


@contextmanager
def _no_signals(*_: object) -> Iterator[AsyncIterator[int]]:
    """Several clients in one process can't all have its signals."""

    async def never() -> AsyncIterator[int]:
        await trio.sleep_forever()
        yield 0

    yield never()


def main() -> None:
    """Run until it is time to leave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("log", type=Path)
    for name in ("port", "users", "first", "last", "life"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    trio.open_signal_receiver = _no_signals
    world = World(
        arguments.directory, arguments.port, arguments.users, arguments.life, arguments.log
    )
    trio.run(run, world, range(arguments.first, arguments.last))


if __name__ == "__main__":
    main()
