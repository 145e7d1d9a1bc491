"""One file on its way here: which piece to ask of whom, and what becomes of it.

Theory of operation: a wanted piece is *open* (in the picker), *asked for* (of one peer, or
two if it is late), or here. Whatever happens is told by a method; what is to be sent then
is taken from `orders`, and sent in that order. So many events cost one round of choices.

The policy:

- The rarest piece first. Seeds choose last, so they are asked for what others lack or are too
  busy to send: the swarm lives on what its members swap, and a seed sends little twice.
- Those who fetch divide among them what only seeds have, by the order of their names. So no two
  ask a seed for the same piece, which over slow links it would send to both.
- Each peer owes about as much as it sends in a second, two pieces at least. So pipes stay
  full, and peers share the work as their rates are; equal peers, equally. It owes a piece
  until that has come: while it is verified, the next one is on its way.
- Near the end each peer owes at most its share of what is missing. So no peer is asked for
  everything while others could help, and the last pieces come from all.
- Who waits for a piece at one peer may move to a new holder; seeds are relieved first.
- Near the end, what is late is asked of a second peer; the slower one is told to stop.
- Who is silent is left and tried again later, or as soon as something comes after all. Who sends
  one wrong byte is never asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .. import limits
from .manifest import Layout
from .orders import Ask, Cancel, Order, Receipt, Verdict
from .peers import Peer
from .picker import Picker, mix
from .pieces import PieceSet

TICK_SECONDS = 0.1
"""How often `expire` looks for what is late, while something is under way."""

EARLY_PART = 0.25
"""Near the end an idle peer may be asked too, after this part of the time expected."""

RELIEF_SECONDS = 4.0
"""A seed is not asked for what the others, who hold it too, can send within this time.

Where all have fast links, this is what leaves the seed its fair share: it has nothing to
receive, so it would always be the first to have sent something."""

BUSY_SECONDS = 0.5
"""The first pause after a peer has refused because it was asked for too much."""


class Download:
    """The pieces of one file that come from peers.

    Attributes:
        layout: how the file is cut.
        have: the pieces that are here; what this client serves. Not to be changed by others.
    """

    def __init__(
        self,
        layout: Layout,
        have: PieceSet,
        salt: int,
        chunks: Iterable[int] | None = None,
        me: str = "",
    ) -> None:
        """Start with what is here already.

        Args:
            layout: how the file is cut; a `Manifest` is one.
            have: the pieces that are here and verified.
            salt: decides between equals; different for each client.
            chunks: those that are wanted, checked; all if None.
            me: our name among the peers.
        """
        assert have.size == layout.pieces
        self.layout = layout
        self.have = have.copy()
        self._salt = salt
        self._me = me
        self._missing = PieceSet(layout.pieces)
        self._chunk_missing = [
            sum(piece not in have for piece in layout.pieces_of(chunk + 1))
            for chunk in range(layout.chunks)
        ]
        self._picker = Picker(layout.pieces, salt)
        self._peers: dict[str, Peer] = {}
        self._joins = 0
        self._liars: set[str] = set()
        self._askers: dict[int, list[Peer]] = {}
        self._at_seeds = PieceSet(layout.pieces)  # asked of a seed only
        self._offers: list[tuple[Peer, int]] = []  # new holders of what others owe
        self._ready: dict[str, Peer] = {}  # those that may have something to be asked for
        self._cancels: list[Cancel] = []
        self._sources = 0
        self._expected = 0
        self.want(range(1, layout.chunks + 1) if chunks is None else chunks)

    # -- What is wanted, and what is here ------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether all that is wanted is here."""
        return not self._missing

    @property
    def missing(self) -> int:
        """How many wanted pieces are not here."""
        return len(self._missing)

    @property
    def sources(self) -> int:
        """How many peers hold something that is wanted and not here."""
        return self._sources

    @property
    def can_go_on(self) -> bool:
        """Whether a peer holds something that is wanted and not here."""
        return self._sources > 0

    def want(self, chunks: Iterable[int]) -> None:
        """Want these chunks too."""
        for chunk in chunks:
            for piece in self.layout.pieces_of(chunk):
                if piece not in self.have and self._missing.add(piece):
                    self._picker.open(piece)
        for peer in self._peers.values():
            self._set_useful(peer, len(peer.have & self._missing))
            self._ready[peer.name] = peer

    # -- Peers -----------------------------------------------------------------------

    def expect(self, peers: int) -> None:
        """So many peers are about to join: leave them their share of the work."""
        assert peers >= 0
        self._expected = peers
        self._ready.update(self._peers)

    def peer_joined(self, peer: str, have: PieceSet) -> bool:
        """A peer can be asked from now on; False if it is not to be, as it lied or is too many."""
        assert have.size == self.layout.pieces
        self.peer_left(peer)
        if peer in self._liars or len(self._peers) >= limits.PEERS_MAX:
            return False
        self._joins += 1
        known = Peer(peer, have.copy(), self.layout.piece_bytes, mix(self._salt, -self._joins))
        self._peers[peer] = known
        if not known.is_seed:
            self._picker.add_holder_of(known.have)
            self._part_with_others()
        self._set_useful(known, len(known.have & self._missing))
        self._ready[peer] = known
        return True

    def peer_has(self, peer: str, pieces: Iterable[int]) -> None:
        """A peer says that it now holds these; numbers beyond the file are ignored."""
        known = self._peers.get(peer)
        if known is None:
            return
        size, have = known.have.size, known.have
        for piece in pieces:
            if not 0 <= piece < size or not have.add(piece):
                continue
            assert not known.is_seed, "a seed has nothing new"
            self._picker.add_holder(piece)
            if piece in self._missing:
                self._set_useful(known, known.useful + 1)
                if self._picker.is_open(piece) or piece in self._at_seeds:
                    self._ready[peer] = known
                if piece in self._askers:
                    self._offers.append((known, piece))

    def peer_left(self, peer: str) -> None:
        """A peer is gone; what it owes is asked of others."""
        known = self._peers.pop(peer, None)
        if known is None:
            return
        for piece in list(known.asked):
            self._release(known, piece)
        self._set_useful(known, 0)
        self._ready.pop(peer, None)
        if not known.is_seed:
            self._picker.remove_holder_of(known.have)
            self._part_with_others()

    def heard(self, peer: str, now: float) -> None:
        """Part of a piece came from a peer: it is slow perhaps, but not silent."""
        known = self._peers.get(peer)
        if known is not None:
            known.heard_at = now
            if known.was_silent:  # its way was cut for a while
                known.trust()
                self._ready[peer] = known

    def refused(self, peer: str, piece: int, now: float, *, busy: bool) -> None:
        """A peer will not send a piece, as it is busy now, or as it does not hold it at all."""
        known = self._peers.get(peer)
        if known is None:
            return
        self._release(known, piece)
        if busy:
            known.fail(now, BUSY_SECONDS)
        elif 0 <= piece < self.layout.pieces and known.have.discard(piece):
            if known.is_seed:
                known.is_seed = False
                for owed in known.asked:
                    self._at_seeds.discard(owed)
                self._picker.add_holder_of(known.have)
            else:
                self._picker.remove_holder(piece)
            self._set_useful(known, known.useful - (piece in self._missing))
            self._ready[peer] = known

    # -- Pieces ----------------------------------------------------------------------

    def arrived(self, peer: str, piece: int, now: float) -> None:
        """A piece came from a peer, and is verified now: it may owe another one meanwhile."""
        known = self._peers.get(peer)
        if known is not None and piece in known.asked:
            known.arrived(piece, now)
            self._at_seeds.discard(piece)
            self._ready[peer] = known

    def received(self, peer: str, piece: int, ok: bool, now: float) -> Receipt:
        """A piece that came from a peer has been verified.

        Args:
            peer: its sender, who may have left meanwhile.
            piece: its number, which the caller has checked.
            ok: whether its hash is right.
            now: the moment.
        """
        known = self._peers.get(peer)
        if not ok:
            self.peer_left(peer)
            self._liars.add(peer)
            return Receipt(Verdict.LIE)
        is_new = self.have.add(piece)
        if known is not None:
            self.arrived(peer, piece, now)
            known.heard_at = now  # as it was not read while the piece was verified
            self._release(known, piece)
            self._ready[peer] = known
        if not is_new:
            return Receipt(Verdict.DUPLICATE)
        for other in list(self._askers.get(piece, ())):
            if not other.asked[piece].is_here:
                self._cancels.append(Cancel(other.name, piece))
            self._release(other, piece)
            self._ready[other.name] = other
        self._picker.close(piece)
        if self._missing.discard(piece):
            for other in self._peers.values():
                if piece in other.have:
                    self._set_useful(other, other.useful - 1)
        chunk = self.layout.chunk_of(piece)
        self._chunk_missing[chunk - 1] -= 1
        return Receipt(
            Verdict.VERIFIED,
            chunk=None if self._chunk_missing[chunk - 1] else chunk,
            complete=self.complete,
        )

    def orders(self, now: float) -> list[Order]:
        """What to send now, in this order."""
        asks: list[Order] = []
        for peer, piece in self._offers:
            if self._takes_its_share(peer, piece, now):
                self._withdraw(piece)
                asks.append(self._ask(peer, piece, now))
        self._offers.clear()
        while self._ready:
            asks += self._round(now)
        orders = [*self._cancels, *asks]
        self._cancels.clear()
        return orders

    def _round(self, now: float) -> list[Order]:
        """Let those that are ready take turns, one piece each, and seeds after all others."""
        asks: list[Order] = []
        ready = sorted(self._ready.values(), key=_turn)
        self._ready.clear()
        for are_seeds in (False, True):
            turns = deque(peer for peer in ready if peer.is_seed == are_seeds)
            while turns:
                peer = turns.popleft()
                piece = self._choose(peer, now)
                if piece is not None:
                    asks.append(self._ask(peer, piece, now))
                    turns.append(peer)
        return asks

    # -- Time ------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """See who is silent or may be tried again; `orders` then looks for what is late."""
        for peer in self._peers.values():
            if peer.is_silent(now):
                for piece in list(peer.owes()):
                    self._cancels.append(Cancel(peer.name, piece))
                    self._release(peer, piece)
                peer.fail(now, limits.SILENCE_SECONDS, was_silent=True)
            elif peer.useful and peer.paused_until <= now:
                self._ready[peer.name] = peer

    # -- Inside ----------------------------------------------------------------------

    def _choose(self, peer: Peer, now: float) -> int | None:
        """The next piece to ask of a peer, if it may owe one more."""
        if not peer.useful or now < peer.paused_until or peer.owed >= peer.window:
            return None
        share = -(-len(self._missing) // (self._sources + self._expected))
        if peer.owed >= share:
            return None
        piece = self._picker.pick(peer.have) if self._picker.open_count else None
        if peer.is_seed:
            if piece is not None and self._others_suffice(piece):
                return None
        elif piece is None:
            piece = self._from_seed(peer)
        if piece is None and self._picker.open_count <= len(self._askers):
            piece = self._latest(peer, now)
        return piece

    def _part_with_others(self) -> None:
        """Divide the file among those who fetch it, so that no two ask seeds for the same piece.

        All know the same names, so they agree without a word. Where they don't, some pieces are
        sent twice, as they would be by chance.
        """
        names = sorted(
            [self._me, *(peer.name for peer in self._peers.values() if not peer.is_seed)]
        )
        place, pieces = names.index(self._me), self.layout.pieces
        self._picker.ours = range(pieces * place // len(names), pieces * (place + 1) // len(names))

    def _others_suffice(self, piece: int) -> bool:
        """Whether those that are no seeds will soon have sent all that is open, this too.

        It is the rarest one, so if one of them holds it, all that is open has such a holder.
        """
        if not self._picker.holders(piece):
            return False
        rate = sum(other.rate for other in self._peers.values() if not other.is_seed)
        return self._picker.open_count <= rate * RELIEF_SECONDS

    def _takes_its_share(self, peer: Peer, piece: int, now: float) -> bool:
        """Whether to move a request to somebody who has just got the piece, and owes nothing.

        All who wait for a piece hear that it has another holder. Were they to stay, its first
        holder would serve them all; were they all to go, the new one would. So one of as many
        goes as there are holders, and chance says who.
        """
        askers = self._askers.get(piece, [])
        if len(askers) != 1 or askers[0] is peer or peer.owed or not peer.useful:
            return False
        if now < peer.paused_until or askers[0].heard_at > askers[0].asked[piece].asked:
            return False
        return mix(self._salt, piece) % self._picker.holders(piece) == 0

    def _from_seed(self, peer: Peer) -> int | None:
        """What a peer can send in place of a seed, which is to send what others lack."""
        piece = self._at_seeds.find(peer.have, mix(self._salt, len(self._missing)))
        if piece is None or piece == next(self._askers[piece][0].owes()):
            return None
        self._withdraw(piece)
        return piece

    def _withdraw(self, piece: int) -> None:
        """Tell who owes a piece not to send it."""
        asker = self._askers[piece][0]
        self._cancels.append(Cancel(asker.name, piece))
        self._release(asker, piece)
        self._ready[asker.name] = asker

    def _latest(self, peer: Peer, now: float) -> int | None:
        """Of the late pieces that a peer holds the one that is expected last."""
        soon = now + 2 * peer.seconds_for_next() if peer.rate else float("inf")
        best, best_expected = None, 0.0
        for piece, askers in self._askers.items():
            if len(askers) >= limits.ASKED_TWICE_MAX or peer in askers or piece not in peer.have:
                continue
            request = askers[0].asked[piece]
            if request.is_here:
                continue
            patience = (request.expected - request.asked) * EARLY_PART
            is_late = request.due < now or soon < request.expected
            if not is_late and (peer.owed or now <= request.asked + patience):
                continue
            if best is None or request.expected > best_expected:
                best, best_expected = piece, request.expected
        return best

    def _ask(self, peer: Peer, piece: int, now: float) -> Ask:
        self._picker.close(piece)
        peer.ask(piece, now)
        self._askers.setdefault(piece, []).append(peer)
        if peer.is_seed and len(self._askers[piece]) == 1:
            self._at_seeds.add(piece)
        else:
            self._at_seeds.discard(piece)
        return Ask(peer.name, piece)

    def _release(self, peer: Peer, piece: int) -> None:
        """A peer no longer owes a piece; it is open again unless another one does."""
        if not peer.release(piece):
            return
        askers = self._askers[piece]
        askers.remove(peer)
        if askers:
            return
        del self._askers[piece]
        self._at_seeds.discard(piece)
        if piece not in self.have:
            self._picker.open(piece)
            for other in self._peers.values():
                if piece in other.have:
                    self._ready[other.name] = other

    def _set_useful(self, peer: Peer, useful: int) -> None:
        assert useful >= 0
        self._sources += bool(useful) - bool(peer.useful)
        peer.useful = useful


def _turn(peer: Peer) -> tuple[int, int]:
    return peer.owed, peer.tie
