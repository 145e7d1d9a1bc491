"""The messages between two clients, without a server in between (section 3.4).

The one who connects sends the ticket of the introduction and a newline, in clear; what
follows is TLS 1.3 with a certificate of each side. In it, the one who connects sends a
`PeerHello` and the other replies with its own; then come lines in both directions. Nobody
says who they are: a name always comes from the introduction.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from .. import limits
from .framing import LineDecoder
from .messages import Digest

PEER_PROTOCOL_VERSION = 1

_Number = Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
_Index = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]


class _Message(Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True):
    """What all messages share: immutable, and known by their ``type``."""


class PeerHello(_Message, tag="hello", frozen=True, gc=False):
    """The first line of either side.

    Attributes:
        version: of this protocol; the connection ends if it is not the other side's own.
    """

    version: int


class Private(_Message, tag="private", frozen=True, gc=False):
    """A private message; each side numbers its own 1, 2, 3, ... on each connection."""

    id: _Number
    text: str


class PrivateAck(_Message, tag="ack", frozen=True, gc=False):
    """All private messages up to ``id`` have been shown."""

    id: _Number


class Bye(_Message, tag="bye", frozen=True, gc=False):
    """Nothing more comes from this side, and nothing more is wanted.

    Attributes:
        left: whether its user has logged out, and not only stopped this conversation.
    """

    left: bool = False


PeerMessage = PeerHello | Private | PrivateAck | Bye

_decoder: msgspec.json.Decoder[PeerMessage] = msgspec.json.Decoder(PeerMessage)


def peer_decoder() -> LineDecoder[PeerMessage]:
    """For either end of a private conversation."""
    return LineDecoder(_decoder)


# -- Files (section 3.5) -----------------------------------------------------------------
#
# On a connection for files the one who connected fetches, and the other one serves. A file
# is named by its root.


class Interest(_Message, tag="interest", frozen=True, gc=False):
    """Which pieces of this file are there, and which come? Answered by `Holding`."""

    root: Digest


class GetLeaves(_Message, tag="get_leaves", frozen=True, gc=False):
    """Send the hashes of all pieces; answered by `LeavesFollow`."""

    root: Digest


class Get(_Message, tag="get", frozen=True, gc=False):
    """Send a piece; answered by `PieceFollows` or `Refused`."""

    root: Digest
    piece: _Index


class Cancel(_Message, tag="cancel", frozen=True, gc=False):
    """A piece is not wanted any more; it may come nevertheless."""

    root: Digest
    piece: _Index


class Holding(_Message, tag="holding", frozen=True, gc=False):
    """The pieces that are there: a bitmap, in which piece 0 is the lowest bit of byte 0.

    Empty if the file is not served. What is there later is told by `Have`.

    Attributes:
        gone: whether it was served, and is not any more, as it was changed or removed.
    """

    root: Digest
    pieces: bytes
    gone: bool = False


class Have(_Message, tag="have", frozen=True, gc=False):
    """One more piece is there.

    Who serves tells those who fetch. Who fetches tells those who serve, as they may be fetching
    too: in that direction no pieces are in the way.
    """

    root: Digest
    piece: _Index


class LeavesFollow(_Message, tag="leaves", frozen=True, gc=False):
    """The hashes of all pieces follow right behind this line, in so many bytes."""

    root: Digest
    size: _Index


class PieceFollows(_Message, tag="piece", frozen=True, gc=False):
    """A piece follows right behind this line, in so many bytes."""

    root: Digest
    piece: _Index
    size: _Index


class Refused(_Message, tag="refused", frozen=True, gc=False):
    """A piece that was asked for does not come.

    Attributes:
        busy: whether it may come later, as too much was asked for at once.
        gone: whether nothing of the file is served any more, as it was changed or removed.
    """

    root: Digest
    piece: _Index
    busy: bool = False
    gone: bool = False


FetchMessage = PeerHello | Interest | GetLeaves | Get | Cancel | Have
"""What the fetching side says."""

ServeMessage = PeerHello | Holding | Have | LeavesFollow | PieceFollows | Refused
"""What the serving side says."""
