"""Hostile sources of a file: it comes right or not at all, and nothing is raised but why."""

from __future__ import annotations

import msgspec
import trio

from tests.fuzz.forgery import forge
from tests.fuzz.reader import Reader
from tests.fuzz.stage import Stage, play
from trio_chat.client.files.disk import PartFile
from trio_chat.client.files.fetch import Fetch, FetchError
from trio_chat.client.files.holders import Holding
from trio_chat.client.files.serving import Serving
from trio_chat.client.files.shelf import Shelf
from trio_chat.client.files.sources import ConnectError
from trio_chat.client.files.stream import FileStream
from trio_chat.client.files.throttle import Throttle
from trio_chat.client.files.want import Want
from trio_chat.net.memory import MemoryTransport, memory_pair
from trio_chat.net.transport import BulkTransport
from trio_chat.protocol import peer as wire
from trio_chat.protocol.framing import encode_line

STAGE = Stage()
CONNECTIONS_MAX = 6
PATIENCE_SECONDS = 100.0
"""Who promises pieces and never sends them can keep a download waiting, as the docs say."""


class Source:
    """Somebody who serves, honest in some answers."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    async def run(self, transport: MemoryTransport) -> None:
        stream = FileStream(transport, msgspec.json.Decoder(wire.FetchMessage))
        try:
            while (message := await stream.receive()) is not None:
                await transport.send_all(self.answer(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            transport.close()

    def answer(self, message: wire.FetchMessage) -> bytes:
        if not self.reader.more or self.reader.below(4):
            return self.be_honest(message)
        match self.reader.below(4):
            case 0:
                return self.reader.some()
            case 1:
                return self.be_honest(message) * 2
            case _:
                usual = {"root": msgspec.to_builtins(STAGE.sample.root), "version": 1}
                line = forge(self.reader, wire.ServeMessage, usual) + b"\n"
                return line + self.reader.pick((b"", bytes(5000), self.be_honest(message)))

    def be_honest(self, message: wire.FetchMessage) -> bytes:
        sample = STAGE.sample
        answer: wire.ServeMessage
        data = b""
        match message:
            case wire.PeerHello():
                answer = wire.PeerHello(wire.PEER_PROTOCOL_VERSION)
            case wire.Interest(root):
                answer = wire.Holding(root, sample.held().have.to_bytes())
            case wire.GetLeaves(root):
                data = sample.leaves.packed
                answer = wire.LeavesFollow(root, len(data))
            case wire.Get(root, piece):
                data = sample.piece(piece)
                answer = wire.PieceFollows(root, piece, len(data))
            case _:
                return b""
        return encode_line(answer) + b"\n" + data


def one_input(data: bytes) -> None:
    play(lambda: _scene(Reader(data)))


async def _scene(reader: Reader) -> None:
    sample, shelf, throttle = STAGE.sample, Shelf(), Throttle(None)
    serving = Serving(
        shelf, throttle, lambda *_: True, lambda root, user: False, lambda root, user, piece: None
    )
    chunks = tuple(range(1, sample.manifest.chunks + 1))
    connections = 0
    async with trio.open_nursery() as nursery:

        async def connect(user: str) -> BulkTransport:
            nonlocal connections
            connections += 1
            if connections > CONNECTIONS_MAX:
                raise ConnectError("nobody answers")
            ours, theirs = memory_pair()
            nursery.start_soon(Source(reader).run, theirs)
            return ours

        async def find() -> list[Holding]:
            await trio.lowlevel.checkpoint()
            return [("hans", chunks), ("luke", chunks)]

        part = PartFile(STAGE.clear("downloads"), sample.manifest, "yoda")
        fetch = Fetch(
            sample.manifest,
            "yoda",
            shelf,
            serving,
            connect,
            find,
            lambda: None,
            lambda liar: None,
            lambda text: None,
            throttle,
        )
        want = Want(chunks)
        fetch.want(want, await find())
        try:
            with trio.move_on_after(PATIENCE_SECONDS) as patience:
                await fetch.run(part)
            is_here = not patience.cancelled_caught and want.failure is None
            assert not is_here or part.path.read_bytes() == sample.data
        except FetchError as error:
            assert str(error)
        finally:
            part.close()
            nursery.cancel_scope.cancel()
