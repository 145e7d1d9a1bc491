"""Whom a client serves next, and with which piece of which file.

Peers take turns, one piece each, so that a greedy one waits behind its own requests only;
who waits for something that was never sent comes a little sooner.
Of what a peer has asked for it gets first what was sent least often so far: a piece that
nobody has yet does more for the swarm than another copy, as its receiver will pass it on
(what BitTorrent calls super-seeding). Few pieces are on their way at a time, for the same
reason: each is soon whole, while many at once would all come late.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .. import limits


class Upload(Struct, frozen=True, gc=False):
    """A piece to send now; the file is named by the root of its hash tree."""

    peer: str
    file: bytes
    piece: int


Wish = tuple[bytes, int]

_NEVER: dict[int, int] = {}  # how often the pieces of a file were sent of which none was


class _Peer(Struct):
    """What one peer waits for, in the order in which it asked."""

    waiting: dict[Wish, None]
    sending: Wish | None = None
    skipped: int = 0
    is_blocked: bool = False


class Uploads:
    """The requests that wait to be served by one client, for pieces of any of its files.

    The shell calls `next` whenever it could send, and `done` when it has sent that piece.
    """

    def __init__(self, active_max: int = limits.UPLOADS_ACTIVE_MAX) -> None:
        self._active_max = active_max
        self._active = 0
        self._turns: dict[str, _Peer] = {}  # whose turn is next comes first
        self._sent: dict[bytes, dict[int, int]] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(len(peer.waiting) for peer in self._turns.values())

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and nothing is on its way."""
        return not self._turns

    def is_asked_by(self, peer: str) -> bool:
        """Whether anything waits for a peer, or is on its way to them."""
        return peer in self._turns

    def ask(self, peer: str, file: bytes, piece: int) -> bool:
        """A peer asks for a piece that is here; False if that is too much, and it is refused."""
        known = self._turns.get(peer)
        if known is None:
            known = self._turns[peer] = _Peer({})
        wish = (file, piece)
        if wish in known.waiting or wish == known.sending:
            return True
        if len(known.waiting) >= limits.UPLOADS_WAITING_MAX:
            return False
        known.waiting[wish] = None
        return True

    def cancel(self, peer: str, file: bytes, piece: int) -> None:
        """A peer no longer wants a piece. What is on its way already, goes on."""
        known = self._turns.get(peer)
        if known is not None:
            known.waiting.pop((file, piece), None)
            self._forget(peer, known)

    def peer_left(self, peer: str) -> None:
        """Drop all that a peer asked for; a piece on its way to it counts as done."""
        known = self._turns.pop(peer, None)
        if known is not None and known.sending is not None:
            self._active -= not known.is_blocked

    def next(self) -> Upload | None:
        """The piece to send next; None if nothing waits, or enough is on its way."""
        if self._active >= self._active_max:
            return None
        chosen = self._next_wish()
        if chosen is None:
            return None
        peer, wish, times = chosen
        known = self._turns.pop(peer)
        self._turns[peer] = known  # at the end
        known.skipped = 0
        known.is_blocked = False
        del known.waiting[wish]
        known.sending = wish
        file, piece = wish
        self._sent.setdefault(file, {})[piece] = times + 1
        self._active += 1
        return Upload(peer, file, piece)

    def done(self, peer: str) -> None:
        """The piece on its way to a peer was sent, or could not be."""
        known = self._turns.get(peer)
        if known is not None and known.sending is not None:
            known.sending = None
            self._active -= not known.is_blocked
            self._forget(peer, known)

    def forget_file(self, file: bytes) -> list[tuple[str, int]]:
        """A file is no longer served: drop what waits for it, and what was counted.

        Returns:
            Each peer that waited, with the piece for which it did.
        """
        self._sent.pop(file, None)
        dropped = []
        for peer, known in list(self._turns.items()):
            for wish in [wish for wish in known.waiting if wish[0] == file]:
                del known.waiting[wish]
                dropped.append((peer, wish[1]))
            self._forget(peer, known)
        return dropped

    def blocked(self, peer: str) -> None:
        """Its link takes no more of its piece at present: serve another one beside it."""
        known = self._turns.get(peer)
        if known is not None and known.sending is not None and not known.is_blocked:
            known.is_blocked = True
            self._active -= 1

    def _next_wish(self) -> tuple[str, Wish, int] | None:
        """Whose turn it is, for what, and how often that was sent.

        Who waits for something new goes first, within bounds.
        """
        first = None
        for peer, known in self._turns.items():
            if not known.waiting or known.sending is not None:
                continue
            wish, times = self._choose(known.waiting)
            if not times or known.skipped >= limits.UPLOADS_SKIPPED_MAX:
                return peer, wish, times
            first = first or (peer, wish, times)
            known.skipped += 1
        return first

    def _choose(self, wishes: Iterable[Wish]) -> tuple[Wish, int]:
        """What was sent least often, the first of several; and how often that was."""
        best, least = None, 0
        for wish in wishes:
            file, piece = wish
            times = self._sent.get(file, _NEVER).get(piece, 0)
            if not times:
                return wish, 0
            if best is None or times < least:
                best, least = wish, times
        assert best is not None, "there is one at least"
        return best, least

    def _forget(self, peer: str, known: _Peer) -> None:
        if not known.waiting and known.sending is None:
            del self._turns[peer]
