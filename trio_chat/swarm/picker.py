"""Which piece to ask for next: the rarest, and chance decides between equals.

The pieces that are still to be asked for are *open*. They lie in levels, one for each
number of holders. Whoever holds the whole file is not counted: it holds all equally. So
level 0 is what only such seeds have, and who asks a seed for that first spreads what is
rare and leaves the rest to the others.

A change of level touches two bitmaps, and a choice looks at few blocks of the lowest levels:
neither grows with the pieces of the file, as it would if each choice looked at all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from .pieces import PieceSet

LEVELS = 16
"""Pieces with more holders than that are all equally common."""

_MASK = 2**64 - 1


def mix(salt: int, number: int) -> int:
    """A number of 64 bits that looks like chance, and is the same for the same arguments."""
    mixed = (salt + number * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return mixed ^ mixed >> 31


class Picker:
    """The open pieces of one file, by how many peers hold them.

    Attributes:
        open_count: how many pieces are open.
        ours: the part of the file in which the pieces that only seeds have are chosen first.
    """

    def __init__(self, size: int, salt: int) -> None:
        self.open_count = 0
        self.ours = range(size)
        self._salt = salt
        self._draws = 0
        self._holders = array("H", bytes(2 * size))
        self._open = PieceSet(size)
        self._levels = [PieceSet(size) for _ in range(LEVELS)]
        self._everything = PieceSet.full(size)

    def open(self, piece: int) -> None:
        """Let a piece be chosen."""
        if self._open.add(piece):
            self._level(piece).add(piece)
            self.open_count += 1

    def close(self, piece: int) -> None:
        """Let a piece no longer be chosen: it is here, or asked for."""
        if self._open.discard(piece):
            self._level(piece).discard(piece)
            self.open_count -= 1

    def is_open(self, piece: int) -> bool:
        """Whether a piece may be chosen."""
        return piece in self._open

    def holders(self, piece: int) -> int:
        """How many peers that are no seeds hold a piece."""
        return self._holders[piece]

    def add_holder(self, piece: int) -> None:
        """One more peer, which is no seed, holds this piece."""
        before = self._holders[piece]
        self._holders[piece] = before + 1
        if before < LEVELS - 1 and self._levels[before].discard(piece):
            self._levels[before + 1].add(piece)

    def remove_holder(self, piece: int) -> None:
        """One peer less holds this piece."""
        after = self._holders[piece] - 1
        self._holders[piece] = after
        if after < LEVELS - 1 and self._levels[after + 1].discard(piece):
            self._levels[after].add(piece)

    def add_holder_of(self, pieces: Iterable[int]) -> None:
        """One more peer, which is no seed, holds these."""
        for piece in pieces:
            self.add_holder(piece)

    def remove_holder_of(self, pieces: Iterable[int]) -> None:
        """One peer less holds these."""
        for piece in pieces:
            self.remove_holder(piece)

    def pick(self, have: PieceSet) -> int | None:
        """The rarest of the open pieces that are in a set, or None; it stays open."""
        self._draws += 1
        everything = self._everything if have.is_full else have
        draw = mix(self._salt, self._draws)
        if self._levels[0] and self.ours:
            for start in (self.ours.start + draw % len(self.ours), self.ours.start):
                piece = self._levels[0].find(everything, start)
                if piece is None or piece in self.ours:
                    break
            if piece in self.ours:
                return piece
        for level in self._levels:
            if level:
                piece = level.find(everything, draw)
                if piece is not None:
                    return piece
        return None

    def _level(self, piece: int) -> PieceSet:
        return self._levels[min(self._holders[piece], LEVELS - 1)]
