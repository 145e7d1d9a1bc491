from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_chat.client import app
from trio_chat.client.security import clear_text
from trio_chat.client.session import UnreachableError
from trio_chat.errors import ErrorCode
from trio_chat.net import tcp
from trio_chat.net.memory import memory_pair
from trio_chat.protocol import messages as wire

from .scripted import WELCOME, ScriptedServer, ScriptedTerminal


@asynccontextmanager
async def _no_terminal() -> AsyncGenerator[ScriptedTerminal, None]:
    yield pytest.fail("there was no server to open a terminal for")


async def _run(
    monkeypatch: pytest.MonkeyPatch, *said: wire.ServerMessage, data: bytes = b""
) -> None:
    """Run a client that meets a server which says this first, and then nothing more."""
    left, right = memory_pair()
    server = ScriptedServer(right)
    server.say(*said)
    server.say_bytes(data)

    async def connect(host: str, port: int) -> object:
        return left

    monkeypatch.setattr(tcp, "connect", connect)
    await app.run("server", 4000, _no_terminal, Path("unused"), clear_text)


async def _explanation(
    monkeypatch: pytest.MonkeyPatch, *said: wire.ServerMessage, data: bytes = b""
) -> str:
    with pytest.raises(UnreachableError) as caught:
        await _run(monkeypatch, *said, data=data)
    return str(caught.value)


async def test_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = await _explanation(monkeypatch, data=b"SSH-2.0-OpenSSH_9.2\r\n")
    assert explanation == "What answers at server:4000 is no trio-chat server"


async def test_a_server_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = wire.Error(ErrorCode.WRONG_VERSION, "Please update")
    assert await _explanation(monkeypatch, refusal) == "Please update"


async def test_a_server_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    assert await _explanation(monkeypatch) == "The server at server:4000 does not answer"
    assert trio.current_time() == pytest.approx(10)


@pytest.mark.parametrize(
    ("error", "explanation"),
    [
        (ConnectionRefusedError(), "Cannot reach the server at server:4000. Is it running?"),
        (socket.gaierror(-2, "unknown"), "Unknown host: server"),
        (UnicodeError("label too long"), "Unknown host: server"),
    ],
)
async def test_no_connection(
    monkeypatch: pytest.MonkeyPatch, error: Exception, explanation: str
) -> None:
    async def connect(host: str, port: int) -> object:
        raise error

    monkeypatch.setattr(tcp, "connect", connect)
    with pytest.raises(UnreachableError) as caught:
        await app.run("server", 4000, _no_terminal, Path("unused"), clear_text)
    assert str(caught.value) == explanation


async def test_from_start_to_end(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, tmp_path: Path
) -> None:
    left, right = memory_pair()
    server, person = ScriptedServer(right), ScriptedTerminal()
    opened: list[str] = []

    async def connect(host: str, port: int) -> object:
        assert (host, port) == ("::1", 4000)
        return left

    @asynccontextmanager
    async def open_terminal() -> AsyncGenerator[ScriptedTerminal, None]:
        opened.append("opened")
        yield person
        opened.append("closed")

    async def run() -> None:
        assert await app.run("::1", 4000, open_terminal, tmp_path, clear_text) == 0

    monkeypatch.setattr(tcp, "connect", connect)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        hello = await server.greet()
        assert len(hello.client) == 32
        person.type("yoda", "wise", "logout")
        await server.admit()
        await server.dismiss()
    await person.see(WELCOME)
    assert opened == ["opened", "closed"]
    with pytest.raises(trio.ClosedResourceError):
        await left.receive()
