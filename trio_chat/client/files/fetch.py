"""One file on its way here: it finds its sources, and carries out what `swarm` decides.

Theory of operation: a task for each source reports what comes; each report is told to the
`swarm.download.Download`, whose orders then go out to the sources, at once and without waiting.
What comes is verified and written in worker threads; a source is not read for the next piece
before that is done, so after a kill no more than one piece of each has come for nothing.

What is wanted may grow meanwhile (`want`), so there is one fetch of a file at a time, whatever was
asked for. It ends when all of that is here, or can't be had.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable

import trio

from ... import limits
from ...swarm.download import TICK_SECONDS, Download
from ...swarm.hashing import HASH_BYTES
from ...swarm.manifest import Leaf, Leaves, Manifest
from ...swarm.orders import Ask, Verdict
from ...swarm.pieces import PieceSet
from .disk import DiskError, PartFile
from .holders import Holders, Holding
from .outlook import Outlook
from .serving import Serving
from .shelf import Held, Shelf
from .source import Source
from .sources import Connect, Find, Sources
from .thread import run_briefly
from .throttle import Throttle
from .want import Want, Wants


class FetchError(Exception):
    """The file, or what was wanted of it, can't be had now; the text says why."""


class Fetch:
    """One file on its way.

    Attributes:
        manifest: of the file.
        received_bytes: of pieces from each user, so far; what was sent twice counts twice.
        held: what of it is served, once it is known what is here.

    Args:
        manifest: see above.
        me: our user.
        shelf: from which the others are served what is here.
        serving: tells them of it.
        connect: see `Connect`.
        find: see `Find`.
        chunk_done: called whenever a chunk is complete.
        lied: called with the name of a user who has sent wrong bytes.
        say: called with what the person should know of those who have the file.
        throttle: the limit on what is received.
    """

    def __init__(
        self,
        manifest: Manifest,
        me: str,
        shelf: Shelf,
        serving: Serving,
        connect: Connect,
        find: Find,
        chunk_done: Callable[[], None],
        lied: Callable[[str], None],
        say: Callable[[str], None],
        throttle: Throttle,
    ) -> None:
        self.manifest = manifest
        self.received_bytes: dict[str, int] = {}
        self.held: Held | None = None
        self._part: PartFile | None = None
        self._shelf = shelf
        self._serving = serving
        self._chunk_done = chunk_done
        self._lied = lied
        self._me = me
        self._wants = Wants(manifest, me)
        self._holders = Holders(manifest.chunks)
        self._sources = Sources(
            manifest.root,
            self._holders,
            connect,
            find,
            self._wants.may_ask,
            self,
            self._left,
            say,
            throttle,
        )
        self._outlook = Outlook(
            manifest, self._wants, self._holders, self._sources, self._may_get_hashes, say
        )
        self._has_ended = False
        self._senders: dict[int, set[str]] = {}  # of each chunk
        self._expected = 0  # sources that the download knows to be about to join
        self._leaves: Leaves | None = None
        self._leaves_asked: set[Source] = set()
        self._leaves_due = -math.inf  # when to ask another one as well
        self._download: Download | None = None
        self._failure: str | None = None
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None

    def want(self, want: Want, holders: Iterable[Holding]) -> bool:
        """Fetch this too; False if all else is here, or can't be had, so that it has ended.

        Args:
            want: settled when it is here or can't be had; but what is the whole file is settled
                by the caller, who gives that its name first.
            holders: what `find` would return now.
        """
        if self._has_ended:
            return False
        self._wants.add(want)
        self._holders.list(holders)
        if self._download is not None:
            want.was_here = self._wants.is_here(want, self._download.have)
            self._download.want(want.chunks)
            for user, have in self._sources.holdings.items():
                self._download.peer_has(user, self._wants.allowed(user, have))
            self._send_orders()
        self._sources.ask_all()
        self._expect()
        self._change()
        return True

    def end(self, failure: str | None = None) -> None:
        """Settle what is not settled; nothing more can be wanted."""
        self._has_ended = True
        for want in self._wants:
            self._settle(want, failure)

    # -- For those who watch ---------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it has begun."""
        return self._part is not None

    @property
    def wanted_bytes(self) -> int:
        """How many bytes were wanted."""
        return self._wants.size

    @property
    def missing_bytes(self) -> int:
        """About how many of them are not here yet."""
        have = PieceSet(self.manifest.pieces) if self._download is None else self._download.have
        return self._wants.missing(have)

    @property
    def sources(self) -> int:
        """From how many users something can come."""
        if self._download is None:
            return sum(bool(have) for have in self._sources.holdings.values())
        return self._download.sources

    @property
    def trouble(self) -> str | None:
        """Why nothing comes at present; none if something does, or may soon."""
        return self._outlook.trouble

    def suggest(self, user: str) -> None:
        """Somebody may have some of the file."""
        self._sources.suggest(user)

    def outdate(self) -> None:
        """The name of the file stands for another one now."""
        self._fail("its owner has registered a new version of it; 'download' fetches that")

    # -- Running ---------------------------------------------------------------------------

    async def run(self, part: PartFile) -> None:
        """Fetch what is wanted, until all of it is here or can't be had.

        Args:
            part: where it lies until it is complete.

        Raises:
            FetchError: if that is for a reason that concerns all of it; what is here stays, and
                a later try goes on with it.
        """
        self._part = part
        for want in self._wants:
            want.seen_at = trio.current_time()  # it may have waited long for its turn
        if not self.manifest.pieces:
            self._begin(_leaves_of_nothing(self.manifest), PieceSet(0))
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._sources.run)
                known = self._shelf.get(self.manifest.root)
                if self._leaves is None and known is not None:
                    self._leaves = known.leaves
                    self._nursery.start_soon(self._check, known.leaves)
                while self._goes_on():
                    await self._wait_for_change(TICK_SECONDS)
                    self._expect()
                    if self._download is None:
                        self._ask_leaves()
                    else:
                        self._download.expire(trio.current_time())
                        self._send_orders()
                    self._outlook.tell_what_is_lacking()
                for source in self._sources.connected.values():
                    source.send_news()  # who fetches from us too must know of the last pieces
                self._nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._has_ended = True
        if self._failure is not None:
            raise FetchError(self._failure)

    def _goes_on(self) -> bool:
        """Settle what is here or can't be had; return whether anything is left."""
        if self._failure is not None:
            return False
        for want in self._wants:
            if not self._outlook.is_here(want):
                failure = self._outlook.judge(want)
                if failure is not None:
                    self._settle(want, failure)
            elif want.user or not self.has_all:
                self._settle(want)
        return not self.has_all and any(True for _ in self._wants)

    def _settle(self, want: Want, failure: str | None = None) -> None:
        for chunk in want.chunks:
            want.senders |= self._senders.get(chunk, set())
        want.settle(failure)

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

    def _may_get_hashes(self) -> bool:
        """Whether they are here, or may come from somebody who was not asked yet."""
        connected = self._sources.connected
        return self._leaves is not None or any(
            have and connected[user] not in self._leaves_asked
            for user, have in self._sources.holdings.items()
        )

    def _expect(self) -> None:
        expected = self._sources.expected
        if self._download is not None and expected != self._expected:
            self._expected = expected
            self._download.expect(expected)

    def _left(self, user: str, source: Source | None) -> None:
        if self._download is not None:
            self._download.peer_left(user)
        if source is not None and source in self._leaves_asked:
            self._leaves_asked.remove(source)
            self._ask_leaves_now()
        self._expect()
        self._send_orders()
        self._change()

    def _drop(self, source: Source) -> None:
        if source.user not in self._sources.liars:
            self._lied(source.user)
        self._sources.drop(source)

    # -- What sources report ---------------------------------------------------------------

    def leaves_of(self, piece: int) -> list[Leaf]:
        if self._download is None or piece >= self.manifest.pieces:
            return []
        return self.manifest.leaves_of(piece)

    def size_of_leaves(self) -> int:
        return self.manifest.leaves * HASH_BYTES

    def holding(self, source: Source, pieces: bytes, *, is_gone: bool) -> None:
        try:
            # Who has just begun to fetch has nothing yet, and tells of every piece that comes.
            count = self.manifest.pieces
            have = PieceSet.from_bytes(pieces, count) if pieces else PieceSet(count)
        except ValueError:
            source.close()  # it makes no sense
            return
        self._holders.reached(source.user)
        if is_gone:
            self._sources.lose(source)
            return
        self._sources.holdings[source.user] = have
        if self._download is None:
            self._ask_leaves()
        else:
            self._join(source.user)
        self._expect()
        self._change()

    def has(self, source: Source, piece: int) -> None:
        self.user_has(source.user, piece)

    def user_has(self, user: str, piece: int) -> None:
        """Somebody has one more piece; it matters if they are a source."""
        have = self._sources.holdings.get(user)
        if have is None or piece >= have.size:
            return
        have.add(piece)
        if self._download is None:
            self._ask_leaves()
        elif piece in self._wants.allowed(user, have):
            self._download.peer_has(user, [piece])
            self._send_orders()

    def leaves(self, source: Source, data: bytes) -> None:
        self._leaves_asked.discard(source)
        if self._leaves is not None:
            return  # somebody else was faster
        self._holders.reached(source.user)
        if not data:
            self._sources.lose(source)
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

    def refused(self, source: Source, piece: int, *, is_busy: bool, is_gone: bool) -> None:
        if is_gone:
            self._sources.lose(source)
        elif self._download is not None:
            have = self._sources.holdings.get(source.user)
            if have is not None and not is_busy and piece < have.size:
                have.discard(piece)
                if not have:
                    self._sources.lose(source)  # an older client says it piece by piece
                    return
            self._download.refused(source.user, piece, trio.current_time(), busy=is_busy)
            self._send_orders()

    # -- Pieces ----------------------------------------------------------------------------

    def _ask_leaves(self) -> None:
        """Ask somebody for the hashes, unless one was asked who may still answer soon."""
        now = trio.current_time()
        if self._leaves is not None or now < self._leaves_due:
            return
        for source in self._leaves_asked:
            self._holders.silent(source.user)
        for user, source in self._sources.connected.items():
            may_know = self._sources.holdings.get(user) and user not in self._sources.liars
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
        assert self._part is not None
        try:
            have = await trio.to_thread.run_sync(self._part.verify, leaves, self._note_checked)
        except DiskError as error:
            self._fail(str(error))
        else:
            self._begin(leaves, have)

    def _note_checked(self, done: int, _size: int) -> None:
        trio.from_thread.check_cancelled()  # a large file must keep nobody waiting

    def _begin(self, leaves: Leaves, have: PieceSet) -> None:
        assert self._part is not None
        self._leaves = leaves
        self._download = Download(
            self.manifest, have, secrets.randbits(32), self._wants.chunks, self._me
        )
        self._outlook.download = self._download
        for want in self._wants:
            want.was_here = self._wants.is_here(want, have)
        self.held = Held(leaves, self._part.path, None, self._download.have)
        self._shelf.put(self.held)
        self._serving.begin(self.manifest.root, self.held.have)
        if have:
            self._chunk_done()
        for user in self._sources.holdings:
            self._join(user)
        self._expect()
        self._change()

    def _join(self, user: str) -> None:
        assert self._download is not None
        self._download.peer_joined(user, self._wants.allowed(user, self._sources.holdings[user]))
        self._send_orders()

    def _send_orders(self) -> None:
        if self._download is None:
            return
        for order in self._download.orders(trio.current_time()):
            source = self._sources.connected.get(order.peer)
            if source is None:
                continue
            if isinstance(order, Ask):
                source.ask(order.piece)
            else:
                source.cancel(order.piece)

    async def leaf(self, source: Source, piece: int, leaf: Leaf, data: memoryview) -> None:
        assert self._part is not None
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
        if self._failure is not None or source.user in self._sources.liars:
            return  # a leaf was not written
        receipt = self._download.received(source.user, piece, ok=True, now=trio.current_time())
        if receipt.verdict is Verdict.VERIFIED:
            for other in self._sources.connected.values():
                other.announce(piece)
            self._serving.announce(self.manifest.root, piece, self._sources.connected)
            self._senders.setdefault(self.manifest.chunk_of(piece), set()).add(source.user)
            if receipt.chunk is not None:
                self._chunk_done()
                self._change()
        self._send_orders()


def _leaves_of_nothing(manifest: Manifest) -> Leaves:
    try:
        return Leaves(manifest, b"")
    except ValueError:
        raise FetchError("it is empty, and its hash says otherwise") from None
