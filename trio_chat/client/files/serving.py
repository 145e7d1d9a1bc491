"""Serving files: one connection for each who fetches, and one schedule for all of them.

Whose request is next is decided by `swarm.uploads`; a few pieces are on their way at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container
from itertools import count, islice

import msgspec
import trio

from ... import limits
from ...errors import ProtocolViolation
from ...net.bulk import BLOCK_BYTES
from ...net.transport import BulkTransport
from ...protocol import peer as wire
from ...protocol.framing import encode_line
from ...swarm.manifest import Leaf
from ...swarm.pieces import PieceSet
from ...swarm.uploads import Upload, Uploads
from .disk import DiskError, check_version, read_span
from .shelf import Held, Shelf
from .stream import FileStream
from .thread import run_briefly
from .throttle import Throttle

_decoder: msgspec.json.Decoder[wire.FetchMessage] = msgspec.json.Decoder(wire.FetchMessage)

Interested = Callable[[bytes, str], bool]
"""Told that a user would fetch a file from us; says whether it is on its way here."""

Has = Callable[[bytes, str, int], None]
"""Told that a user, who fetches from us, has one more piece of a file."""

Gone = Callable[[Held, DiskError], bool]
"""Told of a file that could not be read; says whether it is not served any more."""


class _Fetcher:
    """Somebody who is connected to us and fetches.

    Attributes:
        name: of the connection, unlike all others.
        user: at its other end.
        transport: to them.
        turn: held while something is sent.
        interests: the files of which they want to hear.
        early: those of which nothing was here when they asked.
        news: announcements and refusals that wait.
    """

    def __init__(self, name: str, user: str, transport: BulkTransport) -> None:
        self.name = name
        self.user = user
        self.transport = transport
        self.turn = trio.StrictFIFOLock()
        self.interests: set[bytes] = set()
        self.early: set[bytes] = set()
        self.news: deque[wire.Have | wire.Refused] = deque()
        self.has_news = trio.Event()
        self.life = trio.CancelScope()

    async def send(self, message: wire.ServeMessage, data: bytes = b"") -> None:
        """Send a message, and what follows it."""
        async with self.turn:
            await self.transport.send_all(encode_line(message) + b"\n" + data)

    def announce(self, root: bytes, piece: int) -> None:
        """Tell them of one more piece, when there is time."""
        if root in self.interests:
            self.tell(wire.Have(root, piece))

    def tell(self, news: wire.Have | wire.Refused) -> None:
        """Tell them something, when there is time."""
        self.news.append(news)
        self.has_news.set()
        if len(self.news) > limits.SERVED_WAITING_MAX:
            self.life.cancel()  # they do not read


class Serving:
    """Serves the files of a shelf.

    Attributes:
        sent_bytes: of pieces, to anybody, so far.

    Args:
        shelf: what is served.
        throttle: the limit on what is sent.
        gone: told of files that can't be served any more.
        interested: told of who fetches what.
        has: told of what they have of it.
    """

    def __init__(
        self, shelf: Shelf, throttle: Throttle, gone: Gone, interested: Interested, has: Has
    ) -> None:
        self.sent_bytes = 0
        self._shelf = shelf
        self._throttle = throttle
        self._gone = gone
        self._interested = interested
        self._has = has
        self._uploads = Uploads()
        self._fetchers: dict[str, tuple[_Fetcher, trio.Nursery]] = {}
        self._numbers = count(1)
        self._buffers: list[bytearray] = []  # those that are free; new ones are slow to touch
        self._changed = trio.Event()
        self._moved_at = -math.inf  # when something was last asked for or sent

    @property
    def is_used(self) -> bool:
        """Whether something is on its way to somebody, or was a moment ago and may go on."""
        return self._seconds_used > 0

    async def wait_unused(self) -> None:
        """Wait until nothing is."""
        while (seconds := self._seconds_used) > 0:
            with trio.move_on_after(seconds):
                await self._changed.wait()

    @property
    def _seconds_used(self) -> float:
        """How long what is on its way counts as that, unless more of it is sent or asked for."""
        if not self._fetchers:
            return 0.0
        idle = self._uploads.is_idle
        patience = limits.SERVED_PAUSE_SECONDS if idle else limits.SERVED_STALLED_SECONDS
        return self._moved_at + patience - trio.current_time()

    async def serve(self, transport: BulkTransport, user: str) -> None:
        """Serve somebody until they go."""
        fetcher = _Fetcher(f"{user}/{next(self._numbers)}", user, transport)
        with fetcher.life:
            async with trio.open_nursery() as nursery:
                self._fetchers[fetcher.name] = fetcher, nursery
                try:
                    nursery.start_soon(self._send_news, fetcher)
                    await self._answer(fetcher)
                except (trio.BrokenResourceError, ProtocolViolation):
                    pass  # they have gone, or are no client of ours
                finally:
                    del self._fetchers[fetcher.name]
                    self._uploads.peer_left(fetcher.name)
                    self._change()
                    nursery.cancel_scope.cancel()
        self._send_pieces()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def announce(self, root: bytes, piece: int, told: Container[str]) -> None:
        """One more piece of a file is there: tell all whom it concerns, but those who know."""
        for fetcher, _ in self._fetchers.values():
            if fetcher.user not in told:
                fetcher.announce(root, piece)

    def begin(self, root: bytes, pieces: PieceSet) -> None:
        """What is here of a file is known now: tell those who asked too early."""
        for fetcher, _ in self._fetchers.values():
            if root in fetcher.early:
                fetcher.early.remove(root)
                # One more than may wait ends it: then they come again, and hear of all at once.
                for piece in islice(pieces, limits.SERVED_WAITING_MAX + 1):
                    fetcher.announce(root, piece)

    def forget(self, root: bytes) -> None:
        """A file is not served any more: tell those who wait for some of it."""
        for name, piece in self._uploads.forget_file(root):
            self._fetchers[name][0].tell(wire.Refused(root, piece, gone=True))

    # -- One connection --------------------------------------------------------------------

    async def _answer(self, fetcher: _Fetcher) -> None:
        stream = FileStream(fetcher.transport, _decoder)
        hello = None
        with trio.move_on_after(limits.PEER_CONNECT_SECONDS_MAX):
            hello = await stream.receive()
        if not isinstance(hello, wire.PeerHello):
            return
        await fetcher.send(wire.PeerHello(wire.PEER_PROTOCOL_VERSION))
        while (message := await self._next(fetcher, stream)) is not None:
            match message:
                case wire.Interest(root):
                    await self._tell_holding(fetcher, root)
                case wire.GetLeaves(root):
                    held = self._shelf.get(root)
                    leaves = b"" if held is None else held.leaves.packed
                    await self._throttle.take(len(leaves))
                    await fetcher.send(wire.LeavesFollow(root, len(leaves)), leaves)
                case wire.Get(root, piece):
                    await self._ask(fetcher, root, piece)
                case wire.Cancel(root, piece):
                    self._uploads.cancel(fetcher.name, root, piece)
                case wire.Have(root, piece):
                    self._has(root, fetcher.user, piece)
                case wire.PeerHello():
                    return

    async def _next(
        self, fetcher: _Fetcher, stream: FileStream[wire.FetchMessage]
    ) -> wire.FetchMessage | None:
        """What a fetcher says next; none at the end, or if they want nothing for too long."""
        while True:
            with trio.move_on_after(limits.FETCHER_IDLE_SECONDS):
                return await stream.receive()
            if not self._uploads.is_asked_by(fetcher.name):
                return None

    async def _tell_holding(self, fetcher: _Fetcher, root: bytes) -> None:
        """Say what is there of a file, and of what comes from now on."""
        async with fetcher.turn:  # what comes to be there from now on is told after this
            is_gone = await self._forget_changed(root)
            held = self._shelf.get(root)
            pieces = b"" if held is None else held.have.to_bytes()
            is_fetched = self._interested(root, fetcher.user)
            if held is not None or is_fetched:  # they must not make us remember anything else
                fetcher.interests.add(root)
            if held is None and is_fetched:
                fetcher.early.add(root)
            holding = wire.Holding(root, pieces, gone=is_gone and held is None)
            await fetcher.transport.send_all(encode_line(holding) + b"\n")

    async def _forget_changed(self, root: bytes) -> bool:
        """See whether a file still is what it was, before anybody is told that it is there.

        Returns:
            Whether it, or a copy of it, was here and is not served any more.
        """
        is_gone = False
        while (held := self._shelf.get(root)) is not None and held.version is not None:
            try:
                await run_briefly(check_version, held.path, held.version)
                break
            except DiskError as error:
                self._gone(held, error)
                is_gone = True
                if self._shelf.get(root) is held:
                    break  # it can't be read just now
        return is_gone

    async def _ask(self, fetcher: _Fetcher, root: bytes, piece: int) -> None:
        held = self._shelf.get(root)
        if held is None or piece not in held.have:
            await fetcher.send(self._refusal(fetcher, root, piece))
        elif not self._uploads.ask(fetcher.name, root, piece):
            await fetcher.send(wire.Refused(root, piece, busy=True))
        else:
            self._moved_at = trio.current_time()
            self._send_pieces()

    def _refusal(self, fetcher: _Fetcher, root: bytes, piece: int) -> wire.Refused:
        """What to say of a piece that is not here."""
        is_gone = self._shelf.get(root) is None and not self._interested(root, fetcher.user)
        return wire.Refused(root, piece, gone=is_gone)

    async def _send_news(self, fetcher: _Fetcher) -> None:
        while True:
            await fetcher.has_news.wait()
            await trio.sleep(limits.NEWS_SECONDS)
            fetcher.has_news = trio.Event()
            lines = b"".join(encode_line(news) + b"\n" for news in fetcher.news)
            fetcher.news.clear()
            try:
                async with fetcher.turn:
                    await fetcher.transport.send_all(lines)
            except trio.BrokenResourceError:
                fetcher.life.cancel()

    # -- Pieces ----------------------------------------------------------------------------

    def _send_pieces(self) -> None:
        """Begin to send what is next, as much as may be under way."""
        while (upload := self._uploads.next()) is not None:
            fetcher, nursery = self._fetchers[upload.peer]
            nursery.start_soon(self._send_piece, fetcher, upload)

    async def _send_piece(self, fetcher: _Fetcher, upload: Upload) -> None:
        buffer = self._buffers.pop() if self._buffers else bytearray()
        try:
            held = self._shelf.get(upload.file)
            if held is None or upload.piece not in held.have:  # not any more
                await fetcher.send(self._refusal(fetcher, upload.file, upload.piece))
                return
            if len(buffer) < held.manifest.leaf_bytes:
                buffer = bytearray(held.manifest.leaf_bytes)
            first, *others = held.manifest.leaves_of(upload.piece)
            try:
                data = await _read(held, first, buffer)
            except DiskError as error:
                is_gone = self._gone(held, error)
                refused = wire.Refused(upload.file, upload.piece, busy=not is_gone, gone=is_gone)
                await fetcher.send(refused)
                return
            async with fetcher.turn:
                size = held.manifest.span(upload.piece)[1]
                header = wire.PieceFollows(upload.file, upload.piece, size)
                await self._send_data(fetcher, encode_line(header) + b"\n", data)
                for leaf in others:
                    try:
                        data = await _read(held, leaf, buffer)
                    except DiskError as error:
                        self._gone(held, error)
                        fetcher.life.cancel()  # its size was told, so nothing else can be
                        return
                    await self._send_data(fetcher, b"", data)
        except trio.BrokenResourceError:
            fetcher.life.cancel()
        finally:
            if len(self._buffers) < limits.UPLOADS_ACTIVE_MAX:
                self._buffers.append(buffer)
            self._uploads.done(upload.peer)
            self._send_pieces()
            self._change()

    async def _send_data(self, fetcher: _Fetcher, header: bytes, view: memoryview) -> None:
        while view:
            part = view[: min(self._throttle.turn_bytes, BLOCK_BYTES - len(header))]
            await self._throttle.take(len(part))
            # Together, as each call wakes the other end up.
            block = memoryview(header + part) if header else part
            taken = fetcher.transport.send_nowait(block)
            if taken < len(block):
                # Whoever reads slowly must not keep the others waiting.
                self._uploads.blocked(fetcher.name)
                self._send_pieces()
            await fetcher.transport.send_all(block[taken:])
            self.sent_bytes += len(part)
            self._moved_at = trio.current_time()
            view, header = view[len(part) :], b""


async def _read(held: Held, leaf: Leaf, buffer: bytearray) -> memoryview:
    data = memoryview(buffer)[: leaf.size]
    await run_briefly(read_span, held.path, held.version, leaf.offset, data)
    return data
