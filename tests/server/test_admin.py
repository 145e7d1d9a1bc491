"""The admin channel: questions of the operator, while the chat goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.core.beginning import Restored
from trio_chat.core.broker import Broker
from trio_chat.errors import FailureError
from trio_chat.net.local import connect_local
from trio_chat.server.admin import (
    SOCKET_NAME,
    Admin,
    AskCopy,
    AskStatus,
    Copied,
    NobodyAnswersError,
    ask,
)
from trio_chat.server.health import Health, Status
from trio_chat.server.hub import Hub
from trio_chat.server.log import Record
from trio_chat.storage.memory import MemoryStore

from .harness import SETTINGS

HANGS = 0.2
"""Seconds of real time in which nothing must happen."""


class SlowStore(MemoryStore):
    """A store whose copies take for ever, and say so.

    Attributes:
        begun: a copy is under way.
        given_up: it was cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = trio.Event()
        self.given_up = trio.Event()

    async def back_up(self, path: Path) -> None:
        self.begun.set()
        try:
            await trio.sleep_forever()
        finally:
            self.given_up.set()


class Server:
    """The channel of a server in which nobody chats."""

    def __init__(self, path: Path, store: MemoryStore) -> None:
        self.path = path
        self.alarms: list[Record] = []
        self._store = store

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        hub = Hub(Broker(frozenset(), SETTINGS, Restored()), None)
        health = Health(self.alarms.append)
        async with trio.open_nursery() as nursery:
            await nursery.start(Admin(hub, self._store, health).serve, self.path, self._alarm)
            yield
            nursery.cancel_scope.cancel()

    def _alarm(self, record: Record) -> None:
        self.alarms.append(record)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / SOCKET_NAME


async def line(path: Path, data: bytes) -> bytes:
    """What is answered to these bytes."""
    async with await connect_local(path) as stream:
        await stream.send_all(data)
        answer = b""
        with trio.fail_after(20):
            async for some in stream:
                answer += some
    return answer


async def test_the_status_is_told(path: Path) -> None:
    async with Server(path, MemoryStore()).running():
        status = await ask(path, AskStatus())
        assert isinstance(status, Status)
        assert (status.users_online, status.connections) == (0, 0)
    assert not await trio.Path(path).exists()
    with pytest.raises(NobodyAnswersError):
        await ask(path, AskStatus())


async def test_a_copy_is_made(path: Path, tmp_path: Path) -> None:
    async with Server(path, MemoryStore()).running():
        assert await ask(path, AskCopy(str(tmp_path / "copy"))) == Copied(0)
        assert (tmp_path / "copy").exists()
        with pytest.raises(FailureError, match=r"cannot write .*: File exists"):
            await ask(path, AskCopy(str(tmp_path / "copy")))


async def test_one_copy_at_a_time_and_the_status_meanwhile(path: Path, tmp_path: Path) -> None:
    store = SlowStore()
    async with Server(path, store).running(), trio.open_nursery() as nursery:
        nursery.start_soon(ask, path, AskCopy(str(tmp_path / "copy")))
        await store.begun.wait()
        with pytest.raises(FailureError, match="another backup is under way"):
            await ask(path, AskCopy(str(tmp_path / "other")))
        assert isinstance(await ask(path, AskStatus()), Status)
        nursery.cancel_scope.cancel()
    assert store.given_up.is_set()


async def test_who_goes_ends_what_they_have_asked_for(path: Path, tmp_path: Path) -> None:
    store = SlowStore()
    async with Server(path, store).running():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, path, AskCopy(str(tmp_path / "copy")))
            await store.begun.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(20):
            await store.given_up.wait()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"nonsense\n", b'{"type":"failed","text":"Protocol error.'),
        (b'{"type":"stop"}\n', b'{"type":"failed","text":"Protocol error.'),
        (b"x" * (limits.ADMIN_LINE_BYTES_MAX + 1), b'{"type":"failed","text":"Protocol error. A l'),
        (
            rb'{"type":"copy","path":"a\u0000b"}' + b"\n",
            rb'{"type":"failed","text":"cannot write a\u0000b: ',  # in Python's own words
        ),
        (b'{"type":"status"}\n', b'{"type":"status","version":'),
    ],
)
async def test_a_question_is_one_line_and_so_is_its_answer(
    path: Path, data: bytes, answer: bytes
) -> None:
    async with Server(path, MemoryStore()).running():
        answered = await line(path, data)
        assert answered.startswith(answer)
        assert answered.count(b"\n") == 1
        assert isinstance(await ask(path, AskStatus()), Status)


async def test_who_says_nothing_does_not_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADMIN_SECONDS_MAX", HANGS)
    async with Server(path, MemoryStore()).running():
        assert await line(path, b"") == b""
        streams = [await connect_local(path) for _ in range(2 * limits.ADMIN_CONNECTIONS_MAX)]
        with trio.fail_after(20):
            assert isinstance(await ask(path, AskStatus()), Status)
        for stream in streams:
            await stream.aclose()


async def test_a_copy_that_takes_too_long_is_given_up(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKUP_SECONDS_MAX", HANGS)
    store = SlowStore()
    async with Server(path, store).running():
        with pytest.raises(FailureError, match="this took too long"):
            await ask(path, AskCopy(str(tmp_path / "copy")))
    assert store.given_up.is_set()


async def test_a_server_that_ends_says_so(path: Path, tmp_path: Path) -> None:
    store = SlowStore()
    errors: list[str] = []

    async def ask_for_copy() -> None:
        with pytest.raises(FailureError) as caught:
            await ask(path, AskCopy(str(tmp_path / "copy")))
        errors.append(str(caught.value))

    async with trio.open_nursery() as nursery, Server(path, store).running():
        nursery.start_soon(ask_for_copy)
        await store.begun.wait()
    assert errors == ["the server has ended the connection; is it being stopped?"]


async def test_where_no_socket_can_be_the_chat_goes_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    server = Server(tmp_path / "missing" / SOCKET_NAME, MemoryStore())
    async with server.running():
        [alarm] = server.alarms
    assert alarm.event == "admin_unavailable"
    assert alarm.text.startswith(
        "there will be no 'status', 'backup' or other command of the operator while the server"
    )
