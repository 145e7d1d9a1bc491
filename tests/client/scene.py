"""One client, whole but for its screen and its socket, between a person and a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from trio_chat.client.chat import Chat
from trio_chat.client.files.transfers import FileOptions
from trio_chat.errors import ErrorCode
from trio_chat.protocol import messages as wire

from .peers import Network
from .scripted import (
    SECONDS_MAX,
    WELCOME,
    ScriptedHost,
    ScriptedServer,
    ScriptedTerminal,
    open_session,
)

SERVER_GONE = "The server has closed the connection"
TRYING = "Trying to reach it again"


class Scene:
    """One client between a person and a server."""

    def __init__(
        self, host: ScriptedHost, server: ScriptedServer, person: ScriptedTerminal
    ) -> None:
        self.host = host
        self.server = server
        self.person = person
        self.status: int | None = None
        self._ended = trio.Event()

    async def log_in(self, *messages: wire.ServerMessage) -> None:
        self.person.type("yoda", "wise")
        await self.server.admit(*messages)
        await self.person.see(WELCOME)

    async def begin(self, *messages: wire.ServerMessage) -> None:
        """Log in, with a token by which to come back."""
        self.person.type("yoda", "wise")
        await self.server.admit(*messages, token="first")
        await self.person.see(WELCOME)

    async def comes_back(self, *messages: wire.ServerMessage) -> ScriptedServer:
        """The server's end of the client's next connection; say this right behind its login."""
        server = await self.host.accept()
        await server.admit_again(*messages)
        return server

    async def end(self) -> int:
        """Wait for the end of the client; return its exit status."""
        with trio.fail_after(SECONDS_MAX):
            await self._ended.wait()
        assert self.status is not None
        return self.status


@asynccontextmanager
async def open_scene(
    state_dir: Path,
    *,
    interactive: bool = True,
    shows_status: bool = False,
    reconnect_seconds: float = 0,
) -> AsyncGenerator[Scene, None]:
    host = ScriptedHost()
    session, server = await open_session(host)
    scene = Scene(
        host, server, ScriptedTerminal(interactive=interactive, shows_status=shows_status)
    )
    chat = Chat(
        scene.person,
        session,
        Network().client(),
        "server:4000",
        state_dir,
        FileOptions(state_dir),
        reconnect_seconds,
    )

    async def run() -> None:
        scene.status = await chat.run()
        scene._ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield scene
        await scene.end()


def error(code: ErrorCode, id: int) -> wire.Error:
    return wire.Error(code, code.describe(), id)


def delivery(seq: int, text: str, id: int | None = None) -> wire.Delivery:
    return wire.Delivery(seq, "hans", "c", id or seq, text)
