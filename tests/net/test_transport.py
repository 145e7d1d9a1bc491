"""The contract of a transport, for all of them alike."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from trio_chat import limits
from trio_chat.net import tls
from trio_chat.net.identity import load_or_make
from trio_chat.net.memory import MemoryListener, memory_pair
from trio_chat.net.tcp import TcpListener, TcpTransport, connect
from trio_chat.net.transport import Handler, Listener, Transport

Pair = tuple[Transport, Transport]


async def tcp_pair() -> Pair:
    """Two ends of a real connection over loopback."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        left = await connect("127.0.0.1", listener.socket.getsockname()[1])
        stream = await listener.accept()
        return left, TcpTransport(take_socket(stream))


def take_socket(stream: trio.SocketStream) -> socket.socket:
    return socket.socket(fileno=stream.socket.detach())


async def tls_pair(directory: Path) -> Pair:
    """The same, encrypted."""
    left, right = await tcp_pair()
    assert isinstance(left, TcpTransport)
    assert isinstance(right, TcpTransport)
    secured: dict[str, Transport] = {}

    async def secure(side: str, transport: TcpTransport, *arguments: ssl.SSLContext) -> None:
        name = "localhost" if side == "left" else None
        secured[side] = await tls.handshake(transport, *arguments, server_name=name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(secure, "left", left, tls.pinning_context())
        context = tls.server_context(load_or_make(directory, "server"))
        nursery.start_soon(secure, "right", right, context)
    return secured["left"], secured["right"]


@pytest.fixture(params=["memory", "tcp", "tls"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    ends: Pair
    match request.param:
        case "memory":
            ends = memory_pair()
        case "tcp":
            ends = await tcp_pair()
        case _:
            ends = await tls_pair(tmp_path)
    yield ends
    for end in ends:
        end.close()


async def receive_exactly(transport: Transport, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await transport.receive()
    return data


async def send_forever(transport: Transport) -> None:
    """The first bytes to an end that is gone may only make it say so."""
    while True:
        await transport.wait_writable()
        transport.send_nowait(b"x")


def fill(transport: Transport) -> int:
    """Send until nothing more is taken."""
    total = 0
    while taken := transport.send_nowait(b"x" * 65_536):
        total += taken
    return total


async def test_bytes_go_both_ways(pair: Pair) -> None:
    left, right = pair
    assert left.send_nowait(b"to the right") == 12
    assert right.send_nowait(bytearray(b"to the left")) == 11
    assert await right.receive() == b"to the right"
    assert await left.receive() == b"to the left"


async def test_one_receive_takes_all_that_came_within_its_bound(pair: Pair) -> None:
    left, right = pair
    left.send_nowait(b"a" * 1000)
    left.send_nowait(b"b" * 1000)
    assert await receive_exactly(right, 2000) == b"a" * 1000 + b"b" * 1000
    sent = 0
    while sent < 3 * limits.RECEIVE_BYTES_MAX:
        sent += left.send_nowait(b"x" * (3 * limits.RECEIVE_BYTES_MAX - sent))
        assert 0 < len(await right.receive()) <= limits.RECEIVE_BYTES_MAX


async def test_receive_waits_for_bytes(pair: Pair) -> None:
    left, right = pair
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def receive() -> None:
            assert await right.receive() == b"late"

        await trio.testing.wait_all_tasks_blocked()
        left.send_nowait(b"late")


async def test_what_was_sent_before_the_end_still_arrives(pair: Pair) -> None:
    left, right = pair
    left.send_nowait(b"last words")
    left.close()
    assert await right.receive() == b"last words"
    assert await right.receive() == b""
    assert await right.receive() == b""


async def test_after_half_a_close_the_other_half_goes_on(pair: Pair) -> None:
    left, right = pair
    left.send_nowait(b"question")
    left.send_eof()
    assert await right.receive() == b"question"
    assert await right.receive() == b""
    right.send_nowait(b"answer")
    assert await left.receive() == b"answer"
    right.close()
    assert await left.receive() == b""


async def test_a_full_connection_takes_nothing_until_the_other_end_reads(pair: Pair) -> None:
    left, right = pair
    await left.wait_writable()
    total = fill(left)
    assert total > 0
    async with trio.open_nursery() as nursery:
        woken = trio.Event()

        @nursery.start_soon
        async def wait() -> None:
            await left.wait_writable()
            woken.set()

        await trio.testing.wait_all_tasks_blocked()
        assert not woken.is_set()
        received = await receive_exactly(right, total)
        # An encrypted block may have gone in part when it does not count as taken yet.
        assert total <= len(received) <= total + 65_536
        assert set(received) == set(b"x")
    assert left.send_nowait(b"x" * 65_536) > 0


async def test_closing_wakes_who_waits_to_receive(pair: Pair) -> None:
    left, _ = pair
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await left.receive()

        await trio.testing.wait_all_tasks_blocked()
        left.close()


async def test_closing_wakes_who_waits_to_send(pair: Pair) -> None:
    left, _ = pair
    fill(left)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await left.wait_writable()

        await trio.testing.wait_all_tasks_blocked()
        left.close()


async def test_a_closed_end_does_nothing_more(pair: Pair) -> None:
    left, _ = pair
    left.close()
    left.close()
    with pytest.raises(trio.ClosedResourceError):
        await left.receive()
    with pytest.raises(trio.ClosedResourceError):
        left.send_nowait(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await left.wait_writable()
    with pytest.raises(trio.ClosedResourceError):
        left.send_eof()


async def test_sending_to_an_end_that_is_gone_breaks_sooner_or_later(pair: Pair) -> None:
    left, right = pair
    right.close()
    with pytest.raises(trio.BrokenResourceError):
        await send_forever(left)


async def test_who_waits_for_a_slow_reader_learns_that_it_is_gone(pair: Pair) -> None:
    left, right = pair
    fill(left)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await send_forever(left)

        await trio.testing.wait_all_tasks_blocked()
        right.close()


async def test_ends_have_an_address_for_people_and_one_for_programs(pair: Pair) -> None:
    assert all(end.peer for end in pair)
    assert [end.peer_host for end in pair] == ["127.0.0.1", "127.0.0.1"]


Connect = Callable[[], Awaitable[Transport]]


@pytest.fixture(params=["memory", "tcp"])
def listener(request: pytest.FixtureRequest) -> Listener:
    return MemoryListener() if request.param == "memory" else TcpListener(0, "127.0.0.1")


async def start(listener: Listener, handler: Handler, *nurseries: trio.Nursery) -> Connect:
    """Serve in the first nursery, run handlers in the last; return how to connect."""
    addresses = await nurseries[0].start(listener.serve, handler, nurseries[-1])
    if isinstance(listener, MemoryListener):
        return listener.connect
    return partial(connect, "127.0.0.1", int(addresses[0].rpartition(":")[2]))


async def echo(transport: Transport) -> None:
    while data := await transport.receive():
        assert transport.send_nowait(data) == len(data)


async def test_many_are_served_at_the_same_time(listener: Listener) -> None:
    async with trio.open_nursery() as nursery:
        connect_to_it = await start(listener, echo, nursery)
        transports = [await connect_to_it() for _ in range(10)]
        for number, transport in enumerate(transports):
            transport.send_nowait(f"hello {number}".encode())
        for number, transport in reversed(list(enumerate(transports))):
            assert await transport.receive() == f"hello {number}".encode()
            transport.close()
        nursery.cancel_scope.cancel()


async def test_the_transport_of_a_handler_that_ends_is_closed(listener: Listener) -> None:
    async def say_hello(transport: Transport) -> None:
        transport.send_nowait(f"hello {transport.peer}".encode())

    async with trio.open_nursery() as nursery:
        transport = await (await start(listener, say_hello, nursery))()
        assert (await transport.receive()).startswith(b"hello ")
        assert await transport.receive() == b""
        transport.close()
        nursery.cancel_scope.cancel()


async def test_connections_go_on_after_their_listener_has_stopped(listener: Listener) -> None:
    async with trio.open_nursery() as handlers:
        async with trio.open_nursery() as accepting:
            transport = await (await start(listener, echo, accepting, handlers))()
            transport.send_nowait(b"before")
            assert await transport.receive() == b"before"
            accepting.cancel_scope.cancel()
        transport.send_nowait(b"after")
        assert await transport.receive() == b"after"
        handlers.cancel_scope.cancel()
    assert await transport.receive() == b""
    transport.close()
