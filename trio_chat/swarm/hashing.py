"""The hash tree of a file: a leaf for each piece, and one root over all leaves.

The root stands in the manifest, so it names the contents. A downloader gets the leaves
from any holder, checks them against the root at once, and then each piece against its
leaf when it arrives: a wrong byte is found before it is stored, and its sender is known.

The hash function is BLAKE3, and only `hash_piece` and `hash_root` know that. A leaf is
compared with leaves only, and the root is taken over a text that no other use of the hash
begins with, so neither can pass for the other.
"""

from __future__ import annotations

from blake3 import blake3

Data = bytes | bytearray | memoryview

HASH_BYTES = 32

_ROOT = b"trio-chat file root, version 1\n"


def hash_piece(data: Data) -> bytes:
    """The leaf of one piece. Lets other threads run meanwhile if the piece is large."""
    return blake3(data).digest()


def hash_root(size: int, chunks: int, piece_bytes: int, leaves: Data) -> bytes:
    """The root over all leaves, one after the other, and over how the file is cut."""
    hasher = blake3(_ROOT)
    for number in (size, chunks, piece_bytes):
        hasher.update(number.to_bytes(8, "big"))
    return hasher.update(leaves).digest()
