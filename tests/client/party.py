"""Several clients, whole but for their screens and sockets, with a real server between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.server import harness
from tests.server.harness import password_of, running_chat
from trio_chat import limits
from trio_chat.client.chat import Chat
from trio_chat.client.files.transfers import FileOptions
from trio_chat.client.session import Session
from trio_chat.net.memory import MemoryTransport

from .peers import Network
from .scripted import SECONDS_MAX, WELCOME, ScriptedTerminal


@contextmanager
def _no_signals(*_: object) -> Iterator[AsyncIterator[int]]:
    """Several clients in one process can't all have its signals."""

    async def never() -> AsyncIterator[int]:
        await trio.sleep_forever()
        yield 0

    yield never()


class Guest:
    """A client and the person at it.

    Attributes:
        ended: its exit status, once it has one.
    """

    def __init__(self, party: Party, user: str, *, interactive: bool) -> None:
        self.user = user
        self.person = ScriptedTerminal(interactive=interactive)
        self.peering = party.network.client()
        self.status: int | None = None
        self.transport: MemoryTransport
        self.session: Session
        self.chat: Chat
        self._party = party
        self._life = trio.CancelScope()
        self._ended = trio.Event()

    async def run(self) -> None:
        try:
            with self._life:
                client = f"pc-{self.user}-{self.peering.port}"
                self.session = Session("server:4000", self._connect, client)
                await self.session.open()
                directory = self._party.directory
                options = FileOptions(directory / f"downloads of {self.user}")
                self.chat = Chat(
                    self.person,
                    self.session,
                    self.peering,
                    "server:4000",
                    directory,
                    options,
                    self._party.reconnect_seconds,
                )
                self.status = await self.chat.run()
        finally:
            self.session.close()
            self._ended.set()

    async def _connect(self) -> MemoryTransport:
        self.transport = (await self._party.server.connect()).transport
        return self.transport

    async def log_in(self) -> None:
        self.person.type(self.user, password_of(self.user))
        await self.person.see(WELCOME)

    def type(self, *lines: str) -> None:
        self.person.type(*lines)

    async def sees(self, *lines: str) -> None:
        """Wait for these, which must be all that is shown."""
        with trio.fail_after(SECONDS_MAX):
            while len(self.person.screen) < len(lines):
                await self.person._changed.wait()
        assert self.person.screen[: len(lines)] == list(lines), self.person.screen
        del self.person.screen[: len(lines)]

    async def says(self, line: str, *answers: str) -> None:
        self.type(line)
        await self.sees(*answers)

    async def end(self) -> int | None:
        """Wait for its end; return its exit status."""
        with trio.fail_after(SECONDS_MAX):
            await self._ended.wait()
        return self.status

    async def logs_out(self) -> None:
        self.type("logout")
        assert await self.end() == 0

    def kill(self) -> None:
        """As `kill -9` does: all its connections close, and nothing else is said."""
        self.transport.close()
        for transport, owner in self._party.network.owners.items():
            if owner is self.peering:
                transport.close()
        self._life.cancel()


class Party:
    """A server and its guests.

    Attributes:
        reconnect_seconds: how long those who join from now on try to come back to the server.
    """

    def __init__(self, server: harness.Chat, directory: Path, nursery: trio.Nursery) -> None:
        self.reconnect_seconds = 0.0
        self.server = server
        self.directory = directory
        self.network = Network()
        self.guests: list[Guest] = []
        self._nursery = nursery

    async def open(self, user: str, *, interactive: bool = True) -> Guest:
        """A client that was not told who uses it."""
        guest = Guest(self, user, interactive=interactive)
        self.guests.append(guest)
        self._nursery.start_soon(guest.run)
        await wait_all_tasks_blocked()
        return guest

    async def join(self, *users: str) -> list[Guest]:
        """Log users in one after the other; all that they see of that is forgotten."""
        guests = []
        for user in users:
            guest = await self.open(user)
            await guest.log_in()
            guests.append(guest)
        await trio.sleep(2 * limits.NOTICE_DELAY_SECONDS)  # all are told
        await wait_all_tasks_blocked()
        for guest in self.guests:
            guest.person.screen.clear()
        return guests

    async def settle(self, seconds: float = 0) -> None:
        """Let what is under way happen, and nothing remain unnoticed on any screen."""
        await trio.sleep(seconds)
        await wait_all_tasks_blocked()
        for guest in self.guests:
            assert guest.person.screen == [], guest.user


@asynccontextmanager
async def open_party(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Party, None]:
    """A party that everybody leaves in the end, without a task or a connection left over."""
    monkeypatch.setattr(trio, "open_signal_receiver", _no_signals)
    async with running_chat() as server, trio.open_nursery() as nursery:
        party = Party(server, directory, nursery)
        yield party
        with trio.fail_after(SECONDS_MAX):
            for guest in party.guests:
                if not guest._ended.is_set():
                    guest.type("logout")
                    await guest.end()
        for pair in party.network.transports:
            assert all(transport._closed for transport in pair), "left open"
