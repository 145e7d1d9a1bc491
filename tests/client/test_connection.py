from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_chat import limits
from trio_chat.client.connection import Connection, ConnectionLost, Exchange, Received, Refused
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.net.memory import memory_pair
from trio_chat.protocol import messages as wire

from .scripted import ScriptedServer, greeted_pair

WHOELSE = wire.WhoElse(0)


def _delivery(seq: int) -> wire.Delivery:
    return wire.Delivery(seq, "hans", "c", seq, "hi")


# -- The greeting --------------------------------------------------------------------------


async def test_greeting_names_version_and_client(autojump_clock: MockClock) -> None:
    _, server = await greeted_pair()
    assert server.requests == [wire.Hello(wire.PROTOCOL_VERSION, "abcd")]


async def _greet(*said: wire.ServerMessage, data: bytes = b"") -> Connection:
    left, right = memory_pair()
    server = ScriptedServer(right)
    server.say(*said)
    server.say_bytes(data)
    right.send_eof()
    connection = Connection(left, "abcd")
    await connection.greet()
    return connection


async def test_a_server_that_refuses_is_quoted() -> None:
    with pytest.raises(Refused, match="old"):
        await _greet(wire.Error(ErrorCode.WRONG_VERSION, "too old"))
    with pytest.raises(Refused, match="shutting down"):
        await _greet(wire.Closed(ErrorCode.STOPPING, "shutting down"))


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
    assert await connection.receive() == [Received(closed)]
    with pytest.raises(ConnectionLost):
        await connection.receive()


# -- Requests and replies ------------------------------------------------------------------


async def test_requests_are_numbered_and_find_their_replies(autojump_clock: MockClock) -> None:
    connection, server = await greeted_pair()
    first = await connection.send(wire.Message(0, "hans", "hi"))
    second = await connection.send(WHOELSE)
    assert (await server.expect(wire.Message)).id == 1
    assert (await server.expect(wire.WhoElse)).id == 2
    users, ok = wire.Users(2, ("luke",)), wire.Ok(1)
    server.say(users, ok)
    batch = await connection.receive()
    assert batch == [Received(users, second.request), Received(ok, first.request)]
    assert (connection.unanswered, first.reply) == (2, None)
    connection.shown(batch)
    assert (connection.unanswered, await first.wait(), await second.wait()) == (0, ok, users)


async def test_shown_messages_are_acknowledged_at_once_up_to_the_last(
    autojump_clock: MockClock,
) -> None:
    connection, server = await greeted_pair()
    server.say(_delivery(3), wire.Presence("hans", False), _delivery(7))
    connection.shown(await connection.receive())
    assert await server.expect(wire.Ack) == wire.Ack(7)
    server.say(wire.Presence("hans", True))
    connection.shown(await connection.receive())
    connection.tell(wire.Active())
    await server.expect(wire.Active)  # with no other acknowledgement before it


async def test_a_reply_to_nothing_is_a_violation(autojump_clock: MockClock) -> None:
    connection, server = await greeted_pair()
    server.say(wire.Presence("hans", True), wire.Ok(5), wire.Presence("hans", False))
    assert await connection.receive() == [Received(wire.Presence("hans", True))]
    with pytest.raises(ProtocolViolation, match="no request 5"):
        await connection.receive()


async def test_a_second_reply_in_one_batch_is_harmless(autojump_clock: MockClock) -> None:
    connection, server = await greeted_pair()
    exchange = await connection.send(WHOELSE)
    server.say(wire.Users(1, ("a",)), wire.Users(1, ("b",)))
    connection.shown(await connection.receive())
    assert await exchange.wait() == wire.Users(1, ("a",))


async def test_good_messages_before_a_bad_line_are_received(autojump_clock: MockClock) -> None:
    connection, server = await greeted_pair()
    server.say_bytes(b'{"type":"presence","user":"hans","online":true}\nrubbish\n')
    assert len(await connection.receive()) == 1
    with pytest.raises(ProtocolViolation):
        await connection.receive()


# -- Bounds --------------------------------------------------------------------------------


async def test_sending_waits_while_too_many_are_unanswered(autojump_clock: MockClock) -> None:
    connection, server = await greeted_pair()
    for _ in range(limits.REQUESTS_UNANSWERED_MAX):
        await connection.send(WHOELSE)
    with trio.move_on_after(1) as scope:
        await connection.send(WHOELSE)
    assert scope.cancelled_caught
    assert connection.unanswered == limits.REQUESTS_UNANSWERED_MAX
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.send, WHOELSE)
        await trio.testing.wait_all_tasks_blocked()
        server.say(wire.Users(1, ()))
        connection.shown(await connection.receive())
    with trio.move_on_after(1) as scope:
        await connection.wait_all_answered()
    assert scope.cancelled_caught
    server.say(*(wire.Users(id, ()) for id in range(2, limits.REQUESTS_UNANSWERED_MAX + 2)))
    connection.shown(await connection.receive())
    await connection.wait_all_answered()


async def test_sending_waits_while_too_much_is_unanswered(autojump_clock: MockClock) -> None:
    left, right = memory_pair(capacity_bytes=1024)  # this server reads nothing more
    server = ScriptedServer(right)
    connection = Connection(left, "abcd")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.greet)
        await server.greet()
    long = wire.Message(0, "hans", "\x01" * limits.TEXT_BYTES_MAX)
    sent: list[Exchange] = []
    with trio.move_on_after(1):
        while True:
            sent.append(await connection.send(long))
    assert 2 < len(sent) < limits.REQUESTS_UNANSWERED_MAX


async def test_a_server_that_says_much_and_reads_nothing_is_lost(
    autojump_clock: MockClock,
) -> None:
    left, right = memory_pair(capacity_bytes=1024)
    server = ScriptedServer(right)
    connection = Connection(left, "abcd")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.greet)
        await server.greet()

    def say_much() -> None:
        for _ in range(limits.OUTBOX_BYTES_MAX // 10):
            connection.tell(wire.Active())

    with pytest.raises(ConnectionLost):
        say_much()


async def test_a_broken_connection_is_lost(autojump_clock: MockClock) -> None:
    left, _right = memory_pair()
    connection = Connection(left, "abcd")
    left.close()
    with pytest.raises(ConnectionLost):
        await connection.greet()
