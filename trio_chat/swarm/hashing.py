"""The hash tree of a file: a leaf for each piece, two for the largest, and one root over all.

The root stands in the manifest, so it names the contents. A downloader gets the leaves
from any holder, checks them against the root at once, and then each piece against its
leaves when it arrives: a wrong byte is found before it is stored, and its sender is known.

The hash function is BLAKE3, and only `hash_leaf` and `hash_root` know that. A leaf is
compared with leaves only, and the root is taken over a text that no other use of the hash
begins with, so neither can pass for the other.
"""

from __future__ import annotations

from blake3 import blake3

Data = bytes | bytearray | memoryview

HASH_BYTES = 32

_ROOT = b"trio-chat file root, version 1\n"


def hash_leaf(data: Data) -> bytes:
    """The hash of what one leaf stands for. Lets other threads run meanwhile if that is much."""
    return blake3(data).digest()


def hash_root(size: int, chunks: int, piece_bytes: int, leaves: Data) -> bytes:
    """The root over all leaves, one after the other, and over how the file is cut."""
    hasher = blake3(_ROOT)
    for number in (size, chunks, piece_bytes):
        hasher.update(number.to_bytes(8, "big"))
    return hasher.update(leaves).digest()
