"""Hostile clients that fetch: they get what is served, or nothing, and disturb nobody."""

from __future__ import annotations

import msgspec
import trio

from tests.fuzz.forgery import forge
from tests.fuzz.reader import Reader
from tests.fuzz.stage import Stage, play
from trio_chat.client.files.serving import Serving
from trio_chat.client.files.shelf import Shelf
from trio_chat.client.files.stream import FileStream
from trio_chat.client.files.throttle import Throttle
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line

STAGE = Stage()
CAPACITY_BYTES = 8192


def one_input(data: bytes) -> None:
    play(lambda: _scene(Reader(data)))


async def _scene(reader: Reader) -> None:
    sample, shelf = STAGE.sample, Shelf()
    shelf.put(sample.held())
    serving = Serving(
        shelf,
        Throttle(None),
        lambda *_: False,
        lambda root, user: False,
        lambda root, user, piece: None,
    )

    async def attack() -> None:
        ours, theirs = memory_pair(CAPACITY_BYTES)
        nursery.start_soon(_serve, serving, ours, "hans")
        if reader.below(8):
            theirs.send_nowait(encode_line(wire.PeerHello(1)) + b"\n")
        usual = {"root": msgspec.to_builtins(sample.root), "piece": reader.below(sample.pieces)}
        try:
            for _ in range(reader.below(32)):
                match reader.below(8):
                    case 0:
                        theirs.send_nowait(reader.some())
                    case 1:
                        with trio.move_on_after(1):
                            await theirs.receive()
                    case 2:
                        await trio.sleep(1)
                    case 3:
                        serving.announce(sample.root, reader.below(20), ())
                    case _:
                        theirs.send_nowait(forge(reader, wire.FetchMessage, usual) + b"\n")
        except trio.BrokenResourceError:
            pass
        theirs.close()

    async with trio.open_nursery() as nursery:
        for _ in range(reader.below(3) + 1):
            nursery.start_soon(attack)
        await trio.sleep(1)
        await _fetch_piece(serving, nursery)
        await serving.wait_unused()


async def _serve(serving: Serving, transport: MemoryTransport, user: str) -> None:
    await serving.serve(transport, user)
    transport.close()


async def _fetch_piece(serving: Serving, nursery: trio.Nursery) -> None:
    """Whatever others do, an honest client is served."""
    sample = STAGE.sample
    ours, theirs = memory_pair()
    nursery.start_soon(_serve, serving, ours, "yoda")
    theirs.send_nowait(encode_line(wire.PeerHello(1)) + b"\n")
    theirs.send_nowait(encode_line(wire.Get(sample.root, 3)) + b"\n")
    stream = FileStream(theirs, msgspec.json.Decoder(wire.ServeMessage))
    assert await stream.receive() == wire.PeerHello(1)
    message = await stream.receive()
    assert message == wire.PieceFollows(sample.root, 3, len(sample.piece(3)))
    target = bytearray(len(sample.piece(3)))
    assert await stream.receive_exactly(memoryview(target))
    assert target == sample.piece(3)
    theirs.close()
