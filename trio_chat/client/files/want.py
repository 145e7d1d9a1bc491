"""What a person wants of a file: all of it, or some chunks of one user."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from ...swarm.manifest import Manifest
from ...swarm.pieces import PieceSet


class Want:
    """Some chunks that are to come here; the fetch that brings them settles it.

    Attributes:
        chunks: their numbers.
        user: who is to send them; empty if anybody may.
        seen_at: when they were last within reach, in seconds of trio's clock.
        was_here: whether they were here before they were wanted.
        senders: who has sent some of them.
        failure: why they can't be had, once it is settled; none if they are here.
        settled: set when that is known.
    """

    def __init__(self, chunks: tuple[int, ...], user: str = "") -> None:
        self.chunks = chunks
        self.user = user
        self.seen_at = trio.current_time()
        self.was_here = False
        self.senders: set[str] = set()
        self.failure: str | None = None
        self.settled = trio.Event()

    def settle(self, failure: str | None = None) -> None:
        """It is here, or can't be had for this reason."""
        if not self.settled.is_set():
            self.failure = failure
            self.settled.set()


class Wants:
    """All that is wanted of one file; may grow while it is fetched.

    Args:
        manifest: of the file.
        me: our user, who is not asked.
    """

    def __init__(self, manifest: Manifest, me: str) -> None:
        self._manifest = manifest
        self._me = me
        self._wants: list[Want] = []
        self._pieces = PieceSet(manifest.pieces)
        self._of_users: dict[str, PieceSet] = {}  # what each of them may be asked for
        self._of_anybody = False

    def __iter__(self) -> Iterator[Want]:
        """Those that are not settled."""
        return (want for want in self._wants if not want.settled.is_set())

    def add(self, want: Want) -> None:
        """One more is wanted."""
        self._wants = [*self, want]
        pieces = self._of_users.setdefault(want.user, PieceSet(self._manifest.pieces))
        for chunk in want.chunks:
            self._pieces.add_range(self._manifest.pieces_of(chunk))
            pieces.add_range(self._manifest.pieces_of(chunk))

    @property
    def for_anybody(self) -> Want | None:
        """The first that is not settled of those that anybody may send."""
        return next((want for want in self if not want.user), None)

    @property
    def chunks(self) -> list[int]:
        """All that were wanted so far."""
        chunks = range(1, self._manifest.chunks + 1)
        return [chunk for chunk in chunks if self.pieces.has_range(self._manifest.pieces_of(chunk))]

    @property
    def pieces(self) -> PieceSet:
        """All pieces that were wanted so far."""
        return self._pieces

    def may_ask(self, user: str) -> bool:
        """Whether a user may be asked for anything that is still wanted."""
        return user != self._me and any(want.user in ("", user) for want in self)

    def allowed(self, user: str, have: PieceSet) -> PieceSet:
        """What of that which a user has they may be asked for."""
        if "" in self._of_users:
            return have
        return have & self._of_users.get(user, PieceSet(have.size))

    def is_here(self, want: Want, have: PieceSet) -> bool:
        """Whether all of something is among what we have."""
        return all(have.has_range(self._manifest.pieces_of(chunk)) for chunk in want.chunks)

    def can_bring(self, want: Want, theirs: PieceSet, have: PieceSet) -> bool:
        """Whether somebody has something of it that we have not."""
        pieces = PieceSet(have.size)
        for chunk in want.chunks:
            pieces.add_range(self._manifest.pieces_of(chunk))
        offered = pieces & theirs
        return len(offered) > len(offered & have)

    @property
    def size(self) -> int:
        """How many bytes were wanted so far."""
        return sum(self._manifest.chunk_span(chunk)[1] for chunk in self.chunks)

    def missing(self, have: PieceSet) -> int:
        """About how many of them are not here yet."""
        pieces = len(self._pieces) - len(self._pieces & have)
        return min(self.size, pieces * self._manifest.piece_bytes)
