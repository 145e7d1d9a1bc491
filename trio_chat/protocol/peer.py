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

PEER_PROTOCOL_VERSION = 1

_Number = Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]


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
    """For either end of a connection between two clients."""
    return LineDecoder(_decoder)
