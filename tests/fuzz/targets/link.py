"""A hostile peer on a private link: it ends for a reason, and shows nothing that does harm."""

from __future__ import annotations

from contextlib import suppress

import trio

from tests.fuzz.forgery import forge
from tests.fuzz.reader import Reader
from tests.fuzz.stage import assert_harmless, play
from trio_chat.client import render
from trio_chat.client.link import Link, LinkEnding, LinkError
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.protocol import peer
from trio_chat.protocol.framing import encode_line

CAPACITY_BYTES = 4096


def one_input(data: bytes) -> None:
    play(lambda: _scene(Reader(data)))


async def _scene(reader: Reader) -> None:
    ours, theirs = memory_pair(CAPACITY_BYTES)

    async def show(user: str, text: str) -> None:
        assert_harmless(render.private(user, text).lines)
        await trio.sleep(reader.pick((0, 0, 1)))

    link = Link("hans", ours, show)

    async def be_user() -> None:
        for _ in range(4):
            await link.send("x" * (100 + 100 * reader.below(100)))
            await trio.sleep(reader.pick((0, 0, 1, 30)))
        match reader.below(3):
            case 0:
                link.stop(left=True)
            case 1:
                link.abandon()
        await link.wait_all_answered()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_be_peer, reader, theirs)
        try:
            await link.greet(first=bool(reader.below(2)))
        except LinkError as error:
            assert str(error)
        else:
            nursery.start_soon(be_user)
            ending = await link.run()
            assert isinstance(ending, LinkEnding)
            assert not await link.send("too late")
        finally:
            ours.close()


async def _be_peer(reader: Reader, transport: MemoryTransport) -> None:
    if reader.below(8):
        transport.send_nowait(encode_line(peer.PeerHello(1)) + b"\n")
    sent = 0
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while reader.more:
            match reader.below(8):
                case 0:
                    transport.send_nowait(reader.some())
                case 1:
                    await trio.sleep(reader.pick((0, 1, 20)))
                case 2:
                    with trio.move_on_after(1):
                        await transport.receive()
                case 3:
                    transport.send_eof()
                case _:
                    line = forge(reader, peer.PeerMessage, {"id": sent + 1, "version": 1})
                    sent += transport.send_nowait(line + b"\n") > 0
            await trio.lowlevel.checkpoint()
    transport.close()
