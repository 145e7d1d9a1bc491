"""TLS for large transfers: what goes in at one end comes out at the other, whatever the sizes."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from trio_chat import limits
from trio_chat.net import bulk, tls
from trio_chat.net.bulk import BulkTlsTransport
from trio_chat.net.identity import Identity, load_or_make
from trio_chat.net.tcp import TcpTransport
from trio_chat.net.transport import HandshakeError

from .key_updates import send_key_updates


@pytest.fixture
def identities(tmp_path: Path) -> tuple[Identity, Identity]:
    return load_or_make(tmp_path / "hans", "hans"), load_or_make(tmp_path / "luke", "luke")


def socket_pair() -> tuple[TcpTransport, TcpTransport]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    return TcpTransport(left), TcpTransport(right)


@asynccontextmanager
async def connected(
    identities: tuple[Identity, Identity],
) -> AsyncIterator[tuple[BulkTlsTransport, BulkTlsTransport]]:
    hans, luke = identities
    left, right = socket_pair()
    ends: dict[str, BulkTlsTransport] = {}

    async def begin(name: str, transport: TcpTransport, ours: Identity, theirs: Identity) -> None:
        is_server = name == "luke"
        context = tls.peer_context(ours, theirs.certificate, server_side=is_server)
        ends[name] = await bulk.handshake(
            transport, context, server_name=None if is_server else "peer"
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin, "hans", left, hans, luke)
        nursery.start_soon(begin, "luke", right, luke, hans)
    try:
        yield ends["hans"], ends["luke"]
    finally:
        for end in ends.values():
            end.close()


async def receive_exactly(end: BulkTlsTransport, size: int) -> bytes:
    buffer = bytearray(size)
    filled = 0
    with trio.fail_after(20):
        while filled < size:
            some = await end.receive_into(memoryview(buffer)[filled:])
            assert some, "it ended too soon"
            filled += some
    return bytes(buffer)


@pytest.mark.parametrize("size", [1, 16 * 1024, 16 * 1024 + 1, 256 * 1024 + 5, 9_000_000])
async def test_bytes_arrive_as_they_were_sent(
    identities: tuple[Identity, Identity], size: int
) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    async with connected(identities) as (hans, luke), trio.open_nursery() as nursery:
        nursery.start_soon(hans.send_all, data)
        assert await receive_exactly(luke, size) == data
        nursery.start_soon(luke.send_all, data)
        assert await receive_exactly(hans, size) == data


async def test_each_knows_the_others_certificate(identities: tuple[Identity, Identity]) -> None:
    async with connected(identities) as (hans, luke):
        assert hans.peer_certificate == identities[1].certificate
        assert luke.peer_certificate == identities[0].certificate


async def test_what_is_not_taken_is_sent_when_there_is_room(
    identities: tuple[Identity, Identity],
) -> None:
    """As `Outbox` uses it: what was not taken comes first in the next call."""
    data = memoryview(bytes(range(256)) * 100_000)
    async with connected(identities) as (hans, luke):
        rest = data[hans.send_nowait(data) :]
        assert len(rest) > 0, "more than sockets hold"
        assert hans.send_nowait(rest) == 0

        async def send_the_rest() -> None:
            nonlocal rest
            while rest:
                await hans.wait_writable()
                rest = rest[hans.send_nowait(rest) :]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_the_rest)
            assert await receive_exactly(luke, len(data)) == data


async def test_the_end_comes_after_everything(identities: tuple[Identity, Identity]) -> None:
    async with connected(identities) as (hans, luke):
        await hans.send_all(b"x" * 100_000)
        hans.send_eof()
        assert await receive_exactly(luke, 100_000) == b"x" * 100_000
        assert await luke.receive() == b""
        await luke.send_all(b"still there")
        assert await hans.receive() == b"still there"
        luke.close()
        assert await hans.receive() == b""


async def test_what_comes_after_the_end_is_not_kept(identities: tuple[Identity, Identity]) -> None:
    async with connected(identities) as (hans, luke):
        with pytest.raises(ssl.SSLWantReadError):  # theirs, which never comes
            hans._tls.unwrap()
        hans._sock.send(hans._outgoing.read() + b"?" * 1000)
        assert await luke.receive() == b""
        kept = luke._incoming.pending
        hans._sock.send(b"?" * 1000)
        assert await luke.receive() == b""
        assert luke._incoming.pending == kept


async def test_small_records_that_came_together_are_received_together(
    identities: tuple[Identity, Identity],
) -> None:
    async with connected(identities) as (hans, luke):
        for text in (b"one ", b"two ", b"three"):
            await hans.send_all(text)
        assert await luke.receive() == b"one two three"


async def test_what_came_before_a_connection_broke_is_received(
    identities: tuple[Identity, Identity],
) -> None:
    async with connected(identities) as (hans, luke):
        for text in (b"one ", b"two ", b"three"):
            await hans.send_all(text)
        received = await receive_exactly(luke, 1)
        linger_not = struct.pack("ii", 1, 0)  # which resets the connection when it is closed
        hans._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        hans.close()
        received += await luke.receive()
        assert received == b"one two three"
        with pytest.raises(trio.BrokenResourceError):
            await luke.receive()


async def test_garbage_breaks_the_connection(identities: tuple[Identity, Identity]) -> None:
    async with connected(identities) as (hans, luke):
        socket.socket.send(hans._sock, b"\x17\x03\x03\x00\x20" + b"?" * 32)
        with pytest.raises(trio.BrokenResourceError):
            await luke.receive()


async def test_what_there_was_no_room_for_does_not_count_as_nothing(
    identities: tuple[Identity, Identity],
) -> None:
    async with connected(identities) as (hans, luke), trio.open_nursery() as nursery:
        nursery.start_soon(hans.send_all, os.urandom(1024 * 1024))
        received, room = 0, memoryview(bytearray(1000))
        while received < 1024 * 1024:
            received += await luke.receive_into(room)
            assert luke._wasted <= 16 * 1024


async def test_a_peer_that_sends_records_without_content_is_cut_off(
    identities: tuple[Identity, Identity],
) -> None:
    async with connected(identities) as (hans, luke):
        send_key_updates(hans._tls, 5_000)
        updates = hans._outgoing.read()
        assert TcpTransport.send_nowait(hans, updates) == len(updates)
        with pytest.raises(trio.BrokenResourceError):
            await luke.receive()
        assert luke._wasted < limits.TLS_WASTED_BYTES_MAX + 64 * 1024


async def test_closing_wakes_who_waits(identities: tuple[Identity, Identity]) -> None:
    async with connected(identities) as (hans, _), trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await hans.receive()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        hans.close()
    with pytest.raises(trio.ClosedResourceError):
        hans.send_nowait(b"x")


async def test_who_does_not_speak_tls_is_refused(identities: tuple[Identity, Identity]) -> None:
    left, right = socket_pair()
    context = tls.peer_context(identities[0], identities[1].certificate, server_side=True)
    left.send_nowait(b"hello\n" * 10)
    with pytest.raises(HandshakeError, match="TLS"):
        await bulk.handshake(right, context)
    left.close()


async def test_who_is_gone_before_the_handshake_is_an_error_like_others(
    identities: tuple[Identity, Identity],
) -> None:
    left, right = socket_pair()
    context = tls.peer_context(identities[0], identities[1].certificate, server_side=True)
    left.close()
    with pytest.raises(HandshakeError):
        await bulk.handshake(right, context)
