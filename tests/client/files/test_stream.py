"""Lines and raw bytes on one connection, however they are cut on their way."""

from __future__ import annotations

import msgspec
import pytest
import trio

from trio_chat import limits
from trio_chat.client.files.stream import FileStream
from trio_chat.errors import ErrorCode, ProtocolViolation
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line

ROOT = b"r" * 32
CAPACITY = 1024 * 1024


def opened() -> tuple[MemoryTransport, FileStream[wire.ServeMessage]]:
    """The end that writes, and what reads at the other one."""
    ours, theirs = memory_pair(capacity_bytes=CAPACITY)
    return ours, FileStream(theirs, msgspec.json.Decoder(wire.ServeMessage))


def line(message: wire.ServeMessage) -> bytes:
    return encode_line(message) + b"\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1000])
async def test_messages_and_bytes_may_be_cut_anywhere(step: int) -> None:
    writer, stream = opened()
    data = bytes(range(256)) + b"\n" * 30
    said = (
        line(wire.PeerHello(1))
        + line(wire.PieceFollows(ROOT, 3, len(data)))
        + data
        + line(wire.Have(ROOT, 4))
        + line(wire.LeavesFollow(ROOT, 0))
    )

    async def write() -> None:
        for start in range(0, len(said), step):
            await writer.send_all(said[start : start + step])
        writer.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        assert await stream.receive() == wire.PeerHello(1)
        assert await stream.receive() == wire.PieceFollows(ROOT, 3, len(data))
        target = bytearray(len(data))
        assert await stream.receive_exactly(memoryview(target))
        assert target == data
        assert await stream.receive() == wire.Have(ROOT, 4)
        assert await stream.receive() == wire.LeavesFollow(ROOT, 0)
        assert await stream.receive() is None


async def test_more_lines_than_the_buffer_holds() -> None:
    writer, stream = opened()
    count = 3 * limits.FILE_LINE_BYTES_MAX // len(line(wire.Have(ROOT, 10_000)))

    async def write() -> None:
        for piece in range(count):
            await writer.send_all(line(wire.Have(ROOT, piece)))
        writer.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for piece in range(count):
            assert await stream.receive() == wire.Have(ROOT, piece)
        assert await stream.receive() is None


async def test_a_line_that_does_not_end_is_refused() -> None:
    writer, stream = opened()
    writer.send_nowait(b"x" * limits.FILE_LINE_BYTES_MAX)
    with pytest.raises(ProtocolViolation) as caught:
        await stream.receive()
    assert caught.value.code is ErrorCode.LINE_TOO_LONG


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\xfe",
        b"[]",
        b'{"type":"nothing"}',
        b'{"type":"have","root":"AAAA","piece":1}',
        line(wire.Have(ROOT, 1)).replace(b":1}", b":-1}")[:-1],
        line(wire.Have(ROOT, 1)).replace(b":1}", b":1e400}")[:-1],
        line(wire.Have(ROOT, 1)).replace(b":1}", b":99999999999999999999}")[:-1],
        b'{"type":"holding","root":"' + b"A" * 43 + b'=","pieces":"\xff"}',
        b"[" * 100_000,
    ],
    ids=["empty", "bytes", "array", "type", "root", "-1", "1e400", "huge", "utf-8", "deep"],
)
async def test_what_is_no_message_is_refused(garbage: bytes) -> None:
    writer, stream = opened()
    writer.send_nowait(garbage + b"\n")
    with pytest.raises(ProtocolViolation) as caught:
        await stream.receive()
    assert caught.value.code is ErrorCode.BAD_LINE


async def test_the_end_in_the_middle_of_a_line_is_the_end() -> None:
    writer, stream = opened()
    writer.send_nowait(b'{"type":"ha')
    writer.close()
    assert await stream.receive() is None


async def test_the_end_in_the_middle_of_bytes_is_told() -> None:
    writer, stream = opened()
    writer.send_nowait(line(wire.PieceFollows(ROOT, 0, 10)) + b"12345")
    writer.close()
    assert await stream.receive() == wire.PieceFollows(ROOT, 0, 10)
    assert not await stream.receive_exactly(memoryview(bytearray(10)))


async def test_bytes_of_no_length_are_there_at_once() -> None:
    _, stream = opened()
    assert await stream.receive_exactly(memoryview(bytearray()))
