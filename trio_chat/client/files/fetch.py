"""One file on its way here: it finds its sources, and carries out what `swarm` decides.

Theory of operation: a task for each source reports what comes; each report is told to the
`swarm.download.Download`, whose orders then go out to the sources, at once and without waiting.
What comes is verified and written in worker threads; a source is not read for the next piece
before that is done, so after a kill no more than one piece of each has come for nothing. When
nothing is missing the file gets its name, and that is the end of the tasks.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import trio

from ... import limits
from ...errors import ProtocolViolation
from ...net.transport import BulkTransport
from ...swarm.download import TICK_SECONDS, Download
from ...swarm.hashing import HASH_BYTES
from ...swarm.manifest import Leaf, Leaves, Manifest
from ...swarm.orders import Ask, Verdict
from ...swarm.pieces import PieceSet
from .disk import DiskError, PartFile
from .serving import Serving
from .shelf import Held, Shelf
from .source import Source
from .thread import run_briefly
from .throttle import Throttle

RETRY_SECONDS = 5.0
"""When to try again with somebody whose connection was lost, or could not be made."""

ALONE_SECONDS_MAX = 60.0
"""How long a file is looked for that nobody has any more; more than it takes to connect."""


class ConnectError(Exception):
    """There is no connection to somebody; the text says why."""


class FetchError(Exception):
    """The file, or what was wanted of it, can't be had now; the text says why."""


Connect = Callable[[str], Awaitable[BulkTransport]]
"""Connects to a user who serves; raises `ConnectError`."""

Find = Callable[[], Awaitable[list[str]]]
"""Asks the server who holds the file now; nobody if it does not answer."""


class Fetch:
    """One file on its way.

    Attributes:
        manifest: of the file.
        received_bytes: of pieces from each user, so far; what was sent twice counts twice.
        liars: users who have sent wrong bytes.
        held: what of it is served, once it is known what is here.

    Args:
        manifest: see above.
        chunks: those that are wanted.
        directory_part: where it lies until it is complete.
        shelf: from which the others are served what is here.
        serving: tells them of it.
        connect: see `Connect`.
        holders: what `find` would return now.
        find: see `Find`.
        may_ask: whether a user may be asked at all.
        chunk_done: called whenever a chunk is complete.
        lied: called with the name of a user who has sent wrong bytes.
        throttle: the limit on what is received.
    """

    def __init__(
        self,
        manifest: Manifest,
        chunks: tuple[int, ...],
        part: PartFile,
        shelf: Shelf,
        serving: Serving,
        connect: Connect,
        holders: list[str],
        find: Find,
        may_ask: Callable[[str], bool],
        chunk_done: Callable[[], None],
        lied: Callable[[str], None],
        throttle: Throttle,
    ) -> None:
        self.manifest = manifest
        self.received_bytes: dict[str, int] = {}
        self.liars: set[str] = set()
        self.held: Held | None = None
        self.checked_bytes = 0
        self._chunks = chunks
        self._part = part
        self._shelf = shelf
        self._serving = serving
        self._connect = connect
        self._first_holders = holders
        self._find = find
        self._may_ask = may_ask
        self._chunk_done = chunk_done
        self._lied = lied
        self._throttle = throttle
        self._sources: dict[str, Source] = {}
        self._holdings: dict[str, PieceSet] = {}
        self._busy: set[str] = set()  # who is connected to, or about to be
        self._retry_at: dict[str, float] = {}
        self._leaves: Leaves | None = None
        self._leaves_asked: set[Source] = set()
        self._leaves_due = -math.inf  # when to ask another one as well
        self._download: Download | None = None
        self._failure: str | None = None
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._wanted_bytes = sum(manifest.chunk_span(chunk)[1] for chunk in chunks)

    # -- For those who watch ---------------------------------------------------------------

    @property
    def wanted_bytes(self) -> int:
        """How many bytes were wanted."""
        return self._wanted_bytes

    @property
    def missing_bytes(self) -> int:
        """About how many of them are not here yet."""
        if self._download is None:
            return self._wanted_bytes
        return min(self._wanted_bytes, self._download.missing * self.manifest.piece_bytes)

    @property
    def sources(self) -> int:
        """From how many users it comes."""
        return len(self._holdings)

    # -- Running ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Fetch what is wanted; when this returns, it is here.

        Raises:
            FetchError: if it can't be had; what is here stays, and a later try goes on with it.
        """
        if not self.manifest.pieces:
            self._begin(_leaves_of_nothing(self.manifest), PieceSet(0))
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._look_for_sources)
                while self._failure is None and not self._is_complete:
                    await self._wait_for_change(TICK_SECONDS)
                    if self._download is None:
                        self._ask_leaves()
                    else:
                        self._download.expire(trio.current_time())
                        self._send_orders()
                for source in self._sources.values():
                    source.send_news()  # who fetches from us too must know of the last pieces
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
        if self._failure is not None:
            raise FetchError(self._failure)

    @property
    def _is_complete(self) -> bool:
        return self._download is not None and self._download.complete

    @property
    def has_all(self) -> bool:
        """Whether the whole file is here."""
        return self._download is not None and len(self._download.have) == self.manifest.pieces

    async def _wait_for_change(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
        self._change()

    # -- Sources ---------------------------------------------------------------------------

    async def _look_for_sources(self) -> None:
        assert self._nursery is not None
        last_seen = trio.current_time()
        holders = self._first_holders
        while True:
            random.shuffle(holders)  # so that not everybody asks the same ones
            for user in holders:
                self.suggest(user)
            self._expect()
            now = trio.current_time()
            if self._can_go_on:
                last_seen = now
            elif now - last_seen >= ALONE_SECONDS_MAX:
                self._fail("nobody who is online has the rest of it")
            await trio.sleep(limits.SEARCH_SECONDS if self._holdings else 1.0)
            holders = await self._find()

    @property
    def _can_go_on(self) -> bool:
        """Whether somebody has what is missing; before that is known, may send the hashes."""
        if self._download is not None:
            return self._download.can_go_on
        return self._leaves is not None or any(
            have and self._sources[user] not in self._leaves_asked
            for user, have in self._holdings.items()
        )

    def suggest(self, user: str) -> None:
        """Somebody may have some of the file: connect to them, unless there are enough."""
        if (
            self._nursery is not None
            and self._may_ask(user)
            and user not in self._busy
            and user not in self.liars
            and len(self._busy) < limits.SOURCES_MAX
            and trio.current_time() >= self._retry_at.get(user, -math.inf)
        ):
            self._busy.add(user)
            self._nursery.start_soon(self._run_source, user)

    def _expect(self) -> None:
        if self._download is not None:
            self._download.expect(len(self._busy) - len(self._holdings))

    async def _run_source(self, user: str) -> None:
        try:
            with ExitStack() as cleanup:
                with trio.fail_after(limits.PEER_CONNECT_SECONDS_MAX):
                    transport = await self._connect(user)
                    cleanup.callback(transport.close)
                    source = Source(user, transport, self.manifest.root, self._throttle)
                    await source.greet()
                self._sources[user] = source
                await source.run(self)
        except (ConnectError, trio.TooSlowError, trio.BrokenResourceError):
            pass
        except ProtocolViolation:
            self._leave(user, retry_seconds=math.inf)
            return
        self._leave(user)

    def _leave(self, user: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self._busy.discard(user)
        self._holdings.pop(user, None)
        source = self._sources.pop(user, None)
        self._retry_at[user] = trio.current_time() + retry_seconds
        if self._download is not None:
            self._download.peer_left(user)
        if source is not None and source in self._leaves_asked:
            self._leaves_asked.remove(source)
            self._ask_leaves_now()
        self._expect()
        self._send_orders()

    def _drop(self, source: Source) -> None:
        """Somebody has sent what is wrong: they are not asked again."""
        if source.user not in self.liars:
            self.liars.add(source.user)
            self._lied(source.user)
        source.close()

    # -- What sources report ---------------------------------------------------------------

    def leaves_of(self, piece: int) -> list[Leaf]:
        if self._download is None or piece >= self.manifest.pieces:
            return []
        return self.manifest.leaves_of(piece)

    def size_of_leaves(self) -> int:
        return self.manifest.leaves * HASH_BYTES

    def holding(self, source: Source, pieces: bytes) -> None:
        try:
            # Who has just begun to fetch has nothing yet, and tells of every piece that comes.
            count = self.manifest.pieces
            have = PieceSet.from_bytes(pieces, count) if pieces else PieceSet(count)
        except ValueError:
            source.close()  # it makes no sense
            return
        self._holdings[source.user] = have
        if self._download is None:
            self._ask_leaves()
        else:
            self._join(source.user)
        self._expect()

    def has(self, source: Source, piece: int) -> None:
        self.user_has(source.user, piece)

    def user_has(self, user: str, piece: int) -> None:
        """Somebody has one more piece; it matters if they are a source."""
        have = self._holdings.get(user)
        if have is None or piece >= have.size:
            return
        have.add(piece)
        if self._download is None:
            self._ask_leaves()
        else:
            self._download.peer_has(user, [piece])
            self._send_orders()

    def leaves(self, source: Source, data: bytes) -> None:
        self._leaves_asked.discard(source)
        if self._leaves is not None:
            return  # somebody else was faster
        if not data:  # it does not serve the file any more
            self._holdings[source.user] = PieceSet(self.manifest.pieces)
            self._ask_leaves_now()
            return
        try:
            self._leaves = Leaves(self.manifest, data)
        except ValueError:
            self._drop(source)
            self._ask_leaves_now()
        else:
            assert self._nursery is not None
            self._nursery.start_soon(self._check, self._leaves)

    def heard(self, source: Source) -> None:
        if self._download is not None:
            self._download.heard(source.user, trio.current_time())

    def refused(self, source: Source, piece: int, *, busy: bool) -> None:
        if self._download is not None:
            self._download.refused(source.user, piece, trio.current_time(), busy=busy)
            self._send_orders()

    # -- Pieces ----------------------------------------------------------------------------

    def _ask_leaves(self) -> None:
        """Ask somebody for the hashes, unless one was asked who may still answer soon."""
        now = trio.current_time()
        if self._leaves is not None or now < self._leaves_due:
            return
        for user, source in self._sources.items():
            may_know = self._holdings.get(user) and user not in self.liars
            if may_know and source not in self._leaves_asked:
                self._leaves_asked.add(source)
                self._leaves_due = now + limits.SILENCE_SECONDS
                source.ask_leaves()
                return

    def _ask_leaves_now(self) -> None:
        self._leaves_due = -math.inf
        self._ask_leaves()

    async def _check(self, leaves: Leaves) -> None:
        """See what is here from an earlier try, then begin."""
        try:
            have = await trio.to_thread.run_sync(self._part.verify, leaves, self._note_checked)
        except DiskError as error:
            self._fail(str(error))
        else:
            self._begin(leaves, have)

    def _note_checked(self, done: int, _size: int) -> None:
        trio.from_thread.check_cancelled()  # a large file must keep nobody waiting
        self.checked_bytes = done

    def _begin(self, leaves: Leaves, have: PieceSet) -> None:
        self._leaves = leaves
        self._download = Download(self.manifest, have, secrets.randbits(32), self._chunks)
        self.held = Held(leaves, self._part.path, None, self._download.have)
        self._shelf.put(self.held)
        self._serving.begin(self.manifest.root, self.held.have)
        if have:
            self._chunk_done()
        for user in self._holdings:
            self._join(user)
        self._expect()
        self._change()

    def _join(self, user: str) -> None:
        assert self._download is not None
        self._download.peer_joined(user, self._holdings[user])
        self._send_orders()

    def _send_orders(self) -> None:
        if self._download is None:
            return
        for order in self._download.orders(trio.current_time()):
            source = self._sources.get(order.peer)
            if source is None:
                continue
            if isinstance(order, Ask):
                source.ask(order.piece)
            else:
                source.cancel(order.piece)

    async def leaf(self, source: Source, piece: int, leaf: Leaf, data: memoryview) -> None:
        assert self._leaves is not None
        assert self._download is not None
        try:
            is_right = await run_briefly(self._part.store, self._leaves, leaf, data)
        except DiskError as error:
            self._fail(str(error))
            return
        if not is_right:
            self._download.received(source.user, piece, ok=False, now=trio.current_time())
            self._drop(source)
            self._send_orders()

    def arrived(self, source: Source, piece: int) -> None:
        assert self._download is not None
        user, size = source.user, self.manifest.span(piece)[1]
        self.received_bytes[user] = self.received_bytes.get(user, 0) + size
        self._download.arrived(user, piece, trio.current_time())
        self._send_orders()

    def piece(self, source: Source, piece: int) -> None:
        assert self._download is not None
        if self._failure is not None or source.user in self.liars:
            return  # a leaf was not written
        receipt = self._download.received(source.user, piece, ok=True, now=trio.current_time())
        if receipt.verdict is Verdict.VERIFIED:
            for other in self._sources.values():
                other.announce(piece)
            self._serving.announce(self.manifest.root, piece, self._sources)
            if receipt.chunk is not None:
                self._chunk_done()
        self._send_orders()
        if receipt.complete:
            self._change()


def _leaves_of_nothing(manifest: Manifest) -> Leaves:
    try:
        return Leaves(manifest, b"")
    except ValueError:
        raise FetchError("it is empty, and its hash says otherwise") from None
