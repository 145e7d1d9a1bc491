from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.connection import Connection, ConnectionLost, Refused
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.net.memory import memory_pair
from trio_chat.protocol import messages as wire

from .scripted import ScriptedServer

HELLO = wire.Hello(wire.PROTOCOL_VERSION, "abcd", (wire.RESUME,))


# -- The greeting --------------------------------------------------------------------------


async def _greet(*said: wire.ServerMessage, data: bytes = b"") -> Connection:
    left, right = memory_pair()
    server = ScriptedServer(right)
    server.say(*said)
    server.say_bytes(data)
    right.send_eof()
    connection = Connection(left)
    await connection.greet(HELLO)
    assert await server.expect(wire.Hello) == HELLO
    return connection


async def test_a_server_that_refuses_is_quoted() -> None:
    with pytest.raises(Refused, match="old") as old:
        await _greet(wire.Error(ErrorCode.WRONG_VERSION, "too old"))
    assert old.value.code is ErrorCode.WRONG_VERSION
    with pytest.raises(Refused, match="shutting down") as stopping:
        await _greet(wire.Closed(ErrorCode.STOPPING, "shutting down"))
    assert stopping.value.code is ErrorCode.STOPPING


async def test_a_server_of_another_version_is_refused() -> None:
    with pytest.raises(Refused, match="speaks version 7, the client version 1"):
        await _greet(wire.Welcome(7, "future"))


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\n", b'{"type":"ok"}\n']
)
async def test_something_else_than_a_server_is_a_violation(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        await _greet(data=data)


async def test_a_greeting_must_be_a_welcome() -> None:
    with pytest.raises(ProtocolViolation, match="did not greet"):
        await _greet(wire.Presence("hans", True))


async def test_a_server_that_closes_has_gone() -> None:
    with pytest.raises(ConnectionLost):
        await _greet()


async def test_what_comes_with_the_greeting_is_not_lost() -> None:
    closed = wire.Closed(ErrorCode.STOPPING, "bye")
    connection = await _greet(wire.Welcome(1, "x"), closed)
    assert await connection.receive() == [closed]
    with pytest.raises(ConnectionLost):
        await connection.receive()


# -- After that ------------------------------------------------------------------------------


async def test_good_messages_before_a_bad_line_are_received(autojump_clock: MockClock) -> None:
    left, right = memory_pair()
    connection, server = Connection(left), ScriptedServer(right)
    server.say_bytes(b'{"type":"presence","user":"hans","online":true}\nrubbish\n')
    assert await connection.receive() == [wire.Presence("hans", True)]
    with pytest.raises(ProtocolViolation):
        await connection.receive()


async def test_a_server_that_is_told_much_and_reads_nothing_is_lost(
    autojump_clock: MockClock,
) -> None:
    left, _right = memory_pair(capacity_bytes=1024)
    connection = Connection(left)
    line = b'{"type":"active"}\n'
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        for _ in range(limits.OUTBOX_BYTES_MAX // len(line) + 100):
            assert connection.send(wire.Active()) == len(line)
        with pytest.raises(ConnectionLost):
            await connection.receive()


async def test_a_broken_connection_is_lost() -> None:
    left, _right = memory_pair()
    connection = Connection(left)
    left.close()
    with pytest.raises(ConnectionLost):
        await connection.greet(HELLO)


async def test_running_ends_when_it_is_closed(autojump_clock: MockClock) -> None:
    left, _right = memory_pair(capacity_bytes=10)
    connection = Connection(left)
    connection.send(wire.Active())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await trio.testing.wait_all_tasks_blocked()
        connection.close()
    assert trio.current_time() == 0
