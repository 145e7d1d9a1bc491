"""What a download wants sent, and what it says of a piece that came."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Ask(Struct, frozen=True, gc=False):
    """Ask a peer for a piece."""

    peer: str
    piece: int


class Cancel(Struct, frozen=True, gc=False):
    """Tell a peer that a piece is no longer wanted from it."""

    peer: str
    piece: int


Order = Ask | Cancel


class Verdict(Enum):
    """What became of a piece that arrived."""

    VERIFIED = "verified"
    DUPLICATE = "duplicate"
    LIE = "lie"


class Receipt(Struct, frozen=True, gc=False):
    """What the arrival of a piece means.

    Attributes:
        verdict: it is here and to be announced, was here before, or its sender is to be dropped.
        chunk: the number of the chunk that it completed, if it did.
        complete: whether nothing is missing that is wanted.
    """

    verdict: Verdict
    chunk: int | None = None
    complete: bool = False
