"""Sets of pieces, as bitmaps: what somebody holds, lacks or may be asked for.

A bitmap is cut into blocks, each a Python integer. So adding one piece costs the same
however large the file is, and whole sets are combined at the speed of integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Self

BLOCK_BITS = 2048
"""Large enough that few blocks make a set, small enough that changing one is cheap."""


class PieceSet:
    """Some of the pieces 0, 1, ... of one file.

    Attributes:
        size: how many pieces the file has, in this set or not.
        blocks: the bitmap; piece i is bit ``i % BLOCK_BITS`` of block ``i // BLOCK_BITS``.
    """

    __slots__ = ("_count", "blocks", "size")

    def __init__(self, size: int, pieces: Iterable[int] = ()) -> None:
        assert size >= 0
        self.size = size
        self.blocks = [0] * -(-size // BLOCK_BITS)
        self._count = 0
        for piece in pieces:
            self.add(piece)

    @classmethod
    def full(cls, size: int) -> Self:
        """All pieces of a file that has this many."""
        pieces = cls(size)
        pieces.add_range(range(size))
        return pieces

    @classmethod
    def from_bytes(cls, packed: bytes, size: int) -> Self:
        """What `to_bytes` made, from the wire or a disk.

        Raises:
            ValueError: the length is not that of a file with this many pieces, or a bit
                beyond its last piece is set.
        """
        if len(packed) != packed_bytes(size):
            raise ValueError(f"{len(packed)} bytes can't be a set of {size} pieces")
        pieces = cls(size)
        step = BLOCK_BITS // 8
        for number in range(len(pieces.blocks)):
            block = int.from_bytes(packed[number * step : (number + 1) * step], "little")
            pieces.blocks[number] = block
            pieces._count += block.bit_count()
        if pieces.blocks and pieces.blocks[-1] >> ((size - 1) % BLOCK_BITS + 1):
            raise ValueError(f"the set has a piece beyond the last of {size}")
        return pieces

    def to_bytes(self) -> bytes:
        """The set in `packed_bytes` bytes; piece 0 is the lowest bit of the first byte."""
        step = BLOCK_BITS // 8
        packed = b"".join(block.to_bytes(step, "little") for block in self.blocks)
        return packed[: packed_bytes(self.size)]

    def copy(self) -> Self:
        """The same pieces in a set of its own."""
        return self._with(list(self.blocks))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, piece: int) -> bool:
        if not 0 <= piece < self.size:
            return False
        return bool(self.blocks[piece // BLOCK_BITS] >> (piece % BLOCK_BITS) & 1)

    def __iter__(self) -> Iterator[int]:
        """Ascending; the set may change meanwhile, which each block sees or doesn't."""
        for number, block in enumerate(self.blocks):
            rest, first = block, number * BLOCK_BITS
            while rest:
                lowest = rest & -rest
                yield first + lowest.bit_length() - 1
                rest ^= lowest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PieceSet):
            return NotImplemented
        return self.size == other.size and self.blocks == other.blocks

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<PieceSet {self._count} of {self.size}>"

    @property
    def is_full(self) -> bool:
        """Whether no piece is missing."""
        return self._count == self.size

    def add(self, piece: int) -> bool:
        """Put one in; return whether it was not there."""
        assert 0 <= piece < self.size, "the caller checks what comes from others"
        number, bit = piece // BLOCK_BITS, 1 << piece % BLOCK_BITS
        if self.blocks[number] & bit:
            return False
        self.blocks[number] |= bit
        self._count += 1
        return True

    def discard(self, piece: int) -> bool:
        """Take one out; return whether it was there."""
        assert 0 <= piece < self.size
        number, bit = piece // BLOCK_BITS, 1 << piece % BLOCK_BITS
        if not self.blocks[number] & bit:
            return False
        self.blocks[number] ^= bit
        self._count -= 1
        return True

    def add_range(self, pieces: range) -> None:
        """Put in all of a range with step 1."""
        for number, mask in _masks(pieces):
            self._count += (mask & ~self.blocks[number]).bit_count()
            self.blocks[number] |= mask

    def has_range(self, pieces: range) -> bool:
        """Whether all of a range with step 1 are in; of an empty one they are."""
        return all(self.blocks[number] & mask == mask for number, mask in _masks(pieces))

    def __and__(self, other: PieceSet) -> Self:
        assert self.size == other.size
        return self._with([a & b for a, b in zip(self.blocks, other.blocks, strict=True)])

    def __or__(self, other: PieceSet) -> Self:
        assert self.size == other.size
        return self._with([a | b for a, b in zip(self.blocks, other.blocks, strict=True)])

    def find(self, other: PieceSet, start: int) -> int | None:
        """The first piece from `start` on, and around the end, that both sets have."""
        assert self.size == other.size
        mine, theirs = self.blocks, other.blocks
        count = len(mine)
        if not count:
            return None
        start %= self.size
        first, low = start // BLOCK_BITS, start % BLOCK_BITS
        for number in chain(range(first, count), range(first + 1)):
            both = mine[number] & theirs[number]
            if low:
                both = (both >> low) << low
                low = 0
            if both:
                return number * BLOCK_BITS + (both & -both).bit_length() - 1
        return None

    def _with(self, blocks: list[int]) -> Self:
        made = type(self)(0)
        made.size = self.size
        made.blocks = blocks
        made._count = sum(block.bit_count() for block in blocks)
        return made


def packed_bytes(size: int) -> int:
    """How many bytes a set of this many pieces is on the wire and on disk."""
    return -(-size // 8)


def _masks(pieces: range) -> Iterator[tuple[int, int]]:
    """The blocks that a range touches, each with the bits that belong to it."""
    assert pieces.step == 1
    for number in range(pieces.start // BLOCK_BITS, -(-pieces.stop // BLOCK_BITS)):
        first = max(pieces.start - number * BLOCK_BITS, 0)
        last = min(pieces.stop - number * BLOCK_BITS, BLOCK_BITS)
        if first < last:
            yield number, (1 << last) - (1 << first)
