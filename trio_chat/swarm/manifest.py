"""What is to be known of a file to fetch it: how it is cut, and the root of its hash tree.

Users see *chunks*: ten of them, numbered from 1 (section 3.5; a file of less than ten bytes
has one for each byte, an empty one none). All have the same size, but the last also takes
the few bytes that remain. Inside its chunk each *piece* is verified and moved by itself:
pieces are numbered from 0 over the whole file, and none lies in two chunks. A piece is one
*leaf* of the hash tree; the largest are two, so that nobody has to keep more in memory. Leaves
are numbered like pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Self

from msgspec import Struct

from .. import limits
from .hashing import HASH_BYTES, Data, hash_leaf, hash_root

PIECE_BYTES_MIN = 16 * 1024
"""One TLS record; with less, the work for each request would outweigh its bytes."""

PIECES_AIM = 256
"""So many that peers soon have something to swap and little is lost with one of them,
so few that what each costs (a request, an announcement to everybody) does not matter."""

_CHUNKS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def choose_piece_bytes(size: int) -> int:
    """A power of two that cuts a file of this size into about `PIECES_AIM` pieces.

    It stays within `PIECE_BYTES_MIN` and `limits.PIECE_BYTES_MAX`: beyond 1 GiB the pieces
    get more, not larger, since each is held in memory and delays what a peer can pass on.
    """
    piece_bytes = PIECE_BYTES_MIN
    while piece_bytes < limits.PIECE_BYTES_MAX and piece_bytes * PIECES_AIM < size:
        piece_bytes *= 2
    return piece_bytes


class Leaf(Struct, frozen=True, gc=False):
    """What has a hash of its own: its number, and where it lies in the file, in bytes."""

    number: int
    offset: int
    size: int


class Layout(Struct, frozen=True, gc=False, kw_only=True):
    """How a file is cut.

    Attributes:
        size: of the file, in bytes.
        chunks: how many there are.
        piece_bytes: the size of each piece but the last ones of a chunk.

    Raises:
        ValueError: made from numbers that are out of bounds or do not fit each other. So
            what comes from the wire as a `Layout` can be relied on.
    """

    size: int
    chunks: int
    piece_bytes: int

    def __post_init__(self) -> None:
        if not 0 <= self.size <= limits.FILE_BYTES_MAX:
            raise ValueError(f"a file has 0 to {limits.FILE_BYTES_MAX} bytes")
        if self.chunks != min(self.size, limits.CHUNKS_MAX):
            raise ValueError(f"a file of {self.size} bytes has no {self.chunks} chunks")
        if not PIECE_BYTES_MIN <= self.piece_bytes <= limits.PIECE_BYTES_MAX:
            raise ValueError("the pieces are too small or too large")
        if self.piece_bytes & (self.piece_bytes - 1):
            raise ValueError("the size of pieces is no power of two")
        if self.pieces > limits.PIECES_MAX:
            raise ValueError(f"a file has at most {limits.PIECES_MAX} pieces")

    @classmethod
    def of(cls, size: int) -> Layout:
        """How this program cuts a file of this size."""
        return Layout(
            size=size,
            chunks=min(size, limits.CHUNKS_MAX),
            piece_bytes=choose_piece_bytes(size),
        )

    @property
    def chunk_bytes(self) -> int:
        """The size of each chunk but the last, which may have up to nine bytes more."""
        return self.size // self.chunks if self.chunks else 0

    @property
    def chunk_pieces(self) -> int:
        """How many pieces each chunk but the last has."""
        return -(-self.chunk_bytes // self.piece_bytes)

    @property
    def pieces(self) -> int:
        """How many pieces the file has."""
        if not self.chunks:
            return 0
        last_bytes = self.size - (self.chunks - 1) * self.chunk_bytes
        return (self.chunks - 1) * self.chunk_pieces + -(-last_bytes // self.piece_bytes)

    def chunk_span(self, chunk: int) -> tuple[int, int]:
        """Offset and length of a chunk, in bytes."""
        self._check_chunk(chunk)
        offset = (chunk - 1) * self.chunk_bytes
        return offset, (self.size - offset if chunk == self.chunks else self.chunk_bytes)

    def pieces_of(self, chunk: int) -> range:
        """The pieces of a chunk."""
        self._check_chunk(chunk)
        first = (chunk - 1) * self.chunk_pieces
        return range(first, self.pieces if chunk == self.chunks else first + self.chunk_pieces)

    def chunk_of(self, piece: int) -> int:
        """The chunk that a piece lies in."""
        assert 0 <= piece < self.pieces
        return min(piece // self.chunk_pieces + 1, self.chunks)

    def span(self, piece: int) -> tuple[int, int]:
        """Offset and length of a piece, in bytes."""
        chunk_offset, chunk_bytes = self.chunk_span(chunk := self.chunk_of(piece))
        within = (piece - (chunk - 1) * self.chunk_pieces) * self.piece_bytes
        return chunk_offset + within, min(self.piece_bytes, chunk_bytes - within)

    @property
    def leaf_bytes(self) -> int:
        """The size of each leaf but the last one of a chunk."""
        return min(self.piece_bytes, limits.LEAF_BYTES_MAX)

    @property
    def leaves(self) -> int:
        """How many leaves the hash tree has."""
        if not self.chunks:
            return 0
        return self.leaves_of(self.pieces - 1)[-1].number + 1

    def leaves_of(self, piece: int) -> list[Leaf]:
        """The leaves of a piece; it has at least one."""
        chunk = self.chunk_of(piece)
        offset, size = self.span(piece)
        step = self.leaf_bytes
        first = (chunk - 1) * -(-self.chunk_bytes // step)
        first += (offset - self.chunk_span(chunk)[0]) // step
        return [
            Leaf(first + number, offset + start, min(step, size - start))
            for number, start in enumerate(range(0, size, step))
        ]

    def _check_chunk(self, chunk: int) -> None:
        assert 1 <= chunk <= self.chunks, "chunk numbers are checked by `parse_chunks`"


class Manifest(Layout, frozen=True, gc=False, kw_only=True):
    """A file, by name and by contents. Two with the same root have the same bytes.

    Attributes:
        name: under which it is known; no path, but the shell makes sure of that.
        root: of the hash tree.
    """

    name: str
    root: bytes

    def __post_init__(self) -> None:
        Layout.__post_init__(self)
        if not 1 <= len(self.name.encode()) <= limits.FILE_NAME_BYTES_MAX:
            raise ValueError(f"a file's name has 1 to {limits.FILE_NAME_BYTES_MAX} bytes")
        if len(self.root) != HASH_BYTES:
            raise ValueError(f"a root has {HASH_BYTES} bytes")

    @classmethod
    def build(cls, name: str, layout: Layout, leaves: Data) -> Self:
        """The manifest of a file whose leaves, cut by this layout, have these hashes.

        Args:
            name: of the file.
            layout: by which it was cut.
            leaves: the results of `hash_leaf` for all of them, one after the other.

        Raises:
            ValueError: the name is too long.
        """
        size, chunks, piece_bytes = layout.size, layout.chunks, layout.piece_bytes
        assert len(leaves) == layout.leaves * HASH_BYTES
        root = hash_root(size, chunks, piece_bytes, leaves)
        return cls(name=name, size=size, chunks=chunks, piece_bytes=piece_bytes, root=root)


class Leaves:
    """The hash of each leaf of a file, proved to be those that its manifest stands for.

    Attributes:
        manifest: of the file.
        packed: all hashes, one after the other: what is sent to other peers.
    """

    __slots__ = ("manifest", "packed")

    def __init__(self, manifest: Manifest, packed: bytes) -> None:
        """Take a list of hashes from a peer or a disk.

        Raises:
            ValueError: it is not the one that belongs to the manifest.
        """
        if len(packed) != manifest.leaves * HASH_BYTES:
            raise ValueError("the list of hashes has not the length that the manifest tells")
        root = hash_root(manifest.size, manifest.chunks, manifest.piece_bytes, packed)
        if root != manifest.root:
            raise ValueError("the list of hashes does not belong to the manifest")
        self.manifest = manifest
        self.packed = packed

    def verify(self, leaf: int, data: Data) -> bool:
        """Whether these are the bytes of a leaf."""
        return hash_leaf(data) == self.packed[leaf * HASH_BYTES : (leaf + 1) * HASH_BYTES]


def parse_chunks(text: str, count: int) -> tuple[int, ...]:
    """The chunks that a person wrote as ``3``, ``1 4``, ``1,4`` or ``2-5``, ascending.

    Args:
        text: what was written.
        count: how many chunks the file has.

    Raises:
        ValueError: with a sentence for that person.
    """
    if not count:
        raise ValueError("The file is empty and has no chunks")
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError("Chunks are written like 3 or 1,4 or 2-5")
    chunks: set[int] = set()
    for word in words:
        match = _CHUNKS.fullmatch(word)
        if match is None:
            raise ValueError(f"Chunks are written like 3 or 1,4 or 2-5, not {word}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= count or not 1 <= last <= count:
            there = f"the chunks 1 to {count}" if count > 1 else "one chunk, 1"
            raise ValueError(f"The file has {there}, and no chunk {word}")
        if first > last:
            raise ValueError(f"A range of chunks is written like {last}-{first}, not {word}")
        chunks.update(range(first, last + 1))
    return tuple(sorted(chunks))


def format_chunks(chunks: Iterable[int]) -> str:
    """Chunks as people read them: ``1-3,7``; nothing for none."""
    ordered = sorted(set(chunks))
    if not ordered:
        return ""
    breaks = [at for at, (one, other) in enumerate(pairwise(ordered), 1) if other != one + 1]
    starts, ends = [0, *breaks], [*breaks, len(ordered)]
    runs = [(ordered[start], ordered[end - 1]) for start, end in zip(starts, ends, strict=True)]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
