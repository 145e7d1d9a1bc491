"""A connection to one who serves a file: what is asked for goes out, what comes is reported.

It knows nothing of the other sources; `fetch` decides what is asked of whom.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from typing import Protocol

import msgspec
import trio

from ... import limits
from ...errors import ErrorCode, ProtocolViolation
from ...net.outbox import Outbox
from ...net.transport import BulkTransport
from ...protocol import peer as wire
from ...protocol.framing import encode_line
from ...swarm.manifest import Leaf
from .stream import FileStream
from .throttle import Throttle

_decoder: msgspec.json.Decoder[wire.ServeMessage] = msgspec.json.Decoder(wire.ServeMessage)


class Receiver(Protocol):
    """Who is told of what comes from a source."""

    def leaves_of(self, piece: int) -> list[Leaf]:
        """The leaves of a piece; none if there is no such piece, or nobody has asked for any."""

    def size_of_leaves(self) -> int:
        """How many bytes the hashes of all pieces have."""

    def holding(self, source: Source, pieces: bytes, *, is_gone: bool) -> None:
        """It has these pieces, as a bitmap; none if that is empty, or not any more."""

    def has(self, source: Source, piece: int) -> None:
        """It has one more piece."""

    def leaves(self, source: Source, data: bytes) -> None:
        """The hashes of all pieces have come, right or wrong."""

    def heard(self, source: Source) -> None:
        """Some part of a piece has come."""

    async def leaf(self, source: Source, piece: int, leaf: Leaf, data: memoryview) -> None:
        """A leaf of a piece has come, right or wrong; nothing more does until this returns."""

    def arrived(self, source: Source, piece: int) -> None:
        """A piece has come, whose last leaf is reported next."""

    def piece(self, source: Source, piece: int) -> None:
        """All leaves of a piece have been reported."""

    def refused(self, source: Source, piece: int, *, is_busy: bool, is_gone: bool) -> None:
        """A piece does not come now, or not at all, or nothing of the file any more."""


class Source:
    """One who serves a file.

    Attributes:
        user: who that is.
    """

    def __init__(
        self, user: str, transport: BulkTransport, root: bytes, throttle: Throttle
    ) -> None:
        self.user = user
        self._transport = transport
        self._root = root
        self._throttle = throttle
        self._outbox = Outbox(transport)
        self._buffer = bytearray()  # for a leaf; what comes meanwhile waits in the socket
        self._stream = FileStream(transport, _decoder)
        self._news = bytearray()  # announcements that go with the next line, or soon
        self._has_news = trio.Event()
        self._life = trio.CancelScope()  # until it says what is there, it has a deadline
        self._has_said = False  # what is there
        self._leaves_asked = 0
        self._asked: Counter[int] = Counter()  # how often; what is cancelled may come still

    async def greet(self) -> None:
        """Exchange the first lines.

        Raises:
            ProtocolViolation: if it is no client that we understand.
            trio.BrokenResourceError: if the connection is.
        """
        self._put(wire.PeerHello(wire.PEER_PROTOCOL_VERSION))
        hello = await self._stream.receive()
        if hello is None:
            raise trio.BrokenResourceError
        if not isinstance(hello, wire.PeerHello) or hello.version != wire.PEER_PROTOCOL_VERSION:
            raise ProtocolViolation(ErrorCode.BAD_LINE, reason="It did not greet")
        self._put(wire.Interest(self._root))

    def ask(self, piece: int) -> None:
        """Ask for a piece."""
        self._asked[piece] += 1
        self._put(wire.Get(self._root, piece))

    def cancel(self, piece: int) -> None:
        """A piece is not wanted any more."""
        self._put(wire.Cancel(self._root, piece))

    def announce(self, piece: int) -> None:
        """Tell them soon, who may be fetching too, that we have one more piece."""
        self._news += encode_line(wire.Have(self._root, piece)) + b"\n"
        self._has_news.set()

    def send_news(self) -> None:
        """Tell them now."""
        self._send(b"")

    def ask_leaves(self) -> None:
        """Ask for the hashes of all pieces."""
        self._leaves_asked += 1
        self._put(wire.GetLeaves(self._root))

    def close(self) -> None:
        """End the connection; `run` returns then."""
        self._transport.close()

    def _put(self, message: wire.FetchMessage) -> None:
        self._send(encode_line(message) + b"\n")

    def _send(self, line: bytes) -> None:
        lines = bytes(self._news) + line
        self._news.clear()
        if lines and not self._outbox.send(lines):
            self._transport.close()  # it does not read

    async def _gather_news(self) -> None:
        while True:
            await self._has_news.wait()
            await trio.sleep(limits.NEWS_SECONDS)
            self._has_news = trio.Event()
            self.send_news()

    async def run(self, receiver: Receiver) -> None:
        """Report what comes, until the connection ends, or it is late to say what is there.

        Raises:
            ProtocolViolation: if what comes makes no sense.
        """
        violation: ProtocolViolation | None = None
        async with trio.open_nursery() as nursery:
            self._life = nursery.cancel_scope
            self._life.deadline = trio.current_time() + limits.PEER_CONNECT_SECONDS_MAX
            nursery.start_soon(self._outbox.run)
            nursery.start_soon(self._gather_news)
            try:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._read(receiver)
            except ProtocolViolation as error:  # which a nursery would wrap
                violation = error
            self._life.cancel()
        if violation is not None:
            raise violation

    async def _read(self, receiver: Receiver) -> None:
        while (message := await self._stream.receive()) is not None:
            match message:
                case wire.Holding(root, pieces) if root == self._root and not self._has_said:
                    self._has_said = True
                    self._life.deadline = math.inf
                    receiver.holding(self, pieces, is_gone=message.gone)
                case wire.Have(root, piece) if root == self._root:
                    receiver.has(self, piece)
                case wire.Refused(root, piece) if root == self._root:
                    receiver.refused(self, piece, is_busy=message.busy, is_gone=message.gone)
                case wire.PieceFollows(root, piece, size) if root == self._root:
                    await self._receive_piece(receiver, piece, size)
                case wire.LeavesFollow(root, size) if root == self._root:
                    await self._receive_leaves(receiver, size)
                case _:
                    raise _unasked()

    async def _receive_piece(self, receiver: Receiver, piece: int, size: int) -> None:
        leaves = receiver.leaves_of(piece) if self._asked[piece] else []
        if not leaves or size != sum(leaf.size for leaf in leaves):
            raise _unasked()
        self._asked[piece] -= 1
        for leaf in leaves:
            if len(self._buffer) < leaf.size:
                self._buffer = bytearray(leaf.size)
            data = view = memoryview(self._buffer)[: leaf.size]
            while view:
                received = await self._stream.receive_into(view[: self._throttle.turn_bytes])
                if received == 0:
                    raise trio.BrokenResourceError
                view = view[received:]
                receiver.heard(self)
                await self._throttle.take(received)  # what comes next waits until that is paid for
            if leaf is leaves[-1]:
                receiver.arrived(self, piece)
            await receiver.leaf(self, piece, leaf, data)
        receiver.piece(self, piece)

    async def _receive_leaves(self, receiver: Receiver, size: int) -> None:
        if not self._leaves_asked or size not in (0, receiver.size_of_leaves()):
            raise _unasked()
        self._leaves_asked -= 1
        data = bytearray(size)
        if size and not await self._stream.receive_exactly(memoryview(data)):
            raise trio.BrokenResourceError
        receiver.leaves(self, bytes(data))


def _unasked() -> ProtocolViolation:
    return ProtocolViolation(ErrorCode.BAD_LINE, reason="Nobody has asked for that")
